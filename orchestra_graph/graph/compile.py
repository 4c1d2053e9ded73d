"""From a declared graph to a frozen plan, or to the list of everything that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from orchestra_graph.errors import GraphError, Problem, nearest
from orchestra_graph.graph.checks import check
from orchestra_graph.graph.declared import Declaration, DeclaredEach, DeclaredEdge, DeclaredSwitch
from orchestra_graph.graph.digraph import reachable
from orchestra_graph.graph.edges import Edge, EdgeKind, Group, label_of
from orchestra_graph.graph.node import END, Place, Placed, Step
from orchestra_graph.graph.plan import Plan, PlanNode, Shape, fingerprint_of
from orchestra_graph.graph.reads import takes_several
from orchestra_graph.graph.signature import Signature, choice_reads, read_signature, type_name
from orchestra_graph.graph.topology import Scope, Topology
from orchestra_graph.state.codec import codec_of, unstorable
from orchestra_graph.state.schema import Schema

__all__ = ["compile_graph"]

_NAME = re.compile(r"[^\W\d][\w-]*")
_MISSING = ("unknown-node", "no-node")  # an edge leads to what is not there; the rest of the graph may still be whole


def compile_graph(declaration: Declaration) -> Plan:
    """Check a graph and freeze it.

    Raises:
        GraphError: With every error that was found; warnings are in `Plan.warnings`.
    """
    return _Compiler(declaration).compile()


class _Compiler:
    def __init__(self, declaration: Declaration):
        self.graph = graph = declaration
        self.problems = list(declaration.problems)
        self.said: list[Problem] = []  # wrong with nodes by themselves: that does not hide what is wrong with the graph
        self.vertex = {
            "START": 0,
            **{name: i for i, name in enumerate(graph.steps, 1)},
            "END": len(graph.steps) + 1,
        }
        self.end = self.vertex["END"]
        self.edges: list[Edge] = []
        self.groups: list[list[Group]] = [[] for _ in range(self.end + 1)]
        self.eaches: list[tuple[int, int, DeclaredEach]] = []
        self.whole = False  # every node can be reached, and can end

    def compile(self) -> Plan:
        self.schema = schema = self._schema()
        signatures = {name: read_signature(node, schema) for name, node in self.graph.steps.items()}
        self.said += [problem for signature in signatures.values() for problem in signature.problems]
        self._names()
        self._connect()
        self._choices(schema)
        self._way_through()
        self._stop()
        scopes = [self._scope(edge, each) for edge, _, each in self.eaches]
        self._stop()
        plan = self._plan(schema, signatures, scopes)
        doubtful = {self.vertex[name] for name, signature in signatures.items() if signature.problems}
        found = check(plan, self.graph.where, doubtful)
        self.problems += [p for p in found if p.severity == "error"]
        if self.said or self.problems:
            self._raise()
        return replace(plan, warnings=tuple(replace(p, graph=self.graph.name) for p in found))

    def _problem(self, code: str, what: str, where: str, mend: str = "") -> None:
        self.problems.append(Problem(code=code, what=what, mend=mend, where=where))

    def _stop(self) -> None:
        """End here if there is no whole graph to look at."""
        if self.problems and not (self.whole and all(p.code in _MISSING for p in self.problems)):
            self._raise()

    def _raise(self) -> NoReturn:
        raise GraphError([replace(p, graph=self.graph.name) for p in [*self.said, *self.problems]])

    # -- state and names ----------------------------------------------------------------------------

    def _schema(self) -> Schema:
        state, where = self.graph.state, self.graph.where
        state.model_rebuild(raise_errors=False)
        if not state.__pydantic_complete__:
            self._problem(
                "incomplete-state",
                f"{state.__name__} names a class that is not defined",
                where,
                "Define it in the module, before the first run",
            )
            self._raise()
        schema = Schema.of(state)
        for spec in schema.fields.values():
            why = unstorable(spec.annotation)
            if why:
                self._problem("unstorable", f"field {state.__name__}.{spec.name} cannot be stored: {why}", where)
            if spec.grows and getattr(spec.annotation, "__origin__", spec.annotation) not in (list, tuple):
                self._problem(
                    "reducer-type",
                    f"field {state.__name__}.{spec.name} has the reducer {spec.reducer}, which needs a list or tuple, "
                    f"not {type_name(spec.annotation)}",
                    where,
                    f"{spec.name}: Annotated[list[{type_name(spec.annotation)}], {spec.reducer}] = []",
                )
        return schema

    def _names(self) -> None:
        for name, node in self.graph.steps.items():
            if name in ("START", "END") or not _NAME.fullmatch(name):
                what = f"'{name}' cannot be a node's name: letters, digits, _ and -, not START or END"
                bad = Problem(code="bad-name", what=what, mend="@node(name='...')", where=node.where)
                taken = name in ("START", "END")  # it would stand in the place of the vertex of that name
                (self.problems if taken else self.said).append(bad)
        if not self.graph.starts:
            first = next(iter(self.graph.steps), "first_node")
            self._problem("no-start", "nothing says where a run begins", self.graph.where, f"graph.start({first})")

    def _at(self, place: Place, where: str) -> int | None:
        """The vertex of a place; an unknown one is a problem."""
        name = place if isinstance(place, str) else place.name
        if isinstance(place, Step) and place is END:
            return self.end
        if isinstance(place, Placed) and self.graph.steps.get(place.name) is not place.node:
            return None  # the handle of another graph: said when it was declared
        if name in self.graph.steps:
            return self.vertex[name]
        if isinstance(place, str) and not any(
            p.code == "no-node" and f"{name} is no node" in p.what for p in self.problems
        ):
            known = list(self.graph.steps)
            self._problem(
                "unknown-node",
                f"'{name}' is not in the graph.{nearest(name, known)}",
                where,
                f"The graph has: {', '.join(known)}",
            )
        return None

    def _all(self, places: Iterable[Place], where: str) -> list[int]:
        return [v for v in (self._at(place, where) for place in places) if v is not None]

    def _targets(self, places: Iterable[Place], where: str) -> list[int]:
        """Where edges lead; an unknown place is a problem, and counts as END so that the rest can be looked at."""
        return [self.end if v is None else v for v in (self._at(place, where) for place in places)]

    # -- edges --------------------------------------------------------------------------------------

    def _connect(self) -> None:
        starts = [(self._at(place, where), where) for place, where in self.graph.starts]
        always = [self._edge(0, v, "always", where) for v, where in starts if v is not None]
        self.groups[0].append(Group(kind="edges", edges=tuple(always)))
        plain: dict[int, list[int]] = {}
        for declared in self.graph.declared:
            if isinstance(declared, DeclaredEdge):
                self._plain(declared, plain)
        for source, edges in plain.items():
            self.groups[source].append(Group(kind="edges", edges=tuple(edges), where=self.edges[edges[0]].where))
        for declared in self.graph.declared:
            if isinstance(declared, DeclaredSwitch):
                self._switch(declared)
            elif isinstance(declared, DeclaredEach):
                self._each(declared)
        for _, body, each in self.eaches:
            if not self.groups[body] and each.collect is not None:
                collector = self._at(each.collect, each.where)
                if collector is not None:
                    self.groups[body].append(
                        Group(
                            kind="edges",
                            edges=(self._edge(body, collector, "always", each.where),),
                            where=each.where,
                        )
                    )
        for vertex in range(1, self.end):
            if all(map(self._may_take_nothing, self.groups[vertex])):
                edge = self._edge(vertex, self.end, "drop", "")
                self.groups[vertex].append(Group(kind="drop", edges=(edge,)))

    def _edge(self, source: int, target: int, kind: EdgeKind, where: str, **more: Any) -> int:
        self.edges.append(Edge(source=source, target=target, kind=kind, where=where, **more))
        return len(self.edges) - 1

    def _plain(self, declared: DeclaredEdge, plain: dict[int, list[int]]) -> None:
        targets = self._targets(declared.targets, declared.where)
        for source in self._all(declared.sources, declared.where):
            if source == self.end:
                self._problem("edge-from-end", "nothing follows END", declared.where)
                continue
            for target in targets:
                if declared.when is not None:
                    reads = self._reads(declared.when, declared.where)
                    edge = self._edge(
                        source,
                        target,
                        "when",
                        declared.where,
                        condition=declared.when,
                        label=label_of(declared.when),
                        reads=reads,
                    )
                elif declared.otherwise:
                    edge = self._edge(source, target, "otherwise", declared.where, label="otherwise")
                else:
                    edge = self._edge(source, target, "always", declared.where)
                plain.setdefault(source, []).append(edge)

    def _reads(self, choice: Any, where: str) -> tuple[str, ...]:
        if not isinstance(choice, str) and not callable(choice):
            self._problem("bad-choice", f"{choice!r} is neither a field, a dotted path nor a function of fields", where)
            return ()
        try:
            return choice_reads(choice)
        except (TypeError, ValueError) as error:
            self._problem("bad-choice", f"the parameters of {choice!r} cannot be read: {error}", where)
            return ()

    def _switch(self, declared: DeclaredSwitch) -> None:
        source = self._at(declared.source, declared.where)
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
        reads = self._reads(declared.choice, declared.where)
        self.groups[source].append(
            Group(kind="switch", edges=tuple(edges), choice=declared.choice, reads=reads, where=declared.where)
        )

    def _each(self, declared: DeclaredEach) -> None:
        where = declared.where
        source, body = self._at(declared.source, where), self._at(declared.work, where)
        if source is None or body is None:
            return
        if declared.limit is not None and declared.limit < 1:
            self._problem("bad-limit", f"each(limit={declared.limit}): at least one must be able to run", where)
        if body == self.end or source == self.end:
            self._problem("bad-each", "each() needs a node for the work", where)
            return
        into = self._edge(source, body, "each", where, label=f"for each {_each_label(declared.items)}")
        edges = [into]
        no_items = declared.empty
        if no_items is None and declared.collect is not None and self._at(declared.collect, where) != source:
            no_items = declared.collect
        target = None if no_items is None else self._at(no_items, where)
        if target is not None:
            edges.append(self._edge(source, target, "empty", where, label="empty"))
        reads = self._reads(declared.items, where)
        group = Group(
            kind="each",
            edges=tuple(edges),
            choice=declared.items,
            reads=reads,
            limit=declared.limit,
            where=where,
        )
        self.groups[source].append(group)
        self.eaches.append((into, body, declared))

    def _may_take_nothing(self, group: Group) -> bool:
        kinds = {self.edges[e].kind for e in group.edges}
        if group.kind == "edges":
            return not kinds & {"always", "otherwise"}
        if group.kind == "switch":
            return takes_several(self.schema, group)
        return group.kind == "each" and "empty" not in kinds

    def _choices(self, schema: Schema) -> None:
        """Every condition, switch and list of items must read fields that exist."""
        asked: list[tuple[Any, tuple[str, ...], str, str]] = [
            (e.condition, e.reads, e.where, self._name(e.source)) for e in self.edges if e.condition is not None
        ]
        asked += [
            (g.choice, g.reads, g.where, self._name(v))
            for v, gs in enumerate(self.groups)
            for g in gs
            if g.choice is not None
        ]
        for choice, reads, where, source in asked:
            for name in reads:
                if name not in schema.fields:
                    what = f"the path '{choice}'" if isinstance(choice, str) else f"the function {label_of(choice)}"
                    hint = nearest(name, list(schema.fields))
                    self._problem(
                        "unknown-parameter",
                        f"{what} after '{source}' reads '{name}', which is no field of {schema.state.__name__}.{hint}",
                        where,
                    )

    def _name(self, vertex: int) -> str:
        return [*self.vertex][vertex]

    # -- the way through ----------------------------------------------------------------------------

    def _way_through(self) -> None:
        ahead: list[list[int]] = [[] for _ in range(self.end + 1)]
        back: list[list[int]] = [[] for _ in range(self.end + 1)]
        for edge in self.edges:
            ahead[edge.source].append(edge.target)
            back[edge.target].append(edge.source)
        from_start, to_end = reachable([0], ahead), reachable([self.end], back)
        self.whole = from_start == to_end == set(range(self.end + 1))
        if any(p.code in ("no-start", *_MISSING) for p in self.problems):
            return  # what is cut off by that would only be said twice
        for name, node in self.graph.steps.items():
            vertex = self.vertex[name]
            if vertex not in from_start:
                self._problem(
                    "unreachable",
                    f"node '{name}' cannot be reached from a start",
                    node.where,
                    f"graph.edge(..., {name})",
                )
            elif vertex not in to_end:
                self._no_exit(vertex, ahead)

    def _no_exit(self, vertex: int, ahead: Sequence[Sequence[int]]) -> None:
        """A node from which no way leads to the end stands in, or before, a loop without a way out: say it once."""
        trap = reachable([vertex], ahead)
        inside = [v for v in sorted(trap) if 0 < v < self.end]
        if vertex != inside[0] or any(reachable([v], ahead) != trap for v in inside):
            return  # it only leads there, or another node of the same loop says it
        names = [self._name(v) for v in inside]
        where = self.graph.steps[names[0]].where
        loop = " -> ".join([*names, names[0]])
        mend = f"graph.edge({names[-1]}, END, when=...)   and   graph.edge({names[-1]}, {names[0]}, otherwise=True)"
        self._problem("no-exit", f"the loop {loop} has no way out: the end cannot be reached from it", where, mend)

    def _scope(self, edge: int, each: DeclaredEach) -> Scope:
        """The body of an each: what lies between its work and its collector."""
        source, body = self.edges[edge].source, self.edges[edge].target
        collector = self.end if each.collect is None else self._at(each.collect, each.where)
        assert collector is not None
        ahead = [
            [] if v in (collector, self.end) else [e.target for e in self.edges if e.source == v]
            for v in range(self.end + 1)
        ]
        members = frozenset(reachable([body], ahead) - {collector, self.end})
        work = self._name(body)
        if source in members:
            mend = f"graph.each({self._name(source)}, ..., {work}, collect={self._name(source)})"
            self._problem(
                "each-leaves",
                f"the body of the each over '{work}' leads back to '{self._name(source)}'",
                each.where,
                mend,
            )
            return Scope(edge, members, collector)
        for index, other in enumerate(self.edges):
            if other.target in members and other.source not in members and index != edge:
                mend = f"again = graph.add({work}, name='{work}_2')   and use `again` there"
                target = self._name(other.target)
                self._problem(
                    "each-entered",
                    f"'{target}' is in the body of the each over '{work}', but "
                    f"'{self._name(other.source)}' leads into it, too",
                    each.where,
                    mend,
                )
        return Scope(edge, members, collector)

    # -- the plan -----------------------------------------------------------------------------------

    def _plan(self, schema: Schema, signatures: dict[str, Signature], scopes: Sequence[Scope]) -> Plan:
        topology = Topology(self.end + 1, [(e.source, e.target) for e in self.edges], scopes=scopes)
        turns = self._turns()
        heads = {r.head for r in topology.regions if not any(v in turns for v in r.members)}
        nodes = [PlanNode(index=0, name="START", kind="start", groups=tuple(self.groups[0]))]
        for name, node in self.graph.steps.items():
            signature, index = signatures[name], self.vertex[name]
            everything = tuple(schema.fields) if any(p.kind == "state" for p in signature.params) else ()
            reads = everything or tuple(p.name for p in signature.params if p.kind == "field")
            nodes.append(
                PlanNode(
                    index=index,
                    name=name,
                    kind=node.kind,
                    node=node,
                    params=signature.params,
                    reads=reads,
                    writes=signature.writes,
                    answer=signature.answer,
                    optional=signature.optional,
                    groups=tuple(self.groups[index]),
                    turns=turns.get(index),
                    counts_turns=index in heads,
                    where=node.where,
                )
            )
        nodes.append(PlanNode(index=self.end, name="END", kind="end"))
        shape = _shape(schema, nodes, self.edges, topology)
        return Plan(
            name=self.graph.name,
            version=self.graph.version,
            schema=schema,
            codec=codec_of(schema),
            nodes=tuple(nodes),
            edges=tuple(self.edges),
            topology=topology,
            limits=self.graph.limits,
            shape=shape,
            fingerprint=fingerprint_of(shape),
        )

    def _turns(self) -> dict[int, int]:
        """How often a node may run, where that was said."""
        turns: dict[int, int] = {}
        for place, allowed, where in self.graph.turns:
            vertex = self._at(place, where)
            if vertex is not None:
                turns[vertex] = min(allowed, turns.get(vertex, allowed))
        self._stop()
        return turns


def _value_label(value: Any) -> str:
    return str(getattr(value, "value", value))


def _each_label(items: Any) -> str:
    """``for each package`` of ``packages``, ``for each item of order.lines`` otherwise."""
    label = label_of(items)
    return f"of {label}" if label else "item"


def _shape(schema: Schema, nodes: Sequence[PlanNode], edges: Sequence[Edge], topology: Topology) -> Shape:
    fields = {
        spec.name: {
            "type": type_name(spec.annotation),
            "reducer": spec.reducer.name if spec.reducer else None,
            "later": spec.later,
            "required": spec.required,
        }
        for spec in schema.fields.values()
    }
    shaped = [
        {
            "name": n.name,
            "kind": n.kind,
            "reads": list(n.reads),
            "writes": list(n.writes.fields),
            "effect": n.options.effect,
            "turns": n.turns,
            "counts_turns": n.counts_turns,
            "optional": n.optional,
        }
        for n in nodes
    ]
    return {
        "fields": fields,
        "nodes": shaped,
        "edges": [{"from": e.source, "to": e.target, "kind": e.kind, "label": e.label} for e in edges],
        "groups": [
            [{"kind": g.kind, "edges": list(g.edges), "choice": label_of(g.choice), "limit": g.limit} for g in n.groups]
            for n in nodes
        ],
        "scopes": [{"edge": s.edge, "members": sorted(s.members), "collector": s.collector} for s in topology.scopes],
        "regions": [
            {"kind": r.kind, "head": r.head, "members": sorted(r.members), "parent": r.parent} for r in topology.regions
        ],
    }
