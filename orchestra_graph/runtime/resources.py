"""What the engine hands to nodes that ask for it: clients, connections, configuration. Found by type, or by name."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, get_origin

from orchestra_graph.errors import GraphError, Problem
from orchestra_graph.graph.plan import Param, Plan

__all__ = ["Resources"]

_UNMARKED = frozenset({"__module__", "__dict__", "__weakref__", "__doc__"})


@contextmanager
def _made() -> Iterator[None]:
    yield


@asynccontextmanager
async def _made_async() -> AsyncIterator[None]:
    yield


# Only what these decorators make is surely meant to be entered here, once: an asyncio.Lock, a database connection or a
# transaction is a context manager, too, and is for the nodes to enter.
_OPENED, _OPENED_ASYNC = type(_made()), type(_made_async())


class Resources:
    """The resources of one engine.

    What a function made with ``@contextmanager`` or ``@asynccontextmanager`` gives is entered with the engine, in the
    order given, and left with it, in reverse; the value it yields is the resource. Everything else is used as it is.

    Args:
        given: Objects, found by type; or names and objects, found by either.
    """

    def __init__(self, given: Iterable[Any] | Mapping[str, Any] = ()):
        self.named: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {}
        self.all: list[Any] = list(self.named.values()) if isinstance(given, Mapping) else list(given)
        self._found: dict[tuple[str, int], Any] = {}

    async def open(self, opened: AsyncExitStack) -> None:
        """Enter what is to be entered; *opened* closes it again."""
        names = list(self.named)
        for place, given in enumerate(self.all):
            if isinstance(given, _OPENED_ASYNC):
                value: Any = await opened.enter_async_context(given)
            elif isinstance(given, _OPENED):
                value = opened.enter_context(given)
            else:
                continue
            self.all[place] = value
            if names:
                self.named[names[place]] = value

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
