"""What every test of the command line has: a folder of its own to be in, and a way to call."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import orchestra_graph.cli
from orchestra_graph.cli.main import cli
from tests.cli.graphs import DESK, ENDINGS, HANGING

# The commands are imported when they are first used. Were that while a test has replaced a function for a moment, they
# would keep the replacement.
for _module in pkgutil.iter_modules(orchestra_graph.cli.__path__, "orchestra_graph.cli."):
    importlib.import_module(_module.name)


@dataclass(frozen=True)
class Shell:
    """Calls the command line in a folder.

    Attributes:
        folder: The working directory.
    """

    folder: Path

    def __call__(self, *words: str, stdin: str | None = None) -> Result:
        """Call it in this process."""
        return CliRunner().invoke(cli, list(words), input=stdin, prog_name="orchestra")

    def document(self, *words: str, code: int = 0) -> Any:
        """Call it with --json: its exit code must be *code*, and its output one document."""
        result = self(*words, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def process(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start it as a process of its own."""
        usual = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": self.folder}
        return subprocess.Popen([sys.executable, "-m", "orchestra_graph", *words], text=True, **{**usual, **options})

    def hanging(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start a process whose run is in the node `hang` of `hanging.py`, until there is a file `go`."""
        told = self.folder / "started"
        os.mkfifo(told)
        self.write("hanging.py", HANGING.replace('Path("started").touch()', 'Path("started").write_text("yes")'))
        ours = os.open(told, os.O_RDONLY | os.O_NONBLOCK)
        process = self.process("run", "hanging.py", *words, **options)
        while not (select.select([ours], [], [], 0.1)[0] and os.read(ours, 3)):
            assert process.poll() is None, process.communicate()
        os.close(ours)
        told.unlink()
        return process

    def write(self, name: str, text: str) -> Path:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A folder with `desk.py` and `endings.py`, in which nothing is configured; what is imported there is forgotten."""
    for name in [name for name in os.environ if name.startswith("ORCHESTRA_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    paths, modules = list(sys.path), set(sys.modules)
    shell = Shell(tmp_path)
    shell.write("pyproject.toml", "")  # the nearest one, so that none outside is asked
    shell.write("desk.py", DESK)
    shell.write("endings.py", ENDINGS)
    yield shell
    sys.path[:] = paths
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def forget(*names: str) -> None:
    """Let a file be imported anew, as in a new process."""
    for name in names:
        sys.modules.pop(name, None)
