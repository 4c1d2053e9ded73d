"""Runs the ``console`` blocks of a page: each command behind a ``$``, in a shell, with what it should print."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Console", "commands"]


def commands(code: str) -> Iterator[tuple[str, str]]:
    """The commands of a block, each with the lines below it."""
    command, printed = "", ""
    for line in code.splitlines(keepends=True):
        if line.startswith("$ "):
            if command:
                yield command, printed
            command, printed = line[2:].rstrip("\n"), ""
        else:
            printed += line
    yield command, printed


class Console:
    """A shell in a folder, whose `export`s last."""

    def __init__(self, folder: Path):
        self._folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRA_", "PYTEST_"))}
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
        self._environment = {**kept, "PATH": path, "COLUMNS": "120", "PYTHONWARNINGS": ""}

    def type(self, command: str) -> str:
        """Run a command; what it prints, errors included."""
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self._environment[name] = value
            return ""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        # Where a command was put into the background and killed, the shell says so in words of its own.
        return "".join(line for line in done.stdout.splitlines(keepends=True) if not line.startswith("bash: "))
