"""Which form of its graph the log of a run is read with: a run may go on with another one (`runtime.moving`).

Rule 1. Rows before a move are folded with the form that they were written in, those from it on with the next one. The
state right behind a move is made of what the move itself says, as of a snapshot.
Rule 2. An earlier form has the structure that is stored with the run and, where there is code, the types and reducers
of the code for each field that is still the same. Fields that are not are plain data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestra_graph.core import events as ev
from orchestra_graph.core.frozen import check_frozen
from orchestra_graph.core.moving import moved
from orchestra_graph.core.run import Move, RunState
from orchestra_graph.core.snapshot import is_known, needed_by
from orchestra_graph.errors import StoreBroken
from orchestra_graph.graph.edges import Group
from orchestra_graph.graph.plan import Plan, Shape
from orchestra_graph.graph.signature import type_name
from orchestra_graph.runtime.blobs import read_events
from orchestra_graph.runtime.outline import known_event, outline
from orchestra_graph.runtime.shaped import shape_in
from orchestra_graph.runtime.wellformed import Misfit, fold, object_in, reading, reading_row
from orchestra_graph.runtime.wider import wider
from orchestra_graph.state import reducers
from orchestra_graph.state.codec import Codec, JsonCodec, parse
from orchestra_graph.state.reducers import Reducer
from orchestra_graph.state.schema import FieldSpec, Schema, State
from orchestra_graph.store.base import LogRow, RunRow, Store

__all__ = [
    "FormName",
    "Part",
    "as_stored",
    "begun_with",
    "moves_in",
    "parts_of",
    "plan_of",
    "same_field",
    "state_after",
]

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class FormName:
    """What a form of a graph is known by.

    Attributes:
        fingerprint: Of the form.
        version: Of the graph.
    """

    fingerprint: str
    version: str


@dataclass(slots=True)
class Part:
    """Rows of a log that were written in one form.

    Attributes:
        run: The state before the first of *rows*; fold them into it.
        moved: The move with which the form begins, and its row; None for the first form. *run* is the state behind it.
        rows: The rows, with what they say.
    """

    run: RunState
    moved: tuple[LogRow, ev.RunMoved] | None
    rows: list[tuple[LogRow, ev.Event]]

    def fold(self, url: str, key: str) -> RunState:
        """Fold all rows, and give the state behind the last one."""
        for logged, event in self.rows:
            fold(self.run, logged, event, url, key)
        return self.run


async def parts_of(
    store: Store,
    row: RunRow,
    rows: Sequence[LogRow],
    plan: Plan | None,
    run: RunState | None = None,
    *,
    whole: bool = True,
) -> list[Part]:
    """Rows of a log that follow one another, by the forms that they were written in.

    Args:
        store: Where they are from.
        row: The run.
        rows: The rows; from row 0 on, or those behind *run*.
        plan: The graph in the code; None: structure only, without values.
        run: The state before the first row.
        whole: The rows go to the end of the log.

    Raises:
        StoreBroken: A row, or a form, cannot be read.
    """
    if run is None:
        run = RunState.of(await plan_of(store, row, await begun_with(store, row, rows, whole=whole), plan))
    cuts = [i for i, logged in enumerate(rows) if logged.kind == "RunMoved"]
    parts = [await _part(store, row, run, None, rows[: cuts[0]] if cuts else rows, plan)]
    for cut, end in zip(cuts, [*cuts[1:], len(rows)], strict=False):
        event, after = await state_after(store, row, rows[cut], plan)
        parts.append(await _part(store, row, after, (rows[cut], event), rows[cut + 1 : end], plan))
    return parts


async def _part(
    store: Store,
    row: RunRow,
    run: RunState,
    began: tuple[LogRow, ev.RunMoved] | None,
    rows: Sequence[LogRow],
    plan: Plan | None,
) -> Part:
    if plan is None:
        return Part(run, began, [(logged, known_event(logged, store.url, row.key)[0]) for logged in rows])
    events = await read_events(store, rows, run.plan, row.key)
    return Part(run, began, list(zip(rows, events, strict=True)))


async def state_after(store: Store, row: RunRow, logged: LogRow, plan: Plan | None) -> tuple[ev.RunMoved, RunState]:
    """What a move says, and the state of the run right behind it.

    Args:
        store: Where the row is from.
        row: The run.
        logged: The row of the move.
        plan: The graph in the code; None: structure only, without values.

    Raises:
        StoreBroken: It cannot be read.
    """
    known = known_event(logged, store.url, row.key)[0]
    assert isinstance(known, ev.RunMoved)
    form = await plan_of(store, row, FormName(known.fingerprint, known.version), plan)
    event = known if plan is None else (await read_events(store, [logged], form, row.key))[0]
    assert isinstance(event, ev.RunMoved)
    with reading_row(logged, store.url, row.key):
        check_frozen(json.dumps(event.position), logged.seq - 1)
        seqs = needed_by(event.position)
        moves = moves_in(event.position)
    named = as_seen(await store.rows(row.number, seqs), moves, store.url, row.key)
    if plan is None:
        found = [known_event(one, store.url, row.key)[0] for one in named]
    else:
        found = await read_events(store, named, form, row.key)
    with reading_row(logged, store.url, row.key):
        return event, moved(form, event, dict(zip((one.seq for one in named), found, strict=True)))


def moves_in(frozen: Mapping[str, Any]) -> list[Move]:
    """The moves that a position, or a snapshot, names."""
    found = []
    for seq, form, version, fields, edges in frozen.get("moves", ()):
        if not (isinstance(seq, int) and isinstance(form, str) and isinstance(version, str)):
            raise Misfit("a move names no row and form")
        found.append(Move(seq, form, version, object_in(fields, "the fields of a move"), dict(edges)))
    return found


async def begun_with(store: Store, row: RunRow, rows: Sequence[LogRow] = (), *, whole: bool = False) -> FormName:
    """The form that a run was started with.

    Args:
        store: Where it is kept.
        row: The run.
        rows: Its log from row 0 on, as far as it was read.
        whole: That is all of it.
    """
    first = next((logged for logged in rows if logged.kind == "RunMoved"), None)
    if first is None and not whole:
        snapshot = await store.snapshot(row.number)
        if snapshot is not None:
            with reading(store.url, "its snapshot", row.key, snapshot.body):
                if is_known(snapshot.body):  # every move writes one
                    moves = moves_in(json.loads(snapshot.body))
                    return FormName(moves[0].fingerprint, moves[0].version) if moves else _now(row)
        first = await _first_move(store, row, len(rows))
    if first is None:
        return _now(row)
    event = known_event(first, store.url, row.key)[0]
    assert isinstance(event, ev.RunMoved)
    return FormName(event.was, event.was_version)


def _now(row: RunRow) -> FormName:
    return FormName(row.fingerprint, row.version)


async def _first_move(store: Store, row: RunRow, begin: int) -> LogRow | None:
    """The first move from a row on; only for a run without a snapshot, which is short, or a fork."""
    while rows := await store.log(row.number, after=begin - 1, upto=begin + _PAGE - 1):
        for logged in rows:
            if logged.kind == "RunMoved":
                return logged
        begin = rows[-1].seq + 1
    return None


# -- plans ---------------------------------------------------------------------------------------------


async def plan_of(store: Store, row: RunRow, form: FormName, plan: Plan | None) -> Plan:
    """The plan of a form of a run's graph.

    Args:
        store: Where the form is kept.
        row: The run.
        form: Which.
        plan: The graph in the code; None: structure only.

    Raises:
        StoreBroken: The form is missing, or is none.
    """
    if plan is not None and plan.fingerprint == form.fingerprint:
        return plan
    stored = await store.shape(form.fingerprint)
    if stored is None:
        raise StoreBroken(store.url, f"the form of the graph of run '{row.key}' is missing")
    with reading(store.url, "the form of its graph", row.key):
        shape = shape_in(stored)
        made = outline(shape, row.graph, form.version) if plan is None else as_stored(shape, plan, form.version)
    return replace(made, fingerprint=form.fingerprint)


class _Plain(JsonCodec):
    """Values of a field that the code does not have, or not like that: as a JSON parser gives them."""

    makes_tuple = False

    def __init__(self, name: str):
        super().__init__(name, Any)

    def load_operand(self, parsed: Any) -> Any:
        return self.load(parsed)

    def copy_operand(self, value: Any) -> Any:
        return self.copy(value)


def as_stored(shape: Shape, plan: Plan, version: str) -> Plan:
    """The plan of an earlier form: its structure, with the types and reducers of *plan* where a field is the same."""
    made = outline(shape, plan.name, version)
    specs: dict[str, FieldSpec] = {}
    codecs: dict[str, Any] = {}
    for name, field in shape["fields"].items():
        if same_field(field, plan.schema.fields.get(name)) is None:
            specs[name], codecs[name] = plan.schema.fields[name], plan.codec.fields[name]
        else:
            specs[name], codecs[name] = _gone(made.schema.fields[name], field["reducer"]), _Plain(name)
    codec = Codec(Schema(State, {}))
    codec.fields = codecs
    nodes = [replace(node, groups=_with_choices(node.groups, shape, node.index)) for node in made.nodes]
    return replace(made, schema=Schema(plan.schema.state, specs), codec=codec, nodes=nodes)


def _gone(spec: FieldSpec, reducer: str | None) -> FieldSpec:
    """A field that no state of the code shows."""
    known = getattr(reducers, reducer, None) if reducer else None
    fold = known if isinstance(known, Reducer) and known.grows else spec.reducer
    return replace(spec, reducer=fold, private=True)


def _with_choices(groups: Sequence[Group], shape: Shape, vertex: int) -> tuple[Group, ...]:
    """What an `each` goes over, with the field that it reads: its elements are read from what is kept with it."""
    found = []
    for group, stored in zip(groups, shape["groups"][vertex], strict=True):
        choice = stored.get("choice") or ""
        root = choice.partition(".")[0]
        reads = (root,) if group.kind == "each" and root in shape["fields"] else ()
        found.append(replace(group, choice=choice or None, reads=reads))
    return tuple(found)


def same_field(before: Mapping[str, Any], now: FieldSpec | None) -> str | None:
    """Why what was written to a field cannot be taken as that of one of now; None where it can.

    Args:
        before: The field, as the stored form has it.
        now: The field in the code.
    """
    if now is None:
        return "is gone"
    name = now.reducer.name if now.reducer is not None else None
    if name != before["reducer"]:
        return f"was folded by {before['reducer'] or 'nothing'}, and is by {name or 'nothing'}"
    kind = type_name(now.annotation)
    return None if wider(before.get("type", kind), kind) else f"was {before.get('type')}, and is {kind}"


# -- rows of earlier forms -----------------------------------------------------------------------------


def as_seen(rows: Sequence[LogRow], moves: Sequence[Move], url: str, key: str) -> list[LogRow]:
    """Rows as the form behind *moves* has them: with the names of fields, and the numbers of edges, of that form."""
    return [_as_seen(row, [m for m in moves if row.seq < m.seq], url, key) for row in rows]


def _as_seen(row: LogRow, moves: Sequence[Move], url: str, key: str) -> LogRow:
    if not moves:
        return row
    with reading_row(row, url, key):
        body = object_in(parse(row.body), "the body")
        for move in moves:
            for parts in (body, object_in(body.get("blobs", {}), "the large values")):
                if "writes" in parts:
                    parts["writes"] = _named(object_in(parts["writes"], "what was written"), move.fields)
                if "items" in parts:
                    parts["items"] = _numbered(object_in(parts["items"], "the items"), move.edges)
            body["replaced"] = [now for name in body.get("replaced", ()) if (now := move.fields.get(name, name))]
        return replace(row, body=json.dumps(body))


def _named(values: Mapping[str, Any], fields: Mapping[str, str | None]) -> dict[str, Any]:
    return {now: value for name, value in values.items() if (now := fields.get(name, name)) is not None}


def _numbered(items: Mapping[str, Any], edges: Mapping[int, int]) -> dict[str, Any]:
    if not all(edge.isascii() and edge.isdigit() for edge in items):
        raise Misfit("items belong to no edge")
    return {str(edges[int(edge)]): values for edge, values in items.items() if int(edge) in edges}
