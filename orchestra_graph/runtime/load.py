"""The state of a stored run: its snapshot, and the fold of what came after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestra_graph.core.frozen import check_frozen
from orchestra_graph.core.run import RunState
from orchestra_graph.core.snapshot import is_known, needed_by, thaw
from orchestra_graph.errors import StoreBroken
from orchestra_graph.graph.plan import Plan, Shape, form_of
from orchestra_graph.runtime.blobs import read_events
from orchestra_graph.runtime.forms import FormName, as_seen, moves_in, parts_of, plan_of
from orchestra_graph.runtime.wellformed import check_rest, reading
from orchestra_graph.store.base import RunRow, Store

__all__ = ["Behind", "Loaded", "changes_between", "load_run"]


@dataclass(slots=True)
class Behind:
    """How far the last snapshot is behind the log: what a replay has to read.

    Attributes:
        rows: Log rows since then.
        bytes: Characters in them.
        size: Of the snapshot.
    """

    rows: int = 0
    bytes: int = 0
    size: int = 0


@dataclass(slots=True)
class Loaded:
    """The state of a run, and how much had to be replayed to make it."""

    run: RunState
    behind: Behind


async def load_run(store: Store, plan: Plan, row: RunRow, known: Loaded | None = None) -> Loaded:
    """Make the state of a run from the log, in the form that it has there.

    Args:
        store: Where it is kept.
        plan: Its graph. Where the run has another form, its state is of that form (`runtime.forms`).
        row: The run.
        known: Its state as it was loaded before: only what came since is read, and folded into it.

    Raises:
        StoreBroken: A row cannot be read, or a large value that it names.
    """
    loaded = known or await _load_snapshot(store, plan, row)
    behind = Behind() if loaded is None else loaded.behind
    before = None if loaded is None else loaded.run
    since = await store.log(row.number, after=-1 if before is None else before.seq - 1)
    parts = await parts_of(store, row, since, plan, before)
    for part in parts:
        part.fold(store.url, row.key)
    run = parts[-1].run
    if not run.seq:
        raise StoreBroken(store.url, f"the log of run '{row.key}' is empty")
    check_rest(run, store.url, row.key)
    run.closed.clear()  # that was done when it was written
    run.led_on.clear()
    behind.rows += len(since)
    behind.bytes += sum(len(logged.body) for logged in since)
    if loaded is None:
        return Loaded(run, behind)
    loaded.run = run
    return loaded


async def _load_snapshot(store: Store, plan: Plan, row: RunRow) -> Loaded | None:
    """The state as of the snapshot; None where there is none that can be read."""
    snapshot = await store.snapshot(row.number)
    if snapshot is None:
        return None
    with reading(store.url, "its snapshot", row.key, snapshot.body):
        if not is_known(snapshot.body):
            return None
        check_frozen(snapshot.body, snapshot.seq)
        frozen = json.loads(snapshot.body)
        seqs, moves = needed_by(frozen), moves_in(frozen)
        form = FormName(str(frozen.get("fingerprint") or row.fingerprint), str(frozen.get("version") or row.version))
    now = await plan_of(store, row, form, plan)
    rows = as_seen(await store.rows(row.number, seqs), moves, store.url, row.key)
    events = await read_events(store, rows, now, row.key)
    with reading(store.url, "its snapshot", row.key):
        run = thaw(now, frozen, {row.seq: event for row, event in zip(rows, events, strict=True)})
    return Loaded(run, Behind(size=len(snapshot.body)))


def changes_between(before: Shape, now: Shape) -> list[str]:
    """What differs between two forms of a graph, one line each."""
    before, now = form_of(before), form_of(now)
    lines = _named("node", _by_name(before.get("nodes", [])), _by_name(now["nodes"]))
    lines += _named("field", before.get("fields", {}), now["fields"])
    old, new = _edges(before), _edges(now)
    lines += [f"the edge {edge} is gone" for edge in sorted(old - new)]
    lines += [f"the edge {edge} is new" for edge in sorted(new - old)]
    for part, name in _PARTS.items():
        if before.get(part) != now.get(part):
            lines.append(f"{name} are not the same")
    return lines


_PARTS = {"rules": "the join rules", "races": "the races", "caps": "the limits", "calls": "the inner graphs"}
"""What is only compared as a whole."""


def _by_name(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    return {node["name"]: {k: v for k, v in node.items() if k != "name"} for node in nodes}


def _named(kind: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    lines = [f"{kind} '{name}' is gone" for name in before if name not in now]
    lines += [f"{kind} '{name}' is new" for name in now if name not in before]
    for name in before:
        if name in now and before[name] != now[name]:
            changed = [k for k in now[name] if before[name].get(k) != now[name][k]]
            lines += [f"{kind} '{name}': {k} was {before[name].get(k)!r}, is {now[name][k]!r}" for k in changed]
    return lines


def _edges(shape: Shape) -> set[str]:
    nodes = [node["name"] for node in shape.get("nodes", [])]
    return {
        f"{nodes[e['from']]} -> {nodes[e['to']]}" + (f" ({e['label']})" if e["label"] else "")
        for e in shape.get("edges", [])
    }
