"""The pages of the documentation as programs read them: their blocks of code, and running the Python ones.

* A ``python`` block runs in the namespace of its page, after the blocks before it. One whose first line is a comment
  with a file's name (``# hello.py``) is that file instead.
* A ``text`` block right behind a ``python`` block is what that block prints.
* A ``console`` block has commands behind ``$``, and below each one what it prints.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["ROOT", "Block", "blocks", "names_of", "page", "run_python", "write_files"]

ROOT = Path(__file__).parent.parent
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\S+\.py)\n")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: The path of the page, from the root of the project.
        line: Where its code begins.
        language: As the fence says.
        code: Its text.
        prints: Of a ``python`` block: the ``text`` block right behind it, if there is one.
    """

    page: str
    line: int
    language: str
    code: str
    prints: str | None = None

    @property
    def file(self) -> str | None:
        """The name of the file that this block is, if it is one."""
        found = _FILE.match(self.code) if self.language == "python" else None
        return found.group(1) if found else None

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}"


def page(name: str) -> str:
    """The text of a page, by its path from the root of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page(name)
    found = list(_FENCE.finditer(text))
    made = []
    match: re.Match[str]
    following: re.Match[str] | None
    for match, following in zip_longest(found, found[1:]):
        line = text.count("\n", 0, match.start()) + 2
        behind = following is not None and not text[match.end() : following.start()].strip()
        prints = following.group(2) if following and behind and following.group(1) == "text" else None
        made.append(Block(name, line, match.group(1), match.group(2), prints))
    return made


def run_python(block: Block, names: dict[str, Any]) -> str:
    """Run a ``python`` block in a namespace, as the file and line where it stands; returns what it prints."""
    code = compile("\n" * (block.line - 1) + block.code, block.page, "exec", dont_inherit=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


@contextlib.contextmanager
def names_of(name: str) -> Iterator[dict[str, Any]]:
    """A namespace for the blocks of a page. It belongs to a module, so that annotations can be read."""
    module = ModuleType(re.sub(r"\W", "_", f"page_{name}"))
    sys.modules[module.__name__] = module
    try:
        yield module.__dict__
    finally:
        del sys.modules[module.__name__]


def write_files(name: str, folder: Path) -> None:
    """Write the files that stand on a page."""
    for block in blocks(name):
        if block.file is not None:
            (folder / block.file).write_text(block.code, encoding="utf-8")
