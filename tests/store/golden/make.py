"""Make a golden database with the code of an older release.

    git worktree add ../release 564f45c
    PYTHONPATH=../release python tests/store/golden/make.py schema-0001
    git worktree remove ../release

The result is `tests/store/golden/NAME.sql.gz`: the database as SQL, in which no machine is named. Its times and engine
ids are new each time; all else is the same.
"""

# ruff: noqa: E402

from __future__ import annotations

import asyncio
import gzip
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import orchestra_graph  # noqa: F401 - of the release that is asked for, before this one's can be found

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

from orchestra_graph import Engine
from tests.store.golden import graphs

ITEMS = [1, 2, 3, 4]


async def rest(url: str) -> None:
    """Runs that end or wait, and are let go."""
    async with Engine(url, graphs=[graphs.orders]) as engine:
        done = await engine.start(graphs.orders, graphs.Order(items=ITEMS), key="done")
        await done.wait()
        [question] = await done.questions()
        await done.answer(question.id, True)
        await done.result()
        for key, bad in (("waiting", 0), ("cancelled", 0), ("failed", 1)):
            run = await engine.start(graphs.orders, graphs.Order(items=ITEMS, bad=bad), key=key)
            await run.wait()
            if key == "cancelled":
                await run.cancel()


async def die_in_each(url: str) -> None:
    """The owner dies when two of four items are done."""
    graphs.DIE["price"] = 2
    async with Engine(url, graphs=[graphs.orders], concurrency=1) as engine:
        await (await engine.start(graphs.orders, graphs.Order(items=ITEMS), key="died in an each")).wait()


async def die_in_loop(url: str) -> None:
    """The owner dies in the third turn of a loop."""
    graphs.DIE["improve"] = 2
    async with Engine(url, graphs=[graphs.orders]) as engine:
        await (await engine.start(graphs.orders, graphs.Order(items=ITEMS), key="died in a loop")).wait()


async def die_behind_snapshot(url: str) -> None:
    """The owner dies when there has been a snapshot, and more was done since."""
    graphs.DIE["count"] = 640
    async with Engine(url, graphs=[graphs.counting]) as engine:
        await (await engine.start(graphs.counting, graphs.Count(), key="died behind a snapshot")).wait()


async def newer_rest(url: str) -> None:
    """Large values, and a result in the cache."""
    from tests.store.golden import graphs_2

    async with Engine(url, graphs=[graphs_2.papers]) as engine:
        for key in ("large and done", "large and waiting"):
            run = await engine.start(graphs_2.papers, graphs_2.Papers(text=graphs_2.LARGE), key=key)
            await run.wait()
            if key.endswith("done"):
                [question] = await run.questions()
                await run.answer(question.id, True)
                await run.result()


async def newer_die(url: str) -> None:
    """The owner dies in a graph in a graph."""
    from tests.store.golden import graphs_2

    graphs.DIE["count_words"] = 0
    async with Engine(url, graphs=[graphs_2.papers]) as engine:
        await (await engine.start(graphs_2.papers, graphs_2.Papers(text="a few words"), key="died inside")).wait()


ROLES = {role.__name__: role for role in (rest, die_in_each, die_in_loop, die_behind_snapshot, newer_rest, newer_die)}
SINCE_0002 = ("newer_rest", "newer_die")


def revision(path: Path) -> str:
    """The schema that the release makes."""
    with closing(sqlite3.connect(path)) as database:
        return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def dump(path: Path) -> str:
    """The database as SQL, without the name of the machine on which it was made."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE engines SET host = 'another-machine', pid = 1")
        database.commit()
        return "\n".join(database.iterdump()) + "\n"


def main(name: str) -> None:
    """Have each role played by a process of its own, and keep what they leave."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        for role in ROLES:
            if role not in SINCE_0002 or revision(path) > "0001":
                played = subprocess.run([sys.executable, __file__, role, f"sqlite:///{path}"], check=False)
                assert played.returncode == (9 if "die" in role else 0), role
        found = gzip.compress(dump(path).encode(), mtime=0)
    (HERE / f"{name}.sql.gz").write_bytes(found)
    print(f"{name}.sql.gz: {len(found)} bytes")


if __name__ == "__main__":
    if sys.argv[1] in ROLES:
        asyncio.run(ROLES[sys.argv[1]](sys.argv[2]))
    else:
        main(sys.argv[1])
