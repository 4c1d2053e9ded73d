"""What a function reads and writes, read off its annotations at compile time."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, get_args, get_origin

from orchestra_graph.errors import Problem, nearest
from orchestra_graph.graph.attributes import is_protocol, members_of, methods_of
from orchestra_graph.graph.edges import Choice, Renamed
from orchestra_graph.graph.fits import is_typed_dict
from orchestra_graph.graph.node import ItemMark, Node, Resource
from orchestra_graph.graph.plan import Param, WriteSpec
from orchestra_graph.graph.question import Question
from orchestra_graph.state.patch import Patch, patch_state
from orchestra_graph.state.schema import Schema, State

__all__ = ["Signature", "choice_reads", "hints_of", "read_signature", "type_name"]


@dataclass(slots=True, kw_only=True)
class Signature:
    """What is known of one node's function, and what is wrong with it."""

    params: tuple[Param, ...] = ()
    writes: WriteSpec = field(default_factory=lambda: WriteSpec(fields={}, sure=True, single=False))
    answer: Any = None
    optional: bool = False
    problems: list[Problem] = field(default_factory=list)


def type_name(annotation: Any) -> str:
    """A type as people write it."""
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    if get_origin(annotation) is Annotated:
        return type_name(get_args(annotation)[0])
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return " | ".join(type_name(a) for a in get_args(annotation))
    if get_origin(annotation) is typing.Literal:
        return f"Literal[{', '.join(map(repr, get_args(annotation)))}]"
    if get_args(annotation):
        inner = ", ".join("..." if a is Ellipsis else type_name(a) for a in get_args(annotation))
        return f"{getattr(get_origin(annotation), '__name__', annotation)}[{inner}]"
    return str(annotation).replace("typing.", "")


def _function(fn: Any) -> Callable[..., Any]:
    """The plain function under partials, bound methods, wrappers and callable objects."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = inspect.unwrap(fn)
    if inspect.ismethod(fn):
        return fn.__func__
    return fn if inspect.isfunction(fn) or inspect.isbuiltin(fn) else type(fn).__call__


def hints_of(fn: Any, scope: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The annotations of a callable, evaluated; marks kept.

    Raises:
        NameError: A name in them is not defined when the program runs.
    """
    function = _function(fn)
    names = dict(scope or {})
    return typing.get_type_hints(
        function, globalns=getattr(function, "__globals__", {}), localns=names, include_extras=True
    )


def choice_reads(choice: Any) -> tuple[str, ...]:
    """The fields that a condition, a switch or the items of an `each` need."""
    if isinstance(choice, str):
        return (choice.split(".")[0],)
    return tuple(choice.names.values() if isinstance(choice, Renamed) else inspect.signature(choice).parameters)


def read_signature(
    node: Node[Any],
    schema: Schema,
    inputs: Mapping[str, Choice] | None = None,
    outputs: str | Mapping[str, str] | None = None,
) -> Signature:
    """Read the parameters and the return annotation of a node.

    Args:
        node: The node.
        schema: The fields.
        inputs: Parameter to what it is given, where that is not the field of its name.
        outputs: What it writes to which field, where that is not the field of the name.
    """
    return _Reader(node, schema, inputs or {}, outputs).read()


