"""Random programs: a typed state, nodes that read and write it, and edges that depend on it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Annotated, Any, Literal

from orchestra_graph.errors import GraphError, Problem
from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.fits import fits, literal, members, value_of
from orchestra_graph.graph.node import Node, node
from orchestra_graph.graph.policies import Limits
from orchestra_graph.state.reducers import append, last
from orchestra_graph.state.schema import State, later


class Case(State):
    kind: Literal["a", "b"] = later()
    mood: Literal["a", "b", "c"] | None = None
    count: int | None = None
    other: int | None = None
    size: int = later()
    newest: Annotated[int, last] = later()
    log: Annotated[list[str], append] = []
    items: list[int] = later()
    flag: bool = False


AB = Literal["a", "b"]
WRITES: Mapping[str, Sequence[Any]] = {
    "kind": [Literal["a"], Literal["b"], AB],
    "mood": [Literal["a"], Literal["a", "c"], AB | None, None],
    "count": [int, int | None, None],
    "other": [int, int | None],
    "size": [int],
    "newest": [int],
    "log": [str],
    "items": [list[int]],
    "flag": [bool, Literal[True]],
}
READS: Mapping[str, Sequence[Any]] = {
    "kind": [AB, Literal["a"]],
    "mood": [Literal["a", "b", "c"] | None, Literal["a", "b", "c"], Literal["a", "c"]],
    "count": [int, int | None],
    "other": [int, int | None],
    "size": [int],
    "newest": [int],
    "items": [list[int]],
    "flag": [bool],
}
CASES: Mapping[str, Sequence[Any]] = {
    "kind": ["a", "b"],
    "mood": ["a", "b", "c", None],
    "count": [None],
    "flag": [True, False],
}


def some_value(kind: Any, rng: Random) -> Any:
    """A value of a type."""
    member = rng.choice(members(kind))
    own = value_of(member)
    if own is not None:
        return own[0]
    return {int: rng.randint(0, 9), str: "x"}.get(member, [1] * rng.choice((0, 1, 2)))


def is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of a type."""
    return fits(literal(value) if not isinstance(value, list) else list[int], kind) is True


@dataclass
class Step:
    """A node of a program."""

    reads: dict[str, Any] = field(default_factory=dict)
    writes: tuple[str, Any] | None = None


