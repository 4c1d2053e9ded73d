"""Small faults put into the engine on purpose: the properties must see every one of them.

A fault that they did not see would say that they look at too little. Each is put in place of a few lines of the real
engine, and then graphs are tried until one goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Any, Literal

import pytest

from orchestra_graph.core import evolve as evolve_module
from orchestra_graph.core import joins, revisions, tokens
from orchestra_graph.core.events import ErrorInfo, JoinAsked, NodeFailed, NodeFinished, RunStarted, Taken
from orchestra_graph.core.joins import RULES, Firing, Rule
from orchestra_graph.core.marking import Frame, Item, Marking, Watcher
from orchestra_graph.core.revisions import Cell, Delta, Grown, Plain, Revision, Revisions
from orchestra_graph.core.run import Activation, Fan, Fans, RunState, Tally, Token, Wave, activation_id
from orchestra_graph.core.step import Step
from orchestra_graph.errors import EngineBug
from orchestra_graph.graph.digraph import closed_ancestors, reachable
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.policies import EACH_ONE, GATHER, JoinRule
from orchestra_graph.graph.topology import Coordinate, Discriminator, Stamp, Topology
from orchestra_graph.runtime import routes
from tests.core import graphs
from tests.core.claims import check_order, check_race, check_timed
from tests.core.graphs import Case, random_case, rich_case
from tests.core.oracle import TooLong, regions_of, sequential

ENOUGH = 150
"""Graphs that are tried before a fault counts as unseen."""


How = Literal["order", "race", "calls", "time"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what is wrong, and how it is put in."""

    what: str
    put_in: Callable[[pytest.MonkeyPatch], None]
    how: How = "order"
    first: int = 0


FAULTS: list[Fault] = []


def fault(what: str, *, how: How = "order", first: int = 0) -> Callable[[Callable[[pytest.MonkeyPatch], None]], None]:
    """Add a fault to the table; *how* says which property should see it, *first* at which graph it begins to look."""
    return lambda put_in: FAULTS.append(Fault(what, put_in, how, first))


# -- the join rule -------------------------------------------------------------------------------------


@fault("an earlier turn of the loop is not waited for")
def _no_earlier_turns(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Frame, "earliest", lambda self, region: None)


@fault("a join waits for what reaches it only by a new turn")
def _masks_through_the_head(patch: pytest.MonkeyPatch) -> None:
    def masks(self: Topology) -> dict[int, tuple[int, ...]]:
        found = {}
        for vertex in range(self.size):
            levels: list[frozenset[int]] = [frozenset(range(self.size))]
            levels += [self.regions[r].members for r in self.chain[vertex]]
            found[vertex] = tuple(self_bits(self, here, vertex) & ~outer for here, outer in _with_inner(levels))
        return found

    def self_bits(self: Topology, members: frozenset[int], vertex: int) -> int:
        successors = {u: [v for v in self.targets(u) if v in members] for u in members}
        return closed_ancestors(sorted(members), successors)[vertex] & ~(1 << vertex)

    def _with_inner(levels: Sequence[frozenset[int]]) -> Iterable[tuple[frozenset[int], int]]:
        inner = [sum(1 << v for v in level) for level in levels[1:]]
        return zip(levels, [*inner, 0], strict=True)

    patch.setattr(Topology, "_find_masks", masks)


@fault("a join waits for other turns and instances as if they were its own")
def _masks_with_the_inside(patch: pytest.MonkeyPatch) -> None:
    find = Topology._find_masks

    def masks(self: Topology) -> dict[int, tuple[int, ...]]:
        found = find(self)
        successors = [self.targets(v) for v in range(self.size)]
        everywhere = {v: [u for u in range(self.size) if u != v and v in reachable([u], successors)] for v in found}
        return {v: (sum(1 << u for u in everywhere[v]), *levels[1:]) for v, levels in found.items()}

    patch.setattr(Topology, "_find_masks", masks)


@fault("a join waits only for what stands directly before it")
def _masks_of_neighbours(patch: pytest.MonkeyPatch) -> None:
    find = Topology._find_masks

    def masks(self: Topology) -> dict[int, tuple[int, ...]]:
        near = {v: sum({1 << self.edges[e][0] for e in self.into[v]}) for v in range(self.size)}
        return {v: tuple(bits & near[v] for bits in levels) for v, levels in find(self).items()}

    patch.setattr(Topology, "_find_masks", masks)


