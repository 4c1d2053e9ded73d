"""`orchestra db check`: the schema, and what becomes of runs when the code is deployed."""

from __future__ import annotations

import sys

from tests.cli.conftest import Shell

BEFORE = """
from orchestra_graph import Graph, State, ask, later, node
from orchestra_graph.graph.question import Question


class Review(State):
    text: str = "a"
    ok: bool = later()


@ask(writes="ok")
async def approve(text: str) -> Question[bool]:
    return Question("?")


@node
async def publish(ok: bool) -> None: ...


review = Graph(Review, name="review", version="1")
review.start(approve)
review.edge(approve, publish)
"""
ADDED = """

@node
async def announce() -> None: ...


review.edge(publish, announce)
"""


def deploy(shell: Shell, text: str) -> None:
    """Change the code; what was imported of it is forgotten."""
    shell.write("review.py", text)
    sys.modules.pop("review", None)


def started(shell: Shell) -> None:
    deploy(shell, BEFORE)
    shell("run", "review.py", "--key", "k")


def test_without_a_target_only_the_schema_is_looked_at(shell: Shell) -> None:
    started(shell)
    document = shell.document("db", "check")
    assert document["schema"] == "ok"
    assert "runs" not in document


def test_runs_that_the_code_fits_go_on(shell: Shell) -> None:
    started(shell)
    (run,) = shell.document("db", "check", "review.py")["runs"]
    assert (run["key"], run["how"], run["changes"]) == ("k", "as it is", [])
    deploy(shell, BEFORE + ADDED)
    (run,) = shell.document("db", "check", "review.py")["runs"]
    assert (run["how"], run["changes"]) == (
        "by a move",
        ["node 'announce' is new", "the edge publish -> END is gone", "the edge announce -> END is new",
         "the edge publish -> announce is new"],
    )  # fmt: skip
    assert "✓ k goes on by a move" in shell("db", "check", "review.py").stdout


def test_a_run_that_cannot_go_on_is_the_exit_code_and_the_line_that_mends_it_works(shell: Shell) -> None:
    started(shell)
    renamed = BEFORE.replace("approve", "sign_off")
    deploy(shell, renamed)
    document = shell.document("db", "check", "review.py", code=1)
    (run,) = document["runs"]
    assert not document["ok"]
    assert run["why"] == ["'approve' waits for a person, and there is no 'approve' any more"]
    mend = 'review.migrate("1", nodes={"approve": "sign_off"})'
    said = shell("db", "check", "review.py")
    assert (said.exit_code, mend in said.stdout) == (1, True)
    deploy(shell, renamed.replace('version="1"', 'version="2"') + mend)
    (run,) = shell.document("db", "check", "review.py")["runs"]
    assert run["how"] == "by a migration"
    shell("answer", "k", "approve", "true")
    assert shell.document("resume", "k", "--target", "review.py")["status"] == "done"


def test_what_has_ended_does_not_count(shell: Shell) -> None:
    started(shell)
    shell("cancel", "k")
    deploy(shell, BEFORE.replace("approve", "sign_off"))
    document = shell.document("db", "check", "review.py")
    assert (document["runs"], document["ok"]) == ([], True)
    assert "no run has yet to go on" in shell("db", "check", "review.py").stdout


def test_nothing_is_changed_by_looking(shell: Shell) -> None:
    started(shell)
    before = (shell.folder / "orchestra.db").read_bytes()
    deploy(shell, BEFORE + ADDED)
    shell("db", "check", "review.py")
    steps = shell.document("history", "k")
    assert "RunMoved" not in str(steps)
    assert shell.document("show", "k")["run"]["version"] == "1"
    assert len((shell.folder / "orchestra.db").read_bytes()) == len(before)
