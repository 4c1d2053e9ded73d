# looking at a small file does not disturb a test's event loop
"""A database row is data: whatever somebody wrote there, reading it runs nothing, and ends with a typed error."""

from __future__ import annotations

import asyncio
import copy
import json
import random
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestra_graph import Engine
from orchestra_graph.core.frozen import MOST as MOST_ROWS
from orchestra_graph.core.frozen import check_frozen
from orchestra_graph.errors import StoreBroken, StoreError, WrongAnswer
from orchestra_graph.runtime.by_schema import UnusableSchema, wrong_by_schema
from orchestra_graph.runtime.outcomes import example_answer
from orchestra_graph.runtime.shaped import shape_in
from orchestra_graph.runtime.wellformed import Misfit
from orchestra_graph.store import open_store
from orchestra_graph.store.base import Append, Store
from orchestra_graph.store.memory_database import MemoryDatabase
from orchestra_graph.testing.contract.common import asked, question, started
from orchestra_graph.testing.postgres import throwaway_postgres
from tests.store.hostile import BOMBS, DOORS, READING, TEXTS, Doc, desk, guarded, kept_in, made, meet, spoiled

_ORIGINAL: list[MemoryDatabase] = []


async def a_copy() -> MemoryDatabase:
    """The runs, as nobody has touched them; every door has been used, so that all that it imports is there."""
    if not _ORIGINAL:
        _ORIGINAL.append(await made())
        for key in ("chat", "wait", "done", "fail"):
            for door in DOORS:
                await meet(_ORIGINAL[0], key, door)
    return copy.deepcopy(_ORIGINAL[0])


async def through(database: MemoryDatabase, key: str, doors: tuple[str, ...] = READING) -> set[str]:
    """Go through doors that only read; what came of it."""
    with guarded():
        return {await meet(database, key, door) for door in doors}


# -- anything, anywhere ----------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", [*range(40), 7_007])
async def test_whatever_stands_there_comes_out_as_a_typed_error_or_not_at_all(seed: int) -> None:
    database, chance = await a_copy(), random.Random(seed)
    key = chance.choice(["chat", "wait", "done", "fail"])
    kept, fingerprint = kept_in(database, key), kept_in(database, key).row.fingerprint
    assert kept.snapshot is not None
    match chance.choice(["log", "log", "kind", "snapshot", "shape", "question", "note", "row", "message"]):
        case "log":
            kept.snapshot, at = None, chance.randrange(len(kept.log))
            kept.log[at] = replace(kept.log[at], body=spoiled(kept.log[at].body, chance))
        case "kind":
            kept.snapshot, at = None, chance.randrange(len(kept.log))
            kinds = ["x", "__class__", "RunMoved", "StepDone", "RunForked", "Interrupted", "RunCancelled"]
            kept.log[at] = replace(kept.log[at], kind=chance.choice(kinds))
        case "snapshot":
            kept.snapshot = replace(kept.snapshot, body=spoiled(kept.snapshot.body, chance))
        case "shape":
            database.shapes[fingerprint] = spoiled(database.shapes[fingerprint], chance)
        case "row":
            kept.snapshot, at = None, chance.randrange(1, len(kept.log))
            kind, body = chance.choice(_ROWS)
            body = spoiled(body, chance) if chance.random() < 0.5 else body
            kept.log[at] = replace(kept.log[at], kind=kind, body=body.replace("FORM", fingerprint))
        case "message" if kept.inbox:
            message = kept.inbox["m"]
            channel = chance.choice(["user", "$cancel", "\x1b"])
            kept.inbox["m"] = replace(message, body=spoiled(message.body, chance), channel=channel)
        case "question":
            for asked_ in list(kept.questions.values()):
                changed = replace(
                    asked_, details=spoiled(asked_.details, chance), schema=spoiled(asked_.schema, chance)
                )
                kept.questions[asked_.id] = changed
        case _:
            kept.row = replace(kept.row, note=spoiled(kept.row.note or "{}", chance))
    await through(database, key)
    for door in DOORS.keys() - set(READING):
        await meet(database, key, door)


