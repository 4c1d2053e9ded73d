"""From a declared graph to a frozen plan, or to the list of everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from orchestra_graph.errors import GraphError, Problem
from orchestra_graph.graph.bounds import Bounds
from orchestra_graph.graph.checks import check
from orchestra_graph.graph.choices import wrong_with
from orchestra_graph.graph.connect import Each, connect
from orchestra_graph.graph.declared import Declaration
from orchestra_graph.graph.digraph import reachable
from orchestra_graph.graph.layout import Frame, Layout, lay_out
from orchestra_graph.graph.node import Node
from orchestra_graph.graph.plan import Call, Plan, PlanNode, Transfer, WriteSpec, fingerprint_of
from orchestra_graph.graph.reads import choice_type
from orchestra_graph.graph.shape import shape_of_plan
from orchestra_graph.graph.signature import Signature, choice_reads, read_signature
from orchestra_graph.graph.topology import Scope, Topology
from orchestra_graph.state.codec import codec_of

__all__ = ["compile_graph"]

_MISSING = ("unknown-node", "no-node")  # an edge leads to what is not there; the rest of the graph may still be whole


def compile_graph(declaration: Declaration) -> Plan:
    """Check a graph and freeze it.

    Raises:
        GraphError: With every error that was found; warnings are in `Plan.warnings`.
    """
    return _Compiler(declaration).compile()


class _Compiler:
    def __init__(self, declaration: Declaration):
        self.graph = declaration
        self.layout: Layout = lay_out(declaration)
        self.end = self.layout.end
        self.made = connect(self.layout)
        self.problems = [*declaration.problems, *self.layout.problems, *self.made.problems]
        self.said = list(self.layout.said)  # wrong with nodes by themselves: that hides nothing wrong with the graph
        self.whole = False  # every node can be reached, and can end

    def compile(self) -> Plan:
        signatures = {vertex: self._signature(frame, node, part) for vertex, frame, node, part in self.layout.nodes()}
        self.said += [problem for signature in signatures.values() for problem in signature.problems]
        self._way_through()
        self._stop()
        scopes = [self._body(each) for each in self.made.eaches] + self._insides()
        self._stop()
        plan = self._plan(signatures, scopes)
        self._stop()
        doubtful = {vertex for vertex, signature in signatures.items() if signature.problems}
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

    def _name(self, vertex: int) -> str:
        return self.layout.names[vertex]

    # -- what nodes read and write --------------------------------------------------------------------

    def _signature(self, frame: Frame, node: Node[Any], part: Any) -> Signature:
        """What a node reads and writes, in the names of the plan."""
        found = read_signature(node, frame.schema, part.inputs, part.outputs)
        fields = frame.fields
        params = []
        for param in found.params:
            if param.kind == "field":
                of = f"for '{param.name}' of '{node.name}'"
                wrong = wrong_with(param.source, frame.schema, of, part.where)
                if wrong is None:
                    param = replace(param, source=frame.choice(param.source))
                else:
                    self.problems.append(wrong)
            elif param.kind == "view":
                param = replace(param, view={name: fields[field] for name, field in param.view.items()})
            params.append(param)
        writes = found.writes
        names = {**{field: field for field in writes.fields}, **writes.names}
        found.writes = replace(
            writes,
            fields={fields[name]: annotation for name, annotation in writes.fields.items()},
            certain=frozenset(fields[name] for name in writes.certain),
            names={name: fields[field] for name, field in names.items() if name != fields.get(field, field)},
        )
        found.params = tuple(params)
        return found

    # -- the way through ----------------------------------------------------------------------------

    def _way_through(self) -> None:
        ahead: list[list[int]] = [[] for _ in range(self.end + 1)]
        back: list[list[int]] = [[] for _ in range(self.end + 1)]
        for edge in self.made.edges:
            ahead[edge.source].append(edge.target)
            back[edge.target].append(edge.source)
        from_start, to_end = reachable([0], ahead), reachable([self.end], back)
        self.whole = from_start == to_end == set(range(self.end + 1))
        if any(p.code in ("no-start", *_MISSING) for p in self.problems):
            return  # what is cut off by that would only be said twice
        for vertex in self.layout.parts:
            name = self._name(vertex)
            if vertex not in from_start:
                what, mend = f"node '{name}' cannot be reached from a start", f"graph.edge(..., {name})"
                self._problem("unreachable", what, self._where(vertex), mend)
            elif vertex not in to_end:
                self._no_exit(vertex, ahead)

    def _where(self, vertex: int) -> str:
        part = self.layout.parts[vertex]
        return part.what.where if isinstance(part.what, Node) else part.where

    def _no_exit(self, vertex: int, ahead: Sequence[Sequence[int]]) -> None:
        """A node from which no way leads to the end stands in, or before, a loop without a way out: say it once."""
        trap = reachable([vertex], ahead)
        inside = [v for v in sorted(trap) if v in self.layout.parts]
        if vertex != inside[0] or any(reachable([v], ahead) != trap for v in inside):
            return  # it only leads there, or another node of the same loop says it
        names = [self._name(v) for v in inside]
        loop = " -> ".join([*names, names[0]])
        mend = f"graph.edge({names[-1]}, END, when=...)   and   graph.edge({names[-1]}, {names[0]}, otherwise=True)"
        mend += f"\nOr let a limit of the loop lead out:   graph.limit({names[0]}, turns=10, then=...)"
        what = f"the loop {loop} has no way out: the end cannot be reached from it"
        self._problem("no-exit", what, self._where(inside[0]), mend)

    # -- scopes ---------------------------------------------------------------------------------------

    def _body(self, each: Each) -> Scope:
        """The body of an each: what lies between its work and its collector."""
        source, body = self.made.edges[each.edge].source, each.body
        stops = (each.collector, each.frame.leave, self.end)
        ahead: list[list[int]] = [[] for _ in range(self.end + 1)]
        for edge in self.made.edges:
            if edge.source not in stops:
                ahead[edge.source].append(edge.target)
        members = frozenset(reachable([body], ahead) - set(stops))
        work, where = self._name(body), each.declared.where
        if source in members:
            mend = f"graph.each({self._name(source)}, ..., {work}, collect={self._name(source)})"
            what = f"the body of the each over '{work}' leads back to '{self._name(source)}'"
            self._problem("each-leaves", what, where, mend)
            return Scope(each.edge, members, each.collector)
        for index, other in enumerate(self.made.edges):
            if other.target in members and other.source not in members and index != each.edge:
                mend = f"again = graph.add({work}, name='{work}_2')   and use `again` there"
                target, came = self._name(other.target), self._name(other.source)
                what = f"'{target}' is in the body of the each over '{work}', but '{came}' leads into it, too"
                self._problem("each-entered", what, where, mend)
        return Scope(each.edge, members, each.collector)

    def _insides(self) -> list[Scope]:
        """The inside of every graph that stands in another one."""
        scopes = []
        for frame in self.layout.frames[1:]:
            edges = enumerate(self.made.edges)
            first = next(i for i, e in edges if e.source == frame.enter and e.target in frame.members)
            scopes.append(Scope(first, frozenset(frame.members), frame.leave, call=True))
        return scopes

    # -- the plan -----------------------------------------------------------------------------------

    def _plan(self, signatures: dict[int, Signature], scopes: Sequence[Scope]) -> Plan:
        made, schema = self.made, self.layout.schema
        topology = Topology(
            self.end + 1,
            [(e.source, e.target) for e in made.edges],
            rules={vertex: rule for vertex, (rule, _) in made.rules.items()},
            scopes=scopes,
            raced=frozenset(v for race, _ in made.races for v in race),
        )
        bounds = Bounds(self.layout, made, topology)
        self.problems += bounds.problems
        nodes = [self._node(v, signatures.get(v), bounds) for v in range(self.end + 1)]
        plan = Plan(
            name=self.graph.name,
            version=self.graph.version,
            schema=schema,
            codec=codec_of(schema),
            nodes=tuple(nodes),
            edges=tuple(made.edges),
            topology=topology,
            limits=self.graph.limits,
            shape={},
            fingerprint="",
            calls=tuple(self._call(frame) for frame in self.layout.frames[1:]),
            races=tuple(race for race, _ in made.races),
            caps=bounds.caps,
            migrations=tuple(self.graph.migrations),
        )
        shape = shape_of_plan(plan)
        return replace(plan, shape=shape, fingerprint=fingerprint_of(shape))

    def _node(self, vertex: int, signature: Signature | None, bounds: Bounds) -> PlanNode:
        name, groups = self._name(vertex), tuple(self.made.groups[vertex])
        if vertex in (0, self.end):
            return PlanNode(index=vertex, name=name, kind="end" if vertex else "start", groups=groups)
        frames = self.layout.frames
        leaves = next((i for i, frame in enumerate(frames) if i and frame.leave == vertex), None)
        stands = frames.index(self.layout.within[vertex]) if leaves is None else leaves
        common: dict[str, Any] = {
            "index": vertex,
            "name": name,
            "groups": groups,
            "turns": bounds.turns.get(vertex),
            "counts_turns": vertex in bounds.heads,
            "call": stands - 1 if stands else None,
            "terminates": self.made.ends.get(vertex),
        }
        if leaves is not None:
            frame = frames[leaves]
            return self._passage("leave", frame.gives, frame, common)
        if signature is None:
            frame = next(frame for frame in frames if frame.enter == vertex and frame.parent is not None)
            return self._passage("enter", frame.fills, frame, common)
        node = self.layout.parts[vertex].what
        assert isinstance(node, Node)
        return PlanNode(
            kind=node.kind,
            node=node,
            params=signature.params,
            reads=self._reads(signature, self.layout.within[vertex]),
            writes=signature.writes,
            answer=signature.answer,
            optional=signature.optional,
            channel=node.options.channel,
            where=node.where,
            **common,
        )

    @staticmethod
    def _reads(signature: Signature, frame: Frame) -> tuple[str, ...]:
        if any(p.kind == "state" for p in signature.params):
            return tuple(frame.fields.values())
        sources = [choice_reads(p.source) for p in signature.params if p.kind == "field"]
        sources += [tuple(p.view.values()) for p in signature.params]
        return tuple(dict.fromkeys(name for names in sources for name in names))

    def _passage(self, kind: Any, transfers: Sequence[Transfer], frame: Frame, common: Mapping[str, Any]) -> PlanNode:
        """What stands before, or behind, the inside of a graph."""
        fields = {t.field: self._transferred(t) for t in transfers}
        reads = [choice_reads(t.source) for t in transfers if t.kind == "source"]
        return PlanNode(
            kind=kind,
            reads=tuple(dict.fromkeys(name for names in reads for name in names)),
            writes=WriteSpec(fields=fields, sure=True, single=False, certain=frozenset(fields)),
            transfers=tuple(transfers),
            where=frame.part.where if frame.part is not None else "",
            **common,
        )

    def _transferred(self, transfer: Transfer) -> Any:
        """The type of what is written by a transfer."""
        spec = self.layout.schema.fields[transfer.field]
        if transfer.kind == "source":
            return choice_type(self.layout.schema, transfer.source)
        none = transfer.kind == "default" and not spec.has_factory and spec.default is None
        return type(None) if none else spec.annotation

    @staticmethod
    def _call(frame: Frame) -> Call:
        own = {name: field for name, field in frame.fields.items() if field == frame.name(name)}
        return Call(
            name=frame.path,
            state=frame.declaration.state,
            names=dict(frame.fields),
            private=tuple(own.values()),
            enter=frame.enter,
            leave=frame.leave,
            members=frozenset(frame.members),
        )
