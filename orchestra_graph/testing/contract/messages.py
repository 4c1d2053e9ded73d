"""What every store promises of messages: each is accepted once, kept in order, and taken once."""

from __future__ import annotations

import asyncio

import pytest

from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import RunBusy, RunEnded, UnknownRun
from orchestra_graph.store.base import Append, Fenced, MessageRow, Store
from orchestra_graph.testing.contract.common import Stores, bodies, found, message, row, started

__all__ = ["MessagesContract"]


def names(messages: list[MessageRow]) -> list[str]:
    """Their ids."""
    return [message.id for message in messages]


class MessagesContract(Stores):
    """One test for each promise about messages."""

    @pytest.mark.asyncio
    async def test_a_message_is_kept_as_it_was_sent(self, store: Store, other: Store) -> None:
        run = await started(store)
        sent, new = await other.send(message("a", run, channel="chat", body='"Grüße 🎈"'))
        assert new
        assert (sent.run, sent.id, sent.channel, sent.body) == (run, "a", "chat", '"Grüße 🎈"')
        assert (sent.sent_at, sent.taken) == (102.0, None)
        assert await store.inbox(run) == [sent]

    @pytest.mark.asyncio
    async def test_messages_come_in_the_order_in_which_they_were_accepted(self, store: Store, other: Store) -> None:
        run = await started(store)
        for n in range(10):
            await (store, other)[n % 2].send(message(f"m{9 - n}", run))
        accepted = await store.inbox(run)
        assert names(accepted) == [f"m{9 - n}" for n in range(10)]
        numbers = [row.number for row in accepted]
        assert numbers == sorted(set(numbers))

    @pytest.mark.asyncio
    async def test_a_message_that_is_sent_twice_is_one(self, store: Store) -> None:
        run, another = await started(store), await started(store, "another")
        first, _ = await store.send(message("a", run, body="1"))
        assert await store.send(message("a", run, body="2")) == (first, False)
        assert (await store.send(message("a", another, body="2")))[1]
        await store.append(Append(run=run, epoch=1, rows=[row(1)], taken=[("a", 1)], status="done"))
        again, new = await store.send(message("a", run, body="3"))
        assert (again.body, again.taken, new) == ("1", 1, False)
        assert await store.inbox(run) == []

    @pytest.mark.asyncio
    async def test_of_many_that_send_the_same_one_is_new(self, store: Store, other: Store) -> None:
        run = await started(store)
        results = await asyncio.gather(*((store, other)[n % 2].send(message("a", run, body=str(n))) for n in range(10)))
        assert sum(new for _, new in results) == 1
        assert len({sent.body for sent, _ in results}) == 1
        assert len(await store.inbox(run)) == 1

    @pytest.mark.asyncio
    async def test_a_message_to_nobody_is_refused(self, store: Store) -> None:
        with pytest.raises(UnknownRun, match="#7"):
            await store.send(message(run=7))
        assert await store.inbox(7) == []

    @pytest.mark.asyncio
    @pytest.mark.parametrize("status", ["done", "cancelled"])
    async def test_a_message_that_nobody_will_take_is_refused(self, store: Store, status: RunStatus) -> None:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, status=status, release=True))
        with pytest.raises(RunEnded, match=f"'k' is {status}"):
            await store.send(message(run=run))
        assert await store.inbox(run, taken=True) == []

    @pytest.mark.asyncio
    @pytest.mark.parametrize("status", ["running", "waiting", "failed", "stopped", "dead"])
    async def test_a_run_that_may_go_on_takes_messages(self, store: Store, status: RunStatus) -> None:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, status=status, release=True))
        assert (await store.send(message(run=run)))[1]

    @pytest.mark.asyncio
    async def test_a_message_that_would_not_be_alone_is_refused(self, store: Store) -> None:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, rows=[row(1)]))
        for last in (0, 2):
            with pytest.raises(RunBusy, match="'k' is at work"):
                await store.send(message("a", run), alone=last)
        assert await store.inbox(run) == []
        assert (await store.send(message("a", run), alone=1))[1]
        with pytest.raises(RunBusy):
            await store.send(message("b", run), alone=1)
        assert (await store.send(message("c", run, channel="another"), alone=1))[1]
        assert not (await store.send(message("a", run), alone=7))[1], "it is there already"
        await store.append(Append(run=run, epoch=1, rows=[row(2)], taken=[("a", 2)]))
        assert (await store.send(message("b", run), alone=2))[1]

    @pytest.mark.asyncio
    async def test_of_several_that_would_be_alone_one_is(self, store: Store, other: Store) -> None:
        run = await started(store)
        sends = [(store, other)[n % 2].send(message(f"m{n}", run), alone=0) for n in range(6)]
        results = await asyncio.gather(*sends, return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["RunBusy"] * 5 + ["tuple"]
        assert len(await store.inbox(run)) == 1

    @pytest.mark.asyncio
    async def test_a_message_is_taken_with_the_row_that_says_so(self, store: Store) -> None:
        run = await started(store)
        for name in "abc":
            await store.send(message(name, run))
        await store.append(Append(run=run, epoch=1, rows=[row(1), row(2)], taken=[("c", 1), ("a", 2)]))
        assert names(await store.inbox(run)) == ["b"]
        assert [(m.id, m.taken) for m in await store.inbox(run, taken=True)] == [("a", 2), ("b", None), ("c", 1)]

    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        "taken", [[("a", 2)], [("b", 2), ("a", 2)], [("nobody", 2)], [("b", 2), ("b", 2)]], ids=str
    )
    async def test_a_message_is_taken_once(self, store: Store, taken: list[tuple[str, int]]) -> None:
        run = await started(store)
        for name in "ab":
            await store.send(message(name, run))
        await store.append(Append(run=run, epoch=1, rows=[row(1)], taken=[("a", 1)]))
        refused = Append(run=run, epoch=1, rows=[row(2, "twice")], taken=taken, blobs={"h": "x"}, status="waiting")
        with pytest.raises(Fenced):
            await store.append(refused)
        assert await bodies(store, run) == ["{}"]
        assert await store.blobs(["h"]) == {}
        assert names(await store.inbox(run)) == ["b"]
        assert (await found(store)).status == "running"
        await store.append(Append(run=run, epoch=1, rows=[row(2)], taken=[("b", 2)]))
        assert await store.inbox(run) == []

    @pytest.mark.asyncio
    async def test_of_a_change_that_is_refused_for_a_message_no_other_run_suffers(self, store: Store) -> None:
        run, another = await started(store), await started(store, "another")
        results = await asyncio.gather(
            _fenced(store, Append(run=run, epoch=1, rows=[row(1)], taken=[("no", 1)])),
            _fenced(store, Append(run=another, epoch=1, rows=[row(1)])),
        )
        assert list(results) == [True, False]
        assert await bodies(store, another) == ["{}"]

    @pytest.mark.asyncio
    async def test_one_look_finds_the_messages_of_all_runs_that_one_owns(self, store: Store, other: Store) -> None:
        mine, more, free = [await started(store, key) for key in ("mine", "more", "free")]
        theirs = await started(other, "theirs")
        await store.append(Append(run=free, epoch=1, release=True))
        for run in (more, theirs, free, mine, more):
            await other.send(message(f"m{run}", run))
        assert names(await store.inbox()) == [f"m{more}", f"m{mine}"]
        assert names(await other.inbox()) == [f"m{theirs}"]
        await store.append(Append(run=more, epoch=1, rows=[row(1)], taken=[(f"m{more}", 1)]))
        assert names(await store.inbox()) == [f"m{mine}"]
        assert names(await store.inbox(taken=True)) == [f"m{more}", f"m{mine}"]

    @pytest.mark.asyncio
    async def test_a_message_wakes_who_waits_for_answers(self, store: Store, other: Store) -> None:
        run = await started(store)
        await store.answers(0.0)
        await other.answers(0.0)
        waiting = asyncio.create_task(store.answers(30.0))
        await asyncio.sleep(0)
        await other.send(message(run=run))
        assert await asyncio.wait_for(waiting, 10.0)
        assert await other.answers(5.0)

    @pytest.mark.asyncio
    async def test_a_message_whose_sender_was_cancelled_is_sent(self, store: Store) -> None:
        run = await started(store)
        sending = asyncio.create_task(store.send(message(run=run)))
        await asyncio.sleep(0)
        sending.cancel()
        assert await store.answers(5.0)
        assert names(await store.inbox(run)) == ["m"]


async def _fenced(store: Store, change: Append) -> bool:
    """Whether a change was refused. `Fenced` is no error, so `gather` would not keep it."""
    try:
        await store.append(change)
    except Fenced:
        return True
    return False
