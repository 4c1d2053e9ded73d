"""`orchestra check`: every problem of a graph, as a compiler would say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from orchestra_graph.cli.completing import targets as completed
from orchestra_graph.cli.errors import BadTarget
from orchestra_graph.cli.report import ExitCode, Report
from orchestra_graph.cli.settings import Settings, command
from orchestra_graph.errors import GraphError, Problem

if TYPE_CHECKING:
    from orchestra_graph.cli.config import Named
    from orchestra_graph.cli.targets import Loaded

__all__ = ["check", "check_target", "lines_of"]


@command("check")
@click.argument("targets", nargs=-1, metavar="[TARGET]...", shell_complete=completed)
def check(settings: Settings, targets: tuple[str, ...]) -> Report:
    """Compile graphs, and list what is wrong or doubtful.

    Of a TARGET without a graph's name all graphs are checked. Without a TARGET, those named by --target,
    $ORCHESTRA_TARGET or pyproject.toml.

    The exit code is 1 where there is an error; warnings do not count.
    """
    from orchestra_graph.cli.targets import typed_target

    places = [typed_target(text) for text in targets] or settings.code
    if not places:
        raise click.UsageError("no graph was named: give a TARGET, such as   path/file.py:graph")
    checked = [entry for named in places for entry in check_target(named)]
    errors = sum(_count(entry, "error") for entry in checked)
    document = {"graphs": checked, "errors": errors, "warnings": sum(_count(entry, "warning") for entry in checked)}
    text = "\n".join(line for entry in checked for line in lines_of(entry))
    return Report(document=document, text=text, code=ExitCode.ERROR if errors else ExitCode.DONE)


def check_target(named: Named) -> list[dict[str, Any]]:
    """Compile every graph that a target names.

    Returns:
        For each graph its ``target``, ``graph``, ``version``, ``nodes`` and ``problems``; one without a graph where the
        target names none, or cannot be imported.
    """
    from orchestra_graph.cli.targets import every_graph

    try:
        return [_checked(named.text, loaded) for loaded in every_graph(named)]
    except GraphError as error:
        return [_facts(named.text, None, None, error.problems)]
    except BadTarget as error:
        problem = Problem(code="target", what=error.what, where=error.where)
        return [_facts(named.text, None, None, [problem])]


def _checked(target: str, loaded: Loaded) -> dict[str, Any]:
    try:
        plan = loaded.graph.compile()
    except GraphError as error:
        return _facts(target, loaded, None, error.problems)
    return _facts(target, loaded, len(plan.nodes) - 2, plan.warnings)  # START and END are not the user's


def _facts(target: str, loaded: Loaded | None, nodes: int | None, problems: Any) -> dict[str, Any]:
    return {
        "target": target,
        "graph": loaded.graph.name if loaded else None,
        "version": loaded.graph.version if loaded else None,
        "nodes": nodes,
        "problems": [_problem_facts(problem) for problem in problems],
    }


def _problem_facts(problem: Problem) -> dict[str, Any]:
    from orchestra_graph.cli.targets import here

    file, _, line = problem.where.rpartition(":")
    return {
        "severity": problem.severity,
        "code": problem.code,
        "what": problem.what,
        "mend": problem.mend,
        "file": here(file) if file else None,
        "line": int(line) if line.isdigit() else None,
    }


def _count(entry: Mapping[str, Any], severity: str) -> int:
    return sum(problem["severity"] == severity for problem in entry["problems"])


def lines_of(entry: Mapping[str, Any]) -> list[str]:
    """The problems of a graph as a compiler prints them, and how many there are."""
    lines = []
    for problem in entry["problems"]:
        place = f"{problem['file']}:{problem['line']}" if problem["file"] else entry["target"]
        lines.append(f"{place}: {problem['severity']}[{problem['code']}]: {problem['what']}")
        lines += [f"    {line}" for line in problem["mend"].splitlines()]
    return [*lines, f"{entry['graph'] or entry['target']}: {_verdict(entry)}"]


def _verdict(entry: Mapping[str, Any]) -> str:
    found = [_several(_count(entry, kind), kind) for kind in ("error", "warning") if _count(entry, kind)]
    if entry["nodes"] is not None:
        found.insert(0, _several(entry["nodes"], "node"))
    return ", ".join(found) if entry["problems"] else f"{found[0]}, no problems"


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
