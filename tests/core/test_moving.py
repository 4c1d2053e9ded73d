"""A position is carried over to another form of its graph, and the run goes on as if it had begun there."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from orchestra_graph.core import decide
from orchestra_graph.core import events as ev
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.moving import Renames, ends_well, moved, translate
from orchestra_graph.core.run import Activation, RunState
from orchestra_graph.graph.edges import Edge, Group
from orchestra_graph.graph.plan import Plan, PlanNode, WriteSpec
from orchestra_graph.graph.topology import Topology
from tests.core import graphs
from tests.core.graphs import Case, Work, random_case
from tests.core.oracle import Clash
from tests.core.simulate import seen_by

EDITS = 150


class Edited:
    """A case in another form: what its nodes do is looked up under the names that they had.

    Args:
        case: The case.
        plan: Its new form.
        was: New name to old one.
        edges: Edge of the old form to the one of the new form that a node takes instead.
    """

    def __init__(self, case: Case, plan: Plan, was: Mapping[str, str], edges: Mapping[int, int]):
        self.case, self.plan, self.was, self.edges = case, plan, was, edges

    def work(self, vertex: int, stamp: Any, discriminator: Any) -> Work:
        name = self.plan.nodes[vertex].name
        old = self.case.plan.by_name.get(self.was.get(name, name))
        if old is None:  # an added node, which passes on what comes
            return Work({}, tuple(ev.Taken(edge) for edge in self.plan.topology.out[vertex]))
        work = self.case.work(old.index, stamp, discriminator)
        return work._replace(taken=tuple(ev.Taken(self.edges[edge], times) for edge, times in work.taken))


def finished(work: Work, activation: Activation, at: float) -> ev.NodeFinished:
    items = {edge: list(range(times)) for edge, times in work.taken if times is not None}
    return ev.NodeFinished(
        at=at, id=activation.id, writes=work.writes, taken=work.taken, items=items, replaced=work.replaced
    )


class Player:
    """Runs a case in an order that chance chooses, and keeps the log."""

    def __init__(self, case: Case, seed: int):
        self.form: Case | Edited = case
        self.chance = random.Random(seed)
        self.run = RunState.of(case.plan)
        self.log: list[ev.Event] = []
        self.happen(ev.RunStarted(at=0.0, values=case.values))

    def happen(self, event: ev.Event) -> None:
        self.log.append(event)
        evolve(self.run, event)

    def step(self) -> bool:
        """Let one activation finish; whether there was one."""
        decide.begin(self.run, 1_000)
        running = [a for a in self.run.live.values() if a.status == "running"]
        if not running or self.run.halt is not None:
            return False
        chosen = self.chance.choice(running)
        work = self.form.work(chosen.vertex, chosen.stamp, chosen.discriminator)
        self.happen(finished(work, chosen, float(len(self.log))))
        return True

    def to_the_end(self) -> dict[str, Any] | None:
        """The final values, with a word for those in conflict; None where a join fails the run."""
        for _ in range(5_000):
            if not self.step():
                if self.run.result is None:
                    assert self.run.halt is not None
                    return None
                seen = seen_by(self.run.result.seen())
                return {name: "clash" if isinstance(value, Clash) else value for name, value in seen.items()}
        raise AssertionError("it does not end")

    def move(self, form: Edited, renames: Renames) -> list[str]:
        """Go on in another form; returns what stands against it, where something does."""
        done = [event.id for event in self.log if isinstance(event, ev.NodeFinished)]
        found = translate(self.run, form.plan, renames, done=done)
        if found.obstacles:
            return [obstacle.what for obstacle in found.obstacles]
        event = ev.RunMoved(
            at=float(len(self.log)),
            fingerprint="new",
            version="2",
            was="old",
            was_version="1",
            position=json.loads(json.dumps(found.position)),
        )
        rows = {seq: _renumbered(row, found.edges) for seq, row in enumerate(self.log)}
        self.run = moved(form.plan, event, rows)
        self.log.append(event)
        self.form = form
        assert self.run.seq == len(self.log)
        assert ends_well(self.run)
        return []


def _renumbered(event: ev.Event, edges: Mapping[int, int]) -> ev.Event:
    if not isinstance(event, ev.NodeFinished):
        return event
    return replace(event, items={edges[edge]: items for edge, items in event.items.items() if edge in edges})


def case_with_calls(seed: int) -> Case:
    """A random graph in which other graphs stand, and nothing that depends on time."""
    chance, draft = random.Random(f"{seed}/calls"), graphs.Draft()
    drawn = graphs._Wild if seed % 5 < 2 else graphs._Structured
    drawn(chance, draft, False).draw()
    graphs._put_in_a_graph(chance, draft, False)
    draft.close()
    graphs._choose_writers(chance, draft)
    graphs._choose_private_writers(chance, draft)
    name = f"calls {seed}"
    return Case(name, draft.plan(name), draft.splits, bound=chance.choice((1, 2, 2, 3)))


# -- edits ----------------------------------------------------------------------------------------------


def shifted(plan: Plan, vertex: int) -> int:
    """The number of a vertex behind a new one that is vertex 1."""
    return vertex + (vertex > 0)


def with_node_on(plan: Plan, edge: int) -> tuple[Plan, dict[int, int]]:
    """A node on an edge: every vertex and most edges have another number."""
    pairs: list[tuple[int, int]] = []
    edges: list[Edge] = []
    now: dict[int, int] = {}
    for index, old in enumerate(plan.edges):
        source, target = shifted(plan, old.source), shifted(plan, old.target)
        now[index] = len(edges)
        if index == edge:
            edges += [replace(old, source=source, target=1), Edge(source=1, target=target, kind="always")]
            pairs += [(source, 1), (1, target)]
        else:
            edges.append(replace(old, source=source, target=target))
            pairs.append((source, target))
    inside = plan.edges[edge].source
    scopes = [
        replace(
            scope,
            edge=now[scope.edge],
            members=frozenset(shifted(plan, v) for v in scope.members) | ({1} if inside in scope.members else set()),
            collector=shifted(plan, scope.collector),
        )
        for scope in plan.topology.scopes
    ]
    topology = Topology(
        len(plan.nodes) + 1,
        pairs,
        rules={shifted(plan, v): rule for v, rule in plan.topology.rules.items()},
        scopes=scopes,
    )
    fresh = PlanNode(
        index=1,
        name="added",
        kind="work",
        writes=WriteSpec(fields={}, sure=True, single=False),
        groups=(Group(kind="edges", edges=(now[edge] + 1,)),),
    )
    nodes = [
        replace(
            node,
            index=shifted(plan, node.index),
            groups=tuple(replace(group, edges=tuple(now[e] for e in group.edges)) for group in node.groups),
        )
        for node in plan.nodes
    ]
    calls = tuple(
        replace(
            call,
            enter=shifted(plan, call.enter),
            leave=shifted(plan, call.leave),
            members=frozenset(shifted(plan, v) for v in call.members) | ({1} if inside in call.members else set()),
        )
        for call in plan.calls
    )
    nodes.insert(1, fresh)
    return replace(plan, nodes=tuple(nodes), edges=tuple(edges), topology=topology, calls=calls), now


def with_names(plan: Plan, names: Mapping[str, str]) -> Plan:
    return replace(plan, nodes=tuple(replace(node, name=names.get(node.name, node.name)) for node in plan.nodes))


def far_edges(player: Player) -> list[int]:
    """Edges inside of one body over which a node can be put."""
    plan = player.run.plan
    held = {token.edge for wave in player.run.waves.values() for token in wave.tokens}
    return [
        index
        for index, edge in enumerate(plan.edges)
        if edge.kind == "always"
        and edge.source != 0
        and index not in held
        and not any((edge.source in s.members) != (edge.target in s.members) for s in plan.topology.scopes)
    ]


def dead_nodes(player: Player) -> list[str]:
    """Nodes at which nothing stands, and to which nothing comes in this turn.

    One to which something comes by another path is, under a new name, a node behind the one that was there.
    """
    run, topology = player.run, player.run.plan.topology
    live = {a.vertex for a in run.live.values()} | {wave.join for wave in run.waves.values()}
    live |= {run.plan.edges[token.edge].source for wave in run.waves.values() for token in wave.tokens}
    return [
        node.name
        for node in run.plan.nodes
        if node.kind == "work"
        and node.index not in live
        and not any(topology.masks[node.index][topology.innermost(v, node.index)] >> v & 1 for v in live)
    ]


def add_a_node(player: Player, case: Case, chance: random.Random) -> tuple[Edited, Renames] | None:
    edges = far_edges(player)
    if not edges:
        return None
    plan, now = with_node_on(case.plan, chance.choice(edges))
    return Edited(case, plan, {}, now), Renames()


def rename_what_is_dead(player: Player, case: Case, chance: random.Random) -> tuple[Edited, Renames] | None:
    names = dead_nodes(player)
    if not names:
        return None
    name = chance.choice(names)
    plan = with_names(case.plan, {name: "other"})
    return Edited(case, plan, {"other": name}, {e: e for e in range(len(plan.edges))}), Renames()


def rename_everything(player: Player, case: Case, chance: random.Random) -> tuple[Edited, Renames]:
    names = {node.name: f"x_{node.name}" for node in case.plan.nodes if node.kind == "work"}
    plan = with_names(case.plan, names)
    was = {now: name for name, now in names.items()}
    return Edited(case, plan, was, {e: e for e in range(len(plan.edges))}), Renames(nodes=names)


Edit = Callable[[Player, Case, random.Random], "tuple[Edited, Renames] | None"]


@pytest.mark.parametrize("make", [random_case, case_with_calls])
@pytest.mark.parametrize(
    ("edit", "at_least"), [(add_a_node, 0.8), (rename_what_is_dead, 0.4), (rename_everything, 1.0)]
)
def test_a_random_run_goes_on_in_another_form_and_comes_to_the_same(
    edit: Edit, at_least: float, make: Callable[[int], Case]
) -> None:
    tried = went = 0
    for seed in range(EDITS):
        case, chance = make(seed), random.Random(f"{seed}/edit")
        expected = Player(case, seed).to_the_end()
        player = Player(case, seed)
        for _ in range(chance.randrange(1, 25)):
            if len(player.run.live) + len(player.run.waves) == 0 or not player.step():
                break
        if player.run.result is not None or player.run.halt is not None or expected is None:
            continue
        edited = edit(player, case, chance)
        if edited is None:
            continue
        tried += 1
        if player.move(*edited):
            continue
        went += 1
        assert player.to_the_end() == expected, f"seed {seed}"
    assert tried > EDITS / 4
    assert went >= at_least * tried, (went, tried)
