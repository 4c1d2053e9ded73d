"""Whether a type takes every value of another one, told from what they are called: no more is stored."""

from __future__ import annotations

import ast

__all__ = ["wider"]

_TAKES = {"float": {"int"}, "object": {"*"}, "Any": {"*"}}
_READ_ONLY = {"tuple", "frozenset", "Sequence", "Mapping", "list", "set", "dict", "Iterable", "Collection"}
"""Their values are read, never shared: a list of more types takes what a list of fewer had."""


def wider(before: str, now: str) -> bool:
    """Whether every value of the type called *before* is one of *now*; False where that cannot be told.

    Args:
        before: A type as a form of a graph writes it, such as ``int | None``.
        now: Another one.
    """
    if before == now:
        return True
    try:
        return _takes(ast.parse(now, mode="eval").body, ast.parse(before, mode="eval").body)
    except SyntaxError:  # a type that is written otherwise
        return False


def _members(node: ast.expr) -> list[ast.expr]:
    """The members of a union, and the values of a Literal one by one."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_members(node.left), *_members(node.right)]
    if isinstance(node, ast.Subscript) and _name(node.value) == "Literal":
        values = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return [ast.Subscript(node.value, value, ast.Load()) for value in values]
    return [node]


def _takes(now: ast.expr, before: ast.expr) -> bool:
    return all(any(_one(wide, narrow) for wide in _members(now)) for narrow in _members(before))


def _one(now: ast.expr, before: ast.expr) -> bool:
    if ast.dump(now) == ast.dump(before):
        return True
    if isinstance(now, ast.Name):
        takes = _TAKES.get(now.id, set())
        return "*" in takes or _name(before) in takes or _literal_of(before) == now.id
    if not (isinstance(now, ast.Subscript) and isinstance(before, ast.Subscript)):
        return False
    if _name(now.value) != _name(before.value) or _name(now.value) not in _READ_ONLY:
        return False
    wide, narrow = _arguments(now), _arguments(before)
    return len(wide) == len(narrow) and all(_takes(a, b) for a, b in zip(wide, narrow, strict=True))


def _literal_of(node: ast.expr) -> str:
    """The type of the value of a Literal."""
    if isinstance(node, ast.Subscript) and _name(node.value) == "Literal" and isinstance(node.slice, ast.Constant):
        return type(node.slice.value).__name__
    return ""


def _arguments(node: ast.Subscript) -> list[ast.expr]:
    return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""
