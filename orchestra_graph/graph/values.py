"""Which values can be where: the types of the writes that may be visible of a field, as far as annotations tell.

The value of a field is what was given at the start, or what some node wrote; each of these *definitions* has a type.
Taken apart, the types give the *members* that a value can be of: each value of a Literal, a bool or an Enum, each class
of a union, and `UNWRITTEN`, which a ``later()`` field has at the start. "It is not of that member" is a fact in the
sense of `flow`. So one question, which members are not excluded here, answers whether a field was written before it is
read, whether a parameter may be narrower than its field, and whether a switch names every value that can come.

A read that fails counts as mended behind it, so that one mistake is named once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence, Sized
from functools import partial
from typing import Any, get_origin

from orchestra_graph.graph.edges import Edge, Group
from orchestra_graph.graph.fits import fits, is_collection, literal, members, same_value, value_of
from orchestra_graph.graph.flow import Facts, solve
from orchestra_graph.graph.paths import NoStep, type_at
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.reads import UNWRITTEN, Path, Read, path_of
from orchestra_graph.graph.waves import Waves
from orchestra_graph.state.reducers import operand_and_whole
from orchestra_graph.state.schema import FieldSpec

__all__ = ["Values"]


class Values:
    """What can be visible of the paths that are read.

    Args:
        plan: The plan.
        waves: Its waves.
        reads: Everything that is read.
        doubtful: Nodes whose signature could not be read: they are taken to write whatever is missing.
    """

    def __init__(self, plan: Plan, waves: Waves, reads: Sequence[Read], doubtful: Collection[int] = ()):
        self.plan, self.doubtful = plan, doubtful
        paths = dict.fromkeys(read.path for read in reads if self._matters(read))
        self._members = {path: self._universe(path) for path in paths}
        self._first: dict[Path, int] = {}
        size, count = len(plan.nodes), 0
        self._initial = 0
        self._makes, self._breaks = [0] * size, [0] * size
        self._sure: dict[int, int] = {}
        self._resets: dict[int, int] = {}
        for path, found in self._members.items():
            self._first[path] = count
            count += len(found)
            self._define(path)
        for group in (g for node in plan.nodes for g in node.groups):
            self._learn(group)
        self._mend(waves, reads)
        facts = Facts(
            count=count,
            initial=self._initial,
            makes=self._makes,
            breaks=self._breaks,
            sure=self._sure,
            resets=self._resets,
        )
        self.flow = solve(waves, facts)

    def possible(self, read: Read) -> tuple[Any, ...]:
        """The members that what is read can be of; none where no value could be wrong."""
        if read.path not in self._first:
            return ()
        held = self.flow.after(read.vertex) if read.after else self.flow.before[read.vertex]
        held >>= self._first[read.path]
        return tuple(m for i, m in enumerate(self._members[read.path]) if not held >> i & 1)

    def walk(self, read: Read, member: Any) -> tuple[int, ...]:
        """A way on which a value of *member* gets from where it comes from to where it is read."""
        fact = self._first[read.path] + self._members[read.path].index(member)
        return self.flow.walk(read.vertex, fact, after=read.after)

    def _matters(self, read: Read) -> bool:
        """Whether it depends on the way to a read what is found there."""
        root, *steps = read.path
        return read.after or any(map(read.refuses, _at_end(_given(self.plan.schema.fields[root]), steps)))

    # -- what can be there --------------------------------------------------------------------------

    def _definitions(self, path: Path) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Where a value at *path* comes from, and what it can be of; vertex 0 is the start."""
        root, *steps = path
        spec = self.plan.schema.fields[root]
        yield 0, _at_end(_given(spec), steps)
        for node in self.plan.nodes:
            if root in node.writes.fields:
                yield node.index, _at_end(_written(spec, node.writes.fields[root]), steps)

    def _universe(self, path: Path) -> tuple[Any, ...]:
        """All members that a value at *path* can be of anywhere, and the values that cases name."""
        found = dict.fromkeys(member for _, some in self._definitions(path) for member in some)
        known = [value for member in found for value in value_of(member) or ()]
        for group in (g for node in self.plan.nodes for g in node.groups):
            if group.kind == "switch" and group.choice == ".".join(path):
                for value in self._listed(group):
                    if not any(same_value(value, k) for k in known):
                        found[literal(value)] = None
        return tuple(found)

    def _listed(self, group: Group) -> list[Any]:
        return [value for edge in group.edges for value in self.plan.edges[edge].values]

    def _bits(self, path: Path, which: Callable[[Any], bool]) -> int:
        first = self._first[path]
        return sum(1 << first + i for i, member in enumerate(self._members[path]) if which(member))

    def _define(self, path: Path) -> None:
        """The bits of every definition of *path*."""
        plan, everything = self.plan, self._bits(path, lambda _: True)
        known: dict[tuple[Any, ...], int] = {}
        for vertex, found in self._definitions(path):
            if found not in known:
                known[found] = self._bits(path, partial(_can_be, found))
            can_be = known[found]
            if vertex == 0:
                self._initial |= everything & ~can_be
                continue
            self._breaks[vertex] |= can_be
            if path[0] in plan.nodes[vertex].writes.certain:
                self._makes[vertex] |= everything & ~can_be
        for call in plan.calls:  # a field that nothing fills where its graph is entered is unwritten again
            if path[0] in call.private and path[0] not in plan.nodes[call.enter].writes.fields:
                unwritten = self._bits(path, lambda member: member is UNWRITTEN)
                self._resets[call.enter] = self._resets.get(call.enter, 0) | unwritten
        for vertex in self.doubtful:
            self._makes[vertex] |= everything & ~self._breaks[vertex]

    # -- what an edge tells -------------------------------------------------------------------------

    def _learn(self, group: Group) -> None:
        """What is known of a value when an edge was followed that depends on it."""
        listed = self._listed(group)
        for index in group.edges:
            edge = self.plan.edges[index]
            choice = edge.condition if edge.condition is not None else group.choice
            if not isinstance(choice, str) or path_of(choice) not in self._first:
                continue
            rule = _EXCLUDED.get(edge.kind)
            if rule is not None:
                self._tell(index, self._bits(path_of(choice), partial(rule, edge, listed)))

    def _mend(self, waves: Waves, reads: Sequence[Read]) -> None:
        """Behind a read its value is taken to be right."""
        for read in reads:
            if read.path in self._first:
                right = self._bits(read.path, read.refuses)
                if not read.after:
                    right &= ~self._breaks[read.vertex]
                for edge in self.plan.topology.out[read.vertex]:
                    if edge not in waves.limits and not (read.after and edge in waves.aside):  # or it was not read
                        self._tell(edge, right)

    def _tell(self, edge: int, bits: int) -> None:
        self._sure[edge] = self._sure.get(edge, 0) | bits


