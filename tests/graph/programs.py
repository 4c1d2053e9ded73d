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
from orchestra_graph.graph.policies import EACH_ONE, JoinRule, Limits, all_of, batches, first, until, zipped
from orchestra_graph.state.reducers import append, last
from orchestra_graph.state.schema import State, later


class Boom(Exception):
    """What a node raises, now and then."""


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


class Part(State):
    """The state of a graph that stands in another one: some fields of `Case`, and some of its own."""

    mood: Literal["a", "b", "c"] | None = None
    count: int | None = None
    size: int = later()
    log: Annotated[list[str], append] = []
    flag: bool = False
    mine: int = later()
    maybe: int | None = None
    given: int | None = None


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
    "mine": [int],
    "maybe": [int, int | None],
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
    "mine": [int],
    "maybe": [int, int | None],
    "given": [int, int | None],
}
CASES: Mapping[str, Sequence[Any]] = {
    "kind": ["a", "b"],
    "mood": ["a", "b", "c", None],
    "count": [None],
    "flag": [True, False],
    "maybe": [None],
}
RULES: tuple[JoinRule, ...] = (
    EACH_ONE,
    all_of(),
    first(),
    first(2, short="fire"),
    first(cancel_rest=True),
    until("flag"),
    until("count", cancel_rest=True),
    zipped(),
    batches(2),
)


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
    raises: bool = False


