"""Where the programs are collected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from orchestra_graph.graph.builder import Graph

Program: TypeAlias = Callable[[], Graph[Any]]

PROGRAMS: dict[str, Program] = {}


def program(make: Program) -> Program:
    """Add a program to the corpus."""
    PROGRAMS[make.__name__] = make
    return make
