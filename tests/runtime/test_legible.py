"""Texts that no database takes as they are keep no run from going on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestra_graph import Context, Engine, Graph, Question, State, ask, node
from orchestra_graph.graph.node import Node
from orchestra_graph.runtime.legible import legible
from orchestra_graph.runtime.outcomes import Failed, Outcome, Waiting

HALF = "report\udcff.txt"  # as Python names a file whose name is no UTF-8


class Paper(State):
    ok: str = ""


@ask(writes="ok")
def question() -> Question[str]:
    return Question(f"Use {HALF}\0?", to=HALF)


@node(writes="ok")
async def missing() -> str:
    raise FileNotFoundError(HALF)


@node(writes="ok")
async def misnamed(ctx: Context) -> str:
    return await ctx.step(HALF, lambda: "x", returns=str)


async def outcome_of(tmp_path: Path, work: Node[object]) -> Outcome[Paper]:
    graph = Graph(Paper, name="paper")
    graph.start(work)
    async with Engine(f"sqlite:///{tmp_path}/runs.db", graphs=[graph]) as engine:
        return await (await engine.start(graph, Paper())).wait()


def test_what_can_be_stored_stays_as_it_is() -> None:
    assert legible("a\n\u00fc \U0001f600") == "a\n\u00fc \U0001f600"
    assert legible(HALF) == r"report\udcff.txt"
    assert legible("a\0b") == r"a\x00b"


@pytest.fixture
def unlogged() -> Iterator[None]:
    """What is logged has the error as it is, and pytest could not hand that from process to process."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("unlogged")
@pytest.mark.asyncio
async def test_a_node_fails_whatever_its_error_says(tmp_path: Path) -> None:
    outcome = await outcome_of(tmp_path, missing)
    assert isinstance(outcome, Failed)
    [(_, error)] = outcome.errors
    assert error.message == r"report\udcff.txt"


@pytest.mark.asyncio
async def test_a_person_is_asked_whatever_the_question_says(tmp_path: Path) -> None:
    outcome = await outcome_of(tmp_path, question)
    assert isinstance(outcome, Waiting)
    [asked] = outcome.questions
    assert (asked.prompt, asked.to) == (r"Use report\udcff.txt\x00?", r"report\udcff.txt")


@pytest.mark.asyncio
async def test_a_step_with_such_a_key_is_refused(tmp_path: Path) -> None:
    outcome = await outcome_of(tmp_path, misnamed)
    assert isinstance(outcome, Failed)
    assert "the key of a step is a text that can be stored" in outcome.errors[0][1].message
