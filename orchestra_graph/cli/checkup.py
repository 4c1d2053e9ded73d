"""What `orchestra doctor` looks at. Each check gives its findings, and a check that finds nothing wrong says that, too.

Rule 1. A check never raises: what it cannot find out is a finding.
Rule 2. A problem has a line to type wherever there is one.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from orchestra_graph._version import __version__
from orchestra_graph.cli.config import Named, url_of
from orchestra_graph.cli.settings import Settings
from orchestra_graph.cli.targets import every_graph, here
from orchestra_graph.cli.words import amount, printable
from orchestra_graph.errors import GraphError, OrchestraError, Problem, StoreError, without_password
from orchestra_graph.store.examine import Findings, examine
from orchestra_graph.store.place import sqlite_path
from orchestra_graph.store.schema import is_postgres, schema_of

__all__ = ["Finding", "examined"]

_DISTRIBUTION = "orchestra-graph"
_OLDEST_PYTHON = (3, 11)
_OLDEST_SQLITE = (3, 35, 0)  # the first with RETURNING
_LITTLE_ROOM = 100 * 1024**2
_NOT_FOR_USERS = "dev"
_MOST = 5
_REQUIRED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:>=(?P<least>[0-9.]+))?")
_EXTRA = re.compile(r"extra\s*==\s*['\"](?P<extra>[^'\"]+)['\"]")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: What it is about, one word.
        level: ``ok``, ``note`` (good to know), or ``problem``.
        what: What was found.
        mend: Lines to type.
    """

    area: str
    level: Literal["ok", "note", "problem"]
    what: str
    mend: tuple[str, ...] = ()


def examined(settings: Settings) -> Iterator[Finding]:
    """Every finding, in the order in which one would mend them."""
    yield from _python()
    yield from _packages()
    yield from _pictures()
    yield from _database(settings)
    yield from _targets(settings)


# -- what is installed -------------------------------------------------------------------------------


def _python() -> Iterator[Finding]:
    found = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    if sys.version_info < _OLDEST_PYTHON:
        yield Finding("python", "problem", f"{found}; Python 3.11 or newer is needed")
    elif sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        yield Finding("python", "problem", f"{found}; SQLite {'.'.join(map(str, _OLDEST_SQLITE))} or newer is needed")
    else:
        yield Finding("python", "ok", found)


def _packages() -> Iterator[Finding]:
    try:
        listed = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        what = f"{_DISTRIBUTION} {__version__} is not installed: it is imported from a folder"
        yield Finding("packages", "note", what, ("pip install -e .",))
        return
    wrong = [said for text in listed if not _EXTRA.search(text) and (said := _wrong(text))]
    if wrong:
        mend = (f"pip install --upgrade {_DISTRIBUTION}",)
        yield Finding("packages", "problem", f"{_DISTRIBUTION} {__version__}: {'; '.join(wrong)}", mend)
    else:
        count = sum(not _EXTRA.search(text) for text in listed)
        yield Finding("packages", "ok", f"{_DISTRIBUTION} {__version__}, and the {count} packages it needs")
    yield from _extras(listed)


def _extras(listed: list[str]) -> Iterator[Finding]:
    wanted: dict[str, list[str]] = {}
    for text in listed:
        found = _EXTRA.search(text)
        if found and found["extra"] != _NOT_FOR_USERS:
            wanted.setdefault(found["extra"], []).append(text)
    for extra, texts in wanted.items():
        missing = [said for text in texts if (said := _wrong(text))]
        if missing:
            mend = (f"pip install '{_DISTRIBUTION}[{extra}]'",)
            yield Finding("extras", "note", f"{extra}: {'; '.join(missing)}", mend)
        else:
            yield Finding("extras", "ok", f"{extra}: there")


def _wrong(requirement: str) -> str:
    """What is wrong with a package that is needed; empty when it is there."""
    parts = _REQUIRED.match(requirement)
    if parts is None:
        return ""
    try:
        version = metadata.version(parts["name"])
    except metadata.PackageNotFoundError:
        return f"{parts['name']} is not installed"
    if parts["least"] and _numbers(version) < _numbers(parts["least"]):
        return f"{parts['name']} is {version}, and {parts['least']} or newer is needed"
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"[0-9.]*", version)
    return tuple(int(part) for part in (found[0] if found else "").split(".") if part)


def _pictures() -> Iterator[Finding]:
    if importlib.util.find_spec("pygraphviz"):
        yield Finding("pictures", "ok", "pygraphviz draws SVG and PNG")
    elif program := shutil.which("dot"):
        yield Finding("pictures", "ok", f"{program} draws SVG and PNG")
    else:
        what = "SVG and PNG need pygraphviz or the program 'dot'; Mermaid, DOT and text need neither"
        yield Finding("pictures", "note", what, (f"pip install '{_DISTRIBUTION}[diagrams]'",))


# -- the database ------------------------------------------------------------------------------------


def _database(settings: Settings) -> Iterator[Finding]:
    try:
        named = settings.database
        url = url_of(named)
        yield from _at(settings, named, url)
    except StoreError as error:
        yield Finding("database", "problem", str(error))
    except OrchestraError as error:  # pyproject.toml cannot be used
        yield Finding("database", "problem", str(error))
    except OSError as error:
        yield Finding("database", "problem", f"{error.filename} cannot be read: {error.strerror}")


def _server(settings: Settings, where: str, url: str) -> Finding:
    found = schema_of(url)
    if found.state == "ok":
        return Finding("database", "ok", f"{where}: can be reached, and its schema is that of this release")
    what = "there are no tables yet" if found.found is None else f"its schema is {found.found}, not {found.needed}"
    return Finding("database", "problem", f"{where}: {what}", (settings.line("db", "upgrade"),))


