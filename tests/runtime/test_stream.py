"""`Run.events`: live and replayed, the same for every reader, from any place on."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Any, get_args

import pytest

from orchestra_graph import Context, Engine, Graph, Item, Question, Run, ask, events, node
from orchestra_graph.core import events as ev
from orchestra_graph.errors import StoreClosed, WrongCursor
from orchestra_graph.runtime.telling import _TOLD, Cursor

from .common import Sheet, asked, both_stores, chain, database, done, url_of, virtual
from .virtual import in_virtual_time


@node(writes="items")
async def plan() -> list[int]:
    return list(range(6))


@node(writes="notes")
async def work(item: Item[int]) -> list[str]:
    await asyncio.sleep(0.003 * (item % 3))
    return [str(item)]


@ask(writes="ok")
async def confirm(notes: list[str]) -> Question[bool]:
    return Question("Well?", to="ana")


@node(writes="count")
async def turn(count: int) -> int:
    await asyncio.sleep(0.001)
    return count + 1


def wide(turns: int = 30) -> Graph[Sheet]:
    graph = Graph(Sheet, name="wide")
    graph.start(plan)
    graph.each(plan, "items", work, collect=confirm, limit=2)
    graph.edge(confirm, turn)
    graph.edge(turn, turn, when=lambda count: count < turns)
    return graph


async def all_of(run: Run[Any], after: str | None = None) -> list[events.RunEvent]:
    return [event async for event in run.events(after)]


async def in_pieces(run: Run[Any], chance: random.Random, cuts: int) -> list[events.RunEvent]:
    """What a reader has that goes away in the middle *cuts* times, and comes back."""
    found: list[events.RunEvent] = []
    for left in range(cuts, -1, -1):
        most = chance.randint(0, 3)
        async with aclosing(run.events(found[-1].cursor if found else None)) as stream:
            async for event in stream:
                found.append(event)
                most -= 1
                if left and most < 0:
                    break
            else:
                return found
    return found


@both_stores
@pytest.mark.asyncio
async def test_a_reader_that_goes_away_a_hundred_times_has_what_one_has_that_never_did(
    place: str, tmp_path: Path
) -> None:
    graph = wide()
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine, asyncio.timeout(60):
        run = await engine.start(graph, Sheet(), key="k")
        steady = asyncio.create_task(all_of(run))
        broken = [asyncio.create_task(in_pieces(run, random.Random(seed), 100)) for seed in range(4)]
        asked(await run.wait())
        await run.answer("confirm", True)
        done(await run.wait())
        whole = await steady
        assert [await b for b in broken] == [whole] * 4
        assert await all_of(run) == whole
        assert len({event.cursor for event in whole}) == len(whole) > 80
        assert isinstance(whole[0], events.RunStarted)
        assert isinstance(whole[-1], events.RunEnded)
        for index in range(0, len(whole), 7):
            assert await all_of(run, whole[index].cursor) == whole[index + 1 :]


READER = """
import asyncio, json, random, sys
from contextlib import aclosing
from orchestra_graph import Engine, events

async def main(url, seed):
    chance, found = random.Random(seed), []
    async with Engine(url) as engine:
        run = await engine.get("k")
        print("ready", flush=True)
        while True:
            most = chance.randint(0, 4)
            async with aclosing(run.events(found[-1]["cursor"] if found else None)) as stream:
                async for event in stream:
                    found.append(events.as_data(event))
                    most -= 1
                    if most < 0:
                        break
                else:
                    break
    print(json.dumps(found))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.asyncio
async def test_another_process_without_the_code_reads_the_same_while_the_run_goes_on(tmp_path: Path) -> None:
    graph = wide(turns=60)
    async with Engine(database(tmp_path), graphs=[graph]) as engine, asyncio.timeout(60):
        run = await engine.start(graph, Sheet(), key="k")
        asked(await run.wait())
        reader = await asyncio.create_subprocess_exec(
            sys.executable, "-c", READER, database(tmp_path), "7", stdout=asyncio.subprocess.PIPE
        )
        assert reader.stdout is not None
        assert await reader.stdout.readline() == b"ready\n"
        await run.answer("confirm", True)
        done(await run.wait())
        said = await reader.stdout.read()
        assert await reader.wait() == 0
        here = [events.as_data(event) for event in await all_of(run)]
        assert len(here) > 130
        assert json.loads(said) == json.loads(json.dumps(here))


