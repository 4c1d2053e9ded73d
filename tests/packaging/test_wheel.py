"""The wheel, as a stranger meets it: built, installed in an empty environment, used from another folder."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FLOW = """
import time
from typing import Annotated

from orchestra_graph import END, Graph, Item, Question, State, append, ask, later, node


class Order(State):
    items: list[int]
    done: Annotated[list[str], append] = []
    allowed: bool = later()


@node
def begin(items: list[int]) -> None:
    return None


@node(writes="done")
def pack(item: Item[int]) -> str:
    time.sleep(0.05)
    with open("effects.txt", "a") as effects:
        effects.write(f"pack {item}\\n")
    return f"packed {item}"


@ask(writes="allowed")
def ship(done: list[str]) -> Question[bool]:
    return Question(f"Ship {len(done)} items?")


flow = Graph(Order, name="packing")
flow.start(begin)
flow.each(begin, "items", pack, collect=ship, limit=2)
"""


class Stranger:
    """Somebody with an empty folder and an environment of their own."""

    def __init__(self, home: Path):
        self.home = home
        self.bin = home / "env" / "bin"
        self.work = home / "work"
        self.work.mkdir()
        self.env = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}

    def install(self, wheel: Path) -> None:
        venv.create(self.home / "env", with_pip=True)
        pip = [str(self.bin / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        constraints = ["--constraint", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *constraints, f"{wheel}[diagrams]"], check=True, env={**os.environ, "PYTHONPATH": ""})

    def types(self, *words: str, expect: int = 0) -> str:
        done = subprocess.run(
            ["orchestra", *words], cwd=self.work, env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == expect, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def starts(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["orchestra", *words], cwd=self.work, env=self.env, stdout=subprocess.DEVNULL)


def _finished(database: Path) -> list[str]:
    """The activations whose end is in the log."""
    if not database.exists():
        return []
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT body FROM events WHERE kind = 'NodeFinished' ORDER BY seq").fetchall()
    except sqlite3.OperationalError:
        return []  # its tables are not there yet
    finally:
        connection.close()
    return [json.loads(body)["id"] for (body,) in rows]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.kill
@pytest.mark.timeout(300)
def test_a_run_is_started_killed_resumed_answered_and_drawn_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    stranger = Stranger(tmp_path)
    stranger.install(wheel)
    (stranger.work / "flow.py").write_text(FLOW)
    database = stranger.work / "orchestra.db"

    items = json.dumps({"items": list(range(12))})
    first = stranger.starts("run", "flow.py:flow", "--input", items, "--key", "box")
    deadline = time.monotonic() + 30
    while len(_finished(database)) < 5:
        assert time.monotonic() < deadline, "the run did not get going"
        assert first.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = set(_finished(database))
    packed_before = (stranger.work / "effects.txt").read_text().splitlines()
    assert 5 <= len(before) < 12

    shown = stranger.types("resume", "box", "--target", "flow.py:flow", expect=3)
    assert "orchestra answer box" in shown
    finished = _finished(database)
    assert len(finished) == len(set(finished)) == 13, "every node finished once"
    again = (stranger.work / "effects.txt").read_text().splitlines()[len(packed_before) :]
    done_before = {f"pack {i}" for i in range(12) if f"pack#{i}" in before}
    assert not done_before & set(again), "no finished node ran again"

    assert json.loads(stranger.types("questions", "--json"))
    stranger.types("answer", "box", "true", "--target", "flow.py:flow")
    stranger.types("draw", "--run", "box", "-o", "box.svg")
    assert (stranger.work / "box.svg").read_text().count("pack") >= 1
    assert "done" in stranger.types("show", "box")


def test_the_wheel_carries_the_migrations_and_the_examples(wheel: Path) -> None:
    import zipfile

    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.startswith("orchestra_graph/migrations/versions/0001") for name in names)
    assert "orchestra_graph/examples/licence_review.py" in names
    assert "orchestra_graph/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]
