"""Writes the pages of the reference that are made of the code: `api.md`, `cli.md`, `events.md`, `testing.md`.

Run it after a change of what is public:   python -m docs.make_reference

Nothing is said here that the code does not say: signatures come from its source, words from its docstrings, options
from click. `tests/docs/test_reference.py` compares what this makes with what stands in the folder.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import click

import orchestra_graph
from docs.pages import ROOT
from orchestra_graph import testing
from orchestra_graph.cli.main import cli

__all__ = ["FOLDER", "PAGES", "main"]

FOLDER = Path("docs/reference")
_WIDTH = 100
_MADE = "<!-- made by docs/make_reference.py: do not edit -->\n\n<!-- fmt: off -->"
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):\s*(.*)$")
_ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \w+)*): (.*)$")


# -- docstrings --------------------------------------------------------------------------------------


@dataclass
class Words:
    """A docstring, read.

    Attributes:
        text: Its paragraphs, as Markdown.
        entries: Section to name to text: arguments, attributes, errors.
        returns: What comes back.
    """

    text: str = ""
    entries: dict[str, dict[str, str]] = field(default_factory=dict)
    returns: str = ""

    @property
    def first(self) -> str:
        """The first sentence or paragraph, on one line."""
        return self.text.partition("\n\n")[0].replace("\n", " ")


def read_docstring(doc: str | None) -> Words:
    """Take a docstring in Google's form apart."""
    words, section, name = Words(), "", ""
    text: list[str] = []
    for line in inspect.cleandoc(doc or "").splitlines():
        if found := _SECTION.match(line):
            section, name = found.group(1), ""
            words.returns += found.group(2) if section == "Returns" else ""
        elif not section or (line and not line.startswith(" ")):
            section = ""
            text.append(line)
        elif section in ("Returns", "Yields"):
            words.returns = f"{words.returns} {line.strip()}".strip()
        elif entry := _ENTRY.match(line.removeprefix("    ")):
            name = entry.group(1)
            words.entries.setdefault(section, {})[name] = entry.group(2)
        elif name and line.strip():
            words.entries[section][name] += " " + line.strip()
    words.text = _markdown("\n".join(text).strip())
    words.returns = _markdown(words.returns)
    for entries in words.entries.values():
        entries.update({key: _markdown(value) for key, value in entries.items()})
    return words


def _markdown(text: str) -> str:
    """Code in docstrings stands in two backticks; blocks of it are indented."""
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    paragraphs = []
    for part in re.split(r"\n\s*\n", text):
        if part.startswith("    "):
            part = f"```py\n{textwrap.dedent(part)}\n```"
        paragraphs.append(part)
    return "\n\n".join(paragraphs)


# -- source ------------------------------------------------------------------------------------------


class Source:
    """The source of a module: its definitions by name."""

    def __init__(self, module: str):
        self.module = importlib.import_module(module)
        self.tree = ast.parse(inspect.getsource(self.module))

    def named(self, name: str) -> list[ast.stmt]:
        """What the module's top level binds to a name, in order; overloads first."""
        return [node for node in self.tree.body if name in _names(node)]

    def behind(self, node: ast.stmt) -> str | None:
        """The string that stands right behind an assignment."""
        body = self.tree.body
        after = body[body.index(node) + 1 : body.index(node) + 2] if node in body else []
        return next((text for text in map(_string, after) if text is not None), None)


