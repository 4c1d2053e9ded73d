"""The version of a function changes with its code, and with nothing else."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestra_graph.runtime.code_version import code_version


def made(source: str, name: str = "f") -> Any:
    """What *source* defines under a name."""
    scope: dict[str, Any] = {"functools": functools}
    exec(compile(source, "<a test>", "exec", dont_inherit=True), scope)
    return scope[name]


BEFORE = """
def f(x, y=1, *, z='z'):
    def inner(a):
        return a in {'one', 'two', 'three'}
    try:
        return inner(x) + len('text')
    except ValueError:
        return None
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("'text'", "'texts'"),
        ("len(", "str("),
        ("y=1", "y=2"),
        ("z='z'", "z='y'"),
        ("'two'", "'2'"),
        ("return None", "return 0"),
        ("ValueError", "KeyError"),
        ("+ len", "- len"),
        ("*, z", "z"),
        ("def f", "async def f"),
    ],
)
def test_another_code_is_another_version(old: str, new: str) -> None:
    assert old in BEFORE
    assert code_version(made(BEFORE)) != code_version(made(BEFORE.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new"),
    [("\n    try", "\n\n    # why\n    try"), ("def f(x", "\n\ndef f(x: int")],
    ids=["comment", "annotation"],
)
def test_what_does_not_run_is_no_part_of_it(old: str, new: str) -> None:
    assert old in BEFORE
    assert code_version(made(BEFORE)) == code_version(made(BEFORE.replace(old, new)))


def test_what_is_closed_over_is_part_of_it() -> None:
    def factory(held: Any) -> Callable[[], Any]:
        return lambda: held

    one, other = (lambda: 1), (lambda: 2)
    different = [1, 1.0, "1", b"1", None, True, (1, 2), [1, 2], {1, 2}, {"a": 1}, {"a": 2}, one, other]
    versions = [code_version(factory(held)) for held in different]
    assert len(set(versions)) == len(different)
    assert code_version(factory({"a": [1]})) == code_version(factory({"a": [1]}))
    assert code_version(factory(object())) == code_version(factory(object())), "what is no data says nothing"


def test_wrappers_and_partials_are_looked_through() -> None:
    def logged(fn: Any) -> Any:
        @functools.wraps(fn)
        def wrapper(*args: Any) -> Any:
            return fn(*args)

        return wrapper

    one, other = made("def f(x): return 1"), made("def f(x): return 2")
    assert code_version(logged(one)) == code_version(logged(made("def f(x): return 1")))
    assert code_version(logged(one)) != code_version(logged(other))
    assert code_version(logged(one)) != code_version(one)
    assert code_version(functools.partial(one, 1)) != code_version(functools.partial(other, 1))
    assert code_version(functools.partial(one, 1)) != code_version(functools.partial(one, 2))
    assert code_version(functools.partial(one, x=1)) == code_version(functools.partial(one, x=1))


def test_objects_that_can_be_called_and_methods_have_the_version_of_their_function() -> None:
    class Steps:
        def run(self) -> int:
            return 1

        def __call__(self) -> int:
            return 2

    assert code_version(Steps().run) == code_version(Steps().run) == code_version(Steps.run)
    assert code_version(Steps()) == code_version(Steps())
    assert len({code_version(fn) for fn in (Steps().run, Steps(), len, sorted)}) == 4


def test_what_refers_to_itself_ends() -> None:
    rows: list[Any] = [1]
    rows.append(rows)

    def walk(depth: int) -> Any:
        return rows if not depth else walk(depth - 1)

    assert code_version(walk) == code_version(walk)


def test_it_is_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(BEFORE)
    script = (
        "import runpy, sys; from orchestra_graph.runtime.code_version import code_version;"
        "print(code_version(runpy.run_path(sys.argv[1])['f']))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "code.py")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }
    assert found == {code_version(made(BEFORE))}
