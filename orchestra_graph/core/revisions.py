"""The state of a run: a growing graph of deltas, of which every live token sees the part that is its own past.

A *revision* is a point of that graph: one commit (a delta on top of one parent) or one merge (several parents). The
value of a field at a revision is the fold of the deltas in its past in the order of their logical keys, so it never
depends on what finished first.

* A commit folds one delta onto its parent's view: its key is larger than every key of its past.
* A merge looks for the *base*, the latest revision through which every path to the merged ones leads. All that lies
  behind is younger than the base in every respect, so it is folded, sorted by key, onto the base's view. The cost is
  what happened since the base.
* A field without a reducer holds the causally newest write. If that is not one write, the merge is in conflict there.
* A losing branch (of a race, or withdrawn) has lost its plain writes; what it gave to reducers counts in the final
  state.

Views share everything that did not change, and grown fields share one buffer; a view is never changed. A view is kept
only where a later merge may need it: at live revisions, and where lineages fork.

Source: revisions as joins in a semilattice of delta sets, as in state-based CRDTs (Shapiro et al., 2011); the search
for a merge's base is the one of version control systems.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any, NamedTuple, cast

from orchestra_graph.errors import EngineBug
from orchestra_graph.graph.topology import Discriminator, Key, Stamp
from orchestra_graph.state.reducers import Reducer

__all__ = ["UNSET", "Cell", "Conflict", "Delta", "Grown", "Plain", "Revision", "Revisions", "View", "history"]


class _Unset:
    """The value of a field that nothing was ever written to."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = _Unset()


class Conflict(NamedTuple):
    """Stands for the value of a field that several branches wrote side by side, or that could not be folded.

    Attributes:
        writers: Who wrote it.
        why: What its reducer raised.
    """

    writers: tuple[str, ...]
    why: str = ""


class Plain(NamedTuple):
    """The newest write to a field without a reducer.

    Attributes:
        value: What was written.
        writer: The number of the revision that wrote it.
        seq: The log row that has it.
    """

    value: Any
    writer: int
    seq: int


class Folded(NamedTuple):
    """The value of a field with a reducer."""

    value: Any


class Grown:
    """A sequence that only gets longer, and the log rows that its elements came from.

    Several revisions share one buffer; each sees the part up to its own length. Whoever adds to the end of the buffer
    goes on in place; any other begins a buffer of its own behind the part that it sees. Parts of one size are put
    together now and then, as in a binary counter: so there are never many, an element is copied seldom, and the
    sequences of a long run together take little more room than the longest. Reading copies and keeps nothing.
    """

    __slots__ = ("_before", "_items", "_length", "_seqs", "_sources")

    def __init__(self, items: list[Any], seqs: list[int], before: Grown | None = None):
        self._before = before
        self._items, self._seqs = items, seqs
        self._length, self._sources = len(items), len(seqs)

    @property
    def value(self) -> list[Any]:
        """The elements, as a new list."""
        elements: list[Any] = []
        for part in self._parts():
            elements += part._items[: part._length]
        return elements

    @property
    def seqs(self) -> list[int]:
        """The log rows whose operands make up the elements, in order."""
        rows: list[int] = []
        for part in self._parts():
            rows += part._seqs[: part._sources]
        return rows

    def extended(self, items: Iterable[Any], seq: int) -> Grown:
        """This and more elements, which came from log row *seq*."""
        if self._length != len(self._items) or self._sources != len(self._seqs):
            self._even_out()
            return Grown(list(items), [seq], self)
        self._items.extend(items)
        self._seqs.append(seq)
        return Grown(self._items, self._seqs, self._before)

    def _parts(self) -> list[Grown]:
        """The parts, the first first."""
        parts, part = [self], self._before
        while part is not None:
            parts.append(part)
            part = part._before
        parts.reverse()
        return parts

    def _even_out(self) -> None:
        """Put this part together with the ones before it that are no longer than it is."""
        while self._before is not None and self._before._length <= self._length:
            before = self._before
            self._items = before._items[: before._length] + self._items[: self._length]
            self._seqs = before._seqs[: before._sources] + self._seqs[: self._sources]
            self._length, self._sources, self._before = len(self._items), len(self._seqs), before._before


Cell = Plain | Folded | Grown | Conflict
View = Mapping[str, Cell]


class Delta(NamedTuple):
    """What one activation wrote.

    Attributes:
        id: The activation.
        vertex: Its node.
        stamp: Its turn and instance.
        discriminator: Which of several paths.
        writes: Field to value, or operand.
        seq: The log row.
        replaced: Those of *writes* that set their field anew; what comes before them in logical order is gone.
        drops: Private fields of a call that is left here.
        update: Nobody wrote it: it is the update of a fork, one delta in every live lineage. Of its fields, all that
            stands before it in the log is gone.
        after: Its node is gone since: it stands in logical order right behind that of *vertex*, and this is its place
            among those that do.
    """

    id: str
    vertex: int
    stamp: Stamp
    discriminator: Discriminator
    writes: Mapping[str, Any]
    seq: int
    replaced: Collection[str] = ()
    drops: Collection[str] = ()
    update: bool = False
    after: tuple[Any, ...] = ()