@fault("END does not wait")
def _end_waits_for_nothing(patch: pytest.MonkeyPatch) -> None:
    find = Topology._find_masks
    patch.setattr(Topology, "_find_masks", lambda self: {**find(self), self.end: (0,)})


@fault("a join fires with the first token")
def _first_arrival(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(RULES, "gather", Rule(lambda wave, rule, topology: True, RULES["gather"].closing))


@fault("a join waits until every in-edge has delivered")
def _every_in_edge(patch: pytest.MonkeyPatch) -> None:
    blocked = Marking.blocked

    def mutated(self: Marking, watcher: Watcher) -> bool:
        came = {t.edge for t in watcher.tokens} if isinstance(watcher, Wave) else set()
        return blocked(self, watcher) or len(came) < len(self.topology.into[watcher.join])

    patch.setattr(Marking, "blocked", mutated)


@fault("a collector to which only the body leads takes its items one by one")
def _collector_does_not_gather(patch: pytest.MonkeyPatch) -> None:
    def mutated(self: Topology, vertex: int) -> JoinRule:
        several = vertex == self.end or len(self.into[vertex]) > 1
        return self.rules.get(vertex, GATHER if several else EACH_ONE)

    patch.setattr(Topology, "_rule_of", mutated)


@fault("joins are asked before the tokens that follow have been added")
def _removed_before_added(patch: pytest.MonkeyPatch) -> None:
    handler = evolve_module._HANDLERS[NodeFinished]

    def mutated(run: RunState, event: NodeFinished) -> Any:
        activation = run.live.get(event.id)
        if activation is not None:
            step = Step(run, event.at)
            step.look += run.marking.leave(activation.vertex, activation.stamp)
            step.settle()
            run.marking.enter(activation.vertex, activation.stamp)
        return handler(run, event)

    patch.setitem(evolve_module._HANDLERS, NodeFinished, mutated)


@fault("whoever watches is not woken when a turn has ended")
def _no_wake_up_at_the_end_of_a_turn(patch: pytest.MonkeyPatch) -> None:
    leave = Marking.leave

    def mutated(self: Marking, vertex: int, stamp: Stamp, item: Item | None = None) -> list[Watcher]:
        frame, ended = self.root, []
        for region, coordinate in zip(self.topology.chain[vertex], stamp, strict=True):
            frame = frame.children.get(region, {}).get(coordinate, Frame())
            ended += frame.empty_watch
        return [w for w in leave(self, vertex, stamp, item) if w not in ended]

    patch.setattr(Marking, "leave", mutated)


@fault("only one of those who watch a node is woken")
def _one_is_woken(patch: pytest.MonkeyPatch) -> None:
    take = Frame.take
    patch.setattr(Frame, "take", lambda self, vertex: take(self, vertex)[:1])


@fault("turns and instances are not looked into")
def _nothing_tracked(patch: pytest.MonkeyPatch) -> None:
    make = Marking.__init__

    def mutated(self: Marking, topology: Topology) -> None:
        make(self, topology)
        self._tracked = [False] * len(self._tracked)

    patch.setattr(Marking, "__init__", mutated)


# -- stamps --------------------------------------------------------------------------------------------


@fault("a new turn is not counted")
def _no_next_turn(patch: pytest.MonkeyPatch) -> None:
    step_of = Topology._step_of
    patch.setattr(Topology, "_step_of", lambda self, edge: step_of(self, edge)._replace(next_turn=False))


@fault("an inner loop goes on counting when it is entered again")
def _no_fresh_turns(patch: pytest.MonkeyPatch) -> None:
    advance = Topology.advance

    def mutated(
        self: Topology, edge: int, stamp: Stamp, path: Discriminator, item: int | None = None
    ) -> tuple[Stamp, Discriminator]:
        made, after = advance(self, edge, stamp, path, item)
        step = self._steps[edge]
        if step.loops_before and stamp and isinstance(stamp[0], int):
            made = (*made[: step.shared], *(stamp[0],) * step.loops_before, *made[step.shared + step.loops_before :])
        return made, after

    patch.setattr(Topology, "advance", mutated)


@fault("all items of an `each` have the same coordinate")
def _shared_instance(patch: pytest.MonkeyPatch) -> None:
    advance = Topology.advance
    patch.setattr(
        Topology, "advance", lambda self, edge, s, d, item=None: advance(self, edge, s, d, None if item is None else 0)
    )


@fault("two turns that send items out of their loop make the same instances")
def _instance_without_its_turn(patch: pytest.MonkeyPatch) -> None:
    advance = Topology.advance

    def mutated(
        self: Topology, edge: int, stamp: Stamp, path: Discriminator, item: int | None = None
    ) -> tuple[Stamp, Discriminator]:
        made, after = advance(self, edge, stamp, path, item)
        coordinates: list[Coordinate] = list(made)
        step = self._steps[edge]
        if step.enters_scope:
            coordinates[step.shared + step.loops_before] = (path, item or 0)
        return tuple(coordinates), after

    patch.setattr(Topology, "advance", mutated)


@fault("what was let through side by side is told apart no more")
def _no_discriminator(patch: pytest.MonkeyPatch) -> None:
    advance = Topology.advance
    patch.setattr(Topology, "advance", lambda self, *more: (advance(self, *more)[0], ()))


@fault("the turn that a token has left is forgotten")
def _no_turn_left_behind(patch: pytest.MonkeyPatch) -> None:
    advance = Topology.advance

    def mutated(self: Topology, *more: Any) -> tuple[Stamp, Discriminator]:
        stamp, path = advance(self, *more)
        return stamp, tuple(entry for entry in path if not entry[0])

    patch.setattr(Topology, "advance", mutated)


@fault("the items of an `each` all begin at once, whatever its limit, when they begin at a join")
def _limit_not_at_joins(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Token, "inside", property(lambda self: self.fans))


@fault("an `each` runs one more than its limit")
def _limit_off_by_one(patch: pytest.MonkeyPatch) -> None:
    def full(self: Fan, index: int) -> bool:
        return self.limit is not None and index not in self._live and len(self._live) > self.limit

    patch.setattr(Fan, "full", full)


@fault("a place in an `each` is never given to the next item")
def _place_lost(patch: pytest.MonkeyPatch) -> None:
    def mutated(self: Step, vertex: int, stamp: Stamp, fans: Fans, item: Item | None) -> None:
        self.look += self.run.marking.leave(vertex, stamp, item)
        for fan, index in fans:
            fan.leave(index)

    patch.setattr(Step, "leave", mutated)


# -- revisions -----------------------------------------------------------------------------------------


@fault("writes are folded as they came, not by their logical key")
def _arrival_order(patch: pytest.MonkeyPatch) -> None:
    merge = Revisions._merge_folded

    def mutated(self: Revisions, view: dict[str, Cell], since: Sequence[Revision], gone: Collection[str]) -> None:
        arrived = {(d.vertex, d.stamp, d.discriminator): d.seq for d in (r.delta for r in since) if d is not None}
        patch.setattr(self, "_key", lambda *place: (arrived[place],))
        merge(self, view, since, gone)

    patch.setattr(Revisions, "_merge_folded", mutated)


@fault("the keys of nodes are compared, but not those of the turns around them")
def _key_without_turns(patch: pytest.MonkeyPatch) -> None:
    key = Topology.key

    def mutated(self: Topology, vertex: int, stamp: Stamp, path: Discriminator) -> Any:
        turnless = tuple(0 if isinstance(c, int) else c for c in stamp)
        return key(self, vertex, turnless, path)

    patch.setattr(Topology, "key", mutated)


@fault("the search for the base of a merge stops one revision early")
def _base_too_young(patch: pytest.MonkeyPatch) -> None:
    def mutated(heads: Iterable[Revision]) -> tuple[Revision, list[Revision], set[int]]:
        waiting = {head.index: head for head in heads}
        tips, since = set(waiting), []
        queue = sorted(-index for index in waiting)
        while len(queue) > 2:
            revision = waiting.pop(-heappop(queue))
            since.append(revision)
            for parent in revision.parents:
                tips.discard(parent.index)
                if parent.index not in waiting:
                    waiting[parent.index] = parent
                    heappush(queue, -parent.index)
        base = waiting.pop(-queue[-1])
        return base, [*since, *waiting.values()], tips

    patch.setattr(revisions, "_since_base", mutated)


@fault("of several writes side by side the last one to come stands")
def _last_writer_wins(patch: pytest.MonkeyPatch) -> None:
    def mutated(cells: Sequence[Cell], since: Sequence[Revision]) -> Cell | None:
        writes = [c for c in cells if isinstance(c, Plain)]
        return max(writes, key=lambda c: c.writer, default=None)

    patch.setattr(revisions, "_newest", mutated)


@fault("an older write is in conflict with the newer one that saw it")
def _no_causality(patch: pytest.MonkeyPatch) -> None:
    newest = revisions._newest

    def mutated(cells: Sequence[Cell], since: Sequence[Revision]) -> Cell | None:
        alone = [Revision(r.index, (), r.delta, {}) for r in since]
        return newest(cells, alone)

    patch.setattr(revisions, "_newest", mutated)


@fault("branches add to one list")
def _shared_list(patch: pytest.MonkeyPatch) -> None:
    def mutated(self: Grown, items: Iterable[Any], seq: int) -> Grown:
        self._items.extend(items)
        self._seqs.append(seq)
        return Grown(self._items, self._seqs, self._before)

    patch.setattr(Grown, "extended", mutated)


@fault("a view is thrown away though branches fork from it")
def _view_gone(patch: pytest.MonkeyPatch) -> None:
    def mutated(self: Revision) -> None:
        self.holders -= 1
        if not self.holders:
            self.view = None

    patch.setattr(Revision, "release", mutated)


@fault("a join sees only what its last token brings")
def _one_head(patch: pytest.MonkeyPatch) -> None:
    merge = Revisions.merge

    def mutated(self: Revisions, heads: Sequence[Revision], lost: Sequence[Revision] = ()) -> Revision:
        return merge(self, heads[-1:], lost)

    patch.setattr(Revisions, "merge", mutated)


@fault("what a node wrote is seen by its own next node only")
def _commit_forgotten(patch: pytest.MonkeyPatch) -> None:
    commit = Revisions.commit

    def mutated(self: Revisions, parent: Revision, delta: Delta) -> Revision:
        made = commit(self, parent, delta)
        made.delta = None
        return made

    patch.setattr(Revisions, "commit", mutated)


# -- races and other rules -----------------------------------------------------------------------------


@fault("a race does not remember that it has fired", how="race")
def _race_forgets(patch: pytest.MonkeyPatch) -> None:
    fire = Step._fire

    def mutated(self: Step, wave: Wave, firings: Iterable[Firing], tokens: Iterable[Token]) -> None:
        fire(self, wave, firings, tokens)
        if wave.fired:
            self.run.waves.pop((wave.join, wave.stamp), None)

    patch.setattr(Step, "_fire", mutated)


@fault("a race counts edges, not arrivals", how="race")
def _race_counts_edges(patch: pytest.MonkeyPatch) -> None:
    def enough(wave: Wave, rule: JoinRule, topology: Topology) -> bool:
        return len({t.edge for t in wave.tokens}) >= rule.count

    patch.setitem(RULES, "first", Rule(enough, joins.RULES["first"].closing))


@fault("a race never remembers, nor forgets: its waves stay for ever", how="race")
def _race_stays(patch: pytest.MonkeyPatch) -> None:
    blocked = Marking.blocked
    patch.setattr(
        Marking, "blocked", lambda self, w: (isinstance(w, Wave) and w.fired and not w.tokens) or blocked(self, w)
    )


@fault("a join that fires early withdraws work that also leads elsewhere", how="race")
def _race_withdraws_too_much(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Topology, "funnel", lambda self, targets: (1 << self.size) - 1)


@fault("a join that fires early withdraws nothing", how="race")
def _race_withdraws_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Step, "withdraw_for", lambda self, joins, stamp, this_turn: None)


