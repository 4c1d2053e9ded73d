"""Revisions: what a token sees is the fold of its own past in logical order, whatever was finished first."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestra_graph.core.revisions import Conflict, Delta, Grown, Revision, Revisions, history
from orchestra_graph.errors import EngineBug
from tests.core.graphs import SCHEMA
from tests.core.oracle import Clash
from tests.core.simulate import seen_by

REDUCERS = {name: spec.reducer for name, spec in SCHEMA.fields.items() if spec.reducer is not None}
START: Mapping[str, Any] = {"log": ["-"], "total": 1, "mix": 1, "title": "untitled"}


def _revisions() -> Revisions:
    """The logical order is the order of the vertices, then of the turns."""
    return Revisions(REDUCERS, lambda vertex, stamp, discriminator: (vertex, stamp, discriminator))


@dataclass(eq=False)
class History:
    """Makes commits with less typing: the vertex is the logical place."""

    revisions: Revisions = field(default_factory=_revisions)
    seq: int = 0

    def first(self) -> Revision:
        return self.revisions.first(START, 0).hold()

    def commit(self, parent: Revision, place: int, **writes: Any) -> Revision:
        self.seq += 1
        delta = Delta(f"n{place}", place, (), (), writes, self.seq)
        return self.revisions.commit(parent, delta).hold()

    def merge(self, *heads: Revision, lost: Sequence[Revision] = ()) -> Revision:
        return self.revisions.merge(heads, lost).hold()


def test_a_chain_folds_one_write_after_the_other() -> None:
    made = History()
    first = made.first()
    second = made.commit(first, 1, log=["a"], total=2, title="one")
    third = made.commit(second, 2, log=["b", "c"], total=3, title="two", draft="new")
    assert seen_by(third.seen()) == {
        "log": ["-", "a", "b", "c"],
        "total": 6,
        "mix": 1,
        "title": "two",
        "draft": "new",
    }
    assert seen_by(second.seen()) == {"log": ["-", "a"], "total": 3, "mix": 1, "title": "one"}, "a view never changes"
    assert seen_by(first.seen()) == dict(START)


def test_branches_are_folded_by_their_place_not_by_who_was_first() -> None:
    ends = []
    for places in ((1, 2), (2, 1)):
        made = History()
        first = made.first()
        heads = [made.commit(first, place, log=[f"n{place}"], mix=place) for place in places]
        ends.append(seen_by(made.merge(*heads).seen()))
    assert ends[0] == ends[1]
    assert ends[0]["log"] == ["-", "n1", "n2"]


def test_a_merge_of_one_lineage_is_its_youngest_revision() -> None:
    made = History()
    first = made.first()
    second = made.commit(first, 1, title="one")
    assert made.merge(first, second) is second
    assert made.merge(second, second) is second
    assert made.merge(first) is first


def test_a_shared_past_is_counted_once() -> None:
    made = History()
    before = made.commit(made.first(), 1, total=10, log=["before"])
    left, right = made.commit(before, 2, total=100), made.commit(before, 3, total=1000)
    inner = made.merge(left, right)
    again = made.merge(inner, made.commit(left, 4, log=["late"]), right)
    assert seen_by(again.seen())["total"] == 1111
    assert seen_by(again.seen())["log"] == ["-", "before", "late"]


def test_the_newest_plain_write_stands_when_it_saw_the_others() -> None:
    made = History()
    first = made.first()
    old = made.commit(first, 1, title="old")
    new = made.commit(old, 2, title="new")
    side = made.commit(old, 3, total=1)
    assert seen_by(made.merge(side, new).seen())["title"] == "new"
    assert seen_by(made.merge(new, side).seen())["title"] == "new"


def test_plain_writes_side_by_side_are_a_conflict_that_names_both() -> None:
    made = History()
    first = made.first()
    one, two = made.commit(first, 1, title="one"), made.commit(first, 2, title="two")
    both = made.merge(one, two)
    assert both.seen()["title"] == Conflict(("n1", "n2"))
    third = made.commit(first, 3, title="three")
    assert made.merge(both, third).seen()["title"] == Conflict(("n1", "n2", "n3"))
    mended = made.commit(both, 4, title="agreed")
    assert seen_by(mended.seen())["title"] == "agreed"
    assert seen_by(made.merge(mended, one).seen())["title"] == "agreed", "what it overwrote is in its past"


def test_a_loser_keeps_what_it_gave_to_reducers_and_loses_its_plain_writes() -> None:
    made = History()
    first = made.first()
    winner = made.commit(first, 2, title="winner", log=["winner"])
    loser = made.commit(first, 1, title="loser", log=["loser"], draft="lost")
    final = made.merge(winner, lost=[loser])
    assert seen_by(final.seen()) == {**START, "log": ["-", "loser", "winner"], "title": "winner"}


def test_a_loser_that_is_an_ancestor_of_the_winner_counts_once() -> None:
    made = History()
    early = made.commit(made.first(), 1, total=10, title="early")
    late = made.commit(early, 2, total=100)
    assert seen_by(made.merge(late, lost=[early]).seen()) == {**START, "total": 111, "title": "early"}


def test_looking_sees_what_a_merge_would_and_makes_nothing() -> None:
    made = History()
    first = made.first()
    one, two = made.commit(first, 1, log=["one"]), made.commit(first, 2, log=["two"])
    count = made.revisions.count
    seen = seen_by(made.revisions.look([one, two]))
    assert made.revisions.count == count
    assert seen == seen_by(made.merge(one, two).seen())


def test_branches_add_to_a_list_without_disturbing_one_another() -> None:
    made = History()
    trunk = made.commit(made.first(), 1, log=["trunk"])
    one = made.commit(trunk, 2, log=["one"])
    two = made.commit(trunk, 3, log=["two"])
    further = made.commit(one, 4, log=["further"])
    assert seen_by(trunk.seen())["log"] == ["-", "trunk"]
    assert seen_by(two.seen())["log"] == ["-", "trunk", "two"]
    assert seen_by(further.seen())["log"] == ["-", "trunk", "one", "further"]


def test_what_was_read_of_a_list_is_the_readers_own() -> None:
    made = History()
    revision = made.commit(made.first(), 1, log=["a"])
    cell = revision.seen()["log"]
    assert isinstance(cell, Grown)
    cell.value.append("scribble")
    cell.seqs.append(99)
    assert cell.value == ["-", "a"]
    assert cell.seqs == [0, 1]


def test_a_list_names_the_rows_that_its_elements_came_from() -> None:
    made = History()
    first = made.first()
    one = made.commit(first, 2, log=["b"])
    two = made.commit(first, 1, log=["a", "aa"])
    nothing = made.commit(two, 3, log=[])
    cell = made.merge(one, nothing).seen()["log"]
    assert isinstance(cell, Grown)
    assert cell.value == ["-", "a", "aa", "b"]
    assert cell.seqs == [0, 2, 1, 3]


def test_a_list_that_forks_again_and_again_stays_in_few_parts() -> None:
    """Two branches add to it in every turn, the later one first: each time a new part begins."""
    cell = Grown(["-"], [0])
    for turn in range(1, 1_000):
        cell.extended(["of the other branch"], 2 * turn)
        cell = cell.extended([turn], 2 * turn + 1)
    assert cell.value == ["-", *range(1, 1_000)]
    assert cell.seqs == [0, *range(3, 2_001, 2)]
    assert len(cell._parts()) <= 11


def test_a_field_without_a_start_begins_with_its_first_operand() -> None:
    made = History()
    first = made.first()
    assert seen_by(made.commit(first, 1, notes=["n"], newest="x").seen()) == {**START, "notes": ["n"], "newest": "x"}


def test_a_view_is_kept_while_someone_stands_there_or_branches_fork_there() -> None:
    made = History()
    first = made.first()
    chain = made.commit(first, 1, total=1)
    first.release()
    with pytest.raises(EngineBug, match="view of revision 0"):
        first.seen()
    one, two = made.commit(chain, 2, total=1), made.commit(chain, 3, total=1)
    chain.release()
    assert seen_by(made.merge(one, two).seen())["total"] == 4


def test_history_behind_the_base_of_all_heads_is_forgotten() -> None:
    made = History()
    second = made.commit(made.first(), 1, total=1)
    one, two = made.commit(second, 2, total=1), made.commit(second, 3, total=1)
    base, since = history([one, two])
    assert base is second
    assert {r.index for r in since} == {one.index, two.index}
    assert base.parents == ()
    assert seen_by(made.merge(one, two).seen())["total"] == 4


# -- any history ---------------------------------------------------------------------------------------


class ModelDelta(NamedTuple):
    """What was written, where in the logical order, and the deltas that were seen there."""

    place: tuple[int, int]
    writes: Mapping[str, Any]
    past: frozenset[int]


@settings(derandomize=True, max_examples=250, deadline=None)
@given(st.integers(0, 2**32))
def test_any_history_of_commits_and_merges_is_the_fold_of_its_past(seed: int) -> None:
    random_history = RandomHistory(random.Random(seed))
    for _ in range(random_history.chance.randrange(3, 25)):
        random_history.grow()
    random_history.end()


@dataclass(eq=False)
class RandomHistory:
    """Grows at random, and compares every new revision with the fold of the deltas behind it."""

    chance: random.Random
    made: History = field(default_factory=History)
    deltas: list[ModelDelta] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.heads: list[tuple[Revision, frozenset[int]]] = [(self.made.first(), frozenset())]

    def grow(self) -> None:
        if len(self.heads) > 1 and self.chance.random() < 0.4:
            self.merge(self.chance.sample(self.heads, min(len(self.heads), self.chance.choice((2, 2, 3)))))
        else:
            self.commit(*self.chance.choice(self.heads), _writes(self.chance, len(self.deltas)))

    def merge(self, chosen: list[tuple[Revision, frozenset[int]]]) -> None:
        revisions, past = [r for r, _ in chosen], _all_of(chosen)
        merged = self.made.merge(*revisions)
        assert seen_by(merged.seen()) == _fold(self.deltas, past)
        assert seen_by(self.made.revisions.look(revisions)) == _fold(self.deltas, past)
        for head in chosen:
            if self.chance.random() < 0.8:
                self.heads.remove(head)
                head[0].release()
        conflicts = [name for name, cell in merged.seen().items() if isinstance(cell, Conflict)]
        if conflicts:  # the engine lets nothing go on from here but a node that overwrites them
            self.commit(merged, past, dict.fromkeys(conflicts, "mended"))
        else:
            self.heads.append((merged, past))

    def commit(self, parent: Revision, past: frozenset[int], writes: Mapping[str, Any]) -> None:
        number, depth = len(self.deltas), 1 + max((self.deltas[i].place[0] for i in past), default=0)
        place = (depth, self.chance.randrange(10**6))
        self.made.seq += 1
        delta = Delta(f"d{number}", depth, (place[1],), (), writes, self.made.seq)
        child = self.made.revisions.commit(parent, delta).hold()
        self.deltas.append(ModelDelta(place, writes, past))
        self.heads.append((child, past | {number}))
        assert seen_by(child.seen()) == _fold(self.deltas, past | {number})

    def end(self) -> None:
        """Some of the heads win, and the others have lost."""
        self.chance.shuffle(self.heads)
        cut = self.chance.randrange(1, len(self.heads) + 1)
        won, lost = self.heads[:cut], self.heads[cut:]
        final = self.made.merge(*(r for r, _ in won), lost=[r for r, _ in lost])
        assert seen_by(final.seen()) == _fold(self.deltas, _all_of(won), _all_of(lost))


def _all_of(heads: Sequence[tuple[Revision, frozenset[int]]]) -> frozenset[int]:
    return frozenset(i for _, past in heads for i in past)


def _writes(chance: random.Random, number: int) -> dict[str, Any]:
    writes: dict[str, Any] = {}
    for name, value in (("log", [f"d{number}"]), ("total", number), ("mix", number), ("newest", f"d{number}")):
        if chance.random() < 0.5:
            writes[name] = value
    if chance.random() < 0.3:
        writes[chance.choice(("title", "draft"))] = f"d{number}"
    return writes


def _fold(deltas: Sequence[ModelDelta], past: frozenset[int], lost: frozenset[int] = frozenset()) -> dict[str, Any]:
    """The definition: operands of all deltas by key; of plain writes the ones that no other one saw."""
    seen: dict[str, Any] = {name: list(v) if isinstance(v, list) else v for name, v in START.items()}
    for i in sorted(past | lost, key=lambda i: deltas[i].place):
        for name, value in deltas[i].writes.items():
            reducer = REDUCERS.get(name)
            if reducer is not None:
                fold = (lambda acc, x: [*acc, *x]) if reducer.grows else reducer.fold
                seen[name] = fold(seen[name], value) if name in seen else value
    for name in ("title", "draft"):
        writers = [i for i in past if name in deltas[i].writes]
        newest = [i for i in writers if not any(i in deltas[j].past for j in writers)]
        if len(newest) == 1:
            seen[name] = deltas[newest[0]].writes[name]
        elif newest:
            seen[name] = Clash(tuple(sorted(f"d{i}" for i in newest)))
    return seen
