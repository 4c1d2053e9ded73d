"""What every store promises of runs that are made out of others, and of runs whose graph changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestra_graph.errors import EngineBug, UnknownRun
from orchestra_graph.store.base import Append, Form, LogRow, Store
from orchestra_graph.testing.contract.common import Stores, found, new_run, question, row, started

__all__ = ["FormsContract"]


class FormsContract(Stores):
    """One test for each promise about forks, and about runs that go on with another form of their graph."""

    @pytest.mark.asyncio
    async def test_a_run_can_begin_with_more_than_one_row(self, store: Store) -> None:
        run, created = await store.create(replace(new_run(), rows=[row(1, "one"), row(2, "two")]))
        assert created
        assert await store.log(run.number) == [LogRow(0, "RunStarted", 100.0, '{"x": 1}'), row(1, "one"), row(2, "two")]
        await store.append(Append(run=run.number, epoch=1, rows=[row(3)]))

    @pytest.mark.asyncio
    async def test_a_run_begins_without_a_gap(self, store: Store) -> None:
        for rows in ([row(2)], [row(0)], [row(1), row(1)]):
            with pytest.raises(EngineBug, match="'k'"):
                await store.create(replace(new_run(), rows=rows, blobs={"h": "x"}))
        assert await store.runs() == []
        assert await store.blobs(["h"]) == {}

    @pytest.mark.asyncio
    async def test_a_fork_says_where_it_is_from(self, store: Store) -> None:
        await started(store)
        fork, _ = await store.create(replace(new_run("fork"), origin="k"))
        assert (await found(store)).origin is None
        assert fork.origin == (await found(store, "fork")).origin == "k"
        assert (fork.epoch, fork.status, fork.claims) == (1, "running", 0)

    @pytest.mark.asyncio
    async def test_a_fork_of_a_run_that_is_gone_is_refused(self, store: Store) -> None:
        with pytest.raises(UnknownRun, match="'gone'"):
            await store.create(replace(new_run("fork"), origin="gone"))
        assert await store.find("fork") is None

    @pytest.mark.asyncio
    async def test_a_fork_brings_questions_and_answers(self, store: Store) -> None:
        run = await started(store)
        asked = [
            question("a"),
            replace(question("b"), run=run, key="k", status="answered", answer="true", answered_at=110.0),
        ]
        fork, _ = await store.create(replace(new_run("fork"), rows=[row(1)], asked=asked, origin="k"))
        [a, b] = await store.questions(fork.number, status=())
        assert (a.run, a.key, a.id, a.status, a.prompt) == (fork.number, "fork", "a", "open", "Go on?")
        assert (b.run, b.key, b.status, b.answer, b.answered_at) == (fork.number, "fork", "answered", "true", 110.0)
        assert await store.questions(run, status=()) == []
        assert (await store.answer(fork.number, "a", "1", 120.0)).status == "answered"
        assert (await store.answer(fork.number, "b", "2", 120.0)).answer == "true"

    @pytest.mark.asyncio
    async def test_a_fork_keeps_the_large_values_of_its_origin(self, store: Store) -> None:
        origin, _ = await store.create(replace(new_run(), blobs={"h0": "input"}))
        run = origin.number
        await store.append(Append(run=run, epoch=1, rows=[row(1)], blobs={"h1": "result"}, status="done", release=True))
        fork, _ = await store.create(replace(new_run("fork"), origin="k", rows=[row(1)], blobs={"h2": "update"}))
        await store.create(replace(new_run("fork of a fork"), origin="fork"))
        await store.append(Append(run=fork.number, epoch=1, status="done", release=True))
        assert sorted(await store.prune(before=1e12, status=["done"])) == ["fork", "k"]
        await store.tidy(now=1e9)
        assert await store.blobs(["h0", "h1", "h2"]) == {"h0": "input", "h1": "result", "h2": "update"}

    @pytest.mark.asyncio
    async def test_a_run_goes_on_with_another_form_of_its_graph(self, store: Store) -> None:
        run, another = await started(store), await started(store, "another")
        form = Form("2", "f2", '{"nodes": ["more"]}')
        await store.append(Append(run=run, epoch=1, rows=[row(1)], form=form))
        now = await found(store)
        assert (now.version, now.fingerprint, now.graph) == ("2", "f2", "g")
        assert await store.shape("f2") == '{"nodes": ["more"]}'
        assert await store.shape("f") == '{"nodes": []}'
        await store.append(Append(run=another, epoch=1, rows=[row(1)], form=form))
        await store.append(Append(run=another, epoch=1, rows=[row(2)], form=Form("1", "f", "")))
        assert (await found(store, "another")).fingerprint == "f"
        assert await store.shape("f") == '{"nodes": []}', "a form stays what it was"

    @pytest.mark.asyncio
    async def test_a_run_that_is_pinned_is_claimed_as_such(self, store: Store) -> None:
        run, _ = await store.create(replace(new_run(), pinned=True))
        assert run.pinned
        assert (await store.claim(run.number)).pinned
        assert (await found(store)).pinned