_ROWS = (
    (
        "RunMoved",
        '{"was": "FORM", "was_version": "1", "fingerprint": "FORM", "version": "1", "position": {}, "writes": {}}',
    ),
    ("StepDone", '{"id": "reply", "key": "k", "index": 0, "step": {"value": 1}}'),
    ("RunForked", '{"origin": "wait", "step": 2, "writes": {"topic": "x"}}'),
    ("Interrupted", '{"cap": 0, "message": "m"}'),
    ("MessageRefused", '{"message": "m", "channel": "c", "error": {"type": "a", "message": "b"}}'),
    ("JoinAsked", '{"id": "judge", "seen": 1, "fire": true}'),
    ("LimitPassed", '{"limit": "x", "allowed": 1, "cap": 0}'),
    ("QuestionAsked", '{"id": "plan", "question": "plan"}'),
    ("RunEnded", '{"status": "done"}'),
    ("RunCancelled", "{}"),
    ("RunRetried", "{}"),
)
"""Rows that are well formed, and stand where they cannot have been written."""


def put(database: MemoryDatabase, place: str, text: str) -> None:
    """Let a text stand in a place of the run ``wait``."""
    kept = kept_in(database, "wait")
    match place:
        case "log":
            kept.snapshot, kept.log[3] = None, replace(kept.log[3], body=text)
        case "first":
            kept.snapshot, kept.log[0] = None, replace(kept.log[0], body=text)
        case "snapshot":
            assert kept.snapshot is not None
            kept.snapshot = replace(kept.snapshot, body=text)
        case "shape":
            database.shapes[kept.row.fingerprint] = text
        case "blob":
            database.blobs.update(dict.fromkeys(database.blobs, text))
        case "note":
            kept.row = replace(kept.row, status="failed", note=text)
        case _:
            kept.questions["approve"] = replace(kept.questions["approve"], **{place: text})  # type: ignore[arg-type]


@pytest.mark.asyncio
@pytest.mark.parametrize("place", ["log", "first", "snapshot", "shape", "blob", "note", "details", "schema"])
async def test_no_text_is_too_strange(place: str) -> None:
    original = await a_copy()
    for text in TEXTS:
        database = copy.deepcopy(original)
        put(database, place, text)
        found = await through(database, "wait", ("state", "history", "explain", "events", "questions"))
        assert found <= {"fine", "StoreBroken", "StoreSealed"}, text
        if place in ("log", "first") and text != "{}" and not text.startswith('{"'):
            assert "fine" not in await through(database, "wait", ("state", "history")), text


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["id", "taken", "took", "attempt", "replaced", "writes", "blobs", "items"])
async def test_no_value_of_an_event_is_too_strange(name: str) -> None:
    original = await a_copy()
    place = next(row.seq for row in kept_in(original, "wait").log if row.kind == "NodeFinished")
    for bomb in BOMBS:
        database = copy.deepcopy(original)
        kept = kept_in(database, "wait")
        body = json.dumps({**json.loads(kept.log[place].body), name: bomb})
        kept.snapshot, kept.log[place] = None, replace(kept.log[place], body=body)
        assert await through(database, "wait", ("state", "history", "record")) <= {"fine", "StoreBroken"}, bomb


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("taken", [-1], "taken is"),
        ("taken", [10_000], "there is no edge 10000"),
        ("taken", [0], "edge 0 does not leave from plan"),
        ("taken", [[2, 10**9]], "taken is"),
        ("attempt", "first", "attempt is 'first'; expected int"),
        ("took", True, "took is True; expected float"),
        ("id", ["plan"], r"id is \['plan'\]; expected str"),
        ("writes", {"nothing": 1}, "KeyError: 'nothing'"),
        ("writes", {"parts": "none"}, "ValidationError"),
    ],
)
async def test_the_error_names_the_run_the_row_and_what_was_found(name: str, value: Any, says: str) -> None:
    database = await a_copy()
    kept = kept_in(database, "wait")
    place = next(row.seq for row in kept.log if '"id":"plan"' in row.body)
    body = json.dumps({**json.loads(kept.log[place].body), name: value})
    kept.snapshot, kept.log[place] = None, replace(kept.log[place], body=body)
    async with Engine(_opened(database)) as engine:
        with pytest.raises(StoreBroken, match=rf"run 'wait', log row {place} \(NodeFinished\) cannot be read: {says}"):
            await (await engine.get("wait", desk)).state()


