"""`Graph`: where a workflow is declared.

Only the builder changes; `compile()` gives a frozen plan, or names every mistake at once.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast, overload

from orchestra_graph.errors import Problem
from orchestra_graph.graph.compile import compile_graph
from orchestra_graph.graph.declared import (
    Declaration,
    Declared,
    DeclaredEach,
    DeclaredEdge,
    DeclaredGraph,
    DeclaredJoin,
    DeclaredLimit,
    DeclaredRace,
    DeclaredSwitch,
    DeclaredTerminate,
    Part,
)
from orchestra_graph.graph.edges import Choice, Condition
from orchestra_graph.graph.migration import FieldMove, Migration, OldState
from orchestra_graph.graph.node import Node, Place, Placed, Step, Target
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.policies import Effect, JoinRule, Limits, Retry, seconds_of
from orchestra_graph.state.schema import State

__all__ = ["Graph", "OnQuestion"]

S = TypeVar("S", bound=State)
Errors: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]
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


def _place_of(what: Step) -> str:
    return what.where if isinstance(what, Node) else ""


class Graph(DeclaredGraph, Generic[S]):
    """A workflow over a state of type *S*: nodes, and the edges between them. It may stand in another one as a node.

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
        self.declaration = Declaration(
            state=state, name=name, version=version, limits=limits or Limits(), where=_where()
        )
        self._compiled: tuple[int, Plan] | None = None

    def __repr__(self) -> str:
        return f"<graph {self.name}>"

    @property
    def steps(self) -> Mapping[str, Step]:
        """What stands in it by name, in the order in which it was first named."""
        return {name: part.what for name, part in self.declaration.steps.items()}

    # -- declaring ----------------------------------------------------------------------------------

    def add(
        self,
        what: Node[Any] | Graph[Any],
        /,
        *,
        name: str | None = None,
        inputs: Mapping[str, Choice] | None = None,
        outputs: str | Mapping[str, str] | None = None,
        retry: Retry | None = None,
        timeout: float | timedelta | None = None,
        effect: Effect | None = None,
        unattended: bool | None = None,
    ) -> Placed:
        """Put a node, or a graph, into this graph under a name, and get a handle for use in edges.

        For what stands in one graph twice, and for what is wired otherwise than its names say.

        Args:
            what: The node or graph.
            name: Its name here; its own where left out.
            inputs: Of a node: parameter to the field, dotted path or function of fields that it is given. Of a graph:
                its field to what that begins with; such a field is its own, even where a field here has its name.
            outputs: Of a node: the field that its value goes to; for a patch, name to field. Of a graph: its field to
                the field here that takes its final value, once, as one operand.
            retry: In place of the node's own; so are the following.
            timeout: See `node`.
            effect: See `node`.
            unattended: See `node`.

        Raises:
            TypeError: *what* is neither, or the options of a node were given for a graph.
        """
        where = _where()
        options: dict[str, Any] = {"retry": retry, "timeout": seconds_of(timeout), "effect": effect}
        options = {k: v for k, v in {**options, "unattended": unattended}.items() if v is not None}
        if isinstance(what, Node):
            what = what.altered(**options) if options else what
        elif not isinstance(what, Graph):
            raise TypeError(f"add() takes a node or a graph, not {what!r}. @node must be the outermost decorator")
        elif options:
            raise TypeError(f"add({what.name}, {', '.join(options)}=...): these are for nodes, not for a graph")
        part = Part(what=what, inputs=dict(inputs or {}), outputs=outputs, where=where)
        self._include(name or what.name, part)
        return Placed(what, name or what.name, self)

    def start(self, target: Target, /) -> None:
        """Say where a run begins; may be several places, which begin side by side."""
        where = _where()
        self.declaration.starts += [(self._seen(place, where), where) for place in _many(target)]

    @overload
    def edge(self, source: Target, target: Target, /) -> None: ...
    @overload
    def edge(self, source: Target, target: Target, /, *, when: Condition) -> None: ...
    @overload
    def edge(self, source: Target, target: Target, /, *, otherwise: Literal[True]) -> None: ...
    @overload
    def edge(self, source: Target, target: Target, /, *, on_error: Errors) -> None: ...
    def edge(
        self,
        source: Target,
        target: Target,
        /,
        *,
        when: Condition | None = None,
        otherwise: bool = False,
        on_error: Errors | None = None,
    ) -> None:
        """Let *target* follow *source*. Several targets run in parallel; several sources meet there.

        Args:
            source: One node, or several.
            target: One node, or several; `END` ends the branch.
            when: Followed only where this holds: a function of fields, or the name of a field that must be set.
            otherwise: Followed only where no `when` edge of the source was.
            on_error: Followed, in place of all other edges, when the source has failed with one of these exception
                types and is not tried again; *target* finds the error in ``ctx.error``. Of several such calls for one
                source the first that fits is followed, as with `except`.
        """
        where = _where()
        if (when is not None) + otherwise + (on_error is not None) > 1:
            raise TypeError("edge(): an edge has one of when=, otherwise= and on_error=")
        errors = on_error if isinstance(on_error, tuple) else () if on_error is None else (on_error,)
        wrong = [error for error in errors if not (isinstance(error, type) and issubclass(error, BaseException))]
        if wrong or on_error == ():
            found = wrong[0] if wrong else on_error
            raise TypeError(f"edge(on_error={found!r}): exception types are expected:   on_error=ValueError")
        sources = tuple(self._seen(p, where) for p in _many(source))
        targets = tuple(self._seen(p, where) for p in _many(target))
        self._declare(
            DeclaredEdge(sources=sources, targets=targets, when=when, otherwise=otherwise, errors=errors, where=where)
        )

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

    def join(self, place: Place, rule: JoinRule, /) -> None:
        """Say what starts a node with several edges into it, where that is not the default.

        Args:
            place: The node, or the place where the results of an `each` are collected.
            rule: `all_of`, `each_one`, `first`, `until`, `zipped` or `batches`.
        """
        where = _where()
        if not isinstance(rule, JoinRule):
            raise TypeError(f"join({place!r}, {rule!r}): a rule is expected:   graph.join({place!r}, all_of())")
        self.declaration.joins.append(DeclaredJoin(place=self._seen(place, where), rule=rule, where=where))

    def race(self, *places: Place) -> None:
        """Let the first of these to finish withdraw all work that could still lead to the others.

        Each goes on by its own edges. Work that also leads elsewhere goes on, too; what it brings to one that has lost
        is taken in and starts nothing. Every turn of a loop, and every element of an `each`, has a race of its own.

        Args:
            places: At least two nodes of one loop or `each`, of which none leads to another.
        """
        where = _where()
        if len(places) < 2:
            raise TypeError("race() takes two nodes, or more:   graph.race(fast, slow)")
        seen = tuple(self._seen(place, where) for place in places)
        self.declaration.races.append(DeclaredRace(places=seen, where=where))

    def limit(
        self,
        place: Place | None = None,
        /,
        *,
        turns: int | None = None,
        steps: int | None = None,
        seconds: float | timedelta | None = None,
        then: Place | None = None,
    ) -> None:
        """Limit the loop around a node, or the graph where no node is named.

        When a limit is reached, the work in there is withdrawn and *then* starts with what is there; without *then* the
        run is stopped (`LimitReached` has the state so far). A loop in which no node has a limit gets that of
        `Limits.turns`.

        Args:
            place: A node of the loop; of one that stands in no loop, the node alone is limited.
            turns: How often the node may run in all (in an `each`: for one element).
            steps: How many nodes may finish in there, each time that the loop is entered.
            seconds: How long it may take, each time that it is entered; waits for people are not counted.
            then: Where the run goes on; not in the loop itself.

        Raises:
            TypeError: No number was given, or *turns* without a node.
            ValueError: A number is not more than 0.
        """
        where = _where()
        numbers: dict[Literal["turns", "steps", "seconds"], float | None]
        numbers = {"turns": turns, "steps": steps, "seconds": seconds_of(seconds)}
        if all(n is None for n in numbers.values()) or (place is None and turns is not None):
            raise TypeError(
                "limit() takes turns= (of a node), steps= or seconds=:   graph.limit(node, turns=3, then=other)"
            )
        here = None if place is None else self._seen(place, where)
        after = None if then is None else self._seen(then, where)
        for kind, allowed in numbers.items():
            if allowed is not None and allowed <= 0:
                raise ValueError(f"limit({kind}={allowed}): a limit is more than 0")
            if allowed is not None:
                cap = DeclaredLimit(place=here, kind=kind, allowed=allowed, then=after, where=where)
                self.declaration.caps.append(cap)

    def terminate(self, place: Place, /, *, status: Literal["done", "failed"] = "done") -> None:
        """Let a node end the graph: when it is done, everything else in the graph is withdrawn.

        In a graph that stands in another one, that one goes on behind it.

        Args:
            place: The node; no edge leaves it.
            status: How the run ends; ``"failed"`` only in a graph that stands in no other.
        """
        where = _where()
        if status not in ("done", "failed"):
            raise ValueError(f"terminate(status={status!r}): it is 'done' or 'failed'")
        self.declaration.ends.append(DeclaredTerminate(place=self._seen(place, where), status=status, where=where))

    def migrate(
        self,
        from_version: str,
        /,
        *,
        nodes: Mapping[str, str | None] | None = None,
        fields: Mapping[str, FieldMove] | None = None,
        state: Callable[[OldState], Mapping[str, Any]] | None = None,
    ) -> None:
        """Say what becomes of runs that an older version of this graph has begun; used when such a run is driven.

            review = Graph(Review, name="review", version="2")
            review.migrate("1", nodes={"approve": "sign_off"}, fields={"price": lambda old: old["net"] * 1.2})

        Most changes need none of this (see `docs/how-to/deploy.md`). A migration leads to the version of the next one
        that is declared, and the last one to the version of the graph: declare the oldest first.

        Args:
            from_version: The version of the graph that the run has.
            nodes: Old name to new name, for nodes at which a run may stand. What is live at the old one goes on at the
                new one, and what has been asked stays asked; where other loops are around that, it begins at their
                first turn. A node may be named for itself. None: what is live there is withdrawn.
            fields: Old name to new name, or to None: its values are left behind. Or new name to a function of what all
                fields hold, by their old names, which gives its value.
            state: A function of the same that gives the values of several fields.

        Raises:
            TypeError: *from_version* is no text.
        """
        if not isinstance(from_version, str):
            raise TypeError(f"migrate({from_version!r}): the version is a text:   graph.migrate('{from_version}', ...)")
        said = Migration(
            version=from_version, nodes=dict(nodes or {}), fields=dict(fields or {}), state=state, where=_where()
        )
        self.declaration.migrations.append(said)

    def _declare(self, declared: Declared) -> None:
        self.declaration.declared.append(declared)

    def _seen(self, place: Place, where: str) -> Place:
        """Add a bare node or graph under its own name; anything that is no place is a problem of the compile."""
        if isinstance(place, Node | Graph):
            self._include(place.name, Part(what=place, where=where))
        elif isinstance(place, Placed) and place.graph is not self:
            self._problem("foreign-handle", f"the handle '{place.name}' was made by another graph", where)
        elif not isinstance(place, Step | str):
            name = getattr(place, "__name__", repr(place))
            self._problem("no-node", f"{name} is no node: @node must be its outermost decorator", where)
            return name if isinstance(name, str) else repr(name)
        return place

    def _include(self, name: str, part: Part) -> None:
        known = self.declaration.steps.setdefault(name, part)
        if known.what is part.what and not (part.inputs or part.outputs):
            return
        if known is not part:
            first, second = known.what, part.what
            named = getattr(second, "__name__", second.name)
            mend = f"second = graph.add({named}, name='{name}_2')   and use `second` in the edges"
            both = f"{_place_of(first) or known.where} and {_place_of(second) or part.where}"
            self._problem("name-taken", f"two nodes are named '{name}' ({both})", part.where, mend)

    def _problem(self, code: str, what: str, where: str, mend: str = "") -> None:
        self.declaration.problems.append(Problem(code=code, what=what, mend=mend, where=where))

    # -- using --------------------------------------------------------------------------------------

    def compile(self) -> Plan:
        """Check everything, and freeze it.

        Raises:
            GraphError: With every problem that was found.
        """
        size = self.declaration.size  # a graph that stands in this one may have grown, too
        if self._compiled is None or self._compiled[0] != size:
            self._compiled = size, compile_graph(self.declaration)
        return self._compiled[1]

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