def _at(settings: Settings, named: Named, url: str) -> Iterator[Finding]:
    where = f"{without_password(url)} ({named.origin})"
    if url.startswith("memory:"):
        yield Finding("database", "note", f"{where}: runs end with the process", ("--db FILE",))
        return
    if is_postgres(url):
        yield _server(settings, where, url)
        return
    path = sqlite_path(url)
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        if path.parent.is_dir():
            yield Finding("database", "ok", f"{where}: not there yet; the first run makes it")
        else:
            what = f"{where}: there is no directory {path.parent}"
            yield Finding("database", "problem", what, (f"mkdir -p {_quoted(path.parent)}",))
        return
    if not path.is_file():
        yield Finding("database", "problem", f"{where}: {path} is no file", ("--db FILE",))
        return
    found = examine(url)
    yield Finding("database", "ok", f"{where}: {amount(found.bytes)}, {amount(found.free)} free on its disk")
    for check in (_schema, _soundness, _room):
        yield from check(found)
    if found.ours and found.known:
        yield from _runs(settings, found)


def _schema(found: Findings) -> Iterator[Finding]:
    if not found.ours:
        yield Finding("schema", "problem", "this database is not one of orchestra_graph", ("--db FILE",))
    elif found.revision is None:
        yield Finding("schema", "problem", "it names no schema revision. Bring back a backup")
    elif not found.known:
        what = f"its schema is {found.revision}, of a newer release; this one knows {found.newest}"
        yield Finding("schema", "problem", what, (f"pip install --upgrade {_DISTRIBUTION}",))
    elif found.revision != found.newest:
        what = f"its schema is {found.revision}; it becomes {found.newest} when it is opened next"
        yield Finding("schema", "note", what)
    else:
        yield Finding("schema", "ok", f"revision {found.revision}, the newest")


def _soundness(found: Findings) -> Iterator[Finding]:
    if found.damage:
        mend = (f"sqlite3 {_quoted(found.path)} .recover | sqlite3 mended.db",)
        yield Finding("file", "problem", "damaged: " + "\n".join(found.damage), mend)
    elif not found.writable:
        what = "this user may not write to the file and its directory: runs can be read, and none can go on"
        yield Finding("file", "problem", what, (f"chmod u+w {_quoted(found.path)} {_quoted(found.path.parent)}",))
    elif found.ours and found.journal != "wal":
        what = "sound, but without a write-ahead log: readers and writers wait for each other"
        yield Finding("file", "problem", what, (f"sqlite3 {_quoted(found.path)} 'PRAGMA journal_mode = WAL'",))
    else:
        yield Finding("file", "ok", "sound, with a write-ahead log")


def _room(found: Findings) -> Iterator[Finding]:
    if found.free < _LITTLE_ROOM:
        yield Finding("room", "problem", f"only {amount(found.free)} free on the disk of {found.path}")


def _runs(settings: Settings, found: Findings) -> Iterator[Finding]:
    counts = ", ".join(f"{count:,} {status}" for status, count in sorted(found.runs.items())) or "none yet"
    dead = [owned for owned in found.owned if owned.alive is False]
    if not dead:
        yield Finding("runs", "ok", counts)
        return
    shown = ", ".join(f"'{owned.key}'" for owned in dead[:_MOST]) + (" ..." if len(dead) > _MOST else "")
    what = f"{counts}\nthe process that drove {shown} has died; nothing is lost"
    yield Finding("runs", "problem", what, tuple(settings.line("resume", owned.key) for owned in dead[:_MOST]))


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


# -- the code ----------------------------------------------------------------------------------------


def _targets(settings: Settings) -> Iterator[Finding]:
    try:
        places = settings.code
    except OrchestraError as error:
        yield Finding("targets", "problem", str(error))
        return
    if not places:
        what = "none named: a run goes on only with the code of its graph"
        mend = ("--target path/file.py:graph", 'targets = ["package.module:graph"] in [tool.orchestra]')
        yield Finding("targets", "note", what, mend)
    for named in places:
        yield from _target(named)


def _target(named: Named) -> Iterator[Finding]:
    try:
        for loaded in every_graph(named):
            plan = loaded.graph.compile()
            if plan.warnings:
                yield _doubtful(f"{loaded.graph.name}: ", named, plan.warnings, "note")
            else:
                yield Finding("targets", "ok", f"{named.text} ({named.origin}): graph '{loaded.graph.name}'")
    except GraphError as error:
        yield _doubtful("", named, error.problems, "problem")
    except OrchestraError as error:
        yield Finding("targets", "problem", f"{named.text} ({named.origin}): {error}")


def _doubtful(graph: str, named: Named, problems: tuple[Problem, ...], level: Literal["note", "problem"]) -> Finding:
    lines = [f"{_place(problem)}{problem.what}" for problem in problems[:_MOST]]
    more = [f"... and {len(problems) - _MOST} more"] if len(problems) > _MOST else []
    what = "\n".join([f"{named.text} ({named.origin}): {graph}{_several(len(problems), level)}", *lines, *more])
    return Finding("targets", level, printable(what), (f"orchestra check {named.text}",))


def _place(problem: Problem) -> str:
    file, _, line = problem.where.rpartition(":")
    return f"{here(file)}:{line}: " if file else ""


def _several(count: int, level: str) -> str:
    noun = "warning" if level == "note" else "problem"
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
