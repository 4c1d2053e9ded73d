"""Who owns a run, when owners live, close and die. The processes are real."""

# looking at a small file does not disturb a test's event loop

from __future__ import annotations

import os
import platform
import signal
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from orchestra_graph.errors import RunOwned, StoreError
from orchestra_graph.store.base import Append, Fenced
from orchestra_graph.store.sqlite import SqliteStore
from orchestra_graph.testing.contract.common import asked, question, row, started

from .processes import line, process

pytestmark = pytest.mark.kill


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/runs.db"


def locks(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("*.lock"))


@pytest.mark.asyncio
async def test_a_living_owner_is_respected_and_named(url: str) -> None:
    with process("own", url) as owner:
        assert line(owner) == "1"
        async with SqliteStore(url) as store:
            with pytest.raises(RunOwned) as caught:
                await store.claim(1)
    assert (caught.value.key, caught.value.pid, caught.value.host) == ("k", owner.pid, platform.node())


@pytest.mark.asyncio
async def test_a_killed_owner_is_replaced_at_once(url: str, tmp_path: Path) -> None:
    with process("own", url) as owner:
        line(owner)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert len(locks(tmp_path)) == 1
        async with SqliteStore(url) as store:
            assert [run.key for run in await store.due({"g": "1"}, now=200.0)] == ["k"]
            claimed = await store.claim(1)
            assert (claimed.epoch, claimed.claims) == (2, 1)
            await store.append(Append(run=1, epoch=2, rows=[row(1)]))
            assert len(locks(tmp_path)) == 1  # its own; the dead one's is gone
    assert locks(tmp_path) == []


@pytest.mark.asyncio
async def test_an_owner_that_closes_is_replaced(url: str, tmp_path: Path) -> None:
    with process("own", url) as owner:
        line(owner)
        owner.communicate("end\n")
        assert owner.returncode == 0
        assert locks(tmp_path) == []
        async with SqliteStore(url) as store:
            claimed = await store.claim(1)
            assert (claimed.epoch, claimed.claims) == (2, 0)


@pytest.mark.asyncio
async def test_a_forked_child_does_not_keep_a_dead_owner_alive(url: str) -> None:
    with process("own_and_fork", url) as owner:
        child = int(line(owner))
        try:
            async with SqliteStore(url) as store:
                with pytest.raises(RunOwned):  # the child has closed the lock, and not taken it from its parent
                    await store.claim(1)
                owner.kill()
                owner.wait()
                assert (await store.claim(1)).epoch == 2
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.asyncio
async def test_a_new_owner_tidies_up_after_all_who_died(url: str, tmp_path: Path) -> None:
    async with SqliteStore(url) as store:
        await started(store, "before")
    with process("own", url) as owner:
        line(owner)
        owner.kill()
        owner.wait()
    (tmp_path / "runs.db-owner-never-registered.lock").touch()
    (tmp_path / "other.db-owner-of-another-database.lock").touch()
    async with SqliteStore(url) as store:
        await started(store, "new")
        assert {r.key: r.owner is None for r in await store.runs()} == {"before": True, "k": True, "new": False}
    assert locks(tmp_path) == ["other.db-owner-of-another-database.lock"]
    with closing(sqlite3.connect(tmp_path / "runs.db")) as database:
        assert database.execute("SELECT count(*) FROM engines").fetchone() == (0,)


@pytest.mark.asyncio
async def test_whoever_tidies_up_after_the_dead_counts_them(url: str) -> None:
    """Though it is somebody else who claims the run then."""
    with process("own", url) as owner:
        line(owner)
        owner.kill()
        owner.wait()
    async with SqliteStore(url) as tidy, SqliteStore(url) as store:
        await started(tidy, "new")
        [free] = [run for run in await store.runs() if run.owner is None]
        assert (free.key, free.claims) == ("k", 1)
        assert (await store.claim(free.number)).claims == 1


