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
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from orchestra_graph.core import events as ev
from orchestra_graph.core.fork import overlay
from orchestra_graph.core.run import RunState, activation_id
from orchestra_graph.core.snapshot import ACTIVATION, freeze, thaw
from orchestra_graph.core.step import Step
from orchestra_graph.graph.edges import label_of
from orchestra_graph.graph.plan import Plan, PlanNode
from orchestra_graph.graph.topology import Coordinate, Discriminator, Stamp, passes_in

__all__ = ["Obstacle", "Renames", "Translation", "ends_well", "moved", "translate"]

_LAST_TURN = 2**62
_LAST_ITEM: Coordinate = (((_LAST_TURN, (), 0),), 0)
_MARK = re.compile(r"[@#~.(!]")  # what may follow the name of a node, or a turn, in an id


class Obstacle(NamedTuple):
    """Why a run cannot go on with another form.

    Attributes:
        what: In one line.
        nodes: Nodes that a migration has to map, with a proposal.
        fields: Fields of which a migration has to say something: ``new``, give it a value; ``gone``, say what becomes
            of it.
        mend: What else helps.
    """

    what: str
    nodes: Mapping[str, str | None] = {}
    fields: Mapping[str, str] = {}
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Renames:
    """What a migration says.

    Attributes:
        nodes: Old name to new one; None: what is live there is withdrawn.
        fields: Old name to new one; None: its values are left behind.
        given: The fields that get a value of their own, by their new names.
    """

    nodes: Mapping[str, str | None] = field(default_factory=dict)
    fields: Mapping[str, str | None] = field(default_factory=dict)
    given: Collection[str] = ()

    def node(self, name: str) -> str | None:
        """What a node is called now; inside of a graph that was renamed, too."""
        return _renamed(name, self.nodes)

    def field(self, name: str) -> str | None:
        """What a field is called now; a field of a graph inside is renamed with that."""
        if name in self.fields:
            return self.fields[name]
        graph, slash, inner = name.rpartition("/")
        home = self.node(graph) if slash else None
        return f"{home}/{inner}" if home else name


def _renamed(name: str, names: Mapping[str, str | None]) -> str | None:
    if name in names:
        return names[name]
    graph, slash, inner = name.rpartition("/")
    if not slash:
        return name
    home = _renamed(graph, names)
    return None if home is None else f"{home}/{inner}"


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


class _Forms:
    """Two forms of a graph, and what is what."""

    def __init__(self, old: Plan, new: Plan, renames: Renames):
        self.old, self.new, self.renames = old, new, renames
        self.by_name = new.by_name

    def vertex(self, old: int) -> int | None:
        """The vertex that a vertex of the old form is now."""
        name = self.renames.node(self.old.nodes[old].name)
        found = None if name is None else self.by_name.get(name)
        return None if found is None else found.index

    @cached_property
    def before(self) -> Mapping[int, str]:
        """For a vertex of the new form what it was called in the old one."""
        return {v: node.name for node in self.old.nodes if (v := self.vertex(node.index)) is not None}

    @cached_property
    def regions(self) -> Mapping[int, int]:
        """The regions of the old form that are the same in the new one."""
        there = {self._identity(self.new, region, lambda v: v): region for region in range(_regions(self.new))}
        found = {}
        for region in range(_regions(self.old)):
            identity = self._identity(self.old, region, self.vertex)
            if identity is not None and identity in there:
                found[region] = there[identity]
        return found

    @staticmethod
    def _identity(plan: Plan, index: int, vertex: Any) -> tuple[Any, ...] | None:
        """What makes a region: the head of a loop, the way into an `each`, the way into a call."""
        region = plan.topology.regions[index]
        if region.kind == "loop":
            ends: tuple[Any, ...] = (vertex(region.head),)
        else:
            scope = next(s for s in plan.topology.scopes if s.members == region.members)
            source, target = plan.topology.edges[scope.edge]
            ends = (vertex(source),) if scope.call else (vertex(source), vertex(target))
        return None if None in ends else (region.kind, len(ends), *ends)

    def shared(self, old: int, new: int) -> int:
        """How many regions around a vertex of the old form are also around one of the new form."""
        depth = 0
        for one, other in zip(self.old.topology.chain[old], self.new.topology.chain[new], strict=False):
            if self.regions.get(one) != other:
                break
            depth += 1
        return depth

    @cached_property
    def edges(self) -> dict[int, int]:
        """The edges of the old form that the new one has: with the same ends, and if possible the same label."""
        found: dict[int, int] = {}
        taken: set[int] = set()
        ends = [(self.vertex(e.source), self.vertex(e.target)) for e in self.old.edges]
        for alike in (lambda a, b: (a.kind, a.label) == (b.kind, b.label), lambda a, b: a.kind == b.kind, _any):
            for index, edge in enumerate(self.old.edges):
                fits = [
                    i
                    for i, other in enumerate(self.new.edges)
                    if i not in taken and (other.source, other.target) == ends[index] and alike(edge, other)
                ]
                if index not in found and fits and (edge.kind == "each") == (self.new.edges[fits[0]].kind == "each"):
                    found[index] = fits[0]
                    taken.add(fits[0])
        return found

    @cached_property
    def caps(self) -> Mapping[int, int]:
        """The limits of the old form that the new one has."""
        there = {(c.kind, c.vertex, c.depth): i for i, c in reversed(list(enumerate(self.new.caps)))}
        keys = ((c.kind, self.vertex(c.vertex), c.depth) for c in self.old.caps)
        return {i: there[key] for i, key in enumerate(keys) if key in there}


