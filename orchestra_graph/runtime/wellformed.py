"""The door between the rows of a database and the rest: whatever stands in a row, it is data.

Rule 1. What a row says is looked at before it is used: an event has the types that its class declares, and it happens
where it can happen. No row imports or evaluates anything, and none of them is a reason for another error than
`StoreBroken`, which names the run, the row, and what was found.
Rule 2. Rows are folded with `fold`, and whatever else is made of what was read is made inside of `reading`. Nobody
else catches what a bad row may lead to.
Rule 3. Nothing takes more time or room than its text is long, but for what is bounded here (`MOST`).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

from orchestra_graph.core import events as ev
from orchestra_graph.core.decide import verdict
from orchestra_graph.core.evolve import evolve
from orchestra_graph.core.run import Activation, RunState
from orchestra_graph.errors import OrchestraError, StoreBroken, StoreError, StoreSealed
from orchestra_graph.store.base import LogRow
from orchestra_graph.store.sealed import key_of

__all__ = [
    "MOST",
    "Misfit",
    "check_event",
    "check_place",
    "check_rest",
    "fold",
    "object_in",
    "reading",
    "reading_row",
    "unreadable",
]

MOST = 1_000_000
"""How many elements of an `each` one row may start: it says so with a number, which may be any."""

_LARGEST = 2**63
_EARLIEST, _LATEST = -62_135_596_800.0, 253_402_300_800.0  # the years 1 to 9999
_LONG = 300


class Misfit(ValueError):
    """What a row says cannot be: what was found, and what is expected."""


def unreadable(row: LogRow, url: str, error: Exception, run: str = "") -> StoreError:
    """What is raised for a row that is none that this library wrote, or that is encrypted."""
    return _broken(url, f"log row {_short(row.seq)} ({_short(row.kind)})", error, run, row.body)


def _broken(url: str, what: str, error: Exception, run: str, text: object = "") -> StoreError:
    where = f"run '{_short(run)}', {_short(what, _LONG)}" if run else _short(what, _LONG)
    sealed = key_of(text) if isinstance(text, str) else None
    if sealed is not None:
        return StoreSealed(url, where, sealed)
    if isinstance(error, Misfit) and str(error).startswith(("is ", "was ")):
        return StoreBroken(url, f"{where} {_short(error, _LONG)}")
    said = str(error) if isinstance(error, OrchestraError | Misfit) else f"{type(error).__name__}: {error}"
    return StoreBroken(url, f"{where} cannot be read: {_short(said, _LONG)}")


def _short(value: object, most: int = 40) -> str:
    """A text of a row for a message: without what a terminal would obey, and not longer than *most*."""
    shown = "".join(c if c.isprintable() else "\ufffd" for c in str(value)[: most + 1])
    return shown if len(shown) <= most else f"{shown[:most]}…"


@contextmanager
def reading(url: str, what: str, run: str = "", text: object = "") -> Iterator[None]:
    """Whatever goes wrong inside is wrong with what was read.

    Args:
        url: The database.
        what: What is read, for the message.
        run: The key of the run.
        text: What was read, where it may be encrypted.

    Raises:
        StoreBroken: Instead of any other error.
        StoreSealed: It is encrypted.
    """
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise _broken(url, what, error, run, text) from error


class reading_row:  # called as `reading` is
    """`reading` of a log row. A class, for it is entered twice for each row of a log: a generator costs three times."""

    __slots__ = ("_row", "_run", "_url")

    def __init__(self, row: LogRow, url: str, run: str = ""):
        self._row, self._url, self._run = row, url, run

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, StoreError):
            raise unreadable(self._row, self._url, error, self._run) from error


def object_in(parsed: Any, what: str) -> dict[str, Any]:
    """What a JSON parser made, which must be an object.

    Raises:
        Misfit: It is something else.
    """
    if not isinstance(parsed, dict):
        raise Misfit(f"{what} is {_short(repr(parsed))}; a JSON object is expected")
    return parsed


# -- folding -------------------------------------------------------------------------------------------


def fold(run: RunState, row: LogRow, event: ev.Event, url: str, key: str = "") -> Sequence[Activation]:
    """Fold an event that was read into the state of its run; see `evolve`.

    Args:
        run: The state.
        row: Where the event was read.
        event: The event.
        url: For messages.
        key: The run, for messages.

    Raises:
        StoreBroken: It cannot have happened there.
    """
    with reading_row(row, url, key):
        check_place(run, row, event)
        return evolve(run, event)


def check_rest(run: RunState, url: str, key: str) -> None:
    """See that a run that was read is done, or something of it is live.

    Raises:
        StoreBroken: It is neither.
    """
    with reading(url, "what its log comes to", key):
        if run.seq:
            verdict(run)


def check_place(run: RunState, row: LogRow, event: ev.Event) -> None:
    """See that an event can happen in the state that a run is in.

    Raises:
        Misfit: It cannot.
    """
    if row.seq != run.seq:
        raise Misfit(f"row {run.seq} is expected here")
    if isinstance(event, ev.RunStarted) != (run.seq == 0):
        raise Misfit("a run begins with RunStarted, once")
    if isinstance(event, ev.NodeFinished):
        _check_finished(run, event)
    elif isinstance(event, ev.NodeFailed):
        _check_edges(run, event.taken)


def _check_finished(run: RunState, event: ev.NodeFinished) -> None:
    activation = run.live.get(event.id)
    _check_edges(run, event.taken)
    if activation is None:
        return
    for edge, times in event.taken:
        drawn = run.plan.edges[edge]
        if drawn.source != activation.vertex:
            raise Misfit(f"edge {edge} does not leave from {run.name(activation.vertex)}")
        if (times is not None) != (drawn.kind == "each"):
            raise Misfit(f"edge {edge} is no way to go {'once' if times is None else 'for each of many'}")


def _check_edges(run: RunState, taken: Sequence[ev.Taken]) -> None:
    for edge, _ in taken:
        if edge >= len(run.plan.edges):
            raise Misfit(f"there is no edge {edge}")


# -- the types of an event -----------------------------------------------------------------------------


_Fits = Callable[[Any], bool]


def check_event(event: ev.Event) -> None:
    """See that what was read has the types that its class declares.

    Raises:
        Misfit: Something of it has not.
    """
    for name, usual, plain, fits, expected in _CHECKS[type(event)]:
        value = getattr(event, name)
        if value is not usual and type(value) not in plain and not fits(value):
            raise Misfit(f"{name} is {_short(repr(value))}; expected {_short(expected)}")


def _checks(kind: Any) -> Sequence[tuple[str, object, frozenset[type], _Fits, str]]:
    """For each field: its name, its default, types of which every value fits, whether a value fits, what is expected.

    The default and the types are there to save calls: this is done for each row that is read.
    """
    hints = typing.get_type_hints(kind)
    return [
        (
            field.name,
            field.default,
            _plain(hint),
            _moment if field.name in ("at", "retry_at") and hint is float else _fits(hint),
            _said(field.type, hint),
        )
        for field in fields(kind)
        if (hint := hints[field.name]) is not Any
    ]


def _plain(hint: Any) -> frozenset[type]:
    args = get_args(hint) if get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return frozenset(arg for arg in args if arg in (str, bool, types.NoneType))


def _said(written: object, hint: Any) -> str:
    return str(written) if isinstance(written, str) else getattr(hint, "__name__", str(hint))


def _fits(hint: Any) -> _Fits:
    """Whether a value is of a type; a type that is not known here fits always."""
    if hint in _OF_TYPE:
        return _OF_TYPE[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin in (typing.Union, types.UnionType):
        each = tuple(_fits(arg) for arg in args)
        return lambda value: any(fits(value) for fits in each)
    if origin is Literal:
        return lambda value: isinstance(value, str | int | type(None)) and value in args
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return _sequence(tuple, _fits(args[0]))
    if origin in (list, Sequence):
        return _sequence((list, tuple), _fits(args[0]))
    if origin in (dict, Mapping):
        return _mapping(_fits(args[0]), _fits(args[1]))
    return _anything


def _sequence(kinds: Any, of_item: _Fits) -> _Fits:
    if of_item is _anything:
        return lambda value: isinstance(value, kinds)
    return lambda value: isinstance(value, kinds) and all(map(of_item, value))


def _mapping(of_key: _Fits, of_value: _Fits) -> _Fits:
    if of_value is _anything:
        return lambda value: isinstance(value, dict) and all(map(of_key, value))
    return lambda value: isinstance(value, dict) and all(map(of_key, value)) and all(map(of_value, value.values()))


def _anything(value: object) -> bool:
    return True


def _whole(value: object) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


def _number(value: Any) -> bool:
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST  # false for nan, too


def _moment(value: Any) -> bool:
    return type(value) in (int, float) and _EARLIEST <= value < _LATEST


def _taken(value: Any) -> bool:
    return _whole(value.edge) and (value.times is None or (_whole(value.times) and value.times <= MOST))


def _error(value: Any) -> bool:
    return isinstance(value, ev.ErrorInfo) and isinstance(value.type, str) and isinstance(value.message, str)


_OF_TYPE: Mapping[Any, _Fits] = {
    int: _whole,
    float: _number,
    str: lambda value: isinstance(value, str),
    bool: lambda value: isinstance(value, bool),
    type(None): lambda value: value is None,
    ev.Taken: _taken,
    ev.ErrorInfo: _error,
    Any: _anything,
}

# Made now: annotations are read by evaluating them, which nothing does while a row is read.
_CHECKS: Mapping[Any, Sequence[tuple[str, object, frozenset[type], _Fits, str]]] = {
    kind: _checks(kind) for kind in get_args(ev.Event)
}