@pytest.mark.asyncio
async def test_a_living_process_keeps_its_runs_from_being_due_and_from_being_removed(url: str) -> None:
    with process("own", url) as owner:
        line(owner)
        async with SqliteStore(url) as store:
            assert await store.due({"g": "1"}, now=200.0) == []
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
                database.execute("UPDATE runs SET status = 'done'")
            assert await store.prune(before=1e12, status=["done"]) == []
            owner.kill()
            owner.wait()
            assert await store.prune(before=1e12, status=["done"]) == ["k"]


@pytest.mark.asyncio
async def test_the_name_of_the_machine_does_not_matter(url: str, tmp_path: Path) -> None:
    """A container that is started again has another name, and the same file."""
    with process("own", url) as owner:
        line(owner)
        with closing(sqlite3.connect(tmp_path / "runs.db")) as database, database:
            database.execute("UPDATE engines SET host = 'another-container', pid = 1")
        async with SqliteStore(url) as store:
            with pytest.raises(RunOwned, match="process 1 on another-container"):
                await store.claim(1)
            owner.kill()
            owner.wait()
            assert (await store.claim(1)).epoch == 2


@pytest.mark.asyncio
async def test_an_owner_whose_run_was_taken_is_fenced(url: str, tmp_path: Path) -> None:
    async with SqliteStore(url) as store, SqliteStore(url) as other:
        run = await started(store)
        for lock in tmp_path.glob("*.lock"):
            lock.unlink()  # by somebody who thought that it was rubbish
        assert (await other.claim(run)).epoch == 2
        with pytest.raises(Fenced):
            await store.append(Append(run=run, epoch=1, rows=[row(1)]))
        with pytest.raises(RunOwned):
            await store.claim(run)


@pytest.mark.asyncio
async def test_an_owner_without_a_lock_owns_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(95, "Operation not supported")

    async with SqliteStore(url) as store:
        with monkeypatch.context() as patch:
            patch.setattr("fcntl.flock", refuse)
            with pytest.raises(StoreError, match=r"the lock of this process.*Operation not supported"):
                await started(store)
        assert await store.runs() == []
        await started(store)


@pytest.mark.asyncio
async def test_of_two_processes_that_answer_one_is_heard(url: str) -> None:
    async with SqliteStore(url) as store:
        run = await asked(store, question())
        with ExitStack() as stack:
            people = [stack.enter_context(process("answer", url)) for _ in range(4)]
            for person in people:
                assert line(person) == "ready"
            for person in people:
                assert person.stdin is not None
                person.stdin.write("now\n")
                person.stdin.flush()
            heard = {line(person) for person in people}
        [found] = await store.questions(run, status=["answered"])
        assert heard == {found.answer}
        assert found.answer in {str(person.pid) for person in people}
        assert await store.changes(5.0)


@pytest.mark.asyncio
async def test_what_was_awaited_survives_a_kill(url: str) -> None:
    with process("write", url) as writer:
        said = 0
        while said < 200:
            said = int(line(writer))
        writer.kill()
        assert writer.stdout is not None
        said = max([said, *map(int, writer.stdout.read().split("\n")[:-1])])
    async with SqliteStore(url) as store:
        stored = [r.seq for r in await store.log(1)]
    assert stored == list(range(len(stored)))
    assert said in stored


@pytest.mark.asyncio
async def test_a_run_that_is_being_removed_when_the_process_is_killed_is_there_or_gone(
    url: str, tmp_path: Path
) -> None:
    async with SqliteStore(url) as store:
        for n in range(60):
            run = await asked(store, question(), key=f"k{n}")
            rows = [row(seq, "x" * 200) for seq in range(2, 200)]
            await store.append(Append(run=run, epoch=1, rows=rows, status="done", release=True))
    with process("remove", url) as remover:
        removed = [line(remover) for _ in range(10)]
        remover.kill()
        assert remover.stdout is not None
        removed += remover.stdout.read().split("\n")[:-1]
    async with SqliteStore(url) as store:
        left = await store.runs()
        assert len(removed) >= 10
        assert 60 - len(left) - len(removed) in (0, 1), "one may have been removed, and not been named any more"
        assert not {run.key for run in left} & set(removed)
        assert {len(await store.log(run.number)) for run in left} <= {200}
        sizes = await store.sizes()
        assert (sizes["events"].rows, sizes["questions"].rows) == (200 * len(left), len(left))
