"""Steps inside of a node: what is called once, and whose result is durable before the node goes on.

Rule 1. A step has its place when it is called, not when it is awaited or done: the order of the calls is what counts.
Rule 2. What is recorded of a place is given without calling anything. Where another key is recorded there, nothing is
called any more, whatever the node makes of the error.
Rule 3. A result goes into the log through the inbox of whoever drives the run, as every event does. Once the attempt
is over, nothing of it goes there.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any, Protocol, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic.errors import PydanticUserError

from orchestra_graph.clock import Clock
from orchestra_graph.core import events as ev
from orchestra_graph.core.run import Activation, RunState, StepRecord
from orchestra_graph.errors import NodeFailed, NotStorable, StepRefused, StepsChanged
from orchestra_graph.graph.signature import hints_of
from orchestra_graph.runtime.desk import Desk
from orchestra_graph.runtime.happening import Happening
from orchestra_graph.runtime.legible import legible
from orchestra_graph.runtime.scribe import Scribe
from orchestra_graph.state.codec import Accepted, JsonCodec, first_line, parse, unstorable
from orchestra_graph.store.base import RunRow, Store, Transaction
from orchestra_graph.store.patience import to_the_end

__all__ = ["AS_ANNOTATED", "ATTEMPT", "Attempt", "ByHand", "Driving", "Transacting"]

T = TypeVar("T")


class _AsAnnotated:
    """Says: of the type that the function's return annotation names."""

    def __repr__(self) -> str:
        return "AS_ANNOTATED"


AS_ANNOTATED: Any = _AsAnnotated()

_INSIDE: ContextVar[object] = ContextVar("_INSIDE", default=None)
"""The attempt in a step of which this code runs."""


class Driving(Protocol):
    """Who drives the run: a `Drive`."""

    store: Store
    row: RunRow
    run: RunState
    clock: Clock
    desk: Desk
    scribe: Scribe

    def add(self, happening: Happening) -> None:
        """Let something happen to the run."""
        ...

    def runs(self, identity: str) -> bool:
        """Whether an activation runs, as of what has happened so far."""
        ...

    async def perform(self, activation: Activation, what: str, fn: Callable[[], Any]) -> Any:
        """Call a function as that of a node is called."""
        ...


class Transacting(Protocol):
    """The transaction of an attempt: a `NodeTransaction`."""

    @property
    def is_inside(self) -> bool:
        """Whether its block was not left."""
        ...

    def hand_over(self) -> Transaction | None:
        """Whoever calls this ends the transaction."""
        ...

    async def undo(self) -> None:
        """Undo everything."""
        ...


class ByHand:
    """What the steps of a context are that was made by hand, in a test: each is called, and nothing is kept."""

    def step(self, key: str, call: Callable[[], Any], returns: Any) -> Coroutine[Any, Any, Any]:
        """Call the function of a step."""
        return _by_hand(key, call, returns)

    def step_sync(self, key: str, call: Callable[[], Any], returns: Any) -> Any:
        """Call the function of a step."""
        value = call()
        if inspect.isawaitable(value):
            value = asyncio.run(_awaited(value))
        return _accepted(key, _codec_for(key, call, returns), value).value

    def check_may_transact(self) -> None:
        """Refuse: there is no database."""
        raise StepRefused(
            "a context made by hand",
            "it has no store, and so no transaction. Run the node in a graph:   Engine('sqlite:///runs.db')",
        )


async def _by_hand(key: str, call: Callable[[], Any], returns: Any) -> Any:
    codec, value = _codec_for(key, call, returns), call()
    return _accepted(key, codec, await value if inspect.isawaitable(value) else value).value


async def _awaited(value: Awaitable[T]) -> T:
    return await value


ATTEMPT: ContextVar[Attempt | ByHand] = ContextVar("ATTEMPT")
"""The attempt in which this code runs."""


