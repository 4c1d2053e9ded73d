"""A snapshot: where a replay may begin, so that resuming a long run does not mean reading all of its log.

It holds the live items and the revisions that they can still tell apart, and of values only *references to log rows*: a
field is named by the row that wrote it, a grown field by the rows that added to it. So a snapshot of a run that has
appended a thousand documents is small, and nothing is stored twice. Only the value of a reducer that does not grow (a
sum) is held itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestra_graph.core import events as ev
from orchestra_graph.core.fork import delta_of
from orchestra_graph.core.revisions import Cell, Conflict, Delta, Folded, Grown, Plain, Revision, View, history
from orchestra_graph.core.run import (
    Activation,
    Fan,
    Fans,
    Halt,
    Move,
    RunState,
    Status,
    StepRecord,
    Tally,
    Token,
    Wave,
    activation_id,
)
from orchestra_graph.core.status import set_status
from orchestra_graph.errors import EngineBug
from orchestra_graph.graph.plan import Plan

__all__ = ["ACTIVATION", "FORMAT", "freeze", "is_known", "needed", "needed_by", "thaw"]

FORMAT = 3
"""The form of what is written here. The log is the truth: a snapshot of another form is left, and the log replayed."""

_COUNTS = (
    "status",
    "seq",
    "steps",
    "steps_before",
    "active",
    "last_at",
    "started_at",
    "steps_allowed",
    "seconds_allowed",
    "turns_allowed",
    "keeps",
    "refused",
)
ACTIVATION = ("status", "attempt", "since", "started", "asked", "question", "to", "expires_at", "retry_at", "doubt")


def freeze(run: RunState) -> str:
    """Write a run down as JSON text. Also forgets the revisions behind which nothing live can look."""
    return json.dumps(_Freezer(run).body(), separators=(",", ":"))


def is_known(body: str) -> bool:
    """Whether a snapshot is of the form that is written now."""
    return bool(json.loads(body).get("format") == FORMAT)


def needed(body: str) -> list[int]:
    """The log rows that `thaw` will ask for, in order."""
    return needed_by(json.loads(body))


def needed_by(frozen: Mapping[str, Any]) -> list[int]:
    """`needed`, of a text that was parsed."""
    seqs = {seq for _, _, seq, _ in frozen["revisions"] if seq is not None}
    for cells in [frozen["base"], *(fan["cells"] for fan in frozen["fans"])]:
        for cell in cells.values():
            if "row" in cell:
                seqs.add(cell["row"][0])
            elif "rows" in cell:
                seqs.update(_unpack(cell["rows"]))
    seqs |= {fan["seq"] for fan in frozen["fans"] if fan["made"]}
    for activation in [*frozen["live"], *(one for wave in frozen["waves"] for one in wave[5])]:
        seqs.update(_unpack(activation[7]))
    return sorted(seqs)


def thaw(plan: Plan, body: str | Mapping[str, Any], rows: Mapping[int, ev.Event], *, settled: bool = True) -> RunState:
    """Make the state of a run again.

    Args:
        plan: The graph, of the same fingerprint.
        body: What `freeze` gave, as text or parsed.
        rows: The events of the log rows that `needed` named.
        settled: Every join in there has been asked. Where not, whoever thaws asks them.
    """
    return _Thawer(plan, json.loads(body) if isinstance(body, str) else body, rows, settled).run()


# -- writing -------------------------------------------------------------------------------------------


class _Freezer:
    def __init__(self, run: RunState):
        self.run = run
        self.fans: dict[int, int] = {}
        self.fan_list: list[Fan] = []

    def body(self) -> dict[str, Any]:
        run = self.run
        lost = run.lost
        excused = [activation for wave in run.waves.values() for activation in wave.excused]
        heads = run.heads + lost + [activation.revision for activation in excused]
        if run.result is not None:
            # Nothing goes on, so its view is enough; made again from its parents, losers would count like the rest.
            heads, lost = [run.result], []
        base, since = history(heads) if heads else (None, [])
        frozen: dict[str, Any] = {"format": FORMAT, **{name: getattr(run, name) for name in _COUNTS}}
        frozen["fingerprint"], frozen["version"] = run.plan.fingerprint, run.plan.version
        frozen["halt"] = None if run.halt is None else _halt_out(run.halt)
        frozen["turns"] = [[vertex, scope, count] for (vertex, scope), count in run.turns.items()]
        frozen["count"] = run.revisions.count
        frozen["base_index"] = None if base is None else base.index
        frozen["base"] = {} if base is None else self._cells(base.seen())
        frozen["revisions"] = [_revision_out(r) for r in sorted(since, key=lambda r: r.index)]
        frozen["live"] = [self._activation(a) for a in run.live.values()]
        frozen["waves"] = [self._wave(wave) for wave in run.waves.values()]
        frozen["tallies"] = [[i, prefix, t.began, t.steps, t.over] for (i, prefix), t in run.tallies.items()]
        frozen["lost"] = [r.index for r in lost]
        frozen["result"] = None if run.result is None else run.result.index
        frozen["fans"] = [self._fan(fan) for fan in self.fan_list]
        frozen["ids"] = {of: a.id for a in (*run.live.values(), *excused) if (of := self._computed(a)) != a.id}
        frozen["moves"] = [[m.seq, m.fingerprint, m.version, dict(m.fields), list(m.edges.items())] for m in run.moves]
        return frozen

    def _computed(self, a: Activation) -> str:
        """What an activation would be called; one that began under another name of its node is still called by it."""
        return activation_id(self.run.name(a.vertex), a.stamp, a.discriminator)

    def _cells(self, view: View) -> dict[str, Any]:
        return {name: self._cell(name, cell) for name, cell in view.items()}

    def _cell(self, name: str, cell: Cell) -> dict[str, Any]:
        if isinstance(cell, Plain):
            return {"row": [cell.seq, cell.writer]}
        if isinstance(cell, Grown):
            return {"rows": _pack(cell.seqs)}
        if isinstance(cell, Folded):
            return {"value": json.loads(self.run.plan.codec.fields[name].dump(cell.value))}
        return {"conflict": cell.writers, "why": cell.why}

    def _activation(self, a: Activation) -> list[Any]:
        errors = [_error_out(a.error), _error_out(a.cause)]
        more = [getattr(a, name) for name in ACTIVATION]
        steps = _pack([step.seq for step in a.steps.values()])
        return [a.vertex, a.stamp, a.discriminator, a.revision.index, self._fans_of(a.fans), errors, more, steps]

    def _wave(self, wave: Wave) -> list[Any]:
        excused, tokens = [self._activation(a) for a in wave.excused], [self._token(t) for t in wave.tokens]
        return [wave.join, wave.stamp, wave.fired, wave.asked, tokens, excused, self._fans_of(wave.fans)]

    def _token(self, token: Token) -> list[Any]:
        fans, cause = self._fans_of(token.fans), _error_out(token.cause)
        return [token.edge, token.discriminator, token.revision.index, fans, cause]

    def _fans_of(self, fans: Fans) -> list[list[int]]:
        return [[self._number(fan), index] for fan, index in fans]

    def _number(self, fan: Fan) -> int:
        if id(fan) not in self.fans:
            self.fans[id(fan)] = len(self.fan_list)
            self.fan_list.append(fan)
        return self.fans[id(fan)]

    def _fan(self, fan: Fan) -> dict[str, Any]:
        return {"edge": fan.edge, "seq": fan.seq, "limit": fan.limit, "made": fan.made, "cells": self._cells(fan.view)}


def _revision_out(revision: Revision) -> list[Any]:
    delta = revision.delta
    return [revision.index, [p.index for p in revision.parents], None if delta is None else delta.seq, _place_of(delta)]


def _place_of(delta: Delta | None) -> Any:
    if delta is None:
        return None
    more = [delta.after, delta.id] if delta.after else []
    return [delta.vertex, delta.stamp, delta.discriminator, *more]


def _error_out(error: ev.ErrorInfo | None) -> list[str] | None:
    return None if error is None else [error.type, error.message]


def _error_in(error: Sequence[str] | None) -> ev.ErrorInfo | None:
    return None if error is None else ev.ErrorInfo(*error)


def _halt_out(halt: Halt) -> list[Any]:
    errors = [[identity, error.type, error.message] for identity, error in halt.errors]
    return [halt.status, halt.reason, halt.limit, halt.allowed, errors, halt.final]


def _pack(seqs: Sequence[int]) -> list[int]:
    """Differences, run-length encoded: rows that came at a steady pace take no more room than two numbers."""
    packed: list[int] = []
    before = 0
    for seq in seqs:
        step = seq - before
        if packed and packed[-2] == step:
            packed[-1] += 1
        else:
            packed += (step, 1)
        before = seq
    return packed


def _unpack(packed: Sequence[int]) -> list[int]:
    seqs, last = [], 0
    for step, times in zip(packed[::2], packed[1::2], strict=True):
        for _ in range(times):
            last += step
            seqs.append(last)
    return seqs


# -- reading -------------------------------------------------------------------------------------------


def _tuples(value: Any) -> Any:
    """JSON has lists where stamps and discriminators are tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