@fault("a join that fires early withdraws work of other turns and instances", how="race")
def _race_withdraws_elsewhere(patch: pytest.MonkeyPatch) -> None:
    def mutated(self: Marking, join: int, stamp: Stamp, *, this_turn: bool) -> Iterable[Item]:
        everywhere = sum(self.topology.masks[join])
        return [item for item in self.root.inside() if everywhere >> item.vertex & 1]

    patch.setattr(Marking, "ahead", mutated)


@fault("what losers gave to reducers is gone", how="race")
def _losers_forgotten(patch: pytest.MonkeyPatch) -> None:
    merge = Revisions.merge
    patch.setattr(Revisions, "merge", lambda self, heads, lost=(): merge(self, heads))


@fault("losers keep their claim to plain fields", how="race")
def _losers_count(patch: pytest.MonkeyPatch) -> None:
    merge = Revisions.merge
    patch.setattr(Revisions, "merge", lambda self, heads, lost=(): merge(self, [*heads, *lost]))


@fault("history is folded though losers still have a part in it", how="race")
def _folded_too_early(patch: pytest.MonkeyPatch) -> None:
    def mutated(run: RunState) -> None:
        if run.marking.root.total == 1 and len(run.live) == 1:
            (only,) = run.live.values()
            only.revision.parents = ()

    patch.setattr(evolve_module, "_fold_history", mutated)