class Revision:
    """A point in the graph of deltas.

    Attributes:
        index: Its number; a parent's is smaller.
        parents: What it goes on from; none for the first, and for one behind which everything was folded.
        delta: What was written there; None for a merge.
        view: The value of every field, while anybody may ask.
    """

    __slots__ = ("children", "delta", "holders", "index", "parents", "view")

    def __init__(self, index: int, parents: tuple[Revision, ...], delta: Delta | None, view: View):
        self.index = index
        self.parents = parents
        self.delta = delta
        self.view: View | None = view
        self.holders = 0
        self.children = 0
        for parent in parents:
            parent.children += 1

    def seen(self) -> View:
        """The view; it must still be there."""
        if self.view is None:
            raise EngineBug(f"the view of revision {self.index} is gone")
        return self.view

    def hold(self) -> Revision:
        """Somebody live stands at this revision."""
        self.holders += 1
        return self

    def release(self) -> None:
        """Somebody live has left; with nobody left, and no fork here, no merge will ask for the view again."""
        self.holders -= 1
        if not self.holders and self.children < 2:
            self.view = None


class Revisions:
    """Makes the revisions of one run.

    Args:
        reducers: The reducer of each field that has one.
        key: The logical key of a vertex, stamp and discriminator; asked only where lineages meet.
        private: The fields that live as long as a call.
    """

    def __init__(
        self,
        reducers: Mapping[str, Reducer[Any, Any]],
        key: Callable[[int, Stamp, Discriminator], Key],
        private: Collection[str] = (),
    ):
        self.reducers = reducers
        self._key = key
        self._private = frozenset(private)
        self.count = 0

    def first(self, values: Mapping[str, Any], seq: int) -> Revision:
        """The revision of the input."""
        view = {name: self._initial(name, value, seq) for name, value in values.items()}
        return self._add((), None, view)

    def commit(self, parent: Revision, delta: Delta) -> Revision:
        """One more delta on top of *parent*."""
        view = parent.seen()
        if delta.writes or delta.drops:
            view = {name: cell for name, cell in view.items() if name not in delta.drops}
            # An update has one writer in all lineages, and no revision of that number is ever asked for.
            writer = -delta.seq if delta.update else self.count
            for name, value in delta.writes.items():
                view[name] = self._written(view.get(name), name, value, delta, writer)
        return self._add((parent,), delta, view)

    def merge(self, heads: Sequence[Revision], lost: Sequence[Revision] = ()) -> Revision:
        """Where several lineages meet.

        Args:
            heads: What meets; at least one.
            lost: Revisions of losing branches, of which only what they gave to reducers counts. For the final state.
        """
        if len(heads) == 1 and not lost:
            return heads[0]
        base, since, tips = _since_base([*heads, *lost])
        own = [head for head in _unique(heads) if head.index in tips] if not lost else _unique(heads)
        if len(own) == 1 and not lost:
            return own[0]
        return self._add(tuple(own) + tuple(lost), None, self._merged(base, own, since))

    def look(self, heads: Sequence[Revision], lost: Sequence[Revision] = ()) -> View:
        """What a merge would see, without making one."""
        base, since, _ = _since_base([*heads, *lost])
        return self._merged(base, _unique(heads), since)

    def _merged(self, base: Revision, heads: Sequence[Revision], since: Sequence[Revision]) -> View:
        view = dict(base.seen())
        self._merge_plain(view, heads, since)
        gone = {name for name in self._private if not any(name in head.seen() for head in heads)}
        for name in gone:  # a lost branch can have led the base into a call that all heads have left
            view.pop(name, None)
        self._merge_folded(view, since, gone)
        return view

    def gave(self, revision: Revision, lost: Sequence[Revision]) -> bool:
        """Whether losing branches gave anything to reducers that is not in the past of *revision*."""
        _, since, _ = _since_base([revision, *lost])
        own, todo = set[int](), [revision]
        while todo:
            one = todo.pop()
            if one.index not in own:
                own.add(one.index)
                todo += one.parents
        theirs = [r.delta for r in since if r.delta is not None and r.index not in own]
        return any((self.reducers.keys() - self._private) & delta.writes.keys() for delta in theirs)

    def restore(self, index: int, parents: tuple[Revision, ...], delta: Delta | None, view: View | None) -> Revision:
        """Make a revision again that was in a snapshot; without *view* it follows from the parents."""
        self.count = index
        if view is not None:
            return self._add(parents, delta, view)
        if delta is not None:
            return self.commit(parents[0], delta)
        made = self.merge(parents)
        return made if made.index == index else self._add(parents, None, made.seen())

    def _add(self, parents: tuple[Revision, ...], delta: Delta | None, view: View) -> Revision:
        revision = Revision(self.count, parents, delta, view)
        self.count += 1
        return revision

    # -- fields -------------------------------------------------------------------------------------

    def _initial(self, name: str, value: Any, seq: int) -> Cell:
        reducer = self.reducers.get(name)
        if reducer is None:
            return Plain(value, self.count, seq)
        return Grown(list(value), [seq]) if reducer.grows else Folded(value)

    def _written(self, before: Cell | None, name: str, value: Any, delta: Delta, index: int) -> Cell:
        """The cell after one write that is younger than all before it."""
        reducer = self.reducers.get(name)
        if reducer is None:
            return Plain(value, index, delta.seq)
        if name in delta.replaced:
            before = None
        if reducer.grows:
            return before.extended(value, delta.seq) if isinstance(before, Grown) else Grown(list(value), [delta.seq])
        if isinstance(before, Conflict):
            return before
        try:
            return Folded(reducer.fold(before.value, value)) if isinstance(before, Folded) else Folded(value)
        except Exception as error:  # of the values of two branches, each of which could be folded by itself
            return Conflict((delta.id,), f"the reducer {reducer} raised {type(error).__name__}: {error}")

    def _merge_folded(self, view: dict[str, Cell], since: Sequence[Revision], gone: Collection[str]) -> None:
        deltas = [r.delta for r in since if r.delta is not None and not self.reducers.keys().isdisjoint(r.delta.writes)]
        if len(deltas) > 1:
            deltas.sort(key=self._place)
        updates = sorted((delta for delta in deltas if delta.update), key=lambda delta: delta.seq)
        since_row = {name: delta.seq for delta in updates for name in delta.writes}
        for delta in deltas:
            for name in delta.writes:
                if name in self.reducers and name not in gone and delta.seq >= since_row.get(name, 0):
                    view[name] = self._written(view.get(name), name, delta.writes[name], delta, 0)

    def _place(self, delta: Delta) -> Key:
        key = self._key(delta.vertex, delta.stamp, delta.discriminator)
        return key if not delta.after else ((*cast("tuple[object, ...]", key[0]), delta.after), key[1])

    def _merge_plain(self, view: dict[str, Cell], heads: Sequence[Revision], since: Sequence[Revision]) -> None:
        names = {n for r in since if r.delta is not None for n in r.delta.writes if n not in self.reducers}
        for name in sorted(names):
            cells = [cell for cell in (head.seen().get(name) for head in heads) if cell is not None]
            latest = _newest(cells, since)
            if latest is not None:
                view[name] = latest