class Attempt:
    """One attempt of one activation, with what it does in steps and in a transaction.

    Made in the task of the attempt.

    Attributes:
        driving: Who drives the run.
        activation: Whose attempt it is.
        trouble: Why nothing that the attempt gives can be taken, or None.
        transaction: The transaction that is open, or waits for the result.
        over: It has ended: whatever it has left running records nothing.
        asks: What it gives is a question.
    """

    __slots__ = (  # there are as many as elements of a wide `each`
        *("_bridges", "_home", "_loop", "_places"),
        *("activation", "asks", "driving", "over", "transaction", "trouble"),
    )

    def __init__(self, driving: Driving, activation: Activation, *, asks: bool = False):
        self.driving, self.activation, self.asks = driving, activation, asks
        self.trouble: Exception | None = None
        self.transaction: Transacting | None = None
        self.over = False
        self._loop, self._home = asyncio.get_running_loop(), threading.get_ident()
        self._places = itertools.count()
        self._bridges: set[asyncio.Task[Any]] = set()

    # -- steps --------------------------------------------------------------------------------------

    def step(self, key: str, call: Callable[[], Any], returns: Any) -> Coroutine[Any, Any, Any]:
        """Begin a step; it has its place as soon as this is called.

        Args:
            key: What the node calls it.
            call: Calls its function.
            returns: The type of its result.
        """
        refusal = self._refusal(key)
        return self._step(-1 if refusal else next(self._places), key, call, returns, refusal)

    def step_sync(self, key: str, call: Callable[[], Any], returns: Any) -> Any:
        """Do a step in the thread of a sync node; see `step`."""
        if threading.get_ident() == self._home:
            raise StepRefused(
                self.activation.id, f"step_sync('{key}') would hold up the event loop:   await ctx.step(...)"
            )
        refusal = self._refusal(key)
        if refusal is not None:
            raise refusal
        place = next(self._places)
        codec = _codec_for(key, call, returns)
        record = self._recorded(place, key)
        if record is not None:
            return self._loaded(place, record, codec)
        with self._inside():
            value = call()
            if inspect.isawaitable(value):
                value = self.bridge(_awaited(value))
        accepted = _accepted(key, codec, value)
        self.bridge(self._keep(place, key, accepted))
        return accepted.value

    async def _step(
        self, place: int, key: str, call: Callable[[], Any], returns: Any, refusal: Exception | None
    ) -> Any:
        if (refusal := refusal or self.trouble) is not None:
            raise refusal
        codec = _codec_for(key, call, returns)
        record = self._recorded(place, key)
        if record is not None:
            return self._loaded(place, record, codec)
        await self._check_runs()
        with self._inside():
            value = await self.driving.perform(self.activation, f"step '{key}'", call)
        accepted = _accepted(key, codec, value)
        await self._keep(place, key, accepted)
        return accepted.value

    def _refusal(self, key: str) -> Exception | None:
        """Why no step can begin now."""
        why = None
        if not isinstance(key, str) or not key:
            why = f"the key of a step is a text that is not empty, not {key!r:.80}"
        elif key != legible(key):
            why = f"the key of a step is a text that can be stored, not {key!r:.80}"
        elif self.over:
            why = f"step '{key}' was begun when its node had ended: wait for every step in the node"
        elif _INSIDE.get() is self:
            why = f"step '{key}' stands inside of another step. Call it behind that one, or call its function as it is"
        elif self.transaction is not None:
            why = f"step '{key}' was begun behind a transaction, which ends with the node. Put the step before it"
        return self.trouble if why is None else self.trouble or StepRefused(self.activation.id, why)

    def _recorded(self, place: int, key: str) -> StepRecord | None:
        """What is recorded of a step, where it is."""
        record = self.activation.steps.get(place)
        if record is not None and record.key != key:
            raise self._changed(place, key)
        return record

    def _changed(self, place: int, key: str) -> NodeFailed:
        steps = self.activation.steps
        known = [steps[i].key if i in steps else None for i in range(max(steps) + 1)]
        self.trouble = StepsChanged(self.activation.id, known, key, place, self.activation.attempt)
        return self.trouble

    def _loaded(self, place: int, record: StepRecord, codec: JsonCodec) -> Any:
        try:
            return codec.load(record.value)
        except ValidationError as error:
            raise self._changed(place, record.key) from error

    async def _keep(self, place: int, key: str, accepted: Accepted) -> None:
        """Make the result of a step durable."""
        if self.over:
            raise StepRefused(self.activation.id, f"step '{key}' ended when its node had; nothing is recorded of it")
        await self._check_runs()
        now, stored = self.driving.clock.now(), self._loop.create_future()
        event = ev.StepDone(at=now, id=self.activation.id, key=key, index=place, value=parse(accepted.json))
        self.driving.add(Happening(event, step=accepted.json, stored=stored, sync=self.activation.started))
        await stored

    async def _check_runs(self) -> None:
        """Of what was withdrawn nothing is called or recorded: whoever does it is about to be cancelled, or was."""
        if not self.driving.runs(self.activation.id):
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        before = _INSIDE.set(self)
        try:
            yield
        finally:
            _INSIDE.reset(before)

    # -- a transaction ------------------------------------------------------------------------------

    def check_may_transact(self) -> None:
        """Make sure that a transaction can begin now.

        Raises:
            StepRefused: It cannot.
        """
        why = None
        if self.trouble is not None:
            raise self.trouble
        if self.over:
            why = "a transaction was begun when its node had ended"
        elif _INSIDE.get() is self:
            why = "a transaction stands inside of a step. A step is kept by itself: put the transaction behind it"
        elif self.transaction is not None:
            why = "a second transaction was begun. A node has one, which ends with it: put all statements into that one"
        elif self.asks:
            why = "a node that asks has no result to store with a transaction. Put it into the node before, or behind"
        if why is not None:
            raise StepRefused(self.activation.id, why)

    def check_end(self) -> None:
        """Make sure that what the node returned can be taken.

        Raises:
            StepsChanged: Its steps are not those that are recorded, whatever it has made of that.
            StoreBusy: Its transaction took too long.
            StepRefused: It has left something behind in the block of its transaction.
        """
        if self.trouble is not None:
            raise self.trouble
        if self.transaction is not None and self.transaction.is_inside:
            raise StepRefused(self.activation.id, "it returned before the block of its transaction was left")

    def hand_over(self) -> Transaction | None:
        """The transaction that waits for the result of the node; from here on it is the caller's to end."""
        if self.transaction is None:
            return None
        return self.transaction.hand_over()

    # -- from the thread of a sync node --------------------------------------------------------------

    def bridge(self, work: Coroutine[Any, Any, T]) -> T:
        """Have something done in the event loop, and wait for it in another thread.

        Raises:
            StepRefused: The node has ended meanwhile.
        """
        if threading.get_ident() == self._home:
            work.close()
            raise StepRefused(self.activation.id, "this would hold up the event loop: use the awaitable variant")
        told: Future[T] = Future()
        try:
            self._loop.call_soon_threadsafe(self._begin, work, told)
        except RuntimeError:  # the loop is closed
            work.close()
            raise self._too_late() from None
        return told.result()

    def _begin(self, work: Coroutine[Any, Any, T], told: Future[T]) -> None:
        if self.over:
            work.close()
            told.set_exception(self._too_late())
            return
        task = self._loop.create_task(work)
        self._bridges.add(task)
        task.add_done_callback(partial(self._tell, told))

    def _tell(self, told: Future[T], task: asyncio.Task[T]) -> None:
        self._bridges.discard(task)
        error = self._too_late() if task.cancelled() else task.exception()
        if error is None:
            told.set_result(task.result())
        else:
            told.set_exception(error)

    def _too_late(self) -> StepRefused:
        return StepRefused(self.activation.id, "the node was left alone, or its run was let go; nothing is recorded")

    # -- the end ------------------------------------------------------------------------------------

    async def end(self) -> None:
        """The attempt has ended: nothing is recorded from here on, and what was not handed over is undone."""
        self.over = True
        if self._bridges:
            await to_the_end(_cancelled(list(self._bridges)))
        if self.transaction is not None:
            await self.transaction.undo()


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


