"""Completion: what a shell offers, asked of click's own machinery and of a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from click.shell_completion import CompletionItem, FishComplete, ShellComplete, ZshComplete

from orchestra_graph.cli.completion import Bash
from orchestra_graph.cli.main import cli
from orchestra_graph.cli.settings import Settings
from tests.cli.conftest import Shell

BASH = shutil.which("bash")


def items(*words: str) -> list[CompletionItem]:
    """What the last word can become."""
    *before, begun = words
    made = ShellComplete(cli, {"obj": Settings()}, "orchestra", "_ORCHESTRA_COMPLETE")
    return made.get_completions(before, begun)


def offered(*words: str) -> list[str]:
    return [item.value for item in items(*words)]


@pytest.mark.usefixtures("shell")
def test_commands_and_options_are_offered() -> None:
    assert offered("re") == ["replay", "resume", "retry"]
    assert offered("dem") == ["demo"]
    assert offered("--tr") == ["--traceback"]
    assert {"--db", "--json", "--key", "--input"} <= set(offered("run", "--"))
    assert offered("completion", "") == ["bash", "zsh", "fish"]


def test_offering_the_commands_imports_no_demonstration() -> None:
    program = (
        "import sys; from orchestra_graph.cli.main import cli; "
        "from click.shell_completion import ShellComplete as S; S(cli, {}, 'o', 'v').get_completions([], ''); "
        "sys.exit('orchestra_graph.cli.demo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_keys_of_runs_are_offered_with_their_status(shell: Shell) -> None:
    for key in ("ticket-1", "ticket-2", "other"):
        shell("run", "desk.py", "--input", "text=a", "--key", key)
    for words in (("show",), ("answer",), ("cancel",), ("retry",), ("resume",), ("draw", "--run")):
        assert offered(*words, "tick") == ["ticket-2", "ticket-1"]
    assert [item.help for item in items("show", "o")] == ["waiting"]


def test_the_database_of_the_line_is_asked(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1", "--db", "a.db")
    assert offered("show", "") == []
    assert offered("show", "--db", "a.db", "") == ["r1"]
    assert offered("--db", "a.db", "show", "") == ["r1"]


def test_ids_of_questions_are_offered_behind_the_run(shell: Shell) -> None:
    shell("run", "endings.py:asking", "--key", "r1")
    assert offered("answer", "r1", "") == ["who", "how_large"]
    assert offered("answer", "r1", "h") == ["how_large"]
    assert offered("answer", "r1", "who", "") == []


def test_targets_that_are_named_are_offered_and_files_otherwise(shell: Shell) -> None:
    shell.write("pyproject.toml", '[tool.orchestra]\ntargets = ["desk.py:desk", "endings.py"]')
    assert offered("run", "") == ["desk.py:desk", "endings.py"]
    assert offered("check", "d") == ["desk.py:desk"]
    [files] = items("draw", "src/")
    assert (files.type, files.value) == ("file", "src/")
    assert offered("run", "--target", "e") == ["endings.py"]


@pytest.mark.parametrize("database", ["none.db", "broken.db", "memory://", "sqlite:///:memory:"])
def test_what_cannot_be_read_offers_nothing(shell: Shell, database: str) -> None:
    shell.write("broken.db", "no database\n" * 100)
    assert offered("show", "--db", database, "") == []
    assert not (shell.folder / "none.db").exists()
    shell.write("pyproject.toml", "[tool.orchestra\n")
    assert offered("show", "") == []


def test_nothing_is_changed_by_looking(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    before = {path.name: path.read_bytes() for path in shell.folder.glob("orchestra.db*")}
    assert offered("answer", "r1", "") == ["approve"]
    assert {path.name: path.read_bytes() for path in shell.folder.glob("orchestra.db*")} == before


@pytest.mark.parametrize(("name", "made"), [("bash", Bash), ("zsh", ZshComplete), ("fish", FishComplete)])
def test_the_script_of_a_shell_is_printed(shell: Shell, name: str, made: type[ShellComplete]) -> None:
    result = shell("completion", name)
    assert result.exit_code == 0
    variables = made(cli, {}, "orchestra", "_ORCHESTRA_COMPLETE").source_vars()
    assert result.stdout.strip() == (made.source_template % variables).strip()
    assert shell.document("completion", name)["script"].strip() == result.stdout.strip()


def test_an_unknown_shell_is_refused_with_those_that_are_known(shell: Shell) -> None:
    result = shell("completion", "tcsh")
    assert result.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in result.stderr


# -- a real bash -------------------------------------------------------------------------------------

_ASK = """
eval "$(orchestra completion bash)"
COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDBREAKS=$2
_orchestra_completion orchestra
printf '%s\\n' "${COMPREPLY[@]}"
"""


def in_bash(shell: Shell, line: str, breaks: str = " \t\n\"'@><=;|&(:") -> list[str]:
    """What a bash would put in place of what follows the last of its word breaks."""
    assert BASH is not None
    bin_folder = shell.folder / "bin"
    if not bin_folder.exists():
        program = shell.write(
            "bin/orchestra", f"#!{sys.executable}\nfrom orchestra_graph.cli.main import main\nmain()\n"
        )
        program.chmod(0o755)
    env = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [BASH, "--noprofile", "--norc", "-c", _ASK, "bash", line, breaks]
    done = subprocess.run(command, capture_output=True, text=True, cwd=shell.folder, env=env, check=False, timeout=60)
    assert "rror" not in done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
def test_a_real_bash_completes_commands_keys_and_words_with_colons(shell: Shell) -> None:
    shell.write("pyproject.toml", '[tool.orchestra]\ntargets = ["desk.py:desk"]')
    shell("run", "--input", "text=a", "--key", "ticket-1")
    assert in_bash(shell, "orchestra ret") == ["retry"]
    assert in_bash(shell, "orchestra show tick") == ["ticket-1"]
    assert in_bash(shell, "orchestra show ") == ["ticket-1"]
    assert in_bash(shell, "orchestra draw des") == ["desk.py:desk"]
    assert in_bash(shell, "orchestra draw desk.py:d") == ["desk"]
    assert in_bash(shell, "orchestra draw desk.py:") == ["desk"]
    assert in_bash(shell, "orchestra draw desk.py:d", breaks=" \t\n") == ["desk.py:desk"]
    assert in_bash(shell, "orchestra --target desk.py:d") == ["desk"]
    shell("run", "--input", "text=a", "--key", "anna@home")
    assert in_bash(shell, "orchestra show anna@h") == ["home"]
    assert in_bash(shell, "orchestra show anna@h", breaks=" \t\n:=") == ["anna@home"]
