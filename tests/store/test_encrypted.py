# looking at a small file does not disturb a test's event loop

from __future__ import annotations

import builtins
import json
import sqlite3
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest

from orchestra_graph import Engine, Graph, Question, State, append, ask, node, receive
from orchestra_graph.errors import MissingExtra, StoreBroken, StoreSealed
from orchestra_graph.graph.policies import Cache
from orchestra_graph.runtime.blobs import hash_of
from orchestra_graph.runtime.notes import note_of
from orchestra_graph.runtime.outcomes import Done, Waiting
from orchestra_graph.store import open_store
from orchestra_graph.store.base import Append, CachedRow, MessageRow, QuestionRow, Snapshot
from orchestra_graph.store.encrypted import EncryptedStore
from orchestra_graph.store.keys import Keys
from orchestra_graph.store.memory import MemoryStore
from orchestra_graph.store.memory_database import MemoryDatabase
from orchestra_graph.testing.contract.common import new_run, question, row, started

OLD, NEW = b"o" * 32, b"n" * 32
KEYS = Keys({"2026": OLD}, use="2026")
SECRET = "Schwarzbrot"


class Letter(State):
    text: str
    long: str = ""
    good: bool = False


@node(writes="long", cache=Cache())
def lengthen(text: str) -> str:
    return text * 4_000


@ask(writes="good")
def approve(text: str) -> Question[bool]:
    return Question(f"Send {text}?", details={"text": text})


letters = Graph(Letter, name="letters")
letters.start(lengthen)
letters.edge(lengthen, approve)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/runs.db"