@dataclass
class Program:
    """A program that is being written.

    Attributes:
        rng: Decides what is written, and what its nodes return.
        steps: The nodes.
        calls: The edges: plain ones, conditions, switches, eaches.
        wrong: What nodes found that they should not have found.
    """

    rng: Random
    budget: int
    steps: list[Step] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def graph(self) -> Graph[Case]:
        """Declare it."""
        made: Graph[Case] = Graph(Case, name="program", limits=Limits(turns=6, steps=300))
        nodes = [self._node(i) for i in range(len(self.steps))]
        made.start(nodes[0])
        for kind, source, *rest in self.calls:
            _CALLS[kind](made, nodes, nodes[source], *rest)
        return made

    def _node(self, number: int) -> Node[Any]:
        step = self.steps[number]
        returns = step.writes[1] if step.writes else None

        async def work(**given: Any) -> Any:
            self.wrong += [f"n{number} got {f}={v!r}" for f, v in given.items() if not is_of(v, step.reads[f])]
            return some_value(returns, self.rng)

        work.__annotations__ = {**step.reads, "return": returns}
        parameters = [inspect.Parameter(f, inspect.Parameter.KEYWORD_ONLY) for f in step.reads]
        work.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return node(writes=step.writes[0] if step.writes else None, name=f"n{number}")(work)

    # -- writing ------------------------------------------------------------------------------------

    def step(self) -> int:
        self.budget -= 1
        found = Step({f: self.rng.choice(READS[f]) for f in self.rng.sample(sorted(READS), self.rng.choice((0, 1, 2)))})
        if self.rng.random() < 0.55:
            name = self.rng.choice(sorted(WRITES))
            found.writes = name, self.rng.choice(WRITES[name])
        self.steps.append(found)
        return len(self.steps) - 1

    def block(self) -> tuple[int, int]:
        """Something with one entry and one exit, which are given."""
        if self.budget <= 2:
            only = self.step()
            return only, only
        makers = (self._line, self._fork, self._switch, self._condition, self._loop, self._each)
        return self.rng.choice(makers)()

    def _line(self) -> tuple[int, int]:
        first = exit_ = self.step()
        for _ in range(self.rng.randint(1, 2)):
            entry, after = self.block()
            self.calls.append(("edge", exit_, entry))
            exit_ = after
        return first, exit_

    def _fork(self) -> tuple[int, int]:
        fork = self.step()
        blocks = [self.block() for _ in range(self.rng.randint(2, 3))]
        join = self.step()
        self.calls += [("edge", fork, entry) for entry, _ in blocks] + [("edge", exit_, join) for _, exit_ in blocks]
        return fork, join

    def _switch(self) -> tuple[int, int]:
        fork, name = self.step(), self.rng.choice(sorted(CASES))
        values = self.rng.sample(CASES[name], self.rng.randint(1, len(CASES[name])))
        blocks = [self.block() for _ in values]
        join = self.step()
        cases = {value: entry for value, (entry, _) in zip(values, blocks, strict=True)}
        self.calls.append(("switch", fork, name, cases, join if self.rng.random() < 0.7 else None))
        self.calls += [("edge", exit_, join) for _, exit_ in blocks]
        return fork, join

    def _condition(self) -> tuple[int, int]:
        fork, (entry, exit_), join = self.step(), self.block(), self.step()
        self.calls += [("when", fork, self.rng.choice(("count", "mood", "flag", "size")), entry)]
        self.calls += [("otherwise", fork, join), ("edge", exit_, join)]
        return fork, join

    def _loop(self) -> tuple[int, int]:
        (entry, exit_), out = self.block(), self.step()
        self.calls += [("when", exit_, "flag", entry), ("otherwise", exit_, out)]
        return entry, out

    def _each(self) -> tuple[int, int]:
        maker = self.step()
        self.steps[maker].writes = "items", list[int]
        (entry, exit_), out = self.block(), self.step()
        self.calls += [("each", maker, entry, out), ("edge", exit_, out)]
        return maker, out

    # -- mending ------------------------------------------------------------------------------------

    def accepted(self) -> Graph[Case] | None:
        """The graph, after everything was mended that the checks found; None where that was not possible."""
        for _ in range(15):
            made = self.graph()
            try:
                made.compile()
            except GraphError as error:
                mended = [self._mend(problem) for problem in error.problems]
                if not all(mended):
                    return None
            else:
                return made
        return None

    def _mend(self, problem: Problem) -> bool:
        """Take out the read or the write, or add the default."""
        number = re.search(r"'n(\d+)'", problem.what)
        assert number is not None, problem
        step = int(number[1])
        read = re.match(r"'n\d+' reads (\w+)", problem.what)
        if read is not None:
            self.steps[step].reads.pop(read[1], None)
            return True
        if problem.code == "concurrent-writers":
            self.steps[step].writes = None
            return True
        return self._switch_by_flag(step)

    def _switch_by_flag(self, step: int) -> bool:
        """Let the switch behind a node look at a bool, which always has one of two values."""
        for i, (kind, source, *rest) in enumerate(self.calls):
            if kind == "switch" and source == step:
                targets = list(rest[1].values())
                self.calls[i] = ("switch", source, "flag", {True: targets[0], False: targets[-1]}, rest[2])
                return True
        return False


def _switched(made: Any, nodes: Any, source: Any, name: str, cases: Mapping[Any, int], default: int | None) -> None:
    targets = {value: nodes[target] for value, target in cases.items()}
    made.switch(source, name, targets, default=None if default is None else nodes[default])


_CALLS: Mapping[str, Any] = {
    "edge": lambda made, nodes, source, target: made.edge(source, nodes[target]),
    "when": lambda made, nodes, source, name, target: made.edge(source, nodes[target], when=name),
    "otherwise": lambda made, nodes, source, target: made.edge(source, nodes[target], otherwise=True),
    "switch": _switched,
    "each": lambda made, nodes, source, work, collect: made.each(source, "items", nodes[work], collect=nodes[collect]),
}


def write(rng: Random) -> Program:
    """A random program, not yet checked."""
    program = Program(rng, budget=rng.choice((5, 8, 12)))
    program.steps.append(Step())
    entry, _ = program.block()
    program.calls.append(("edge", 0, entry))
    return program
