"""Where the live tokens of a run are, and which waiting joins they still hold up.

The join rule (`docs/semantics.md`): a wave (a join and a stamp) fires when no live item outside of it can still reach
the join in this turn, or is in an earlier turn of a loop around it. Asked of one item, this is `Topology.blocks`. Asked
of all of them at once it is cheap, because what counts is only *in which region instance* an item stands:

* A *frame* is one region instance with a live item: one turn of a loop, one instance of an `each`; the root frame is
  the run.
* A frame counts the live items at each vertex in it, nested frames included, and keeps the occupied vertices as a
  bitset.
* A wave is blocked iff, in one of the frames around it, an occupied vertex is in the join's mask for that depth, or an
  earlier turn of the loop that comes next is alive. That is a few integer operations, whatever the number of items.

A blocked wave *watches* one thing that blocks it (a vertex of a frame, or an earlier turn). Only when that count falls
to zero is the question asked again: new items never block a wave that was free (lemma L1), so nothing else can change
the answer for the better.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Protocol

from orchestra_graph.graph.topology import Coordinate, Stamp, Topology

__all__ = ["Frame", "Item", "Marking", "Watcher"]


class Item(Protocol):
    """What stands somewhere: an activation, or the tokens that wait at a join."""

    @property
    def vertex(self) -> int:
        """Where it stands."""
        ...

    @property
    def stamp(self) -> Stamp:
        """In which turns and instances."""
        ...


class Watcher:
    """Something that waits until nothing blocks a wave.

    Attributes:
        join: The vertex.
        stamp: The turn of the loops and the instances around it.
        watched: What it watches: a vertex, or an earlier turn; None while nothing blocks it.
    """

    __slots__ = ("join", "stamp", "watched")

    def __init__(self, join: int, stamp: Stamp):
        self.join = join
        self.stamp = stamp
        self.watched: int | Frame | None = None

    @property
    def blocked_by(self) -> int | None:
        """One vertex that blocks it now, for explanations; in an earlier turn, wherever its items have gone by now."""
        return _lowest(self.watched.occupied) if isinstance(self.watched, Frame) else self.watched


class Frame:
    """One region instance with live items in it.

    Attributes:
        total: How many live items are inside.
        occupied: Bitset of the vertices with a live item.
        here: The live items for which no frame farther in is kept.
    """

    __slots__ = ("children", "counts", "empty_watch", "here", "occupied", "total", "turns", "vertex_watch")

    def __init__(self) -> None:
        self.total = 0
        self.occupied = 0
        self.counts: dict[int, int] = {}
        self.children: dict[int, dict[Coordinate, Frame]] = {}
        self.turns: dict[int, list[int]] = {}
        self.vertex_watch: dict[int, list[Watcher]] = {}
        self.empty_watch: list[Watcher] = []
        self.here: dict[Item, None] = {}

    def inside(self, beside: int | None = None) -> Iterator[Item]:
        """The live items in here, those in the region *beside* left out."""
        yield from self.here
        for region, frames in self.children.items():
            if region != beside:
                for frame in frames.values():
                    yield from frame.inside()

    def child(self, region: int, coordinate: Coordinate) -> Frame:
        """The frame inside, made when it is not there."""
        inside = self.children.setdefault(region, {})
        frame = inside.get(coordinate)
        if frame is None:
            frame = inside[coordinate] = Frame()
            if isinstance(coordinate, int):
                heappush(self.turns.setdefault(region, []), coordinate)
        return frame

    def earliest(self, region: int) -> int | None:
        """The earliest live turn of a loop."""
        heap, inside = self.turns.get(region), self.children.get(region, {})
        while heap:
            if heap[0] in inside:
                return heap[0]
            heappop(heap)
        return None

    def add(self, vertex: int) -> None:
        """Count one item more."""
        self.total += 1
        count = self.counts.get(vertex, 0)
        self.counts[vertex] = count + 1
        if not count:
            self.occupied |= 1 << vertex

    def take(self, vertex: int) -> list[Watcher]:
        """Count one item less, and say who watched for that."""
        self.total -= 1
        count = self.counts[vertex] - 1
        if count:
            self.counts[vertex] = count
            return []
        del self.counts[vertex]
        self.occupied &= ~(1 << vertex)
        return self.vertex_watch.pop(vertex, [])


class Marking:
    """The live items of a run, by where they stand."""

    def __init__(self, topology: Topology):
        self.topology = topology
        self.root = Frame()
        # A region without a join in it is never asked about: its instances (10,000 of a wide `each`) need no frames.
        joins = [v for v in range(topology.size) if topology.rule[v].kind != "each_one" or v in topology.raced]
        self._tracked = [any(j in region.members for j in joins) for region in topology.regions]

    def enter(self, vertex: int, stamp: Stamp, item: Item | None = None) -> None:
        """An item came to stand at *vertex*; *item* is left out for what is never looked for."""
        frame = self.root
        frame.add(vertex)
        for region, coordinate in zip(self.topology.chain[vertex], stamp, strict=True):
            if not self._tracked[region]:
                break
            frame = frame.child(region, coordinate)
            frame.add(vertex)
        if item is not None:
            frame.here[item] = None

    def leave(self, vertex: int, stamp: Stamp, item: Item | None = None) -> list[Watcher]:
        """An item is gone; returns the watchers that must look again."""
        frame = self.root
        woken = frame.take(vertex)
        for region, coordinate in zip(self.topology.chain[vertex], stamp, strict=True):
            if not self._tracked[region]:
                break
            inside = frame.children[region]
            frame = inside[coordinate]
            woken += frame.take(vertex)
            if not frame.total:
                del inside[coordinate]
                woken += frame.empty_watch
        if item is not None:
            frame.here.pop(item, None)
        return woken

    # -- who is there, for what is withdrawn ----------------------------------------------------------

    def within(self, vertex: int, stamp: Stamp, depth: int) -> Iterator[Item]:
        """The live items that share with *vertex* and *stamp* the first *depth* coordinates."""
        frame: Frame | None = self.root
        for region, coordinate in zip(self.topology.chain[vertex][:depth], stamp, strict=False):
            if frame is None or not self._tracked[region]:
                break
            frame = frame.children.get(region, {}).get(coordinate)
        if frame is not None:
            yield from (item for item in frame.inside() if item.stamp[:depth] == stamp[:depth])

    def at(self, vertex: int, stamp: Stamp) -> Iterator[Item]:
        """The live items that stand at *vertex* with *stamp*."""
        yield from (i for i in self.within(vertex, stamp, len(stamp)) if i.vertex == vertex and i.stamp == stamp)

    def ahead(self, join: int, stamp: Stamp, *, this_turn: bool) -> Iterator[Item]:
        """The live items that can still reach a join's wave: those that block it.

        Args:
            join: The join.
            stamp: Of its wave.
            this_turn: Leave out those that stand in an earlier turn of a loop around it.
        """
        masks, frame = self.topology.masks[join], self.root
        for depth, region in enumerate(self.topology.chain[join]):
            yield from (item for item in frame.inside(region) if masks[depth] >> item.vertex & 1)
            inside, coordinate = frame.children.get(region, {}), stamp[depth]
            if isinstance(coordinate, int) and not this_turn:
                for turn, earlier in inside.items():
                    if isinstance(turn, int) and turn < coordinate:
                        yield from earlier.inside()
            if coordinate not in inside:
                return
            frame = inside[coordinate]
        yield from (item for item in frame.inside() if masks[-1] >> item.vertex & 1)

    def blocked(self, watcher: Watcher) -> bool:
        """Whether the wave is blocked; if so, the watcher is told when to ask again."""
        join, stamp, topology = watcher.join, watcher.stamp, self.topology
        masks = topology.masks[join]
        frame = self.root
        for depth, region in enumerate(topology.chain[join]):
            if self._watch_vertex(frame, masks[depth], watcher):
                return True
            coordinate = stamp[depth]
            if isinstance(coordinate, int):
                earliest = frame.earliest(region)
                if earliest is not None and earliest < coordinate:
                    watcher.watched = frame.children[region][earliest]
                    watcher.watched.empty_watch.append(watcher)
                    return True
            inside = frame.children.get(region, {}).get(coordinate)
            if inside is None:  # a wave that has fired, and nothing is left beside it
                watcher.watched = None
                return False
            frame = inside
        if self._watch_vertex(frame, masks[-1], watcher):
            return True
        watcher.watched = None
        return False

    @staticmethod
    def _watch_vertex(frame: Frame, mask: int, watcher: Watcher) -> bool:
        hit = frame.occupied & mask
        if not hit:
            return False
        vertex = watcher.watched = _lowest(hit)
        frame.vertex_watch.setdefault(vertex, []).append(watcher)
        return True

    def occupied(self) -> Iterator[int]:
        """The vertices with live items."""
        return iter(self.root.counts)


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
