"""A store that fails by chance that can be repeated, or by a script; what runs do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestra_graph import Done, Engine, Graph, State, node
from orchestra_graph.errors import StoreBusy, StoreError, StoreFull
from orchestra_graph.store import open_store
from orchestra_graph.store.base import Append, LogRow, NewRun, Store
from orchestra_graph.store.memory import MemoryStore
from orchestra_graph.testing.clock import VirtualClock, run_virtually
from orchestra_graph.testing.faults import FAULT_KINDS, Fault, FaultKind, FaultyStore

NEW = NewRun(key="k", graph="g", version="1", fingerprint="f", shape="{}", body="{}", at=1.0)
ERRORS: dict[FaultKind, type[StoreError]] = {"locked": StoreBusy, "full": StoreFull}


def change(epoch: int, seq: int) -> Append:
    return Append(run=1, epoch=epoch, rows=[LogRow(seq, "RunResumed", 1.0, "{}")])


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", FAULT_KINDS)
async def test_a_scripted_call_fails_as_it_says_and_no_other(kind: FaultKind) -> None:
    store = FaultyStore(MemoryStore(), script=[("append", 2, kind)])
    async with store:
        row, _ = await store.create(NEW)
        await store.append(change(row.epoch, 1))
        with pytest.raises(ERRORS.get(kind, StoreError)) as caught:
            await store.append(change(row.epoch, 2))
        assert type(caught.value) is ERRORS.get(kind, StoreError)
        done = len(await store.log(1)) == 3
        assert done is (kind == "late")  # the only one that is told of what was done
        await store.append(change(row.epoch, 3 if done else 2))
    assert store.faults == [Fault("append", 2, kind)]
    assert str(store.faults[0]) == f'("append", 2, "{kind}")'


async def calls(store: Store) -> list[str]:
    """What becomes of some calls."""
    told = []
    async with store:
        for _ in range(60):
            for call in (lambda: store.find("k"), lambda: store.questions(), lambda: store.claim(1)):
                try:
                    await call()
                    told.append("-")
                except StoreError as error:
                    told.append(str(error))
                except Exception as error:
                    told.append(type(error).__name__)
    return told


@pytest.mark.asyncio
async def test_the_same_seed_gives_the_same_faults_and_their_record_gives_them_again() -> None:
    one, two, other = (FaultyStore(MemoryStore(), seed=seed, rate=0.1) for seed in (7, 7, 8))
    told = await calls(one)
    assert await calls(two) == told
    assert one.faults == two.faults
    assert 5 < len(one.faults) < 60
    assert await calls(other) != told
    again = FaultyStore(MemoryStore(), script=one.faults)
    assert await calls(again) == told


@pytest.mark.asyncio
async def test_a_read_never_meets_a_full_disk_and_only_what_was_named_fails() -> None:
    full = FaultyStore(MemoryStore(), rate=1.0, kinds=["full"])
    assert any("the disk is full" in text for text in await calls(full))
    assert {fault.method for fault in full.faults} == {"claim"}
    only = FaultyStore(MemoryStore(), rate=1.0, methods=["find"])
    await calls(only)
    assert {fault.method for fault in only.faults} == {"find"}


@pytest.mark.asyncio
async def test_it_is_one_in_a_hundred_where_nothing_is_said_and_none_when_it_is_healed() -> None:
    usual, healed = FaultyStore(MemoryStore()), FaultyStore(MemoryStore(), rate=1.0)
    healed.heal()
    await calls(healed)
    assert healed.faults == []
    async with usual:
        failed = 0
        for _ in range(2000):
            try:
                await usual.find("k")
            except StoreError:
                failed += 1
    assert 5 <= failed <= 50


def test_a_fault_that_there_is_not_is_refused() -> None:
    script: Any = [("append", 1, "flood")]
    with pytest.raises(ValueError, match=r"no such fault: \['flood'\]\. There are timeout, late"):
        FaultyStore(MemoryStore(), script=script)


class Sheet(State):
    text: str = ""


@node(writes="text")
async def first() -> str:
    return "one"


@node(writes="text")
async def second(text: str) -> str:
    return f"{text}, two"


chain: Graph[Sheet] = Graph(Sheet, name="faulty")
chain.start(first)
chain.chain(first, second)


def test_a_run_whose_store_fails_at_any_append_goes_on_from_there() -> None:
    async def main(call: int, kind: FaultKind) -> int:
        store = FaultyStore(MemoryStore(), script=[("append", call, kind)])
        async with Engine(store, graphs=[chain], clock=VirtualClock()) as engine:
            run = await engine.start(chain, Sheet())
            failures = 0
            while True:
                try:
                    outcome = await run.wait()
                except StoreError:
                    failures += 1
                else:
                    break
            assert isinstance(outcome, Done)
            assert outcome.state.text == "one, two"
            assert len(store.faults) == failures
            return failures

    for kind in FAULT_KINDS:
        for call in (1, 2, 3):
            assert run_virtually(main(call, kind)) == 1, (kind, call)


@pytest.mark.asyncio
async def test_it_stands_around_any_store(tmp_path: Path) -> None:
    store = FaultyStore(open_store(f"sqlite:///{tmp_path}/runs.db"), script=[("create", 1, "locked")])
    async with Engine(store, graphs=[chain]) as engine:
        with pytest.raises(StoreBusy, match="held the write lock for too long"):
            await engine.start(chain, Sheet(), key="k")
        run = await engine.start(chain, Sheet(), key="k")
        assert (await run.result()).text == "one, two"
        assert store.url == f"sqlite:///{tmp_path}/runs.db"
