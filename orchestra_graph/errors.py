"""Every error of the library, as one tree.

    OrchestraError
    ├── GraphError               declared wrong: every Problem of a graph at once, before anything runs
    ├── NodeFailed               the world failed: a node raised, and its retries are spent
    │   ├── NodeTimeout              ... it took longer than its timeout=
    │   ├── BadWrite                 ... it returned what its fields cannot hold
    │   ├── SwitchMissed             ... its switch names no case for the value
    │   ├── MergeConflict            ... branches that met there wrote one field differently
    │   ├── StepsChanged             ... its steps came in another order than those that are recorded
    │   ├── StepRefused              ... it began a step, or a transaction, where none can be
    │   └── QuestionExpired          ... nobody answered in time
    ├── LimitReached             a limit: carries the state so far
    ├── RequestError             asked wrong: nothing was changed
    │   ├── BadInput                 a start value, or an update, does not fit the state
    │   ├── BadKeys                  what was given as the keys of a database is none
    │   ├── UnknownRun               no such run in this database
    │   ├── UnknownGraph             the engine was not given the graph of this run
    │   ├── RunOwned                 another process drives the run
    │   ├── RunKeyTaken              the start key belongs to another graph or input
    │   ├── RunEnded                 the run has ended; nothing more can be done with it
    │   ├── GraphChanged             the run cannot go on with the graph in the code
    │   ├── UnknownQuestion          no such question in this run
    │   ├── WrongAnswer              the answer does not fit the question; the question stays open
    │   ├── AlreadyAnswered          the question has another answer
    │   ├── StaleAnswer              the question was withdrawn or its run has ended
    │   ├── RunBusy                  the run is at work, and the message was not to wait
    │   ├── UnknownStep              the log of the run has no such row
    │   └── WrongCursor              no place in the events of this run
    ├── RunOutcomeError          `result()` of a run that has no result
    │   ├── RunFailed
    │   ├── RunWaiting
    │   ├── RunCancelled
    │   ├── RunStopped
    │   └── RunDead
    ├── StoreError               the database
    │   ├── StoreBroken              it cannot be read as one of ours
    │   ├── StoreSealed              a value is encrypted, and its key is not at hand
    │   ├── StoreNewer               a newer release of this library wrote it
    │   ├── StoreOlder               its schema must be brought up to date first
    │   ├── StoreLost                it cannot be reached, for longer than was waited
    │   ├── StoreFull                no room: what was stored before is safe
    │   ├── StoreBusy                another process held its lock for too long
    │   └── StoreClosed              used outside `async with`
    ├── NotStorable              a value does not survive the way to JSON and back
    ├── NotWritten               a field was read that no node has written yet (also an AttributeError)
    ├── MissingExtra             a package that is an extra is not installed: says the pip line
    └── EngineBug                our mistake: please report it

Told apart: *declared wrong* (at compile), *the world failed* (may be retried), *asked wrong* (nothing happened), *a
limit*, *our bug*. Every class builds its message from its arguments and keeps them as attributes; all of them survive
pickle.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "AlreadyAnswered",
    "BadInput",
    "BadKeys",
    "BadWrite",
    "EngineBug",
    "GraphChanged",
    "GraphError",
    "LimitReached",
    "MergeConflict",
    "MissingExtra",
    "NodeFailed",
    "NodeTimeout",
    "NotStorable",
    "NotWritten",
    "OrchestraError",
    "Problem",
    "QuestionExpired",
    "RequestError",
    "RunBusy",
    "RunCancelled",
    "RunDead",
    "RunEnded",
    "RunFailed",
    "RunKeyTaken",
    "RunOutcomeError",
    "RunOwned",
    "RunStopped",
    "RunWaiting",
    "StaleAnswer",
    "StepRefused",
    "StepsChanged",
    "StoreBroken",
    "StoreBusy",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreLost",
    "StoreNewer",
    "StoreOlder",
    "StoreSealed",
    "SwitchMissed",
    "UnknownGraph",
    "UnknownQuestion",
    "UnknownRun",
    "UnknownStep",
    "WrongAnswer",
    "WrongCursor",
    "nearest",
]


def nearest(name: str, known: Sequence[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest of *known*, or an empty string."""
    import difflib

    found = difflib.get_close_matches(name, known, n=1, cutoff=0.55)
    return f" Did you mean '{found[0]}'?" if found else ""


_SECRET_OPTION = re.compile(r"(?<=[?&])((?:ssl)?password|passwd|pwd|token|secret)=[^&#]*", re.IGNORECASE)