def _unique(revisions: Iterable[Revision]) -> list[Revision]:
    return list({r.index: r for r in revisions}.values())


def _since_base(heads: Iterable[Revision]) -> tuple[Revision, list[Revision], set[int]]:
    """Go back from *heads*, the youngest first, until one revision is left through which every path leads.

    Returns:
        That revision, the ones younger than it, and the indices of the heads that are nobody's ancestor.
    """
    waiting = {head.index: head for head in heads}
    tips = set(waiting)
    queue = [-index for index in waiting]
    queue.sort()
    since = []
    while len(queue) > 1:
        revision = waiting.pop(-heappop(queue))
        since.append(revision)
        for parent in revision.parents:
            tips.discard(parent.index)
            if parent.index not in waiting:
                waiting[parent.index] = parent
                heappush(queue, -parent.index)
    (base,) = waiting.values()
    return base, since, tips


def history(heads: Iterable[Revision]) -> tuple[Revision, list[Revision]]:
    """The base of all *heads*, and the revisions since it; what lies behind the base is forgotten."""
    base, since, _ = _since_base(heads)
    base.parents = ()
    return base, since


def _author(revision: Revision) -> str:
    return "START" if revision.delta is None else revision.delta.id


def _newest(cells: Sequence[Cell], since: Sequence[Revision]) -> Cell | None:
    """The write that has every other one in its past, or a conflict."""
    writes = {c.writer: c for c in cells if isinstance(c, Plain)}
    conflicts = [c for c in cells if isinstance(c, Conflict)]
    if len(writes) <= 1 and not conflicts:
        return next(iter(writes.values()), None)
    behind = {r.index: r for r in since}
    young = [writer for writer in writes if writer in behind]
    if not young and not conflicts:
        raise EngineBug("two lineages saw different writes from before their base")
    passed: set[int] = set()
    todo = [p for writer in young for p in behind[writer].parents]
    while todo:
        revision = todo.pop()
        if revision.index in behind and revision.index not in passed:
            passed.add(revision.index)
            todo.extend(revision.parents)
    top = [writes[w] for w in young if w not in passed]
    if len(top) == 1 and not conflicts:
        return top[0]
    names = {_author(behind[c.writer]) for c in top} | {name for c in conflicts for name in c.writers}
    return Conflict(tuple(sorted(names)))