@dataclass
class Program:
    """A program that is being written.

    Attributes:
        rng: Decides what is written, and what its nodes return.
        state: Its state.
        more: Whether it may have join rules, races, errors, limits, ends and graphs in it.
        steps: The nodes, those of graphs in it included.
        own: Those of them that stand in it, and not in a graph in it.
        inner: The graphs in it, each at its place in *steps*.
        calls: The edges: plain ones, conditions, switches, eaches.
        wrong: What nodes found that they should not have found.
    """

    rng: Random
    budget: int
    state: type[State] = Case
    more: bool = False
    steps: list[Step] = field(default_factory=list)
    own: list[int] = field(default_factory=list)
    inner: dict[int, Program] = field(default_factory=dict)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def graph(self, name: str = "program") -> Graph[Any]:
        """Declare it."""
        made: Graph[Any] = Graph(self.state, name=name, limits=Limits(turns=6, steps=300))
        nodes: dict[int, Any] = {i: self._node(i) for i in self.own if i not in self.inner}
        for i, program in self.inner.items():
            nodes[i] = made.add(program.graph(f"g{i}"), inputs={"given": "other"} if self.state is Case else {})
        made.start(nodes[self.own[0]])
        for kind, source, *rest in self.calls:
            _CALLS[kind](made, nodes, nodes[source], *rest)
        return made

    def _node(self, number: int) -> Node[Any]:
        step = self.steps[number]
        returns = step.writes[1] if step.writes else None

        async def work(**given: Any) -> Any:
            self.wrong += [f"n{number} got {f}={v!r}" for f, v in given.items() if not is_of(v, step.reads[f])]
            if step.raises and self.rng.random() < 0.3:
                raise Boom
            return some_value(returns, self.rng)

        work.__annotations__ = {**step.reads, "return": returns}
        parameters = [inspect.Parameter(f, inspect.Parameter.KEYWORD_ONLY) for f in step.reads]
        work.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return node(writes=step.writes[0] if step.writes else None, name=f"n{number}")(work)

    # -- writing ------------------------------------------------------------------------------------

    def step(self) -> int:
        self.budget -= 1
        reads, writes = self._known(READS), self._known(WRITES)
        found = Step({f: self.rng.choice(READS[f]) for f in self.rng.sample(reads, self.rng.choice((0, 1, 2)))})
        if self.rng.random() < 0.55:
            name = self.rng.choice(writes)
            found.writes = name, self.rng.choice(WRITES[name])
        return self._placed(found)

    def _known(self, fields: Mapping[str, Any]) -> list[str]:
        return sorted(fields.keys() & self.state.model_fields.keys())

    def _placed(self, step: Step) -> int:
        self.steps.append(step)
        self.own.append(len(self.steps) - 1)
        return self.own[-1]

    def block(self) -> tuple[int, int]:
        """Something with one entry and one exit, which are given."""
        if self.budget <= 2:
            only = self.step()
            return only, only
        makers = [self._line, self._fork, self._switch, self._condition, self._loop]
        if "items" in self.state.model_fields:
            makers.append(self._each)
        if self.more:
            makers += [self._ruled, self._race, self._error, self._limited, self._call]
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
        fork, name = self.step(), self.rng.choice(self._known(CASES))
        values = self.rng.sample(CASES[name], self.rng.randint(1, len(CASES[name])))
        blocks = [self.block() for _ in values]
        join = self.step()
        cases = {value: entry for value, (entry, _) in zip(values, blocks, strict=True)}
        self.calls.append(("switch", fork, name, cases, join if self.rng.random() < 0.7 else None))
        self.calls += [("edge", exit_, join) for _, exit_ in blocks]
        return fork, join

    def _condition(self) -> tuple[int, int]:
        fork, (entry, exit_), join = self.step(), self.block(), self.step()
        self.calls += [("when", fork, self.rng.choice(("count", "mood", "flag", "size")), entry)]  # in both states
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

    def _ruled(self) -> tuple[int, int]:
        """A fork whose join has a rule of its own."""
        fork, join = self._fork()
        self.calls.append(("join", join, self.rng.choice(RULES)))
        return fork, join

    def _race(self) -> tuple[int, int]:
        """Branches of which each has a rival in it, and perhaps one beside them."""
        fork, join = self.step(), self.step()
        rivals = [self.step() for _ in range(self.rng.randint(2, 3))]
        for rival in rivals:
            before, after = self.rng.random() < 0.3, self.rng.random() < 0.5
            entry, first_ = self.block() if before else (rival, rival)
            last_ = rival
            if before:
                self.calls.append(("edge", first_, rival))
            if after:
                begin, last_ = self.block()
                self.calls.append(("edge", rival, begin))
            self.calls += [("edge", fork, entry), ("edge", last_, join)]
        if self.rng.random() < 0.5:
            entry, exit_ = self.block()
            self.calls += [("edge", fork, entry), ("edge", exit_, join)]
        self.calls.append(("race", rivals[0], rivals[1:]))
        return fork, join

    def _error(self) -> tuple[int, int]:
        """A node that may fail, and a way for that."""
        (entry, exit_), last_ = self.block(), self.step()
        self.calls.append(("edge", exit_, last_))
        exit_, out, other = last_, self.step(), self.step()
        risky = self.rng.choice([i for i in self.own if entry <= i <= exit_ and i not in self.inner])
        self.steps[risky].raises = True
        self.calls.append(("edge", exit_, out))
        if self.rng.random() < 0.8:
            self.calls.append(("on_error", risky, other))
            self.calls.append(("edge", other, self.rng.choice((out, out, exit_))))
        else:
            self.calls.append(("edge", exit_, other))
        return entry, out

    def _limited(self) -> tuple[int, int]:
        """A loop with a limit that leads on."""
        first_ = len(self.steps)
        (entry, exit_), out = self.block(), self.step()
        place = self.rng.choice([entry, exit_, *(i for i in self.own if first_ <= i < out)])
        self.calls += [("when", exit_, "flag", entry), ("otherwise", exit_, out)]
        then = self.step()
        self.calls += [("limit", place, self.rng.choice(("turns", "turns", "steps")), self.rng.randint(1, 3), then)]
        self.calls.append(("edge", then, last := self.step()))
        self.calls.append(("edge", out, last))
        return entry, last

    def _call(self) -> tuple[int, int]:
        """A graph that stands there."""
        place = self._placed(Step())
        program = Program(self.rng, min(self.budget, 5), Part, self.more, steps=self.steps, wrong=self.wrong)
        program.begin()
        if self.rng.random() < 0.3:
            program.calls.append(("terminate", program.own[0], program.step()))
        self.budget -= 3
        self.inner[place] = program
        return place, place

    def begin(self) -> None:
        """A first step, and what follows it."""
        first_ = self._placed(Step())
        entry, _ = self.block()
        self.calls.append(("edge", first_, entry))

    def programs(self) -> list[Program]:
        """This one, and all in it."""
        return [self, *(p for inner in self.inner.values() for p in inner.programs())]

    # -- mending ------------------------------------------------------------------------------------

    def accepted(self) -> Graph[Any] | None:
        """The graph, after everything was mended that the checks found; None where that was not possible."""
        for _ in range(25):
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
        number = re.search(r"'(?:[\w/]+/)?n(\d+)'", problem.what)
        if number is None:
            return False
        step = int(number[1])
        read = re.match(r"'[\w/]+' reads (?:[\w/]+/)?(\w+)", problem.what)
        if read is not None:
            return self.steps[step].reads.pop(read[1], None) is not None
        if problem.code == "concurrent-writers":
            had, self.steps[step].writes = self.steps[step].writes, None
            return had is not None
        return any(p.default_rule(step) or p.switch_by_flag(step) for p in self.programs())

    def default_rule(self, step: int) -> bool:
        """Take the rule of a join out."""
        rules = [call for call in self.calls if call[:2] == ("join", step)]
        self.calls = [call for call in self.calls if call not in rules]
        return bool(rules)

    def switch_by_flag(self, step: int) -> bool:
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


def _ended(made: Any, nodes: Any, source: Any, target: int) -> None:
    made.edge(source, nodes[target])
    made.terminate(nodes[target])


def _limited(made: Any, nodes: Any, place: Any, kind: str, allowed: int, then: int) -> None:
    made.limit(place, **{kind: allowed}, then=nodes[then])


_CALLS: Mapping[str, Any] = {
    "join": lambda made, nodes, join, rule: made.join(join, rule),
    "race": lambda made, nodes, one, others: made.race(one, *(nodes[i] for i in others)),
    "on_error": lambda made, nodes, source, target: made.edge(source, nodes[target], on_error=Boom),
    "limit": _limited,
    "terminate": _ended,
    "edge": lambda made, nodes, source, target: made.edge(source, nodes[target]),
    "when": lambda made, nodes, source, name, target: made.edge(source, nodes[target], when=name),
    "otherwise": lambda made, nodes, source, target: made.edge(source, nodes[target], otherwise=True),
    "switch": _switched,
    "each": lambda made, nodes, source, work, collect: made.each(source, "items", nodes[work], collect=nodes[collect]),
}


def write(rng: Random, *, more: bool = False) -> Program:
    """A random program, not yet checked."""
    program = Program(rng, budget=rng.choice((5, 8, 12)), more=more)
    program.begin()
    return program