def texts_in(url: str) -> str:
    """Every value in the database, as one text."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return repr([database.execute(f"SELECT * FROM {table}").fetchall() for table in tables])


def change(url: str, statement: str, *values: Any) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        assert database.execute(statement, values).rowcount, statement


async def waiting(url: str, keys: Keys | None, key: str = "k") -> None:
    async with Engine(url, graphs=[letters], keys=keys) as engine:
        run = await engine.start(letters, Letter(text=SECRET), key=key)
        assert isinstance(await run.wait(), Waiting)


# -- what is encrypted -----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_nothing_that_a_run_works_on_stands_in_the_database(url: str) -> None:
    await waiting(url, KEYS)
    async with Engine(url, graphs=[letters], keys=KEYS) as engine:
        run = await engine.get("k", letters)
        (asked,) = await run.questions()
        assert asked.prompt == f"Send {SECRET}?"
        assert asked.details == {"text": SECRET}
        await run.answer("approve", True)
        outcome = await run.wait()
        assert isinstance(outcome, Done)
        assert outcome.state == Letter(text=SECRET, long=SECRET * 4_000, good=True)
        assert len([event async for event in run.events(follow=False)]) > 4
    found = texts_in(url)
    assert "sealed:1:2026:" in found
    assert SECRET not in found
    assert hash_of(json.dumps(SECRET * 4_000)) not in found, (
        "a large value is not found by a hash that anybody can make"
    )


@pytest.mark.asyncio
async def test_every_value_of_the_contract_is_encrypted_and_comes_back() -> None:
    database = MemoryDatabase()
    async with EncryptedStore(MemoryStore(database), KEYS) as store:
        run = await started(store)
        change = Append(
            run=run,
            epoch=1,
            rows=[row(1, '{"b": "EVENT"}')],
            snapshot=Snapshot(1, '{"s": "SNAPSHOT"}'),
            asked=[question(prompt="PROMPT")],
            status="waiting",
            note='{"n": "NOTE"}',
            blobs={"plain-name": '"BLOB"'},
            cached=[CachedRow("plain-cache-key", '"CACHED"')],
        )
        await store.append(change)
        await store.answer(run, "approve@0", '"ANSWER"', 102.0)
        await store.send(MessageRow(run=run, id="m", channel="c", body='"MESSAGE"', sent_at=1.0))
        kept = repr([database.runs, database.blobs, database.cached])
        for word in ("EVENT", "SNAPSHOT", "PROMPT", "NOTE", "BLOB", "CACHED", "ANSWER", "MESSAGE", "plain-"):
            assert word not in kept, word
        assert [r.body for r in await store.log(run, after=0)] == ['{"b": "EVENT"}']
        assert await store.snapshot(run) == Snapshot(1, '{"s": "SNAPSHOT"}')
        (asked,) = await store.questions(run, status=())
        assert (asked.prompt, asked.details, asked.answer) == ("PROMPT", '{"total": 3}', '"ANSWER"')
        assert (await store.runs())[0].note == '{"n": "NOTE"}'
        assert await store.blobs(["plain-name"]) == {"plain-name": '"BLOB"'}
        assert await store.cached("plain-cache-key", 0.0) == '"CACHED"'
        assert [m.body for m in await store.inbox(run)] == ['"MESSAGE"']


@pytest.mark.asyncio
async def test_what_the_store_decides_by_stays_readable(url: str) -> None:
    await waiting(url, KEYS)
    async with open_store(url) as plain:
        (run,) = await plain.runs(status=["waiting"], graph="letters", key="k")
        assert next((r.seq, r.kind) for r in await plain.log(run.number)) == (0, "RunStarted")
        (asked,) = await plain.questions(run.number)
        assert (asked.id, asked.status) == ("approve", "open")
        assert "lengthen" in (await plain.shape(run.fingerprint) or "")


@pytest.mark.asyncio
async def test_the_same_text_is_never_the_same_twice_but_a_large_value_is_kept_once() -> None:
    database = MemoryDatabase()
    async with EncryptedStore(MemoryStore(database), KEYS) as store:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, rows=[row(1, "{}"), row(2, "{}")], blobs={"h": "1"}))
        await store.append(Append(run=run, epoch=1, rows=[row(3, "{}")], blobs={"h": "1"}))
        assert len({r.body for r in database.runs[run].log}) == 4
        assert len(database.blobs) == 1


# -- moved and changed -----------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE events SET body = (SELECT body FROM events WHERE seq = 1 AND run = 1) WHERE seq = 0 AND run = 1",
        "UPDATE events SET body = (SELECT body FROM events WHERE seq = 0 AND run = 2) WHERE seq = 0 AND run = 1",
        "UPDATE events SET kind = 'RunCancelled' WHERE seq = 1 AND run = 1",
        "UPDATE events SET at = at + 1 WHERE seq = 1 AND run = 1",
        "UPDATE events SET body = substr(body, 1, 40) WHERE seq = 1 AND run = 1",
        "UPDATE events SET body = body || 'AAAA' WHERE seq = 1 AND run = 1",
        "UPDATE events SET body = replace(body, ':2026:', ':2026:A') WHERE seq = 1 AND run = 1",
        "UPDATE runs SET key = 'another' || id",
    ],
)
async def test_a_value_can_be_opened_in_its_own_place_only(url: str, harm: str) -> None:
    await waiting(url, KEYS)
    await waiting(url, KEYS, key="other")
    change(url, harm)
    key = "another1" if "UPDATE runs" in harm else "k"
    async with Engine(url, graphs=[letters], keys=KEYS) as engine:
        run = await engine.get(key, letters)
        with pytest.raises(StoreBroken, match=rf"run '{key}', log row \d .*cannot be decrypted"):
            await run.history()


@pytest.mark.asyncio
async def test_the_parts_of_questions_cannot_be_swapped(url: str) -> None:
    await waiting(url, KEYS)
    change(url, "UPDATE questions SET prompt = details")
    async with Engine(url, keys=KEYS) as engine:
        with pytest.raises(StoreBroken, match="the prompt of 'approve' cannot be decrypted"):
            await (await engine.get("k")).questions()


@pytest.mark.asyncio
async def test_a_large_value_cannot_be_put_in_the_place_of_another() -> None:
    database = MemoryDatabase()
    async with EncryptedStore(MemoryStore(database), KEYS) as store:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, rows=[row(1)], blobs={"one": "1", "two": "2"}))
        first, second = database.blobs
        database.blobs[first] = database.blobs[second]
        with pytest.raises(StoreBroken, match="a large value cannot be decrypted"):
            await store.blobs(["one", "two"])


# -- keys ------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_old_keys_read_and_the_new_one_writes(url: str) -> None:
    await waiting(url, KEYS)
    both = Keys({"2026": OLD, "2027": NEW}, use="2027")
    async with Engine(url, graphs=[letters], keys=both) as engine:
        run = await engine.get("k", letters)
        await run.answer("approve", True)
        assert isinstance(await run.wait(), Done)
    assert "sealed:1:2027:" in texts_in(url)
    async with Engine(url, graphs=[letters], keys=KEYS) as engine:
        with pytest.raises(StoreSealed, match=r"encrypted \(key '2027'\)") as refused:
            await (await engine.get("k", letters)).state()
    assert refused.value.key == "2027"


@pytest.mark.asyncio
async def test_a_run_is_listed_though_the_key_of_its_note_is_missing() -> None:
    database = MemoryDatabase()
    async with EncryptedStore(MemoryStore(database), KEYS) as store:
        run = await started(store)
        await store.append(Append(run=run, epoch=1, rows=[row(1)], status="failed", note='{"reason": "x"}'))
    async with EncryptedStore(MemoryStore(database), Keys({"2027": NEW}, use="2027")) as store:
        (listed,) = await store.runs()
        assert listed.status == "failed"
        with pytest.raises(StoreSealed, match="run 'k', its note is encrypted"):
            note_of(listed, store.url)


@pytest.mark.asyncio
async def test_a_large_value_and_a_cached_result_are_found_under_an_old_key() -> None:
    database = MemoryDatabase()
    async with EncryptedStore(MemoryStore(database), KEYS) as store:
        run = await started(store)
        cached = [CachedRow("key", "2")]
        await store.append(Append(run=run, epoch=1, rows=[row(1)], blobs={"h": "1"}, cached=cached))
    async with EncryptedStore(MemoryStore(database), Keys({"2026": OLD, "2027": NEW}, use="2027")) as store:
        assert await store.blobs(["h"]) == {"h": "1"}
        assert await store.cached("key", 0.0) == "2"


@pytest.mark.asyncio
async def test_another_key_under_the_same_id_is_told_from_a_missing_one(url: str) -> None:
    await waiting(url, KEYS)
    async with Engine(url, keys=Keys({"2026": NEW}, use="2026")) as engine:
        with pytest.raises(StoreBroken, match="'2026' is another key than the one"):
            await (await engine.get("k")).history()


@pytest.mark.asyncio
async def test_without_keys_the_error_names_the_key_and_how_to_give_it(url: str) -> None:
    await waiting(url, KEYS)
    async with Engine(url, graphs=[letters]) as engine:
        run = await engine.get("k", letters)
        assert await run.status() == "waiting"
        for look in (run.state, run.history, run.explain, run.questions, run.record, run.wait):
            with pytest.raises(StoreSealed, match=r"encrypted \(key '2026'\).*ORCHESTRA_KEYS=2026:BASE64") as refused:
                await look()
            assert refused.value.key == "2026"


@pytest.mark.asyncio
async def test_what_was_stored_before_there_were_keys_is_read_unless_they_are_strict(url: str) -> None:
    await waiting(url, None)
    async with Engine(url, graphs=[letters], keys=KEYS) as engine:
        run = await engine.get("k", letters)
        assert (await run.state()).text == SECRET
        await run.answer("approve", False)
        assert isinstance(await run.wait(), Done)
    async with Engine(url, graphs=[letters], keys=Keys({"2026": OLD}, use="2026", strict=True)) as engine:
        with pytest.raises(StoreBroken, match=r"log row 0 .RunStarted. is not encrypted, and these keys are strict"):
            await (await engine.get("k", letters)).state()


@pytest.mark.asyncio
async def test_a_number_that_comes_again_is_not_taken_for_the_run_that_had_it() -> None:
    database = MemoryDatabase()
    async with (
        EncryptedStore(MemoryStore(database), KEYS) as one,
        EncryptedStore(MemoryStore(database), KEYS) as other,
    ):
        run = await started(one, "first")
        assert await other.log(run) == await one.log(run), "found by its number only"
        database.runs[run].row = database.runs[run].row.__class__(
            **{**_fields(database.runs[run].row), "key": "second"}
        )
        with pytest.raises(StoreBroken):
            await EncryptedStore(one.inner, KEYS).log(run)


def _fields(found: object) -> dict[str, Any]:
    return {name: getattr(found, name) for name in type(found).__dataclass_fields__}  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_a_fork_is_written_for_its_own_place() -> None:
    async with EncryptedStore(MemoryStore(MemoryDatabase()), KEYS) as store:
        new = new_run("fork")
        asked: QuestionRow = question()
        created, _ = await store.create(
            new.__class__(**{**_fields(new), "rows": [row(1, '{"a": 1}')], "asked": [asked]})
        )
        assert [r.body for r in await store.log(created.number)] == ['{"x": 1}', '{"a": 1}']
        assert [q.prompt for q in await store.questions(created.number)] == ["Go on?"]


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'orchestra-graph\[crypto\]'"):
        open_store("memory://", keys=KEYS)


# -- messages from those who have another key, or none ---------------------------------------------------


class Talk(State):
    said: Annotated[list[str], append] = []


talk = Graph(Talk, name="talk")
talk.start(receive("user", str, writes="said"))


@pytest.mark.asyncio
@pytest.mark.parametrize("keys", [None, Keys({"2026": NEW}, use="2026")], ids=["no key", "another key"])
async def test_who_cannot_read_a_run_sends_nothing_to_it(url: str, keys: Keys | None) -> None:
    async with Engine(url, graphs=[talk], keys=KEYS) as engine:
        await (await engine.start(talk, Talk(), key="k")).wait()
    async with Engine(url, graphs=[talk], keys=keys) as engine:
        with pytest.raises(StoreSealed if keys is None else StoreBroken, match="run 'k'"):
            await (await engine.get("k", talk)).send("user", SECRET)
    assert SECRET not in texts_in(url)


@pytest.mark.asyncio
async def test_a_message_that_cannot_be_opened_keeps_the_run_from_nothing(url: str) -> None:
    two = Keys({"2026": OLD, "2027": OLD}, use="2027")  # what the sender takes for the key "2027" is another one
    async with Engine(url, graphs=[talk], keys=KEYS) as engine:
        await (await engine.start(talk, Talk(), key="k")).wait()
    async with Engine(url, keys=two) as engine:
        await (await engine.get("k")).send_json("user", "lost")
    async with Engine(url, graphs=[talk], keys=Keys({"2026": OLD, "2027": NEW}, use="2027")) as engine:
        run = await engine.get("k", talk)
        assert isinstance(await run.wait(), Waiting)
        await run.send("user", "hello")
        assert (await run.result()).said == ["hello"]
        assert "MessageRefused" in [step.what for step in await run.history()]