def _given(spec: FieldSpec) -> tuple[Any, ...]:
    """What a field can be of at the start: whatever was given, or its default."""
    if spec.later:
        return (UNWRITTEN,)
    given = members(spec.annotation)
    none = not spec.required and not spec.has_factory and spec.default is None  # pydantic does not look at a default
    return (*given, type(None)) if none and type(None) not in given else given


def _written(spec: FieldSpec, declared: Any) -> tuple[Any, ...]:
    """What a field can be of right after a write that was declared so."""
    folded = spec.reducer is not None and spec.reducer.name != "last"
    given, whole = operand_and_whole(declared)
    declared = given if whole is None else whole if given is None else given | whole
    vague = declared is Any or fits(declared, spec.annotation) is False
    return members(spec.annotation if folded or vague else declared)


def _at_end(found: tuple[Any, ...], steps: Sequence[str]) -> tuple[Any, ...]:
    """What can be at the end of a path that begins at one of these."""
    if not steps:
        return found
    at_end: dict[Any, None] = {}
    for member in found:
        if member is not UNWRITTEN and member is not type(None):
            with contextlib.suppress(NoStep):  # said by another check
                at_end.update(dict.fromkeys(members(type_at(member, steps))))
    return tuple(at_end)


def _can_be(found: tuple[Any, ...], member: Any) -> bool:
    """Whether a value of one of these types can be of *member*: some text can be the one that a case names."""
    if member in found:
        return True
    if member is UNWRITTEN or value_of(member) is None:
        return False
    return any(f is not UNWRITTEN and value_of(f) is None and fits(member, f) is not False for f in found)


# -- what following an edge excludes, by its kind --------------------------------------------------------


def _not_the_case(edge: Edge, listed: Sequence[Any], member: Any) -> bool:
    value = None if member is UNWRITTEN else value_of(member)
    if value is None:
        return not _may_be_collection(member)
    return not any(same_value(value[0], v) for v in edge.values)


def _may_be_collection(member: Any) -> bool:
    origin = get_origin(member) or member
    wider = isinstance(origin, type) and issubclass(list, origin)
    return member is not UNWRITTEN and (is_collection(member) or wider or not isinstance(origin, type))


def _not_the_rest(edge: Edge, listed: Sequence[Any], member: Any) -> bool:
    value = None if member is UNWRITTEN else value_of(member)
    return value is not None and any(same_value(value[0], v) for v in listed)


def _not_set(edge: Edge, listed: Sequence[Any], member: Any) -> bool:
    value = (None,) if member is UNWRITTEN else value_of(member)
    if value is None:
        return False
    return value[0] is None or value[0] is False or (isinstance(value[0], Sized) and not len(value[0]))


_EXCLUDED: dict[str, Callable[[Edge, Sequence[Any], Any], bool]] = {
    "case": _not_the_case,
    "default": _not_the_rest,
    "when": _not_set,
}
