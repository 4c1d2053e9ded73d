"""Messages to a run: taken once, in order, and never lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from orchestra_graph import (
    END,
    BadInput,
    Done,
    Engine,
    Graph,
    Keys,
    Patch,
    Run,
    RunBusy,
    RunEnded,
    State,
    Stopped,
    StoreError,
    Waiting,
    append,
    events,
    last,
    node,
    receive,
)
from orchestra_graph.core.events import MessageRefused
from orchestra_graph.store.base import MessageRow

from .common import database, until


class Chat(State):
    said: Annotated[list[str], append] = []
    replies: Annotated[list[str], append] = []
    done: bool = False


class Desk:
    """Where replies are made: each waits until the test lets it go, where the test wants that."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.began: list[str] = []
        self.gate = asyncio.Event()


def chat(desk: Desk, *, interrupts: bool = False) -> Graph[Chat]:
    hear = receive("user", str, writes="said", interrupts=interrupts)

    @node(writes="replies")
    async def reply(said: list[str]) -> str:
        desk.began.append(said[-1])
        if said[-1] in desk.held:
            await desk.gate.wait()
        return f"re {said[-1]}"

    graph = Graph(Chat, name="chat")
    graph.start(hear)
    graph.edge(hear, reply)
    graph.edge(reply, END, when=lambda said: said[-1] == "bye")
    graph.edge(reply, hear, otherwise=True)
    return graph


async def rests(run: Run[Chat]) -> Chat:
    outcome = await run.wait(timeout=20)
    assert isinstance(outcome, Waiting), outcome
    assert outcome.channels == ("user",)
    return outcome.state


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return None if request.param == "memory" else database(tmp_path)


@pytest.mark.asyncio
async def test_a_run_rests_until_a_message_comes(url: str | None) -> None:
    async with Engine(url, graphs=[chat(Desk())]) as engine:
        run = await engine.start(chat(Desk()), Chat(), key="c")
        assert (await rests(run)).said == []
        assert await run.status() == "waiting"
        await run.send("user", "hello")
        assert (await rests(run)).replies == ["re hello"]
        await run.send("user", "bye")
        outcome = await run.wait()
        assert isinstance(outcome, Done)
        assert outcome.state.replies == ["re hello", "re bye"]
        with pytest.raises(RunEnded):
            await run.send("user", "late")


@pytest.mark.asyncio
async def test_messages_to_a_run_at_work_wait_in_order(url: str | None) -> None:
    desk = Desk()
    desk.held = {"slow"}
    async with Engine(url, graphs=[chat(desk)]) as engine:
        run = await engine.start(chat(desk), Chat(), key="c")
        await rests(run)
        await run.send("user", "slow")
        await until(lambda: desk.began == ["slow"])
        for number in range(5):
            await run.send("user", f"m{number}")
        assert [message.payload for message in await run.unread()] == [f"m{number}" for number in range(5)]
        desk.gate.set()
        state = await rests(run)
        assert state.said == ["slow", *(f"m{number}" for number in range(5))]
        assert await run.unread() == []


@pytest.mark.asyncio
async def test_what_was_sent_while_nobody_drove_is_taken_by_whoever_does(tmp_path: Path) -> None:
    url = database(tmp_path)
    async with Engine(url, graphs=[chat(Desk())]) as engine:
        await rests(await engine.start(chat(Desk()), Chat(), key="c"))
    async with Engine(url) as other:  # without the code
        run: Run[Any] = await other.get("c")
        await run.send("user", "one")
        await run.send("user", "two")
        assert await run.status() == "waiting"
        with pytest.raises(BadInput, match="this is no message for 'user': 3 is not of type 'string'"):
            await run.send("user", 3)
    async with Engine(url, graphs=[chat(Desk())]) as third:
        assert (await rests(await third.get("c", chat(Desk())))).replies == ["re one", "re two"]


