"""Random graphs: nested forks, loops and eaches, and more edges beside that structure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from orchestra_graph.graph.policies import EACH_ONE, JoinRule
from tests.graph.shapes import Each, Group, Model, Split, shape

RULES = (
    EACH_ONE,
    JoinRule(kind="all_of"),
    JoinRule(kind="first"),
    JoinRule(kind="first", count=2, short="fire"),
    JoinRule(kind="first", cancel_rest=True),
    JoinRule(kind="zipped"),
    JoinRule(kind="batches", count=2),
)
FORKS: tuple[Split, ...] = ("and", "xor", "or")


def draw(rng: Random, *, size: int = 14, more: int = 0, forks: Sequence[Split] = FORKS, rules: float = 0) -> Model:
    """A random graph.

    Args:
        rng: Decides.
        size: About how many vertices at most.
        more: Up to so many edges that no structure asks for: loops with several entries, tokens that multiply.
        forks: How branches may begin.
        rules: The share of joins with a rule of their own.
    """
    drawing = _Drawing(rng, forks, rng.randint(3, size))
    entry, last = drawing.block(0)
    starts = [entry]
    if rng.random() < 0.3:
        starts.append(rng.choice(drawing.beside(0)))
    drawing.follow(0, "and", starts)
    for _ in range(rng.randint(0, more)):
        source = rng.randrange(1, drawing.count)
        drawing.follow(source, rng.choice((*forks, "maybe")), [rng.choice(drawing.beside(drawing.body[source]))])
    drawing.follow(last, "and", [drawing.count])
    joins = _joins(drawing)
    return shape(
        drawing.count + 1,
        drawing.groups,
        eaches=drawing.eaches,
        rules={v: rng.choice(RULES) for v in joins if rng.random() < rules},
    )


def _joins(drawing: _Drawing) -> list[int]:
    targets = [t for groups in drawing.groups.values() for _, some in groups for t in some]
    targets += [each.collector for each in drawing.eaches]
    return [v for v in range(1, drawing.count) if targets.count(v) > 1]


@dataclass
class _Drawing:
    """A graph that is being drawn.

    Attributes:
        rng: Decides.
        forks: How branches may begin.
        budget: About how many vertices are still wanted.
        count: How many there are.
        body: Of each vertex: the number of the each around it, or 0.
        groups: What each vertex may follow.
        eaches: The eaches.
    """

    rng: Random
    forks: Sequence[Split]
    budget: int
    count: int = 1
    body: dict[int, int] = field(default_factory=dict)
    groups: dict[int, list[Group]] = field(default_factory=dict)
    eaches: list[Each] = field(default_factory=list)
    bodies: int = 0

    def vertex(self, body: int) -> int:
        self.body[self.count] = body
        self.budget -= 1
        self.count += 1
        return self.count - 1

    def beside(self, body: int) -> list[int]:
        """The vertices of one body, those of nested ones left out."""
        return [v for v, its in self.body.items() if its == body]

    def follow(self, source: int, kind: Split, targets: Iterable[int]) -> None:
        self.groups.setdefault(source, []).append((kind, list(targets)))

    def block(self, body: int) -> tuple[int, int]:
        """Something with one entry and one exit, which are given."""
        if self.budget <= 2:
            return self._single(body)
        return self.rng.choice((self._line, self._fork, self._loop, self._each))(body)

    def _single(self, body: int) -> tuple[int, int]:
        only = self.vertex(body)
        return only, only

    def _line(self, body: int) -> tuple[int, int]:
        first, last = self._single(body) if self.rng.random() < 0.6 else self.block(body)
        for _ in range(self.rng.randint(1, 2)):
            entry, exit_ = self.block(body)
            self.follow(last, "and", [entry])
            last = exit_
        return first, last

    def _fork(self, body: int) -> tuple[int, int]:
        fork, join = self.vertex(body), self.vertex(body)
        blocks = [self.block(body) for _ in range(self.rng.randint(2, 3))]
        straight = [join] if self.rng.random() < 0.3 else []
        self.follow(fork, self.rng.choice(self.forks), [*(entry for entry, _ in blocks), *straight])
        for _, exit_ in blocks:
            self.follow(exit_, "and", [join])
        return fork, join

    def _loop(self, body: int) -> tuple[int, int]:
        entry, exit_ = self.block(body)
        again, out = self.vertex(body), self.vertex(body)
        self.follow(exit_, "and", [again])
        self.follow(again, "xor", [entry, out])
        return entry, out

    def _each(self, body: int) -> tuple[int, int]:
        """One in four collects where it begins, as the loop of an agent does."""
        maker, out = self.vertex(body), self.vertex(body)
        agent = self.rng.random() < 0.25
        collector = maker if agent else out
        self.bodies += 1
        first = self.count
        entry, exit_ = self.block(self.bodies)
        members = frozenset(range(first, self.count))
        self.follow(exit_, "and", [collector])
        self.eaches.append(Each(maker, entry, members, collector, filled=not agent and self.rng.random() < 0.3))
        if agent:
            self.follow(maker, self.rng.choice(("and", "maybe")), [out])
        return maker, out
