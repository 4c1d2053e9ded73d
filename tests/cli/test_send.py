"""`orchestra send`, and `orchestra run --detach`: runs that others move."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Shell

CHAT = """
from typing import Annotated

from orchestra_graph import END, Graph, State, append, node, receive


class Chat(State):
    said: Annotated[list[str], append] = []


@node
async def think() -> None: ...


chat = Graph(Chat, name="chat")
hear = receive("user", str, writes="said")
chat.start(hear)
chat.edge(hear, think)
chat.edge(think, END, when=lambda said: said[-1] == "bye")
chat.edge(think, hear, otherwise=True)
"""


@pytest.fixture
def chat(shell: Shell) -> Shell:
    """The run r1 waits for a message."""
    shell.write("chat.py", CHAT)
    result = shell("run", "chat.py", "--key", "r1")
    assert result.exit_code == 3
    assert "r1 is waiting for a message on 'user'\n    orchestra send r1 user ... --target chat.py" in result.stdout
    return shell


def test_show_says_how_to_send_one(chat: Shell) -> None:
    shown = chat("show", "r1").stdout
    assert "user@0 waits for a message on 'user'" in shown
    assert "to send it one on 'user':\n    orchestra send r1 user ..." in shown
    assert "resume" not in shown


def test_with_code_the_run_goes_on(chat: Shell) -> None:
    assert chat("send", "r1", "user", "hello", "--target", "chat.py").exit_code == 3
    result = chat("send", "r1", "user", "bye", "--target", "chat.py")
    assert result.exit_code == 0
    assert 'said: ["hello", "bye"]' in result.stdout
    late = chat("send", "r1", "user", "late", "--target", "chat.py")
    assert late.exit_code == 1
    assert "run 'r1' is done" in late.stderr


def test_without_code_the_message_is_kept(chat: Shell) -> None:
    result = chat("send", "r1", "user", "bye", "--id", "m1")
    assert result.exit_code == 0
    assert "message m1 to r1 is stored" in result.stdout
    assert "    orchestra resume r1 --target path/file.py:chat\n" in result.stdout
    assert chat.document("send", "r1", "user", "bye", "--id", "m1")["message"] == "m1"
    assert 'said: ["bye"]' in chat("resume", "r1", "--target", "chat.py").stdout


def test_what_does_not_fit_is_not_sent(chat: Shell) -> None:
    for words in (("user", "[1]"), ("usr", "x"), ("user", "x", "--busy", "interrupt")):
        assert chat("send", "r1", *words).exit_code == 1
    assert "takes no messages on 'usr'" in chat("send", "r1", "usr", "x").stderr
    assert chat("send", "none", "user", "x").exit_code == 1


def test_a_busy_run_rejects(chat: Shell) -> None:
    assert chat("send", "r1", "user", "one").exit_code == 0  # nobody drives it: it lies there
    result = chat("send", "r1", "user", "two", "--busy", "reject", "--target", "chat.py")
    assert result.exit_code == 1
    assert "run 'r1' is at work" in result.stderr


def test_a_detached_run_is_driven_by_a_worker(shell: Shell) -> None:
    result = shell("run", "desk.py", "--input", "text=a", "--key", "r1", "--detach")
    assert result.exit_code == 0
    assert "r1 is running, and a worker drives it:   orchestra worker --target desk.py" in result.stdout
    assert shell("runs", "--status", "running").stdout.splitlines()[1].startswith("r1 ")
    assert shell("worker", "desk.py", "--until-idle").exit_code == 0
    assert shell("runs", "--status", "waiting").stdout.splitlines()[1].startswith("r1 ")
