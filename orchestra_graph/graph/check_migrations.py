"""Checks of what a graph says about runs of its older versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestra_graph.errors import Problem, nearest
from orchestra_graph.graph.fits import fits
from orchestra_graph.graph.migration import Migration
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.signature import hints_of, type_name
from orchestra_graph.graph.subject import Subject

__all__ = ["migrations_hold"]


def migrations_hold(subject: Subject) -> Iterator[Problem]:
    """Every name that runs are moved to is there, and every value fits its field."""
    plan, migrations = subject.plan, subject.plan.migrations
    seen: set[str] = set()
    for index, one in enumerate(migrations):
        if one.version in seen or one.version == plan.version:
            again = one.version in seen
            what = f"migrate('{one.version}') is " + ("said twice" if again else "from the graph's own version")
            yield Problem(
                code="migration-version",
                what=what,
                mend="Keep one of them" if again else "Graph(..., version=...)   with another version than before",
                where=one.where,
            )
        seen.add(one.version)
        later = migrations[index + 1 :]
        yield from _names(one, "node", one.nodes.values(), [n.name for n in plan.nodes], [m.nodes for m in later])
        fields = [*(now for now in one.renamed.values()), *one.functions]
        yield from _names(one, "field", fields, list(plan.schema.fields), [m.fields for m in later])
        yield from _types(plan, one, later)


def _names(
    one: Migration, kind: str, names: Iterable[str | None], known: Sequence[str], later: Sequence[Mapping[str, Any]]
) -> Iterator[Problem]:
    for name in names:
        if name is None or name in known or any(name in more for more in later):
            continue
        yield Problem(
            code="migration-name",
            what=f"migrate('{one.version}') leads to the {kind} '{name}', which is not there.{nearest(name, known)}",
            mend=f'{kind}s={{"...": "{_nearest(name, known)}"}}   or None, where it is gone for good',
            where=one.where,
        )


def _nearest(name: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches  # only where there is a problem

    return next(iter(get_close_matches(name, known, n=1)), known[-1])


def _types(plan: Plan, one: Migration, later: Sequence[Migration]) -> Iterator[Problem]:
    for name, function in one.functions.items():
        spec = plan.schema.fields.get(name)
        if spec is None or any(name in more.fields for more in later):
            continue
        given = hints_of(function).get("return", Any)
        if given is not Any and fits(given, spec.annotation) is False:
            yield Problem(
                code="migration-type",
                what=f"migrate('{one.version}') gives '{name}' a {type_name(given)}, and it takes a "
                f"{type_name(spec.annotation)}",
                mend=f"-> {type_name(spec.annotation)}",
                where=one.where,
            )