def _opened(database: MemoryDatabase) -> Store:
    from orchestra_graph.store.memory import MemoryStore

    return MemoryStore(database)


@pytest.mark.asyncio
async def test_a_row_that_is_missing_or_comes_twice_is_named() -> None:
    harms: tuple[Callable[[list[Any]], list[Any]], ...] = (
        lambda log: [*log[:3], *log[4:]],
        lambda log: [*log[:3], *log[2:]],
    )
    for rows in harms:
        database = await a_copy()
        kept = kept_in(database, "wait")
        kept.snapshot, kept.log[:] = None, rows(kept.log)
        async with Engine(_opened(database)) as engine:
            with pytest.raises(StoreBroken, match="row 3 is expected here"):
                await (await engine.get("wait")).record()


# -- a few characters that stand for a lot ---------------------------------------------------------------


@pytest.fixture
def soon() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 10


@pytest.mark.asyncio
async def test_a_row_cannot_start_a_million_million_instances(soon: None) -> None:
    database = await a_copy()
    kept = kept_in(database, "wait")
    place = next(row.seq for row in kept.log if '"id":"plan"' in row.body)
    body = json.loads(kept.log[place].body)
    [[edge, _]] = [taken for taken in body["taken"] if isinstance(taken, list)]
    body["taken"] = [[edge, 10**12]]
    kept.snapshot, kept.log[place] = None, replace(kept.log[place], body=json.dumps(body))
    assert await through(database, "wait", ("history", "record", "explain", "events")) == {"StoreBroken"}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("packed", "says"),
    [
        ([0, 1, 1, 10**12], "more rows"),
        ([10**12, 1], "row 1000000000000"),
        ([0, 10**6], "more rows"),
        ([-1, 2], "row -2 is named"),
    ],
)
async def test_a_snapshot_cannot_name_more_rows_than_there_are(soon: None, packed: list[int], says: str) -> None:
    kept = kept_in(await a_copy(), "wait")
    assert kept.snapshot is not None
    body = json.loads(kept.snapshot.body)
    body["base"] = {"notes": {"rows": packed}}
    with pytest.raises(ValueError, match=says):
        check_frozen(json.dumps(body), kept.snapshot.seq)


@pytest.mark.asyncio
async def test_many_fields_of_a_snapshot_cannot_name_many_rows_each(soon: None) -> None:
    kept = kept_in(await a_copy(), "wait")
    assert kept.snapshot is not None
    rows, fields = 10**9, 3
    body = {**json.loads(kept.snapshot.body), "seq": rows}
    body["base"] = {f"f{n}": {"rows": [0, 1, 1, rows // fields]} for n in range(fields)}
    with pytest.raises(ValueError, match=f"more than {MOST_ROWS:,} rows"):
        check_frozen(json.dumps(body), rows - 1)


def doubling(names: int) -> dict[str, Any]:
    """A schema of which each part names the next one twice."""
    defs: dict[str, Any] = {"n0": {"type": "integer"}}
    for n in range(1, names):
        refs = [{"$ref": f"#/$defs/n{n - 1}"}] * 2
        defs[f"n{n}"] = {"type": "object", "required": ["a", "b"], "properties": dict(zip("ab", refs, strict=True))}
        defs[f"m{n}"] = {"allOf": [{"$ref": f"#/$defs/{'m' if n > 1 else 'n'}{n - 1}"}] * 2}
    return defs


def test_a_schema_cannot_take_for_ever(soon: None) -> None:
    defs = doubling(60)
    with guarded_schemas(), pytest.raises(UnusableSchema, match=r"more than 10,000 references"):
        wrong_by_schema({"$ref": "#/$defs/m59", "$defs": defs}, 1)
    assert json.loads(example_answer({"$ref": "#/$defs/n59", "$defs": defs}))
    with pytest.raises(UnusableSchema):
        wrong_by_schema({"$ref": "#"}, 1)
    assert wrong_by_schema({"type": "string", "pattern": "^(a+)+$"}, "a" * 5_000 + "!") is not None
    assert wrong_by_schema({"type": "string", "pattern": "^(a+)+$"}, "a" * 5_000) is None


def guarded_schemas() -> Any:
    """`guarded`, when the packages that check schemas have been used once."""
    wrong_by_schema({"type": "integer"}, 1)
    return guarded()


@pytest.mark.parametrize(
    "reference", ["http://127.0.0.1:9/schema", "file:///etc/passwd", "other.json", "#/$defs/none", "urn:x:y"]
)
def test_a_schema_fetches_nothing(reference: str) -> None:
    with guarded_schemas(), pytest.raises(UnusableSchema, match="not in it"):
        wrong_by_schema({"$ref": reference}, 1)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 5},
        {"type": "string", "pattern": "(?<!a)b"},
        {"type": "object", "patternProperties": {"(a+)+$": {}}},
        {"$dynamicRef": "#x"},
        {"properties": []},
        {"required": "all"},
    ],
)
def test_a_schema_that_is_none_is_said_to_be_none(schema: dict[str, Any]) -> None:
    with pytest.raises(UnusableSchema):
        wrong_by_schema(schema, {"a": 1} if "type" not in schema or schema["type"] == "object" else "ab")


