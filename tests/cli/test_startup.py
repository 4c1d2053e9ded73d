"""Nobody waits for what is not needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.conftest import Shell

HEAVY = ("sqlalchemy", "aiosqlite", "alembic", "networkx", "graphviz", "pygraphviz", "jsonschema", "anyio")

PROGRAM = """
import sys
from orchestra_graph.cli.main import cli
try:
    cli(sys.argv[1:])
except SystemExit as end:
    print(*sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)
    sys.exit(end.code)
"""


def loaded(shell: Shell, *words: str) -> set[str]:
    program = PROGRAM.format(heavy=HEAVY)
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=shell.folder)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "words",
    [("--help",), ("--version",), ("run", "--help"), ("watch", "--help"), ("doctor", "--help"), ("completion", "bash")],
)
def test_help_and_version_import_nothing_heavy(shell: Shell, words: tuple[str, ...]) -> None:
    assert loaded(shell, *words) == set()


def test_a_check_needs_no_database(shell: Shell) -> None:
    assert loaded(shell, "check", "desk.py") <= {"networkx"}


def test_a_listing_needs_the_database_only(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    assert loaded(shell, "runs") <= {"sqlalchemy", "aiosqlite", "anyio"}


def test_completing_a_key_needs_no_store(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    program = (
        "import sys; from click.shell_completion import ShellComplete as Complete; "
        "from orchestra_graph.cli.main import cli; found = Complete(cli, {}, 'o', 'v').get_completions(['show'], ''); "
        f"sys.exit([item.value for item in found] != ['r1'] or bool({set(HEAVY)!r} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=shell.folder).returncode == 0
