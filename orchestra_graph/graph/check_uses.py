"""Checks of what becomes of writes, and of where reads get their value from: warnings, for both can be meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestra_graph.errors import Problem
from orchestra_graph.graph.plan import Plan, PlanNode
from orchestra_graph.graph.reads import Read, conditions_of
from orchestra_graph.graph.signature import type_name
from orchestra_graph.graph.subject import Subject, short
from orchestra_graph.state.schema import FieldSpec

__all__ = ["reads_can_see_writes", "writes_are_seen"]


def _plain(subject: Subject) -> list[str]:
    """The fields that hold what was written last."""
    return [n for n, spec in subject.schema.fields.items() if spec.reducer is None or spec.reducer.name == "last"]


# -- writes ----------------------------------------------------------------------------------------------


def writes_are_seen(subject: Subject) -> Iterator[Problem]:
    """A write that is overwritten on every way, before anything reads it, does nothing. The end reads every field."""
    names = _plain(subject)
    seen = _seen(subject, names)
    for node in subject.plan.nodes:
        if node.index in subject.doubtful or node.kind not in ("work", "ask"):
            continue
        for bit, name in enumerate(names):
            if name in node.writes.fields and not seen[node.index] >> bit & 1:
                yield _unseen(subject, node, name)


def _unseen(subject: Subject, node: PlanNode, name: str) -> Problem:
    after = [n.name for n in _overwriting(subject.plan, node, name)]
    who = " and ".join(f"'{n}'" for n in after)
    field, kind = short(name), type_name(subject.schema.fields[name].annotation)
    return Problem(
        code="unseen-write",
        what=f"nothing ever reads what '{node.name}' writes to {field}: on every way {who} "
        f"{'overwrites' if len(after) == 1 else 'overwrite'} it first",
        mend=f"Let {who} read it:   {field}: {kind}\nOr take {field} out of what '{node.name}' writes",
        where=node.where,
        severity="warning",
    )


def _overwriting(plan: Plan, node: PlanNode, name: str) -> list[PlanNode]:
    """The nodes that write a field next, on the ways from a node."""
    found, todo, known = list[PlanNode](), [node.index], set[int]()
    while todo:
        for vertex in plan.topology.targets(todo.pop()):
            if vertex in known:
                continue
            known.add(vertex)
            if name in plan.nodes[vertex].writes.certain:
                found.append(plan.nodes[vertex])
            else:
                todo.append(vertex)
    return sorted(found, key=lambda n: n.index)


def _seen(subject: Subject, names: Sequence[str]) -> list[int]:
    """By vertex, the fields (as bits) whose value, as it is when the vertex is done, something may still read."""
    plan, topology = subject.plan, subject.plan.topology
    bit = {name: 1 << i for i, name in enumerate(names)}
    needs, asks = [0] * topology.size, [0] * topology.size
    for node in plan.nodes:
        needs[node.index] |= sum(bit.get(name, 0) for name in node.reads)
    for read in (*subject.reads, *conditions_of(plan)):
        (asks if read.after else needs)[read.vertex] |= bit.get(read.path[0], 0)
    everything = (1 << len(names)) - 1
    needs[topology.end] = everything
    for call in plan.calls:  # what becomes of a graph's own fields is nobody's business behind it
        needs[call.leave] |= sum(bit.get(name, 0) for name in call.private)
    keeps = [everything & ~sum(bit.get(name, 0) for name in n.writes.certain) for n in plan.nodes]
    before, after = list(needs), list(asks)
    changed = True
    while changed:
        changed = False
        for vertex in reversed(topology.order):
            done, undone = after[vertex], 0
            for edge in topology.out[vertex]:
                if edge in subject.waves.aside:
                    undone |= before[topology.edges[edge][1]]
                elif edge not in subject.waves.never:
                    done |= before[topology.edges[edge][1]]
            for limit in subject.waves.losses.limits:
                if vertex in limit.members:
                    undone |= before[topology.edges[limit.edge][1]]
            now = before[vertex] | (done & keeps[vertex]) | undone
            if (now, done) != (before[vertex], after[vertex]):
                before[vertex], after[vertex], changed = now, done, True
    return after


# -- reads -----------------------------------------------------------------------------------------------


def reads_can_see_writes(subject: Subject) -> Iterator[Problem]:
    """A field with a default, which is only written behind or beside where it is read, always has its default there.

    That is what the author wants where the field is given at the start, and is written anew later on. It shows where
    what writes it reads it, too; and a field with a reducer is one of that kind.
    """
    names, said = set(_plain(subject)), set[tuple[int, str]]()
    for read in (*subject.reads, *conditions_of(subject.plan)):
        spec = subject.schema.fields[read.path[0]]
        if spec.name not in names or spec.required or spec.later or (read.vertex, spec.name) in said:
            continue
        said.add((read.vertex, spec.name))
        node = subject.plan.nodes[read.vertex]
        if any(spec.name in param.view.values() or param.kind == "state" for param in node.params):
            continue  # a view lists what several nodes need
        writers = [n for n in subject.plan.nodes if spec.name in n.writes.fields]
        if not writers or any(spec.name in n.reads for n in writers):
            continue
        if not any(_comes_before(subject, n.index, read) for n in writers):
            yield _never_written(subject, read, spec, writers)


def _comes_before(subject: Subject, writer: int, read: Read) -> bool:
    """Whether what a vertex writes can be in the past of a read."""
    if read.after and writer == read.vertex:
        return True
    topology, waves = subject.plan.topology, subject.waves
    todo = [topology.edges[e][1] for e in topology.out[writer] if e not in waves.aside]
    todo += [topology.edges[limit.edge][1] for limit in waves.losses.limits if writer in limit.members]
    known = set(todo)
    while todo:
        vertex = todo.pop()
        if vertex == read.vertex:
            return True
        ahead = set(topology.targets(vertex)) - known
        known |= ahead
        todo += ahead
    return False


def _never_written(subject: Subject, read: Read, spec: FieldSpec, writers: Sequence[PlanNode]) -> Problem:
    name, who = short(spec.name), " and ".join(f"'{n.name}'" for n in writers)
    it = "writes" if len(writers) == 1 else "write"
    return Problem(
        code="unwritten-read",
        what=f"{read.who} reads {name}, which always has its default there: {who} {it} it, but never before",
        mend=f"Let it follow:   {subject.edge_code(writers[0].index, subject.code(read.vertex))}\n"
        f"Or, if it is given at the start, say so:   {name}: {type_name(spec.annotation)}",
        where=read.where,
        severity="warning",
    )
