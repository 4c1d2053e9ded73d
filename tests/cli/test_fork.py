"""`orchestra fork` and `orchestra replay`."""

from __future__ import annotations

from tests.cli.conftest import Shell

ADDING = """
from orchestra_graph import Graph, State, node


class Sum(State):
    one: int = 1
    two: int = 2
    double: int = 0
    total: int = 0


@node(writes="double")
async def twice(one: int) -> int:
    print("twice ran")
    return 2 * one


@node(writes="total")
async def add_up(double: int, two: int) -> int:
    print("add_up ran")
    return double + two


adding = Graph(Sum, name="adding")
adding.start(twice)
adding.chain(twice, add_up)
"""


def started(shell: Shell) -> list[str]:
    shell.write("adding.py", ADDING)
    assert shell("run", "adding.py", "--key", "one").exit_code == 0
    return ["--target", "adding.py"]


def test_a_fork_is_run_and_says_what_was_taken(shell: Shell) -> None:
    code = started(shell)
    before = shell.document("history", "one")
    result = shell("fork", "one", "--at", "0", "--set", "two=40", "--key", "other", *code)
    assert result.exit_code == 0
    assert "twice ran" not in result.stdout
    assert "add_up ran" in result.stdout
    assert "forked from one; taken from its log, not run: twice\n" in result.stdout
    assert shell.document("show", "other", *code)["state"]["total"] == 42
    assert shell.document("show", "one", *code)["state"]["total"] == 4
    assert shell.document("history", "one") == before
    document = shell.document("show", "other")
    assert document["run"]["origin"] == "one"
    assert {a["id"]: a["reused"] for a in document["activations"]} == {"twice": "one", "add_up": None}
    assert "fork of one\n  taken from its log, not run: twice\n" in shell("show", "other").stdout
    assert "double (taken from one)" in shell("history", "other").stdout


def test_a_fork_as_a_document(shell: Shell) -> None:
    code = started(shell)
    document = shell.document("fork", "one", "--at", "2", "--key", "other", *code)
    assert (document["run"], document["origin"], document["reused"]) == ("other", "one", [])
    assert document["status"] == "done"


def test_a_fork_may_be_made_only(shell: Shell) -> None:
    code = started(shell)
    result = shell("fork", "one", "--at", "0", "--set", "one=5", "--no-run", "--key", "other", *code)
    assert (result.exit_code, "ran" in result.stdout) == (0, False)
    assert "orchestra resume other --target adding.py" in result.stdout
    assert shell.document("show", "other")["run"]["status"] == "running"
    assert shell("resume", "other", *code).exit_code == 0
    assert shell.document("show", "other", *code)["state"]["total"] == 12


def test_what_is_asked_wrong_is_told(shell: Shell) -> None:
    code = started(shell)
    for words, told in [
        (["--set", "tow=1"], "Sum has no field 'tow' (it has 'one', 'two', 'double', 'total'). Did you mean 'two'?"),
        (["--set", "two=x"], "'two': Input should be a valid integer"),
        (["--set", "two"], "--set takes a JSON object"),
        (["--at", "99"], "99"),
    ]:
        result = shell("fork", "one", *words, *code)
        assert result.exit_code == 1, result.output
        assert told in result.stderr
    assert "this needs the code of run 'one'" in shell("fork", "one").stderr
    assert len(shell.document("runs")["runs"]) == 1


def test_a_replay_says_that_all_is_the_same(shell: Shell) -> None:
    code = started(shell)
    result = shell("replay", "one", *code)
    assert (result.exit_code, result.stdout) == (0, "run one replays to the same: 4 rows, 2 choices, done\n")
    document = shell.document("replay", "one", *code)
    assert document == {
        "run": "one", "same": True, "rows": 4, "choices": 2, "status": "done", "differences": []
    }  # fmt: skip


def test_a_replay_with_other_conditions_is_an_error(shell: Shell) -> None:
    text = ADDING.replace("adding.chain(twice, add_up)", "adding.edge(twice, add_up, when=lambda double: double < 100)")
    shell.write("adding.py", text)
    shell("run", "adding.py", "--key", "one")
    shell.write("other.py", text.replace("double < 100", "double > 100"))
    result = shell("replay", "one", "--target", "other.py")
    assert result.exit_code == 1
    assert "row 1, twice: where it goes: ['add_up'] was recorded, ['END'] comes out now" in result.stdout