def _names(node: ast.AST) -> Iterable[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return (node.name,)
        case ast.Assign():
            return tuple(target.id for target in node.targets if isinstance(target, ast.Name))
        case ast.AnnAssign(target=ast.Name(name)):
            return (name,)
    return ()


def _string(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return None


def _is(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, decorator: str) -> bool:
    return any(ast.unparse(d).split("(")[0].split(".")[-1] == decorator for d in node.decorator_list)


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> str:
    """A signature as it stands in the source, without self; one parameter a line where it is long."""
    returns = f" -> {_type(node.returns)}" if node.returns is not None and name != "__init__" else ""
    start = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    return _call(f"{start}{name}", _parameters(node.args), returns)


def _call(name: str, given: list[str], returns: str) -> str:
    line = f"{name}({', '.join(given)}){returns}"
    if len(line) <= _WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in given) + f"){returns}"


def _parameters(arguments: ast.arguments) -> list[str]:
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [*[None] * (len(plain) - len(arguments.defaults)), *arguments.defaults]
    made = [_parameter(arg, default) for arg, default in zip(plain, defaults, strict=True)]
    if arguments.posonlyargs:
        made.insert(len(arguments.posonlyargs), "/")
    if arguments.vararg is not None:
        made.append("*" + _parameter(arguments.vararg, None))
    elif arguments.kwonlyargs:
        made.append("*")
    made += [_parameter(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    if arguments.kwarg is not None:
        made.append("**" + _parameter(arguments.kwarg, None))
    if plain and plain[0].arg in ("self", "cls"):
        made = made[2:] if made[1:2] == ["/"] else made[1:]
    return made


def _parameter(arg: ast.arg, default: ast.expr | None) -> str:
    text = arg.arg if arg.annotation is None else f"{arg.arg}: {_type(arg.annotation)}"
    equals = "=" if arg.annotation is None else " = "
    return text if default is None else f"{text}{equals}{_quoted(default)}"


def _type(node: ast.expr) -> str:
    """An annotation; one in quotes without them."""
    return _quoted(node).strip('"')


def _quoted(node: ast.expr) -> str:
    """An expression, with the quotes of the code base."""
    text = ast.unparse(node)
    return text if '"' in text else text.replace("'", '"')


# -- the public names --------------------------------------------------------------------------------

_FLOORS = {"graph": "Declaring graphs", "state": "Declaring state", "runtime": "Running", "store": "Keeping runs"}


_ALSO = "What they take and give"
_GIVEN = {
    "JoinRule": "graph.policies",
    "Placed": "graph.node",
    "Reducer": "state.reducers",
    "ErrorInfo": "core.events",
    "HistoryStep": "runtime.history",
    "Change": "runtime.history",
    "Replay": "runtime.replay",
    "Explanation": "runtime.explain",
    "RunRecord": "core.record",
    "ActivationRecord": "core.record",
}
"""Classes that are met as values, and are made by the library alone; named by their modules."""


def api() -> str:
    """The page of every public name."""
    where = {name: module for name, module in orchestra_graph._LAZY.items() if "." in module}
    lines = [
        "# Every public name",
        "",
        _MADE,
        "",
        "What can be imported from `orchestra_graph`. The errors are on a [page of their own](errors.md), and so are",
        "the [events](events.md) of a run. Whatever else the modules hold may change at any time.",
        "",
    ]
    groups: dict[str, list[str]] = {
        title: sorted((n for n, path in where.items() if path.startswith(f"{floor}.")), key=_order)
        for floor, title in _FLOORS.items()
    }
    groups[_ALSO] = [name for name in _GIVEN if name not in where]
    where = {**_GIVEN, **where}
    anchors = dict(_anchors([heading for title, names in groups.items() for heading in (title, *names)]))
    for title, names in groups.items():
        listed = ", ".join(f"[`{name}`](#{anchors[name]})" for name in names)
        lines += textwrap.wrap(
            f"- **[{title}](#{anchors[title]})**: {listed}", 120, subsequent_indent="  ", break_on_hyphens=False
        )
    for title, names in groups.items():
        lines += ["", f"## {title}"]
        for name in names:
            lines += ["", f"### {name}", "", *_entry(Source(f"orchestra_graph.{where[name]}"), name)]
    lines += ["", "## Errors", "", *_errors()]
    return "\n".join(lines) + "\n"


def _order(name: str) -> tuple[str, str]:
    return name.lower(), name


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _anchors(headings: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Heading to anchor; where two are the same but for capitals, the second one gets a number."""
    seen: dict[str, int] = {}
    for heading in headings:
        anchor = _anchor(heading)
        seen[anchor] = seen.get(anchor, -1) + 1
        yield heading, f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor


def _errors() -> Iterator[str]:
    from orchestra_graph import errors

    yield "| name | means |"
    yield "|---|---|"
    for name in orchestra_graph.__all__:
        if name in errors.__all__:
            words = read_docstring(getattr(errors, name).__doc__)
            yield f"| [`{name}`](errors.md#{_anchor(name)}) | {words.first} |"


def _entry(source: Source, name: str) -> Iterator[str]:
    found = source.named(name)
    functions = [node for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    if functions:
        yield from _function(functions, name, name)
        return
    node = found[0]
    if isinstance(node, ast.ClassDef):
        yield from _class(source, node)
        return
    yield from _fence(_value(node))
    yield _markdown(inspect.cleandoc(source.behind(node) or _comment(name)))


def _value(node: ast.stmt) -> str:
    """What a name is: of an alias what it stands for, of a value its type."""
    if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) != "TypeAlias":
        return f"{ast.unparse(node.target)}: {_type(node.annotation)}"
    return ast.unparse(node).replace("'", "")


def _comment(name: str) -> str:
    """What is said of a value whose class says it."""
    kind = type(getattr(orchestra_graph, name))
    return inspect.getdoc(kind) or "" if kind.__module__.startswith("orchestra_graph") else ""


def _fence(code: str) -> Iterator[str]:
    yield from ("```py", code, "```", "")


def _function(nodes: list[Any], shown: str, name: str) -> Iterator[str]:
    overloads = [node for node in nodes if _is(node, "overload")]
    signatures = [signature(node, shown) for node in overloads or nodes[-1:]]
    yield from _fence("\n".join(signatures))
    yield from _told(read_docstring(ast.get_docstring(nodes[-1])), "Args")


def _told(words: Words, *sections: str) -> Iterator[str]:
    yield words.text
    for section in sections:
        if entries := words.entries.get(section):
            yield ""
            yield from _table(("name", "what it is"), ((f"`{n}`", text) for n, text in entries.items()))
    if words.returns:
        yield f"\nReturns: {words.returns}"
    if errors := words.entries.get("Raises"):
        yield ""
        yield from _table(("raises", "when"), ((_error(n), text) for n, text in errors.items()))


def _error(name: str) -> str:
    return f"[`{name}`](errors.md#{_anchor(name)})" if hasattr(orchestra_graph.errors, name) else f"`{name}`"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


def _class(source: Source, node: ast.ClassDef) -> Iterator[str]:
    words = read_docstring(ast.get_docstring(node))
    methods = _methods(getattr(source.module, node.name))
    made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    fields = [n for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    if _is(node, "dataclass"):
        shown = [n for n in fields if not _hidden(n)]
        given = ["*"] * _keyword_only(node) + [_field(n) for n in shown]
        yield from _fence(_call(node.name, given, ""))
    elif made and "Args" in words.entries:  # else the library alone makes it
        yield from _fence(signature(made[-1], node.name))
    yield from _told(words, "Args", "Attributes")
    for name, nodes in methods.items():
        told = read_docstring(ast.get_docstring(nodes[-1]))
        yield ""
        yield f"#### {node.name}.{name}"
        yield ""
        if _is(nodes[-1], "property"):
            returns = f": {_type(nodes[-1].returns)}" if nodes[-1].returns is not None else ""
            yield from _fence(f"{node.name.lower()}.{name}{returns}")
            yield from _told(told)
        else:
            yield from _function(nodes, name, name)


def _keyword_only(node: ast.ClassDef) -> bool:
    return any("kw_only=True" in ast.unparse(decorator) for decorator in node.decorator_list)


def _hidden(node: ast.AnnAssign) -> bool:
    text = ast.unparse(node)
    return text.startswith("_") or "ClassVar" in text or "init=False" in text


def _field(node: ast.AnnAssign) -> str:
    text = f"{ast.unparse(node.target)}: {_type(node.annotation)}"
    if node.value is None:
        return text
    value: ast.expr | None = node.value
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        value = next((keyword.value for keyword in value.keywords if keyword.arg == "default"), None)
    return f"{text} = {'...' if value is None else _quoted(value)}"


_NOT_OURS = ("_", "model_")  # private, or pydantic's


def _methods(kind: type) -> dict[str, list[Any]]:
    """The public methods of a class, those of its bases first, in the order of their source; overloads together."""
    methods: dict[str, list[Any]] = {}
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("orchestra_graph.") or base.__module__ == "orchestra_graph.testing.around":
            continue  # what only hands calls on says nothing
        own: dict[str, list[Any]] = {}
        for item in _found(Source(base.__module__), base.__name__).body:
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not item.name.startswith(_NOT_OURS):
                own.setdefault(item.name, []).append(item)
        methods.update(own)
    return methods


# -- commands ----------------------------------------------------------------------------------------


def commands() -> str:
    """The page of the command line."""
    context = click.Context(cli, info_name="orchestra", max_content_width=100)
    shared = {option for parameter in cli.params for option in parameter.opts}
    lines = [
        "# Every command",
        "",
        _MADE,
        "",
        "By their own words: each has the option `--help`.",
        "",
        "```text",
        inspect.cleandoc((cli.help or "").replace("\b\n", "")),
        "```",
        "",
        "With every command, before or behind its name:",
        "",
        *_options(context, [p for p in cli.params if isinstance(p, click.Option)]),
    ]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context, max_content_width=100)
        own = [p for p in command.params if isinstance(p, click.Option) and not shared & set(p.opts)]
        usage = " ".join(["orchestra", name, *command.collect_usage_pieces(inner)])
        lines += ["", f"## {name}", "", "```text", usage, "```", "", _command_text(command.help)]
        if own:
            lines += ["", *_options(inner, own)]
    return "\n".join(lines) + "\n"


def _command_text(text: str | None) -> str:
    """Help as Markdown; what click must not wrap is a block."""
    parts = []
    for part in re.split(r"\n\s*\n", inspect.cleandoc(text or "")):
        if part.startswith("\b\n"):
            part = f"```text\n{part.removeprefix(chr(8)).strip(chr(10))}\n```"
        parts.append(part)
    return "\n\n".join(parts)


def _options(context: click.Context, options: list[click.Option]) -> Iterator[str]:
    rows = []
    for option in options:
        record = option.get_help_record(context)
        if record is not None:
            rows.append((f"`{record[0]}`", record[1]))
    yield from _table(("option", "meaning"), rows)


# -- events ------------------------------------------------------------------------------------------

_EVENTS = """What happens to a run: what [following a run](../how-to/watch-a-run.md) tells, and what its log holds.

## What run.events() tells

The classes are in `orchestra_graph.events`. `events.RunEvent` is the union of all; a `match` over it is exhaustive.
*Durable* events are made from the log: every reader gets the same ones, in the same order, with the same cursors, live
or later. *Live* ones are what nodes say while they run; they are not stored, and reach only those who read at that
moment from the engine that drives the run."""

_LOG = """The rows behind them, one for each event that was stored: `orchestra_graph.core.events`. They are not part of
the public interface; they are listed for those who look into the database. A row has a kind, a time and a JSON body."""


def events() -> str:
    """The page of events."""
    source = Source("orchestra_graph.events")
    lines = ["# Every event", "", _MADE, "", *_EVENTS.splitlines(), ""]
    bases = {node.name: node for node in source.tree.body if isinstance(node, ast.ClassDef)}
    lines += _fields_of(bases["_OfRun"], "Every event has")
    lines += ["", *_fields_of(bases["_OfNode"], "Every event of a node has, too,")]
    for title, union in (("Durable", "DurableEvent"), ("Live", "LiveEvent")):
        lines += ["", f"### {title}"]
        for name in _members(source, union):
            node = bases[name]
            of_node = any(ast.unparse(base) == "_OfNode" for base in node.bases)
            lines += ["", f"#### {name}", ""]
            lines += [*_told(read_docstring(ast.get_docstring(node)), "Attributes")]
            lines += ["", "*(an event of a node)*"] if of_node else []
    lines += ["", "## The log", "", *_LOG.splitlines(), ""]
    log = Source("orchestra_graph.core.events")
    rows = [
        (f"`{name}`", read_docstring(ast.get_docstring(_found(log, name))).first) for name in _members(log, "Event")
    ]
    return "\n".join([*lines, *_table(("kind", "what it says"), rows)]) + "\n"


def _members(source: Source, union: str) -> list[str]:
    return [kind.__name__ for kind in get_args(getattr(source.module, union))]


def _found(source: Source, name: str) -> ast.ClassDef:
    return next(node for node in source.named(name) if isinstance(node, ast.ClassDef))


def _fields_of(node: ast.ClassDef, head: str) -> Iterator[str]:
    entries = read_docstring(ast.get_docstring(node)).entries["Attributes"]
    yield from _table((head, "what it is"), ((f"`{name}`", text) for name, text in entries.items()))


# -- testing -----------------------------------------------------------------------------------------


def toolkit() -> str:
    """The page of what tests can use."""
    lines = [
        "# Every name for tests",
        "",
        _MADE,
        "",
        "What can be imported from `orchestra_graph.testing`; how it is used, and the fixtures for pytest, are in",
        "[Test your own graph against crashes](../how-to/test-crashes.md). The suite that every store must pass is",
        "`orchestra_graph.testing.contract`.",
    ]
    for name, module in sorted(testing._LAZY.items(), key=lambda item: _order(item[0])):
        lines += ["", f"## {name}", "", *_entry(Source(f"orchestra_graph.testing.{module}"), name)]
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "api.md": api,
    "cli.md": commands,
    "events.md": events,
    "testing.md": toolkit,
}


def main() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (ROOT / FOLDER / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
