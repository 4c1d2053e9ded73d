"""A snapshot out of a database, looked at before a run is made of it.

Rule 1. What counts is a number and not below zero, for an index from behind would name something, too.
Rule 2. A few characters that stand for many rows stand for no more than the log can have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestra_graph.core.record import RunStatus

__all__ = ["MOST", "check_frozen"]

MOST = 20_000_000
"""How many rows all the grown fields of a snapshot may name together."""

_Count = Annotated[int, Field(ge=0, lt=2**53)]
_Moment = Annotated[float, Field(allow_inf_nan=False, ge=-1e12, le=1e12)]
_Halt = tuple[Literal["failed", "stopped"], str, str, float, list[tuple[str, str, str]], bool]


class _Frozen(BaseModel):
    """What every snapshot of today has; what else there is, `core.snapshot` knows."""

    model_config = ConfigDict(strict=True, extra="ignore", defer_build=True)  # built when first used
    status: RunStatus
    seq: _Count
    steps: _Count
    steps_before: _Count
    active: Annotated[float, Field(allow_inf_nan=False, ge=0)]
    last_at: _Moment
    started_at: _Moment | None
    steps_allowed: _Count | None
    seconds_allowed: float | None
    turns_allowed: _Count | None
    keeps: bool
    refused: list[str]
    halt: _Halt | None
    turns: list[tuple[_Count, list[Any], _Count]]
    count: _Count
    base_index: _Count | None
    base: dict[str, dict[str, Any]]
    revisions: list[tuple[_Count, list[_Count], _Count | None, list[Any] | None]]
    live: list[list[Any]]
    waves: list[list[Any]]
    tallies: list[tuple[_Count, list[Any], Annotated[float, Field(allow_inf_nan=False)] | None, _Count, bool]]
    lost: list[_Count]
    result: _Count | None
    fans: list[dict[str, Any]]


def check_frozen(body: str, seq: int) -> None:
    """See that a snapshot is one.

    Args:
        body: What `freeze` gave.
        seq: The last log row that is part of it.

    Raises:
        ValueError: It is none: says what was found, and where.
    """
    frozen = _Frozen.model_validate_json(body)
    if frozen.seq != seq + 1:
        raise ValueError(f"it is of {frozen.seq} rows, and stands at row {seq}")
    final = frozen.status in ("done", "cancelled") or frozen.result is not None or (frozen.halt and frozen.halt[5])
    if not (frozen.live or frozen.waves or final):
        raise ValueError("nothing in it is live, and it has not ended")
    left = MOST
    for packed in _packed(frozen):
        left -= _rows_in(packed, seq)
        if left < 0:
            raise ValueError(f"its fields name more than {MOST:,} rows")
    for item in frozen.live:
        _check_activation(item)
    for wave in frozen.waves:
        _check_wave(wave)
    for fan in frozen.fans:
        _check_counts("an each", [fan["edge"], fan["seq"], fan["limit"] or 0])


def _packed(frozen: _Frozen) -> Iterator[Any]:
    for cells in (frozen.base, *(fan["cells"] for fan in frozen.fans)):
        for cell in cells.values():
            _check_cell(cell)
            if "rows" in cell:
                yield cell["rows"]
    for activation in (*frozen.live, *(one for wave in frozen.waves for one in wave[5])):
        yield from activation[7:8]


def _check_cell(cell: Mapping[str, Any]) -> None:
    if "row" in cell:
        seq, writer = cell["row"]
        _check_counts("a value", [seq] if writer == -seq else [seq, writer])  # -seq: by the update of a fork
    elif "conflict" in cell and not all(isinstance(text, str) for text in (cell["why"], *cell["conflict"])):
        raise ValueError("a conflict is between texts")


def _rows_in(packed: Any, last: int) -> int:
    """How many rows a packed list names: steps between rows, and how often each is made.

    They stand in the logical order of what wrote them, so a step may lead back.
    """
    _check_counts("rows", packed[1::2])
    _check_counts("rows", [abs(step) if type(step) is int else step for step in packed[::2]])
    before, rows = 0, 0
    for step, times in zip(packed[::2], packed[1::2], strict=True):
        if rows and not step and times:
            raise ValueError("a row is named twice")
        if times > last + 1 or (rows := rows + times) > last + 1:
            raise ValueError(f"more rows are named than there are ({last + 1})")
        before += step * times
        if not 0 <= before <= last:
            raise ValueError(f"row {before} is named, and the rows are 0 to {last}")
    return rows


def _check_activation(item: Sequence[Any]) -> None:
    vertex, stamp, discriminator, revision, fans, errors, *_ = item
    _check_counts("a live node", [vertex, revision, *(number for fan in fans for number in fan)])
    _check_lists(stamp, discriminator)
    for error in errors:
        _check_error(error)
    _check_more(item[6])


def _check_more(more: Sequence[Any]) -> None:
    """What `core.snapshot` keeps of an activation, one after another."""
    status, attempt, since, started, asked, question, to, expires_at, retry_at, doubt = more[:10]
    _check_counts("attempts", [attempt, asked])
    fits = (
        status in ("queued", "ready", "running", "retrying", "asking", "receiving", "failed")
        and all(type(at) in (int, float) and abs(at) < 1e12 for at in (since, expires_at or 0, retry_at or 0))
        and all(isinstance(flag, bool) for flag in (started, doubt))
        and all(text is None or isinstance(text, str) for text in (question, to))
        and (status != "retrying" or retry_at is not None)
    )
    if not fits:
        raise ValueError(f"a live node stands as {more!r:.120}")


def _check_wave(wave: Sequence[Any]) -> None:
    join, stamp, fired, asked, tokens, excused, fans = wave[:7]
    _check_counts("a join", [join, asked, *(number for fan in fans for number in fan)])
    _check_lists(stamp)
    if not isinstance(fired, bool):
        raise ValueError(f"a join has fired, or not: {fired!r:.40}")
    for edge, discriminator, revision, around, cause in tokens:
        _check_counts("what came to a join", [edge, revision, *(number for fan in around for number in fan)])
        _check_lists(discriminator)
        _check_error(cause)
    for activation in excused:
        _check_activation(activation)


def _check_counts(what: str, numbers: Sequence[Any]) -> None:
    for number in numbers:
        if type(number) is not int or not 0 <= number < 2**53:
            raise ValueError(f"{what}: {number!r:.40} is no count")


def _check_lists(*lists: Any) -> None:
    """Numbers, and lists of such: the coordinates of something in a run."""
    todo = list(lists)
    while todo:
        found = todo.pop()
        if not isinstance(found, list):
            raise ValueError(f"{found!r:.40} is no place in a run")
        todo += [inner for inner in found if type(inner) is not int]


def _check_error(error: Any) -> None:
    if error is not None and not (len(error) == 2 and all(isinstance(part, str) for part in error)):
        raise ValueError(f"{error!r:.80} is no error")