@fault("history is folded though tokens still wait")
def _folded_beside_tokens(patch: pytest.MonkeyPatch) -> None:
    def mutated(run: RunState) -> None:
        if len(run.live) == 1 and not run.lost:
            (only,) = run.live.values()
            only.revision.parents = ()

    patch.setattr(evolve_module, "_fold_history", mutated)


@fault("a late result of withdrawn work counts", how="race")
def _late_result_counts(patch: pytest.MonkeyPatch) -> None:
    def mutated(self: Step, item: Item, *, lose: bool = True) -> None:
        if isinstance(item, Activation):
            self.run.lost.append(item.revision)
            self.look += self.run.marking.leave(item.vertex, item.stamp, item)
            self.run.marking.enter(item.vertex, item.stamp, item)
        else:
            withdraw(self, item, lose=lose)

    withdraw = Step.withdraw
    patch.setattr(Step, "withdraw", mutated)


@fault("`zipped` pairs tokens as they came")
def _zip_by_arrival(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(joins, "_in_order", lambda tokens, topology, join: list(tokens))


@fault("`zipped` and `batches` start their activations under one name")
def _one_name(patch: pytest.MonkeyPatch) -> None:
    for kind in ("zipped", "batches"):
        rule = RULES[kind]

        def closing(wave: Wave, how: JoinRule, topology: Topology, rule: Rule = rule) -> Sequence[Firing]:
            return [replace(f, discriminator=()) for f in rule.closing(wave, how, topology)]

        patch.setitem(RULES, kind, Rule(rule.early, closing))


@fault("`all_of` wants every edge into a loop in every turn")
def _all_of_any_turn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(joins, "_expected", lambda wave, topology: list(topology.into[wave.join]))


# -- races of nodes ------------------------------------------------------------------------------------


@fault("who wins a race withdraws nobody", how="time")
def _winner_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Step, "race", lambda self, activation: None)


