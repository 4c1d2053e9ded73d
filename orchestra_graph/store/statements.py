"""The SQL of every write and of the reads: each statement once, compiled from the tables for each database.

    SQLITE.ADD_EVENT     text for the sqlite3 module, with ``?``
    POSTGRES.ADD_EVENT   text for psycopg, with ``%s``

Rule 1. Each statement names its parameters in the order in which its values are given; a compile that orders them
otherwise is an error. So the values are the same for every database.
Rule 2. A parameter that is a list is JSON text: so the statement is the same however many there are, and may have any
number of them.
Rule 3. A statement is compiled when it is first used; `tests/store/test_statements.py` compiles them all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, reduce
from operator import add
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    LargeBinary,
    Select,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import ClauseElement

from orchestra_graph.store.rows import SELECT_EVENTS, SELECT_MESSAGES, SELECT_QUESTIONS, SELECT_RUNS
from orchestra_graph.store.tables import (
    blob_uses,
    blobs,
    engines,
    events,
    graphs,
    inbox,
    node_cache,
    questions,
    runs,
    snapshots,
)

__all__ = ["POSTGRES", "SQLITE", "Dialect", "Postgres", "Sqlite", "Statement", "Statements"]


class Sqlite:
    """How SQLite spells what the databases do not spell alike."""

    compiler: Any = sqlite.dialect()
    insert = staticmethod(sqlite.insert)

    @staticmethod
    def among(column: Column[Any], name: str) -> ColumnElement[bool]:
        """Whether a column is one of the elements of a JSON list."""
        return column.in_(select(func.json_each(bindparam(name)).table_valued("value").c.value))

    @staticmethod
    def pairs(name: str, first: Any, second: Any) -> tuple[Any, ColumnElement[bool]]:
        """The rows of a JSON list of pairs, and the condition that *first* and *second* are one of them."""
        value = func.json_each(bindparam(name)).table_valued("value").c.value
        element = [func.json_extract(value, literal_column(f"'$[{at}]'")) for at in (0, 1)]
        return value.table, and_(first == element[0], second == element[1])

    @staticmethod
    def octets(text: Any) -> ColumnElement[int]:
        """How many bytes a text has."""
        return func.length(cast(text, LargeBinary))


class Postgres:
    """How PostgreSQL spells what the databases do not spell alike. Who uses SQLite alone does not load it."""

    @cached_property
    def compiler(self) -> Any:
        """SQLAlchemy's dialect."""
        from sqlalchemy.dialects.postgresql import psycopg

        return psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]

    @staticmethod
    def insert(table: Any) -> Any:
        """An insert that may say what is done where the row is there already."""
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)

    @staticmethod
    def among(column: Column[Any], name: str) -> ColumnElement[bool]:
        """Whether a column is one of the elements of a JSON list."""
        from sqlalchemy.dialects.postgresql import JSONB

        given = func.jsonb_array_elements_text(cast(bindparam(name), JSONB)).table_valued("value").render_derived()
        return column.in_(select(cast(given.c.value, column.type)))

    @staticmethod
    def pairs(name: str, first: Any, second: Any) -> tuple[Any, ColumnElement[bool]]:
        """The rows of a JSON list of pairs, and the condition that *first* and *second* are one of them."""
        from sqlalchemy.dialects.postgresql import JSONB

        given = func.jsonb_array_elements(cast(bindparam(name), JSONB)).table_valued("value").render_derived()
        element = [given.c.value.op("->>")(literal_column(str(at))) for at in (0, 1)]
        return given, and_(first == cast(element[0], first.type), second == element[1])

    @staticmethod
    def octets(text: Any) -> ColumnElement[int]:
        """How many bytes a text has."""
        return func.octet_length(text)


Dialect = Sqlite | Postgres


