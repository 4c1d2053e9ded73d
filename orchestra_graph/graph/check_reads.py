"""Checks of what is read: paths, elements, and whether the value is there and fits; and of the cases of a switch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Union

from orchestra_graph.errors import Problem, nearest
from orchestra_graph.graph.edges import Choice, Group, label_of
from orchestra_graph.graph.fits import element_of, fits, is_collection, iterated, literal, members, same_value, value_of
from orchestra_graph.graph.paths import NoStep, type_at
from orchestra_graph.graph.plan import PlanNode
from orchestra_graph.graph.reads import UNWRITTEN, Read, asked_of, choice_type, given_of, path_of
from orchestra_graph.graph.signature import type_name
from orchestra_graph.graph.subject import Subject, in_code, short, shown, shown_value
from orchestra_graph.graph.topology import Scope
from orchestra_graph.state.schema import FieldSpec

__all__ = ["inputs_fit", "items_fit", "paths_exist", "reads_are_there", "switches_name_all"]


def paths_exist(subject: Subject) -> Iterator[Problem]:
    """Every step of a dotted path must exist."""
    plan = subject.plan
    named = [(asked.choice, asked.who(plan), asked.where) for asked in asked_of(plan)]
    named += [(g.choice, f"what {g.who} takes as {short(g.name)}", g.where) for g in given_of(plan)]
    for choice, who, where in named:
        if not isinstance(choice, str):
            continue
        root, *steps = path_of(choice)
        try:
            type_at(subject.schema.fields[root].annotation, steps)
        except NoStep as missing:
            holder, known = type_name(missing.holder), ", ".join(missing.known)
            hint = nearest(steps[missing.step], missing.known)
            yield Problem(
                code="unknown-path",
                what=f"{who} leads to '{steps[missing.step]}', which {holder} has not.{hint}",
                mend=f"{holder} has: {known}" if known else f'"{".".join([root, *steps[: missing.step]])}"',
                where=where,
            )


def inputs_fit(subject: Subject) -> Iterator[Problem]:
    """What a function gives for a parameter, or for a field of a graph, must be of its type."""
    for given in given_of(subject.plan):
        if isinstance(given.choice, str):
            continue
        found, name = choice_type(subject.schema, given.choice), short(given.name)
        if fits(found, given.wanted) is False:
            yield Problem(
                code="wrong-type-read",
                what=f"{given.who} takes {name}: {type_name(given.wanted)}, but {_gives(given.choice)} "
                f"{type_name(found)}",
                mend=f"def {label_of(given.choice)}(...) -> {type_name(given.wanted)}: ...",
                where=given.where,
            )


def _gives(choice: Choice) -> str:
    name = label_of(choice)
    return "the lambda gives" if name == "..." else f"{name} gives"


# -- each ------------------------------------------------------------------------------------------------


def items_fit(subject: Subject) -> Iterator[Problem]:
    """An `each` goes over a sequence, and `Item[T]` is the type of its elements."""
    plan = subject.plan
    for asked in asked_of(plan):
        if asked.kind == "each" and element_of(_items(subject, asked.choice)) is None:
            found = type_name(_items(subject, asked.choice))
            yield Problem(
                code="no-items",
                what=f"{asked.who(plan)} gives {found}, which is no list or tuple to go over",
                mend=f"list[{found}]",
                where=asked.where,
            )
    for node in plan.nodes:
        for param in node.params:
            if param.kind == "item":
                yield from _item(subject, node, param.name, param.annotation)
        for transfer in node.transfers:
            if transfer.kind == "item":
                wanted = subject.schema.fields[transfer.field].annotation
                yield from _item(subject, node, short(transfer.field), wanted)


def _items(subject: Subject, choice: Any) -> Any:
    """The type of the items of an `each`; that a path may give None is said elsewhere."""
    found = choice_type(subject.schema, choice)
    if not isinstance(choice, str):
        return found
    rest = [m for m in members(found) if m is not type(None)]
    return Union[tuple(rest)] if rest else found  # noqa: UP007


def _item(subject: Subject, node: PlanNode, name: str, wanted: Any) -> Iterator[Problem]:
    scope, kind = _innermost(subject, node.index), "graph" if node.kind == "enter" else "node"
    if scope is None:
        yield Problem(
            code="item-outside-each",
            what=f"{kind} '{node.name}' takes {name}: Item[{type_name(wanted)}], but it is in the body of no each",
            mend=f'graph.each(..., "items", {node.name}, collect=...)',
            where=node.where,
        )
        return
    source = subject.plan.nodes[subject.plan.edges[scope.edge].source]
    group = next(g for g in source.groups if scope.edge in g.edges)
    element = element_of(_items(subject, group.choice))
    if element is not None and fits(element, wanted) is False:
        yield Problem(
            code="wrong-type-read",
            what=f"{kind} '{node.name}' takes {name}: Item[{type_name(wanted)}], but each element of "
            f"{_choice(group)} after '{source.name}' is {type_name(element)}",
            mend=f"{name}: Item[{type_name(element)}]",
            where=node.where,
        )


def _innermost(subject: Subject, vertex: int) -> Scope | None:
    around = [scope for scope in subject.plan.topology.scopes if vertex in scope.members and not scope.call]
    return min(around, key=lambda scope: len(scope.members), default=None)


def _choice(group: Group) -> str:
    if isinstance(group.choice, str):
        return group.choice
    name = label_of(group.choice)
    return "what the lambda returns" if name == "..." else f"what {name} returns"


# -- reads -----------------------------------------------------------------------------------------------


def reads_are_there(subject: Subject) -> Iterator[Problem]:
    """What is read must have been written, and must be of the type it is taken for."""
    for read in subject.reads:
        spec = subject.schema.fields[read.path[0]]
        if len(read.path) == 1 and _never_fits(spec.annotation, read.wanted):
            yield Problem(
                code="wrong-type-read",
                what=f"{read.who} reads {spec.name}: {type_name(read.wanted)}, "
                f"but {subject.field(spec.name)} is {type_name(spec.annotation)}",
                mend=f"{short(spec.name)}: {type_name(spec.annotation)}",
                where=read.where,
            )
            continue
        wrong = [member for member in subject.values.possible(read) if read.refuses(member)]
        if wrong:
            yield _bad_read(subject, read, min(wrong, key=lambda m: m is not UNWRITTEN))


def _never_fits(given: Any, wanted: Any) -> bool:
    """Whether no value of the one type is one of the other."""
    return fits(wanted, given) is False and all(fits(member, wanted) is False for member in members(given))


def _bad_read(subject: Subject, read: Read, member: Any) -> Problem:
    """Say which value may be there, and by which way."""
    walk = subject.values.walk(read, member)
    spec = subject.schema.fields[read.path[0]]
    path, way = ".".join(read.path), subject.way(walk)
    by_default = walk[0] == 0 and not spec.required and member is type(None)
    if member is UNWRITTEN:
        code, what = "read-before-write", f"reads {path}, but nothing has written it on the way {way}"
    elif read.through:
        code, what = "none-in-path", f"needs {path}, which may {'still ' if by_default else ''}be None: {way}"
    else:
        code = "read-before-write" if by_default else "wrong-type-read"
        what = f"reads {path}: {type_name(read.wanted)}, but {_found(subject, spec, member, walk, by_default)}"
    mend = _write_it(subject, spec, walk) if member is UNWRITTEN else _lead_away(subject, read, member, walk)
    return Problem(code=code, what=f"{read.who} {what}", mend=mend, where=read.where)


def _found(subject: Subject, spec: FieldSpec, member: Any, walk: Sequence[int], by_default: bool) -> str:
    """What may be there instead: from the start, or written by a node."""
    way = f" on the way {subject.way(walk)}" if len(walk) > 1 else ""
    if walk[0] == 0:
        return f"{spec.name} may {'still ' if by_default else ''}be {shown(member)}{way}"
    writer = subject.plan.nodes[walk[0]]
    if spec.name not in writer.writes.fields:
        return f"{spec.name} may be {shown(member)}"
    return f"'{writer.name}' writes {spec.name}: {type_name(writer.writes.fields[spec.name])}{way}"


def _write_it(subject: Subject, spec: FieldSpec, walk: Sequence[int]) -> str:
    nodes = subject.plan.nodes
    writers = [n.name for n in nodes if spec.name in n.writes.certain and n.index not in walk]
    source = walk[-2] if len(walk) > 1 else 0
    name = short(spec.name)
    mend = f'Let a node write it:   @node(writes="{name}")'
    if writers:
        mend = f"Lead that way through one that writes it:   {subject.edge_code(source, short(writers[0]))}"
    return f"{mend}\nOr have it given at the start:   {name}: {type_name(spec.annotation)}"


def _lead_away(subject: Subject, read: Read, member: Any, walk: Sequence[int]) -> str:
    path, taken = ".".join(read.path), len(read.path) == 1 and not read.through
    mends = []
    if taken:
        mends.append(f"Take it as it may be:   {short(path)}: {type_name(read.wanted)} | {type_name(member)}")
    source = walk[-1] if read.after or len(walk) < 2 else walk[-2]
    if value_of(member) is not None and source:
        target = "..." if read.after else subject.code(read.vertex)
        switch = f'graph.switch({subject.code(source)}, "{short(path)}", {{{in_code(member)}: ...}}, default={target})'
        mends.append(f"{'Or lead' if taken else 'Lead'} that value away before:   {switch}")
    return "\n".join(mends) or f'Let a node write it before:   @node(writes="{short(read.path[0])}")'


# -- switches --------------------------------------------------------------------------------------------


def switches_name_all(subject: Subject) -> Iterator[Problem]:
    """A switch names every value that can come, and none that cannot."""
    for node in subject.plan.nodes:
        for group in node.groups:
            if group.kind == "switch" and group.choice is not None:
                yield from _switch(subject, node, group)


def _switch(subject: Subject, node: PlanNode, group: Group) -> Iterator[Problem]:
    assert group.choice is not None
    edges = [subject.plan.edges[e] for e in group.edges]
    listed = [value for edge in edges for value in edge.values]
    declared = _elements(members(choice_type(subject.schema, group.choice)))
    come = _elements(_possible(subject, node, group)) or declared
    for value in listed:
        if not any(_could_be(member, value) for member in declared):
            yield _impossible(node, group, declared, value)
        elif not any(_could_be(member, value) for member in come):
            yield Problem(
                code="case-never-comes",
                what=f"{_over(node, group)} has a case {shown_value(value)}, but no node writes that before it",
                mend="Take the case out, or say who writes it",
                where=group.where,
                severity="warning",
            )
    if not any(edge.kind == "default" for edge in edges):
        yield from _uncovered(subject, node, group, listed, come)


def _over(node: PlanNode, group: Group) -> str:
    return f"the switch after '{node.name}' over {_choice(group)}"


def _possible(subject: Subject, node: PlanNode, group: Group) -> tuple[Any, ...]:
    """What flow knows of the value; that it may not be written is said elsewhere."""
    if not isinstance(group.choice, str):
        return ()
    found = subject.values.possible(_read_of(node, group.choice))
    return tuple(member for member in found if member is not UNWRITTEN)


def _read_of(node: PlanNode, choice: str) -> Read:
    return Read(vertex=node.index, path=path_of(choice), after=True, who="", where="")


def _elements(found: Sequence[Any]) -> tuple[Any, ...]:
    """Of a list, what its elements can be: a switch follows every case named in one."""
    taken: dict[Any, None] = {}
    for member in found:
        inner = members(iterated(member)) if is_collection(member) else (member,)
        taken.update(dict.fromkeys(inner))
    return tuple(taken)


def _could_be(member: Any, value: object) -> bool:
    own = value_of(member)
    return fits(literal(value), member) is not False if own is None else same_value(own[0], value)


def _impossible(node: PlanNode, group: Group, declared: Sequence[Any], value: object) -> Problem:
    known = [own[0] for member in declared if (own := value_of(member)) is not None]
    texts = {str(getattr(v, "value", v)): v for v in known}
    hint = nearest(str(value), list(texts))
    values = ", ".join(map(shown, declared))
    return Problem(
        code="impossible-case",
        what=f"{_over(node, group)} has a case {shown_value(value)}, which it can never be.{hint}",
        mend=f"It is one of: {values}",
        where=group.where,
    )


def _uncovered(
    subject: Subject, node: PlanNode, group: Group, listed: Sequence[Any], come: Sequence[Any]
) -> Iterator[Problem]:
    """Values for which there is no case; the type of a value that has no end of values."""
    missing = [m for m in come if (own := value_of(m)) is not None and not any(same_value(own[0], v) for v in listed)]
    open_types = [member for member in come if value_of(member) is None]
    head = f"graph.switch({subject.code(node.index)}, {_choice_code(group)}, {{...}}, "
    if open_types:
        unknown = any(member is Any for member in open_types)
        why = "nobody knows what it can be" if unknown else f"{' | '.join(map(shown, open_types))} has no end of values"
        yield Problem(
            code="needs-default",
            what=f"{_over(node, group)} has no default, and {why}",
            mend=f"{head}default=...)",
            where=group.where,
        )
    elif missing:
        values = " and ".join(map(shown, missing))
        cases = ", ".join(f"{in_code(member)}: ..." for member in missing)
        how = ""
        if missing == [type(None)] and isinstance(group.choice, str):
            walk = subject.values.walk(_read_of(node, group.choice), type(None))
            how = f"; None can come by {subject.way(walk)}"
        yield Problem(
            code="unhandled-case",
            what=f"{_over(node, group)} has no case for {values}{how}",
            mend=f"graph.switch({subject.code(node.index)}, {_choice_code(group)}, {{..., {cases}}})",
            where=group.where,
        )


def _choice_code(group: Group) -> str:
    if isinstance(group.choice, str):
        return f'"{short(group.choice)}"'
    name = label_of(group.choice)
    return "lambda ...: ..." if name == "..." else name