@pytest.mark.asyncio
async def test_another_engine_wakes_the_one_that_drives(tmp_path: Path) -> None:
    url, desk = database(tmp_path), Desk()
    desk.held = {"slow"}
    async with Engine(url, graphs=[chat(desk)]) as engine, Engine(url) as other:
        run = await engine.start(chat(desk), Chat(), key="c")
        await rests(run)
        await run.send("user", "slow")
        await until(lambda: desk.began == ["slow"])
        await (await other.get("c")).send("user", "bye")
        desk.gate.set()
        outcome = await run.wait(timeout=20)
        assert isinstance(outcome, Done)
        assert outcome.state.said == ["slow", "bye"]


@pytest.mark.asyncio
async def test_sent_twice_with_one_id_it_is_one_message(url: str | None) -> None:
    async with Engine(url, graphs=[chat(Desk())]) as engine:
        run = await engine.start(chat(Desk()), Chat(), key="c")
        await rests(run)
        assert await run.send("user", "hello", id="m1") == "m1"
        await rests(run)
        assert await run.send("user", "hello", id="m1") == "m1"
        with pytest.raises(BadInput, match="another message was sent to run 'c' with the id 'm1'"):
            await run.send("user", "other", id="m1")
        with pytest.raises(BadInput, match="another message"):
            await run.send("user", "other", id="m1", busy="reject")
        assert (await rests(run)).said == ["hello"]


@pytest.mark.asyncio
async def test_a_busy_run_rejects_what_is_not_to_wait(url: str | None) -> None:
    desk = Desk()
    desk.held = {"slow"}
    async with Engine(url, graphs=[chat(desk)]) as engine:
        run = await engine.start(chat(desk), Chat(), key="c")
        await rests(run)
        await run.send("user", "slow", busy="reject", id="1")
        await until(lambda: desk.began == ["slow"])
        with pytest.raises(RunBusy, match="run 'c' is at work"):
            await run.send("user", "no", busy="reject")
        assert await run.send("user", "slow", busy="reject", id="1") == "1"  # the same one again is no other
        desk.gate.set()
        assert (await rests(run)).said == ["slow"]


@pytest.mark.asyncio
async def test_of_many_that_send_at_once_and_will_not_wait_one_gets_through(tmp_path: Path) -> None:
    url, desk = database(tmp_path), Desk()
    desk.held = {str(number) for number in range(20)}
    async with Engine(url, graphs=[chat(desk)]) as engine, Engine(url, graphs=[chat(desk)]) as other:
        run = await engine.start(chat(desk), Chat(), key="c")
        await rests(run)
        handles = [run, await other.get("c", chat(desk))]
        found = await asyncio.gather(
            *(handles[n % 2].send("user", str(n), busy="reject") for n in range(20)), return_exceptions=True
        )
        assert sum(isinstance(one, str) for one in found) == 1
        assert sum(isinstance(one, RunBusy) for one in found) == 19
        desk.gate.set()
        assert len((await rests(run)).said) == 1


@pytest.mark.asyncio
async def test_an_interrupt_withdraws_the_turn_and_goes_first(url: str | None) -> None:
    desk = Desk()
    desk.held = {"slow"}
    async with Engine(url, graphs=[chat(desk, interrupts=True)]) as engine:
        run = await engine.start(chat(desk, interrupts=True), Chat(), key="c")
        await rests(run)
        await run.send("user", "slow")
        await until(lambda: desk.began == ["slow"])
        await run.send("user", "queued")
        await run.send("user", "urgent", busy="interrupt", id="u")
        state = await rests(run)
        assert state.said == ["slow", "urgent", "queued"]  # what was said is kept, the reply to it is not
        assert state.replies == ["re urgent", "re queued"]
        told = [event async for event in run.events(follow=False)]
        (interrupted,) = [event for event in told if isinstance(event, events.Interrupted)]
        assert (interrupted.channel, interrupted.message) == ("user", "u")
        assert [event.id for event in told if isinstance(event, events.NodeWithdrawn)] == ["reply@0"]


