"""Where everything stands: the vertices of a graph, and of the graphs that stand in it, inlined.

A graph that stands in another one becomes two vertices and what is between them: ``review`` before its inside, where
its own fields are made, and ``review/END``, where all that ended inside meets and its own fields are dropped. Its nodes
are called ``review/draft``. A field with the name and the type of a field around it *is* that field; every other one is
private to the call and is called ``review/note`` in the plan.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, get_args, get_origin

from orchestra_graph.errors import GraphError, Problem, nearest
from orchestra_graph.graph.choices import wrong_with
from orchestra_graph.graph.declared import Declaration, DeclaredGraph, Part
from orchestra_graph.graph.edges import Choice, Renamed
from orchestra_graph.graph.node import ItemMark, Node
from orchestra_graph.graph.plan import Transfer
from orchestra_graph.graph.signature import choice_reads, type_name
from orchestra_graph.state.codec import unstorable
from orchestra_graph.state.schema import FieldSpec, Schema

__all__ = ["Frame", "Layout", "lay_out"]

_NAME = re.compile(r"[^\W\d][\w-]*")


@dataclass(slots=True, eq=False, kw_only=True)
class Frame:
    """A graph at its place: the outermost one, or one that stands in another.

    Attributes:
        declaration: What was said.
        schema: The fields of its own state.
        path: Its name; empty for the outermost.
        enter: The vertex before its inside.
        leave: The vertex behind it.
        parent: The graph that it stands in.
        part: As what it stands there.
        entries: For what stands in it, the vertex to which edges lead.
        exits: The same, the vertex from which edges leave.
        fields: Its fields, by what they are called in the plan.
        fills: What its own fields begin with.
        gives: What it gives to fields of its parent at its end.
    """

    declaration: Declaration
    schema: Schema
    path: str
    enter: int
    leave: int = 0
    parent: Frame | None = None
    part: Part | None = None
    entries: dict[str, int] = field(default_factory=dict)
    exits: dict[str, int] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    fills: list[Transfer] = field(default_factory=list)
    gives: list[Transfer] = field(default_factory=list)

    @property
    def members(self) -> range:
        """The vertices inside; of a graph in another one, its last vertex, too."""
        return range(self.enter + 1, self.leave + (self.parent is not None))

    def name(self, inner: str) -> str:
        """The name in the plan of what stands in it."""
        return f"{self.path}/{inner}" if self.path else inner

    def choice(self, choice: Choice) -> Choice:
        """A path or a function of its fields, in the plan's names."""
        if isinstance(choice, str):
            root, dot, rest = choice.partition(".")
            return f"{self.fields.get(root, root)}{dot}{rest}"
        names = {name: self.fields.get(name, name) for name in choice_reads(choice)}
        return choice if all(name == field for name, field in names.items()) else Renamed(choice, names)


@dataclass(slots=True, eq=False)
class Layout:
    """All vertices.

    Attributes:
        names: By vertex.
        frames: The graphs, the outermost first.
        within: For a vertex the graph that says what follows it; None for START and END.
        parts: What stands at a vertex, for nodes and for the entries of graphs.
        schema: The fields of all.
        problems: What is wrong with names and fields.
        said: What is wrong, but hides nothing.
    """

    names: list[str]
    frames: list[Frame]
    within: dict[int, Frame]
    parts: dict[int, Part]
    schema: Schema
    problems: list[Problem]
    said: list[Problem]

    @property
    def end(self) -> int:
        """The vertex of END."""
        return len(self.names) - 1

    def nodes(self) -> Iterator[tuple[int, Frame, Node[Any], Part]]:
        """The vertices of nodes."""
        for vertex, part in self.parts.items():
            if isinstance(part.what, Node):
                yield vertex, self.within[vertex], part.what, part


def lay_out(declaration: Declaration) -> Layout:
    """Give every node its vertex and every field its name.

    Raises:
        GraphError: A state cannot be read, or a graph stands in itself.
    """
    return _Layer(declaration).made


