"""The validators of a state itself, of every mode: they see what a run starts with and what it ends with, no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import pytest
from pydantic import Field, ValidationError, model_validator

from orchestra_graph import Done, Engine, Failed, Graph, Question, Run, State, Waiting, ask, node

CALLS: list[str] = []


class Before(State):
    low: int = 0
    high: int = 0
    agreed: bool = False

    @model_validator(mode="before")
    @classmethod
    def check(cls, data: Any) -> Any:
        CALLS.append(cls.__name__)
        if "top" in data:  # an older name
            data = {**data, "high": data["top"]}
            del data["top"]
        if data.get("low", 0) > data.get("high", 0):
            raise ValueError("low is above high")
        return data


class After(State):
    low: int = 0
    high: int = Field(default=0, alias="top")
    agreed: bool = False

    @model_validator(mode="after")
    def check(self) -> Self:
        CALLS.append(type(self).__name__)
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Around(State):
    low: int = 0
    high: int = Field(default=0, validation_alias="top")
    agreed: bool = False

    @model_validator(mode="wrap")
    @classmethod
    def check(cls, data: Any, handler: Any) -> Any:
        CALLS.append(cls.__name__)
        made = handler(data)
        if made.low > made.high:
            raise ValueError("low is above high")
        return made


STATES: list[Any] = [Before, After, Around]
every_mode = pytest.mark.parametrize("kind", STATES)


@node(writes="low")
async def climb(low: int) -> int:
    """For a moment the state does not fit, and nobody minds."""
    return low + 10


@node(writes="high")
async def lift(low: int, high: int) -> int:
    return max(low, high)


@ask(writes="agreed")
def agree() -> Question[bool]:
    return Question("Go on?")


def graph_of(kind: Any, *steps: Any) -> Graph[Any]:
    graph: Graph[Any] = Graph(kind, name="whole")
    graph.start(steps[0])
    graph.chain(*steps)
    return graph


@every_mode
@pytest.mark.asyncio
async def test_it_is_asked_once_at_the_start_and_for_a_result_and_never_for_what_lies_between(
    kind: Any, tmp_path: Path
) -> None:
    graph = graph_of(kind, climb, agree, lift)
    CALLS.clear()
    given = kind(low=1, top=5)
    assert [kind.__name__] == CALLS
    async with Engine(f"sqlite:///{tmp_path}/runs.db", graphs=[graph]) as engine:
        outcome = await (await engine.start(graph, given, key="r")).wait()
        assert isinstance(outcome, Waiting)
        assert (outcome.state.low, outcome.state.high) == (11, 5)
    async with Engine(f"sqlite:///{tmp_path}/runs.db", graphs=[graph]) as engine:
        run: Run[Any] = await engine.get("r", graph)
        assert (await run.state()).low == 11
        assert [kind.__name__] == CALLS
        await run.answer((await run.questions())[0].id, True)
        outcome = await run.wait()
    assert isinstance(outcome, Done)
    assert (outcome.state.low, outcome.state.high) == (11, 11)
    assert [kind.__name__] * 2 == CALLS


@every_mode
@pytest.mark.asyncio
async def test_a_result_that_does_not_fit_fails_the_run(kind: Any) -> None:
    graph = graph_of(kind, climb)
    async with Engine(graphs=[graph]) as engine:
        outcome = await (await engine.start(graph, kind(low=1, top=5))).wait()
    assert isinstance(outcome, Failed)
    assert "the final state does not fit" in outcome.reason
    assert "low is above high" in outcome.reason


@every_mode
def test_an_input_that_does_not_fit_makes_no_state(kind: Any) -> None:
    with pytest.raises(ValidationError, match="low is above high"):
        kind(low=2, top=1)
