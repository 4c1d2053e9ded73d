"""`Graph`: where a workflow is declared.

Only the builder changes; `compile()` gives a frozen plan, or names every mistake at once.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast, overload

from orchestra_graph.errors import Problem
from orchestra_graph.graph.compile import compile_graph
from orchestra_graph.graph.declared import Declaration, Declared, DeclaredEach, DeclaredEdge, DeclaredSwitch
from orchestra_graph.graph.edges import Choice, Condition
from orchestra_graph.graph.node import Node, Place, Placed, Step, Target
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.policies import Limits
from orchestra_graph.state.schema import State

__all__ = ["Graph", "OnQuestion"]

S = TypeVar("S", bound=State)
OnQuestion: TypeAlias = Callable[[Any], Any | Awaitable[Any]]
"""Answers questions of a run without a database: gets the open question, returns the answer."""


def _where() -> str:
    """The line of the user's code that called a method of `Graph`."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _many(target: Target) -> tuple[Place, ...]:
    return (target,) if isinstance(target, Step | str) or not isinstance(target, Sequence) else tuple(target)


class Graph(Step, Generic[S]):
    """A workflow over a state of type *S*: nodes, and the edges between them.

    Args:
        state: The state class.
        name: The graph's name; runs are stored under it.
        version: Its version, as you like.
        limits: How far a run may go where the engine or the start does not say otherwise.
    """

    def __init__(self, state: type[S], *, name: str, version: str = "1", limits: Limits | None = None):
        self.state = state
        self.name = name
        self.version = version
        self._declaration = Declaration(
            state=state, name=name, version=version, limits=limits or Limits(), where=_where()
        )
        self._plan: Plan | None = None

    def __repr__(self) -> str:
        return f"<graph {self.name}>"

    @property
    def steps(self) -> Mapping[str, Node[Any]]:
        """The nodes by name, in the order in which they were first named."""
        return self._declaration.steps

    # -- declaring ----------------------------------------------------------------------------------

    def add(self, what: Node[Any], /, *, name: str | None = None) -> Placed:
        """Put a node into the graph under a name, and get a handle: for a node that stands in one graph twice."""
        where = _where()
        if not isinstance(what, Node):
            raise TypeError(f"add() takes a node, not {what!r}. @node must be the outermost decorator")
        self._include(name or what.name, what, where)
        return Placed(what, name or what.name, self)

    def start(self, target: Target, /) -> None:
        """Say where a run begins; may be several places, which begin side by side."""
        where = _where()
        self._declaration.starts += [(self._seen(place, where), where) for place in _many(target)]
        self._plan = None

    @overload
    def edge(self, source: Target, target: Target, /) -> None: ...
    @overload
    def edge(self, source: Target, target: Target, /, *, when: Condition) -> None: ...
    @overload
    def edge(self, source: Target, target: Target, /, *, otherwise: Literal[True]) -> None: ...
    def edge(
        self, source: Target, target: Target, /, *, when: Condition | None = None, otherwise: bool = False
    ) -> None:
        """Let *target* follow *source*. Several targets run in parallel; several sources meet there.

        Args:
            source: One node, or several.
            target: One node, or several; `END` ends the branch.
            when: Followed only where this holds: a function of fields, or the name of a field that must be set.
            otherwise: Followed only where no `when` edge of the source was.
        """
        where = _where()
        if when is not None and otherwise:
            raise TypeError("edge(when=..., otherwise=True): an edge is one or the other")
        sources = tuple(self._seen(p, where) for p in _many(source))
        targets = tuple(self._seen(p, where) for p in _many(target))
        self._declare(DeclaredEdge(sources=sources, targets=targets, when=when, otherwise=otherwise, where=where))

    def chain(self, *steps: Place) -> None:
        """Let each of these follow the one before."""
        for source, target in pairwise(steps):
            self.edge(cast("Step", source), target)

    def switch(
        self, source: Place, on: Choice, cases: Mapping[Any, Target], /, *, default: Target | None = None
    ) -> None:
        """Follow exactly one way, by a value.

        Args:
            source: The node after which is chosen.
            on: A field, a dotted path (``"approval.granted"``), or a function of fields with a return annotation.
            cases: Value to node (or nodes). Checked to name every value that can be there.
            default: Where every other value goes.
        """
        where = _where()
        listed = tuple((value, tuple(self._seen(p, where) for p in _many(target))) for value, target in cases.items())
        rest = () if default is None else tuple(self._seen(p, where) for p in _many(default))
        self._declare(
            DeclaredSwitch(source=self._seen(source, where), choice=on, cases=listed, default=rest, where=where)
        )

    def each(
        self,
        source: Place,
        items: Choice,
        work: Place,
        /,
        *,
        collect: Place | None = None,
        limit: int | None = None,
        empty: Place | None = None,
    ) -> None:
        """Run *work* once for each element of a list, side by side.

        Args:
            source: The node after which the list is there.
            items: A field, a dotted path, or a function of fields.
            work: The node for one element, which it takes as ``Item[T]``; or the first of several up to *collect*.
            collect: Where all come together, once; may be *source*, which makes a loop. Left out: nobody waits for
                them.
            limit: How many may run at once; left out: as many as the engine allows.
            empty: Where an empty list goes; *collect* where left out (where that is *source*, the branch ends).
        """
        where = _where()
        seen = [None if p is None else self._seen(p, where) for p in (source, work, collect, empty)]
        first, body, last, none = seen
        assert first is not None
        assert body is not None
        self._declare(
            DeclaredEach(source=first, items=items, work=body, collect=last, empty=none, limit=limit, where=where)
        )

    def limit(self, place: Place, /, *, turns: int) -> None:
        """Let a node run at most *turns* times in a run (in an `each`: for one element); then the run is stopped.

        A loop in which no node has a limit gets that of `Limits.turns`.
        """
        where = _where()
        if turns < 1:
            raise ValueError(f"limit(turns={turns}): a node that may never run is no node")
        self._declaration.turns.append((self._seen(place, where), turns, where))
        self._plan = None

    def _declare(self, declared: Declared) -> None:
        self._declaration.declared.append(declared)
        self._plan = None

    def _seen(self, place: Place, where: str) -> Place:
        """Add a bare node under its own name; anything that is no place is a problem of the compile."""
        if isinstance(place, Node):
            self._include(place.name, place, where)
        elif isinstance(place, Graph):
            self._problem(
                "subgraph",
                f"graph '{place.name}' stands where a node is expected; subgraphs are not part of this release",
                where,
            )
        elif isinstance(place, Placed) and place.graph is not self:
            self._problem("foreign-handle", f"the handle '{place.name}' was made by another graph", where)
        elif not isinstance(place, Step | str):
            name = getattr(place, "__name__", repr(place))
            self._problem("no-node", f"{name} is no node: @node must be its outermost decorator", where)
            return name if isinstance(name, str) else repr(name)
        return place

    def _include(self, name: str, node: Node[Any], where: str) -> None:
        known = self._declaration.steps.setdefault(name, node)
        if known is not node:
            mend = f"second = graph.add({node.__name__}, name='{name}_2')   and use `second` in the edges"
            self._problem("name-taken", f"two nodes are named '{name}' ({known.where} and {node.where})", where, mend)
        self._plan = None

    def _problem(self, code: str, what: str, where: str, mend: str = "") -> None:
        self._declaration.problems.append(Problem(code=code, what=what, mend=mend, where=where))

    # -- using --------------------------------------------------------------------------------------

    def compile(self) -> Plan:
        """Check everything, and freeze it.

        Raises:
            GraphError: With every problem that was found.
        """
        if self._plan is None:
            self._plan = compile_graph(self._declaration)
        return self._plan

    async def run(self, state: S, /, *, on_question: OnQuestion | None = None, resources: Any = ()) -> S:
        """Run to the end in this process, without a database, and return the final state.

        Args:
            state: What the run starts with.
            on_question: Gets every question that is open and returns its answer; may be async.
            resources: As for `Engine`.

        Raises:
            RunFailed: A node failed for good.
            RunWaiting: A question is open and *on_question* was not given.
            RunStopped: A limit was reached.
        """
        from orchestra_graph.runtime.direct import run_graph

        return await run_graph(self, state, on_question=on_question, resources=resources)

    def run_sync(self, state: S, /, *, on_question: OnQuestion | None = None, resources: Any = ()) -> S:
        """`run` for code without an event loop; works in a notebook, too."""
        from orchestra_graph.runtime.sync import run_blocking

        return run_blocking(lambda: self.run(state, on_question=on_question, resources=resources))
