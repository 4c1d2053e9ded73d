"""A run goes on with the code of another form of its graph: whether it can, what has to be said, and the row for it.

Rule 1. It is decided for each run by where it stands (`core.moving`), and by what its fields hold.
Rule 2. The log stays as it is. One row more (`RunMoved`) says where the run stands in the new form, and replays begin
there; the form that the run has, and a snapshot, are written in the same append.
Rule 3. A run never goes to a form that it had before, nor to a lower version of its graph; a pinned run never goes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestra_graph.core import events as ev
from orchestra_graph.core.moving import Obstacle, Renames, Translation, ends_well, moved, translate
from orchestra_graph.core.run import RunState
from orchestra_graph.core.snapshot import freeze, needed_by
from orchestra_graph.errors import GraphChanged
from orchestra_graph.graph.migration import Migration
from orchestra_graph.graph.plan import Plan
from orchestra_graph.runtime.blobs import log_row, read_events
from orchestra_graph.runtime.code_version import codes_of
from orchestra_graph.runtime.forms import as_seen, moves_in, same_field
from orchestra_graph.runtime.invoke import value_of
from orchestra_graph.runtime.load import Behind, Loaded, changes_between, load_run
from orchestra_graph.runtime.outline import shape_of
from orchestra_graph.state.codec import parse
from orchestra_graph.state.schema import FieldSpec
from orchestra_graph.store.base import Append, Form, LogRow, RunRow, Snapshot, Store

__all__ = ["Moving", "carry_over", "check_goes_on", "plan_move"]

_PARTS = re.compile(r"\d+|\D+")


@dataclass(slots=True)
class Moving:
    """What happens to a run when it goes on with the code.

    Attributes:
        event: The move.
        run: The state of the run behind it.
        fragments: The JSON of the values that are set.
        closed: Questions that are not asked any more.
        migrated: What the graph says about an older version was used.
    """

    event: ev.RunMoved
    run: RunState
    fragments: Mapping[str, str]
    closed: Sequence[str]
    migrated: bool

    @property
    def changes(self) -> Sequence[str]:
        """What is not the same as before, one line each."""
        return self.event.changes


async def check_goes_on(store: Store, plan: Plan, row: RunRow) -> None:
    """Make sure that a run can go on with the code.

    Raises:
        GraphChanged: It cannot: says why, and what helps.
    """
    if row.fingerprint != plan.fingerprint and row.status not in ("done", "cancelled"):
        await plan_move(store, plan, row, at=0.0)


async def carry_over(store: Store, plan: Plan, row: RunRow, at: float) -> tuple[Loaded, LogRow | None]:
    """Let a run go on with the code, for good.

    Args:
        store: Where it is kept.
        plan: The graph in the code, of another form.
        row: The run, owned by this process.
        at: Seconds since the epoch.

    Returns:
        Its state, and the new row of its log; None where the run has ended, and stays as it is.

    Raises:
        GraphChanged: It cannot go on with this code. Nothing was changed.
    """
    if row.status in ("done", "cancelled"):
        return await load_run(store, plan, row), None
    moving = await plan_move(store, plan, row, at=at)
    run, closed = moving.run, [*moving.closed, *moving.run.closed]
    run.closed.clear()
    run.led_on.clear()
    body = freeze(run)
    logged = log_row(run.seq - 1, moving.event, moving.fragments)
    await store.append(
        Append(
            run=row.number,
            epoch=row.epoch,
            rows=[logged.row],
            blobs=logged.blobs,
            snapshot=Snapshot(run.seq - 1, body),
            closed=[(question, "withdrawn") for question in closed],
            form=Form(plan.version, plan.fingerprint, json.dumps(plan.shape)),
        )
    )
    return Loaded(run, Behind(size=len(body))), logged.row


async def plan_move(store: Store, plan: Plan, row: RunRow, *, at: float) -> Moving:
    """Find out how a run goes on with the code. Reads only.

    Args:
        store: Where it is kept.
        plan: The graph in the code, of another form than the run's.
        row: The run.
        at: When it happens.

    Raises:
        GraphChanged: It cannot: says why, and what helps.
    """
    return await _Planner(store, plan, row, at).plan_move()


class _Planner:
    def __init__(self, store: Store, plan: Plan, row: RunRow, at: float):
        self.store, self.plan, self.row, self.at = store, plan, row, at
        self.changes: Sequence[str] = ()

    async def plan_move(self) -> Moving:
        shape = await shape_of(self.store, self.row)
        self.changes = changes_between(shape, self.plan.shape) or ["its form is not the same"]
        run = (await load_run(self.store, self.plan, self.row)).run
        self._may_move(run)
        said = _Said.of(self.plan, self.row.version, _values(run), list(shape["fields"]))
        held = self._held(run, shape["fields"], said.renames)
        translation = translate(run, self.plan, said.renames, done=await self._done(), held=held)
        fragments, values, wrong = self._values(run, said)
        obstacles = [*said.wrong, *translation.obstacles, *wrong]
        if obstacles:
            raise self._changed(obstacles)
        event = ev.RunMoved(
            at=self.at,
            fingerprint=self.plan.fingerprint,
            version=self.plan.version,
            was=self.row.fingerprint,
            was_version=self.row.version,
            changes=tuple(self.changes),
            position=json.loads(json.dumps(translation.position)),
            values=values,
            code=codes_of(self.plan),
        )
        after = await self._after(event, translation)
        return Moving(event, after, fragments, translation.closed, bool(said.used))

    async def _after(self, event: ev.RunMoved, translation: Translation) -> RunState:
        """The state behind the move, made as every replay will make it."""
        logged = await self.store.rows(self.row.number, needed_by(event.position))
        rows = as_seen(logged, moves_in(event.position), self.store.url, self.row.key)
        found = await read_events(self.store, rows, self.plan, self.row.key)
        run = moved(self.plan, event, dict(zip((row.seq for row in rows), found, strict=True)))
        if not ends_well(run):
            raise self._changed([Obstacle("nothing would be left of it to go on with")])
        return run

    # -- what stands against it -----------------------------------------------------------------------

    def _may_move(self, run: RunState) -> None:
        row, plan = self.row, self.plan
        if row.pinned:
            what = f"it is pinned to version '{row.version}' as that was, and this code is version '{plan.version}'"
            raise GraphChanged(row.key, self.changes, why=[what], mends=[_old_code(row)])
        if any(move.fingerprint == plan.fingerprint for move in run.moves):
            what = f"it had this form before, and went on with that of version '{row.version}'"
        elif _order(plan.version) < _order(row.version):
            what = f"it is of version '{row.version}', and this code is version '{plan.version}', an older one"
        else:
            return
        raise GraphChanged(row.key, self.changes, why=[what], mends=[_old_code(row)])

    def _held(self, run: RunState, fields: Mapping[str, Any], renames: Renames) -> dict[str, str]:
        """The fields whose values the code cannot take, and why."""
        found, there = {}, self.plan.schema.fields
        for name in _values(run):
            now = renames.field(name)
            if now is None or now in renames.given:
                continue
            why = same_field(fields[name], there.get(now))
            if why is not None:
                found[name] = f"field '{name}' {why}, and it holds a value"
        return found

    async def _done(self) -> list[str]:
        """The ids of all that has finished."""
        rows = await self.store.log(self.row.number)
        return [parse(row.body)["id"] for row in rows if row.kind == "NodeFinished"]

    def _values(self, run: RunState, said: _Said) -> tuple[dict[str, str], dict[str, Any], list[Obstacle]]:
        """The values to set, with their JSON: what a migration gives, and the defaults of new fields."""
        fragments, values, wrong = dict[str, str](), dict[str, Any](), list[Obstacle]()
        given = {**self._defaults(run, said), **said.given}
        for name, value in given.items():
            try:
                values[name], fragments[name] = self.plan.codec.fields[name].accept(value)
            except Exception as error:  # of validators, too
                first = str(error).splitlines()[0]
                wrong.append(Obstacle(f"field '{name}' would begin with {value!r:.60}, which does not fit: {first}"))
        return fragments, values, wrong

    def _defaults(self, run: RunState, said: _Said) -> dict[str, Any]:
        known = {said.renames.field(name) for name in run.plan.schema.fields}
        inside = {name for call in self.plan.calls for name in call.private if not _within(call, run, self.plan)}
        fresh = [spec for name, spec in self.plan.schema.fields.items() if name not in known and name not in inside]
        return {spec.name: _default(spec) for spec in fresh if not (spec.later or spec.required)}

    def _changed(self, obstacles: Sequence[Obstacle]) -> GraphChanged:
        row, plan = self.row, self.plan
        nodes = {name: now for one in obstacles for name, now in one.nodes.items()}
        fields = {name: what for one in obstacles for name, what in one.fields.items()}
        mends = list(dict.fromkeys(one.mend for one in obstacles if one.mend))
        if nodes or fields:
            bumped = f'Graph(..., version="{_next(row.version)}")   and   ' if plan.version == row.version else ""
            mends.insert(0, bumped + _line(row, nodes, fields))
        why = [one.what for one in obstacles]
        return GraphChanged(row.key, self.changes, why=why, mends=[*mends, _old_code(row)])


def _within(call: Any, run: RunState, plan: Plan) -> bool:
    """Whether anything is live inside of a call."""
    names = {run.name(a.vertex) for a in run.live.values()} | {run.name(wave.join) for wave in run.waves.values()}
    return any(plan.nodes[vertex].name in names for vertex in call.members)


def _default(spec: FieldSpec) -> Any:
    return spec.info.get_default(call_default_factory=True, validated_data={})


def _values(run: RunState) -> dict[str, Any]:
    """What every field holds, all that is live taken together."""
    if run.result is not None:
        view = run.result.seen()
    else:
        heads = run.heads or [a.revision for wave in run.waves.values() for a in wave.excused]
        view = run.revisions.look(heads, run.lost) if heads else {}
    return {name: value_of(run.plan, name, cell) for name, cell in view.items()}


# -- what the graph says about older versions ------------------------------------------------------------


@dataclass(slots=True)
class _Said:
    """The migrations of a graph from one version on, as one.

    Attributes:
        renames: What is called otherwise.
        given: The values of fields that were given one.
        wrong: Functions that raised.
        used: The versions.
    """

    renames: Renames
    given: dict[str, Any]
    wrong: list[Obstacle] = field(default_factory=list)
    used: list[str] = field(default_factory=list)

    @staticmethod
    def of(plan: Plan, version: str, values: Mapping[str, Any], fields: Collection[str]) -> _Said:
        said = _Said(Renames(), {})
        begin = next((i for i, one in enumerate(plan.migrations) if one.version == version), len(plan.migrations))
        now = dict(values)
        nodes: dict[str, str | None] = {}
        renamed: dict[str, str | None] = {}
        for one in plan.migrations[begin:]:
            said.used.append(one.version)
            moves = Renames(one.nodes, one.renamed)
            nodes = _then(nodes, one.nodes, moves.node)
            renamed = _then(renamed, one.renamed, moves.field)
            now = said._apply(one, now, moves)
        said.renames = Renames(nodes, renamed, frozenset(said.given))
        return said

    def _apply(self, one: Migration, old: Mapping[str, Any], moves: Renames) -> dict[str, Any]:
        now = {name: value for was, value in old.items() if (name := moves.field(was)) is not None}
        given = {name: value for was, value in self.given.items() if (name := moves.field(was)) is not None}
        try:
            for name, function in one.functions.items():
                given[name] = function(old)
            if one.state is not None:
                given.update(one.state(old))
        except Exception as error:
            what = f"the migration from version '{one.version}' raised {type(error).__name__}: {error}"
            self.wrong.append(Obstacle(what, mend=f"Look at {one.where}"))
        self.given = given
        return {**now, **given}


def _then(before: Mapping[str, str | None], names: Mapping[str, str | None], rename: Any) -> dict[str, str | None]:
    """One renaming after another."""
    found = {was: None if now is None else rename(now) for was, now in before.items()}
    return {**{was: now for was, now in names.items() if was not in before.values()}, **found}


# -- words ---------------------------------------------------------------------------------------------


def _line(row: RunRow, nodes: Mapping[str, str | None], fields: Mapping[str, str]) -> str:
    """The line that mends it."""
    name = row.graph if row.graph.isidentifier() else "graph"
    parts = [repr_of(row.version)]
    if nodes:
        parts.append(f"nodes={{{', '.join(f'{repr_of(was)}: {repr_of(now)}' for was, now in nodes.items())}}}")
    if fields:
        told = {"gone": "None", "new": "lambda old: ..."}
        parts.append(f"fields={{{', '.join(f'{repr_of(name)}: {told[what]}' for name, what in fields.items())}}}")
    return f"{name}.migrate({', '.join(parts)})"


def repr_of(name: str | None) -> str:
    """A name as it is typed."""
    return "None" if name is None else json.dumps(name, ensure_ascii=False)


def _old_code(row: RunRow) -> str:
    return f"Or let the code of version '{row.version}' go on with it, or end it:   orchestra cancel {row.key}"


def _order(version: str) -> list[tuple[int, int, str]]:
    """Versions in their natural order: 2 before 10."""
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in _PARTS.findall(version)]


def _next(version: str) -> str:
    return str(int(version) + 1) if version.isdecimal() else f"{version}.1"
