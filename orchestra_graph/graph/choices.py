"""What a condition, a switch, the items of an `each`, a predicate or an input may be: checked before it is used."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from orchestra_graph.errors import Problem, nearest
from orchestra_graph.graph.edges import label_of
from orchestra_graph.graph.signature import choice_reads
from orchestra_graph.state.schema import Schema

__all__ = ["wrong_with"]


def wrong_with(choice: Any, schema: Schema, of: str, where: str) -> Problem | None:
    """What is wrong with a choice, or None.

    Args:
        choice: Should be a field, a dotted path or a function of fields.
        schema: The fields.
        of: Whose it is, for the message: ``after 'classify'``.
        where: The line that gave it.
    """
    if not isinstance(choice, str) and not callable(choice):
        return _bad(f"{choice!r} is neither a field, a dotted path nor a function of fields", where)
    try:
        reads = choice_reads(choice)
    except (TypeError, ValueError) as error:
        return _bad(f"the parameters of {choice!r} cannot be read: {error}", where)
    said = f"the path '{choice}'" if isinstance(choice, str) else f"the function {label_of(choice)}"
    if not isinstance(choice, str) and _is_async(choice):
        what = f"{said} {of} is async: it is called for a value, and nobody awaits it"
        return _bad(what, where, f"def {label_of(choice)}(...): ...   and a node before it for what must be awaited")
    for name in reads:
        if name not in schema.fields:
            state, hint = schema.state.__name__, nearest(name, list(schema.fields))
            what = f"{said} {of} reads '{name}', which is no field of {state}.{hint}"
            mend = f"{state} has: {', '.join(schema.fields)}"
            return Problem(code="unknown-parameter", what=what, mend=mend, where=where)
    return None


def _bad(what: str, where: str, mend: str = "") -> Problem:
    return Problem(code="bad-choice", what=what, mend=mend, where=where)


def _is_async(choice: Callable[..., Any]) -> bool:
    while hasattr(choice, "func"):  # a partial
        choice = choice.func
    return inspect.iscoroutinefunction(choice) or inspect.iscoroutinefunction(getattr(choice, "__call__", None))  # noqa: B004
