"""A plugin for pytest: every graph is a test, which fails where `orchestra check` would say something.

It does nothing unless it is asked to:

    pytest --orchestra                          the targets of [tool.orchestra] in pyproject.toml
    pytest --orchestra-target flows.py          these
    [tool.pytest.ini_options]
    orchestra_targets = ["package.flows"]       these, whenever pytest is not told which tests to run
    orchestra_allow = ["dead-write"]            warnings that fail no test; "all" for every one

Rule 1. Who does not ask for it pays nothing: this file imports pytest and the standard library.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from orchestra_graph.cli.config import Named

__all__ = ["GraphItem", "pytest_addoption", "pytest_collection_modifyitems"]

_FLAG, _TARGET, _ALLOW = "--orchestra", "--orchestra-target", "--orchestra-allow"
_TARGETS_INI, _ALLOW_INI = "orchestra_targets", "orchestra_allow"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("orchestra", "graphs of orchestra_graph")
    group.addoption(_FLAG, action="store_true", help="Compile the graphs of the project, each as a test.")
    group.addoption(_TARGET, action="append", default=[], metavar="TARGET", help="The graphs of this module or file.")
    group.addoption(_ALLOW, action="append", default=[], metavar="CODE", help="A warning that fails no test, or 'all'.")
    parser.addini(_TARGETS_INI, "Modules or files whose graphs are compiled, each as a test.", type="args", default=[])
    parser.addini(_ALLOW_INI, "Codes of warnings that fail no test, or 'all'.", type="args", default=[])


@pytest.hookimpl(tryfirst=True)  # so that -k and -m choose among these, too
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test for each graph."""
    items += _items(session, config)


def _items(session: pytest.Session, config: pytest.Config) -> Iterator[GraphItem]:
    allowed = frozenset([*config.getoption(_ALLOW), *config.getini(_ALLOW_INI)])
    for named in _wanted(config):
        for name, entry in _checked(named):
            identity = f"orchestra::{name}"
            yield GraphItem.from_parent(session, name=name, nodeid=identity, entry=entry, allowed=allowed)


def _wanted(config: pytest.Config) -> list[Named]:
    """The targets that were asked for."""
    typed, listed = config.getoption(_TARGET), config.getini(_TARGETS_INI)
    chosen = config.args_source is pytest.Config.ArgsSource.ARGS  # these tests and no others
    if not (typed or config.getoption(_FLAG) or (listed and not chosen)):
        return []
    from orchestra_graph.cli.config import Named, targets_named

    if typed:
        return [Named(text, _TARGET, config.invocation_params.dir) for text in typed]
    if listed:
        return [Named(text, _TARGETS_INI, config.rootpath) for text in listed]
    found = targets_named((), os.environ, config.rootpath)
    if not found:
        raise pytest.UsageError(f"{_FLAG}: no graph was named. Say which:   pytest {_TARGET} path/file.py:graph")
    return list(found)


def _checked(named: Named) -> list[tuple[str, Mapping[str, Any]]]:
    """What `orchestra check` finds, with a name for the test."""
    from orchestra_graph.cli.check import check_target

    entries = check_target(named)
    place = named.text if len(entries) > 1 or not entries[0]["graph"] else named.text.rpartition(":")[0] or named.text
    return [(f"{place}:{entry['graph']}" if entry["graph"] else place, entry) for entry in entries]


class GraphItem(pytest.Item):
    """One graph.

    Attributes:
        entry: What `orchestra check` found.
        allowed: The warnings that do not count.
    """

    def __init__(self, *, entry: Mapping[str, Any], allowed: frozenset[str], **usual: Any):
        super().__init__(**usual)
        self.entry, self.allowed = entry, allowed

    def runtest(self) -> None:
        """Fail where a problem was found that counts."""
        if any(self._counts(problem) for problem in self.entry["problems"]):
            raise BadGraph

    def _counts(self, problem: Mapping[str, Any]) -> bool:
        return problem["severity"] == "error" or not {"all", problem["code"]} & self.allowed

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The words of `orchestra check`."""
        if not isinstance(excinfo.value, BadGraph):
            return super().repr_failure(excinfo, style)
        from orchestra_graph.cli.check import lines_of

        return "\n".join(lines_of(self.entry))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the first problem is."""
        heading = f"graph {self.name}"
        for problem in self.entry["problems"]:
            if problem["file"]:
                return Path(problem["file"]), (problem["line"] or 1) - 1, heading
        return self.path, None, heading


class BadGraph(Exception):
    """A graph with problems that count; what they are is in the item."""
