"""One activation, from what it reads to what it writes.

Arguments are copied out, the function is called, and its value is checked and made storable.

Rule 1. What a node gets, and what it gave, is never an object that the engine keeps.
Rule 2. A value that does not fit its field is an error of the node that wrote it, and nothing of it is stored.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import make_dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from orchestra_graph.core.revisions import UNSET, Cell, Conflict, Grown, View
from orchestra_graph.core.run import Activation, RunState, Wave
from orchestra_graph.errors import BadWrite, NodeTimeout, NotStorable, NotWritten, nearest
from orchestra_graph.graph.edges import Choice
from orchestra_graph.graph.plan import Param, Plan, PlanNode, Transfer
from orchestra_graph.runtime.context import Context
from orchestra_graph.runtime.journal import items_codec
from orchestra_graph.runtime.resources import Resources
from orchestra_graph.runtime.result import Result
from orchestra_graph.runtime.routes import holds, read_choice, route
from orchestra_graph.runtime.threads import Threads
from orchestra_graph.state.codec import Accepted, first_line
from orchestra_graph.state.patch import patch_fields
from orchestra_graph.state.reducers import Replace, add, last
from orchestra_graph.state.schema import Schema, State

__all__ = ["Invoker", "Result", "state_of", "value_of"]

_LOG = logging.getLogger("orchestra_graph.node")
_NEVER_FAIL = (add, last)


def value_of(plan: Plan, name: str, cell: Cell | None) -> Any:
    """The value in a cell, as something that its receiver may do anything with; `UNSET` where there is none."""
    if cell is None or isinstance(cell, Conflict):
        return UNSET
    value = cell.value
    if isinstance(cell, Grown) and plan.codec.fields[name].makes_tuple:
        value = tuple(value)
    return plan.codec.copy_out(name, value)


def state_of(plan: Plan, view: View, *, whole: bool = False) -> State:
    """The state that a view shows; *whole*: it is the final one, and the state's own validators see it."""
    values = {name: value_of(plan, name, view.get(name)) for name in plan.own}
    return plan.schema.build({name: value for name, value in values.items() if value is not UNSET}, whole=whole)


