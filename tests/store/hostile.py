"""What the tests of hostile databases share: runs of every kind, values to put into them, and the doors to read by."""

from __future__ import annotations

import copy
import json
import random
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from orchestra_graph import END, Context, Engine, Graph, Item, Question, State, add, append, ask, node, receive
from orchestra_graph.core.snapshot import freeze
from orchestra_graph.errors import EngineBug, OrchestraError
from orchestra_graph.runtime.run import Run
from orchestra_graph.store.base import MessageRow, Snapshot
from orchestra_graph.store.memory import MemoryStore
from orchestra_graph.store.memory_database import Kept, MemoryDatabase

__all__ = ["BOMBS", "DOORS", "READING", "TEXTS", "Door", "desk", "guarded", "kept_in", "made", "meet", "spoiled"]


class Doc(State):
    topic: str
    parts: list[int] = []
    notes: Annotated[list[str], append] = []
    total: Annotated[int, add] = 0
    turns: int = 0
    big: str = ""
    good: bool = False


@node(writes="parts")
def plan(topic: str) -> list[int]:
    return [1, 2, 3]


@node(writes="total")
def work(part: Item[int]) -> int:
    return part


@node(writes="notes")
def note(total: int) -> str:
    return f"{total} in all"


@node(writes="big")
def long(topic: str) -> str:
    return "x" * 20_000


@node
def meet_here(topic: str) -> None:
    if topic == "fail":
        raise ValueError("it was told to")


@node(writes="turns")
def judge(turns: int) -> int:
    return turns + 1


@ask(writes="good")
def approve(topic: str) -> Question[bool]:
    return Question(f"Publish {topic}?", to="anna", details={"topic": topic})


desk = Graph(Doc, name="desk")
desk.start((plan, long))
desk.each(plan, "parts", work, collect=judge, limit=2)
desk.edge(judge, judge, when=lambda turns: turns < 2)
desk.edge(judge, note, otherwise=True)
desk.edge(note, meet_here)
desk.edge(long, meet_here)
desk.edge(meet_here, approve)
desk.edge(approve, END)


class Chat(State):
    said: Annotated[list[str], append] = []
    heard: str = ""


chat = Graph(Chat, name="chat")
hear = receive("user", str, writes="heard", interrupts=True)


@node(writes="said")
async def reply(heard: str, context: Context) -> str:
    return await context.step("shout", heard.upper, returns=str)


chat.start(hear)
chat.edge(hear, reply)
chat.edge(reply, END, when=lambda heard: heard == "bye")
chat.edge(reply, hear, otherwise=True)


async def made() -> MemoryDatabase:
    """Runs that wait, are done, and have failed, and one that waits for messages; each with a snapshot."""
    database = MemoryDatabase()
    async with Engine(MemoryStore(database), graphs=[desk, chat]) as engine:
        talk = await engine.start(chat, Chat(), key="chat")
        await talk.send("user", "hello")
        await talk.wait()
        for topic in ("wait", "done", "fail"):
            run = await engine.start(desk, Doc(topic=topic), key=topic)
            await run.wait()
            if topic == "done":
                (asked,) = await run.questions()
                await run.answer(asked.id, True)
                await run.wait()
        for kept in database.runs.values():
            state = await (await engine.get(kept.row.key))._load()
            kept.snapshot = Snapshot(kept.log[-1].seq, freeze(state))
    unread = MessageRow(
        run=1, id="m", channel="user", body='{"payload":"again","busy":"interrupt"}', sent_at=1.0, number=9
    )
    kept_in(database, "chat").inbox["m"] = unread
    return database


# -- what somebody may write there -----------------------------------------------------------------------

DEEP = "[" * 10_000 + "]" * 10_000
BOMBS: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**31,
    10**12,
    10**400,
    -1.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "NaN",
    "\x00",
    "\ud800",
    "\x1b]0;owned\x07\x1b[31mred\x1b[0m",
    "\u202eevil",
    "__class__",
    "../../etc/passwd",
    "'; DROP TABLE runs; --",
    "<script>alert(1)</script>",
    "y" * 100_000,
    [],
    [[]],
    [-1],
    [10**9],
    [[0, 10**12]],
    [None],
    {},
    {"__class__": "os.system"},
    {"__reduce__": ["os.system", ["true"]]},
    {"$ref": "http://127.0.0.1:9/x"},
)
"""Values to stand where another one is expected."""

TEXTS: tuple[str, ...] = (
    "",
    "{",
    "null",
    "[]",
    "1",
    '"text"',
    "NaN",
    "{}",
    DEEP,
    '{"a":' * 10_000 + "1" + "}" * 10_000,
    '{"id": "x", "id": "y"}',
    '{"id": "\\ud800"}',
    '{"taken": [-1]}',
    "1" * 5_000,
    "\x00",
    "!!python/object/apply:os.system ['true']",
    "cos\nsystem\n(S'true'\ntR.",
    "__import__('os').system('true')",
    "sealed:1:2026:AAAA",
    "sealed:1::",
)
"""Whole texts to stand where JSON is expected."""


def kept_in(database: MemoryDatabase, key: str) -> Kept:
    """All that is kept of a run."""
    return database.by_key[key]


def spoiled(text: str, chance: random.Random) -> str:
    """A JSON text in which something is another thing: a value, a key, an element; or another text altogether."""
    if chance.random() < 0.1:
        return chance.choice(TEXTS)
    document = json.loads(text)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        document = _changed(document, chance)
    return json.dumps(document)


