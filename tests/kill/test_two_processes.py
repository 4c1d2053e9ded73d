"""Two processes and one run: who drives it is known, followed, and replaced at once when dead."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from orchestra_graph import Done, Engine, RunOwned
from tests.kill.flow import Held, held
from tests.kill.processes import PROCESSES
from tests.kill.worker import hold

pytestmark = [pytest.mark.kill, pytest.mark.timeout(60)]


@dataclass(frozen=True)
class Owner:
    """Another process that drives the run, and is in the middle of its second node."""

    process: ForkServerProcess
    door: Connection
    url: str

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.process.join(30)

    def let_go_on(self) -> None:
        self.door.send("go on")


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    here, there = PROCESSES.Pipe()
    url = f"sqlite:///{tmp_path}/run.db"
    process = PROCESSES.Process(target=hold, args=(url, there))
    process.start()
    assert here.poll(30), "the process does not come to its node"
    assert here.recv() == "stay runs"
    yield Owner(process, here, url)
    process.kill()
    process.join(30)
    here.close()
    there.close()


@pytest.mark.asyncio
async def test_a_second_process_is_told_who_drives_and_takes_over_at_once_when_that_one_is_killed(owner: Owner) -> None:
    async with Engine(owner.url, graphs=[held]) as engine:
        run = await engine.get("held", held)
        for refused in (run.resume(), run.retry()):
            with pytest.raises(RunOwned, match="which is alive") as caught:
                await refused
            assert (caught.value.key, caught.value.pid, caught.value.host) == ("held", owner.pid, platform.node())
        assert (await run.state()).first == owner.pid  # it can be read all the while
        assert [a.status for a in (await run.record()).activations] == ["done", "running"]
        owner.kill()
        began = time.monotonic()
        await run.resume()
        assert time.monotonic() - began < 5  # no lease had to run out
        state = await run.result()
        assert (state.first, state.second) == (owner.pid, os.getpid())


@pytest.mark.asyncio
async def test_a_second_process_that_waits_follows_the_first_to_the_end(owner: Owner) -> None:
    async with Engine(owner.url, graphs=[held]) as engine:
        run = await engine.get("held", held)
        with pytest.raises(TimeoutError):
            await run.wait(timeout=0.1)
        following = asyncio.create_task(run.wait())
        await asyncio.sleep(0)
        owner.let_go_on()
        outcome = await asyncio.wait_for(following, 30)
        assert isinstance(outcome, Done)
        assert (outcome.state.first, outcome.state.second) == (owner.pid, owner.pid)


@pytest.mark.asyncio
async def test_a_second_process_that_waits_takes_over_when_the_first_is_killed(owner: Owner) -> None:
    async with Engine(owner.url, graphs=[held]) as engine:
        run = await engine.start(held, Held(), key="held")  # the same run: somebody else has started it
        following = asyncio.create_task(run.result())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(following), 0.1)
        owner.kill()
        state = await asyncio.wait_for(following, 30)
        assert (state.first, state.second) == (owner.pid, os.getpid())
