"""Where the mistakes are collected. The line that a problem must name ends in ``# here``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from orchestra_graph.graph.builder import Graph

Program: TypeAlias = Callable[[], Graph[Any]]


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A program, and what must be said of it.

    Attributes:
        make: Makes the graph.
        code: The check.
        what: A part of what is found.
        mend: A part of the mend.
        severity: Of the problem.
    """

    make: Program
    code: str
    what: str
    mend: str
    severity: str = "error"

    @property
    def where(self) -> str:
        """The place that must be named."""
        lines, first = inspect.getsourcelines(self.make)
        (here,) = [number for number, line in enumerate(lines, first) if line.rstrip().endswith("# here")]
        return f"{inspect.getsourcefile(self.make)}:{here}"


MISTAKES: dict[str, Mistake] = {}


def mistake(code: str, what: str, mend: str, severity: str = "error") -> Callable[[Program], Program]:
    """Add a program to the corpus."""

    def add(make: Program) -> Program:
        MISTAKES[make.__name__] = Mistake(make=make, code=code, what=what, mend=mend, severity=severity)
        return make

    return add