class _Layer:
    def __init__(self, declaration: Declaration):
        self.root = declaration
        schema = self._schema(declaration)
        self.made = Layout(["START"], [], {}, {}, schema, [], [])
        self.private: dict[str, FieldSpec] = {}
        root = Frame(declaration=declaration, schema=schema, path="", enter=0)
        root.fields = {name: name for name in schema.fields}
        self._fields_fit(root)
        self._lay(root)
        self.made.names.append("END")
        root.leave = self.made.end
        self.made.schema = Schema(declaration.state, {**schema.fields, **self.private})

    def _problem(self, code: str, what: str, where: str, mend: str = "") -> None:
        self.made.problems.append(Problem(code=code, what=what, mend=mend, where=where))

    def _fail(self, code: str, what: str, where: str, mend: str) -> None:
        raise GraphError([Problem(code=code, what=what, mend=mend, where=where, graph=self.root.name)])

    def _schema(self, declaration: Declaration) -> Schema:
        state = declaration.state
        state.model_rebuild(raise_errors=False)
        if not state.__pydantic_complete__:
            what = f"{state.__name__} names a class that is not defined"
            self._fail("incomplete-state", what, declaration.where, "Define it in the module, before the first run")
        return Schema.of(state)

    def _fields_fit(self, frame: Frame) -> None:
        """A field must be storable, and fit its reducer."""
        state, where = frame.declaration.state, frame.declaration.where
        for spec in frame.schema.fields.values():
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

    # -- vertices -----------------------------------------------------------------------------------

    def _vertex(self, name: str, frame: Frame) -> int:
        self.made.names.append(name)
        vertex = len(self.made.names) - 1
        self.made.within[vertex] = frame
        return vertex

    def _lay(self, frame: Frame) -> None:
        self.made.frames.append(frame)
        for name, part in frame.declaration.steps.items():
            self._name(frame, name, part)
            vertex = frame.entries[name] = frame.exits[name] = self._vertex(frame.name(name), frame)
            self.made.parts[vertex] = part
            if isinstance(part.what, DeclaredGraph):
                frame.exits[name] = self._inline(frame, name, part, part.what.declaration, vertex)
        if not frame.declaration.starts:
            first = next(iter(frame.declaration.steps), "first_node")
            where = frame.declaration.where
            self._problem("no-start", "nothing says where a run begins", where, f"graph.start({first})")

    def _name(self, frame: Frame, name: str, part: Part) -> None:
        if name in ("START", "END") or not _NAME.fullmatch(name):
            what = f"'{name}' cannot be a node's name: letters, digits, _ and -, not START or END"
            where = part.what.where if isinstance(part.what, Node) else part.where
            bad = Problem(code="bad-name", what=what, mend="@node(name='...')", where=where)
            taken = name in ("START", "END")  # it would stand in the place of the vertex of that name
            (self.made.problems if taken else self.made.said).append(bad)

    def _inline(self, parent: Frame, name: str, part: Part, inner: Declaration, enter: int) -> int:
        around: Frame | None = parent
        while around is not None:
            if around.declaration is inner:
                what = f"graph '{inner.name}' stands in itself, as '{parent.name(name)}'"
                mend = "Start a run of its own from a node:   await engine.start(graph, ...)"
                self._fail("recursion", what, part.where, mend)
            around = around.parent
        self.made.problems += inner.problems
        frame = Frame(
            declaration=inner,
            schema=self._schema(inner),
            path=parent.name(name),
            enter=enter,
            parent=parent,
            part=part,
        )
        self._fields_fit(frame)
        self._fields(frame, parent, part)
        self._lay(frame)
        frame.leave = self._vertex(frame.name("END"), parent)
        return frame.leave

    # -- fields -------------------------------------------------------------------------------------

    def _fields(self, frame: Frame, parent: Frame, part: Part) -> None:
        """Which fields are the parent's, what the others begin with, and what comes of them."""
        for name, spec in frame.schema.fields.items():
            if name not in part.inputs and not _is_item(spec) and self._shared(frame, parent, spec):
                frame.fields[name] = parent.fields[name]
                continue
            here = frame.fields[name] = frame.name(name)
            self.private[here] = replace(spec, name=here, private=True)
            fill = self._fill(frame, parent, part, spec)
            if fill is not None:
                frame.fills.append(fill)
        outputs = part.outputs if isinstance(part.outputs, Mapping) else {}
        if isinstance(part.outputs, str):
            what = f"add({frame.path}, outputs='{part.outputs}'): of a graph say which field goes where"
            self._problem("bad-outputs", what, part.where, f'outputs={{"...": "{part.outputs}"}}')
        self._known("inputs", part.inputs, frame, part, frame)
        self._known("outputs", outputs, frame, part, frame)
        self._known("outputs", outputs.values(), parent, part, frame)
        for inner, outer in outputs.items():
            if inner in frame.fields and outer in parent.fields:
                frame.gives.append(Transfer(field=parent.fields[outer], source=frame.fields[inner]))

    def _known(self, what: str, named: Any, of: Frame, part: Part, frame: Frame) -> None:
        known, state = list(of.schema.fields), of.declaration.state.__name__
        for name in named:
            if name not in known:
                what_for = f"add({frame.path}, {what}=...) names '{name}'"
                self._problem(
                    f"unknown-{what[:-1]}",
                    f"{what_for}, which is no field of {state}.{nearest(name, known)}",
                    part.where,
                    f"{state} has: {', '.join(known)}",
                )

    def _shared(self, frame: Frame, parent: Frame, spec: FieldSpec) -> bool:
        """Whether a field is that of the parent; one of the same name must be."""
        outer = parent.schema.fields.get(spec.name)
        if outer is None:
            return False
        if outer.annotation == spec.annotation and outer.reducer == spec.reducer:
            return True
        inner_state, outer_state = frame.declaration.state.__name__, parent.declaration.state.__name__
        self._problem(
            "subgraph-field",
            f"graph '{frame.path}' has {inner_state}.{spec.name}: {_declared(spec)}, and the graph around it has "
            f"{outer_state}.{spec.name}: {_declared(outer)}: it is one field only where the type is the same",
            frame.part.where if frame.part else "",
            f"{spec.name}: {_declared(outer)}\n"
            f'Or keep them apart:   graph.add({frame.path}, inputs={{"{spec.name}": "{spec.name}"}})',
        )
        return True

    def _fill(self, frame: Frame, parent: Frame, part: Part, spec: FieldSpec) -> Transfer | None:
        """What a private field begins with."""
        here = frame.fields[spec.name]
        if spec.name in part.inputs:
            given = part.inputs[spec.name]
            wrong = wrong_with(given, parent.schema, f"for '{spec.name}' of '{frame.path}'", part.where)
            if wrong is None:
                return Transfer(field=here, source=parent.choice(given))
            self.made.problems.append(wrong)
            return None
        if _is_item(spec):
            return Transfer(field=here, kind="item")
        if spec.later:
            return None
        if spec.required:
            state = frame.declaration.state.__name__
            self._problem(
                "unfilled",
                f"field {state}.{spec.name} of graph '{frame.path}' must be given, and nothing around it has that name",
                part.where,
                f'graph.add({frame.path}, inputs={{"{spec.name}": "..."}})\n'
                f"Or let a node in there write it:   {spec.name}: {type_name(spec.annotation)} = later()",
            )
        return Transfer(field=here, kind="default")


def _is_item(spec: FieldSpec) -> bool:
    """Whether a field is the element of an `each`: ``order: Item[Order]``."""
    marked: Callable[[Any], bool] = lambda mark: isinstance(mark, ItemMark)  # noqa: E731
    inside = get_args(spec.annotation)[1:] if get_origin(spec.annotation) is Annotated else ()
    return any(map(marked, (*spec.info.metadata, *inside)))


def _declared(spec: FieldSpec) -> str:
    kind = type_name(spec.annotation)
    return kind if spec.reducer is None else f"Annotated[{kind}, {spec.reducer}]"
