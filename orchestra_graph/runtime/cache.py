"""The node cache of a driven run: under which key a result is kept, and what is done with one that is found.

Rule 1. A result is kept in the transaction of the event that says that its node is done.
Rule 2. What is found is read like a log row, by the types of today. Whatever is wrong with it, it is no result then,
and the node is run.
Rule 3. Where the run goes from there is decided anew: only what was written is kept.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from orchestra_graph.clock import Clock
from orchestra_graph.core import events as ev
from orchestra_graph.core.run import Activation
from orchestra_graph.errors import StoreError
from orchestra_graph.graph.node import Node
from orchestra_graph.graph.plan import Plan, PlanNode
from orchestra_graph.runtime.blobs import log_row, read_body
from orchestra_graph.runtime.code_version import code_version
from orchestra_graph.runtime.invoke import Invoker, Result
from orchestra_graph.runtime.journal import text
from orchestra_graph.state.codec import Accepted
from orchestra_graph.store.base import CachedRow, LogRow, Store

__all__ = ["NodeCache", "reads_of", "writes_in"]

_LOG = logging.getLogger("orchestra_graph.run")
_IN_KEY = ("field", "state", "view", "item")

_versions: WeakKeyDictionary[Node[Any], str] = WeakKeyDictionary()


class NodeCache:
    """The results of one run's nodes that are to be used again, by this run or another one.

    Args:
        store: Where they are kept.
        invoker: Runs the nodes of the run.
        clock: Tells the time.
    """

    def __init__(self, store: Store, invoker: Invoker, clock: Clock):
        self._store, self._invoker, self._clock = store, invoker, clock
        self._nodes: dict[int, list[Any]] = {}
        self._missed: dict[str, str] = {}

    async def find(self, activation: Activation) -> Result | None:
        """What was written when this was run before; None: the node has no cache, or must be run.

        Raises:
            Exception: Whatever the function of the key raised, or a condition that decides where the run goes.
        """
        node = self._invoker.plan.nodes[activation.vertex]
        if node.options.cache is None:
            return None
        key = self._key(node, activation)
        written = await self._look(node, key)
        if written is None:
            self._missed[activation.id] = key
            return None
        writes, replaced = written
        return self._invoker.recalled(activation, writes, replaced)

    def entry(self, activation: Activation, result: Result, at: float) -> CachedRow | None:
        """What is to be kept of a result that came at *at*; None: nothing."""
        key = self._missed.pop(activation.id, None)
        cache = self._invoker.plan.nodes[activation.vertex].options.cache
        if key is None or cache is None:
            return None
        event = ev.NodeFinished(at=at, id=activation.id, replaced=result.replaced)
        row, _ = log_row(0, event, result.fragments)  # its large values are those of the log row beside it
        return CachedRow(key, row.body, None if cache.seconds is None else at + cache.seconds)

    # -- the key ------------------------------------------------------------------------------------

    def _key(self, node: PlanNode, activation: Activation) -> str:
        if activation.vertex not in self._nodes:
            self._nodes[activation.vertex] = _of_node(self._invoker.plan, node)
        arguments = self._invoker.arguments(activation)
        assert node.options.cache is not None
        if node.options.cache.key is not None:
            read: Any = ["key", _asked(node, node.options.cache.key, arguments)]
        else:
            read = ["reads", {p.name: _plain(arguments[p.name]) for p in node.params if p.kind in _IN_KEY}]
        return hashlib.sha256(_json(node, [*self._nodes[activation.vertex], read])).hexdigest()

    # -- what was found -----------------------------------------------------------------------------

    async def _look(self, node: PlanNode, key: str) -> tuple[dict[str, Accepted], tuple[str, ...]] | None:
        try:
            body = await self._store.cached(key, self._clock.now())
            if body is None:
                return None
            return writes_in(self._invoker.plan, node, await read_body(self._store, LogRow(0, "cached", 0.0, body)))
        except (StoreError, ValueError, KeyError, TypeError, AttributeError) as error:
            _LOG.warning("a cached result of %s is of no use, so it is run: %s", node.name, error)
            return None


def writes_in(plan: Plan, node: PlanNode, body: Mapping[str, Any]) -> tuple[dict[str, Accepted], tuple[str, ...]]:
    """The writes in a cached result, as values that fit their fields; raises where they do not."""
    replaced = tuple(body.get("replaced", ()))
    writes = {}
    for name, parsed in body.get("writes", {}).items():
        if name not in node.writes.fields:
            raise KeyError(name)
        codec = plan.codec.fields[name]
        value = codec.load(parsed) if name in replaced else codec.load_operand(parsed)
        writes[name] = Accepted(value, text(parsed))
    return writes, replaced


def reads_of(invoker: Invoker, activation: Activation) -> bytes:
    """What an activation reads, in a form that is the same in every process; an error that led there counts, too.

    Raises:
        Exception: It cannot be read, or has no form in JSON.
    """
    node = invoker.plan.nodes[activation.vertex]
    read = {p.name: _plain(invoker.argument(p, activation)) for p in node.params if p.kind in _IN_KEY}
    return _bytes([node.name, read, None if activation.cause is None else str(activation.cause)])


def _of_node(plan: Plan, node: PlanNode) -> list[Any]:
    """What of a key is the same whatever a node reads."""
    assert node.node is not None
    if node.node not in _versions:
        _versions[node.node] = code_version(node.node.fn)
    written = {name: _form(plan, name) for name in sorted(node.writes.fields)}
    return [plan.name, node.name, _versions[node.node], written]


def _form(plan: Plan, name: str) -> Any:
    """The form of a field: its JSON schema, how writes are folded, and the validators of its own."""
    spec = plan.schema.fields[name]
    decorators = spec.owner.__pydantic_decorators__.field_validators.values()
    mine = [d for d in decorators if {"*", spec.attribute} & set(d.info.fields)]
    return [
        plan.codec.fields[name].adapter.json_schema(mode="serialization"),
        repr(spec.reducer),
        [[d.info.mode, code_version(d.func)] for d in mine],
    ]


def _asked(node: PlanNode, key: Callable[..., str], arguments: Mapping[str, Any]) -> str:
    """What the function of the key says."""
    names = inspect.signature(key).parameters
    found: Any = key(**{name: value for name, value in arguments.items() if name in names})
    if not isinstance(found, str):
        raise TypeError(f"the key of the cache of '{node.name}' is {found!r:.80}; it should be a str")
    return found


def _json(node: PlanNode, data: Any) -> bytes:
    try:
        return _bytes(data)
    except (PydanticSerializationError, ValueError) as error:
        raise TypeError(
            f"what '{node.name}' reads has no form in JSON, so its cache needs a key of its own:   "
            f"Cache(key=lambda ...: ...) ({error})"
        ) from error


def _bytes(data: Any) -> bytes:
    return to_json(data, inf_nan_mode="strings", bytes_mode="base64")


def _plain(value: Any) -> Any:
    """A value as data whose JSON is the same in every process: a set has another order in each."""
    if isinstance(value, BaseModel):
        return [[name, _plain(inner)] for name, inner in value]
    if is_dataclass(value) and not isinstance(value, type):
        return [[field.name, _plain(getattr(value, field.name))] for field in fields(value)]
    if isinstance(value, dict):
        return [[_plain(key), _plain(inner)] for key, inner in value.items()]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=_bytes)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
