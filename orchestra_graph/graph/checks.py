"""The checks over a whole plan."""

from __future__ import annotations

from orchestra_graph.errors import Problem
from orchestra_graph.graph.plan import Plan

__all__ = ["check"]


def check(plan: Plan, where: str) -> list[Problem]:
    """Find every problem of a plan whose graph is connected."""
    return []
