"""What passes the checks never goes wrong in a run in a way that the checks exist to find."""

from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestra_graph.errors import RunFailed, RunStopped
from tests.graph.programs import Case, Program, write

EXCUSED = ("Boom", "all_of waits for every branch", "first(")
"""What a run may fail of: a node that raises on purpose, and a join that does not get what it asks for."""


def play(program: Program, turns: int) -> None:
    """Run a program some times; a read that is not what it says, a conflict or a missed case is an error."""
    graph = program.accepted()
    assume(graph is not None)
    assert graph is not None
    for _ in range(turns):
        why = EXCUSED[0]
        try:
            graph.run_sync(Case())
        except RunStopped:
            pass  # a limit
        except RunFailed as failed:
            why = str(failed)
        assert any(word in why for word in EXCUSED), why
        assert not program.wrong


@pytest.mark.properties
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_an_accepted_program_reads_what_it_says_and_takes_a_case_and_merges(seed: int) -> None:
    play(write(Random(seed)), 4)


@pytest.mark.properties
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_so_does_one_with_join_rules_races_errors_limits_and_graphs_in_it(seed: int) -> None:
    play(write(Random(seed), more=True), 4)
