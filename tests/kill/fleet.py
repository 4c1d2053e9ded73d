"""Workers as real processes, for tests: started, listened to, killed, stopped, and started anew."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["PATIENCE", "ROOT", "WorkerProcess", "effects", "workers"]

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 60.0


class WorkerProcess:
    """One ``orchestra worker``.

    Args:
        url: The database.
        *words: More of the command line.
    """

    def __init__(self, url: str, *words: str):
        line = [sys.executable, "-m", "orchestra_graph", "worker", "--db", url, "--json", *words]
        self.process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(json.loads(line))
        self._said.put(None)

    def says(self, run: str, what: str) -> dict[str, Any]:
        """Wait until it says this of a run."""
        while True:
            said = self._said.get(timeout=PATIENCE)
            assert said is not None, f"it ended with {self.process.wait()}: {self.errors()}"
            assert "error" not in said, said
            if (said["run"], said["what"]) == (run, what):
                return said

    def errors(self) -> str:
        """What it has said on its standard error output; it must have ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def ends(self) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """Kill it, as it is."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@contextmanager
def workers(url: str, *words: str, count: int = 1) -> Iterator[list[WorkerProcess]]:
    """So many of them; whoever is in the list at the end is killed."""
    alive = [WorkerProcess(url, *words) for _ in range(count)]
    try:
        yield alive
    finally:
        for worker in alive:
            worker.kill()


def effects(folder: Path) -> Counter[tuple[str, ...]]:
    """The traces that nodes have left, and how often each."""
    path = folder / "effects"
    return Counter(tuple(line.split()) for line in path.read_text().splitlines()) if path.exists() else Counter()