class Statement:
    """One statement as an attribute of `Statements`, where it is text."""

    def __init__(self, what: ClauseElement | Callable[[Dialect], ClauseElement], *order: str):
        """Define a statement.

        Args:
            what: The statement, or what makes it where the databases do not spell it alike.
            order: The names of its parameters, in the order of its values.
        """
        self._what = what
        self._order = order

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, statements: Statements, owner: type[Statements]) -> str:
        what = self._what if isinstance(self._what, ClauseElement) else self._what(statements.dialect)
        compiled: Any = what.compile(dialect=statements.dialect.compiler)
        found = tuple(compiled.positiontup or ())
        if found != self._order:
            raise AssertionError(f"the parameters of {self._name}, {compiled}, are {found}, not {self._order}")
        text = statements.__dict__[self._name] = str(compiled)  # from here on this is what is found
        return text


def _insert(table: Any, *names: str) -> Callable[[Dialect], Any]:
    # "inline": nobody asks for the number of the new row.
    return lambda d: d.insert(table).values({name: bindparam(name) for name in names}).inline()


def _add(table: Any, *names: str) -> Callable[[Dialect], Any]:
    """Insert a row, unless it is there already."""
    return lambda d: _insert(table, *names)(d).on_conflict_do_nothing()


def _put(table: Any, key: str, *names: str) -> Callable[[Dialect], Any]:
    """Insert a row, in the place of the one that has its key."""

    def make(d: Dialect) -> Any:
        new = _insert(table, *names)(d)
        others = {name: new.excluded[name] for name in names if name != key}
        return new.on_conflict_do_update(index_elements=[key], set_=others)

    return make


def _add_run(d: Dialect) -> Any:
    return d.insert(runs).values({name: bindparam(name) for name in _NEW_RUN}).returning(runs.c.id)


def _ask(d: Dialect) -> Any:
    new = _insert(questions, *_ASKED)(d)
    return new.on_conflict_do_update(
        index_elements=["run", "name"],
        set_={name: new.excluded[name] for name in _ASKED if name not in ("run", "name")},
        where=questions.c.status != bindparam("answered"),
    )


def _questions_news(d: Dialect) -> Any:
    # Each question that is named costs one look into the index, whatever else there is.
    given, is_named = d.pairs("named", questions.c.run, questions.c.name)
    return (
        SELECT_QUESTIONS.join(given, is_named)
        .where(or_(questions.c.status != bindparam("open"), questions.c.expires_at <= bindparam("now")))
        .order_by(questions.c.id)
    )


def _due(d: Dialect) -> Any:
    given, is_mine = d.pairs("versions", runs.c.graph, runs.c.version)
    # Written so that nobody looks for it in the index of the owners, which finds every run that ever ended.
    is_free = func.coalesce(runs.c.owner, _empty) == _empty
    is_time = or_(runs.c.news != _zero, runs.c.due_at <= bindparam("now"))
    return (
        SELECT_RUNS.where(runs.c.status.in_((_running, _waiting)), is_free)
        .where(or_(runs.c.status == _running, is_time))
        .where(d.among(runs.c.graph, "graphs"))
        .where(or_(runs.c.pinned == _zero, exists(select(_one).select_from(given).where(is_mine))))
        .order_by(runs.c.updated_at, runs.c.id)
        .limit(_most)
        .offset(_zero)  # else SQLite's would be a parameter, too
    )


def _remove_of_run(table: Any) -> Callable[[Dialect], Any]:
    return lambda d: delete(table).where(d.among(table.c.run, "runs"))


def _size(table: Any, *texts: Any) -> Callable[[Dialect], Any]:
    """How many rows, and how many bytes of these texts."""
    return lambda d: select(
        func.count(), func.sum(reduce(add, [d.octets(func.coalesce(text, _empty)) for text in texts]))
    ).select_from(table)


_empty: ColumnElement[str] = literal_column("''")
_zero: ColumnElement[int] = literal_column("0")
_one: ColumnElement[int] = literal_column("1")
_most = bindparam("most", type_=BigInteger)
_running: ColumnElement[str] = literal_column("'running'")
_waiting: ColumnElement[str] = literal_column("'waiting'")

_EVENT = ("run", "seq", "kind", "at", "body")
_GRAPH = ("fingerprint", "shape")
_ENGINE = ("id", "pid", "host", "opened_at")
_SNAPSHOT = ("run", "seq", "body")
_BLOB = ("hash", "body")
_BLOB_USE = ("run", "hash")
_CACHED = ("key", "body", "expires_at")
_NEW_RUN = tuple(c.name for c in runs.c if c.name != "id")
_ASKED = tuple(c.name for c in questions.c if c.name not in ("id", "answer", "answered_at"))
_QUESTION = (*_ASKED, "answer", "answered_at")
_MESSAGE = ("run", "name", "channel", "body", "sent_at")