class _Thawer:
    def __init__(self, plan: Plan, frozen: Mapping[str, Any], rows: Mapping[int, ev.Event], settled: bool):
        self.plan, self.frozen, self.rows, self.settled = plan, frozen, rows, settled
        self.made = RunState.of(plan)
        self.revisions: dict[int, Revision] = {}
        self.fans: list[Fan] = []

    def run(self) -> RunState:
        run, frozen = self.made, self.frozen
        self._revisions()
        self.fans = [self._fan(fan) for fan in frozen["fans"]]
        for index, prefix, began, steps, over in frozen["tallies"]:
            run.tallies[index, _tuples(prefix)] = Tally(began, 0, steps, over)
        for item in frozen["live"]:
            self._activation(item)
        for item in frozen["waves"]:
            self._wave(item)
        for wave in run.waves.values() if self.settled else ():
            self._watch(wave)
        run.tallies = {key: tally for key, tally in run.tallies.items() if tally.inside}
        run.lost = [self.revisions[index].hold() for index in frozen["lost"]]
        run.result = None if frozen["result"] is None else self.revisions[frozen["result"]].hold()
        run.turns = {(vertex, _tuples(scope)): count for vertex, scope, count in frozen["turns"]}
        for name in _COUNTS:
            setattr(run, name, frozen[name])
        if frozen["halt"] is not None:
            status, reason, limit, allowed, errors, final = frozen["halt"]
            listed = tuple((identity, ev.ErrorInfo(kind, text)) for identity, kind, text in errors)
            run.halt = Halt(status, reason, limit, allowed, listed, final)
        run.moves = [
            Move(seq, fingerprint, version, fields, dict(edges))
            for seq, fingerprint, version, fields, edges in frozen.get("moves", ())
        ]
        run.revisions.count = frozen["count"]
        for revision in self.revisions.values():
            if not revision.holders and revision.children < 2:
                revision.view = None
        return run

    def _watch(self, wave: Wave) -> None:
        run = self.made
        blocked = run.marking.blocked(wave)
        if not (blocked or run.excusing) and self.frozen["halt"] is None:
            raise EngineBug(f"the wave {run.name(wave.join)} {wave.stamp} of a snapshot waits for nothing")
        until = self.plan.topology.rule[wave.join].kind == "until"
        if blocked and until and not wave.fired and len(wave.tokens) > wave.asked:
            run.undecided[activation_id(run.name(wave.join), wave.stamp, ())] = wave

    def _revisions(self) -> None:
        if self.frozen["base_index"] is None:
            return
        base = self.frozen["base_index"]
        make = self.made.revisions.restore
        self.revisions[base] = make(base, (), None, self._view(self.frozen["base"]))
        for index, parents, seq, place in self.frozen["revisions"]:
            delta = None if seq is None else self._delta(seq, _tuples(place))
            self.revisions[index] = make(index, tuple(self.revisions[p] for p in parents), delta, None)

    def _delta(self, seq: int, place: Any) -> Delta:
        vertex, stamp, discriminator, *more = place
        event = self.rows[seq]
        if isinstance(event, ev.RunForked | ev.RunMoved):
            return delta_of(event, seq, self.made.revisions.reducers)
        after, identity = more or ((), activation_id(self.made.name(vertex), stamp, discriminator))
        replaced = event.replaced if isinstance(event, ev.NodeFinished) else ()
        drops = () if after else self.plan.drops(vertex)
        return Delta(identity, vertex, stamp, discriminator, self._writes(seq), seq, replaced, drops, after=after)

    def _writes(self, seq: int) -> Mapping[str, Any]:
        event = self.rows[seq]
        if isinstance(event, ev.RunStarted | ev.RunForked | ev.RunMoved):
            return event.values
        if isinstance(event, ev.NodeFinished):
            return event.writes
        raise EngineBug(f"log row {seq} wrote nothing, but a snapshot refers to it")

    def _view(self, cells: Mapping[str, Any]) -> View:
        return {name: self._cell(name, cell) for name, cell in cells.items()}

    def _cell(self, name: str, cell: Mapping[str, Any]) -> Cell:
        if "row" in cell:
            seq, writer = cell["row"]
            return Plain(self._writes(seq)[name], writer, seq)
        if "rows" in cell:
            seqs = _unpack(cell["rows"])
            if not self.made.revisions.reducers[name].grows:  # an outline, which knows no values
                return Folded(None)
            return Grown([item for seq in seqs for item in self._writes(seq)[name]], seqs)
        if "value" in cell:
            codec = self.plan.codec.fields.get(name)  # an outline has none
            return Folded(None if codec is None else codec.load(cell["value"]))
        return Conflict(tuple(cell["conflict"]), cell["why"])

    def _fan(self, frozen: Mapping[str, Any]) -> Fan:
        edge, seq = frozen["edge"], frozen["seq"]
        event = self.rows.get(seq) if frozen["made"] else None
        items = event.items.get(edge) if isinstance(event, ev.NodeFinished) else None
        return Fan(edge, self._view(frozen["cells"]), items, frozen["limit"], seq)

    def _fans_of(self, frozen: Iterable[Sequence[int]]) -> Fans:
        return tuple((self.fans[number], index) for number, index in frozen)

    def _activation(self, frozen: Sequence[Any]) -> None:
        activation, status = self._made_activation(frozen)
        self.made.live[activation.id] = activation
        set_status(self.made, activation, status)
        queued = status == "queued"
        fans = activation.fans[:-1] if queued else activation.fans
        self._enter(activation.vertex, activation.stamp, fans, activation)
        if queued:
            activation.fans[-1][0].queue(activation.id)

    def _made_activation(self, frozen: Sequence[Any]) -> tuple[Activation, Status]:
        vertex, stamp, discriminator, revision, fans, errors, more, steps = frozen
        values = dict(zip(ACTIVATION, more, strict=True))
        status: Status = "ready" if values["status"] == "running" else values["status"]
        stamp, discriminator = _tuples(stamp), _tuples(discriminator)
        computed = activation_id(self.made.name(vertex), stamp, discriminator)
        activation = Activation(
            id=self.frozen.get("ids", {}).get(computed, computed),
            vertex=vertex,
            stamp=stamp,
            discriminator=discriminator,
            revision=self.revisions[revision].hold(),
            fans=self._fans_of(fans),
            error=_error_in(errors[0]),
            cause=_error_in(errors[1]),
            steps=dict(self._step(seq) for seq in _unpack(steps)),
            **{**values, "status": "queued"},
        )
        return activation, status

    def _step(self, seq: int) -> tuple[int, StepRecord]:
        event = self.rows[seq]
        if not isinstance(event, ev.StepDone):
            raise EngineBug(f"log row {seq} is no step, but a snapshot refers to it")
        return event.index, StepRecord(event.key, seq, event.value)

    def _wave(self, frozen: Sequence[Any]) -> None:
        join, stamp, fired, asked, tokens, excused, fans = frozen
        wave = Wave(join, _tuples(stamp))
        wave.fired, wave.asked = fired, asked
        for edge, discriminator, revision, around, cause in tokens:
            held = self.revisions[revision].hold()
            token = Token(edge, _tuples(discriminator), held, self._fans_of(around), _error_in(cause))
            wave.tokens.append(token)
            self._enter(join, wave.stamp, token.inside, wave)
        wave.excused = [self._made_activation(one)[0] for one in excused]
        if wave.excused:
            wave.fans = self._fans_of(fans)
            self._enter(join, wave.stamp, wave.fans, wave)
            self.made.excusing[join, wave.stamp] = wave
        self.made.waves[join, wave.stamp] = wave

    def _enter(self, vertex: int, stamp: Any, fans: Fans, item: Activation | Wave) -> None:
        run = self.made
        run.marking.enter(vertex, stamp, item)
        for index in self.plan.tallied.get(vertex, ()):
            key = index, stamp[: self.plan.caps[index].depth]
            run.tallies.setdefault(key, Tally(self.frozen["active"])).inside += 1
        for fan, place in fans:
            fan.enter(place)
