"""What comes from a database reaches a terminal as text: nothing that it would obey, whatever stands there."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from click import Command, Context, Option
from click.testing import Result

from orchestra_graph import Engine
from orchestra_graph.cli.completing import question_ids, run_keys
from orchestra_graph.cli.report import render_json, render_line, safe
from orchestra_graph.cli.said import Settings
from orchestra_graph.errors import StoreBroken, StoreSealed, UnknownRun, without_password
from orchestra_graph.store.keys import Keys
from orchestra_graph.store.place import shown
from tests.cli.conftest import Shell
from tests.store.hostile import Doc, desk, guarded

EVIL = "\x1b[31mred\x1b]0;title\x07\x1b[2J\x9b5m\u202egnp\u2066\x00\r\b"
PASSWORD = "hunter2"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A run that waits, and one that has failed."""
    path = tmp_path / "orchestra.db"

    async def fill() -> None:
        async with Engine(f"sqlite:///{path}", graphs=[desk]) as engine:
            await (await engine.start(desk, Doc(topic="wait"), key="wait")).wait()
            await (await engine.start(desk, Doc(topic="fail"), key="fail")).wait()

    asyncio.run(fill())
    return path


def change(path: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(path) as database:
        assert database.execute(statement, values).rowcount, statement


def spoil(path: Path, table: str, column: str, old: str, new: str) -> None:
    """Replace a text in JSON."""
    escaped = json.dumps(new, ensure_ascii=True)[1:-1]
    change(path, f"UPDATE {table} SET {column} = replace({column}, ?, ?)", old, escaped)


def obeyed(text: str) -> set[str]:
    """What a terminal would obey, or what turns the text around it."""
    return {c for c in text if c != "\n" and (unicodedata.category(c) in ("Cc", "Cs") or c in _TURNS)}


_TURNS = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)}

COMMANDS = (
    ["runs"],
    ["runs", "--graph", EVIL],
    ["show", "wait"],
    ["show", "fail"],
    ["watch", "fail"],
    ["history", "wait"],
    ["history", "fail"],
    ["questions"],
    ["questions", "wait"],
    ["doctor"],
    ["draw", "--run", "wait", "--format", "text"],
    ["draw", "--run", "wait", "--format", "mermaid"],
    ["draw", "--run", "wait", "--format", "dot"],
    ["diff", "wait", "0", "1"],
    ["answer", "wait", "not this"],
    ["show", EVIL.replace("\x00", "")],
    ["db", "check"],
)


