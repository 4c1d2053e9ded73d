"""What a node may know about where it runs."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, ParamSpec, TypeVar, overload

from orchestra_graph.core.events import ErrorInfo
from orchestra_graph.events import Emitted, Progress
from orchestra_graph.runtime.live import SPEAK, Speak
from orchestra_graph.runtime.steps import AS_ANNOTATED, ATTEMPT, Attempt, ByHand
from orchestra_graph.runtime.transactions import SECONDS, NodeTransaction, SyncTransaction

__all__ = ["Context"]

P = ParamSpec("P")
T = TypeVar("T")
_BY_HAND = ByHand()

# Without a handler of the user's, nothing is printed: a failure is in the outcome, and its traceback in `__cause__`.
logging.getLogger("orchestra_graph").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Handed to a node that has a parameter of this type.

    Attributes:
        run: The key of the run.
        graph: The name of the graph.
        node: The node's name.
        id: The durable id of this activation, such as ``work@1#3``.
        attempt: 1 for the first attempt.
        turn: The turn of the innermost loop around the node, from 0; None outside of loops.
        error: How the attempt before failed, or None.
        idempotency_key: The same for every attempt of this activation, in every process, and different from all others:
            give it to whoever must not do a thing twice.
        log: A logger that names run and node.
    """

    __orchestra_role__: ClassVar[str] = "context"

    run: str
    graph: str
    node: str
    id: str
    attempt: int = 1
    turn: int | None = None
    error: ErrorInfo | None = None
    log: logging.LoggerAdapter[logging.Logger] = field(
        default_factory=lambda: logging.LoggerAdapter(logging.getLogger("orchestra_graph.node"), {})
    )

    _speak: Speak = field(default_factory=SPEAK.get, repr=False, compare=False)
    _attempt: Attempt | ByHand = field(default_factory=lambda: ATTEMPT.get(_BY_HAND), repr=False, compare=False)

    def emit(self, value: Any) -> None:
        """Tell whoever follows the run at this moment (`Run.events`, hooks); see `events.Emitted`.

        Nothing of it is stored: what has to be found again is written to a field. A later attempt says it again.

        Args:
            value: Anything. It is handed over as it is: do not change it afterwards.
        """
        self._speak(Emitted(run=self.run, cursor="", at=0.0, id=self.id, node=self.node, value=value))

    def progress(self, fraction: float | None, text: str = "") -> None:
        """Tell whoever follows the run at this moment how far this node is; see `events.Progress`.

        Args:
            fraction: How much is done, from 0 to 1; what lies outside is cut. None: it cannot be said.
            text: What is being done.
        """
        done = None if fraction is None else min(1.0, max(0.0, float(fraction)))
        self._speak(Progress(run=self.run, cursor="", at=0.0, id=self.id, node=self.node, fraction=done, text=text))

    @property
    def idempotency_key(self) -> str:
        """``run/activation``."""
        return f"{self.run}/{self.id}"

    def key_of(self, step: str) -> str:
        """``run/activation/step``: as `idempotency_key`, for one step of this node.

        Args:
            step: The key of the step. Steps of one key have one such key: in a loop, say which one in the step's key.
        """
        return f"{self.idempotency_key}/{step}"

    @overload
    def step(
        self, key: str, fn: Callable[..., Any], /, *args: Any, returns: type[T], **kwargs: Any
    ) -> Awaitable[T]: ...
    @overload
    def step(self, key: str, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]: ...
    @overload
    def step(self, key: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]: ...
    @overload
    def step(self, key: str, fn: Callable[..., Any], /, *args: Any, returns: Any, **kwargs: Any) -> Awaitable[Any]: ...
    def step(
        self, key: str, fn: Callable[..., Any], /, *args: Any, returns: Any = AS_ANNOTATED, **kwargs: Any
    ) -> Awaitable[Any]:
        """Call *fn* once, and have its result durable before the node goes on: ``await ctx.step("pay", pay, order)``.

        Where the node is run again (after a crash, a failed attempt, by another engine) the recorded result is given,
        and *fn* is not called. The steps of a node have to come in the same order each time: in the order in which
        they are called, whatever ends first.

        Args:
            key: What the step is called, in the log and in messages; the same one may come again, as in a loop.
            fn: The function; a plain one is called in a thread.
            args: Its arguments.
            returns: The type of what it returns, where its annotation does not say. Stored as JSON.
            kwargs: Its named arguments.

        Raises:
            StepsChanged: Another key is recorded for this step. Nothing was called.
            StepRefused: In a step, behind a transaction, or when the node has ended. Nothing was called.
            NotStorable: What *fn* returned, or its type, cannot be stored.
            Exception: Whatever *fn* raised. Nothing is recorded of that.
        """
        return self._attempt.step(key, partial(fn, *args, **kwargs), returns)

    @overload
    def step_sync(self, key: str, fn: Callable[..., Any], /, *args: Any, returns: type[T], **kwargs: Any) -> T: ...
    @overload
    def step_sync(self, key: str, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def step_sync(self, key: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def step_sync(self, key: str, fn: Callable[..., Any], /, *args: Any, returns: Any, **kwargs: Any) -> Any: ...
    def step_sync(
        self, key: str, fn: Callable[..., Any], /, *args: Any, returns: Any = AS_ANNOTATED, **kwargs: Any
    ) -> Any:
        """The same as `step` for a node that is a plain function: it blocks the node's thread.

        A plain *fn* is called in that thread, an async one in the event loop.
        """
        return self._attempt.step_sync(key, partial(fn, *args, **kwargs), returns)

    def transaction(self, *, seconds: float = SECONDS) -> NodeTransaction:
        """SQL on the store's own database, committed together with this node's result: exactly once.

            async with ctx.transaction() as tx:
                await tx.execute("INSERT INTO payments (id) VALUES (:id)", {"id": order})

        The block leaves the transaction open; it ends with the node. Nothing of it stays where the node fails, is
        cancelled, or takes too long. A node has one, and no step behind it.

        Args:
            seconds: For how long it may be open, from the block's begin to the node's end. On SQLite all others wait.

        Raises:
            StoreError: This store has no SQL (raised when the block is entered).
            StepRefused: There is one already, or a node that asks has none (raised when the block is entered).
        """
        return NodeTransaction(self._attempt, seconds)

    def transaction_sync(self, *, seconds: float = SECONDS) -> SyncTransaction:
        """The same as `transaction` for a node that is a plain function: ``with ctx.transaction_sync() as tx:``."""
        return SyncTransaction(self._attempt, seconds)