def without_password(url: str) -> str:
    """A URL as it may be shown: ``user:***@host``. In doubt too much is hidden."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.partition("+")[0] in ("sqlite", "memory"):
        return url
    at, options = rest.rfind("@"), rest.find("?")
    if 0 <= options < at and "=" in rest[options:at]:  # it stands in the value of an option
        at = rest.rfind("@", 0, options)
    if at >= 0:
        name, colon, _ = rest[:at].partition(":")
        rest = f"{name}{':***' if colon else ''}{rest[at:]}"
    return f"{scheme}://" + _SECRET_OPTION.sub(r"\1=***", rest)


def _rebuild(cls: type[OrchestraError], args: tuple[Any, ...], facts: dict[str, Any]) -> OrchestraError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(facts)
    return error


class OrchestraError(Exception):
    """The root of the tree; never raised itself."""

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


# -- declared wrong ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, or doubtful, in a declared graph.

    Attributes:
        code: A short stable name of the check, such as ``unknown-parameter``.
        what: What was found and what was expected.
        mend: How to put it right, a line to type where there is one; may have several lines.
        where: ``path/file.py:41``, the line that declared it; empty when unknown.
        graph: The name of the graph.
        severity: ``"error"`` stops the compile; ``"warning"`` does not.
    """

    code: str
    what: str
    mend: str = ""
    where: str = ""
    graph: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        head = f"{self.graph}: {self.what}" if self.graph else self.what
        lines = [head, *(f"    {line}" for line in self.mend.splitlines())]
        if self.where:
            lines.append(f"    at {self.where}")
        return "\n".join(lines)