def _changed(document: Any, chance: random.Random) -> Any:
    holders = [found for found in _holders(document) if found]
    if not holders:
        return copy.deepcopy(chance.choice(BOMBS))
    holder = chance.choice(holders)
    place = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    how = chance.random()
    if how < 0.6:
        holder[place] = copy.deepcopy(chance.choice(BOMBS))
    elif how < 0.75:
        del holder[place]
    elif how < 0.85 and isinstance(holder, dict):
        holder[chance.choice(["x", "id", "__class__", "\x1b[2J", "blobs", "writes"])] = holder.pop(place)
    elif isinstance(holder[place], int | float) and not isinstance(holder[place], bool):
        holder[place] += chance.choice((-3, -1, 1, 2, 1000))
    else:
        other = chance.choice(holders)
        holder[place] = copy.deepcopy(chance.choice(list(other.values() if isinstance(other, dict) else other)))
    return document


def _holders(document: Any) -> Iterator[Any]:
    if isinstance(document, dict | list):
        yield document
        for inner in document.values() if isinstance(document, dict) else document:
            yield from _holders(inner)


# -- the doors by which it is read -----------------------------------------------------------------------

Door = Callable[[Engine, str], Coroutine[Any, Any, object]]


async def _get(engine: Engine, key: str) -> Run[Any]:
    return await engine.get(key)


async def _state(engine: Engine, key: str) -> object:
    return await (await engine.get(key, _graph_of(key))).state()


async def _states(engine: Engine, key: str) -> object:
    run = await engine.get(key, _graph_of(key))
    return [await run.state_at(step.number) for step in await run.history()]


async def _history(engine: Engine, key: str) -> object:
    return await (await engine.get(key)).history()


async def _record(engine: Engine, key: str) -> object:
    return await (await engine.get(key)).record()


async def _explain(engine: Engine, key: str) -> object:
    return str(await (await engine.get(key)).explain())


async def _events(engine: Engine, key: str) -> object:
    return [event async for event in (await engine.get(key)).events(follow=False)]


async def _questions(engine: Engine, key: str) -> object:
    return [str(asked) + asked.example + asked.command for asked in await (await engine.get(key)).questions()]


async def _answer(engine: Engine, key: str) -> object:
    await (await engine.get(key)).answer_json("approve", True)
    return None


async def _wait(engine: Engine, key: str) -> object:
    return str(await (await engine.get(key, _graph_of(key))).wait(timeout=1))


async def _retry(engine: Engine, key: str) -> object:
    run = await engine.get(key, _graph_of(key))
    await run.retry()
    return str(await run.wait(timeout=1))


async def _start(engine: Engine, key: str) -> object:
    return await engine.start(desk, Doc(topic=key), key=key)


async def _unread(engine: Engine, key: str) -> object:
    return [str(message) for message in await (await engine.get(key)).unread()]


async def _send(engine: Engine, key: str) -> object:
    return await (await engine.get(key)).send_json("user", "more")


async def _replay(engine: Engine, key: str) -> object:
    return str(await (await engine.get(key, _graph_of(key))).replay())


async def _fork(engine: Engine, key: str) -> object:
    run = await engine.get(key, _graph_of(key))
    return str(await (await run.fork(at=3, key="other")).wait(timeout=1))


def _graph_of(key: str) -> Graph[Any]:
    return chat if key == "chat" else desk


async def _cancel(engine: Engine, key: str) -> object:
    await engine.cancel(key)
    return None


DOORS: dict[str, Door] = {
    "get": _get,
    "state": _state,
    "state_at": _states,
    "history": _history,
    "record": _record,
    "explain": _explain,
    "events": _events,
    "questions": _questions,
    "unread": _unread,
    "replay": _replay,
    "answer": _answer,
    "wait": _wait,
    "retry": _retry,
    "start": _start,
    "send": _send,
    "fork": _fork,
    "cancel": _cancel,
}
"""What users can do with a run that is there. Those that only read come first."""

READING = ("get", "state", "state_at", "history", "record", "explain", "events", "questions", "unread", "replay")


async def meet(database: MemoryDatabase, key: str, door: str) -> str:
    """Go through a door; what came of it: ``fine``, or the name of a typed error. Any other one is our mistake."""
    async with Engine(MemoryStore(copy.deepcopy(database))) as engine:
        try:
            await DOORS[door](engine, key)
        except EngineBug:
            raise
        except OrchestraError as error:
            return type(error).__name__
        except TimeoutError:
            return "it waits for somebody"
    return "fine"


# -- what must not happen --------------------------------------------------------------------------------

_EVENTS = frozenset(
    {
        "exec",
        "compile",
        "import",
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.fork",
        "socket.connect",
        "pickle.find_class",
    }
)
_watched: list[list[str]] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _watched and (event in _EVENTS or (event == "open" and _writes(args))):
        _watched[-1].append(f"{event} {args!r:.200}")


def _writes(args: tuple[Any, ...]) -> bool:
    path, mode, _ = args
    return isinstance(path, str) and not path.startswith("/dev/") and any(c in (mode or "") for c in "wxa+")


@contextmanager
def guarded() -> Iterator[None]:
    """Nothing in here runs code, begins a process, opens a connection or a file to write, or imports a module."""
    if not getattr(sys, "_orchestra_hostile", False):
        sys.addaudithook(_audit)  # for good: there is no way to take it out
        setattr(sys, "_orchestra_hostile", True)  # noqa: B010
    before, seen = set(sys.modules), list[str]()
    _watched.append(seen)
    try:
        yield
    finally:
        _watched.pop()
    assert not seen, seen
    assert not set(sys.modules) - before
