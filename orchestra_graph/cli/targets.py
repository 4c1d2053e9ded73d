"""From a TARGET to a graph: the import of a user's code, and what is said when it goes wrong.

A file is imported under the name that its own neighbours would import it by, so that it is never there twice: from
the first folder upwards that is no package, which is also put in the search path.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from orchestra_graph.cli.config import Named
from orchestra_graph.cli.errors import BadTarget
from orchestra_graph.cli.settings import Settings
from orchestra_graph.errors import GraphError, OrchestraError, nearest
from orchestra_graph.graph.builder import Graph

__all__ = ["Loaded", "chosen", "every_graph", "here", "one_graph", "resources_of", "typed_target"]

_FORMS = "TARGET is   package.module:graph   or   path/file.py:graph"
_PATHS = sysconfig.get_paths()
_NOT_THE_USERS = (str(Path(__file__).parent.parent), *(_PATHS[kind] for kind in ("stdlib", "purelib", "platlib")))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A graph that a target named.

    Attributes:
        named: The target.
        module: Where it was found.
        graph: The graph.
    """

    named: Named
    module: ModuleType
    graph: Graph[Any]


def one_graph(named: Named) -> Loaded:
    """The graph that a target names.

    Raises:
        BadTarget: It names none, or several; or its code cannot be imported.
    """
    module, variable = _module_of(named)
    found = _graphs(module)
    if variable:
        return Loaded(named, module, _named_graph(named, module, variable, found))
    if len(found) == 1:
        (graph,) = found.values()
        return Loaded(named, module, graph)
    if not found:
        raise BadTarget(f"there is no Graph in {named.text}")
    listed = "".join(f"\n    {named.text}:{name}" for name in found)
    raise BadTarget(f"there are several graphs in {named.text}. Say which:{listed}")


def every_graph(named: Named) -> list[Loaded]:
    """The graph that a target names, or every graph of its module where it names none."""
    module, variable = _module_of(named)
    found = _graphs(module)
    if variable or not found:
        return [one_graph(named)]
    return [Loaded(named, module, graph) for graph in found.values()]


def chosen(settings: Settings, target: str | None) -> Loaded:
    """The graph to start or to draw: the argument, or else the only target of this call.

    Raises:
        BadTarget: It names no graph.
        click.UsageError: None was named, or several.
    """
    found = (typed_target(target),) if target else settings.code
    if len(found) == 1:
        return one_graph(found[0])
    if not found:
        raise click.UsageError("no graph was named: give a TARGET, such as   path/file.py:graph")
    listed = "".join(f"\n    {named.text}" for named in found)
    raise click.UsageError(f"several graphs can be meant. Give one of them as the TARGET:{listed}")


def typed_target(text: str) -> Named:
    """A target that is an argument."""
    return Named(text, "TARGET", Path.cwd(), typed=True)


async def resources_of(loaded: Loaded) -> list[Any] | dict[str, Any]:
    """The module's `resources`, for the Engine; called in the event loop in which they will be used.

    Raises:
        BadTarget: They are neither a list, nor a mapping, nor a function giving one.
    """
    given = getattr(loaded.module, "resources", ())
    if isinstance(given, ModuleType):  # from importlib import resources
        return []
    if callable(given):
        given = given()
        given = await given if inspect.isawaitable(given) else given
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, list | tuple):
        return list(given)
    raise BadTarget(
        f"'resources' in {loaded.module.__name__} must be a list, a mapping, or a function giving one, "
        f"not {type(given).__name__}"
    )


# -- finding -----------------------------------------------------------------------------------------


def _graphs(module: ModuleType) -> dict[str, Graph[Any]]:
    """The graphs of a module by variable, each once."""
    found: dict[str, Graph[Any]] = {}
    for name, value in vars(module).items():
        if isinstance(value, Graph) and not any(value is known for known in found.values()):
            found[name] = value
    return found


def _named_graph(named: Named, module: ModuleType, variable: str, found: Mapping[str, Graph[Any]]) -> Graph[Any]:
    value = getattr(module, variable, None)
    if isinstance(value, Graph):
        return value
    same = [graph for graph in found.values() if graph.name == variable]  # the name that runs are listed with
    if len(same) == 1:
        return same[0]
    if value is not None:
        wrong = f"'{variable}' in {module.__name__} is no Graph but of type {type(value).__name__}"
    else:
        wrong = f"there is no '{variable}' in {named.text.rpartition(':')[0]}"
    have = ", ".join(f"'{name}'" for name in found) or "none"
    raise BadTarget(f"{wrong}; its graphs: {have}.{nearest(variable, list(found))}")


# -- importing ---------------------------------------------------------------------------------------


def _module_of(named: Named) -> tuple[ModuleType, str]:
    """Import the module of a target; the name after the colon, or an empty string."""
    place, _, variable = named.text.rpartition(":")
    if not place or os.sep in variable:
        place, variable = named.text, ""
    if place.endswith(".py") or os.sep in place:
        return _import_file(named.folder / place, place), variable
    if not all(part.isidentifier() for part in place.split(".")):
        raise BadTarget(f"'{named.text}' is no target. {_FORMS}")
    _search_in(named.folder)
    if importlib.util.find_spec(place.partition(".")[0]) is None:
        raise BadTarget(
            f"there is no module '{place.partition('.')[0]}' in {named.folder} or among the installed ones. {_FORMS}"
        )
    return _import(place, place), variable


def _import_file(path: Path, said: str) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        beside = [file.name for file in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise BadTarget(f"there is no file {said}.{nearest(path.name, beside)} {_FORMS}")
    folder, parts = path.parent, [path.stem]
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    _search_in(folder)
    name = ".".join(parts)
    known = sys.modules.get(name)
    if known is not None and _is_of(known, path):
        return known
    if known is None and len(parts) > 1:
        return _import(name, said)
    return _execute(path, name if known is None else f"_orchestra_target_{path.stem}", said)


def _is_of(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path


def _execute(path: Path, name: str, said: str) -> ModuleType:
    """Run a file as the module *name*, also where another file of that name would be found first."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadTarget(f"{said} is no Python file. {_FORMS}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations are looked up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _as_ours(said, error) from error
    return module


def _import(name: str, said: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise _as_ours(said, error) from error


def _search_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


# -- what went wrong ---------------------------------------------------------------------------------


def _as_ours(said: str, error: BaseException) -> OrchestraError:
    if isinstance(error, GraphError):  # a module may compile its graphs by itself
        return GraphError(error.problems)
    if isinstance(error, SyntaxError):
        what, where = f"{type(error).__name__}: {error.msg}", f"{here(error.filename or said)}:{error.lineno}"
    else:
        what, where = f"{type(error).__name__}: {error}".strip(": "), _blamed(error)
    return BadTarget(f"{said} cannot be imported: {what}", where)


def _blamed(error: BaseException) -> str:
    """The innermost line that is neither Python's nor ours nor of something installed; else the innermost line."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen ")]
    own = [f for f in frames if not f.filename.startswith(_NOT_THE_USERS)]
    found = (own or frames)[-1]
    return f"{here(found.filename)}:{found.lineno}"


def here(path: str) -> str:
    """A path as it is shown: from the working directory where it lies in there."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
