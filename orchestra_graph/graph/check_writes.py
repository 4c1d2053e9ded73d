"""Checks of the fields, and of what nodes write to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from types import GenericAlias
from typing import Any, NamedTuple, get_args

from orchestra_graph.errors import Problem
from orchestra_graph.graph.fits import element_of, fits, is_typed_dict, iterated, members
from orchestra_graph.graph.plan import PlanNode
from orchestra_graph.graph.signature import hints_of, type_name
from orchestra_graph.graph.subject import Subject
from orchestra_graph.state.reducers import add, last, maximum, merge, minimum, operand_and_whole, union
from orchestra_graph.state.schema import FieldSpec, State

__all__ = ["names_are_free", "reducers_fit", "writes_fit"]

_OF_THE_FIELD = (add, last, maximum, merge, minimum)
"""Reducers that fold in values of the field's own type."""


def names_are_free(subject: Subject) -> Iterator[Problem]:
    """A field must not be named like what every pydantic model has: ``state.copy`` would be one or the other."""
    for spec in subject.schema.fields.values():
        if hasattr(State, spec.name):
            yield Problem(
                code="field-name",
                what=f"field {subject.field(spec.name)} has the name of an attribute of pydantic's BaseModel",
                mend=f"{spec.name}_: {type_name(spec.annotation)}",
                where=subject.where,
            )


def reducers_fit(subject: Subject) -> Iterator[Problem]:
    """A reducer that needs a set or a dict must not stand at a field of something else."""
    for spec in subject.schema.fields.values():
        needed = spec.reducer.containers if spec.reducer is not None and not spec.grows else ()
        wrong = [m for m in members(spec.annotation) if m is not type(None) and not _is_one_of(m, needed)]
        if needed and wrong:
            names = " or ".join(kind.__name__ for kind in needed)
            yield Problem(
                code="reducer-type",
                what=f"field {subject.field(spec.name)} has the reducer {spec.reducer}, which needs a {names}, "
                f"not {type_name(spec.annotation)}",
                mend=f"{spec.name}: Annotated[{needed[0].__name__}[...], {spec.reducer}] = {needed[0].__name__}()",
                where=subject.where,
            )


def _is_one_of(member: Any, kinds: tuple[type, ...]) -> bool:
    origin = getattr(member, "__origin__", member)
    if is_typed_dict(origin):
        return dict in kinds
    return origin is Any or not isinstance(origin, type) or issubclass(origin, kinds)


def writes_fit(subject: Subject) -> Iterator[Problem]:
    """What a node writes must be of the field's type; of a field with a reducer, of the type of its operand.

    What is given to `Replace` must be of the field's type in any case.
    """
    for node in subject.plan.nodes:
        if node.kind == "enter":
            continue  # what a graph is given is looked at as what it reads
        who = f"graph '{node.name.removesuffix('/END')}'" if node.kind == "leave" else f"node '{node.name}'"
        for name, declared in node.writes.fields.items():
            spec = subject.schema.fields[name]
            for part, operand in zip(operand_and_whole(declared), (_operand(spec), _whole(spec)), strict=True):
                if part is None or _takes(operand, part):
                    continue
                if node.kind == "leave" and any(_takes(operand, member) for member in members(part)):
                    continue  # it may be narrower there
                expected = operand.says.format(field=subject.field(name), type=type_name(operand.type))
                yield Problem(
                    code="wrong-type-written",
                    what=f"{who} writes {name}: {type_name(declared)}, but {expected}",
                    mend=_declared(node, name, operand),
                    where=node.where,
                )


class _Operand(NamedTuple):
    """What a node must return for a field.

    Attributes:
        type: Its type; ``Any`` where that is not known.
        says: How messages say so.
        text: Whether a text will do, if the type allows one: never as the list of its letters.
        written: How the type is written in a declaration.
    """

    type: Any
    says: str
    text: bool = True
    written: str = "{type}"


def _whole(spec: FieldSpec) -> _Operand:
    return _Operand(spec.annotation, "Replace takes a whole {field}: {type}", written="Replace[{type}]")


def _operand(spec: FieldSpec) -> _Operand:
    reducer = spec.reducer
    if reducer is None or reducer in _OF_THE_FIELD:
        return _Operand(spec.annotation, "{field} is {type}")
    if reducer is union:
        (kind, *_) = [m for m in members(spec.annotation) if m is not type(None)]
        element = GenericAlias(set, (iterated(kind),))
        return _Operand(element, f"{reducer} takes a set or list of elements of {{field}}: {{type}}", text=False)
    if reducer.grows:
        element = element_of(spec.annotation)
        if reducer.shape == "element":
            return _Operand(element, f"{reducer} takes one element of {{field}}: {{type}}")
        return _Operand(
            GenericAlias(list, (element,)), f"{reducer} takes a list of elements of {{field}}: {{type}}", text=False
        )
    return _Operand(_second_parameter(reducer.fold), f"the reducer {reducer} of {{field}} takes {{type}}")


def _second_parameter(fold: Callable[..., Any]) -> Any:
    try:
        names = list(inspect.signature(fold).parameters)
        return hints_of(fold).get(names[1], Any)
    except (NameError, TypeError, ValueError, IndexError):
        return Any


def _takes(operand: _Operand, declared: Any) -> bool:
    """Whether nothing speaks against a declared type."""
    if operand.text:
        return fits(declared, operand.type) is not False
    (element,) = get_args(operand.type)
    texts = any(fits(m, str) or fits(m, bytes) for m in members(declared))
    return not texts and fits(declared, GenericAlias(Iterable, (element,))) is not False


def _declared(node: PlanNode, name: str, operand: _Operand) -> str:
    """The declaration as it should be."""
    wanted = operand.written.format(type=type_name(operand.type))
    if not node.writes.single:
        return f"{name}: {wanted}"
    return f"-> Question[{wanted}]" if node.kind == "ask" else f"-> {wanted}"