def _any(one: Any, other: Any) -> bool:
    return True


def _regions(plan: Plan) -> int:
    return len(plan.topology.regions)


class _Mover:
    def __init__(self, run: RunState, new: Plan, renames: Renames, done: Iterable[str], held: Mapping[str, str]):
        self.run, self.old, self.new, self.renames, self.held = run, run.plan, new, renames, held
        self.forms = _Forms(run.plan, new, renames)
        self.frozen = json.loads(freeze(run))
        self.obstacles: dict[str, Obstacle] = {}
        self.closed: list[str] = []
        self.ids: dict[str, str] = {}
        self.met: set[tuple[int, Stamp]] = set()
        self.now_called: dict[str, str] = {}
        self.lost: list[int] = list(self.frozen["lost"])
        self.done = _prefixes([*done, *run.live])  # by the names that they had

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
        self._nothing_is_missed(live, waves)
        self._nothing_twice(live, waves)
        self._ways_in_keep_numbers(live, waves)
        self._will_be_written(live, waves)
        return Translation(position, list(self.obstacles.values()), fields, forms.edges, self.closed)

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
        taken = _MARK.split(identity, maxsplit=1)[0] in self.forms.by_name and now.name != name
        if place.same and computed != identity and not taken:
            self.ids[computed] = identity
        self.now_called[identity] = self.ids.get(computed, computed)

    def _waves(self) -> list[Any]:
        found = []
        for wave in self.frozen["waves"]:
            moved = self._wave(*wave)
            if moved is not None:
                found.append(moved)
        return found

    def _wave(
        self, join: int, stamp: Any, fired: bool, asked: int, tokens: Any, excused: Any, fans: Any
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
        moved = [self._activation(one, f"an excused '{self.old.nodes[one[0]].name}'", None) for one in excused]
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

    # -- what must hold -------------------------------------------------------------------------------

    def _standing(self, live: Iterable[Any], waves: Iterable[Any]) -> Iterator[tuple[int, Stamp]]:
        yield from ((item[0], item[1]) for item in live)
        yield from ((wave[0], wave[1]) for wave in waves if wave[4] or wave[5])

    def _nothing_is_missed(self, live: Sequence[Any], waves: Sequence[Any]) -> None:
        """Where nothing meets any more, what has come goes on alone: so nothing else may still come."""
        topology = self.new.topology
        standing = list(self._standing(live, waves))
        for join, stamp, _, _, tokens, *_ in waves:
            if tokens and topology.rule[join].kind == "each_one":
                others = [v for v, at in standing if (v, at) != (join, stamp) and topology.blocks(v, at, join, stamp)]
                for vertex in others[:1]:
                    name, here = self.new.nodes[join].name, self.new.nodes[vertex].name
                    what = f"something waits at '{name}', where nothing meets any more, and '{here}' leads there, too"
                    self._no(what, mend=f"Keep the edges into '{name}'")

    def _nothing_twice(self, live: Sequence[Any], waves: Sequence[Any]) -> None:
        """No live position may newly come to what has run in the same turn."""
        topology = self.new.topology
        was = {now: old for old in range(self.old.topology.size) if (now := self.forms.vertex(old)) is not None}
        newly: dict[int, list[tuple[int, int]]] = {}
        for vertex, stamp in self._standing(live, waves):
            if vertex not in newly:
                newly[vertex] = [
                    (other, topology.innermost(vertex, other))
                    for other in was
                    if 0 < other < topology.end and other != vertex and self._newly_reaches(vertex, other, was)
                ]
            for other, shared in newly[vertex]:
                ran = activation_id(self.old.nodes[was[other]].name, stamp[:shared], ())
                if ran in self.done:
                    here, there = self.new.nodes[vertex].name, self.new.nodes[other].name
                    mend = f"Lead from '{here}' to a node of its own:   graph.add({there}, name='{there}_again')"
                    self._no(f"'{here}' is live and leads to '{there}' now, which has run already", mend=mend)

    def _newly_reaches(self, vertex: int, other: int, was: Mapping[int, int]) -> bool:
        def reaches(plan: Plan, source: int, target: int) -> bool:
            depth = plan.topology.innermost(source, target)
            return bool(plan.topology.masks[target][depth] >> source & 1)

        before = vertex in was and reaches(self.old, was[vertex], was[other])
        return reaches(self.new, vertex, other) and not before

    def _ways_in_keep_numbers(self, live: Sequence[Any], waves: Sequence[Any]) -> None:
        """Tokens that nobody gathers are told apart by the number of the edge over which they came."""
        told = [[stamp, item[2]] for item, (_, stamp) in zip(live, self._standing(live, ()), strict=True)]
        told += [[wave[1], token[1]] for wave in waves for token in wave[4]]
        if not any(_splits(_tuples(json.loads(json.dumps(one)))) for one in told):
            return
        old, new = self.old.topology, self.new.topology
        for vertex, into in enumerate(old.into):
            now = self.forms.vertex(vertex)
            if now is None or old.rule[vertex].kind != "each_one" or len(into) < 2:
                continue
            ways = [(number, self.forms.edges.get(edge)) for number, edge in enumerate(into)]
            if any(edge is not None and new.into[now].index(edge) != number for number, edge in ways):
                name = self.new.nodes[now].name
                mend = f"Declare new edges into '{name}' behind the ones that were there"
                self._no(f"paths are live that may have come by '{name}', whose ways in have another order", mend=mend)

    def _will_be_written(self, live: Sequence[Any], waves: Sequence[Any]) -> None:
        """A new field without a value must be written before it is read."""
        for name, spec in self.new.schema.fields.items():
            if name in self.renames.given or name in self._known or spec.private or not (spec.later or spec.required):
                continue
            reader = self._unwritten(name, {vertex for vertex, _ in self._standing(live, waves)})
            if spec.required:
                self._no(f"field '{name}' is new and has no default", fields={name: "new"})
            elif reader is not None:
                what = f"field '{name}' is new, and '{reader}' reads it before anything that is still to run writes it"
                self._no(what, fields={name: "new"})

    @cached_property
    def _known(self) -> Collection[str]:
        """The fields that have a value, or had their place in the old form, by their new names."""
        return {now for name in self.old.schema.fields if (now := self.renames.field(name)) is not None}

    def _unwritten(self, name: str, standing: Collection[int]) -> str | None:
        """A node ahead that reads a field before it can have been written; a join is taken to bring it."""
        plan, topology = self.new, self.new.topology
        seen, todo = set(standing), sorted(standing)
        ahead = _ahead(plan, standing)
        hopeless = not any(name in plan.nodes[v].writes.fields for v in ahead)
        while todo:
            vertex = todo.pop(0)
            node = plan.nodes[vertex]
            if name in node.reads:
                return node.name
            if name in node.writes.fields:
                continue
            for edge in topology.out[vertex]:
                target = topology.edges[edge][1]
                if name in plan.edges[edge].reads:
                    return node.name
                if target not in seen and (hopeless or topology.rule[target].kind == "each_one"):
                    seen.add(target)
                    todo.append(target)
        return None


def _ahead(plan: Plan, standing: Collection[int]) -> set[int]:
    seen, todo = set(standing), list(standing)
    while todo:
        for target in plan.topology.targets(todo.pop()):
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return seen


def _splits(value: Any) -> bool:
    """Whether paths that nobody gathered are told apart in a stamp or discriminator."""
    if not isinstance(value, tuple):
        return False
    if len(value) == 3 and value[0] == 0 and value[1] == () and isinstance(value[2], int):
        return True
    return any(map(_splits, value))


def _prefixes(identities: Iterable[str]) -> set[str]:
    """The ids, and what stands before each of their turns and elements."""
    found = set()
    for identity in identities:
        found |= {identity, *(identity[: mark.start()] for mark in _MARK.finditer(identity))}
    return found


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