def check(result: Result) -> None:
    """It ended as a command ends, and said nothing that a terminal obeys."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in range(7)
    assert not obeyed(result.stdout)
    assert not obeyed(result.stderr)
    assert "Traceback" not in result.stderr


def every_command(shell: Shell) -> None:
    for words in COMMANDS:
        check(shell(*words))
        found = shell(*words, "--json")
        check(found)
        if words[0] != "watch" and found.exit_code != 2:
            json.loads(found.stdout)


def test_text_of_every_kind_is_shown_without_what_a_terminal_obeys(shell: Shell, database: Path) -> None:
    every_command(shell)  # what it imports is there from now on
    change(database, "UPDATE questions SET prompt = ?, addressee = ?", EVIL, EVIL)
    change(database, "UPDATE runs SET graph = ?, version = ?", EVIL, EVIL)
    spoil(database, "questions", "details", "topic", EVIL)
    spoil(database, "events", "body", "it was told to", EVIL)
    spoil(database, "runs", "note", "it was told to", EVIL)
    spoil(database, "graphs", "shape", "turns < 2", EVIL)
    with guarded():
        every_command(shell)
    assert "red" in shell("questions").stdout


@pytest.mark.parametrize(
    ("table", "column", "old", "new"),
    [
        ("graphs", "shape", '"meet_here"', f'"{EVIL}"'),
        ("events", "body", '"topic":"wait"', f'"topic":{json.dumps(EVIL)}'),
        ("events", "kind", "NodeFinished", EVIL),
        ("events", "body", '"id":"plan"', '"id":["plan"]'),
        ("runs", "status", "waiting", EVIL),
        ("graphs", "shape", "{", "["),
        ("snapshots", "body", "{", "["),
        ("questions", "answer_schema", '{"type": "boolean"}', "[" * 20_000),
        ("questions", "answer_schema", '{"type": "boolean"}', '{"$ref": "http://127.0.0.1:9/x"}'),
        ("runs", "created_at", ".", "e400."),
        ("alembic_version", "version_num", "000", EVIL),
    ],
)
def test_what_cannot_be_read_ends_as_an_error_of_ours(
    shell: Shell, database: Path, table: str, column: str, old: str, new: str
) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (old, new))
    every_command(shell)


def test_a_name_of_a_run_that_a_terminal_obeys_can_be_listed(shell: Shell, database: Path) -> None:
    change(database, "UPDATE runs SET key = ? WHERE key = 'wait'", EVIL.replace("\x00", ""))
    result = shell("runs")
    check(result)
    check(shell("questions"))
    assert "red" in result.stdout
    document = shell.document("runs")
    assert EVIL.replace("\x00", "") in {run["key"] for run in document["runs"]}


def test_a_shell_is_offered_what_can_be_typed_only(shell: Shell, database: Path) -> None:
    for key in ("fine", "two\nplain,lines", "\x1b[2J"):
        change(database, "UPDATE runs SET key = ? WHERE status = 'waiting'", key)
        found = [item.value for item in run_keys(context(database), Option(["-x"]), "")]
        assert found == (["fail", "fine"] if key == "fine" else ["fail"])


def context(database: Path, **said: str) -> Context:
    made = Context(Command("answer"), obj=Settings(db=str(database)))
    made.params.update(said)
    return made


def test_what_is_asked_stands_beside_a_question_as_one_plain_line(shell: Shell, database: Path) -> None:
    for prompt, beside in ((EVIL, "red"), ("sealed:1:2026:AAAA", "encrypted")):
        change(database, "UPDATE questions SET prompt = ?", prompt)
        (item,) = question_ids(context(database, key="wait"), Option(["-x"]), "")
        assert beside in (item.help or "")
        assert not obeyed(item.help or "")


def test_the_gate_lets_lines_and_colours_through_and_nothing_else() -> None:
    assert safe("a\x1b[1mb\x1b[0m\nc") == "a\x1b[1mb\x1b[0m\nc"
    assert safe("a\x1b[2Jb\x1b]0;t\x07") == "a\ufffd[2Jb\ufffd]0;t\ufffd"
    assert safe("a\tb\u202ec\ud800") == "a b\ufffdc\ufffd"
    assert safe("\u0645\u06cc\u200c\u062e") == "\u0645\u06cc\u200c\u062e"


def test_json_says_the_same_with_escapes() -> None:
    document = {"key": EVIL + "ä\U000e0001"}
    for rendered in (render_json(document), render_line(document)):
        assert json.loads(rendered) == document
        assert not obeyed(rendered)
        assert "ä" in rendered


# -- passwords -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"postgresql://ana:{PASSWORD}@host:5432/db", "postgresql://ana:***@host:5432/db"),
        (
            f"postgresql+psycopg://ana:{PASSWORD}@host/db?sslmode=require",
            "postgresql+psycopg://ana:***@host/db?sslmode=require",
        ),
        (f"postgresql://ana:a@b/{PASSWORD}?c@host/db", "postgresql://ana:***@host/db"),
        (f"postgresql://host/db?user=ana&password={PASSWORD}&x=1", "postgresql://host/db?user=ana&password=***&x=1"),
        (f"postgres://:{PASSWORD}@/db?host=/run", "postgres://:***@/db?host=/run"),
        ("postgresql://ana@host/db", "postgresql://ana@host/db"),
        ("postgresql://host/db?user=ana@work", "postgresql://host/db?user=ana@work"),
        ("sqlite:////home/a:b@c/runs.db", "sqlite:////home/a:b@c/runs.db"),
        ("memory://", "memory://"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, expected: str) -> None:
    assert shown(url) == without_password(url) == expected
    for error in (StoreBroken(url, "x"), StoreSealed(url, "x", "k"), UnknownRun("x", url)):
        assert PASSWORD not in f"{error!r} {error} {error.__dict__}"


def test_no_command_says_a_password(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql://ana:{PASSWORD}@127.0.0.1:1/none"
    for words in (["runs"], ["show", "k"], ["questions"], ["history", "k"], ["doctor"], ["db", "check"]):
        for result in (shell(*words, "--db", url), shell(*words, "--db", url, "--json")):
            check(result)
            assert PASSWORD not in result.output
    monkeypatch.setenv("ORCHESTRA_DB", url)
    result = shell("runs")
    check(result)
    assert PASSWORD not in result.output


def test_a_line_to_type_has_no_password_in_it() -> None:
    settings = Settings(db=f"postgresql://ana:{PASSWORD}@host/db")
    assert settings.line("show", "k") == 'orchestra show k --db "$ORCHESTRA_DB"'
    assert Settings(db="a b.db").line("show", "k") == "orchestra show k --db 'a b.db'"


# -- encrypted -------------------------------------------------------------------------------------------

SECRET = b"s" * 32


@pytest.fixture
def encrypted(tmp_path: Path) -> None:
    async def fill() -> None:
        keys = Keys({"2026": SECRET}, use="2026")
        async with Engine(f"sqlite:///{tmp_path}/orchestra.db", graphs=[desk], keys=keys) as engine:
            await (await engine.start(desk, Doc(topic="wait"), key="wait")).wait()

    asyncio.run(fill())


def test_without_the_key_a_run_is_listed_and_what_is_encrypted_says_so(shell: Shell, encrypted: None) -> None:
    assert "wait  desk   waiting" in shell("runs").stdout
    result = shell("show", "wait")
    assert result.exit_code == 0
    assert "wait (desk) is waiting" in result.stdout
    assert "all else is encrypted (key '2026')" in result.stdout
    document = shell.document("show", "wait")
    assert (document["run"]["status"], document["state_hidden"]) == ("waiting", "encrypted (key '2026')")
    assert set(document) == {"run", "activations", "why", "questions", "state", "state_hidden"}
    for words in (["history", "wait"], ["questions"], ["draw", "--run", "wait"]):
        refused = shell(*words)
        assert refused.exit_code == 1
        assert "encrypted (key '2026')" in refused.stderr


def test_with_the_key_in_the_environment_everything_is_shown(
    shell: Shell, encrypted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRA_KEYS", f"2026:{base64.b64encode(SECRET).decode()}")
    assert "approve asks anna: Publish wait?" in shell("show", "wait").stdout
    assert shell("questions").exit_code == 0
    assert shell("answer", "wait", "true").exit_code == 0


def test_a_key_that_is_none_is_an_error_that_does_not_say_it(
    shell: Shell, encrypted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRA_KEYS", f"2026:{PASSWORD}")
    result = shell("show", "wait")
    assert result.exit_code == 1
    assert "'2026' is not in base64" in result.stderr
    assert PASSWORD not in result.output
