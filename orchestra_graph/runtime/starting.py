"""What a run starts with: is it checked, and is it the same as before."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import ValidationError

from orchestra_graph.core import events as ev
from orchestra_graph.errors import BadInput, GraphChanged, NotStorable, RunKeyTaken
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.policies import Limits
from orchestra_graph.runtime.blobs import read_body
from orchestra_graph.runtime.code_version import codes_of
from orchestra_graph.runtime.wellformed import reading
from orchestra_graph.state.codec import first_line
from orchestra_graph.state.schema import State
from orchestra_graph.store.base import RunRow, Store

__all__ = ["accept_input", "check_name", "check_pinned", "check_same_start"]


def accept_input(plan: Plan, state: State, at: float, limits: Limits) -> tuple[ev.RunStarted, dict[str, str]]:
    """Check what a run starts with, field by field.

    Returns:
        The first event, and the JSON of the fields.

    Raises:
        BadInput: It does not fit.
    """
    if not isinstance(state, plan.schema.state):
        kind = plan.schema.state.__name__
        raise BadInput(
            f"graph '{plan.name}' starts with a {kind}, not {state!r:.80}:   engine.start(graph, {kind}(...))"
        )
    values, fragments = {}, {}
    for name, value in plan.schema.given(state).items():
        try:
            values[name], fragments[name] = plan.codec.fields[name].accept_given(value)
        except ValidationError as error:
            raise BadInput(f"field '{name}' does not fit: {first_line(error)}") from None
        except NotStorable as error:
            raise BadInput(str(error)) from None
    return ev.RunStarted(
        at=at, values=values, steps=limits.steps, seconds=limits.seconds, turns=limits.turns, code=codes_of(plan)
    ), fragments


def check_name(what: str, name: str) -> str:
    """Make sure that a name that a user gave can stand in every database.

    Raises:
        BadInput: It is empty, or has a NUL, or half of a character.
    """
    try:
        good = bool(name) and "\0" not in name and bool(name.encode())
    except UnicodeEncodeError:
        good = False
    if not good:
        raise BadInput(
            f"{what} {name!r:.80} is no text that every database holds: it is empty, or has a NUL or half a character"
        )
    return name


async def check_same_start(
    store: Store, row: RunRow, plan: Plan, state: State, fragments: Mapping[str, str], *, pinned: bool
) -> None:
    """Make sure that the run that has a key already is the one that was to be started.

    Raises:
        RunKeyTaken: It is one of another graph, or was started with something else.
    """
    if row.graph != plan.name:
        raise RunKeyTaken(row.key, f"it is a run of graph '{row.graph}', not '{plan.name}'")
    if row.pinned is not pinned:
        raise RunKeyTaken(row.key, "that run is pinned" if row.pinned else "that run is not pinned")
    if row.origin is not None:
        raise RunKeyTaken(row.key, f"it is a fork of run '{row.origin}'")
    with reading(store.url, "its first log row", row.key):
        (first,) = await store.log(row.number, upto=0)
    stored = (await read_body(store, first, row.key))["writes"]
    for name, spec in ((name, plan.schema.fields[name]) for name in plan.own):
        if spec.has_factory and name not in state.model_fields_set:
            continue  # a default that is made anew each time says nothing about what was meant
        if name not in stored and name not in state.model_fields_set:
            continue  # the form that the run began with had no such field
        known = [name in stored, name in fragments]
        same = all(known) and plan.codec.fields[name].same(stored[name], json.loads(fragments[name]))
        if any(known) and not same:
            raise RunKeyTaken(row.key, f"that run was started with another value of '{name}'")


def check_pinned(plan: Plan, row: RunRow) -> None:
    """Make sure that a run which belongs to one version of its graph is driven by that one.

    Raises:
        GraphChanged: The code has another version.
    """
    if row.pinned and row.version != plan.version:
        found = f"the run is pinned to version '{row.version}', and the code has version '{plan.version}'"
        raise GraphChanged(row.key, [found])
