"""What every store promises of runs, logs, large values, cached results, questions and changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import anyio
import pytest

from orchestra_graph.errors import EngineBug, StoreClosed, StoreError, UnknownQuestion, UnknownRun
from orchestra_graph.store.base import Append, CachedRow, Fenced, LogRow, QuestionStatus, Snapshot, Store
from orchestra_graph.testing.contract.common import (
    Place,
    Stores,
    asked,
    bodies,
    message,
    new_run,
    question,
    row,
    started,
)

__all__ = ["BasicsContract"]


class BasicsContract(Stores):
    """One test for each promise about what one engine does."""

    # -- runs ----------------------------------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_a_new_run_is_owned_and_has_its_first_row(self, store: Store) -> None:
        run, created = await store.create(new_run())
        assert created
        assert (run.key, run.graph, run.version, run.fingerprint) == ("k", "g", "1", "f")
        assert (run.status, run.note, run.epoch, run.storage) == ("running", "", 1, 1)
        assert run.created_at == run.updated_at == 100.0
        assert run.owner is not None
        assert await store.find("k") == run
        assert await store.log(run.number) == [LogRow(0, "RunStarted", 100.0, '{"x": 1}')]
        assert await store.shape("f") == '{"nodes": []}'

    @pytest.mark.asyncio
    async def test_a_key_that_is_taken_gives_its_run(self, store: Store) -> None:
        first, _ = await store.create(new_run())
        second, created = await store.create(new_run(graph="another", at=200.0))
        assert not created
        assert second == first

    @pytest.mark.asyncio
    async def test_of_many_that_race_for_a_key_one_creates_the_run(self, store: Store) -> None:
        results = await asyncio.gather(*(store.create(new_run()) for _ in range(10)))
        assert sum(created for _, created in results) == 1
        assert len({run.number for run, _ in results}) == 1

    @pytest.mark.asyncio
    async def test_what_is_not_there_is_none_or_empty(self, store: Store) -> None:
        assert await store.find("k") is None
        assert await store.runs() == []
        assert await store.shape("f") is None
        assert await store.snapshot(1) is None
        assert await store.log(1) == []
        assert await store.rows(1, [0]) == []
        assert await store.questions(1) == []

    @pytest.mark.asyncio
    async def test_runs_are_listed_the_newest_first(self, store: Store) -> None:
        first, second = await started(store, "a"), await started(store, "b", graph="h")
        third = await started(store, "c")
        await store.append(Append(run=first, epoch=1, status="done"))
        await store.append(Append(run=second, epoch=1, status="waiting"))

        async def listed(**filters: Any) -> list[int]:
            return [r.number for r in await store.runs(**filters)]

        assert await listed() == [third, second, first]
        assert await listed(limit=2) == [third, second]
        assert await listed(status=["done", "waiting"]) == [second, first]
        assert await listed(graph="g") == [third, first]
        assert await listed(graph="g", status=["done"]) == [first]

    @pytest.mark.asyncio
    async def test_runs_are_found_by_what_their_key_begins_with(self, store: Store) -> None:
        for key in ("a", "a%", "a%1", "a_1", "ab", "A1", "b", "ä", "z\ud7ff1", "z\ue000", "\U0010ffff", "\U0010ffff1"):
            await started(store, key)

        async def listed(prefix: str) -> list[str]:
            return [r.key for r in await store.runs(key=prefix)][::-1]

        assert await listed("a") == ["a", "a%", "a%1", "a_1", "ab"]
        assert await listed("a%") == ["a%", "a%1"]
        assert await listed("a_") == ["a_1"]
        assert await listed("A") == ["A1"]
        assert await listed("ä") == ["ä"]
        assert await listed("z\ud7ff") == ["z\ud7ff1"]
        assert await listed("\U0010ffff") == ["\U0010ffff", "\U0010ffff1"]
        assert await listed("no") == []
        assert len(await listed("")) == 12

    @pytest.mark.asyncio
    async def test_runs_are_found_by_the_time_of_their_start(self, store: Store) -> None:
        for at in (1.0, 2.0, 3.5):
            await store.create(new_run(f"k{at}", at=at))

        async def listed(since: float | None = None, until: float | None = None) -> list[float]:
            return [r.created_at for r in await store.runs(since=since, until=until)]

        assert await listed(since=2.0) == [3.5, 2.0]
        assert await listed(until=2.0) == [1.0]
        assert await listed(2.0, 3.5) == [2.0]
        assert await listed(2.0, 2.0) == []

    @pytest.mark.asyncio
    async def test_runs_are_listed_page_by_page(self, store: Store) -> None:
        numbers = [await started(store, f"k{n}", graph="gh"[n % 2]) for n in range(7)]
        mine = numbers[::2][::-1]
        first = await store.runs(graph="g", limit=3)
        assert [r.number for r in first] == mine[:3]
        await started(store, "one that comes meanwhile")
        assert [r.number for r in await store.runs(graph="g", limit=3, after=first[-1].number)] == mine[3:]
        assert await store.runs(after=numbers[0]) == []
        assert await store.runs(after=0) == []
        assert len(await store.runs(after=numbers[-1] + 100)) == 8

    @pytest.mark.asyncio
    async def test_a_status_comes_with_its_note_and_its_time(self, store: Store) -> None:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, rows=[row(1)], status="waiting", note="a"))
        await store.append(Append(run=run, epoch=1, rows=[row(2)], status="waiting", note="b"))
        found = await store.find("k")
        assert found is not None
        assert (found.status, found.note, found.created_at, found.updated_at) == ("waiting", "b", 100.0, 101.0)

    # -- the log -------------------------------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_rows_come_back_as_they_were(self, store: Store) -> None:
        run = await started(store)
        rows = [row(1, '{"text": "Grüße 🎈"}'), row(2, "x" * 1_000_000), row(3, "")]
        await store.append(Append(run=run, epoch=1, rows=rows))
        assert await store.log(run, after=0) == rows

    @pytest.mark.asyncio
    async def test_a_part_of_the_log(self, store: Store) -> None:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, rows=[row(n) for n in range(1, 10)]))
        assert [r.seq for r in await store.log(run, after=3, upto=6)] == [4, 5, 6]
        assert [r.seq for r in await store.log(run, after=8)] == [9]
        assert [r.seq for r in await store.log(run, upto=0)] == [0]
        assert await store.log(run, after=9) == []
        assert await store.log(run, upto=-1) == []

    @pytest.mark.asyncio
    async def test_any_number_of_rows_by_their_numbers(self, store: Store) -> None:
        run, other = await started(store), await started(store, "other")
        await store.append(Append(run=run, epoch=1, rows=[row(n) for n in range(1, 2001)]))
        await store.append(Append(run=other, epoch=1, rows=[row(1, "not this one")]))
        wanted = list(range(2000, 0, -1))
        assert await store.rows(run, [*wanted, 7, 7, 5000, -1]) == [row(n) for n in range(1, 2001)]
        assert await store.rows(run, []) == []

    @pytest.mark.asyncio
    async def test_changes_are_stored_in_the_order_of_the_calls(self, store: Store) -> None:
        run = await started(store)
        done: list[int] = []

        async def append(n: int) -> None:
            await store.append(Append(run=run, epoch=1, rows=[row(n, str(n))]))
            done.append(n)

        await asyncio.gather(*map(append, range(1, 101)))
        assert done == list(range(1, 101))
        assert await bodies(store, run) == [str(n) for n in range(1, 101)]

    @pytest.mark.asyncio
    async def test_a_change_is_stored_whole(self, store: Store) -> None:
        run = await started(store)
        await store.append(
            Append(
                run=run,
                epoch=1,
                rows=[row(1), row(2)],
                snapshot=Snapshot(2, "S"),
                asked=[question()],
                status="waiting",
                note="n",
                release=True,
                sync=True,
            )
        )
        found = await store.find("k")
        assert found is not None
        assert (found.status, found.note, found.owner, found.epoch) == ("waiting", "n", None, 1)
        assert len(await store.log(run)) == 3
        assert await store.snapshot(run) == Snapshot(2, "S")
        assert len(await store.questions(run)) == 1

    @pytest.mark.asyncio
    async def test_a_snapshot_replaces_the_one_before(self, store: Store) -> None:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, rows=[row(1)], snapshot=Snapshot(1, "one")))
        await store.append(Append(run=run, epoch=1, rows=[row(2)], snapshot=Snapshot(2, "two")))
        assert await store.snapshot(run) == Snapshot(2, "two")
        assert len(await store.log(run)) == 3

    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        "change",
        [
            Append(run=1, epoch=1, rows=[row(2)]),
            Append(run=1, epoch=1, rows=[row(0)]),
            Append(run=1, epoch=1, rows=[row(1), row(3)]),
            Append(run=1, epoch=1, rows=[row(1)], snapshot=Snapshot(2, "")),
        ],
        ids=["gap", "again", "gap inside", "snapshot ahead"],
    )
    async def test_a_change_that_does_not_follow_the_log_is_refused(self, store: Store, change: Append) -> None:
        assert await started(store) == 1
        with pytest.raises(EngineBug, match="run 1"):
            await store.append(change)
        assert len(await store.log(1)) == 1
        assert await store.snapshot(1) is None

    @pytest.mark.asyncio
    async def test_a_change_that_fails_sinks_no_other_run(self, store: Store) -> None:
        runs = [await started(store, f"k{n}") for n in range(5)]
        results = await asyncio.gather(
            *(store.append(Append(run=run, epoch=1, rows=[row(9 if run == runs[2] else 1)])) for run in runs),
            return_exceptions=True,
        )
        assert [type(r) for r in results] == [type(None), type(None), EngineBug, type(None), type(None)]
        assert [len(await store.log(run)) for run in runs] == [2, 2, 1, 2, 2]

    @pytest.mark.asyncio
    async def test_after_a_change_that_failed_the_run_goes_on(self, store: Store) -> None:
        run = await started(store)
        with pytest.raises(EngineBug):
            await store.append(Append(run=run, epoch=1, rows=[row(7)]))
        await store.append(Append(run=run, epoch=1, rows=[row(1)]))
        assert len(await store.log(run)) == 2

    # -- large values --------------------------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_large_values_are_found_by_their_hash(self, store: Store) -> None:
        run, _ = await store.create(replace(new_run(), blobs={"h0": "input"}))
        await store.append(Append(run=run.number, epoch=1, rows=[row(1)], blobs={"h1": "Grüße", "h2": "x" * 1_000_000}))
        assert await store.blobs(["h2", "h0", "h0"]) == {"h0": "input", "h2": "x" * 1_000_000}
        assert await store.blobs(["h1", "not there"]) == {"h1": "Grüße"}
        assert await store.blobs([]) == {}

    @pytest.mark.asyncio
    async def test_any_number_of_large_values(self, store: Store) -> None:
        run = await started(store)
        blobs = {f"h{n}": str(n) for n in range(2000)}
        await store.append(Append(run=run, epoch=1, blobs=blobs))
        assert await store.blobs(blobs) == blobs

    @pytest.mark.asyncio
    async def test_a_large_value_stays_what_it_was(self, store: Store) -> None:
        run, other = await started(store), await started(store, "other")
        await store.append(Append(run=run, epoch=1, rows=[row(1)], blobs={"h": "first"}))
        await store.append(Append(run=run, epoch=1, rows=[row(2)], blobs={"h": "second"}))
        await store.append(Append(run=other, epoch=1, rows=[row(1)], blobs={"h": "third"}))
        await store.create(replace(new_run("more"), blobs={"h": "fourth"}))
        assert await store.blobs(["h"]) == {"h": "first"}

    @pytest.mark.asyncio
    async def test_of_a_change_that_is_refused_nothing_is_kept(self, store: Store) -> None:
        run = await started(store)
        given: dict[str, Any] = {"blobs": {"h": "x"}, "cached": [CachedRow("c", "x")]}
        with pytest.raises(EngineBug):
            await store.append(Append(run=run, epoch=1, rows=[row(9)], **given))
        with pytest.raises(Fenced):
            await store.append(Append(run=run, epoch=2, rows=[row(1)], **given))
        assert (await store.create(replace(new_run(), blobs={"h": "x"})))[1] is False
        assert await store.blobs(["h"]) == {}
        assert await store.cached("c", 0.0) is None

    # -- cached results ------------------------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_a_cached_result_is_found_until_its_time_is_over(self, store: Store) -> None:
        run = await started(store)
        rows = [CachedRow("short", "a", 110.0), CachedRow("long", "b", None)]
        await store.append(Append(run=run, epoch=1, rows=[row(1)], cached=rows))
        assert await store.cached("short", 109.9) == "a"
        assert await store.cached("short", 110.0) is None
        assert await store.cached("short", 109.9) is None, "it was removed when it was met"
        assert await store.cached("long", 1e12) == "b"
        assert await store.cached("another", 0.0) is None

    @pytest.mark.asyncio
    async def test_a_cached_result_takes_the_place_of_the_one_before(self, store: Store) -> None:
        run, other = await started(store), await started(store, "other")
        await store.append(Append(run=run, epoch=1, cached=[CachedRow("c", "a", 110.0)]))
        await store.append(Append(run=other, epoch=1, cached=[CachedRow("c", "b", 120.0)]))
        assert await store.cached("c", 115.0) == "b"
        await store.append(Append(run=run, epoch=1, cached=[CachedRow("c", "c")]))
        assert await store.cached("c", 500.0) == "c"

    # -- ownership -----------------------------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_the_owner_claims_again_without_a_new_epoch(self, store: Store) -> None:
        run = await started(store)
        assert (await store.claim(run)).epoch == 1
        assert (await store.claim(run)).epoch == 1

    @pytest.mark.asyncio
    async def test_a_run_that_is_not_there_cannot_be_claimed(self, store: Store) -> None:
        with pytest.raises(UnknownRun, match="#7"):
            await store.claim(7)

    @pytest.mark.asyncio
    async def test_a_stale_epoch_is_fenced(self, store: Store) -> None:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, release=True))
        assert (await store.claim(run)).epoch == 2
        for epoch in (1, 3):
            with pytest.raises(Fenced):
                await store.append(Append(run=run, epoch=epoch, rows=[row(1)], status="done"))
        assert len(await store.log(run)) == 1
        found = await store.find("k")
        assert found is not None
        assert found.status == "running"

    @pytest.mark.asyncio
    async def test_who_released_a_run_is_fenced(self, store: Store) -> None:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, release=True))
        with pytest.raises(Fenced):
            await store.append(Append(run=run, epoch=1, rows=[row(1)]))
        with pytest.raises(Fenced):
            await store.append(Append(run=99, epoch=1, rows=[row(1)]))

    @pytest.mark.asyncio
    async def test_closing_gives_up_every_run(self, place: Place) -> None:
        async with place() as store:
            run, other = await started(store), await started(store, "other")
            await store.append(Append(run=run, epoch=1, rows=[row(1, "kept")], asked=[question()]))
        async with place() as store:
            assert [r.owner for r in await store.runs()] == [None, None]
            with pytest.raises(Fenced):
                await store.append(Append(run=run, epoch=1, rows=[row(2)]))
            assert (await store.claim(run)).epoch == 2
            assert (await store.claim(other)).epoch == 2
            await store.append(Append(run=run, epoch=2, rows=[row(2, "new")]))
            assert await bodies(store, run) == ["kept", "new"]
            assert len(await store.questions()) == 1

    # -- questions -----------------------------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_a_question_is_found_as_it_was_asked(self, store: Store) -> None:
        run = await asked(store, question(expires_at=200.0))
        [found] = await store.questions(run)
        assert (found.run, found.key, found.id, found.prompt, found.to) == (run, "k", "approve@0", "Go on?", "ana")
        assert (found.details, found.schema) == ('{"total": 3}', '{"type": "boolean"}')
        assert (found.status, found.asked_at, found.expires_at) == ("open", 101.0, 200.0)
        assert (found.answer, found.answered_at) == (None, None)

    @pytest.mark.asyncio
    async def test_questions_are_listed_the_oldest_first(self, store: Store) -> None:
        first = await asked(store, question("a"), question("b"))
        second = await asked(store, question("a"), key="other")
        closed: list[tuple[str, QuestionStatus]] = [("a", "withdrawn"), ("nobody asked this", "expired")]
        await store.append(Append(run=first, epoch=1, closed=closed))

        async def listed(run: int | None = None, *status: QuestionStatus) -> list[tuple[int, str, str]]:
            rows = await store.questions(run, status=status)
            return [(q.run, q.id, q.status) for q in rows]

        assert await listed() == [(first, "a", "withdrawn"), (first, "b", "open"), (second, "a", "open")]
        assert await listed(None, "open") == [(first, "b", "open"), (second, "a", "open")]
        assert await listed(first, "withdrawn", "expired") == [(first, "a", "withdrawn")]
        assert await store.questions() == await store.questions(status=["open"])

    @pytest.mark.asyncio
    async def test_an_answer_stands_once(self, store: Store) -> None:
        run = await asked(store, question())
        results = await asyncio.gather(*(store.answer(run, "approve@0", str(n), 110.0 + n) for n in range(5)))
        assert [(q.status, q.answer, q.answered_at) for q in results] == [("answered", "0", 110.0)] * 5
        [found] = await store.questions(run, status=["answered"])
        assert found == results[0]

    @pytest.mark.asyncio
    async def test_an_answer_needs_no_ownership(self, store: Store) -> None:
        run = await asked(store, question())
        await store.append(Append(run=run, epoch=1, status="waiting", release=True))
        assert (await store.answer(run, "approve@0", "true", 110.0)).answer == "true"

    @pytest.mark.asyncio
    async def test_an_answer_after_the_time_is_over_expires_the_question(self, store: Store) -> None:
        run = await asked(store, question("a", expires_at=200.0), question("b", expires_at=200.0))
        assert (await store.answer(run, "a", "true", 200.0)).status == "answered"
        late = await store.answer(run, "b", "true", 200.1)
        assert (late.status, late.answer, late.answered_at) == ("expired", None, None)
        assert await store.questions(run, status=["expired"]) == [late]

    @pytest.mark.asyncio
    async def test_a_question_that_was_withdrawn_takes_no_answer(self, store: Store) -> None:
        run = await asked(store, question())
        await store.append(Append(run=run, epoch=1, closed=[("approve@0", "withdrawn")]))
        found = await store.answer(run, "approve@0", "true", 110.0)
        assert (found.status, found.answer) == ("withdrawn", None)

    @pytest.mark.asyncio
    async def test_a_question_that_was_answered_stays_answered(self, store: Store) -> None:
        run = await asked(store, question())
        await store.answer(run, "approve@0", "true", 110.0)
        await store.append(Append(run=run, epoch=1, closed=[("approve@0", "withdrawn")]))
        await store.append(Append(run=run, epoch=1, asked=[question(prompt="Again?")]))
        [found] = await store.questions(run, status=[])
        assert (found.status, found.answer, found.prompt) == ("answered", "true", "Go on?")

    @pytest.mark.asyncio
    async def test_at_the_end_what_is_still_open_is_withdrawn(self, store: Store) -> None:
        run = await asked(store, question("a"), question("b"), question("c"))
        other = await asked(store, question("a"), key="another")
        await store.answer(run, "a", "true", 110.0)
        await store.append(Append(run=run, epoch=1, closed=[("b", "expired")], withdraw=True))
        assert [q.status for q in await store.questions(run, status=())] == ["answered", "expired", "withdrawn"]
        assert [q.status for q in await store.questions(other, status=())] == ["open"]

    @pytest.mark.asyncio
    async def test_one_question_is_found_by_its_id(self, store: Store) -> None:
        run = await asked(store, question("a"), question("b"))
        await store.answer(run, "b", "true", 110.0)
        [first, second] = await store.questions(run, status=())
        assert await store.question(run, "a") == first
        assert await store.question(run, "b") == second
        assert await store.question(run, "c") is None
        assert await store.question(run + 1, "a") is None

    # -- news ----------------------------------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_news_are_of_the_questions_that_were_named_and_of_any_number_of_runs(self, store: Store) -> None:
        names = [f"ask#{n}" for n in range(1200)]
        wide = await asked(store, *(question(name) for name in names), key="wide")
        small = await asked(store, question("a"), question('it\'s "b" ü'), key="small")
        waiting = {wide: names, small: ["a", 'it\'s "b" ü'], 99: ["a"]}
        assert await store.news(waiting) == []
        await store.answer(small, 'it\'s "b" ü', "true", 110.0)
        await store.answer(small, "a", "true", 110.0)
        await store.answer(wide, names[7], "false", 111.0)
        found = await store.news(waiting)
        assert [(q.run, q.key, q.id, q.answer) for q in found] == [
            (wide, "wide", names[7], "false"),
            (small, "small", "a", "true"),
            (small, "small", 'it\'s "b" ü', "true"),
        ]
        assert [q.id for q in await store.news({wide: names[:7], small: ["a"]})] == ["a"]
        assert await store.news({}) == []

    @pytest.mark.asyncio
    async def test_what_is_not_open_is_news(self, store: Store) -> None:
        run = await asked(store, *(question(name) for name in "abcd"))
        await store.append(Append(run=run, epoch=1, closed=[("a", "withdrawn"), ("b", "expired")]))
        await store.answer(run, "c", "1", 110.0)
        found = await store.news({run: {"a", "b", "c", "d"}})
        assert [(q.id, q.status) for q in found] == [("a", "withdrawn"), ("b", "expired"), ("c", "answered")]

    @pytest.mark.asyncio
    async def test_that_a_time_is_over_is_news_to_who_asks_for_it(self, store: Store) -> None:
        run = await asked(store, question("a", expires_at=150.0), question("b", expires_at=151.0), question("c"))
        names = {run: ["a", "b", "c"]}
        assert await store.news(names) == []
        assert await store.news(names, now=149.9) == []
        assert [(q.id, q.status) for q in await store.news(names, now=150.0)] == [("a", "open")]
        assert [q.id for q in await store.news(names, now=151.0)] == ["a", "b"]

    @pytest.mark.asyncio
    async def test_answers_wake_who_waits_for_them_and_what_else_is_written_here_does_not(self, store: Store) -> None:
        run = await asked(store, question("a"), question("b", expires_at=105.0))
        await store.append(Append(run=run, epoch=1, rows=[row(2)]))
        assert not await store.answers(0.0)
        await store.answer(run, "a", "true", 110.0)
        assert await store.answers(5.0)
        assert not await store.answers(0.12)
        await store.answer(run, "b", "true", 110.0)  # too late: it expires
        assert await store.answers(5.0)

    @pytest.mark.asyncio
    async def test_an_answer_whose_giver_was_cancelled_wakes_who_waits(self, store: Store) -> None:
        run = await asked(store, question("a"))
        answering = asyncio.create_task(store.answer(run, "a", "true", 110.0))
        await asyncio.sleep(0)
        answering.cancel()
        assert await store.answers(5.0)
        assert [q.answer for q in await store.news({run: ["a"]})] == ["true"]

    @pytest.mark.asyncio
    async def test_a_question_that_was_closed_can_be_asked_again(self, store: Store) -> None:
        run = await asked(store, question())
        await store.append(Append(run=run, epoch=1, closed=[("approve@0", "expired")]))
        await store.append(Append(run=run, epoch=1, asked=[question(prompt="Again?")]))
        [found] = await store.questions(run)
        assert (found.status, found.prompt) == ("open", "Again?")

    @pytest.mark.asyncio
    async def test_a_question_that_nobody_asked_is_named(self, store: Store) -> None:
        run = await asked(store, question("approve@0"), question("approve@1"))
        with pytest.raises(UnknownQuestion, match=r"run 'k' has no question 'aprove@1'.*Did you mean 'approve@1'\?"):
            await store.answer(run, "aprove@1", "true", 110.0)
        with pytest.raises(UnknownQuestion, match="#99"):
            await store.answer(99, "approve@0", "true", 110.0)

    # -- changes -------------------------------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_nothing_changes_while_nobody_writes(self, store: Store) -> None:
        assert not await store.changes(0.0)
        run = await started(store)
        assert await store.changes(5.0)
        assert not await store.changes(0.12)
        await store.append(Append(run=run, epoch=1, rows=[row(1)]))
        assert await store.changes(5.0)

    @pytest.mark.asyncio
    async def test_what_changes_nothing_is_no_news(self, store: Store) -> None:
        """Else a worker that tries to claim a run after each change would wake itself."""
        run = await asked(store, question())
        await store.answer(run, "approve@0", "true", 110.0)
        await store.claim(run)  # from here on the answer is known
        assert await store.changes(5.0)
        await store.claim(run)
        await store.create(new_run())
        await store.answer(run, "approve@0", "false", 111.0)
        with pytest.raises(UnknownRun):
            await store.claim(99)
        with pytest.raises(EngineBug):
            await store.append(Append(run=run, epoch=1, rows=[row(9)]))
        assert not await store.changes(0.0)

    @pytest.mark.asyncio
    async def test_everybody_who_waits_is_woken(self, store: Store) -> None:
        run = await asked(store, question())

        async def second_change() -> bool:
            await store.changes(30.0)  # the first is there already
            ready.release()
            return await store.changes(30.0)

        ready = asyncio.Semaphore(0)
        waiting = [asyncio.create_task(second_change()) for _ in range(3)]
        for _ in waiting:
            await ready.acquire()
        await store.answer(run, "approve@0", "true", 110.0)
        assert await asyncio.gather(*waiting) == [True, True, True]

    @pytest.mark.asyncio
    async def test_news_are_for_each_task(self, store: Store) -> None:
        await started(store)
        assert await asyncio.create_task(store.changes(0.0))
        assert await asyncio.create_task(store.changes(0.0))

    @pytest.mark.asyncio
    async def test_closing_wakes_who_waits(self, place: Place) -> None:
        async with place() as store:
            waiting = [asyncio.create_task(store.changes(60.0)), asyncio.create_task(store.answers(60.0))]
            await asyncio.sleep(0)
        assert await asyncio.gather(*waiting) == [True, True]

    # -- opening, closing, cancelling ----------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_a_store_that_is_not_open_does_nothing(self, place: Place) -> None:
        store = place()
        calls: list[Callable[[], Coroutine[Any, Any, Any]]] = [
            lambda: store.create(new_run()),
            lambda: store.find("k"),
            lambda: store.runs(),
            lambda: store.shape("f"),
            lambda: store.claim(1),
            lambda: store.append(Append(run=1, epoch=1)),
            lambda: store.snapshot(1),
            lambda: store.log(1),
            lambda: store.rows(1, [0]),
            lambda: store.blobs(["h"]),
            lambda: store.cached("c", 0.0),
            lambda: store.questions(),
            lambda: store.question(1, "q"),
            lambda: store.news({1: ["q"]}),
            lambda: store.answer(1, "q", "1", 1.0),
            lambda: store.changes(0.0),
            lambda: store.answers(0.0),
            lambda: store.due({"g": "1"}, now=1.0),
            lambda: store.send(message()),
            lambda: store.inbox(),
            lambda: store.inbox(1),
            lambda: store.begin(1, 1),
            lambda: store.prune(before=1.0, status=["done"]),
            lambda: store.tidy(now=1.0),
            lambda: store.compact(),
            lambda: store.sizes(),
        ]
        for call in calls:
            with pytest.raises(StoreClosed, match="async with"):
                await call()
        async with store:
            with pytest.raises(StoreError, match="open already"):
                await store.__aenter__()
        for call in calls:
            with pytest.raises(StoreClosed):
                await call()

    @pytest.mark.asyncio
    async def test_a_caller_that_is_cancelled_takes_nothing_back(self, store: Store) -> None:
        run = await started(store)
        tasks = [asyncio.create_task(store.append(Append(run=run, epoch=1, rows=[row(n)]))) for n in range(1, 6)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks)
        await store.append(Append(run=run, epoch=1, rows=[row(6)]))
        assert len(await store.log(run)) == 7

    @pytest.mark.asyncio
    async def test_a_scope_that_is_cancelled_takes_nothing_back(self, store: Store) -> None:
        run = await started(store)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.append(Append(run=run, epoch=1, rows=[row(1)]))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.log(run)
        await store.append(Append(run=run, epoch=1, rows=[row(2)]))
        assert len(await store.log(run)) == 3

    @pytest.mark.asyncio
    async def test_what_is_queued_is_stored_before_the_store_closes(self, place: Place) -> None:
        async with place() as store:
            run = await started(store)
            tasks = [asyncio.create_task(store.append(Append(run=run, epoch=1, rows=[row(n)]))) for n in range(1, 51)]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        async with place() as store:
            assert len(await store.log(run)) == 51
