"""Nodes: a function, and how it is to be run. A node is bound to no graph.

Rule 1. A node, called, is its function.
Rule 2. Nothing of the annotations is read here: classes that a function names may be defined after it. They are read at
compile time.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    Protocol,
    TypeAlias,
    TypeVar,
    cast,
    overload,
)

from orchestra_graph.graph.policies import ONCE, Cache, Effect, Retry, seconds_of
from orchestra_graph.graph.question import Question

__all__ = [
    "END",
    "AskDecorator",
    "Item",
    "Node",
    "NodeDecorator",
    "NodeOptions",
    "Place",
    "Placed",
    "Resource",
    "Step",
    "Target",
    "ask",
    "node",
    "receive",
]

Function = TypeVar("Function", covariant=True)
NodeKind: TypeAlias = Literal["work", "ask", "receive"]
Work = TypeVar("Work", bound=Callable[..., object])
Asking = TypeVar("Asking", bound="Callable[..., Question[Any] | Awaitable[Question[Any] | None] | None]")
T = TypeVar("T")


class Step:
    """Whatever can stand in an edge: a node, a placed node, `END`."""

    name: str


class _End(Step):
    """Where branches end."""

    name = "END"

    def __repr__(self) -> str:
        return "END"


END: Step = _End()

Place: TypeAlias = "Step | str"
"""A node, the handle from `Graph.add`, or a name."""
Target: TypeAlias = "Step | str | Sequence[Step | str]"


class ItemMark:
    """Marks the parameter that gets the element of an `each`."""

    def __repr__(self) -> str:
        return "Item"


Item: TypeAlias = Annotated[T, ItemMark()]
"""The element that this instance of an `each` works on: ``def work(item: Item[str])``. To type checkers it is a str."""


@dataclass(frozen=True, slots=True)
class Resource:
    """Marks a parameter that the engine fills from ``Engine(resources=...)``.

    ``Annotated[Payments, Resource]`` takes the resource that is a ``Payments``; ``Annotated[Payments, Resource("eu")]``
    the one given under that name.
    """

    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """How a node is to be run: the arguments of `@node`, `@ask` and `receive`."""

    writes: str | None = None
    retry: Retry = ONCE
    timeout: float | None = None
    effect: Effect = "external"
    unattended: bool = False
    cache: Cache | None = None
    channel: str = ""
    interrupts: bool = False


class Node(Step, Generic[Function]):
    """A function as a step of a graph; made by `@node`, `@ask` and `receive`. Called, it is the function.

    Attributes:
        fn: The function.
        name: Its name in graphs, logs and pictures.
        kind: ``"work"``, ``"ask"`` or ``"receive"``.
        options: How it is run.
        where: ``file.py:12``, for messages.
    """

    fn: Callable[..., Any]
    if TYPE_CHECKING:
        __call__: Function  # an attribute: type checkers keep the function's own type, overloads and all
    else:

        def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
            return self.fn(*args, **kwargs)

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        name: str | None,
        kind: NodeKind,
        options: NodeOptions,
        scope: Mapping[str, Any] | None = None,
        place: str = "",
    ):
        given = name or getattr(fn, "__name__", None)
        if given is None:
            raise TypeError(f"{fn!r} has no name:   node(name='...')({fn!r})")
        self.fn = fn
        self.name = given
        self.kind = kind
        self.options = options
        self.scope = dict(scope or {})
        self.place = place
        self.__doc__ = getattr(fn, "__doc__", None)
        self.__name__ = given
        self.__qualname__ = getattr(fn, "__qualname__", given)
        self.__module__ = getattr(fn, "__module__", "")
        self.__wrapped__ = fn
        if inspect.iscoroutinefunction(fn) and sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(cast("Any", self))

    @property
    def where(self) -> str:
        """The file and line of the function; of a node without one, where it was made."""
        if self.place:
            return self.place
        code = getattr(inspect.unwrap(self.fn), "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""

    def __reduce__(self) -> str:
        return self.__qualname__

    def __repr__(self) -> str:
        return f"<{'node' if self.kind == 'work' else self.kind} {self.name}>"

    def altered(self, **options: Any) -> Node[Function]:
        """The same function, run otherwise: *options* are those of `NodeOptions`."""
        changed = replace(self.options, **options)
        return Node(self.fn, name=self.name, kind=self.kind, options=changed, scope=self.scope, place=self.place)


class Placed(Step):
    """A node, or a graph, at one place of one graph: the handle that `Graph.add` gives."""

    def __init__(self, what: Step, name: str, graph: object):
        self.what, self.name, self.graph = what, name, graph

    def __repr__(self) -> str:
        return f"<{self.name}>"


class NodeDecorator(Protocol):
    """What `node(...)` returns."""

    def __call__(self, fn: Work, /) -> Node[Work]:
        """Make a node of *fn*."""
        ...


class AskDecorator(Protocol):
    """What `ask(...)` returns."""

    def __call__(self, fn: Asking, /) -> Node[Asking]:
        """Make a question node of *fn*."""
        ...


def _make(fn: Any, name: str | None, kind: Literal["work", "ask"], options: NodeOptions) -> Node[Any]:
    at = "@node" if kind == "work" else "@ask"
    if isinstance(fn, Node):
        raise TypeError(f"{fn!r} is a node already: use one {at}")
    if isinstance(fn, staticmethod | classmethod | property) or not callable(fn):
        raise TypeError(f"{at} takes a function, not {fn!r}")
    qualname = getattr(fn, "__qualname__", "")
    frame = sys._getframe(2)  # the module, class body or factory that holds the decorated function
    if frame.f_locals.get("__qualname__") and "__module__" in frame.f_locals and not inspect.ismethod(fn):
        raise TypeError(
            f"{at} does not go on a method ({qualname}). Make the node of the bound one:   "
            f"{at[1:]}(...)(obj.{fn.__name__})"
        )
    scope = dict(frame.f_locals) if "<locals>" in qualname else None
    return Node(fn, name=name, kind=kind, options=options, scope=scope)


@overload
def node(fn: Work, /) -> Node[Work]: ...
@overload
def node(
    *,
    writes: str | None = None,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: float | timedelta | None = None,
    effect: Effect = "external",
    unattended: bool = False,
    cache: Cache | None = None,
) -> NodeDecorator: ...
def node(
    fn: Any = None,
    /,
    *,
    writes: str | None = None,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: float | timedelta | None = None,
    effect: Effect = "external",
    unattended: bool = False,
    cache: Cache | None = None,
) -> Any:
    """Make a node of a function, sync or async. Its parameters are the fields it reads.

    Args:
        fn: The function, where the decorator is used bare.
        writes: The field that the returned value is written to. Left out: the return annotation is a `Patch` (or
            TypedDict, NamedTuple) that names the fields, or None.
        name: The node's name; the function's own where left out.
        retry: How often to try again. Left out: once.
        timeout: Seconds, or a timedelta, for one attempt. A sync function cannot be stopped: it is left alone, and what
            it returns late is dropped and recorded.
        effect: What running it twice would do. ``"irreversible"`` nodes are never repeated by themselves and need a
            person before them.
        unattended: Says that an irreversible node needs no person.
        cache: What it gave is used again. Left out: it is run each time.
    """
    options = NodeOptions(
        writes=writes,
        retry=retry or ONCE,
        timeout=seconds_of(timeout),
        effect=effect,
        unattended=unattended,
        cache=cache,
    )
    if fn is not None:
        return _make(fn, None, "work", options)
    return lambda given: _make(given, name, "work", options)


def ask(*, writes: str, name: str | None = None) -> AskDecorator:
    """Make a question to a person of a function that returns `Question[T]`; the answer, a *T*, is written to a field.

    The run is parked until somebody answers. The function runs once, when the question is asked. Returning None asks
    nobody and writes nothing.

    Args:
        writes: The field that takes the answer.
        name: The node's name; the function's own where left out.
    """
    return cast("AskDecorator", lambda fn: _make(fn, name, "ask", NodeOptions(writes=writes, effect="idempotent")))


@overload
def receive(
    channel: str, payload: type[T], /, *, writes: str | None = None, name: str | None = None, interrupts: bool = False
) -> Node[Callable[[], T]]: ...
@overload
def receive(
    channel: str, payload: Any, /, *, writes: str | None = None, name: str | None = None, interrupts: bool = False
) -> Node[Callable[[], Any]]: ...
def receive(
    channel: str, payload: Any, /, *, writes: str | None = None, name: str | None = None, interrupts: bool = False
) -> Any:
    """Make a node that waits for a message from outside: what `Run.send` puts into a channel.

        hear = receive("user", str, writes="text")

    The run is parked until a message comes. The oldest message of the channel that nobody has taken is taken by the
    commit of the node: one that is withdrawn while it waits takes nothing, and of several that wait on one channel the
    first to have come there takes it.

    Args:
        channel: Which messages.
        payload: What a message is: a type. Messages that do not fit are refused.
        writes: The field that takes the payload. Left out: the payload is a `Patch` (or TypedDict, NamedTuple) that
            names the fields, or it is written nowhere.
        name: The node's name; that of the channel where left out.
        interrupts: A message that is sent with ``busy="interrupt"`` while the loop around this node is at work
            withdraws that work, and the loop begins its next turn here, with all that was written so far. The node must
            be the first of a loop of the graph.
    """

    def received() -> Any:
        raise TypeError(f"the node '{name or channel}' waits for a message: it cannot be called")

    received.__annotations__ = {"return": payload}
    frame = sys._getframe(1)
    return Node(
        received,
        name=name or channel,
        kind="receive",
        options=NodeOptions(writes=writes, effect="idempotent", channel=channel, interrupts=interrupts),
        place=f"{frame.f_code.co_filename}:{frame.f_lineno}",
    )
