"""Three people are asked side by side: whatever the order of their answers, and in however many processes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Annotated

import pytest

from orchestra_graph import Done, Engine, Graph, Outcome, Question, Run, State, Waiting, append, ask, node
from tests.kill.processes import PROCESSES

from .common import database

ORDERS = list(permutations(["legal", "money", "press"]))


class Case(State):
    place: Path
    legal: bool | None = None
    money: bool | None = None
    press: bool | None = None
    log: Annotated[list[str], append] = []
    verdict: str = ""


def done_in(place: Path) -> list[str]:
    """The effects, in the order in which they happened."""
    path = place / "effects"
    return path.read_text().split() if path.exists() else []


def effect(place: Path, name: str, value: bool | None) -> str:
    with (place / "effects").open("a") as file:
        file.write(f"{name}\n")
    return f"{name}: {value}"


@node
async def begin() -> None:
    return None


@node
async def prepare(place: Path) -> None:
    """Where the press is to be asked late: not before it is said."""
    async with asyncio.timeout(20):
        while (place / "late").exists():
            await asyncio.sleep(0.002)


@ask(writes="legal")
def ask_legal() -> Question[bool]:
    return Question("Is it legal?", to="lawyer")


@ask(writes="money")
def ask_money() -> Question[bool]:
    return Question("Can we pay?", to="bank")


@ask(writes="press")
def ask_press() -> Question[bool]:
    return Question("Shall we tell?", to="press")


@node(writes="log", effect="irreversible")
async def sign(place: Path, legal: bool) -> str:
    return effect(place, "sign", legal)


@node(writes="log", effect="irreversible")
async def pay(place: Path, money: bool) -> str:
    return effect(place, "pay", money)


@node(writes="log", effect="irreversible")
async def tell(place: Path, press: bool) -> str:
    return effect(place, "tell", press)


@node(writes="verdict")
async def close(log: list[str], legal: bool, money: bool, press: bool) -> str:
    return f"{len(log)} {legal and money and press}"


graph = Graph(Case, name="case")
graph.start(begin)
graph.edge(begin, [ask_legal, ask_money, prepare])
graph.chain(ask_legal, sign)
graph.chain(ask_money, pay)
graph.chain(prepare, ask_press, tell)
graph.edge([sign, pay, tell], close)

ANSWERS = {"legal": True, "money": False, "press": True}
EFFECTS = {"legal": "sign", "money": "pay", "press": "tell"}


# -- what one process does ---------------------------------------------------------------------------------


async def answer(run: Run[Case], who: str) -> None:
    """Answer the question of one of them."""
    [question] = [q for q in await run.questions() if q.node == f"ask_{who}"]
    await run.answer(question.id, ANSWERS[who])


async def session(url: str, place: Path, who: str | None) -> Outcome[Case]:
    """Start the run, or go on with it; answer as one of them; drive it until it rests."""
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.start(graph, Case(place=place), key="case")
        if who is not None:
            await answer(run, who)
        return await run.wait()


def child(url: str, place: str, who: str | None) -> None:
    asyncio.run(session(url, Path(place), who))


async def in_a_process(url: str, place: Path, who: str | None) -> None:
    """The same in a process of its own."""
    process = PROCESSES.Process(target=child, args=(url, str(place), who))
    process.start()
    await asyncio.to_thread(process.join, 30)
    assert process.exitcode == 0


# -- the ways to get to the end ----------------------------------------------------------------------------


async def with_one_engine(url: str, place: Path, order: Sequence[str]) -> None:
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.start(graph, Case(place=place), key="case")
        for who in order:
            outcome = await run.wait()
            assert isinstance(outcome, Waiting)
            await answer(run, who)
        await run.wait()


async def with_an_engine_each(url: str, place: Path, order: Sequence[str]) -> None:
    for who in (None, *order):
        await session(url, place, who)


async def with_a_process_each(url: str, place: Path, order: Sequence[str]) -> None:
    for who in (None, *order):
        await in_a_process(url, place, who)


async def until_done(place: Path, what: str) -> None:
    async with asyncio.timeout(20):
        while what not in done_in(place):
            await asyncio.sleep(0.002)


async def early(url: str, place: Path, who: str) -> None:
    """Answer one, from an engine that drives nothing, and see its effect, while the press has not been asked."""
    async with Engine(url, graphs=[graph]) as engine:
        async with asyncio.timeout(20):
            while f"ask_{who}" not in [row.id for row in await engine.store.questions()]:
                await engine.store.changes(1.0)
        run = await engine.get("case", graph)
        await answer(run, who)
        await until_done(place, EFFECTS[who])
        assert {q.node for q in await run.questions()} == {"ask_legal", "ask_money"} - {f"ask_{who}"}
        (place / "late").unlink()


async def settled(url: str, place: Path) -> None:
    """The run is done, as it must be, and nothing was done twice."""
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.get("case", graph)
        outcome = await run.wait()
        assert isinstance(outcome, Done)
        log = await engine.store.log(run._row.number)
    state = outcome.state
    assert (state.legal, state.money, state.press) == (True, False, True)
    assert state.log == ["sign: True", "pay: False", "tell: True"]
    assert state.verdict == "3 False"
    assert Counter(done_in(place)) == {"sign": 1, "pay": 1, "tell": 1}
    times = Counter(row.kind for row in log)
    assert (times["QuestionAsked"], times["Answered"], times["NodeStarted"]) == (3, 3, 3)
    assert times["NodeFinished"] == len(graph.compile().nodes) - 2  # all but START and END, once each


WAYS = {"one engine": with_one_engine, "an engine each": with_an_engine_each, "a process each": with_a_process_each}


@pytest.mark.asyncio
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
@pytest.mark.parametrize("way", WAYS)
async def test_three_answers_in_any_order(tmp_path: Path, order: Sequence[str], way: str) -> None:
    await WAYS[way](database(tmp_path), tmp_path, order)
    assert done_in(tmp_path) == [EFFECTS[who] for who in order]  # nobody waited for another's answer
    await settled(database(tmp_path), tmp_path)


@pytest.mark.asyncio
@pytest.mark.parametrize("order", [order for order in ORDERS if order[0] != "press"], ids="-".join)
@pytest.mark.parametrize("way", ["an engine each", "a process each"])
async def test_an_answer_before_another_question_is_even_asked(tmp_path: Path, order: Sequence[str], way: str) -> None:
    url, (first, *others) = database(tmp_path), order
    (tmp_path / "late").touch()
    drives = session if way == "an engine each" else in_a_process
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(drives(url, tmp_path, None))
        tasks.create_task(early(url, tmp_path, first))
    for who in others:
        await drives(url, tmp_path, who)
    assert done_in(tmp_path) == [EFFECTS[who] for who in order]
    await settled(url, tmp_path)


@pytest.mark.asyncio
async def test_all_answers_while_nobody_drives(tmp_path: Path) -> None:
    """The process is gone, people answer all the same, and the next process finds all three."""
    url = database(tmp_path)
    await session(url, tmp_path, None)
    async with Engine(url) as engine:
        run: Run[State] = await engine.get("case")
        for question in reversed(await run.questions()):
            await run.answer_json(question.id, ANSWERS[question.node.removeprefix("ask_")])
    assert done_in(tmp_path) == []
    await in_a_process(url, tmp_path, None)
    await settled(url, tmp_path)