def test_a_schema_checks_what_it_always_checked() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"items": {"$ref": "#/$defs/n"}}}}
    assert wrong_by_schema(schema, {"a": [1, 2]}) is None
    assert wrong_by_schema(schema, {"a": [1, "2"]}) == "a.1: '2' is not of type 'integer'"
    assert wrong_by_schema({"format": "date"}, "yesterday") == "'yesterday' is not a 'date'"


# -- forms -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("nodes", 1, "kind"), "shell", "nodes.1.kind"),
        (("nodes", 1, "name"), "plan", "two nodes have one name"),
        (("nodes", 2, "name"), None, "nodes.2.name"),
        (("edges", 0, "to"), -1, "an end of an edge is -1"),
        (("edges", 0, "to"), 10**6, "an end of an edge is 1000000"),
        (("groups", 0, 0, "edges", 0), 10**6, "an edge of a group"),
        (("groups", 0), [], "not every edge is in one group"),
        (("scopes", 0, "collector"), -2, "a node of a body"),
        (("regions", 0, "parent"), 0, "region 0 is in itself"),
        (("regions", 0, "head"), 999, "the head of a loop"),
        (("fields", "parts"), 5, "fields.parts"),
    ],
)
def test_a_form_says_what_is_wrong_with_it(path: tuple[Any, ...], value: Any, says: str) -> None:
    shape = json.loads(json.dumps(desk.compile().shape))
    holder = shape
    for step in path[:-1]:
        holder = holder[step]
    if path == ("nodes", 1, "name"):
        value = shape["nodes"][2]["name"]
    holder[path[-1]] = value
    with pytest.raises(Misfit, match=says):
        shape_in(json.dumps(shape))


def test_a_form_may_have_more_than_is_known() -> None:
    shape = {**json.loads(json.dumps(desk.compile().shape)), "colour": "red"}
    shape["nodes"][1]["colour"] = "blue"
    assert shape_in(json.dumps(shape)) == shape


# -- a file ----------------------------------------------------------------------------------------------


