"""One watcher for all runs of an engine: what it asks the store, whom it tells, and what wakes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from orchestra_graph import Engine, Graph, Question, ask, node
from orchestra_graph.errors import StoreBusy
from orchestra_graph.runtime.watching import Watcher
from orchestra_graph.store.base import Append, MessageRow, NewRun, QuestionRow
from orchestra_graph.store.memory import MemoryStore

from .common import Sheet, both_stores, database, done, until, until_asked, url_of


class Store(MemoryStore):
    """Counts what is asked of it, and breaks when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[dict[int, list[str]]] = []
        self.inboxes = 0
        self.broken = False

    async def inbox(self, run: int | None = None, *, taken: bool = False) -> list[MessageRow]:
        self.inboxes += run is None
        if self.broken:
            raise StoreBusy(self.url, "too busy")
        return await super().inbox(run, taken=taken)

    async def say(self, run: int, name: str) -> None:
        """Send a message."""
        await self.send(MessageRow(run=run, id=name, channel="c", body="{}", sent_at=2.0))

    async def news(self, asked: Mapping[int, Collection[str]], *, now: float | None = None) -> list[QuestionRow]:
        self.looks.append({run: sorted(names) for run, names in asked.items()})
        if self.broken:
            raise StoreBusy(self.url, "too busy")
        return await super().news(asked, now=now)

    async def ask(self, key: str, *names: str) -> int:
        """A new run with open questions; its number."""
        row, _ = await self.create(
            NewRun(key=key, graph="g", version="1", fingerprint="f", shape="{}", body="{}", at=1.0)
        )
        asked = [
            QuestionRow(
                run=row.number,
                key=key,
                id=name,
                prompt="?",
                to=None,
                details="{}",
                schema="{}",
                status="open",
                asked_at=1.0,
                expires_at=None,
            )
            for name in names
        ]
        await self.append(Append(run=row.number, epoch=row.epoch, asked=asked))
        return row.number


class Ear:
    """A run that listens."""

    def __init__(self, *waiting: str):
        self.waiting = list(waiting)
        self.heard: list[str] = []
        self.lost: list[Exception] = []
        self.sent: list[list[str]] = []

    def hear(self, news: Iterable[QuestionRow]) -> None:
        for row in news:
            self.waiting.remove(row.id)
            self.heard.append(f"{row.key}/{row.id}={row.answer}")

    def hear_messages(self, messages: Sequence[MessageRow]) -> None:
        self.sent.append([message.id for message in messages])

    def lose(self, error: Exception) -> None:
        self.lost.append(error)


@pytest_asyncio.fixture
async def store() -> AsyncIterator[Store]:
    store = Store()
    async with store:
        yield store


@pytest_asyncio.fixture
async def watcher(store: Store) -> AsyncIterator[Watcher]:
    watcher = Watcher(store)
    yield watcher
    await watcher.close()


@pytest.mark.asyncio
async def test_each_run_hears_its_own_answers_found_by_one_look_for_all(store: Store, watcher: Watcher) -> None:
    ears = {await store.ask("a", "x", "y"): Ear("x", "y"), await store.ask("b", "x"): Ear("x")}
    for run, ear in ears.items():
        watcher.listen(run, ear)
    for run in ears:
        await store.answer(run, "x", str(run), 2.0)
    await until(lambda: all(ear.heard for ear in ears.values()))
    assert [ear.heard for ear in ears.values()] == [["a/x=1"], ["b/x=2"]]
    assert store.looks == [{1: ["x", "y"], 2: ["x"]}]
    await store.answer(1, "y", "3", 2.0)
    await until(lambda: len(ears[1].heard) == 2)
    assert store.looks[1:] == [{1: ["y"]}]  # who waits for nothing is not looked for


@pytest.mark.asyncio
async def test_what_else_is_written_is_no_reason_to_look(store: Store, watcher: Watcher) -> None:
    run, ear = await store.ask("a", "x"), Ear("x")
    watcher.listen(run, ear)
    for _ in range(5):
        await store.append(Append(run=run, epoch=1))
        await asyncio.sleep(0)
    assert store.looks == []
    await store.answer(run, "x", "1", 2.0)
    await until(lambda: ear.heard)
    assert len(store.looks) == 1


@pytest.mark.asyncio
async def test_who_has_left_hears_nothing_and_who_comes_back_hears_what_came_meanwhile(
    store: Store, watcher: Watcher
) -> None:
    run, ear, other = await store.ask("a", "x", "y"), Ear("x", "y"), Ear("z")
    watcher.listen(run, ear)
    watcher.listen(await store.ask("b", "z"), other)
    watcher.leave(run)
    await store.answer(run, "x", "1", 2.0)
    await store.answer(2, "z", "2", 2.0)
    await until(lambda: other.heard)
    watcher.leave(2)
    assert ear.heard == []
    await store.answer(run, "y", "3", 2.0)
    watcher.listen(run, ear)
    await until(lambda: len(ear.heard) == 2)
    assert ear.heard == ["a/x=1", "a/y=3"]


