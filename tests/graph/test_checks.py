"""The checks, over programs with one mistake each and over programs with none."""

import pytest

from orchestra_graph.errors import GraphError, Problem
from orchestra_graph.graph import conflicts
from tests.graph.correct import PROGRAMS
from tests.graph.mistakes import MISTAKES, Mistake


def problems_of(mistake: Mistake) -> list[Problem]:
    try:
        return list(mistake.make().compile().warnings)
    except GraphError as error:
        return list(error.problems)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_line_and_its_mend(name: str) -> None:
    mistake = MISTAKES[name]

    (problem,) = problems_of(mistake)

    assert problem.code == mistake.code
    assert mistake.what in problem.what
    assert mistake.mend in problem.mend
    assert problem.where == mistake.where
    assert problem.severity == mistake.severity
    assert problem.graph


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_correct_program_is_left_in_peace(name: str) -> None:
    assert PROGRAMS[name]().compile().warnings == ()


def test_a_graph_with_too_many_pairs_is_let_through_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conflicts, "MOST_PAIRS", 0)

    (problem,) = problems_of(MISTAKES["both_branches_write"])

    assert (problem.code, problem.severity) == ("too-many-pairs", "warning")
    assert "last" in problem.mend
