"""Which edges an activation takes when it is done.

That is decided once, and kept in the log: a replay asks no condition again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from orchestra_graph.core.events import Taken
from orchestra_graph.core.revisions import UNSET
from orchestra_graph.errors import NotWritten, SwitchMissed
from orchestra_graph.graph.edges import Choice, Condition, Group
from orchestra_graph.graph.plan import Plan, PlanNode
from orchestra_graph.graph.signature import choice_reads

__all__ = ["Route", "handlers", "holds", "read_choice", "route"]

Look = Callable[[str], Any]
"""The value of a field as the node has left it, or `UNSET`."""


class Route:
    """The edges taken.

    Attributes:
        taken: The edges.
        made: For an `each` whose items a function made: the items.
    """

    __slots__ = ("made", "taken")

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.made: dict[int, Sequence[Any]] = {}


def route(plan: Plan, node: PlanNode, look: Look) -> Route:
    """Decide the edges of *node*.

    Raises:
        SwitchMissed: A switch names no case for the value.
    """
    found = Route()
    for group in node.groups:
        if group.kind in _GROUPS and (group.kind != "drop" or not found.taken):
            _GROUPS[group.kind](plan, node, group, look, found)
    return found


def read_choice(choice: Choice, look: Look) -> Any:
    """The value of a field, a dotted path or a function of fields."""
    if not isinstance(choice, str):
        return choice(**{name: _present(name, look(name)) for name in choice_reads(choice)})
    first, *rest = choice.split(".")
    value = look(first)
    for name in rest if value is not UNSET else ():
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name)
    return value


def _present(name: str, value: Any) -> Any:
    if value is UNSET:
        raise NotWritten("state", name)
    return value


def handlers(plan: Plan, vertex: int, error: BaseException, *, alone: bool = True) -> tuple[Taken, ...]:
    """The edges that are followed when a node has failed with *error*.

    They are those of the first declaration that names its type: of the node, else of the graph that it stands in, and
    so on outwards. A join that can do without the node comes before a graph around both; it can only where the node is
    *alone* in the graphs that lie between (`core.withdraw.excuser`).
    """
    join = plan.topology.excusing[vertex][0] if alone and vertex in plan.topology.excusing else None
    for here in _outwards(plan, vertex):
        if here != vertex and join in plan.calls[_opened(plan, here)].members:
            return ()
        for group in plan.nodes[here].groups:
            if group.kind == "error" and isinstance(error, plan.edges[group.edges[0]].errors):
                return tuple(Taken(edge) for edge in group.edges)
    return ()


def _outwards(plan: Plan, vertex: int) -> Iterator[int]:
    """A vertex, and the last vertices of the calls around it; that of the call which begins there is the nearest."""
    yield vertex
    if vertex in plan.opens:
        yield plan.opens[vertex].leave
    around = plan.nodes[vertex].call
    while around is not None:
        call = plan.calls[around]
        if call.leave != vertex:
            yield call.leave
        around = plan.nodes[call.enter].call


def _opened(plan: Plan, leave: int) -> int:
    around = plan.nodes[leave].call
    assert around is not None
    return around


def holds(condition: Condition, look: Look) -> bool:
    """A condition: what a function says; a field holds when it is set, and neither None nor False nor empty."""
    value = read_choice(condition, look)
    if not isinstance(condition, str):
        return bool(value)
    if value is UNSET or value is None or value is False:
        return False
    return len(value) > 0 if hasattr(value, "__len__") else True


def _edges(plan: Plan, node: PlanNode, group: Group, look: Look, found: Route) -> None:
    held = False
    for index in group.edges:
        edge = plan.edges[index]
        if edge.kind == "always":
            found.taken.append(Taken(index))
        elif edge.kind == "when" and edge.condition is not None and holds(edge.condition, look):
            held = True
            found.taken.append(Taken(index))
    if not held:
        found.taken += [Taken(index) for index in group.edges if plan.edges[index].kind == "otherwise"]


def _same(value: Any, case: Any) -> bool:
    return bool(value == case) and isinstance(value, bool) == isinstance(case, bool)


def _switch(plan: Plan, node: PlanNode, group: Group, look: Look, found: Route) -> None:
    assert group.choice is not None
    chosen = read_choice(group.choice, look)
    several = isinstance(chosen, list | tuple | set | frozenset)
    if several and not chosen:
        _switch_over_nothing(plan, node, group, chosen, found)
    for value in chosen if several else [chosen]:
        edges = [i for i in group.edges if any(_same(value, case) for case in plan.edges[i].values)]
        edges = edges or [i for i in group.edges if plan.edges[i].kind == "default"]
        if not edges:
            cases = [case for i in group.edges for case in plan.edges[i].values]
            raise SwitchMissed(node.name, value, cases)
        found.taken += [Taken(i) for i in edges if Taken(i) not in found.taken]


def _switch_over_nothing(plan: Plan, node: PlanNode, group: Group, chosen: Any, found: Route) -> None:
    """An empty list names no case: the branch may end there, else it is the default's, else nobody has said."""
    if any(other.kind == "drop" for other in node.groups):
        return
    default = [Taken(i) for i in group.edges if plan.edges[i].kind == "default"]
    if not default:
        raise SwitchMissed(node.name, chosen, [case for i in group.edges for case in plan.edges[i].values])
    found.taken += default


def _each(plan: Plan, node: PlanNode, group: Group, look: Look, found: Route) -> None:
    assert group.choice is not None
    items = read_choice(group.choice, look)
    if items is UNSET:
        raise NotWritten("state", str(group.choice))
    if not isinstance(items, Sequence) or isinstance(items, str | bytes):
        items = list(items)
    if items:
        into = group.edges[0]
        found.taken.append(Taken(into, len(items)))
        if not isinstance(group.choice, str):
            found.made[into] = items
    else:
        found.taken += [Taken(i) for i in group.edges if plan.edges[i].kind == "empty"]


def _drop(plan: Plan, node: PlanNode, group: Group, look: Look, found: Route) -> None:
    found.taken += [Taken(i) for i in group.edges]


_GROUPS: Mapping[str, Callable[[Plan, PlanNode, Group, Look, Route], None]] = {
    "edges": _edges,
    "switch": _switch,
    "each": _each,
    "drop": _drop,
}