@fault("who loses a race is withdrawn, but may come again", how="time")
def _losers_come_again(patch: pytest.MonkeyPatch) -> None:
    race = Step.race

    def mutated(self: Step, activation: Activation) -> None:
        known = set(self.run.waves)
        race(self, activation)
        for place in set(self.run.waves) - known:
            del self.run.waves[place]

    patch.setattr(Step, "race", mutated)


@fault("a graph wins its race when it is entered", how="time", first=75)
def _entering_wins(patch: pytest.MonkeyPatch) -> None:
    race = Step.race

    def mutated(self: Step, activation: Activation) -> None:
        node = self.run.plan.nodes[activation.vertex]
        race(self, activation)
        for rivals in self.run.plan.rivals.get(activation.vertex, ()) if node.kind == "enter" else ():
            for rival in rivals:
                for item in list(self._standing(rival, activation.stamp)):
                    self.withdraw(item)

    patch.setattr(Step, "race", mutated)


@fault("the inside of a graph goes on though it lost its race", how="time", first=20)
def _inside_goes_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Step, "_standing", lambda self, rival, stamp: self.run.marking.at(rival, stamp))


# -- failures ------------------------------------------------------------------------------------------


@fault("no failure is excused", how="time")
def _nothing_is_excused(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Step, "excuse", lambda self, activation: False)


