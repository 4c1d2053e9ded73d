"""A plugin for pytest: every graph is a test, which fails where `orchestra check` would say something; and fixtures.

No graph is a test unless that is asked for:

    pytest --orchestra                          the targets of [tool.orchestra] in pyproject.toml
    pytest --orchestra-target flows.py          these
    [tool.pytest.ini_options]
    orchestra_targets = ["package.flows"]       these, whenever pytest is not told which tests to run
    orchestra_allow = ["dead-write"]            warnings that fail no test; "all" for every one

The fixtures, and the marker, are there for whoever names them:

    @pytest.mark.virtual_time                   an async test, on a virtual event loop; see `testing.clock`
    virtual_clock                               the clock for an engine in such a test
    orchestra_store                             a store that is not open yet; the test runs once for each kind of store
    crash_everywhere(graph, input, ...)         see `testing.crash`; from an ordinary test, no `await`
    simulate(job, seed=...)                     see `testing.simulation`
    postgres_url                                an empty PostgreSQL database, for this test alone

    [tool.pytest.ini_options]
    orchestra_stores = ["memory", "sqlite", "postgres"]     the kinds of `orchestra_store`; else the first two

Rule 1. Who does not ask for it pays nothing: this file imports pytest and the standard library.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from orchestra_graph.cli.config import Named
    from orchestra_graph.graph.builder import Graph
    from orchestra_graph.store.base import Store
    from orchestra_graph.testing.clock import VirtualClock
    from orchestra_graph.testing.crash import CrashReport
    from orchestra_graph.testing.simulation import SimulationReport

__all__ = [
    "GraphItem",
    "crash_everywhere",
    "orchestra_store",
    "postgres_url",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_pyfunc_call",
    "simulate",
    "virtual_clock",
]

_FLAG, _TARGET, _ALLOW = "--orchestra", "--orchestra-target", "--orchestra-allow"
_TARGETS_INI, _ALLOW_INI, _STORES_INI = "orchestra_targets", "orchestra_allow", "orchestra_stores"
_VIRTUAL = "virtual_time"
_STORES = ("memory", "sqlite", "postgres")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("orchestra", "graphs of orchestra_graph")
    group.addoption(_FLAG, action="store_true", help="Compile the graphs of the project, each as a test.")
    group.addoption(_TARGET, action="append", default=[], metavar="TARGET", help="The graphs of this module or file.")
    group.addoption(_ALLOW, action="append", default=[], metavar="CODE", help="A warning that fails no test, or 'all'.")
    parser.addini(_TARGETS_INI, "Modules or files whose graphs are compiled, each as a test.", type="args", default=[])
    parser.addini(_ALLOW_INI, "Codes of warnings that fail no test, or 'all'.", type="args", default=[])
    parser.addini(_STORES_INI, "Stores for `orchestra_store`.", type="args", default=["memory", "sqlite"])


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers", f"{_VIRTUAL}: run this async test on a virtual event loop: waiting takes no time."
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses `orchestra_store` once for each kind of store."""
    if "orchestra_store" in metafunc.fixturenames:
        kinds = metafunc.config.getini(_STORES_INI)
        unknown = sorted(set(kinds) - set(_STORES))
        if unknown:
            raise pytest.UsageError(
                f"{_STORES_INI}: no such store: {', '.join(unknown)}. There are {', '.join(_STORES)}"
            )
        metafunc.parametrize("orchestra_store", kinds, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that is marked with `virtual_time`."""
    if pyfuncitem.get_closest_marker(_VIRTUAL) is None:
        return None
    from orchestra_graph.testing.clock import run_virtually

    names = inspect.signature(pyfuncitem.obj).parameters
    run_virtually(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


# -- fixtures --------------------------------------------------------------------------------------------


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """The clock of the virtual event loop: for an engine, and to ask for the time."""
    from orchestra_graph.testing.clock import VirtualClock

    return VirtualClock()


@pytest.fixture
def orchestra_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store that is not open: ``Engine(orchestra_store, graphs=[...])``."""
    from orchestra_graph.store import open_store

    if request.param == "postgres":
        return open_store(request.getfixturevalue("postgres_url"))
    return open_store(None if request.param == "memory" else f"sqlite:///{tmp_path / 'orchestra.db'}")


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL database that is made for this test and taken away after it."""
    from orchestra_graph.testing.postgres import throwaway_postgres

    with throwaway_postgres() as database:
        yield database.url


@pytest.fixture
def crash_everywhere() -> Callable[..., CrashReport]:
    """`testing.crash.crash_everywhere` for an ordinary test: on virtual time, or with ``url=`` on real time."""
    from orchestra_graph.testing.clock import run_virtually
    from orchestra_graph.testing.crash import crash_everywhere

    def run(graph: Graph[Any], input: Any, /, **options: Any) -> CrashReport:
        work = crash_everywhere(graph, input, **options)
        return run_virtually(work) if options.get("url") is None and not options.get("threads") else asyncio.run(work)

    return run


@pytest.fixture
def simulate() -> Callable[..., SimulationReport]:
    """`testing.simulation.simulate`."""
    from orchestra_graph.testing.simulation import simulate

    return simulate


# -- graphs as tests -------------------------------------------------------------------------------------


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