@pytest.mark.asyncio
async def test_an_interrupt_of_a_run_that_waits_is_a_message_like_others(url: str | None) -> None:
    async with Engine(url, graphs=[chat(Desk(), interrupts=True)]) as engine:
        run = await engine.start(chat(Desk(), interrupts=True), Chat(), key="c")
        await rests(run)
        await run.send("user", "now", busy="interrupt")
        assert (await rests(run)).said == ["now"]
        assert not [event async for event in run.events(follow=False) if isinstance(event, events.Interrupted)]


@pytest.mark.asyncio
async def test_an_interrupt_found_by_another_engine_acts_there(tmp_path: Path) -> None:
    url, desk = database(tmp_path), Desk()
    desk.held = {"slow"}
    async with Engine(url, graphs=[chat(desk, interrupts=True)]) as engine:
        run = await engine.start(chat(desk, interrupts=True), Chat(), key="c")
        await rests(run)
        await run.send("user", "slow")
        await until(lambda: desk.began == ["slow"])
    async with Engine(url) as other:
        await (await other.get("c")).send("user", "stop that", busy="interrupt")
    async with Engine(url, graphs=[chat(Desk(), interrupts=True)]) as third:
        state = await rests(await third.get("c", chat(Desk(), interrupts=True)))
        assert state.said == ["slow", "stop that"]
        assert state.replies == ["re stop that"]


@pytest.mark.asyncio
async def test_only_a_channel_that_says_so_is_interrupted() -> None:
    async with Engine(graphs=[chat(Desk())]) as engine:
        run = await engine.start(chat(Desk()), Chat())
        with pytest.raises(BadInput, match="a message on 'user' cannot interrupt"):
            await run.send("user", "x", busy="interrupt")
        with pytest.raises(BadInput, match=r"takes no messages on 'usr' .its channels: 'user'.. Did you mean 'user'"):
            await run.send("usr", "x")
        with pytest.raises(BadInput, match="this is no message for 'user'"):
            await run.send("user", 7)


class Order(BaseModel):
    sku: str
    count: int


class Shop(State):
    sku: str = ""
    count: Annotated[int, last] = 0
    log: Annotated[list[str], append] = []


class Asked(Patch[Shop]):
    sku: str
    count: int


@pytest.mark.asyncio
async def test_the_payload_may_be_a_patch_or_be_written_nowhere() -> None:
    order = receive("orders", Asked, name="take_order")
    go = receive("go", type(None), name="wait_for_go")
    graph = Graph(Shop, name="shop")
    graph.start(order)
    graph.chain(order, go)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Shop())
        await run.wait()
        await run.send("orders", Asked(sku="a", count=2))
        outcome = await run.wait()
        assert isinstance(outcome, Waiting)
        assert outcome.channels == ("go",)
        await run.send("go", None)
        assert (await run.result()).count == 2


@pytest.mark.asyncio
async def test_of_several_that_wait_the_first_takes_the_oldest() -> None:
    one = receive("in", str, writes="log", name="one")
    two = receive("in", str, writes="log", name="two")
    graph = Graph(Shop, name="shop")
    graph.start([one, two])
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Shop())
        await run.wait()
        await run.send("in", "a")
        await run.wait()
        await run.send("in", "b")
        await run.wait()
        done = [event async for event in run.events(follow=False) if isinstance(event, events.NodeFinished)]
        assert [(event.id, event.writes["log"]) for event in done] == [("one", ["a"]), ("two", ["b"])]


@pytest.mark.asyncio
async def test_a_wait_that_is_withdrawn_takes_nothing() -> None:
    hear, other = receive("user", str, writes="log"), receive("stop", str, writes="log")
    after = receive("user", str, writes="log", name="after")
    graph = Graph(Shop, name="shop")
    graph.start([hear, other])
    graph.race(hear, other)
    graph.edge(other, after)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Shop())
        await run.wait()
        await run.send("stop", "s")
        await run.wait()
        await run.send("user", "u")
        assert (await run.result()).log == ["s", "u"]