@fault("a failure is excused by a join behind another one", how="time")
def _excused_from_afar(patch: pytest.MonkeyPatch) -> None:
    def mutated(self: Topology) -> dict[int, tuple[int, tuple[int, ...]]]:
        joins = [j for j in range(self.size) if self.rule[j].races]
        return {
            v: (j, ())
            for v in range(1, self.end)
            for j in joins
            if self.only_to(v, j) and self.reaches(v, j) and v != j
        }

    patch.setattr(Topology, "excusing", property(mutated))


@fault("what was excused is lost though its join has too few", how="time", first=100)
def _not_brought_back(patch: pytest.MonkeyPatch) -> None:
    def mutated(self: Step, wave: Wave) -> list[Activation]:
        self.dismiss(wave)
        return []

    patch.setattr(Step, "bring_back", mutated)


@fault("what was excused is forgotten when its join fires", how="time", first=110)
def _excused_forgotten(patch: pytest.MonkeyPatch) -> None:
    dismiss = Step.dismiss

    def mutated(self: Step, wave: Wave) -> None:
        before = len(self.run.lost)
        dismiss(self, wave)
        del self.run.lost[before:]

    patch.setattr(Step, "dismiss", mutated)


@fault("a failure that took an error edge stops the run as well", how="calls")
def _error_edge_not_taken(patch: pytest.MonkeyPatch) -> None:
    handler = evolve_module._HANDLERS[NodeFailed]
    patch.setitem(evolve_module._HANDLERS, NodeFailed, lambda run, event: handler(run, replace(event, taken=())))


@fault("only the first of several error edges is taken", how="calls")
def _one_error_edge(patch: pytest.MonkeyPatch) -> None:
    handler = evolve_module._HANDLERS[NodeFailed]
    patch.setitem(
        evolve_module._HANDLERS, NodeFailed, lambda run, event: handler(run, replace(event, taken=event.taken[:1]))
    )


@fault("a call goes on though a graph around has taken its failure", how="time")
def _call_goes_on(patch: pytest.MonkeyPatch) -> None:
    fail_over = Step.fail_over

    def mutated(self: Step, activation: Activation, edges: Sequence[int], error: ErrorInfo) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Step, "inside", lambda *place: [])
            fail_over(self, activation, edges, error)

    patch.setattr(Step, "fail_over", mutated)


@fault("a failure in one call takes the other calls of that graph away", how="time", first=170)
def _every_call_goes(patch: pytest.MonkeyPatch) -> None:
    fail_over = Step.fail_over

    def mutated(self: Step, activation: Activation, edges: Sequence[int], error: ErrorInfo) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inside = Step.inside
            inner.setattr(Step, "inside", lambda self, vertex, prefix, members: inside(self, vertex, (), members))
            fail_over(self, activation, edges, error)

    patch.setattr(Step, "fail_over", mutated)


@fault("of several calls that fail side by side each goes on as if it were the only one", how="calls")
def _out_of_no_call(patch: pytest.MonkeyPatch) -> None:
    fail_over = Step.fail_over

    def mutated(self: Step, activation: Activation, edges: Sequence[int], error: ErrorInfo) -> None:
        stamp = tuple(((), c[1]) if isinstance(c, tuple) and c[1] < 0 else c for c in activation.stamp)
        activation.stamp, before = stamp, activation.stamp
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Step, "remove", lambda self, gone: _as_it_was(self, gone, before))
            fail_over(self, activation, edges, error)

    remove = Step.remove

    def _as_it_was(self: Step, gone: Activation, stamp: Stamp) -> None:
        gone.stamp = stamp
        remove(self, gone)

    patch.setattr(Step, "fail_over", mutated)


