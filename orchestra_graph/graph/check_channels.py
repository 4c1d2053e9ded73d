"""Checks of what is sent to a run from outside."""

from __future__ import annotations

from collections.abc import Iterator

from orchestra_graph.errors import Problem
from orchestra_graph.graph.fits import fits
from orchestra_graph.graph.plan import PlanNode
from orchestra_graph.graph.signature import type_name
from orchestra_graph.graph.subject import Subject
from orchestra_graph.state.storable import secret_type_in, unstorable

__all__ = ["answers_hold_no_secret", "messages_can_be_read"]


def answers_hold_no_secret(subject: Subject) -> Iterator[Problem]:
    """What a person answers is stored, also where the field that it goes to takes anything."""
    for node in subject.plan.nodes:
        if node.kind != "ask" or node.index in subject.doubtful:
            continue
        why = secret_type_in(node.answer)
        fields = [subject.plan.schema.fields[name] for name in node.writes.fields]
        if why is not None and not any(secret_type_in(field.annotation) for field in fields):  # that is said there
            yield Problem(
                code="unstorable",
                what=f"'{node.name}' asks for what cannot be stored: {why}",
                mend="Ask for the name of the secret, and look it up in a resource",
                where=node.where,
            )


def messages_can_be_read(subject: Subject) -> Iterator[Problem]:
    """A message survives the way to JSON and back, and all that take the messages of one channel mean the same type."""
    first: dict[str, PlanNode] = {}
    for node in subject.plan.nodes:
        if node.kind != "receive" or node.index in subject.doubtful:
            continue
        before = first.setdefault(node.channel, node)
        if before is node:
            why = unstorable(node.answer)
            if why is not None:
                yield Problem(
                    code="unstorable-message",
                    what=f"'{node.name}' takes messages that cannot be stored: {why}",
                    mend=f'receive("{node.channel}", str, ...)   or a pydantic model',
                    where=node.where,
                )
        elif False in (fits(node.answer, before.answer), fits(before.answer, node.answer)):
            one, other = type_name(before.answer), type_name(node.answer)
            yield Problem(
                code="channel-types",
                what=f"channel '{node.channel}': '{before.name}' takes a {one} from it, and '{node.name}' a {other}",
                mend=f"One type for both, such as   {one} | {other}\nOr another channel:   "
                f'receive("{node.channel}_2", {other}, ...)',
                where=node.where,
            )
