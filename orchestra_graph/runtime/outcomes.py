"""How a run stands when it rests. Printed, an outcome says what to type next."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Generic, TypeAlias, TypeVar

from orchestra_graph.clock import as_text
from orchestra_graph.core.events import ErrorInfo
from orchestra_graph.runtime.wellformed import object_in, reading
from orchestra_graph.state.codec import parse
from orchestra_graph.state.schema import State
from orchestra_graph.store.base import QuestionRow

__all__ = [
    "Cancelled",
    "Dead",
    "Done",
    "Failed",
    "OpenQuestion",
    "Outcome",
    "Stopped",
    "Waiting",
    "command_line",
    "example_answer",
]

S = TypeVar("S", bound=State, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """A question that waits for its answer.

    Attributes:
        run: The key of the run.
        id: The question; give it to `Run.answer`.
        prompt: The question.
        to: Whom it is for, or None for anybody.
        details: What the person should know.
        schema: The JSON schema of an answer.
        asked_at: Seconds since the epoch.
        expires_at: After this no answer is taken; None: never.
    """

    run: str
    id: str
    prompt: str
    to: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    schema: dict[str, Any] = field(default_factory=dict)
    asked_at: float = 0.0
    expires_at: float | None = None

    @staticmethod
    def of(row: QuestionRow, url: str = "the database") -> OpenQuestion:
        """Read a stored question; *url* is for messages.

        Raises:
            StoreBroken: It is none that this library wrote.
            StoreSealed: It is encrypted.
        """
        with reading(url, f"question '{row.id}'", row.key, row.details):
            return OpenQuestion(
                run=row.key,
                id=row.id,
                prompt=row.prompt,
                to=row.to,
                details=object_in(parse(row.details), "what the person should know"),
                schema=object_in(parse(row.schema), "the schema of its answer"),
                asked_at=row.asked_at,
                expires_at=row.expires_at,
            )

    @property
    def node(self) -> str:
        """The node that asks."""
        return re.split("[@#~!]", self.id, maxsplit=1)[0]

    @property
    def example(self) -> str:
        """An answer as JSON, as it could be typed."""
        return example_answer(self.schema)

    @property
    def command(self) -> str:
        """The line that answers it."""
        return command_line("answer", self.run, self.id, self.example)

    def __str__(self) -> str:
        asked = f" {self.to}" if self.to else ""
        until = f" (until {as_text(self.expires_at)})" if self.expires_at is not None else ""
        return f"{self.id} asks{asked}: {self.prompt}{until}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Generic[S]):
    """The run has ended, and this is its state."""

    run: str
    state: S

    @property
    def commands(self) -> tuple[str, ...]:
        """The lines to type next; they stand in the text, too."""
        return (command_line("show", self.run),)

    def __str__(self) -> str:
        return f"{self.run} is done: {self.commands[0]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Generic[S]):
    """Only a person or a message can move the run.

    Attributes:
        run: The key of the run.
        state: What had been written.
        questions: What people are asked.
        channels: Where messages are waited for.
        stored: Whether the run is in a database.
    """

    run: str
    state: S
    questions: tuple[OpenQuestion, ...]
    channels: tuple[str, ...] = ()
    stored: bool = field(default=True, repr=False)

    @property
    def commands(self) -> tuple[str, ...]:
        """The lines to type next; they stand in the text, too. None for a run that is in memory only."""
        if not self.stored:
            return ()
        sends = tuple(command_line("send", self.run, channel, "...") for channel in self.channels)
        if len(self.questions) == 1:
            return (command_line("answer", self.run, self.questions[0].example), *sends)
        return (*(question.command for question in self.questions), *sends)

    def __str__(self) -> str:
        if not self.questions and self.channels:
            channels = " or ".join(f"'{channel}'" for channel in self.channels)
            lines = [f"{self.run} is waiting for a message on {channels}", *(f"    {c}" for c in self.commands)]
            return "\n".join(lines)
        if len(self.questions) == 1:
            only = self.questions[0]
            lines = [f"{self.run} is waiting for {only.id}: {only.prompt}", *(f"    {c}" for c in self.commands)]
            return "\n".join(lines)
        lines = [f"{self.run} is waiting for {len(self.questions)} answers:"]
        for question, command in zip_longest(self.questions, self.commands):
            lines += [f"  {question}"] + ([f"    {command}"] if command else [])
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Generic[S]):
    """A node failed for good. Everything that was done is kept.

    Attributes:
        run: The key of the run.
        state: What had been written.
        reason: Which node failed first, and how.
        errors: Every activation that failed, and how.
        final: No retry mends it.
        cause: What was raised, where that was in this process.
        stored: Whether the run is in a database.
    """

    run: str
    state: S
    reason: str
    errors: tuple[tuple[str, ErrorInfo], ...] = ()
    final: bool = False
    cause: BaseException | None = field(default=None, repr=False, compare=False)
    stored: bool = field(default=True, repr=False)

    @property
    def commands(self) -> tuple[str, ...]:
        """The lines to type next; they stand in the text, too."""
        return () if self.final or not self.stored else (command_line("retry", self.run),)

    def __str__(self) -> str:
        lines = [f"{self.run} has failed: {self.reason}"]
        lines += [f"  {identity}: {error}" for identity, error in self.errors[1:]]
        lines += [f"    {command}      (goes on from the failed node)" for command in self.commands]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(Generic[S]):
    """Somebody cancelled the run."""

    run: str
    state: S

    @property
    def commands(self) -> tuple[str, ...]:
        """The lines to type next; they stand in the text, too."""
        return (command_line("show", self.run),)

    def __str__(self) -> str:
        return f"{self.run} was cancelled: {self.commands[0]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Generic[S]):
    """A limit was reached."""

    run: str
    state: S
    limit: str
    allowed: float
    stored: bool = field(default=True, repr=False)

    @property
    def commands(self) -> tuple[str, ...]:
        """The lines to type next; they stand in the text, too. None for a run that is in memory only."""
        return (command_line("retry", self.run),) if self.stored else ()

    def __str__(self) -> str:
        lines = [f"{self.run} was stopped by its limit on {self.limit} ({self.allowed:g} allowed)"]
        lines += [f"    {command}      (goes on, with the same allowance once more)" for command in self.commands]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead(Generic[S]):
    """Each process that drove the run died, and nothing came of it: it is left alone until somebody retries it.

    Attributes:
        run: The key of the run.
        state: What had been written.
        reason: What was running when they died.
        deaths: How many died in a row.
        stored: Whether the run is in a database.
    """

    run: str
    state: S
    reason: str
    deaths: int
    stored: bool = field(default=True, repr=False)

    @property
    def commands(self) -> tuple[str, ...]:
        """The lines to type next; they stand in the text, too. None for a run that is in memory only."""
        return (command_line("retry", self.run),) if self.stored else ()

    def __str__(self) -> str:
        lines = [f"{self.run} is dead: {self.reason}"]
        lines += [f"    {command}      (lets it go on, when what kills it is mended)" for command in self.commands]
        return "\n".join(lines)


Outcome: TypeAlias = Done[S] | Waiting[S] | Failed[S] | Cancelled[S] | Stopped[S] | Dead[S]
"""``match`` over these six is exhaustive."""


def command_line(*words: str) -> str:
    """A line for a shell; a key may be anything, and an id may have a ``!``."""
    return f"orchestra {shlex.join(words)}"


def example_answer(schema: dict[str, Any]) -> str:
    """Make a JSON value that fits a JSON schema, as an example to type; ``null`` for a schema that is none."""
    try:
        return json.dumps(_example(schema, schema.get("$defs", {}), 0, iter(range(_MOST))), allow_nan=False)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):  # it may come from a database
        return "null"


_MOST = 1000
"""How many parts an example may have: a few names in a schema can stand for more than fits anywhere."""


def _example(schema: dict[str, Any], defs: dict[str, Any], depth: int, left: Iterator[int]) -> Any:
    if depth > 8 or next(left, None) is None:
        return None
    if "$ref" in schema:
        return _example(defs.get(schema["$ref"].rsplit("/", 1)[-1], {}), defs, depth + 1, left)
    if schema.get("examples"):
        return schema["examples"][0]
    for name in ("const", "default"):
        if name in schema and schema[name] is not None:
            return schema[name]
    if schema.get("enum"):
        return schema["enum"][0]
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return _example(schema[name][0], defs, depth + 1, left)
    kind = schema.get("type")
    if kind == "object":
        wanted = schema.get("required", [])
        if not wanted and isinstance(schema.get("additionalProperties"), dict):  # a mapping
            return {"...": _example(schema["additionalProperties"], defs, depth + 1, left)}
        given = schema.get("properties", {}).items()
        return {n: _example(s, defs, depth + 1, left) for n, s in given if n in wanted}
    if kind == "array":
        return [_example(schema.get("items", {}), defs, depth + 1, left)]
    if kind == "string":
        return _STRINGS.get(schema.get("format", ""), "...")
    return {"boolean": True, "integer": schema.get("minimum", 1), "number": schema.get("minimum", 1.0)}.get(kind or "")


_STRINGS = {
    "date-time": "2030-01-31T12:00:00Z",
    "date": "2030-01-31",
    "time": "12:00:00",
    "uuid": "0" * 8 + "-0000-4000-8000-" + "0" * 12,
}