# -- values ----------------------------------------------------------------------------------------------


def _accepted(key: str, codec: JsonCodec, value: Any) -> Accepted:
    """A result as it will be read again.

    Raises:
        NotStorable: It does not fit its type, or would come back from JSON as something else.
    """
    try:
        return codec.accept(value)
    except ValidationError as error:
        raise NotStorable(f"step {key}", f"what it returned does not fit: {first_line(error)}") from None
    except NotStorable as error:
        hint = ". Say of what type it is:   returns=..." if codec.annotation is Any else ""
        raise NotStorable(f"step {key}", f"{error.message}{hint}") from error


def _codec_for(key: str, call: Callable[[], Any], returns: Any) -> JsonCodec:
    """The codec of what a step returns.

    Raises:
        NotStorable: Values of that type cannot be stored.
    """
    annotation = _returned(call) if returns is AS_ANNOTATED else returns
    try:
        return _codec(annotation)
    except TypeError:  # no type that could be remembered
        return _made(annotation)
    except NotStorable as error:
        raise NotStorable(f"step {key}", error.message) from None


@lru_cache(maxsize=512)
def _codec(annotation: Any) -> JsonCodec:
    return _made(annotation)


def _made(annotation: Any) -> JsonCodec:
    try:
        why = unstorable(annotation)
        codec = JsonCodec("the result of a step", annotation)
    except PydanticUserError:
        why = f"{annotation!r:.80} is no type that can be written as JSON. Return plain data, or a model of yours"
    if why is not None:
        raise NotStorable("the result of a step", why)
    return codec


def _returned(call: Callable[[], Any]) -> Any:
    """What the annotation of a function says that it returns, when it is awaited where it has to be."""
    fn: Any = call
    while isinstance(fn, partial):
        fn = fn.func
    if isinstance(fn, type):
        return fn
    try:
        found = hints_of(fn).get("return", Any)
    except (NameError, TypeError, AttributeError):  # a name that is not there when the program runs; no function at all
        return Any
    if isinstance(get_origin(found), type) and issubclass(get_origin(found), Awaitable):
        return get_args(found)[-1]
    return found
