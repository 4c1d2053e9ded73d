"""Checking a value by a JSON schema that stands in a database: where the code is not at hand.

Rule 1. A schema fetches nothing: a reference leads to another place of the same schema, or it is refused.
Rule 2. A schema takes no more time than it is long. A pattern is matched in linear time, by the engine that checks it
where the code is at hand, too; and so many references are followed and no more (`MOST`), for a few of them, one
naming the other twice, stand for more than can ever be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from functools import lru_cache
from itertools import count
from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaError, SchemaValidator, core_schema

__all__ = ["MOST", "UnusableSchema", "wrong_by_schema"]

MOST = 10_000
"""How many references in a schema are followed for one value."""

_followed: ContextVar[Iterator[int]] = ContextVar("_followed")


class UnusableSchema(ValueError):
    """What stands in the database is no schema that a value can be checked by."""


def wrong_by_schema(schema: Any, value: Any) -> str | None:
    """What a JSON schema says against a value; None where it fits.

    Raises:
        UnusableSchema: It is no schema, or one that refers to something outside of it, or to too much.
    """
    import jsonschema
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    _followed.set(count())
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        # An empty registry: nothing is fetched.
        validator = _careful()(schema, registry=Registry(), format_checker=jsonschema.FormatChecker())
        error = next(iter(validator.iter_errors(value)), None)
    except Unresolvable as found:
        raise UnusableSchema(f"it refers to {str(found.ref)[:80]!r}, which is not in it") from None
    except jsonschema.SchemaError as found:
        raise UnusableSchema(f"{found.message[:200]}") from None
    except RecursionError:
        raise UnusableSchema("it is nested too deep") from None
    if error is None:
        return None
    place = ".".join(str(part) for part in error.absolute_path)
    return f"{place + ': ' if place else ''}{error.message}"


@lru_cache(maxsize=1)
def _careful() -> Any:
    """The validator of JSON schemas, without what could take for ever."""
    import jsonschema

    own = {
        "$ref": _follow,
        "$dynamicRef": _refused("$dynamicRef"),
        "pattern": _pattern,
        "patternProperties": _refused("patternProperties"),
    }
    extend: Any = jsonschema.validators.extend
    return extend(jsonschema.Draft202012Validator, own)


def _follow(validator: Any, reference: Any, instance: Any, inside: Any) -> Iterator[Any]:
    import jsonschema

    if next(_followed.get()) >= MOST:
        raise UnusableSchema(f"more than {MOST:,} references have to be followed")
    yield from jsonschema.Draft202012Validator.VALIDATORS["$ref"](validator, reference, instance, inside)


def _pattern(validator: Any, pattern: Any, instance: Any, inside: Any) -> Iterator[Any]:
    import jsonschema

    if isinstance(instance, str):
        try:
            _matcher(pattern).validate_python(instance)
        except ValidationError:
            yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


@lru_cache(maxsize=64)
def _matcher(pattern: str) -> SchemaValidator:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError:
        raise UnusableSchema(f"the pattern {pattern[:80]!r} can be checked with the code of the graph only") from None


def _refused(name: str) -> Any:
    def refuse(validator: Any, value: Any, instance: Any, inside: Any) -> Iterator[Any]:
        raise UnusableSchema(f"it has {name}, which can be checked with the code of the graph only")

    return refuse
