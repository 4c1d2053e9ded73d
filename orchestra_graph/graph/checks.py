"""The checks over a whole plan: a table of them, and what they share.

Every check is a function that gives `Problem`s: what was found, where, and a line to type that mends it. Errors stop
the compile; a warning says what is doubtful, but not wrong. What cannot be told from the declarations is said to
nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TypeAlias

from orchestra_graph.errors import Problem
from orchestra_graph.graph.check_channels import answers_hold_no_secret, messages_can_be_read
from orchestra_graph.graph.check_joins import joins_get_all, lists_meet, races_end_all, tokens_stay_few
from orchestra_graph.graph.check_losses import first_gets_enough, irreversible_is_let_end
from orchestra_graph.graph.check_migrations import migrations_hold
from orchestra_graph.graph.check_reads import inputs_fit, items_fit, paths_exist, reads_are_there, switches_name_all
from orchestra_graph.graph.check_runs import caches_are_safe, loops_are_clear, people_stand_before, writes_are_apart
from orchestra_graph.graph.check_uses import reads_can_see_writes, writes_are_seen
from orchestra_graph.graph.check_writes import names_are_free, reducers_fit, writes_fit
from orchestra_graph.graph.plan import Plan
from orchestra_graph.graph.subject import Subject

__all__ = ["check"]

Check: TypeAlias = Callable[[Subject], Iterator[Problem]]

CHECKS: tuple[Check, ...] = (
    names_are_free,
    reducers_fit,
    writes_fit,
    paths_exist,
    inputs_fit,
    items_fit,
    reads_are_there,
    switches_name_all,
    people_stand_before,
    caches_are_safe,
    writes_are_apart,
    writes_are_seen,
    reads_can_see_writes,
    joins_get_all,
    lists_meet,
    loops_are_clear,
    tokens_stay_few,
    races_end_all,
    irreversible_is_let_end,
    first_gets_enough,
    messages_can_be_read,
    answers_hold_no_secret,
    migrations_hold,
)


def check(plan: Plan, where: str, doubtful: Collection[int] = ()) -> list[Problem]:
    """Find every problem of a plan whose graph is connected.

    Args:
        plan: The plan.
        where: The line that declared the graph.
        doubtful: Nodes whose signature could not be read, which was said before: nothing follows from what they lack.

    Returns:
        Errors and warnings, in the order of the checks.
    """
    subject = Subject(plan, where, doubtful)
    return [problem for one in CHECKS for problem in one(subject)]