@pytest.mark.asyncio
async def test_a_message_that_is_none_is_refused_and_holds_nothing_up(tmp_path: Path) -> None:
    desk = Desk()
    async with Engine(database(tmp_path), graphs=[chat(desk)]) as engine:
        run = await engine.start(chat(desk), Chat(), key="c")
        await rests(run)
        row = await engine.store.find("c")
        assert row is not None
        for number, body in enumerate(('{"payload": 3}', "[]", "{", '{"busy": "interrupt"}', '"interrupt"')):
            await engine.store.send(
                MessageRow(run=row.number, id=f"bad{number}", channel="user", body=body, sent_at=1.0)
            )
        await run.send("user", "good")
        assert (await rests(run)).said == ["good"]
        assert await run.unread() == []
        kinds = [logged.kind for logged in await engine.store.log(row.number)]
        assert kinds.count(MessageRefused.__name__) == 5


@pytest.mark.asyncio
async def test_a_message_that_led_nowhere_is_not_taken(tmp_path: Path) -> None:
    """The condition behind it raises: the run fails, and a retry takes the message again."""
    broken = [True]

    def way(log: list[str]) -> bool:
        if broken[0]:
            raise ValueError("no way")
        return True

    hear = receive("user", str, writes="log")

    @node
    async def finish() -> None: ...

    graph = Graph(Shop, name="shop")
    graph.start(hear)
    graph.edge(hear, finish, when=way)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Shop())
        await run.wait()
        await run.send("user", "m")
        assert (await run.wait()).__class__.__name__ == "Failed"
        assert [message.payload for message in await run.unread()] == ["m"]
        broken[0] = False
        await run.retry()
        assert (await run.result()).log == ["m"]


@pytest.mark.asyncio
async def test_messages_count_as_turns_of_their_loop() -> None:
    desk = Desk()
    graph = chat(desk)
    graph.limit("user", turns=3)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Chat())
        for number in range(3):
            await run.send("user", str(number))
        outcome = await run.wait()
        assert isinstance(outcome, Stopped)
        assert outcome.state.said == ["0", "1", "2"]


@pytest.mark.asyncio
async def test_a_wait_is_explained_and_recorded(tmp_path: Path) -> None:
    async with Engine(database(tmp_path), graphs=[chat(Desk())]) as engine:
        run = await engine.start(chat(Desk()), Chat(), key="c")
        outcome = await run.wait()
        assert "c is waiting for a message on 'user'" in str(outcome)
        explained = str(await run.explain())
        assert "user@0 waits for a message on 'user'" in explained
        assert "orchestra send c user" in explained
        (activation,) = (await run.record()).activations
        assert (activation.status, activation.waiting_for) == ("waiting", "a message on 'user'")


@pytest.mark.asyncio
async def test_a_node_that_receives_cannot_be_called() -> None:
    hear = receive("user", str, writes="said")
    with pytest.raises(TypeError, match="the node 'user' waits for a message"):
        hear()


@pytest.mark.asyncio
async def test_who_cannot_read_an_encrypted_run_sends_nothing(tmp_path: Path) -> None:
    url, key, other = database(tmp_path), b"k" * 32, b"o" * 32
    async with Engine(url, graphs=[chat(Desk())], keys=Keys({"a": key}, use="a")) as engine:
        await rests(await engine.start(chat(Desk()), Chat(), key="c"))
    for keys in (None, Keys({"a": other}, use="a"), Keys({"b": other}, use="b")):
        async with Engine(url, keys=keys) as stranger:
            run: Run[Any] = await stranger.get("c")
            with pytest.raises(StoreError):
                await run.send("user", "in the clear")
    async with Engine(url, graphs=[chat(Desk())], keys=Keys({"a": key}, use="a")) as engine:
        run = await engine.get("c", chat(Desk()))
        assert await run.unread() == []
        await run.send("user", "hello")
        assert (await rests(run)).replies == ["re hello"]