class GraphError(OrchestraError):
    """A graph is declared wrong; ``problems`` has every mistake that was found."""

    def __init__(self, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__(f"{head}:\n\n" + "\n\n".join(str(p) for p in self.problems))


# -- the world failed --------------------------------------------------------------------------------


class NodeFailed(OrchestraError):
    """A node failed for good.

    Attributes:
        node: The activation, such as ``work@1#3``.
        error: The type name of what was raised.
        message: Its text.
        attempts: How many times it was tried.
    """

    def __init__(self, node: str, error: str, message: str, attempts: int = 1):
        self.node, self.error, self.message, self.attempts = node, error, message, attempts
        tries = "" if attempts == 1 else f" after {attempts} attempts"
        super().__init__(f"{node} failed{tries}: {error}: {message}")


class NodeTimeout(NodeFailed):
    """A node took longer than its ``timeout=``."""

    def __init__(self, node: str, seconds: float, attempts: int = 1):
        self.seconds = seconds
        super().__init__(node, "NodeTimeout", f"no result within {seconds:g} s", attempts)


class BadWrite(NodeFailed):
    """A node returned what its fields cannot hold. Nothing of it was stored."""

    def __init__(self, node: str, field: str, message: str):
        self.field = field
        super().__init__(node, "BadWrite", message)


class SwitchMissed(NodeFailed):
    """A switch has no case, and no default, for the value that came."""

    def __init__(self, node: str, value: object, cases: Sequence[object]):
        self.value, self.cases = value, tuple(cases)
        listed = ", ".join(repr(c) for c in cases)
        super().__init__(
            node,
            "SwitchMissed",
            f"the switch has no case for {value!r}; it has {listed}. Add the case, or default=",
        )


class MergeConflict(NodeFailed):
    """Branches that met wrote one field without a reducer, and neither saw the other's value."""

    def __init__(self, node: str, field: str, writers: Sequence[str]):
        self.field, self.writers = field, tuple(writers)
        super().__init__(
            node,
            "MergeConflict",
            f"field '{field}' was written by {' and '.join(writers)} side by side. "
            f"Give it a reducer: {field}: Annotated[..., last]",
        )


class StepsChanged(NodeFailed):
    """A node that was run again came to another step than the recorded one. Nothing was called.

    Attributes:
        recorded: The keys of the recorded steps in their order; None where one was begun that never ended.
        found: The key that was found instead.
        place: Where among them, from 0.
    """

    def __init__(self, node: str, recorded: Sequence[str | None], found: str, place: int, attempts: int = 1):
        self.recorded, self.found, self.place = tuple(recorded), found, place
        order = ", ".join("(not known)" if key is None else f"'{key}'" for key in recorded)
        was = recorded[place]
        what = f"step {place + 1} is '{found}', and was '{was}' when it was recorded"
        if found == was:
            what = f"what was recorded of step {place + 1}, '{found}', is nothing that the step returns now"
        message = (
            f"{what} (recorded in this order: {order}). Nothing was called. What is recorded has to come first, in "
            f"that order, for as long as this node has not ended: put the step back, and add new ones behind them"
        )
        super().__init__(node, "StepsChanged", message, attempts)


class StepRefused(NodeFailed):
    """A step, or a transaction, was begun where none can be. Nothing was called."""

    def __init__(self, node: str, message: str, attempts: int = 1):
        super().__init__(node, "StepRefused", message, attempts)


class QuestionExpired(NodeFailed):
    """Nobody answered in time; nothing was written."""

    def __init__(self, node: str, expired_at: str):
        self.expired_at = expired_at
        super().__init__(node, "QuestionExpired", f"the question expired at {expired_at}")


class LimitReached(OrchestraError):
    """A limit stopped the run.

    Attributes:
        limit: What was limited, such as ``turns of 'draft'``.
        allowed: How much was allowed.
        state: The state so far, or None where it is not at hand.
    """

    def __init__(self, limit: str, allowed: float, state: Any = None):
        self.limit, self.allowed, self.state = limit, allowed, state
        super().__init__(f"limit reached: {limit} (allowed: {allowed:g})")


# -- asked wrong -------------------------------------------------------------------------------------


class RequestError(OrchestraError):
    """Something was asked that cannot be done; nothing was changed."""


class BadInput(RequestError):
    """A value given from outside does not fit the state."""

    def __init__(self, message: str):
        super().__init__(message)


class BadKeys(RequestError):
    """What was given as the keys of a database is none; a message never has any of them in it."""

    def __init__(self, message: str):
        super().__init__(message)


class UnknownRun(RequestError):
    """There is no run with this key or id."""

    def __init__(self, key: str, where: str = "", known: Sequence[str] = ()):
        self.key = key
        place = f" in {without_password(where)}" if where else ""
        super().__init__(f"there is no run '{key}'{place}.{nearest(key, list(known))} List them:   orchestra runs")


class UnknownGraph(RequestError):
    """The engine does not have the graph that this needs."""

    def __init__(self, name: str, known: Sequence[str] = ()):
        self.name = name
        have = ", ".join(f"'{k}'" for k in known) or "none"
        super().__init__(
            f"graph '{name}' was not given to this engine (it has {have}). "
            f"Give it:   Engine(url, graphs=[{name if name.isidentifier() else '...'}])"
        )


class RunOwned(RequestError):
    """Another live process drives this run."""

    def __init__(self, key: str, pid: int, host: str):
        self.key, self.pid, self.host = key, pid, host
        super().__init__(
            f"run '{key}' is driven by process {pid} on {host}, which is alive. "
            f"Read it, answer it or wait for it from here; to drive it here, end that process first."
        )


class RunKeyTaken(RequestError):
    """The start key is in use, for another graph or another input."""

    def __init__(self, key: str, why: str):
        self.key, self.why = key, why
        super().__init__(
            f"the key '{key}' is taken: {why}. Use another key, or get that run:   await engine.get('{key}')"
        )


class RunEnded(RequestError):
    """The run has ended."""

    def __init__(self, key: str, status: str, wanted: str):
        self.key, self.status = key, status
        super().__init__(f"run '{key}' is {status}: it cannot {wanted}")


class GraphChanged(RequestError):
    """A run cannot go on with the graph in the code, where it stands. Nothing was changed.

    Attributes:
        key: The run.
        changes: What is not the same as in the form of the graph that the run has, one line each.
        why: What of that it cannot go on with, one line each.
        mends: What helps, one line to type each.
    """

    def __init__(self, key: str, changes: Sequence[str], *, why: Sequence[str] = (), mends: Sequence[str] = ()):
        self.key, self.changes, self.why, self.mends = key, tuple(changes), tuple(why), tuple(mends)
        parts = [f"run '{key}' cannot go on with this form of its graph:", *(f"    {w}" for w in why or changes)]
        if why and changes:
            parts += ["What has changed:", *(f"    {c}" for c in changes)]
        parts += ["Nothing was changed in the run. To go on with it:", *(f"    {m}" for m in mends)] if mends else []
        super().__init__("\n".join(parts) + ("" if mends else "\nGo on with the code that started it."))


class UnknownQuestion(RequestError):
    """There is no such question."""

    def __init__(self, key: str, question: str, known: Sequence[str] = ()):
        self.key, self.question = key, question
        have = ", ".join(f"'{k}'" for k in known) or "none"
        super().__init__(f"run '{key}' has no question '{question}' (open: {have}).{nearest(question, list(known))}")


class WrongAnswer(RequestError):
    """The answer does not fit the question, which stays open."""

    def __init__(self, question: str, message: str, example: str = ""):
        self.question, self.message = question, message
        hint = f" An answer looks like {example}" if example else ""
        super().__init__(f"this is no answer to {question}: {message}. The question is still open.{hint}")


class AlreadyAnswered(RequestError):
    """Somebody gave another answer before."""

    def __init__(self, question: str, answer: str):
        self.question, self.answer = question, answer
        super().__init__(f"{question} was answered before, otherwise: {answer}")


class StaleAnswer(RequestError):
    """The question is no longer asked."""

    def __init__(self, question: str, why: str):
        self.question, self.why = question, why
        super().__init__(f"{question} is no longer asked: {why}. Nothing was changed.")


class RunBusy(RequestError):
    """The run is at work, and a message was sent that was not to wait."""

    def __init__(self, key: str, channel: str):
        self.key, self.channel = key, channel
        super().__init__(
            f"run '{key}' is at work: no node waits for a message on '{channel}'. Nothing was sent. "
            f'Let it wait:   run.send("{channel}", ..., busy="queue")'
        )


class UnknownStep(RequestError):
    """The log of the run has no such row."""

    def __init__(self, key: str, step: int, last: int):
        self.key, self.step, self.last = key, step, last
        super().__init__(f"run '{key}' has the steps 0 to {last}, and no step {step}. List them:   run.history()")


class WrongCursor(RequestError):
    """Not the cursor of an event of this run."""

    def __init__(self, key: str, cursor: str, why: str):
        self.key, self.cursor, self.why = key, cursor, why
        super().__init__(
            f"{cursor!r:.80} is no place in the events of run '{key}': {why}. "
            f"Give the .cursor of an event of this run; without after= they come from the start"
        )


# -- no result ---------------------------------------------------------------------------------------


class RunOutcomeError(OrchestraError):
    """``result()`` was asked of a run that has none; ``outcome`` says what it has."""

    def __init__(self, outcome: Any):
        self.outcome = outcome
        super().__init__(str(outcome))


class RunFailed(RunOutcomeError):
    """The run failed."""


class RunWaiting(RunOutcomeError):
    """The run waits for a person."""


class RunCancelled(RunOutcomeError):
    """The run was cancelled."""


class RunStopped(RunOutcomeError):
    """A limit stopped the run."""


class RunDead(RunOutcomeError):
    """Each process that drove the run died, and it is left alone until somebody retries it."""


# -- the database ------------------------------------------------------------------------------------


class StoreError(OrchestraError):
    """The database refused, or could not be reached.

    Attributes:
        url: The database, without its password.
    """

    def __init__(self, url: str, message: str):
        self.url = without_password(url)
        super().__init__(f"{self.url}: {message}")


class StoreBroken(StoreError):
    """The file is no database of ours, or is damaged."""


class StoreSealed(StoreError):
    """A value is encrypted, and the key that it was encrypted with is not at hand.

    Attributes:
        what: Which value.
        key: The id of the key.
    """

    def __init__(self, url: str, what: str, key: str):
        self.what, self.key = what, key
        super().__init__(
            url,
            f"{what} is encrypted (key '{key}'), and there is no key of that id at hand. "
            f"Give it:   Engine(url, keys=Keys({{'{key}': ...}}, use='{key}'))   or to the command line:   "
            f"export ORCHESTRA_KEYS={key}:BASE64",
        )


class StoreNewer(StoreError):
    """A newer release wrote this database."""


class StoreOlder(StoreError):
    """The database has no schema of ours yet, or that of an older release: ``orchestra db upgrade`` makes it."""


class StoreLost(StoreError):
    """The database cannot be reached, and could not for longer than was waited."""


class StoreFull(StoreError):
    """The disk, or the database's page limit, is full. What was stored before is safe."""


class StoreBusy(StoreError):
    """Another process held the database's write lock for too long."""


class StoreClosed(StoreError):
    """The store is not open."""


class NotStorable(OrchestraError):
    """A value would come back from JSON as something else."""

    def __init__(self, field: str, message: str):
        self.field, self.message = field, message
        super().__init__(f"'{field}' cannot be stored: {message}")


class NotWritten(OrchestraError, AttributeError):
    """A field without a value was read: no node has written it."""

    def __init__(self, state: str, field: str):
        self.state, self.field = state, field
        super().__init__(f"{state}.{field} is not written yet")


class MissingExtra(OrchestraError):
    """A package that comes with an extra is not installed."""

    def __init__(self, what: str, extra: str):
        self.what, self.extra = what, extra
        super().__init__(f"{what}: a package is missing:   pip install 'orchestra-graph[{extra}]'")


class EngineBug(OrchestraError):
    """An invariant of the engine does not hold. This is our mistake: please report it."""

    def __init__(self, message: str):
        super().__init__(f"{message} (this is a bug in orchestra_graph: please report it)")
