"""`Graph.run`: from start to end in this process, without a database."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest

from orchestra_graph import (
    Graph,
    Limits,
    OpenQuestion,
    Question,
    Resource,
    RunFailed,
    RunStopped,
    RunWaiting,
    WrongAnswer,
    ask,
    node,
)

from .common import Sheet, chain
from .test_engine import greet, letter


@pytest.mark.asyncio
async def test_it_gives_the_final_state() -> None:
    assert (await greet.run(Sheet(text="ada"))).text == "hello ada"


@pytest.mark.asyncio
async def test_every_question_is_answered_by_the_function_sync_or_async() -> None:
    seen: list[str] = []

    def question(name: str) -> Any:
        @ask(writes="log", name=name)
        def put() -> Question[str]:
            return Question(name)

        return put

    first, second, third = question("first"), question("second"), question("third")
    graph = Graph(Sheet, name="g")
    graph.start([first, second])
    graph.edge([first, second], third)

    def answer(question: OpenQuestion) -> str:
        seen.append(question.id)
        return question.prompt.upper()

    async def answer_later(question: OpenQuestion) -> str:
        await asyncio.sleep(0)
        return answer(question)

    for on_question in (answer, answer_later):
        seen.clear()
        state = await graph.run(Sheet(), on_question=on_question)
        assert sorted(seen[:2]) == ["first", "second"]
        assert seen[2:] == ["third"]
        assert state.log == ["FIRST", "SECOND", "THIRD"]


@pytest.mark.asyncio
async def test_without_the_function_a_question_is_an_error_that_names_it() -> None:
    with pytest.raises(RunWaiting, match="waiting for confirm: Send 'hello '"):
        await letter.run(Sheet())


@pytest.mark.asyncio
async def test_a_wrong_answer_comes_back_to_the_caller() -> None:
    with pytest.raises(WrongAnswer):
        await letter.run(Sheet(), on_question=lambda question: "perhaps")


@pytest.mark.asyncio
async def test_failures_and_limits_are_raised() -> None:
    @node
    async def wrong() -> None:
        raise ValueError("no")

    with pytest.raises(RunFailed, match="ValueError: no"):
        await chain(wrong).run(Sheet())
    short = Graph(Sheet, name="short", limits=Limits(steps=1))
    short.start(wrong2)
    short.edge(wrong2, wrong)
    with pytest.raises(RunStopped):
        await short.run(Sheet())


@node
async def wrong2() -> None: ...


@pytest.mark.asyncio
async def test_resources_are_given_as_to_an_engine() -> None:
    @node(writes="text")
    async def work(name: Annotated[str, Resource("name")]) -> str:
        return name

    assert (await chain(work).run(Sheet(), resources={"name": "ada"})).text == "ada"


@pytest.mark.asyncio
async def test_one_graph_may_run_many_times_at_once() -> None:
    states = await asyncio.gather(*(greet.run(Sheet(text=str(n))) for n in range(20)))
    assert [state.text for state in states] == [f"hello {n}" for n in range(20)]
