"""The bridge for code without an event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from orchestra_graph import RunFailed, RunWaiting, node
from orchestra_graph.runtime.sync import run_blocking

from .common import Sheet, chain
from .test_engine import greet, letter


def test_plain_code_gets_the_final_state() -> None:
    assert greet.run_sync(Sheet(text="ada")).text == "hello ada"
    assert letter.run_sync(Sheet(text="ada"), on_question=lambda question: True).ok is True


def test_errors_come_through_as_they_are() -> None:
    @node
    def wrong() -> None:
        raise ValueError("no")

    with pytest.raises(RunFailed, match="wrong: ValueError: no"):
        chain(wrong).run_sync(Sheet())
    with pytest.raises(RunWaiting, match="confirm"):
        letter.run_sync(Sheet())


@pytest.mark.asyncio
async def test_inside_of_a_running_loop_it_works_too() -> None:
    """As in a notebook, whose cells run in a loop."""
    assert greet.run_sync(Sheet(text="ada")).text == "hello ada"
    with pytest.raises(RunWaiting):
        letter.run_sync(Sheet())


@pytest.mark.asyncio
async def test_inside_of_a_running_loop_it_runs_on_a_loop_of_its_own() -> None:
    here = asyncio.get_running_loop(), threading.current_thread()

    async def there() -> tuple[object, object]:
        return asyncio.get_running_loop(), threading.current_thread()

    loop, thread = run_blocking(there)
    assert loop is not here[0]
    assert thread is not here[1]


def test_outside_of_a_loop_it_stays_in_its_thread() -> None:
    async def there() -> object:
        return threading.current_thread()

    assert run_blocking(there) is threading.current_thread()


@pytest.mark.asyncio
async def test_even_what_is_no_exception_comes_through() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        run_blocking(leave)
