"""Whether something printed what a page says it prints.

Times, dates, process ids, generated keys, line numbers and the width of columns may differ. A line ``...`` stands for
any number of lines, ``...`` within a line for anything.
"""

from __future__ import annotations

import difflib
import re

__all__ = ["check_prints"]

_DIFFER = (
    (re.compile(r"<?\d+(?:[.,]\d+)? (?:ms|s|min|h)\b(?: \d+ (?:ms|s|min|h)\b)?"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?(?: UTC)?"), "<date>"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "<clock>"),
    (re.compile(r"\bprocess \d+"), "process <pid>"),
    (re.compile(r"-[2-9a-hj-km-np-z]{8}\b"), "-<key>"),
    (re.compile(r"(?<=\.py:)\d+|(?<=\.md:)\d+"), "<line>"),
    (re.compile(r"[ \t]+"), " "),
)


def _same_form(text: str) -> str:
    for pattern, word in _DIFFER:
        text = pattern.sub(word, text)
    return "".join(f"{line.strip()}\n" for line in text.strip().splitlines())


def _pattern(expected: str) -> str:
    lines = []
    for line in expected.splitlines():
        if line == "...":
            lines.append("(?:.*\n)*?")
        else:
            lines.append(".*".join(re.escape(part) for part in line.split("...")) + "\n")
    return "".join(lines)


def check_prints(where: str, expected: str, printed: str) -> None:
    """Fail with a comparison where *printed* is not what the page says."""
    wanted, found = _same_form(expected), _same_form(printed)
    if not re.fullmatch(_pattern(wanted), found):
        lines = difflib.unified_diff(wanted.splitlines(), found.splitlines(), "on the page", "printed", lineterm="")
        raise AssertionError(f"{where} prints something else:\n" + "\n".join(lines))
