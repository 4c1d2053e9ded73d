"""Where the database is, and where the code is: as the line says, else the environment, else pyproject.toml.

Pure: it is told the environment and the folder. A relative path means what it says where it was written: on the line
and in the environment from the working directory, in a pyproject.toml from the folder of that file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestra_graph.cli.errors import BadConfig
from orchestra_graph.errors import nearest

__all__ = ["DEFAULT_DATABASE", "Named", "database_named", "targets_named", "url_of"]

DEFAULT_DATABASE = "sqlite:///orchestra.db"
_TABLE = "[tool.orchestra]"
_KEYS = ("database", "targets")
_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Named:
    """Something that was named.

    Attributes:
        text: As it was written.
        origin: Where: ``--db``, ``$ORCHESTRA_DB``, the path of a pyproject.toml ...
        folder: What a relative path in it starts from.
        typed: It was on the line, so that the next line must have it, too.
    """

    text: str
    origin: str
    folder: Path
    typed: bool = False


def database_named(given: str | None, environ: Mapping[str, str], folder: Path) -> Named:
    """The database to use.

    Args:
        given: The value of ``--db``.
        environ: The environment.
        folder: The working directory.

    Raises:
        BadConfig: pyproject.toml cannot be read.
    """
    if given:
        return Named(given, "--db", folder, typed=True)
    if environ.get("ORCHESTRA_DB"):
        return Named(environ["ORCHESTRA_DB"], "$ORCHESTRA_DB", folder)
    path, table = _project(folder)
    if "database" in table:
        if not isinstance(table["database"], str):
            raise BadConfig(f"{path}: database in {_TABLE} must be a string:   database = {DEFAULT_DATABASE!r}")
        return Named(table["database"], str(path), path.parent)
    return Named(DEFAULT_DATABASE, "the default", folder)


def targets_named(given: Sequence[str], environ: Mapping[str, str], folder: Path) -> tuple[Named, ...]:
    """The targets to look for code in; see `database_named`."""
    if given:
        return tuple(Named(text, "--target", folder, typed=True) for text in given)
    if environ.get("ORCHESTRA_TARGET"):
        listed = _split(environ["ORCHESTRA_TARGET"])
        return tuple(Named(text, "$ORCHESTRA_TARGET", folder) for text in listed)
    path, table = _project(folder)
    found = table.get("targets", [])
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise BadConfig(f'{path}: targets in {_TABLE} must be a list of strings:   targets = ["package.module:graph"]')
    return tuple(Named(text, str(path), path.parent) for text in found)


def url_of(named: Named) -> str:
    """The URL of a database; a plain path is one of SQLite."""
    text = named.text if "://" in named.text else _SQLITE + named.text
    path = text.removeprefix(_SQLITE)
    if path != text and not os.path.isabs(path) and named.folder != Path.cwd():
        return f"{_SQLITE}{named.folder / path}"
    return text


def _split(text: str) -> list[str]:
    """Several targets in one variable: separated by commas, or by what separates paths.

    That is a colon on most systems, which stands in a target as well; there the parts are taken in pairs.
    """
    targets: list[str] = []
    for part in text.split(","):
        words = [word.strip() for word in part.split(os.pathsep)]
        if os.pathsep == ":" and len(words) > 2 and len(words) % 2 == 0:
            words = [f"{file}:{graph}" for file, graph in zip(words[::2], words[1::2], strict=True)]
        elif os.pathsep == ":" and len(words) > 2:
            raise BadConfig(f"$ORCHESTRA_TARGET: it is not clear which targets '{part}' names. Put commas between them")
        elif os.pathsep == ":":
            words = [part.strip()]
        targets += [word for word in words if word]
    return targets


def _project(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    """The nearest pyproject.toml, and our table in it."""
    for place in (folder, *folder.parents):
        path = place / "pyproject.toml"
        if path.is_file():
            return path, _table(path)
    return folder / "pyproject.toml", {}


def _table(path: Path) -> Mapping[str, Any]:
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("orchestra", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path} is not TOML: {error}") from error
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(table, dict):
        raise BadConfig(f"{path}: {_TABLE} must be a table")
    for key in table:
        meant = "" if key in _KEYS else nearest(key, _KEYS)
        if meant:  # what is like none of ours may be for a later release
            raise BadConfig(f"{path}: {_TABLE} has '{key}', which means nothing.{meant}")
    return table