@pytest.mark.asyncio
async def test_a_run_that_was_let_go_in_the_middle_and_resumed_is_one_list(tmp_path: Path) -> None:
    stuck = asyncio.Event()

    @node(writes="text")
    async def slow(text: str, ctx: Context) -> str:
        stuck.set()
        await asyncio.sleep(0 if again else 3600)
        return "done"

    again: list[bool] = []
    graph = chain(plan, slow)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        await stuck.wait()
        before = [event async for event in run.events(follow=False)]
        assert [type(e).__name__ for e in before] == ["RunStarted", "NodeStarted", "NodeFinished", "NodeStarted"]
    again.append(True)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        assert [event async for event in run.events(follow=False)] == before
        reader = asyncio.create_task(all_of(run, before[-1].cursor))
        done(await run.wait())
        after = await reader
        assert [type(e).__name__ for e in after] == ["RunResumed", "NodeStarted", "NodeFinished", "RunEnded"]
        assert "process" in next(e.engine for e in after if isinstance(e, events.RunResumed))
        assert await all_of(run) == before + after


@pytest.mark.parametrize(
    "after", ["", "x", "1.2", "1.2.3.4", "1.-2.3", "1.2.3 ", "٣.0.0", "1" * 5000 + ".0.0", "2.0.0"]
)
@pytest.mark.asyncio
async def test_what_is_no_cursor_of_the_run_is_refused(after: str) -> None:
    graph = chain(turn)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        with pytest.raises(WrongCursor, match="is no place in the events of run 'k'"):
            run.events(after)


@pytest.mark.parametrize("after", ["1.0.9", "1.99.0"])
@pytest.mark.asyncio
async def test_a_cursor_behind_the_end_is_refused(after: str) -> None:
    graph = chain(turn)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet(), key="k")
        done(await run.wait())
        assert Cursor.of(after, run._row).run == 1
        with pytest.raises(WrongCursor):
            await all_of(run, after)


@pytest.mark.asyncio
async def test_events_stay_open_while_a_run_waits_and_go_on_with_a_retry() -> None:
    broken = [True]

    @node
    async def risky() -> None:
        if broken:
            broken.clear()
            raise ValueError("no")

    graph = chain(risky)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        first = await all_of(run)  # ends with the failure
        assert isinstance(first[-1], events.RunEnded)
        assert (first[-1].status, first[-1].reason) == ("failed", "risky: ValueError: no")
        await run.retry()
        done(await run.wait())
        rest = await all_of(run, first[-1].cursor)
        assert [type(e).__name__ for e in rest] == ["RunRetried", "NodeStarted", "NodeFinished", "RunEnded"]
        assert await all_of(run) == first + rest


@in_virtual_time
async def test_what_a_node_says_comes_between_its_start_and_its_end() -> None:
    @node(writes="text")
    async def talks(text: str, ctx: Context) -> str:
        await asyncio.sleep(1)  # whoever listens does so now
        ctx.progress(0.5, "half")
        await asyncio.sleep(5)
        ctx.emit({"token": "a"})
        ctx.progress(7)
        return "x"

    graph = chain(talks, turn)
    async with virtual(graph) as engine:
        run = await engine.start(graph, Sheet())
        found = await all_of(run)
        kinds = [type(e).__name__ for e in found]
        assert kinds == [
            "RunStarted",
            "NodeStarted",
            "Progress",
            "Emitted",
            "Progress",
            "NodeFinished",
            "NodeStarted",
            "NodeFinished",
            "RunEnded",
        ]
        half, said, whole = (e for e in found if isinstance(e, events.Progress | events.Emitted))
        assert isinstance(half, events.Progress)
        assert (half.fraction, half.text, half.id, half.node) == (0.5, "half", "talks", "talks")
        assert isinstance(said, events.Emitted)
        assert said.value == {"token": "a"}
        assert said.at == half.at + 5
        assert isinstance(whole, events.Progress)
        assert whole.fraction == 1.0
        # They are not stored, and their cursor is the one before: whoever comes back misses nothing that is.
        durable = [e for e in found if not isinstance(e, events.Progress | events.Emitted)]
        assert await all_of(run) == durable
        assert half.cursor == durable[1].cursor
        assert await all_of(run, said.cursor) == durable[2:]