@pytest.mark.asyncio
async def test_a_store_that_fails_is_told_to_all_and_who_listens_later_is_looked_for_again(
    store: Store, watcher: Watcher
) -> None:
    ears = [Ear("x"), Ear("x")]
    for name, ear in zip("ab", ears, strict=True):
        watcher.listen(await store.ask(name, "x"), ear)
    store.broken = True
    await store.answer(1, "x", "1", 2.0)
    await until(lambda: all(ear.lost for ear in ears))
    assert [[str(error) for error in ear.lost] for ear in ears] == [[str(StoreBusy(store.url, "too busy"))]] * 2
    store.broken = False
    watcher.listen(2, ears[1])
    await store.answer(2, "x", "2", 2.0)
    await until(lambda: ears[1].heard)
    assert ears[0].heard == []


@pytest.mark.asyncio
async def test_messages_of_all_runs_are_found_by_one_look_and_nothing_is_looked_for_while_nobody_listens(
    store: Store, watcher: Watcher
) -> None:
    ears = {await store.ask(name): Ear() for name in "abc"}
    await store.say(1, "early")
    assert store.inboxes == 0
    for run, ear in ears.items():
        watcher.listen(run, ear)
    for run in ears:
        await store.say(run, "m")
    await until(lambda: all(ear.sent for ear in ears.values()))
    assert [ear.sent for ear in ears.values()] == [[["early", "m"]], [["m"]], [["m"]]]
    assert (store.inboxes, store.looks) == (1, [])  # nobody waits for an answer


@pytest.mark.asyncio
async def test_a_message_that_is_found_before_its_run_listens_is_kept_for_it(store: Store, watcher: Watcher) -> None:
    one, other = Ear(), Ear()
    watcher.listen(await store.ask("a"), one)
    late = await store.ask("b")
    await store.say(late, "m")
    await store.say(1, "m")
    await until(lambda: one.sent)
    watcher.listen(late, other)
    assert other.sent == [["m"]]


@pytest.mark.asyncio
async def test_who_waits_for_no_answer_goes_on_when_looking_fails_and_hears_of_it_later(
    store: Store, watcher: Watcher
) -> None:
    asks, hears = Ear("x"), Ear()
    watcher.listen(await store.ask("a", "x"), asks)
    watcher.listen(await store.ask("b"), hears)
    store.broken = True
    await store.say(2, "m")
    await until(lambda: asks.lost)
    assert (hears.lost, hears.sent) == ([], [])
    store.broken = False
    await until(lambda: hears.sent)
    assert hears.sent == [["m"]]


@ask(writes="ok")
def confirm() -> Question[bool]:
    return Question("Well?")


def beside(steps: int) -> tuple[Graph[Sheet], asyncio.Event, asyncio.Event]:
    """A question, and beside it a chain of steps; its first one waits for the event, and the last tells."""
    go, over = asyncio.Event(), asyncio.Event()

    @node
    async def first() -> None:
        await go.wait()

    def step(number: int) -> Any:
        @node(name=f"step_{number}")
        async def work() -> None: ...

        return work

    @node
    async def last() -> None:
        over.set()
        await asyncio.Event().wait()

    graph = Graph(Sheet, name="g")
    graph.start([confirm, first])
    graph.chain(first, *(step(number) for number in range(steps)), last)
    return graph, go, over


def counting(engine: Engine) -> list[object]:
    """From now on: each time that somebody looks for answers."""
    looks: list[object] = []
    store, news = engine.store, engine.store.news

    async def counted(asked: Any, **more: Any) -> Any:
        looks.append(asked)
        return await news(asked, **more)

    store.news = counted  # type: ignore[method-assign]
    return looks


@both_stores
@pytest.mark.asyncio
async def test_while_a_question_is_open_the_steps_beside_it_read_no_questions(place: str, tmp_path: Path) -> None:
    graph, go, over = beside(20)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        await until_asked(run)
        looks = counting(engine)
        go.set()
        await asyncio.wait_for(over.wait(), 20)
        assert looks == []


@pytest.mark.asyncio
async def test_answers_of_another_process_to_many_runs_are_found_by_few_looks(tmp_path: Path) -> None:
    graph, go, _ = beside(0)
    url, number = database(tmp_path), 30
    async with Engine(url, graphs=[graph]) as engine:
        runs = [await engine.start(graph, Sheet(), key=f"k{n}") for n in range(number)]
        for run in runs:
            await until_asked(run)
        looks = counting(engine)
        async with Engine(url) as person:
            for run in runs:
                await (await person.get(run.key)).answer("confirm", True)
        states = [await run.state() for run in runs]
        async with asyncio.timeout(20):
            while not all(hasattr(state, "ok") for state in states):
                await engine.store.changes(20)
                states = [await run.state() for run in runs]
        assert all(state.ok for state in states)
        assert len(looks) < number
        go.set()


@both_stores
@pytest.mark.asyncio
async def test_an_answer_whose_giver_was_cancelled_moves_the_run(place: str, tmp_path: Path) -> None:
    let = asyncio.Event()

    @node
    async def wait() -> None:
        await let.wait()

    graph = Graph(Sheet, name="g")
    graph.start([confirm, wait])
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        await until_asked(run)
        answer, stored = engine.store.answer, asyncio.Event()

        async def slow(*args: Any) -> Any:
            await answer(*args)
            stored.set()
            await asyncio.Event().wait()

        engine.store.answer = slow  # type: ignore
        answering = asyncio.create_task(run.answer("confirm", True))
        await stored.wait()
        answering.cancel()
        async with asyncio.timeout(20):
            while not hasattr(await run.state(), "ok"):
                await engine.store.changes(20)
        let.set()
        assert done(await run.wait(timeout=20)).ok is True