def change(path: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        assert database.execute(statement, values).rowcount, statement


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "runs.db"

    async def fill() -> None:
        async with Engine(f"sqlite:///{path}", graphs=[desk]) as engine:
            await (await engine.start(desk, Doc(topic="t"), key="k")).wait()

    asyncio.run(fill())
    return path


COLUMNS = [
    ("runs", name)
    for name in ("status", "created_at", "updated_at", "epoch", "note", "storage", "claims", "graph", "version")
]
COLUMNS += [("events", name) for name in ("seq", "kind", "at", "body")]
COLUMNS += [
    ("questions", name)
    for name in ("prompt", "addressee", "details", "answer_schema", "status", "asked_at", "expires_at", "answer")
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("table", "column"), COLUMNS)
async def test_no_column_of_a_file_is_trusted_to_hold_what_it_should(
    original: Path, tmp_path: Path, table: str, column: str
) -> None:
    with sqlite3.connect(original) as source:
        for harm in ("'not \x1b[31m this'", "x'ff00fe'", "CAST(x'ff' AS TEXT)", "9e999", "-1", "'1'"):
            path = tmp_path / "runs.db"
            path.unlink(missing_ok=True)
            with sqlite3.connect(path) as target:
                source.backup(target)
            where = "WHERE seq = 2" if table == "events" else ""
            if (column, harm) != ("seq", "'1'"):  # the file itself refuses a second row of a number
                change(path, f"UPDATE {table} SET {column} = {harm} {where}")
            async with Engine(f"sqlite:///{path}") as engine:
                for door in ("get", "history", "explain", "questions", "events"):
                    assert "\x1b" not in await _said(DOORS[door](engine, "k"))
                assert "\x1b" not in await _said(engine.find())


async def _said(work: Coroutine[Any, Any, object]) -> str:
    """What a reading refuses with; any other error than one of the store is a mistake."""
    try:
        await work
    except StoreError as error:
        return str(error)
    return ""


@pytest.mark.asyncio
async def test_a_status_that_is_none_is_named(original: Path, tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with sqlite3.connect(original) as source, sqlite3.connect(path) as target:
        source.backup(target)
    change(path, "UPDATE runs SET status = 'owned'")
    async with open_store(f"sqlite:///{path}") as store:
        with pytest.raises(StoreBroken, match="run 'k': its status is 'owned'; expected one of running, waiting"):
            await store.find("k")


# -- filters ---------------------------------------------------------------------------------------------

INJECTIONS = (
    "' OR '1'='1",
    "'; DROP TABLE runs; --",
    "k' UNION SELECT * FROM events --",
    "%",
    "_",
    "k\\' --",
    ":b_run",
    "%(key)s",
    "$1",
    "{key}",
    "\u202e",
    "\x1b[2J",
)


async def _filtered(store: Store) -> None:
    number = await asked(store, question())
    for text in INJECTIONS:
        assert await store.runs(key=text) == []
        assert await store.runs(graph=text) == []
        assert await store.runs(status=[text]) == []  # type: ignore[list-item]
        assert await store.find(text) is None
        assert await store.shape(text) is None
        assert await store.blobs([text]) == {}
        assert await store.cached(text, 0.0) is None
        assert await store.question(number, text) is None
        assert await store.questions(number, status=[text]) == []  # type: ignore[list-item]
        assert await store.news({number: [text]}) == []
        assert await store.due({text: text}, now=1e9) == []
        assert await store.prune(before=1e12, status=["done"], graph=text) == []
        named = await started(store, text, graph=text)
        assert [run.number for run in await store.runs(key=text)] == [named]
        assert [run.number for run in await store.runs(graph=text)] == [named]
        await store.append(Append(run=named, epoch=1, status="failed", note=text))
        found = await store.find(text)
        assert found is not None
        assert found.note == text
    assert len(await store.runs()) == len(INJECTIONS) + 1


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql"])
async def test_a_filter_is_a_value_and_never_a_part_of_a_statement(kind: str, tmp_path: Path) -> None:
    if kind == "postgresql":
        with throwaway_postgres() as database:
            async with open_store(database.url) as store:
                await _filtered(store)
        return
    url = "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/runs.db"
    async with open_store(url) as store:
        await _filtered(store)


@pytest.mark.asyncio
async def test_an_answer_to_a_question_with_a_hostile_schema_changes_nothing() -> None:
    for schema, wanted in (('{"$ref": "http://127.0.0.1:9/x"}', StoreBroken), ('{"type": "string"}', WrongAnswer)):
        database = await a_copy()
        put(database, "schema", schema)
        async with Engine(_opened(database)) as engine:
            run = await engine.get("wait")
            with pytest.raises(wanted):
                await run.answer_json("approve", True)
        assert kept_in(database, "wait").questions["approve"].status == "open"