@fault("the outermost graph takes a failure before the nearest one", how="calls")
def _outermost_first(patch: pytest.MonkeyPatch) -> None:
    outwards = routes._outwards

    def mutated(plan: Plan, vertex: int) -> Iterator[int]:
        here, *around = outwards(plan, vertex)
        yield from (here, *reversed(around))

    patch.setattr(routes, "_outwards", mutated)


@fault("a graph takes a failure that a join in it could have done without", how="time", first=130)
def _graph_before_its_join(patch: pytest.MonkeyPatch) -> None:
    def mutated(plan: Plan, vertex: int, error: BaseException) -> tuple[Taken, ...]:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Topology, "excusing", {})
            return routes.handlers(plan, vertex, error)

    patch.setattr(graphs, "handlers", mutated)


@fault("the time of what waits for its place in an `each` counts", how="time", first=165)
def _waiting_counts(patch: pytest.MonkeyPatch) -> None:
    enter = Step.enter
    patch.setattr(Step, "enter", lambda self, *place, begins=True: enter(self, *place, begins=True))


@fault("the run's limit on turns stops nobody", how="time", first=14)
def _turns_of_the_run(patch: pytest.MonkeyPatch) -> None:
    handler = evolve_module._HANDLERS[RunStarted]
    patch.setitem(evolve_module._HANDLERS, RunStarted, lambda run, event: handler(run, replace(event, turns=None)))


# -- until ---------------------------------------------------------------------------------------------


@fault("an `until` fires whatever its predicate says", how="time")
def _always_yes(patch: pytest.MonkeyPatch) -> None:
    handler = evolve_module._HANDLERS[JoinAsked]
    patch.setitem(evolve_module._HANDLERS, JoinAsked, lambda run, event: handler(run, replace(event, fire=True)))


@fault("an `until` is asked only once", how="time")
def _asked_once(patch: pytest.MonkeyPatch) -> None:
    handler = evolve_module._HANDLERS[JoinAsked]
    patch.setitem(evolve_module._HANDLERS, JoinAsked, lambda run, event: handler(run, replace(event, seen=10**6)))


@fault("an `until` waits for a yes when nothing more can come", how="time")
def _waits_for_yes(patch: pytest.MonkeyPatch) -> None:
    ask = Step._ask

    def mutated(self: Step, wave: Wave) -> None:
        rule = self.run.plan.topology.rule[wave.join]
        if rule.kind == "until" and not wave.fired and not self.run.marking.blocked(wave):
            self.run.undecided[activation_id(self.run.name(wave.join), wave.stamp, ())] = wave
        else:
            ask(self, wave)

    patch.setattr(Step, "_ask", mutated)


# -- limits and ends -----------------------------------------------------------------------------------


@fault("what follows a limit sees one of the branches only", how="time", first=75)
def _then_sees_one(patch: pytest.MonkeyPatch) -> None:
    go_on = Step.go_on

    def mutated(self: Step, index: int, prefix: Stamp, refused: Activation | None) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Revisions, "merge", lambda self, heads, lost=(): heads[0])
            go_on(self, index, prefix, refused)

    patch.setattr(Step, "go_on", mutated)


@fault("a limit leaves the tokens that wait at joins", how="time")
def _tokens_stay(patch: pytest.MonkeyPatch) -> None:
    inside = Step.inside
    patch.setattr(Step, "inside", lambda self, *place: [i for i in inside(self, *place) if not isinstance(i, Wave)])


@fault("a limit withdraws what is in other turns of the loop around it, too", how="time", first=150)
def _all_turns(patch: pytest.MonkeyPatch) -> None:
    inside = Step.inside
    patch.setattr(Step, "inside", lambda self, vertex, prefix, members: inside(self, vertex, (), members))


@fault("a limit on steps allows one more", how="time")
def _one_more_step(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tokens, "Tally", lambda: Tally(steps=-1))


@fault("a limit is reached once more at each step", how="time", first=100)
def _reached_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Tally, "over", property(lambda self: False, lambda self, over: None))


@fault("turns are counted over all instances of an `each` together", how="time", first=135)
def _turns_of_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tokens, "scope_prefix", lambda plan, vertex, stamp: ())


@fault("a node that ends its graph ends nothing", how="time")
def _no_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Step, "end_graph", lambda self, activation: None)