class _Reader:
    def __init__(
        self, node: Node[Any], schema: Schema, inputs: Mapping[str, Choice], outputs: str | Mapping[str, str] | None
    ):
        self.node, self.schema, self.inputs = node, schema, inputs
        self.outputs = outputs if isinstance(outputs, Mapping) else {}
        self.single = outputs if isinstance(outputs, str) else node.options.writes
        self.found = Signature()

    def read(self) -> Signature:
        try:
            hints = hints_of(self.node.fn, self.node.scope)
            parameters = inspect.signature(self.node.fn).parameters
        except NameError as error:
            self._undefined(getattr(error, "name", None) or str(error))
            return self.found
        except (TypeError, ValueError) as error:
            self._problem("unreadable", f"its annotations cannot be read: {error}")
            return self.found
        given = self.node.fn.keywords if isinstance(self.node.fn, functools.partial) else {}
        read = [self._param(p, hints) for p in parameters.values() if p.name not in given]
        self.found.params = tuple(p for p in read if p is not None)
        self._all_known("inputs", self.inputs, [name for name in parameters if name not in given], "parameter")
        if "return" not in hints:
            self._problem(
                "no-return-type",
                "it has no return annotation, so nobody knows what it writes",
                "-> None says: nothing",
            )
        elif self.node.kind == "ask":
            self._question(hints["return"])
        elif self.node.kind == "receive":
            self._message(hints["return"])
        else:
            self._returns(hints["return"])
        return self.found

    def _problem(self, code: str, what: str, mend: str = "") -> None:
        problem = Problem(code=code, what=f"node '{self.node.name}': {what}", mend=mend, where=self.node.where)
        self.found.problems.append(problem)

    def _all_known(self, what: str, named: Iterable[str], known: Sequence[str], kind: str) -> None:
        """What `add` was told of must be there."""
        for name in named:
            if name not in known:
                self._problem(
                    f"unknown-{what[:-1]}",
                    f"add({what}=...) names '{name}', which is no {kind} of it.{nearest(name, known)}",
                    f"It has: {', '.join(known)}",
                )

    def _undefined(self, name: str) -> None:
        where = self.node.fn.__module__ if hasattr(self.node.fn, "__module__") else ""
        self._problem(
            "undefined-name",
            f"its annotations name {name}, which is not defined when the program runs",
            f"If {name} is imported under TYPE_CHECKING, move it out of that block (in {where}).\n"
            f"If it is a class of the same function, define it before the node.\n"
            f"Tell ruff to leave it there:   [tool.ruff.lint.flake8-type-checking]\n"
            f'    runtime-evaluated-decorators = ["orchestra_graph.node", "orchestra_graph.ask"]\n'
            f'    runtime-evaluated-base-classes = ["orchestra_graph.State", "orchestra_graph.Patch"]',
        )

    # -- parameters ---------------------------------------------------------------------------------

    def _param(self, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Param | None:
        name = parameter.name
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            kind = "positional-only" if parameter.kind is parameter.POSITIONAL_ONLY else "a catch-all"
            self._problem(
                "parameter-kind",
                f"parameter '{name}' is {kind}; a parameter is named like the field it reads",
            )
            return None
        if name not in hints:
            self._problem("unannotated", f"parameter '{name}' has no annotation", f"{name}: {self._type_of(name)}")
            return None
        annotation = hints[name]
        if name in self.inputs:
            bare = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
            return Param(name=name, kind="field", annotation=bare, source=self.inputs[name])
        special = self._special(name, annotation)
        if special is not None:
            return special
        if name in self.schema.fields:
            return Param(name=name, kind="field", annotation=annotation, source=name)
        if is_protocol(annotation) and members_of(annotation):
            return self._view(name, annotation)
        if parameter.default is not parameter.empty:
            self._problem(
                "parameter-default",
                f"parameter '{name}' is no field, so its default would be all it ever gets; take it out",
            )
            return None
        state = self.schema.state.__name__
        self._problem(
            "unknown-parameter",
            f"parameter '{name}' is no field of {state}.{nearest(name, list(self.schema.fields))}",
            f"{state} has: {', '.join(self.schema.fields)}\n"
            f"Something given to the Engine:   {name}: Annotated[{type_name(annotation)}, Resource]",
        )
        return None

    def _type_of(self, name: str) -> str:
        spec = self.schema.fields.get(name)
        return type_name(spec.annotation) if spec is not None else "..."

    def _special(self, name: str, annotation: Any) -> Param | None:
        """A parameter that is marked by its type."""
        if getattr(annotation, "__orchestra_role__", None) == "context":
            return Param(name=name, kind="context", annotation=annotation)
        if get_origin(annotation) is Annotated:
            base, *marks = get_args(annotation)
            for mark in marks:
                if isinstance(mark, ItemMark):
                    return Param(name=name, kind="item", annotation=base)
                if mark is Resource or isinstance(mark, Resource):
                    return Param(
                        name=name,
                        kind="resource",
                        annotation=base,
                        resource=getattr(mark, "name", "") if mark is not Resource else "",
                    )
        if isinstance(annotation, type) and issubclass(annotation, State) and issubclass(self.schema.state, annotation):
            return Param(name=name, kind="state", annotation=annotation)
        return None

    def _view(self, name: str, protocol: Any) -> Param | None:
        """A parameter that reads some fields, which a protocol lists."""
        fields, state, called = members_of(protocol), self.schema.state.__name__, methods_of(protocol)
        kind = protocol.__name__
        if called:
            self._problem(
                "view-method",
                f"parameter '{name}' is a {kind}, which has the method {called[0]}(): a view of {state} has attributes "
                f"only",
                f"Something given to the Engine:   {name}: Annotated[{kind}, Resource]",
            )
            return None
        for field_name in fields:
            if field_name not in self.schema.fields:
                self._problem(
                    "unknown-parameter",
                    f"parameter '{name}' is a {kind}, whose '{field_name}' is no field of {state}."
                    f"{nearest(field_name, list(self.schema.fields))}",
                    f"{state} has: {', '.join(self.schema.fields)}",
                )
                return None
        return Param(name=name, kind="view", annotation=protocol, view={field: field for field in fields})

    # -- what it writes -----------------------------------------------------------------------------

    def _returns(self, annotation: Any) -> None:
        single = self.single
        if single is not None:
            self._writes({single: annotation}, [single], single=True)
        elif annotation in (None, type(None), typing.NoReturn, typing.Never):
            return
        elif isinstance(annotation, type) and issubclass(annotation, Patch):
            self._patch(annotation)
        elif is_typed_dict(annotation):
            self._members(annotation, annotation.__required_keys__)
        elif isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
            self._members(annotation, annotation._fields)
        else:
            self._problem(
                "returns-nowhere",
                f"it returns {type_name(annotation)}, but does not say which field that is written to",
                f'@node(writes="{self._guess(annotation)}")\n'
                f"Several fields:   class {self.node.name.title()}Patch(Patch[{self.schema.state.__name__}]): ...",
            )

    def _guess(self, annotation: Any) -> str:
        fitting = [name for name, spec in self.schema.fields.items() if spec.annotation == annotation]
        return fitting[0] if fitting else next(iter(self.schema.fields), "field")

    def _patch(self, patch: type[Patch[Any]]) -> None:
        state = patch_state(patch)
        if state is not None and not self.outputs and not issubclass(self.schema.state, state):
            self._problem(
                "wrong-patch",
                f"{patch.__name__} is a patch of {type_name(state)}, not of {self.schema.state.__name__}",
            )
            return
        fields = {name: info.annotation for name, info in patch.model_fields.items()}
        self._writes(fields, [name for name, info in patch.model_fields.items() if info.is_required()], single=False)

    def _members(self, patch: Any, certain: Iterable[str]) -> None:
        """A patch that is a TypedDict or a NamedTuple."""
        try:
            hints = typing.get_type_hints(patch, localns=dict(self.node.scope))
        except NameError as error:
            self._undefined(getattr(error, "name", None) or str(error))
            return
        self._writes(hints, certain, single=False)

    def _writes(self, given: Mapping[str, Any], certain: Iterable[str], *, single: bool) -> None:
        self._all_known("outputs", self.outputs, [] if single else list(given), "written name")
        fields = {self.outputs.get(name, name): annotation for name, annotation in given.items()}
        known = {name: annotation for name, annotation in fields.items() if name in self.schema.fields}
        for name in fields:
            if name not in known:
                state = self.schema.state.__name__
                hint = nearest(name, list(self.schema.fields))
                self._problem(
                    "unknown-field",
                    f"it writes '{name}', which is no field of {state}.{hint}",
                    f"{state} has: {', '.join(self.schema.fields)}",
                )
        always = known.keys() & {self.outputs.get(name, name) for name in certain}
        self.found.writes = WriteSpec(
            fields=known,
            sure=always == known.keys(),
            single=single,
            certain=frozenset(always),
            names={name: field for name, field in self.outputs.items() if name in given},
        )

    def _message(self, payload: Any) -> None:
        self.found.answer = payload
        patch = isinstance(payload, type) and (issubclass(payload, Patch) or is_typed_dict(payload))
        if self.single is not None or patch or (isinstance(payload, type) and hasattr(payload, "_fields")):
            self._returns(payload)

    def _question(self, annotation: Any) -> None:
        members = get_args(annotation) if get_origin(annotation) in (typing.Union, types.UnionType) else (annotation,)
        questions = [a for a in members if a is Question or get_origin(a) is Question]
        rest = [a for a in members if a not in questions and a is not type(None)]
        if len(questions) != 1 or rest or not get_args(questions[0]):
            self._problem(
                "no-question",
                f"an @ask function returns Question[the type of the answer]; this one returns {type_name(annotation)}",
                f"-> Question[{self._type_of(self.single or '')}]",
            )
            return
        self.found.answer = get_args(questions[0])[0]
        self.found.optional = type(None) in members
        field = self.single or ""
        self._writes({field: self.found.answer}, [] if self.found.optional else [field], single=True)
