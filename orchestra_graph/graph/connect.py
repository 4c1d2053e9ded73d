"""The edges of a graph, and of the graphs that stand in it, between the vertices of its layout."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from orchestra_graph.errors import Problem, nearest
from orchestra_graph.graph.choices import wrong_with
from orchestra_graph.graph.declared import DeclaredEach, DeclaredEdge, DeclaredLimit, DeclaredSwitch, Part
from orchestra_graph.graph.edges import Edge, EdgeKind, Group, label_of
from orchestra_graph.graph.layout import Frame, Layout
from orchestra_graph.graph.node import END, Node, Place, Placed, Step
from orchestra_graph.graph.policies import JoinRule
from orchestra_graph.graph.reads import takes_several
from orchestra_graph.graph.signature import choice_reads

__all__ = ["ASIDE", "Bound", "Connections", "Each", "connect"]

ASIDE = ("error", "limit")
"""Groups that are followed in place of all others."""


class Each(NamedTuple):
    """An `each`: the edge into its body, the vertex there, where its results meet, and what was declared."""

    edge: int
    body: int
    collector: int
    declared: DeclaredEach
    frame: Frame


class Bound(NamedTuple):
    """A limit: of a vertex (of the whole graph: the one before it), and the edge that leads on from it."""

    vertex: int
    edge: int | None
    then: int | None
    declared: DeclaredLimit
    frame: Frame


class Connections:
    """What leads where.

    Attributes:
        edges: All edges.
        groups: By vertex.
        eaches: The bodies of `each`.
        rules: The join rules that were set, by vertex, each with its line.
        races: The races, by the vertices to which edges lead, each with its line.
        bounds: The limits.
        ends: The vertices that end their graph, and how.
        problems: What is wrong.
    """

    def __init__(self, size: int) -> None:
        self.edges: list[Edge] = []
        self.groups: list[list[Group]] = [[] for _ in range(size)]
        self.eaches: list[Each] = []
        self.rules: dict[int, tuple[JoinRule, str]] = {}
        self.races: list[tuple[tuple[int, ...], str]] = []
        self.bounds: list[Bound] = []
        self.ends: dict[int, Literal["done", "failed"]] = {}
        self.problems: list[Problem] = []

    def follows(self, vertex: int) -> list[Group]:
        """The groups that are followed when a vertex is done."""
        return [group for group in self.groups[vertex] if group.kind not in ASIDE]


def connect(layout: Layout) -> Connections:
    """Draw all edges."""
    connections = Connections(len(layout.names))
    connectors = [_Connector(layout, frame, connections) for frame in layout.frames]
    for connector in connectors:
        connector.connect()
    for connector in connectors:
        connector.close()
    return connections


class _Connector:
    """Draws the edges of one graph."""

    def __init__(self, layout: Layout, frame: Frame, made: Connections):
        self.layout, self.frame, self.made = layout, frame, made
        self.declaration = frame.declaration

    def connect(self) -> None:
        starts = [(self._at(place, where), where) for place, where in self.declaration.starts]
        always = [self._edge(self.frame.enter, v, "always", where) for v, where in starts if v is not None]
        self._group(self.frame.enter, Group(kind="edges", edges=tuple(always)))
        plain: dict[int, list[int]] = {}
        for declared in self.declaration.declared:
            if isinstance(declared, DeclaredEdge):
                self._plain(declared, plain)
        for source, edges in plain.items():
            where = self.made.edges[edges[0]].where
            self._group(source, Group(kind="edges", edges=tuple(edges), where=where))
        for declared in self.declaration.declared:
            if isinstance(declared, DeclaredSwitch):
                self._switch(declared)
            elif isinstance(declared, DeclaredEach):
                self._each(declared)
        self._joins()
        self._limits()
        self._ends()

    def close(self) -> None:
        """Where nothing was said: the body of an `each` leads to its collector, everything else to the end."""
        for each in self.made.eaches:
            work = self._exit_at(each.body)
            if each.frame is self.frame and each.declared.collect is not None and not self.made.follows(work):
                where = each.declared.where
                edge = self._edge(work, each.collector, "always", where)
                self._group(work, Group(kind="edges", edges=(edge,), where=where))
        for vertex in self.frame.exits.values():
            if all(map(self._may_take_nothing, self.made.follows(vertex))):
                edge = self._edge(vertex, self.frame.leave, "drop", "")
                self._group(vertex, Group(kind="drop", edges=(edge,)))

    # -- places -------------------------------------------------------------------------------------

    def _problem(self, code: str, what: str, where: str, mend: str = "") -> None:
        self.made.problems.append(Problem(code=code, what=what, mend=mend, where=where))

    def _at(self, place: Place, where: str, vertices: dict[str, int] | None = None) -> int | None:
        """The vertex to which edges lead that lead to a place; an unknown one is a problem."""
        name = place if isinstance(place, str) else place.name
        if isinstance(place, Step) and place is END:
            return self.frame.leave
        known = self.declaration.steps
        if isinstance(place, Placed) and not _is_at(place, known.get(name)):
            return None  # the handle of another graph: said when it was declared
        if name in known:
            return (self.frame.entries if vertices is None else vertices)[name]
        said = [*self.layout.problems, *self.declaration.problems]
        if isinstance(place, str) and not any(p.code == "no-node" and f"{name} is no node" in p.what for p in said):
            self._problem(
                "unknown-node",
                f"'{name}' is not in the graph.{nearest(name, list(known))}",
                where,
                f"The graph has: {', '.join(known)}",
            )
        return None

    def _from(self, place: Place, where: str) -> int | None:
        """The vertex from which edges leave that leave from a place."""
        return self._at(place, where, self.frame.exits)

    def _exit_at(self, entry: int) -> int:
        name = next((name for name, vertex in self.frame.entries.items() if vertex == entry), None)
        return entry if name is None else self.frame.exits[name]

    def _targets(self, places: Iterable[Place], where: str) -> list[int]:
        """Where edges lead; an unknown place is a problem, and counts as END so that the rest can be looked at."""
        return [self.frame.leave if v is None else v for v in (self._at(place, where) for place in places)]

    # -- edges --------------------------------------------------------------------------------------

    def _edge(self, source: int, target: int, kind: EdgeKind, where: str, **more: Any) -> int:
        self.made.edges.append(Edge(source=source, target=target, kind=kind, where=where, **more))
        return len(self.made.edges) - 1

    def _group(self, vertex: int, group: Group) -> None:
        self.made.groups[vertex].append(group)

    def _plain(self, declared: DeclaredEdge, plain: dict[int, list[int]]) -> None:
        where, targets = declared.where, self._targets(declared.targets, declared.where)
        for place in declared.sources:
            source = self._from(place, where)
            if source is None:
                continue
            if place is END:
                self._problem("edge-from-end", "nothing follows END", where)
                continue
            if declared.errors:
                label = " or ".join(error.__name__ for error in declared.errors)
                edges = [self._edge(source, t, "error", where, errors=declared.errors, label=label) for t in targets]
                self._group(source, Group(kind="error", edges=tuple(edges), where=where))
                continue
            plain.setdefault(source, []).extend(self._one(declared, source, target) for target in targets)

    def _one(self, declared: DeclaredEdge, source: int, target: int) -> int:
        where = declared.where
        if declared.when is None:
            kind: EdgeKind = "otherwise" if declared.otherwise else "always"
            return self._edge(source, target, kind, where, label="otherwise" if declared.otherwise else "")
        condition, reads = self._choice(declared.when, where, self._after(source))
        label = label_of(declared.when)
        return self._edge(source, target, "when", where, condition=condition, label=label, reads=reads)

    def _choice(self, choice: Any, where: str, of: str) -> tuple[Any, tuple[str, ...]]:
        """A condition, switch, predicate or list of items in the names of the plan, and the fields that it needs."""
        wrong = wrong_with(choice, self.frame.schema, of, where)
        if wrong is not None:
            self.made.problems += [] if wrong in self.made.problems else [wrong]  # of several targets it is said once
            return choice, ()
        named = self.frame.choice(choice)
        return named, choice_reads(named)

    def _after(self, vertex: int) -> str:
        return f"after '{self.layout.names[vertex]}'"

    def _switch(self, declared: DeclaredSwitch) -> None:
        source = self._from(declared.source, declared.where)
        if source is None:
            return
        by_target: dict[int, list[Any]] = {}
        for value, places in declared.cases:
            for target in self._targets(places, declared.where):
                by_target.setdefault(target, []).append(value)
        edges = [
            self._edge(
                source,
                target,
                "case",
                declared.where,
                values=tuple(values),
                label=", ".join(_value_label(v) for v in values),
            )
            for target, values in by_target.items()
        ]
        for target in self._targets(declared.default, declared.where):
            edges.append(self._edge(source, target, "default", declared.where, label="default"))
        choice, reads = self._choice(declared.choice, declared.where, self._after(source))
        self._group(source, Group(kind="switch", edges=tuple(edges), choice=choice, reads=reads, where=declared.where))

    def _each(self, declared: DeclaredEach) -> None:
        where = declared.where
        source, body = self._from(declared.source, where), self._at(declared.work, where)
        if source is None or body is None:
            return
        if declared.limit is not None and declared.limit < 1:
            self._problem("bad-limit", f"each(limit={declared.limit}): at least one must be able to run", where)
        if END in (declared.work, declared.source):
            self._problem("bad-each", "each() needs a node for the work", where)
            return
        into = self._edge(source, body, "each", where, label=f"for each {_each_label(declared.items)}")
        edges = [into]
        collector = self.frame.leave if declared.collect is None else self._at(declared.collect, where)
        no_items = declared.empty
        if no_items is None and declared.collect is not None and self._from(declared.collect, where) != source:
            no_items = declared.collect
        target = None if no_items is None else self._at(no_items, where)
        if target is not None:
            edges.append(self._edge(source, target, "empty", where, label="empty"))
        choice, reads = self._choice(declared.items, where, self._after(source))
        self._group(
            source,
            Group(kind="each", edges=tuple(edges), choice=choice, reads=reads, limit=declared.limit, where=where),
        )
        if collector is not None:
            self.made.eaches.append(Each(into, body, collector, declared, self.frame))

    def _may_take_nothing(self, group: Group) -> bool:
        kinds = {self.made.edges[e].kind for e in group.edges}
        if group.kind == "edges":
            return not kinds & {"always", "otherwise"}
        if group.kind == "switch":
            return takes_several(self.layout.schema, group)
        return group.kind == "each" and "empty" not in kinds

    # -- joins, limits, ends ------------------------------------------------------------------------

    def _joins(self) -> None:
        for joined in self.declaration.joins:
            vertex = self._at(joined.place, joined.where)
            if joined.place is END:
                mend = "Let the branches meet at a node before it:   graph.edge([...], last)   graph.join(last, ...)"
                self._problem("join-end", "END waits for everything: it has no other rule", joined.where, mend)
            elif vertex is not None:
                if vertex in self.made.rules:
                    name = self.layout.names[vertex]
                    what = f"'{name}' has two join rules ({self.made.rules[vertex][1]} is the other)"
                    self._problem("two-rules", what, joined.where, "Take one of them out")
                predicate = joined.rule.predicate
                if predicate is None:
                    rule = joined.rule
                else:
                    of = f"of the join '{self.layout.names[vertex]}'"
                    choice, _ = self._choice(predicate, joined.where, of)
                    rule = JoinRule(kind="until", cancel_rest=joined.rule.cancel_rest, predicate=choice)
                self.made.rules[vertex] = rule, joined.where
        for race in self.declaration.races:
            members = [self._at(place, race.where) for place in race.places]
            self.made.races.append((tuple(v for v in members if v is not None), race.where))

    def _limits(self) -> None:
        for cap in self.declaration.caps:
            vertex = self.frame.enter if cap.place is None else self._at(cap.place, cap.where)
            then = None if cap.then is None else self._at(cap.then, cap.where)
            if vertex is None:
                continue
            edge = None
            if then is not None:
                label = f"after {cap.allowed:g} {cap.kind if cap.allowed != 1 else cap.kind[:-1]}"
                source = vertex if cap.place is None else self._exit_at(vertex)
                edge = self._edge(source, then, "limit", cap.where, label=label)
                self._group(source, Group(kind="limit", edges=(edge,), where=cap.where))
            self.made.bounds.append(Bound(vertex, edge, then, cap, self.frame))
        for name, part in self.declaration.steps.items():
            if isinstance(part.what, Node) and part.what.options.interrupts:
                self._interrupt(name, part.what)

    def _interrupt(self, name: str, node: Node[Any]) -> None:
        """A message that interrupts acts like a limit of the loop, and leads to its next turn."""
        vertex, where = self.frame.entries[name], node.where
        edge = self._edge(vertex, vertex, "limit", where, label="a message interrupts")
        self._group(vertex, Group(kind="limit", edges=(edge,), where=where))
        cap = DeclaredLimit(place=name, kind="message", allowed=0, then=name, where=where)
        self.made.bounds.append(Bound(vertex, edge, vertex, cap, self.frame))

    def _ends(self) -> None:
        for end in self.declaration.ends:
            vertex = self._from(end.place, end.where)
            if vertex is None:
                continue
            name = self.layout.names[vertex]
            if self.made.follows(vertex):
                mend = f"Take its out-edges out, or end behind them:   graph.terminate(...)   of what follows '{name}'"
                self._problem("end-goes-on", f"'{name}' ends the graph, but edges leave it", end.where, mend)
            if end.status == "failed" and self.frame.parent is not None:
                what = f"'{name}' ends graph '{self.frame.path}' as failed, but the graph around it goes on"
                mend = "Write what was found to a field, and switch on it there;   or raise in the node"
                self._problem("end-inside", what, end.where, mend)
            self.made.ends[vertex] = end.status


def _is_at(place: Placed, part: Part | None) -> bool:
    return part is not None and part.what is place.what


def _value_label(value: Any) -> str:
    return str(getattr(value, "value", value))


def _each_label(items: Any) -> str:
    """``for each package`` of ``packages``, ``for each item of order.lines`` otherwise."""
    label = label_of(items)
    return f"of {label}" if label else "item"