_run = runs.c.id == bindparam("b_run")
_question = and_(questions.c.run == bindparam("b_run"), questions.c.name == bindparam("b_name"))
_events = SELECT_EVENTS.where(events.c.run == bindparam("b_run")).order_by(events.c.seq)
_questions = SELECT_QUESTIONS.order_by(questions.c.id)
_questions_of_run = _questions.where(questions.c.run == bindparam("b_run"))
_message = and_(inbox.c.run == bindparam("b_run"), inbox.c.name == bindparam("b_name"))
_messages = SELECT_MESSAGES.order_by(inbox.c.id)
_messages_of_run = _messages.where(inbox.c.run == bindparam("b_run"))
_my_messages = _messages.join(runs, runs.c.id == inbox.c.run).where(runs.c.owner == bindparam("who"))
_unused_blob = ~exists().where(blob_uses.c.hash == blobs.c.hash)
_unused_form = ~exists().where(runs.c.fingerprint == graphs.c.fingerprint)
# What a run that waits was claimed for may not have been looked at.
_given_up = {"owner": null(), "news": case((runs.c.status == _waiting, _one), else_=runs.c.news)}


class Statements:
    """All of them, for one database."""

    def __init__(self, dialect: Dialect):
        self.dialect = dialect

    def spelled(self, query: Select[Any]) -> tuple[str, tuple[Any, ...]]:
        """The text of a query that is put together each time, and its values."""
        compiled: Any = query.compile(dialect=self.dialect.compiler, compile_kwargs={"render_postcompile": True})
        return str(compiled), tuple(compiled.params[name] for name in compiled.positiontup or ())

    ADD_EVENT = Statement(_insert(events, *_EVENT), *_EVENT)
    ADD_GRAPH = Statement(_add(graphs, *_GRAPH), *_GRAPH)
    ADD_ENGINE = Statement(_add(engines, *_ENGINE), *_ENGINE)
    ADD_RUN = Statement(_add_run, *_NEW_RUN)

    # The name of a blob is made of its content: what is there already is the same.
    ADD_BLOB = Statement(_add(blobs, *_BLOB), *_BLOB)
    ADD_BLOB_USE = Statement(_add(blob_uses, *_BLOB_USE), *_BLOB_USE)

    SET_CACHED = Statement(_put(node_cache, "key", *_CACHED), *_CACHED)
    DROP_CACHED = Statement(
        delete(node_cache).where(node_cache.c.key == bindparam("b_key"), node_cache.c.expires_at <= bindparam("now")),
        "b_key",
        "now",
    )
    SET_SNAPSHOT = Statement(_put(snapshots, "run", *_SNAPSHOT), *_SNAPSHOT)
    ASK = Statement(_ask, *_ASKED, "answered")
    CLOSE_QUESTION = Statement(
        update(questions)
        .values(status=bindparam("new"))
        .where(_question)
        .where(questions.c.status != bindparam("answered")),
        "new",
        "b_run",
        "b_name",
        "answered",
    )
    ANSWER = Statement(
        update(questions)
        .values(status=bindparam("new"), answer=bindparam("text"), answered_at=bindparam("when"))
        .where(_question),
        "new",
        "text",
        "when",
        "b_run",
        "b_name",
    )

    ADD_QUESTION = Statement(_insert(questions, *_QUESTION), *_QUESTION)

    # Of a run: who may append, after which row, and how many owners have died with it.
    HEAD = Statement(
        select(
            runs.c.epoch,
            runs.c.owner,
            select(func.max(events.c.seq)).where(events.c.run == runs.c.id).scalar_subquery(),
            runs.c.claims,
        ).where(_run),
        "b_run",
    )

    RUN = Statement(SELECT_RUNS.where(_run), "b_run")
    RUN_OF_KEY = Statement(SELECT_RUNS.where(runs.c.key == bindparam("b_key")), "b_key")
    QUESTION = Statement(SELECT_QUESTIONS.where(_question), "b_run", "b_name")
    OPEN_NAMES = Statement(
        select(questions.c.name)
        .where(questions.c.run == bindparam("b_run"), questions.c.status == bindparam("b_status"))
        .order_by(questions.c.id),
        "b_run",
        "b_status",
    )

    SET_STATUS = Statement(
        update(runs)
        .values(
            status=bindparam("new"),
            updated_at=case((runs.c.status == bindparam("same"), runs.c.updated_at), else_=bindparam("when")),
            note=bindparam("text"),
            due_at=bindparam("due"),
        )
        .where(_run),
        "new",
        "same",
        "when",
        "text",
        "due",
        "b_run",
    )
    SET_FORM = Statement(
        update(runs).values(version=bindparam("new"), fingerprint=bindparam("form")).where(_run), "new", "form", "b_run"
    )
    FORGET_CLAIMS = Statement(update(runs).values(claims=_zero).where(_run), "b_run")

    TAKE = Statement(
        update(runs)
        .values(epoch=bindparam("new"), owner=bindparam("who"), claims=bindparam("died"), news=_zero)
        .where(_run),
        "new",
        "who",
        "died",
        "b_run",
    )
    RELEASE = Statement(update(runs).values(owner=null()).where(_run), "b_run")
    GIVE_UP = Statement(update(runs).values(_given_up).where(_run), "b_run")
    RELEASE_ALL = Statement(update(runs).values(_given_up).where(runs.c.owner == bindparam("who")), "who")
    # As `RELEASE_ALL`, for one that died.
    BURY = Statement(
        update(runs).values({**_given_up, "claims": runs.c.claims + _one}).where(runs.c.owner == bindparam("who")),
        "who",
    )
    OWNERS = Statement(
        select(runs.c.owner).distinct().where(runs.c.owner.is_not(None), runs.c.owner != bindparam("who")), "who"
    )

    # Whether somebody said something since the run was claimed.
    SAY = Statement(update(runs).values(news=_one).where(_run, runs.c.news == _zero), "b_run")
    HEAR = Statement(update(runs).values(news=_zero).where(_run, runs.c.news != _zero), "b_run")
    DUE = Statement(_due, "now", "graphs", "versions", "most")

    MESSAGE = Statement(SELECT_MESSAGES.where(_message), "b_run", "b_name")
    ADD_MESSAGE = Statement(
        lambda d: d.insert(inbox).values({name: bindparam(name) for name in _MESSAGE}).returning(inbox.c.id), *_MESSAGE
    )
    TAKE_MESSAGE = Statement(
        update(inbox).values(taken=bindparam("row")).where(_message, inbox.c.taken.is_(None)), "row", "b_run", "b_name"
    )
    UNREAD_ON_CHANNEL = Statement(
        select(func.count())
        .select_from(inbox)
        .where(inbox.c.run == bindparam("b_run"), inbox.c.channel == bindparam("b_channel"), inbox.c.taken.is_(None)),
        "b_run",
        "b_channel",
    )
    INBOX_OF_RUN = Statement(_messages_of_run, "b_run")
    UNREAD_OF_RUN = Statement(_messages_of_run.where(inbox.c.taken.is_(None)), "b_run")
    INBOX = Statement(_my_messages, "who")
    UNREAD = Statement(_my_messages.where(inbox.c.taken.is_(None)), "who")

    # At the end of a run: what is still asked.
    WITHDRAW = Statement(
        update(questions)
        .values(status=bindparam("new"))
        .where(questions.c.run == bindparam("b_run"), questions.c.status == bindparam("open")),
        "new",
        "b_run",
        "open",
    )

    ENGINE = Statement(select(engines.c.pid, engines.c.host).where(engines.c.id == bindparam("who")), "who")
    ENGINES = Statement(select(engines.c.id))
    DELETE_ENGINE = Statement(delete(engines).where(engines.c.id == bindparam("who")), "who")

    SHAPE = Statement(select(graphs.c.shape).where(graphs.c.fingerprint == bindparam("fingerprint")), "fingerprint")
    SNAPSHOT = Statement(
        select(snapshots.c.seq, snapshots.c.body).where(snapshots.c.run == bindparam("b_run")), "b_run"
    )
    BLOBS = Statement(lambda d: select(blobs.c.hash, blobs.c.body).where(d.among(blobs.c.hash, "hashes")), "hashes")
    CACHED = Statement(
        select(node_cache.c.body, node_cache.c.expires_at).where(node_cache.c.key == bindparam("b_key")), "b_key"
    )

    LOG = Statement(
        _events.where(
            events.c.seq > bindparam("after", type_=BigInteger), events.c.seq <= bindparam("upto", type_=BigInteger)
        ),
        "b_run",
        "after",
        "upto",
    )
    ROWS = Statement(lambda d: _events.where(d.among(events.c.seq, "seqs")), "b_run", "seqs")

    QUESTIONS = Statement(_questions)
    QUESTIONS_WITH_STATUS = Statement(lambda d: _questions.where(d.among(questions.c.status, "statuses")), "statuses")
    QUESTIONS_OF_RUN = Statement(_questions_of_run, "b_run")
    QUESTIONS_OF_RUN_WITH_STATUS = Statement(
        lambda d: _questions_of_run.where(d.among(questions.c.status, "statuses")), "b_run", "statuses"
    )
    NEWS = Statement(_questions_news, "named", "open", "now")

    # A fork may name what its origin names.
    COPY_USES = Statement(
        insert(blob_uses).from_select(
            _BLOB_USE,
            select(bindparam("new", type_=BigInteger), blob_uses.c.hash).where(blob_uses.c.run == bindparam("b_run")),
        ),
        "new",
        "b_run",
    )

    # What nobody needs any more.
    REMOVE_EVENTS = Statement(_remove_of_run(events), "runs")
    REMOVE_SNAPSHOTS = Statement(_remove_of_run(snapshots), "runs")
    REMOVE_QUESTIONS = Statement(_remove_of_run(questions), "runs")
    REMOVE_MESSAGES = Statement(_remove_of_run(inbox), "runs")
    REMOVE_USES = Statement(_remove_of_run(blob_uses), "runs")
    REMOVE_RUNS = Statement(lambda d: delete(runs).where(d.among(runs.c.id, "runs")), "runs")
    OVER = Statement(
        select(node_cache.c.key).where(node_cache.c.expires_at <= bindparam("now")).limit(_most).offset(_zero),
        "now",
        "most",
    )
    NAMING = Statement(select(node_cache.c.body).where(node_cache.c.body.like(literal_column("'%\"blobs\":%'"))))
    # Those that somebody is about to use are left out; whether one is used is looked at again when it is locked.
    IDLE_BLOBS = Statement(select(blobs.c.hash).where(_unused_blob).with_for_update(skip_locked=True))
    IDLE_FORMS = Statement(select(graphs.c.fingerprint).where(_unused_form).with_for_update(skip_locked=True))
    REMOVE_CACHED = Statement(lambda d: delete(node_cache).where(d.among(node_cache.c.key, "names")), "names")
    REMOVE_BLOBS = Statement(lambda d: delete(blobs).where(d.among(blobs.c.hash, "names"), _unused_blob), "names")
    REMOVE_FORMS = Statement(
        lambda d: delete(graphs).where(d.among(graphs.c.fingerprint, "names"), _unused_form), "names"
    )

    # How much there is.
    SIZE_OF_RUNS = Statement(_size(runs, runs.c.note))
    SIZE_OF_EVENTS = Statement(_size(events, events.c.body))
    SIZE_OF_SNAPSHOTS = Statement(_size(snapshots, snapshots.c.body))
    SIZE_OF_QUESTIONS = Statement(_size(questions, questions.c.prompt, questions.c.details, questions.c.answer))
    SIZE_OF_MESSAGES = Statement(_size(inbox, inbox.c.body))
    SIZE_OF_BLOBS = Statement(_size(blobs, blobs.c.body))
    SIZE_OF_CACHED = Statement(_size(node_cache, node_cache.c.body))


SQLITE = Statements(Sqlite())
POSTGRES = Statements(Postgres())
