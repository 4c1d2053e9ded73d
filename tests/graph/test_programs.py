"""What passes the checks never goes wrong in a run in a way that the checks exist to find."""

import contextlib
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestra_graph.errors import RunStopped
from tests.graph.programs import Case, write


@pytest.mark.properties
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_an_accepted_program_reads_what_it_says_and_takes_a_case_and_merges(seed: int) -> None:
    program = write(Random(seed))
    graph = program.accepted()
    assume(graph is not None)
    assert graph is not None

    for _ in range(4):
        with contextlib.suppress(RunStopped):  # a limit
            graph.run_sync(Case())
        assert not program.wrong
