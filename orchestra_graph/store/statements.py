"""The SQL of every write and of the reads, compiled once from the tables into text for the sqlite3 module.

Each statement names its parameters in the order in which its values are given; a compile that orders them otherwise
is an error at import. A parameter that is a list is JSON text: so the statement is the same however many there are,
and may have any number of them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.sql import ClauseElement

from orchestra_graph.store.rows import SELECT_EVENTS, SELECT_QUESTIONS, SELECT_RUNS
from orchestra_graph.store.tables import (
    blob_uses,
    blobs,
    engines,
    events,
    graphs,
    node_cache,
    questions,
    runs,
    snapshots,
)

__all__ = [
    "ADD_BLOB",
    "ADD_BLOB_USE",
    "ADD_ENGINE",
    "ADD_EVENT",
    "ADD_GRAPH",
    "ADD_RUN",
    "ANSWER",
    "ASK",
    "BLOBS",
    "CACHED",
    "CLOSE_QUESTION",
    "DELETE_ENGINE",
    "DROP_CACHED",
    "ENGINE",
    "ENGINES",
    "HEAD",
    "LOG",
    "NEWS",
    "OPEN_NAMES",
    "QUESTION",
    "QUESTIONS",
    "QUESTIONS_OF_RUN",
    "QUESTIONS_OF_RUN_WITH_STATUS",
    "QUESTIONS_WITH_STATUS",
    "RELEASE",
    "RELEASE_ALL",
    "ROWS",
    "RUN",
    "RUN_OF_KEY",
    "SET_CACHED",
    "SET_SNAPSHOT",
    "SET_STATUS",
    "SHAPE",
    "SNAPSHOT",
    "TAKE",
    "WITHDRAW",
    "spelled",
]

_DIALECT = sqlite.dialect()


def _sql(statement: ClauseElement, *order: str) -> str:
    compiled: Any = statement.compile(dialect=_DIALECT)
    found = tuple(compiled.positiontup or ())
    if found != order:
        raise AssertionError(f"the parameters of {compiled} are {found}, not {order}")
    return str(compiled)


def spelled(query: Select[Any]) -> tuple[str, tuple[Any, ...]]:
    """The text of a query that is put together each time, and its values."""
    compiled: Any = query.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return str(compiled), tuple(compiled.params[name] for name in compiled.positiontup or ())


def _among(column: Column[Any], name: str) -> ColumnElement[bool]:
    """Whether a column is one of the elements of a JSON list."""
    return column.in_(select(func.json_each(bindparam(name)).table_valued("value").c.value))


def _insert(table: Any, *names: str) -> Any:
    return insert(table).values({name: bindparam(name) for name in names})


_EVENT = ("run", "seq", "kind", "at", "body")
_GRAPH = ("fingerprint", "shape")
_ENGINE = ("id", "pid", "host", "opened_at")
_SNAPSHOT = ("run", "seq", "body")
_BLOB = ("hash", "body")
_BLOB_USE = ("run", "hash")
_CACHED = ("key", "body", "expires_at")
_NEW_RUN = tuple(c.name for c in runs.c if c.name != "id")
_ASKED = tuple(c.name for c in questions.c if c.name not in ("id", "answer", "answered_at"))

ADD_EVENT = _sql(_insert(events, *_EVENT), *_EVENT)
ADD_GRAPH = _sql(_insert(graphs, *_GRAPH).on_conflict_do_nothing(), *_GRAPH)
ADD_ENGINE = _sql(_insert(engines, *_ENGINE).on_conflict_do_nothing(), *_ENGINE)
ADD_RUN = _sql(_insert(runs, *_NEW_RUN), *_NEW_RUN)

# The name of a blob is made of its content: what is there already is the same.
ADD_BLOB = _sql(_insert(blobs, *_BLOB).on_conflict_do_nothing(), *_BLOB)
ADD_BLOB_USE = _sql(_insert(blob_uses, *_BLOB_USE).on_conflict_do_nothing(), *_BLOB_USE)

_cached = _insert(node_cache, *_CACHED)
SET_CACHED = _sql(
    _cached.on_conflict_do_update(
        index_elements=["key"], set_={"body": _cached.excluded.body, "expires_at": _cached.excluded.expires_at}
    ),
    *_CACHED,
)
DROP_CACHED = _sql(
    delete(node_cache).where(node_cache.c.key == bindparam("b_key"), node_cache.c.expires_at <= bindparam("now")),
    "b_key",
    "now",
)

_snapshot = _insert(snapshots, *_SNAPSHOT)
SET_SNAPSHOT = _sql(
    _snapshot.on_conflict_do_update(
        index_elements=["run"], set_={"seq": _snapshot.excluded.seq, "body": _snapshot.excluded.body}
    ),
    *_SNAPSHOT,
)

_ask = _insert(questions, *_ASKED)
ASK = _sql(
    _ask.on_conflict_do_update(
        index_elements=["run", "name"],
        set_={name: _ask.excluded[name] for name in _ASKED if name not in ("run", "name")},
        where=questions.c.status != bindparam("answered"),
    ),
    *_ASKED,
    "answered",
)

CLOSE_QUESTION = _sql(
    update(questions)
    .values(status=bindparam("new"))
    .where(questions.c.run == bindparam("b_run"), questions.c.name == bindparam("b_name"))
    .where(questions.c.status != bindparam("answered")),
    "new",
    "b_run",
    "b_name",
    "answered",
)

ANSWER = _sql(
    update(questions)
    .values(status=bindparam("new"), answer=bindparam("text"), answered_at=bindparam("when"))
    .where(questions.c.run == bindparam("b_run"), questions.c.name == bindparam("b_name")),
    "new",
    "text",
    "when",
    "b_run",
    "b_name",
)

# Of a run: who may append, and after which row.
HEAD = _sql(
    select(
        runs.c.epoch,
        runs.c.owner,
        select(func.max(events.c.seq)).where(events.c.run == runs.c.id).scalar_subquery(),
    ).where(runs.c.id == bindparam("b_run")),
    "b_run",
)

RUN = _sql(SELECT_RUNS.where(runs.c.id == bindparam("b_run")), "b_run")
RUN_OF_KEY = _sql(SELECT_RUNS.where(runs.c.key == bindparam("b_key")), "b_key")
QUESTION = _sql(
    SELECT_QUESTIONS.where(questions.c.run == bindparam("b_run"), questions.c.name == bindparam("b_name")),
    "b_run",
    "b_name",
)
OPEN_NAMES = _sql(
    select(questions.c.name)
    .where(questions.c.run == bindparam("b_run"), questions.c.status == bindparam("b_status"))
    .order_by(questions.c.id),
    "b_run",
    "b_status",
)

SET_STATUS = _sql(
    update(runs)
    .values(
        status=bindparam("new"),
        updated_at=case((runs.c.status == bindparam("same"), runs.c.updated_at), else_=bindparam("when")),
        note=bindparam("text"),
    )
    .where(runs.c.id == bindparam("b_run")),
    "new",
    "same",
    "when",
    "text",
    "b_run",
)

TAKE = _sql(
    update(runs).values(epoch=bindparam("new"), owner=bindparam("who")).where(runs.c.id == bindparam("b_run")),
    "new",
    "who",
    "b_run",
)
RELEASE = _sql(update(runs).values(owner=null()).where(runs.c.id == bindparam("b_run")), "b_run")
RELEASE_ALL = _sql(update(runs).values(owner=null()).where(runs.c.owner == bindparam("who")), "who")

# At the end of a run: what is still asked.
WITHDRAW = _sql(
    update(questions)
    .values(status=bindparam("new"))
    .where(questions.c.run == bindparam("b_run"), questions.c.status == bindparam("open")),
    "new",
    "b_run",
    "open",
)

ENGINE = _sql(select(engines.c.pid, engines.c.host).where(engines.c.id == bindparam("who")), "who")
ENGINES = _sql(select(engines.c.id))
DELETE_ENGINE = _sql(delete(engines).where(engines.c.id == bindparam("who")), "who")

SHAPE = _sql(select(graphs.c.shape).where(graphs.c.fingerprint == bindparam("fingerprint")), "fingerprint")
SNAPSHOT = _sql(select(snapshots.c.seq, snapshots.c.body).where(snapshots.c.run == bindparam("b_run")), "b_run")
BLOBS = _sql(select(blobs.c.hash, blobs.c.body).where(_among(blobs.c.hash, "hashes")), "hashes")
CACHED = _sql(select(node_cache.c.body, node_cache.c.expires_at).where(node_cache.c.key == bindparam("b_key")), "b_key")

_events = SELECT_EVENTS.where(events.c.run == bindparam("b_run")).order_by(events.c.seq)
LOG = _sql(
    _events.where(events.c.seq > bindparam("after"), events.c.seq <= bindparam("upto")), "b_run", "after", "upto"
)
ROWS = _sql(_events.where(_among(events.c.seq, "seqs")), "b_run", "seqs")

_questions = SELECT_QUESTIONS.order_by(questions.c.id)
_questions_of_run = _questions.where(questions.c.run == bindparam("b_run"))
QUESTIONS = _sql(_questions)
QUESTIONS_WITH_STATUS = _sql(_questions.where(_among(questions.c.status, "statuses")), "statuses")
QUESTIONS_OF_RUN = _sql(_questions_of_run, "b_run")
QUESTIONS_OF_RUN_WITH_STATUS = _sql(
    _questions_of_run.where(_among(questions.c.status, "statuses")), "b_run", "statuses"
)

# Of questions named by a JSON list of [run, question]: each costs one look into the index, whatever else there is.
_named = func.json_each(bindparam("named")).table_valued("value").c.value
_is_named = and_(
    questions.c.run == func.json_extract(_named, literal_column("'$[0]'")),
    questions.c.name == func.json_extract(_named, literal_column("'$[1]'")),
)
NEWS = _sql(
    SELECT_QUESTIONS.join(_named.table, _is_named)
    .where(or_(questions.c.status != bindparam("open"), questions.c.expires_at <= bindparam("now")))
    .order_by(questions.c.id),
    "named",
    "open",
    "now",
)