class Invoker:
    """Runs the nodes of one plan for one run.

    Args:
        plan: The graph.
        key: The run.
        resources: What the engine was given.
        threads: For sync nodes.
    """

    def __init__(self, plan: Plan, key: str, resources: Resources, threads: Threads):
        self.plan, self.key, self.resources, self.threads = plan, key, resources, threads

    async def call(self, activation: Activation, late: Callable[[str], None]) -> Any:
        """Call the function of an activation, within its timeout.

        Args:
            activation: Which.
            late: Told when a sync function that was left alone ends after all.

        Raises:
            NodeTimeout: It took too long.
            Exception: Whatever the function raised.
        """
        node = self.plan.nodes[activation.vertex]
        assert node.node is not None
        kwargs = self.arguments(activation)
        seconds = node.options.timeout
        if seconds is None:
            return await self.perform(node.node.fn, kwargs, late)
        try:
            async with asyncio.timeout(seconds) as timer:
                return await self.perform(node.node.fn, kwargs, late)
        except TimeoutError:
            if timer.expired():
                raise NodeTimeout(activation.id, seconds, activation.attempt) from None
            raise

    async def perform(self, fn: Callable[..., Any], kwargs: dict[str, Any], late: Callable[[str], None]) -> Any:
        """Call a function: an async one here, any other in a thread; *late* as for `call`."""
        if is_async(fn):
            return await fn(**kwargs)
        value = await self.threads.run(fn, kwargs, late)
        return await value if inspect.isawaitable(value) else value

    def arguments(self, activation: Activation) -> dict[str, Any]:
        """What the function of an activation is called with, made for whoever gets it."""
        node = self.plan.nodes[activation.vertex]
        return {p.name: self._argument(p, node, activation) for p in node.params}

    def _argument(self, param: Param, node: PlanNode, activation: Activation) -> Any:
        return _ARGUMENTS[param.kind](self, param, node, activation)

    def argument(self, param: Param, activation: Activation) -> Any:
        """What one parameter of the function of an activation is given."""
        return self._argument(param, self.plan.nodes[activation.vertex], activation)

    def _field(self, param: Param, node: PlanNode, activation: Activation) -> Any:
        return self._read(param.source, activation.revision.seen())

    def _read(self, choice: Choice, view: View) -> Any:
        """The value of a path, or of a function of fields, as a view shows it; it must be there."""
        value = read_choice(choice, lambda name: value_of(self.plan, name, view.get(name)))
        if value is UNSET:
            raise NotWritten(self.plan.schema.state.__name__, str(choice))
        return value

    def _state(self, param: Param, node: PlanNode, activation: Activation) -> Any:
        seen = activation.revision.seen()
        if node.call is None:
            return state_of(self.plan, seen)
        call = self.plan.calls[node.call]
        values = {name: value_of(self.plan, field, seen.get(field)) for name, field in call.names.items()}
        return Schema.of(call.state).build({name: value for name, value in values.items() if value is not UNSET})

    def _view(self, param: Param, node: PlanNode, activation: Activation) -> Any:
        """The fields that a protocol lists, and nothing else."""
        seen = activation.revision.seen()
        values = {name: value_of(self.plan, field, seen.get(field)) for name, field in param.view.items()}
        unset = [param.view[name] for name, value in values.items() if value is UNSET]
        if unset:
            raise NotWritten(self.plan.schema.state.__name__, unset[0])
        return _view_of(param.annotation.__name__, tuple(values))(**values)

    def _context(self, param: Param, node: PlanNode, activation: Activation) -> Context:
        extra = {"run": self.key, "node": node.name, "activation": activation.id, "attempt": activation.attempt}
        turns = [c for c in activation.stamp if isinstance(c, int)]
        return Context(
            run=self.key,
            graph=self.plan.name,
            node=node.name,
            id=activation.id,
            attempt=activation.attempt,
            turn=turns[-1] if turns else None,
            error=activation.cause or activation.error,
            log=logging.LoggerAdapter(_LOG, extra),
        )

    def _item(self, param: Param, node: PlanNode, activation: Activation) -> Any:
        fan, index = activation.fans[-1]
        group = self.plan.group_of(fan.edge)
        if fan.items is None:  # read once for the whole pass
            assert group.choice is not None
            fan.items = list(read_choice(group.choice, lambda name: value_of(self.plan, name, fan.view.get(name))))
        if fan.made:
            return copy.deepcopy(fan.items[index])
        return self.plan.codec.fields[group.reads[0]].copy_part(fan.items[index])

    def _resource(self, param: Param, node: PlanNode, activation: Activation) -> Any:
        return self.resources.find(param)

    # -- what it gave -------------------------------------------------------------------------------

    def result(self, activation: Activation, value: Any) -> Result:
        """Check what the function of an activation returned, and decide where it goes from there.

        Raises:
            BadWrite: It does not fit.
            SwitchMissed: A switch has no case for it.
            Exception: Whatever a condition raised.
        """
        node = self.plan.nodes[activation.vertex]
        found = Result()
        for name, given in self._writes(node, activation, value).items():
            self._accept(found, node, activation, name, given)
        self._route(found, node, activation)
        return found

    def recalled(
        self,
        activation: Activation,
        writes: Mapping[str, Accepted],
        replaced: tuple[str, ...] = (),
        reused: str | None = None,
    ) -> Result:
        """The result of an activation that is not run: *writes* is what it wrote when it was, in the run *reused*."""
        found = Result(cached=reused is None, replaced=replaced, reused=reused)
        for name, accepted in writes.items():
            found.writes[name], found.fragments[name] = accepted
            self._try_fold(found, activation, name)
        self._route(found, self.plan.nodes[activation.vertex], activation)
        return found

    def rerouted(self, activation: Activation, writes: Mapping[str, Any], replaced: tuple[str, ...]) -> Result:
        """Where an activation goes that has written this: its edges, decided once more."""
        found = Result(writes=dict(writes), replaced=replaced)
        self._route(found, self.plan.nodes[activation.vertex], activation)
        return found

    def passed(self, activation: Activation, given: Mapping[str, Any] = MappingProxyType({})) -> Result:
        """The result of going into a graph that stands in this one, or of coming out of it.

        Args:
            activation: The way in or out.
            given: The defaults that are known; the others are made.

        Raises:
            NotWritten: Nothing has written what goes over.
            BadWrite: What goes over does not fit.
        """
        node = self.plan.nodes[activation.vertex]
        found = Result()
        for transfer in node.transfers:
            value = self._transferred(transfer, node, activation, given)
            self._accept(found, node, activation, transfer.field, value)
        self._route(found, node, activation)
        return found

    def _transferred(self, transfer: Transfer, node: PlanNode, activation: Activation, given: Mapping[str, Any]) -> Any:
        spec = self.plan.schema.fields[transfer.field]
        if transfer.kind == "default" and transfer.field in given:
            value = given[transfer.field]
        elif transfer.kind == "default":
            value = spec.info.get_default(call_default_factory=True, validated_data={})
        elif transfer.kind == "item":
            value = self._item(Param(name="", kind="item", annotation=spec.annotation), node, activation)
        else:
            value = self._read(transfer.source, activation.revision.seen())
        # What a field of the graph's own begins with is its value; what comes out is one operand of the field outside.
        return Replace(value) if node.kind == "enter" and spec.reducer is not None else value

    def holds(self, run: RunState, wave: Wave) -> bool:
        """What an `until` join's predicate says of the merge of what has come to it."""
        predicate = self.plan.topology.rule[wave.join].predicate
        assert predicate is not None
        view = run.revisions.look([token.revision for token in wave.tokens])
        return holds(predicate, lambda name: value_of(self.plan, name, view.get(name)))

    def nothing(self, activation: Activation) -> Result:
        """The result of an activation that writes nothing: nobody was asked."""
        found = Result()
        self._route(found, self.plan.nodes[activation.vertex], activation)
        return found

    def _writes(self, node: PlanNode, activation: Activation, value: Any) -> Mapping[str, Any]:
        if node.writes.single:
            return {next(iter(node.writes.fields)): value}
        if not node.writes.fields:
            if value is not None:
                message = f"it returned {value!r:.80}, though its annotation says that it returns None"
                raise BadWrite(activation.id, "", message)
            return {}
        try:
            return {node.writes.names.get(name, name): given for name, given in patch_fields(value).items()}
        except (TypeError, ValueError):
            wanted = ", ".join(node.writes.fields)
            raise BadWrite(activation.id, "", f"it returned {value!r:.80}, not a patch of {wanted}") from None

    def _accept(self, found: Result, node: PlanNode, activation: Activation, name: str, given: Any) -> None:
        codec = self.plan.codec.fields.get(name)
        if codec is None:
            hint = nearest(name, list(self.plan.codec.fields))
            raise BadWrite(activation.id, name, f"it wrote '{name}', which is no field of the state.{hint}")
        if name not in node.writes.fields:  # the checks of the compile, and of other branches, know nothing of it
            raise BadWrite(activation.id, name, f"it wrote '{name}', which its return annotation does not name")
        try:
            accepted = codec.operand(given)
        except ValidationError as error:
            raise BadWrite(
                activation.id, name, f"what it wrote to '{name}' does not fit: {first_line(error)}"
            ) from None
        except NotStorable as error:
            raise BadWrite(activation.id, name, str(error)) from None
        except Exception as error:  # a validator of the field is wrong
            what = f"checking what it wrote to '{name}' raised {type(error).__name__}: {error}"
            raise BadWrite(activation.id, name, what) from error
        found.writes[name], found.fragments[name] = accepted
        if isinstance(given, Replace) and codec.spec.reducer is not None:
            found.replaced += (name,)
        self._try_fold(found, activation, name)

    def _try_fold(self, found: Result, activation: Activation, name: str) -> None:
        """Fold a write once where it is made: a reducer that cannot must fail the node, not the run's log."""
        reducer = self.plan.schema.fields[name].reducer
        if reducer is None or reducer.grows or reducer in _NEVER_FAIL:
            return
        try:
            self._left(found, name, activation.revision.seen().get(name))
        except Exception as error:
            what = f"the reducer {reducer} of '{name}' raised {type(error).__name__}: {error}"
            raise BadWrite(activation.id, name, what) from error

    def _route(self, found: Result, node: PlanNode, activation: Activation) -> None:
        view = activation.revision.seen()

        def look(name: str) -> Any:
            cell = view.get(name)
            if name not in found.writes:
                return value_of(self.plan, name, cell)
            return self._left(found, name, cell)

        way = route(self.plan, node, look)
        found.taken = way.taken
        for edge, items in way.made.items():
            try:
                found.made[edge], found.item_fragments[edge] = items_codec(self.plan, edge).accept(items)
            except ValidationError as error:
                raise BadWrite(activation.id, "", f"the items of its each do not fit: {first_line(error)}") from None

    def _left(self, found: Result, name: str, cell: Cell | None) -> Any:
        """A field as the node leaves it: what it wrote, folded onto what was there."""
        reducer, written = self.plan.schema.fields[name].reducer, found.writes[name]
        if reducer is None or name in found.replaced:
            return self.plan.codec.copy_out(name, written)
        written = self.plan.codec.fields[name].copy_operand(written)
        before = value_of(self.plan, name, cell)
        if reducer.grows:
            kind = tuple if self.plan.codec.fields[name].makes_tuple else list
            return kind((*(() if before is UNSET else before), *written))
        return written if before is UNSET else reducer.fold(before, written)


def is_async(fn: Any) -> bool:
    """Whether calling *fn* gives an awaitable, and so needs no thread."""
    while hasattr(fn, "func"):  # a partial
        fn = fn.func
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


@lru_cache(maxsize=256)
def _view_of(protocol: str, names: tuple[str, ...]) -> type[Any]:
    """The class of what a parameter gets that is annotated with a protocol."""
    return make_dataclass(protocol, [(name, Any) for name in names], frozen=True, slots=True)


_ARGUMENTS: Mapping[str, Callable[[Invoker, Param, PlanNode, Activation], Any]] = {
    "field": Invoker._field,
    "state": Invoker._state,
    "view": Invoker._view,
    "context": Invoker._context,
    "item": Invoker._item,
    "resource": Invoker._resource,
}