@pytest.mark.asyncio
async def test_what_a_function_in_a_thread_says_is_heard() -> None:
    @node(writes="text")
    def talks(text: str, ctx: Context) -> str:
        assert listening.wait(20)
        for number in range(50):
            ctx.emit(number)
        return "x"

    listening = threading.Event()
    graph = chain(talks)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        said = []
        async for event in run.events():
            listening.set()
            if isinstance(event, events.Emitted):
                said.append(event.value)
        assert said == list(range(50))


@pytest.mark.asyncio
async def test_a_context_made_by_hand_speaks_to_nobody() -> None:
    ctx = Context(run="k", graph="g", node="n", id="n")
    ctx.emit(1)
    ctx.progress(None, "somewhere")


@both_stores
@pytest.mark.asyncio
async def test_a_reader_ends_with_an_error_when_the_engine_is_left(place: str, tmp_path: Path) -> None:
    waits = asyncio.Event()

    async def read() -> None:
        async for event in run.events():
            if isinstance(event, events.Waiting):
                waits.set()

    graph = wide()
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine, asyncio.timeout(20):
        run = await engine.start(graph, Sheet())
        asked(await run.wait())
        reader = asyncio.create_task(read())
        await waits.wait()
    with pytest.raises(StoreClosed):
        await asyncio.wait_for(reader, 20)


def test_every_event_of_the_log_is_told() -> None:
    assert set(_TOLD) == set(get_args(ev.Event))


KILLED = """
import asyncio, os, sys
from orchestra_graph import Engine, Graph, Item, State, node
from typing import Annotated
from orchestra_graph import extend

class S(State):
    items: list[int] = []
    notes: Annotated[list[str], extend] = []

@node(writes="items")
async def plan() -> list[int]:
    return list(range(8))

@node(writes="notes")
async def work(item: Item[int]) -> list[str]:
    if item == 5 and len(sys.argv) > 2:
        await asyncio.sleep(0.05)  # the others are stored by then, or not: both is well
        os._exit(9)
    return [str(item)]

@node
async def after() -> None: ...

graph = Graph(S, name="g")
graph.start(plan)
graph.each(plan, "items", work, collect=after, limit=3)

async def main():
    async with Engine(sys.argv[1], graphs=[graph]) as engine:
        run = await engine.start(graph, S(), key="k")
        print((await run.result()).notes)

asyncio.run(main())
"""


@pytest.mark.kill
@pytest.mark.asyncio
async def test_a_run_whose_process_was_killed_goes_on_as_one_list(tmp_path: Path) -> None:
    async def process(*more: str) -> int:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, database(tmp_path), *more, stdout=asyncio.subprocess.DEVNULL
        )
        return await child.wait()

    async with Engine(database(tmp_path)) as engine, asyncio.timeout(60):
        assert await process("kill") == 9
        run = await engine.get("k")
        reader = asyncio.create_task(all_of(run))
        before = [event async for event in run.events(follow=False)]
        assert await process() == 0
        whole = await reader
        assert whole[: len(before)] == before
        assert whole == await all_of(run)
        assert whole[len(before) :] == await all_of(run, before[-1].cursor)
        assert isinstance(whole[len(before)], events.RunResumed)
        finished = [e.id for e in whole if isinstance(e, events.NodeFinished)]
        assert len(finished) == len(set(finished)) == 10
        started = {e.id for e in whole if isinstance(e, events.NodeStarted)}
        assert started == set(finished)
