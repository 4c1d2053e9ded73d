"""A run goes on with another form of its graph: its position, said in the names of the new one.

A position (what `core.snapshot` writes down) names vertices, edges and limits by their index, and says in coordinates
in which turn of which loop something stands. All of that belongs to one form of the graph. It is carried over by names:
of nodes, of the two ends of an edge, of what makes a region (the head of a loop, the way into an `each`, a call).

Rule 1. What cannot be said in the new form is an *obstacle*, never guessed: the run is left as it is.
Rule 2. Only what is live counts. What was done and is gone may be missing in the new form.
Rule 3. Nothing runs twice: where a live position would newly come to what has run already, that is an obstacle.
Rule 4. The order of what was written stays: a write of a node that is gone comes right behind the last one before it
that is still there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from orchestra_graph.core import events as ev
from orchestra_graph.core.dangers import MARK, Dangers, Obstacle
from orchestra_graph.core.fork import overlay
from orchestra_graph.core.forms import Forms, Renames
from orchestra_graph.core.run import RunState, activation_id
from orchestra_graph.core.snapshot import ACTIVATION, freeze, thaw
from orchestra_graph.core.step import Step
from orchestra_graph.graph.edges import label_of
from orchestra_graph.graph.plan import Plan, PlanNode
from orchestra_graph.graph.topology import Coordinate, Discriminator, Stamp, passes_in

__all__ = ["Obstacle", "Renames", "Translation", "ends_well", "moved", "translate"]

_LAST_TURN = 2**62
_LAST_ITEM: Coordinate = (((_LAST_TURN, (), 0),), 0)


@dataclass(slots=True)
class Translation:
    """A position in another form.

    Attributes:
        position: As `freeze` would write it; of no use where there are obstacles.
        obstacles: Why the run cannot go on there.
        fields: What became of fields, for those that are called otherwise now or are not there (None).
        edges: The edges of the old form that the new one has, by index.
        closed: Questions that are not asked any more.
    """

    position: dict[str, Any]
    obstacles: list[Obstacle]
    fields: dict[str, str | None]
    edges: dict[int, int]
    closed: list[str]


def translate(
    run: RunState, new: Plan, renames: Renames, *, done: Iterable[str] = (), held: Mapping[str, str] | None = None
) -> Translation:
    """Say the position of a run in another form of its graph.

    Args:
        run: The run, in the form that it has; not changed but for what `freeze` forgets.
        new: The plan to go on with.
        renames: What is called otherwise.
        done: The ids of the activations that are done.
        held: The fields that hold a value which the new plan cannot take, and why.
    """
    return _Mover(run, new, renames, done, held or {}).translation()


def moved(plan: Plan, event: ev.RunMoved, rows: Mapping[int, ev.Event]) -> RunState:
    """The state of a run right after it was moved; from here on it is that of *plan*.

    Args:
        plan: The new form.
        event: The move.
        rows: The events of the log rows that its position names, read as the new form has them.
    """
    run = thaw(plan, event.position, rows, settled=False)
    run.last_at = max(run.last_at, event.at)
    if event.values:
        overlay(run, event)
    step = Step(run, event.at)
    step.look += list(run.waves.values())
    step.settle()
    run.seq += 1
    return run


def ends_well(run: RunState) -> bool:
    """Whether a run that was moved can still come to an end: something is live in it, or it has ended."""
    return bool(run.live or run.waves or run.halt is not None or run.result is not None or run.status != "running")


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


class _Place(NamedTuple):
    """Where an item stands in the new form; *passes*: how many of the `each` passes around it are still around it."""

    vertex: int
    stamp: Stamp
    discriminator: Discriminator
    passes: int
    same: bool


class _Mover:
    def __init__(self, run: RunState, new: Plan, renames: Renames, done: Iterable[str], held: Mapping[str, str]):
        self.run, self.old, self.new, self.renames, self.held = run, run.plan, new, renames, held
        self.forms = Forms(run.plan, new, renames)
        self.frozen = json.loads(freeze(run))
        self.obstacles: dict[str, Obstacle] = {}
        self.closed: list[str] = []
        self.ids: dict[str, str] = {}
        self.met: set[tuple[int, Stamp]] = set()
        self.now_called: dict[str, str] = {}
        self.lost: list[int] = list(self.frozen["lost"])
        self.done = [*done, *run.live]

    def translation(self) -> Translation:
        frozen, forms = self.frozen, self.forms
        live = self._live()
        waves = self._waves()
        fields = self.fields
        position = {
            **frozen,
            "fingerprint": self.new.fingerprint,
            "version": self.new.version,
            "turns": list(self._turns()),
            "base": self._cells(frozen["base"]),
            "revisions": [self._revision(revision) for revision in frozen["revisions"]],
            "live": live,
            "waves": waves,
            "tallies": list(self._tallies()),
            "lost": self.lost,
            "fans": [self._fan(fan, number, live, waves) for number, fan in enumerate(frozen["fans"])],
            "refused": [self.now_called[identity] for identity in frozen["refused"] if identity in self.now_called],
            "ids": self.ids,
        }
        self._moves(position, fields)
        dangers = Dangers(forms, live, waves, self.done).found
        return Translation(position, [*self.obstacles.values(), *dangers], fields, forms.edges, self.closed)

    def _moves(self, position: dict[str, Any], fields: Mapping[str, str | None]) -> None:
        """How rows that were written until now are read from now on."""
        before = [self.run.seq, self.old.fingerprint, self.old.version, fields, list(self.forms.edges.items())]
        position["moves"] = [*self.frozen["moves"], before]

    def _no(self, what: str, **more: Any) -> None:
        self.obstacles.setdefault(what, Obstacle(what, **more))

    # -- items ----------------------------------------------------------------------------------------

    def _place(self, vertex: int, stamp: Stamp, discriminator: Discriminator, what: str) -> _Place | None:
        """Where something that stands at a vertex of the old form stands now; None where it is taken away."""
        name = self.old.nodes[vertex].name
        said = self.renames.node(name) != name or name in self.renames.nodes
        if self.renames.node(name) is None:
            return None
        now = self.forms.vertex(vertex)
        if now is None:
            self._no(f"{what}, and there is no '{self.renames.node(name)}' any more", nodes={name: self._nearest(name)})
            return None
        old, new = self.old.nodes[vertex], self.new.nodes[now]
        if old.kind != new.kind and not said and not {old.kind, new.kind} <= {"start", "end"}:
            self._no(f"{what}, which was {_KINDS[old.kind]} and is {_KINDS[new.kind]}", nodes={name: name})
            return None
        chain, around = self.old.topology.chain[vertex], self.new.topology.chain[now]
        shared = self.forms.shared(vertex, now)
        if shared == len(chain) == len(around):
            return _Place(now, stamp, discriminator, passes_in(stamp), True)
        if not said:
            self._no(f"{what}, and the loops, eaches and graphs around it are not the same", nodes={name: name})
            return None
        return self._elsewhere(now, stamp, discriminator, shared, what)

    def _elsewhere(self, now: int, stamp: Stamp, discriminator: Discriminator, shared: int, what: str) -> _Place | None:
        """What was in other regions goes out of them, as a token does, and into the new ones at their first turn."""
        topology = self.new.topology
        kept, dropped = stamp[:shared], stamp[shared:]
        for depth, coordinate in enumerate(dropped, shared + 1):
            if isinstance(coordinate, int):
                discriminator = (*discriminator, (depth, (), coordinate))
            elif coordinate[1] >= 0:
                discriminator = (*discriminator, (depth, *coordinate))
            else:
                discriminator = (*discriminator, *coordinate[0])
        for region in topology.chain[now][shared:]:
            if topology.regions[region].kind == "loop":
                kept = (*kept, 0)
            elif next(s for s in topology.scopes if s.members == topology.regions[region].members).call:
                kept, discriminator = (*kept, (discriminator, -1)), ()
            else:
                name = self.new.nodes[now].name
                self._no(f"{what}, and '{name}' is in an each now: no element is there to go on with")
                return None
        return _Place(now, kept, discriminator, passes_in(stamp[:shared]), False)

    def _nearest(self, name: str) -> str | None:
        """A node of the new form that is not in the old one, or None: what may have come in its place."""
        known = {node.name for node in self.old.nodes}
        fresh = [n.name for n in self.new.nodes if n.name not in known and n.kind in ("work", "ask", "receive")]
        kind = self.old.by_name[name].kind
        alike = [n for n in fresh if self.new.by_name[n].kind == kind or kind not in ("ask", "receive")]
        return next(iter([*alike, *fresh]), None)

    def _live(self) -> list[Any]:
        """The activations; each is a list, as `freeze` makes it."""
        found, places = [], dict[Any, str]()
        for item, activation in zip(self.frozen["live"], self.run.live.values(), strict=True):
            moved = self._activation(item, activation.id, activation.question)
            if moved is None:
                self.lost.append(item[3])
                continue
            place = json.dumps(moved[:3])
            if place in places:
                self._no(f"'{places[place]}' and '{activation.id}' would be one and the same")
            places[place] = activation.id
            found.append(moved)
        return found

    def _activation(self, item: Sequence[Any], identity: str, question: str | None) -> list[Any] | None:
        vertex, stamp, discriminator, revision, fans, errors, more, *rest = item
        node = self.old.nodes[vertex]
        values = dict(zip(ACTIVATION, more, strict=True))
        place = self._place(vertex, _tuples(stamp), _tuples(discriminator), f"'{identity}' {_DOES[values['status']]}")
        if place is None:
            if question is not None and values["status"] == "asking":
                self.closed.append(question)
            return None
        now = self.new.nodes[place.vertex]
        if now.kind != node.kind:
            values = self._begun_anew(values, question)
        fans = fans if place.same else fans[: place.passes]
        if values["status"] == "queued" and not (place.same and fans):
            values["status"] = "ready"
        self._keep_id(identity, node.name, now, place)
        body = [place.vertex, place.stamp, place.discriminator, revision, fans, errors]
        return [*body, [values[name] for name in ACTIVATION], *rest]

    def _begun_anew(self, values: dict[str, Any], question: str | None) -> dict[str, Any]:
        """What was asked of a node that is of another kind now, nobody asks any more."""
        if question is not None and values["status"] == "asking":
            self.closed.append(question)
        nothing = {"question": None, "to": None, "expires_at": None, "doubt": False, "asked": 0, "started": False}
        status = values["status"] if values["status"] in ("queued", "failed") else "ready"
        return {**values, **nothing, "status": status}

    def _keep_id(self, identity: str, name: str, now: PlanNode, place: _Place) -> None:
        """What has begun under one name ends under it: others know it by that (questions, idempotency keys)."""
        computed = activation_id(now.name, place.stamp, place.discriminator)
        taken = MARK.split(identity, maxsplit=1)[0] in self.forms.by_name and now.name != name
        if place.same and computed != identity and not taken:
            self.ids[computed] = identity
        self.now_called[identity] = self.ids.get(computed, computed)

    def _waves(self) -> list[Any]:
        found = []
        for wave, known in zip(self.frozen["waves"], self.run.waves.values(), strict=True):
            moved = self._wave([one.id for one in known.excused], *wave)
            if moved is not None:
                found.append(moved)
        return found

    def _wave(
        self, ids: Sequence[str], join: int, stamp: Any, fired: bool, asked: int, tokens: Any, excused: Any, fans: Any
    ) -> list[Any] | None:
        name = self.old.nodes[join].name
        if fired and not tokens and not excused and self.forms.vertex(join) is None:
            return None  # it only takes in what comes late, and nothing can come there any more
        came = [self.old.nodes[self.old.edges[token[0]].source].name for token in tokens]
        what = f"'{name}' waits for more, with what came from {_listed(came)}" if came else f"the join '{name}' is open"
        place = self._place(join, _tuples(stamp), (), what)
        if place is None:
            self.lost += [token[2] for token in tokens] + [one[3] for one in excused]
            return None
        rule, before = self.new.topology.rule[place.vertex], self.old.topology.rule[join]
        same = (rule.kind, rule.count, rule.cancel_rest, rule.short, label_of(rule.predicate)) == (
            before.kind, before.count, before.cancel_rest, before.short, label_of(before.predicate)
        )  # fmt: skip
        alone = before.kind == "gather" and rule.kind == "each_one"
        if not (same or alone or (before.kind == "each_one" and not tokens)):
            self._no(f"{what}, and its rule was {before}, is {rule}", mend=f"Let '{name}' join as it did")
            return None
        if (place.vertex, place.stamp) in self.met:
            self._no(f"{what}, and so do others of another turn, which would be the same one")
        self.met.add((place.vertex, place.stamp))
        kept = [found for token in tokens if (found := self._token(token, join, place, what)) is not None]
        moved = [self._activation(one, identity, None) for one, identity in zip(excused, ids, strict=True)]
        around = fans if place.same else fans[: place.passes]
        if tokens and not kept:
            return None
        return [place.vertex, place.stamp, fired, asked, kept, [one for one in moved if one is not None], around]

    def _token(self, token: Sequence[Any], join: int, place: _Place, what: str) -> list[Any] | None:
        edge, discriminator, revision, fans, cause = token
        source = self.old.nodes[self.old.edges[edge].source].name
        now = self.forms.edges.get(edge)
        if now is None:
            now = self._way_in(edge, source, join, place, what)
            if now is None:
                self.lost.append(revision)
                return None
        return [now, discriminator, revision, fans if place.same else fans[: place.passes], cause]

    def _way_in(self, edge: int, source: str, join: int, place: _Place, what: str) -> int | None:
        """The edge over which a token counts as having come whose own edge is gone."""
        into = self.new.topology.into[place.vertex]
        ends = self.old.nodes[join].kind in ("end", "leave")
        gathers = self.new.topology.rule[place.vertex].kind == "gather"
        plain = [e for e in into if self.new.edges[e].kind != "each"]
        if self.renames.node(source) is None:
            return None
        gone = self.forms.vertex(self.old.edges[edge].source) is None
        if ends or (gathers and plain and not gone):
            return next((e for e in plain if self.new.edges[e].source == self.forms.vertex(join)), plain[0])
        if gone:
            self._no(f"{what}, and there is no '{source}' any more", nodes={source: self._nearest(source)})
        else:
            self._no(f"{what}, and '{source}' does not lead there any more", mend=f"Keep the edge {source} -> ...")
        return None

    # -- what was written -----------------------------------------------------------------------------

    @cached_property
    def fields(self) -> dict[str, str | None]:
        """What became of each field; one whose value is lost is an obstacle."""
        renames, there = self.renames, self.new.schema.fields
        found: dict[str, str | None] = {}
        for name in self.old.schema.fields:
            now = renames.field(name)
            if now is not None and (now not in there or now in renames.given):
                now = None
            if now != name:
                found[name] = now
        for name, why in self.held.items():
            self._no(why, fields={name: "gone" if name not in there else "new"})
        return found

    def _cells(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for name, cell in cells.items():
            now = self.fields.get(name, name)
            if now is not None:
                found[now] = cell
        return found

    def _revision(self, revision: Sequence[Any]) -> list[Any]:
        index, parents, seq, place = revision
        return [index, parents, seq, None if place is None else self._written_at(*place)]

    def _written_at(self, vertex: int, stamp: Any, discriminator: Any, *more: Any) -> list[Any]:
        """The place in the logical order of something that was written."""
        stamp, discriminator = _tuples(stamp), _tuples(discriminator)
        now = self.forms.vertex(vertex)
        chain = self.old.topology.chain[vertex]
        if now is not None and self.forms.shared(vertex, now) == len(chain) == len(self.new.topology.chain[now]):
            return [now, stamp, discriminator, *more]
        key = self.old.topology.key(vertex, stamp, discriminator)
        name = more[1] if more else activation_id(self.old.nodes[vertex].name, stamp, discriminator)
        now, around = self._last_before(vertex, stamp)
        return [now, around, [], [self.run.seq, key, *more[:1]], name]

    def _last_before(self, vertex: int, stamp: Stamp) -> tuple[int, Stamp]:
        """What is still there of what came last before a vertex, in the order of one execution.

        Returns:
            A vertex of the new form, and a stamp: its own; or, where that was a loop or a body, one behind all of its.
        """
        old, found = self.old.topology, tuple[int, Stamp]((0, ()))
        best: tuple[Any, ...] = ()
        places = old.places(vertex)
        for other in range(1, old.size):
            now = self.forms.vertex(other)
            depth = min(old.innermost(vertex, other), len(stamp))
            inside = len(old.chain[other]) > depth
            if (
                now is None
                or old.places(other)[depth] >= places[depth]
                or self.forms.shared(other, now) < depth + inside
            ):
                continue
            if not inside and len(self.new.topology.chain[now]) != depth:
                continue
            key = tuple(part for pair in zip(places, stamp[:depth], strict=False) for part in pair)
            key = (*key, old.places(other)[depth])
            if key > best:
                last = (_LAST_TURN if old.is_loop(other, depth) else _LAST_ITEM,) if inside else ()
                best, found = key, (now, (*stamp[:depth], *last))
        return found

    # -- what was counted -----------------------------------------------------------------------------

    def _turns(self) -> Iterator[list[Any]]:
        for vertex, scope, count in self.frozen["turns"]:
            now = self.forms.vertex(vertex)
            if now is not None and self.forms.shared(vertex, now) >= len(scope):
                yield [now, scope, count]

    def _tallies(self) -> Iterator[list[Any]]:
        for index, prefix, *rest in self.frozen["tallies"]:
            now = self.forms.caps.get(index)
            if now is None:
                continue
            old, new = self.old.caps[index].vertex, self.new.caps[now].vertex
            if self.forms.shared(old, new) >= len(prefix):
                yield [now, prefix, *rest]

    def _fan(self, fan: Mapping[str, Any], number: int, live: Any, waves: Any) -> dict[str, Any]:
        used = any(number == one for item in live for one, _ in item[4])
        used = used or any(number == one for wave in waves for token in wave[4] for one, _ in token[3])
        cells, now = self._cells(fan["cells"]), self.forms.edges.get(fan["edge"])
        if not used:
            return {**fan, "edge": now or 0, "cells": {}, "made": False}
        edge = self.old.edges[fan["edge"]]
        source = self.old.nodes[edge.source].name
        what = f"the each after '{source}' is at work"
        if now is None:
            target = self.old.nodes[edge.target].name
            self._no(f"{what}, and the way into it is gone", nodes={source: source, target: target})
            return dict(fan)
        before, after = label_of(self.old.group_of(fan["edge"]).choice), label_of(self.new.group_of(now).choice)
        if before != after and self.renames.field(before) != after:
            mend = f"Let it go over '{before}'"
            self._no(f"{what} over '{before}', and goes over '{after}' now", mend=mend)
        return {**fan, "edge": now, "cells": cells}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in dict.fromkeys(names))


_DOES = {
    "queued": "waits for its place",
    "ready": "is to run",
    "running": "is to run",
    "retrying": "is to be tried again",
    "asking": "waits for a person",
    "receiving": "waits for a message",
    "failed": "has failed and may be retried",
}
_KINDS = {
    "start": "the start",
    "work": "a node",
    "ask": "a question",
    "receive": "a node that takes messages",
    "end": "the end",
    "enter": "a graph",
    "leave": "the end of a graph",
}