@fault("a node that ends a graph inside ends the whole run", how="time", first=20)
def _end_of_all(patch: pytest.MonkeyPatch) -> None:
    def mutated(self: Step, activation: Activation) -> None:
        end = self.run.plan.topology.end
        leave = max((c.leave for c in self.run.plan.calls if activation.vertex in c.members), default=end)
        for item in list(self.run.marking.root.inside()):
            if item.vertex not in (end, leave):
                self.withdraw(item)

    patch.setattr(Step, "end_graph", mutated)


@fault("a question that was withdrawn stays open", how="time")
def _questions_stay(patch: pytest.MonkeyPatch) -> None:
    withdraw = Step.withdraw

    def mutated(self: Step, item: Item, *, lose: bool = True) -> None:
        withdraw(self, item, lose=lose)
        self.run.closed.clear()

    patch.setattr(Step, "withdraw", mutated)


# -- graphs in graphs ----------------------------------------------------------------------------------


@fault("the fields of a call are still there when it is left", how="calls")
def _fields_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Plan, "drops", lambda self, vertex: ())


@fault("a field that is set anew goes on from what it was", how="calls")
def _not_replaced(patch: pytest.MonkeyPatch) -> None:
    handler = evolve_module._HANDLERS[NodeFinished]
    patch.setitem(evolve_module._HANDLERS, NodeFinished, lambda run, event: handler(run, replace(event, replaced=())))


@fault("a call is left once for each branch that ends in it", how="calls")
def _left_too_early(patch: pytest.MonkeyPatch) -> None:
    rule_of = Topology._rule_of

    def mutated(self: Topology, vertex: int) -> JoinRule:
        leaves = any(s.call and s.collector == vertex for s in self.scopes)
        return EACH_ONE if leaves else rule_of(self, vertex)

    patch.setattr(Topology, "_rule_of", mutated)


@fault("what comes out of a call is not told apart as what went in was", how="calls")
def _maker_forgotten(patch: pytest.MonkeyPatch) -> None:
    advance = Topology.advance

    def mutated(
        self: Topology, edge: int, stamp: Stamp, path: Discriminator, item: int | None = None
    ) -> tuple[Stamp, Discriminator]:
        gone = tuple(((), c[1]) if isinstance(c, tuple) and c[1] < 0 else c for c in stamp)
        shared = self._steps[edge].shared
        return advance(self, edge, (*stamp[:shared], *gone[shared:]), path, item)

    patch.setattr(Topology, "advance", mutated)


@fault("two calls that begin side by side share their inside", how="calls")
def _shared_inside(patch: pytest.MonkeyPatch) -> None:
    advance = Topology.advance

    def mutated(
        self: Topology, edge: int, stamp: Stamp, path: Discriminator, item: int | None = None
    ) -> tuple[Stamp, Discriminator]:
        made, after = advance(self, edge, stamp, path, item)
        return tuple(((), c[1]) if isinstance(c, tuple) and c[1] < 0 else c for c in made), after

    patch.setattr(Topology, "advance", mutated)


# -- do the properties see them? -----------------------------------------------------------------------


def _race(seed: int) -> None:
    case = random_case(seed, races=True)
    if any(rule.races for rule in case.plan.topology.rule):
        check_race(case, seed)


def _order(seed: int, case: Case) -> None:
    regions = regions_of(case)
    try:
        expected = sequential(case, regions)
    except TooLong:
        return
    check_order(case, seed, expected=expected, regions=regions)


TRIES: Mapping[How, Callable[[int], object]] = {
    "order": lambda seed: _order(seed, random_case(seed)),
    "race": _race,
    "calls": lambda seed: _order(seed, rich_case(seed, timed=False)),
    "time": lambda seed: check_timed(rich_case(seed, timed=True), seed),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.what)
def test_the_properties_see_that(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    fault.put_in(monkeypatch)
    tries = TRIES[fault.how]
    for seed in range(fault.first, fault.first + ENOUGH):
        try:
            tries(seed)
        except (AssertionError, EngineBug):
            return
    pytest.fail(f"{ENOUGH} graphs did not show that {fault.what}")
