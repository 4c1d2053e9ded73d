"""How an activation stands, and why a run goes no farther."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from orchestra_graph.core import events as ev
from orchestra_graph.core.run import Activation, Halt, RunState, Status

__all__ = ["fail", "halt", "set_status"]

_COUNTED = ("running", "retrying", "asking", "receiving", "failed")


def set_status(run: RunState, activation: Activation, status: Status | Literal["gone"]) -> None:
    """Change the status of an activation, and what is counted by it."""
    before = activation.status
    if before == "ready":
        run.ready.pop(activation.id, None)
    if status == "ready":
        run.ready[activation.id] = None
    if "receiving" in (before, status):
        awaited = run.awaited.setdefault(run.plan.nodes[activation.vertex].channel, {})
        awaited.pop(activation.id, None)
        if status == "receiving":
            awaited[activation.id] = None
    if before in _COUNTED:
        setattr(run, before, getattr(run, before) - 1)
    if status in _COUNTED:
        setattr(run, status, getattr(run, status) + 1)
    if status != "gone":
        activation.status = status


def halt(run: RunState, why: Halt) -> None:
    """Let nothing new start. A failure beats a limit, and the first reason stands."""
    if run.halt is None:
        run.halt = why
    elif why.status == "failed":
        run.halt = replace(
            run.halt if run.halt.status == "failed" else why,
            errors=(*run.halt.errors, *why.errors),
            final=run.halt.final or why.final,
        )


def fail(run: RunState, activation: Activation, error: ev.ErrorInfo, *, final: bool = False) -> None:
    """An activation failed for good."""
    activation.error = error
    set_status(run, activation, "failed")
    halt(run, Halt("failed", f"{activation.id}: {error}", errors=((activation.id, error),), final=final))
