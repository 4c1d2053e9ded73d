"""What the engine hands to nodes that ask for it: clients, connections, configuration. Found by type, or by name."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, get_origin

from orchestra_graph.errors import GraphError, Problem
from orchestra_graph.graph.plan import Param, Plan

__all__ = ["Resources"]

_UNMARKED = frozenset({"__module__", "__dict__", "__weakref__", "__doc__"})


class Resources:
    """The resources of one engine.

    Args:
        given: Objects, found by type; or names and objects, found by either.
    """

    def __init__(self, given: Iterable[Any] | Mapping[str, Any] = ()):
        self.named: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {}
        self.all: list[Any] = list(self.named.values()) if isinstance(given, Mapping) else list(given)
        self._found: dict[tuple[str, int], Any] = {}

    def find(self, param: Param) -> Any:
        """The resource for a parameter; `check` has made sure that there is one."""
        key = (param.resource, id(param.annotation))
        if key not in self._found:
            (self._found[key],) = self._fitting(param)
        return self._found[key]

    def check(self, plan: Plan) -> None:
        """Make sure that every node of a plan can be given what it asks for.

        Raises:
            GraphError: With every parameter for which no resource, or more than one, was given.
        """
        problems = []
        for node in plan.nodes:
            for param in node.params:
                if param.kind == "resource" and len(self._fitting(param)) != 1:
                    problems.append(self._problem(plan, node.name, node.where, param))
        if problems:
            raise GraphError(problems)

    def _fitting(self, param: Param) -> list[Any]:
        if param.resource:
            return [self.named[param.resource]] if param.resource in self.named else []
        return [r for r in self.all if _is_a(r, param.annotation)]

    def _problem(self, plan: Plan, node: str, where: str, param: Param) -> Problem:
        kind = getattr(param.annotation, "__name__", str(param.annotation))
        count = len(self._fitting(param))
        wanted = f"the resource '{param.resource}'" if param.resource else f"a resource that is a {kind}"
        found = "none was given" if not count else f"{count} were given"
        mend = f"Engine(url, graphs=[...], resources=[{kind}(...)])"
        if count:
            mend = f'{param.name}: Annotated[{kind}, Resource("name")]   and   resources={{"name": ...}}'
        elif param.resource:
            mend = f'Engine(url, graphs=[...], resources={{"{param.resource}": ...}})'
        what = f"node '{node}' wants {wanted} for '{param.name}', and {found}"
        return Problem(code="resource", what=what, mend=mend, where=where, graph=plan.name)


def _is_a(resource: Any, annotation: Any) -> bool:
    """An instance of a class; for a Protocol, something that has all its members."""
    kind = get_origin(annotation) or annotation
    if not inspect.isclass(kind):
        return False
    if getattr(kind, "_is_protocol", False):
        members = {n for base in kind.__mro__ if getattr(base, "_is_protocol", False) for n in _members(base)}
        return bool(members) and all(hasattr(resource, name) for name in members)
    return isinstance(resource, kind)


def _members(protocol: type) -> set[str]:
    if protocol.__name__ in ("Protocol", "Generic"):
        return set()
    own = {n for n in vars(protocol) if not n.startswith("_") or n == "__call__"}
    return own | set(getattr(protocol, "__annotations__", {})) - _UNMARKED
