"""Sending messages to a run: are they what its nodes take, and does it want them now."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Literal

from pydantic import ValidationError

from orchestra_graph.errors import BadInput, NotStorable, RunBusy, nearest
from orchestra_graph.graph.plan import Plan, Shape
from orchestra_graph.runtime.by_schema import UnusableSchema, wrong_by_schema
from orchestra_graph.runtime.mail import message_codec, same_message
from orchestra_graph.runtime.reading import Reading
from orchestra_graph.state.codec import first_line
from orchestra_graph.store.base import MessageRow

__all__ = ["Busy", "checked_body", "send"]

Busy = Literal["queue", "reject", "interrupt"]
"""What becomes of a message that comes while the run is at work: it waits; it is refused; the work is withdrawn."""

_TRIES = 3


def checked_body(plan: Plan | None, shape: Shape, channel: str, payload: Any, busy: Busy, *, parsed_json: bool) -> str:
    """What the store keeps of a message.

    Args:
        plan: The graph, where its code is at hand; else the message is only checked by its JSON schema.
        shape: The form of the graph.
        channel: Where it goes.
        payload: What is sent.
        busy: Becomes part of it where it interrupts.
        parsed_json: *payload* came from JSON.

    Raises:
        BadInput: It does not fit, or the graph does not take it.
    """
    _check_channel(shape, channel, busy)
    if plan is None:
        try:
            wrong = wrong_by_schema(shape["channels"][channel]["schema"], payload)
        except UnusableSchema as error:
            raise BadInput(f"what '{channel}' takes can be checked with the code of the graph only: {error}") from None
        if wrong is not None:
            raise BadInput(f"this is no message for '{channel}': {wrong}")
        text = json.dumps(payload)
    else:
        codec = message_codec(plan.channels[channel])
        try:
            text = codec.accept(codec.load(payload) if parsed_json else payload).json
        except ValidationError as error:
            raise BadInput(f"this is no message for '{channel}': {first_line(error)}") from None
        except NotStorable as error:
            raise BadInput(str(error)) from None
    said = ',"busy":"interrupt"' if busy == "interrupt" else ""
    return f'{{"payload":{text}{said}}}'


def _check_channel(shape: Shape, channel: str, busy: Busy) -> None:
    """See that the graph has a channel, and that it can be interrupted there where that is wanted."""
    known = shape.get("channels", {})
    if channel not in known:
        have = ", ".join(f"'{name}'" for name in known) or "none"
        hint = nearest(channel, list(known))
        raise BadInput(f"the graph takes no messages on '{channel}' (its channels: {have}).{hint}")
    begins = [shape["nodes"][cap["vertex"]]["channel"] for cap in shape.get("caps", ()) if cap["kind"] == "message"]
    if busy == "interrupt" and channel not in begins:
        raise BadInput(
            f"a message on '{channel}' cannot interrupt: no node that takes it says so. "
            f'Let the node say it:   receive("{channel}", ..., interrupts=True)'
        )


async def send(run: Reading[Any], message: MessageRow, busy: Busy) -> tuple[MessageRow, bool]:
    """Store a message; see `Store.send`.

    Raises:
        BadInput: Another message has its id.
        RunBusy: With ``busy="reject"``: nobody would take it at once.
    """
    found, new = await _send(run, message, busy)
    if not new and not same_message(found, message):
        raise BadInput(f"another message was sent to run '{run.key}' with the id '{message.id}'. Give this one another")
    return found, new


async def _send(run: Reading[Any], message: MessageRow, busy: Busy) -> tuple[MessageRow, bool]:
    store, channel = run._engine.store, message.channel
    if busy != "reject":
        return await store.send(message)
    for _ in range(_TRIES):  # the run may move between the look and the message: then look again
        state = await run._load()
        known = await store.inbox(message.run, taken=True)
        same = next((row for row in known if row.id == message.id), None)
        if same is not None:
            return same, False
        waiting = len(state.awaited.get(channel, ())) if state.status == "running" and state.halt is None else 0
        if not waiting or any(row.channel == channel and row.taken is None for row in known):
            break
        with suppress(RunBusy):
            return await store.send(message, alone=state.seq - 1)
    raise RunBusy(run.key, channel)
