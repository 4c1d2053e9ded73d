"""The version of a function: what changes when its code does, and is the same in every process.

Looked at is the function itself: its bytecode, constants, names, defaults, and what it closes over where that is plain
data or a function; so are the functions inside of it and those that it wraps. Not looked at are comments, line numbers
and annotations, and the bodies and values behind the global names that it uses: another module may change without it.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import inspect
import types
from collections.abc import Callable
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from pydantic_core import to_json

from orchestra_graph.graph.plan import Plan

__all__ = ["code_at", "code_version", "codes_of"]

_ATOMS = (bool, int, float, complex, str, bytes, type(None), type(...), Decimal, date, time, timedelta, UUID, PurePath)

_SHORT = 8
"""So many hexadecimal digits of a version stand in the log for the code of one node."""

_codes: WeakKeyDictionary[Plan, str] = WeakKeyDictionary()


def codes_of(plan: Plan) -> str:
    """A few characters for the code of each node of a plan, in their order."""
    if plan not in _codes:
        _codes[plan] = "".join(code_version(n.node.fn)[:_SHORT] for n in plan.nodes if n.node is not None)
    return _codes[plan]


def code_at(plan: Plan, codes: str, vertex: int) -> str:
    """What *codes* say of the code of one node; empty where that is not known."""
    if plan.nodes[vertex].node is None or len(codes) != len(codes_of(plan)):
        return ""
    place = sum(n.node is not None for n in plan.nodes[:vertex])
    return codes[place * _SHORT : (place + 1) * _SHORT]


def code_version(fn: Callable[..., Any]) -> str:
    """A hash of a function's code; another release of Python compiles to another one."""
    return hashlib.sha256(to_json(_callable(fn, ()))).hexdigest()


def _callable(fn: Any, seen: tuple[int, ...]) -> Any:
    """A callable as plain data; *seen* are the ids of what it is part of."""
    if id(fn) in seen:
        return "itself"
    seen = (*seen, id(fn))
    if isinstance(fn, functools.partial):
        return ["partial", _callable(fn.func, seen), _value(fn.args, seen), _value(fn.keywords, seen)]
    if inspect.ismethod(fn):
        return _callable(fn.__func__, seen)
    if not isinstance(fn, types.FunctionType):
        call = getattr(type(fn), "__call__", None)  # noqa: B004
        if isinstance(call, types.FunctionType):
            return _callable(call, seen)
        return [getattr(fn, "__module__", ""), getattr(fn, "__qualname__", "")]
    cells = zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True)
    return [
        _code(fn.__code__),
        _value(fn.__defaults__, seen),
        _value(fn.__kwdefaults__, seen),
        [[name, _cell(cell, seen)] for name, cell in cells],
        _callable(fn.__wrapped__, seen) if hasattr(fn, "__wrapped__") else None,
    ]


def _code(code: types.CodeType) -> Any:
    return [
        code.co_code.hex(),
        code.co_exceptiontable.hex(),
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        [code.co_flags, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount],
        [_code(c) if isinstance(c, types.CodeType) else _value(c, ()) for c in code.co_consts],
    ]


def _cell(cell: types.CellType, seen: tuple[int, ...]) -> Any:
    try:
        return _value(cell.cell_contents, seen)
    except ValueError:  # nothing was put into it yet
        return None


def _value(value: Any, seen: tuple[int, ...]) -> Any:
    """Plain data and functions as lists of texts; None for everything else, which says nothing about the code."""
    kind = type(value).__name__
    if isinstance(value, enum.Enum):
        return [kind, value.name]
    if isinstance(value, _ATOMS):
        return [kind, repr(value)]
    if isinstance(value, types.FunctionType | types.MethodType | functools.partial):
        return _callable(value, seen)
    if id(value) in seen or not isinstance(value, list | tuple | set | frozenset | dict):
        return None
    seen = (*seen, id(value))
    if isinstance(value, dict):
        return [kind, [[_value(k, seen), _value(v, seen)] for k, v in value.items()]]
    items = [_value(item, seen) for item in value]
    # A set has another order in each process.
    return [kind, sorted(items, key=to_json) if isinstance(value, set | frozenset) else items]
