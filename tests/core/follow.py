"""Follows a run event by event, by the words of the semantics: what is live, what waits, what is gone, how it ends.

`Follow` knows no frames, watchers or queues: after each event it asks every wave about every live item. What timing
chooses (who was first, when a limit was reached, which attempt failed) it reads from the log; everything else it finds
by itself. So an engine that goes the same way does what the words say.

Words: a *place* is a join and a stamp. An *excused* activation has failed for good before a join that can do without
it. *Over* are the places that have fired early, or lost a race: what still comes there is absorbed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from orchestra_graph.core import events as ev
from orchestra_graph.core.run import activation_id
from orchestra_graph.graph.plan import Cap
from orchestra_graph.graph.topology import Stamp
from tests.core.graphs import TROUBLES, Case
from tests.core.oracle import Arrival, Interpreter, Item, Past, Place, Regions, Starved, union_of

__all__ = ["Follow", "Stop"]


@dataclass(slots=True)
class Stop:
    """Why nothing new starts."""

    status: Literal["failed", "stopped"]
    final: bool = False
    errors: set[str] = field(default_factory=set)


class Follow(Interpreter):
    """One run, as its log says.

    Attributes:
        active: The live activations.
        waiting: The tokens at each join.
        excused: What has failed before a join that can do without it.
        over: Places where tokens are absorbed.
        failed: Live activations that have failed for good.
        asking: Live activations that wait for a person.
        undecided: Waves whose predicate is to be asked.
        withdrawn: Everything that was taken away.
        stop: Why nothing new starts.
        ended: The run has come to its end, or was cancelled.
    """

    def __init__(self, case: Case, regions: Regions | None = None):
        super().__init__(case, regions)
        self.active: dict[str, Item] = {}
        self.waiting: dict[Place, list[Arrival]] = {}
        self.excused: dict[Place, list[Item]] = {}
        self.over: set[Place] = set()
        self.decided: dict[tuple[int, Stamp], int] = {}
        self.starved: set[Place] = set()
        self.failed: set[str] = set()
        self.asking: set[str] = set()
        self.undecided: set[Place] = set()
        self.doubtful: set[Place] = set()
        self.withdrawn: set[str] = set()
        self.closed: list[str] = []
        self.stop: Stop | None = None
        self.ended = False
        self.brought_back = False
        self.touched: list[Place] = []
        self.refused: list[tuple[str | None, int, Stamp]] = []
        self.held: list[str] = []
        self.turns: dict[tuple[int, Stamp], int] = {}
        self.steps: dict[tuple[int, Stamp], int] = {}
        self.began: dict[tuple[int, Stamp], float] = {}
        self.reached: set[tuple[int, Stamp]] = set()
        self.left: list[tuple[int, Stamp]] = []
        self.active_seconds = self.last_at = 0.0
        self.steps_allowed: int | None = None
        self.turns_allowed: int | None = None
        self.steps_done = 0

    def after(self, event: ev.Event, queued: Collection[str] = ()) -> None:
        """One event more; *queued* is what waits for its place in an `each` now."""
        if len(self.active) > len(self.asking) + len(self.failed):
            self.active_seconds += event.at - self.last_at
        self.last_at = event.at
        self.left = []
        handler: Callable[[ev.Event], None] | None = getattr(self, f"_{type(event).__name__}", None)
        if handler is not None:
            handler(event)
        self._forget_what_has_ended(queued)

    # -- events -------------------------------------------------------------------------------------

    def _RunStarted(self, event: ev.RunStarted) -> None:
        self.steps_allowed, self.turns_allowed = event.steps, event.turns
        self.start_run()
        self.settle()

    def _NodeFinished(self, event: ev.NodeFinished) -> None:
        item = self.active.get(event.id)
        if item is None:
            return
        self.outcome.order.append(event.id)
        self.asking.discard(event.id)
        self.failed.discard(event.id)
        self.run(item, event.writes, event.taken, event.replaced)
        self._win(item)
        self._terminate(item)
        self._count_step(item)
        del self.active[event.id]
        self.settle()
        more = [i for i in self.active.values() if self.plan.nodes[i.vertex].kind not in ("enter", "leave")]
        if self.steps_allowed is not None and self.steps_done >= self.steps_allowed and more:
            self._halt("stopped")

    def _NodeFailed(self, event: ev.NodeFailed) -> None:
        item = self.active.get(event.id)
        self.asking.discard(event.id)
        if item is None or event.retry_at is not None:
            return
        if event.error.type in TROUBLES:
            assert [edge for edge, _ in event.taken] == self.handlers(item.vertex, event.error.type)
        join = None if event.taken else self._excusing(item)
        if event.taken:
            self._fail_over(item, [edge for edge, _ in event.taken])
        elif join is None:
            self.failed.add(event.id)
            self._halt("failed", errors=[event.id])
            return
        else:
            place = (join, item.stamp[: len(self.regions.around[join])])
            if place in self.over:
                self.lost |= item.past
            else:
                self.excused.setdefault(place, []).append(item)
        self.active.pop(event.id, None)
        self.settle()

    def _fail_over(self, item: Item, edges: list[int]) -> None:
        """Over its own edges, or over those of a graph around it, in which nothing goes on then."""
        vertex, _ = self.regions.edges[edges[0]]
        source = item if vertex == item.vertex else self.left_at(item, vertex)
        for edge in edges:
            self.send(edge, source, item.past)
        del self.active[item.id]
        if vertex != item.vertex:
            members = next(c.members for c in self.plan.calls if c.leave == vertex)
            around = source.stamp
            self._lose(lambda at, stamp: at in members and stamp[: len(around)] == around)

    def _QuestionAsked(self, event: ev.QuestionAsked) -> None:
        if event.id in self.active:
            self.asking.add(event.id)

    def _JoinAsked(self, event: ev.JoinAsked) -> None:
        place = next((p for p in self.undecided | self.doubtful if self.name(p) == event.id), None)
        if place not in self.waiting:
            return
        self.undecided.discard(place)
        self.doubtful.discard(place)
        if event.error is not None:
            self.doubtful.add(place)
            self._halt("failed", errors=[event.id])
        elif event.fire:
            self._fire_early(place)
            self.settle()

    def _LimitPassed(self, event: ev.LimitPassed) -> None:
        if event.cap is None:
            self._halt("stopped")
            return
        allowed = self.plan.caps[event.cap].allowed
        for at, began in self.began.items():
            if at[0] == event.cap and at not in self.reached and self.active_seconds - began >= allowed:
                self.refused.append((None, *at))
        self.settle()

    def _RunRetried(self, event: ev.RunRetried) -> None:
        self.stop = None
        self.steps_allowed, self.turns_allowed = event.steps, event.turns
        self.steps_done = 0
        self.failed.clear()
        self.turns.clear()
        self.steps.clear()
        self.active_seconds = 0.0
        self.began = dict.fromkeys(self.began, 0.0)
        held, self.held = self.held, []
        for identity in held:
            if identity in self.active:
                self._count_turn(self.active[identity])
        self.undecided |= {p for p in self.doubtful if p in self.waiting}
        self.doubtful.clear()
        self.settle()

    def _RunCancelled(self, event: ev.RunCancelled) -> None:
        past = self._everything()
        self.outcome.final = self.book.view(past, {}, self.lost) if past else None
        self.withdrawn |= set(self.active)
        self.active.clear()
        self.waiting.clear()
        self.excused.clear()
        self.over.clear()
        self.failed.clear()
        self.asking.clear()
        self.undecided.clear()
        self.stop = None
        self.ended = True

    def _excusing(self, item: Item) -> int | None:
        """The join that does without what has failed: it fires early, and every way leads to no other join before.

        Out of a call leads a way past its last vertex if nothing else is left in there.
        """
        here = item.vertex
        while True:
            joins = self.regions.first_joins(here)
            if len(joins) != 1:
                return None
            (join,) = joins
            if self.regions.excuses(join, item.vertex):
                return join
            call = next((c for c in self.plan.calls if c.leave == join and item.vertex in c.members), None)
            if call is None or not self._alone(item, call.members):
                return None
            here = join

    def _alone(self, item: Item, members: frozenset[int]) -> bool:
        number = next(i for i, c in enumerate(self.plan.calls) if c.members == members)
        inside = self.book.insides(item.vertex, item.stamp)[number]
        places = [p for p in [*self._items(), *self.excused] if p[0] in members]
        return sum(self.book.insides(*place)[number] == inside for place in places) == 1

    # -- tokens and joins ---------------------------------------------------------------------------

    def name(self, place: Place) -> str:
        """The id of what a place starts."""
        return activation_id(self.plan.nodes[place[0]].name, place[1], ())

    def begin(self, item: Item) -> None:
        self.active[item.id] = item
        self._count_turn(item)

    def absorbs(self, place: Place) -> bool:
        return place in self.over

    def arrived(self, join: int, stamp: Stamp, arrival: Arrival) -> None:
        if (join, stamp) not in self.waiting or self.regions.rule[join].races:
            self.touched.append((join, stamp))
        self.waiting.setdefault((join, stamp), []).append(arrival)

    def settle(self) -> None:
        """See to the limits; then fire what may fire, first where tokens came, in the order in which they came."""
        before = None
        while before != (before := (len(self.seen_ids), len(self.active), set(self.waiting), set(self.excused))):
            self._see_to_limits()
            touched, self.touched = list(dict.fromkeys(self.touched)), []
            for place in [*touched, *self.excused, *self.waiting]:
                if place in self.waiting or place in self.excused:
                    self._ask(place)
            self.undecided |= {p for p in touched if p in self.waiting and self.regions.rule[p[0]].kind == "until"}
        self.over = {p for p in self.over if self._may_come(p)}
        self.undecided = {p for p in self.undecided if p in self.waiting}

    def blocked(self, place: Place) -> bool:
        """Whether anything live outside of the wave can still count for it."""
        items = [(i.vertex, i.stamp) for i in self.active.values()]
        items += [p for p in [*self.waiting, *self.excused] if p != place]
        return any(self.regions.blocks(*item, *place) for item in items)

    def _may_come(self, place: Place) -> bool:
        """Whether anything can still come there; also from what has failed, should somebody try it again."""
        excused = [item for items in self.excused.values() for item in items]
        return self.blocked(place) or any(self.regions.blocks(i.vertex, i.stamp, *place) for i in excused)

    def _ask(self, place: Place) -> None:
        rule = self.regions.rule[place[0]]
        if rule.kind == "first" and len(self.waiting.get(place, ())) >= rule.count:
            self._fire_early(place)
        elif place not in self.starved and not self.blocked(place):
            self._close(place)

    def _fire_early(self, place: Place) -> None:
        arrivals, excused = self.waiting.pop(place), self.excused.pop(place, [])
        self.over.add(place)
        self.close(*place, arrivals)
        self.lost |= union_of(excused)
        if self.regions.rule[place[0]].cancel_rest:
            self._lose(
                lambda vertex, stamp: (
                    self.regions.blocks(vertex, stamp, *place) and self.regions.only_to(vertex, {place[0]})
                )
            )

    def _close(self, place: Place) -> None:
        """Nothing more can come."""
        rule = self.regions.rule[place[0]]
        arrivals, excused = self.waiting.pop(place, []), self.excused.pop(place, [])
        few = rule.kind == "first" and rule.short == "error" and len(arrivals) < rule.count
        if excused and (few or not arrivals):
            self.active.update({item.id: item for item in excused})
            self.failed.update(item.id for item in excused)
            self.brought_back = True
            if arrivals:
                self.waiting[place] = arrivals
            self._halt("failed", errors=[item.id for item in excused])
            return
        try:
            self.close(*place, arrivals)
        except Starved:
            self.outcome.starved.add(self.name(place))
            self.waiting[place] = arrivals
            self.starved.add(place)
            self._halt("failed", final=True)
        else:
            self.lost |= union_of(excused)
            self.ended = self.ended or place[0] == self.regions.end

    def clashed(self, identity: str) -> None:
        if identity in self.active:
            self.failed.add(identity)
        self._halt("failed", errors=[identity], final=True)

    def _withdraw(
        self, goes: Callable[[int, Stamp], bool], *, keep: Place | None = None, but: Item | None = None
    ) -> Past:
        """Take live items away; tokens at *keep* stay, and so does the activation *but*.

        Returns:
            What they had seen.
        """
        past: Past = 0
        for item in [i for i in self.active.values() if i is not but and goes(i.vertex, i.stamp)]:
            past |= item.past
            self.closed += [item.id] if item.id in self.asking else []
            self.withdrawn.add(item.id)
            del self.active[item.id]
            self.failed.discard(item.id)
            self.asking.discard(item.id)
        for place in [p for p in {**self.waiting, **self.excused} if p != keep and goes(*p)]:
            past |= union_of(self.waiting.pop(place, ()))
            self.lost |= union_of(self.excused.pop(place, ()))
        return past

    def _lose(self, goes: Callable[[int, Stamp], bool], *, keep: Place | None = None, but: Item | None = None) -> None:
        """Take live items away; of what they had seen only what went to reducers counts at the end."""
        past = self._withdraw(goes, keep=keep, but=but)
        self.lost |= past

    def _everything(self) -> Past:
        past = union_of(self.active.values())
        for arrivals in self.waiting.values():
            past |= union_of(arrivals)
        return past

    def _halt(self, status: Literal["failed", "stopped"], errors: Iterable[str] = (), *, final: bool = False) -> None:
        """A failure beats a limit."""
        if self.stop is None or (self.stop.status, status) == ("stopped", "failed"):
            self.stop = Stop(status, final, set(errors))
        elif status == "failed":
            self.stop.errors |= set(errors)
            self.stop.final = self.stop.final or final

    # -- races --------------------------------------------------------------------------------------

    def _win(self, item: Item) -> None:
        """The first member of a race to be done withdraws what could only still lead to the others."""
        if self.plan.nodes[item.vertex].kind == "enter":
            return  # a graph is done when it is left
        call = next((c for c in self.plan.calls if c.leave == item.vertex), None)
        winner, at = (item.vertex, item.stamp) if call is None else (call.enter, item.stamp[:-1])
        for number, members in enumerate(self.plan.races):
            if winner not in members or self.decided.setdefault((number, at), winner) != winner:
                continue
            others = set(members) - {winner}
            self._lose(partial(self._loses, others, at))
            self.over |= {(member, at) for member in others}

    def _loses(self, others: set[int], at: Stamp, vertex: int, stamp: Stamp) -> bool:
        if vertex in others and stamp == at:
            return True
        inside = [c for c in self.plan.calls if c.enter in others and vertex in c.members]
        if inside and stamp[: len(at)] == at:
            return True
        return self.regions.only_to(vertex, others) and any(
            self.regions.reaches_in_turn(vertex, stamp, other, at) for other in others
        )

    # -- limits and ends ----------------------------------------------------------------------------

    def _terminate(self, item: Item) -> None:
        """A node that ends its graph takes all else in it away, but for what has already come to the end of it."""
        status = self.plan.nodes[item.vertex].terminates
        if status is None:
            return
        members, around, end = self._graph_of(item)
        self._lose(
            lambda vertex, stamp: vertex in members and stamp[: len(around)] == around, keep=(end, around), but=item
        )
        if status == "failed":
            self._halt("failed", final=True)

    def _graph_of(self, item: Item) -> tuple[frozenset[int], Stamp, int]:
        """What stands in the graph of a node, the coordinates of this call of it, and its last vertex."""
        number = self.plan.nodes[item.vertex].call
        if number is None:
            return frozenset(range(self.regions.size)), (), self.regions.end
        call = self.plan.calls[number]
        return call.members, self.book.insides(item.vertex, item.stamp)[number], call.leave

    def _count_turn(self, item: Item) -> None:
        """A start of a limited node; one too many is refused."""
        around = self.regions.around[item.vertex]
        scopes = [i + 1 for i, area in enumerate(around) if self.regions.areas[area].head is None]
        instance = item.stamp[: max(scopes, default=0)]
        for number, cap in enumerate(self.plan.caps):
            if cap.kind != "turns" or cap.vertex != item.vertex:
                continue
            if self.turns.get((number, instance), 0) < cap.allowed:
                self.turns[number, instance] = self.turns.get((number, instance), 0) + 1
            elif cap.edge is None:
                self.held.append(item.id)
                self._halt("stopped")
            else:
                self.refused.append((item.id, number, item.stamp[: cap.depth]))
        if self.plan.nodes[item.vertex].counts_turns and self.turns_allowed is not None:
            count = self.turns[-1 - item.vertex, instance] = self.turns.get((-1 - item.vertex, instance), 0) + 1
            if count > self.turns_allowed:
                self.turns[-1 - item.vertex, instance] = self.turns_allowed
                self.held.append(item.id)
                self._halt("stopped")

    def _count_step(self, item: Item) -> None:
        """A node is done; in a limited loop with more to do, it may have been the last that was allowed.

        To go into a graph and to come out of it is nobody's step.
        """
        if self.plan.nodes[item.vertex].kind in ("enter", "leave"):
            return
        self.steps_done += 1
        for number, cap in enumerate(self.plan.caps):
            at = (number, item.stamp[: cap.depth])
            if cap.kind == "steps" and item.vertex in cap.members:
                self.steps[at] = self.steps.get(at, 0) + 1
                if self.steps[at] >= cap.allowed and at not in self.reached:
                    self.refused.append((None, *at))

    def _see_to_limits(self) -> None:
        while self.refused:
            identity, number, around = self.refused.pop(0)
            cap = self.plan.caps[number]
            inside = [stamp for vertex, stamp in self._items() if _is_inside(cap, around, vertex, stamp)]
            if not inside or (identity is not None and identity not in self.active):
                continue
            if cap.edge is None:
                self._halt("stopped")
                continue
            if cap.kind != "turns":
                self.reached.add((number, around))
            source = self._from(cap.vertex, around, inside) if identity is None else self.active[identity]
            past = self._withdraw(partial(_is_inside, cap, around))
            if self.regions.edges[cap.edge][0] != cap.vertex:  # a graph stands there
                source = self.left_at(source, self.regions.edges[cap.edge][0])
            known = set(self.active)
            self.send(cap.edge, source, past)
            for started in self.active.keys() - known:
                self._conflicts(started, self.outcome.seen[started], self._mends(self.active[started].vertex))
            self.left.append((number, around))

    def _forget_what_has_ended(self, queued: Collection[str]) -> None:
        """A loop that has been left counts anew when it is entered again; its time, when something has begun there."""
        inside = self._inside([*self._items(), *self.excused])
        begun = self._inside(
            [
                *((i.vertex, i.stamp) for i in self.active.values() if i.id not in queued),
                *(at for at, came in self.waiting.items() if any(self.plan.edges[a.edge].kind != "each" for a in came)),
                *self.excused,
            ]
        )
        self.began = {at: self.began.get(at, self.active_seconds) for at in inside if at in begun or at in self.began}
        self.steps = {at: count for at, count in self.steps.items() if at in inside}
        self.reached &= inside

    def _inside(self, places: Iterable[Place]) -> set[tuple[int, Stamp]]:
        """The instances of limits that these places are in."""
        caps = [(number, cap) for number, cap in enumerate(self.plan.caps)]
        return {(n, stamp[: cap.depth]) for n, cap in caps for vertex, stamp in places if vertex in cap.members}

    def _from(self, vertex: int, around: Stamp, inside: Iterable[Stamp]) -> Item:
        """The place from which the way out of a limit leads, when no activation was refused."""
        chain = self.regions.around[vertex]
        if len(chain) < len(around):  # before a call, of which this is the limit
            last = around[-1]
            assert isinstance(last, tuple)
            return Item("", vertex, around[:-1], last[0], 0)
        if len(chain) == len(around):
            return Item("", vertex, around, (), 0)
        turn = max(c for c in (s[len(around)] for s in inside) if isinstance(c, int))
        return Item("", vertex, (*around, turn, *(0,) * (len(chain) - len(around) - 1)), (), 0)

    def _items(self) -> list[Place]:
        return [(i.vertex, i.stamp) for i in self.active.values()] + list(self.waiting)


def _is_inside(cap: Cap, around: Stamp, vertex: int, stamp: Stamp) -> bool:
    """Whether a place is in one instance of what is limited."""
    return vertex in cap.members and stamp[: cap.depth] == around
