"""`orchestra answer`."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Shell, forget
from tests.cli.graphs import DESK, RENAMED

YES = '{"granted": true}'


@pytest.fixture
def desk(shell: Shell) -> Shell:
    """The run r1 asks whether to refund."""
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    return shell


@pytest.fixture
def asking(shell: Shell) -> Shell:
    """The run r1 asks for a name and for a size."""
    shell("run", "endings.py:asking", "--key", "r1")
    return shell


def test_with_code_the_run_goes_on_until_it_is_done(desk: Shell) -> None:
    result = desk("answer", "r1", YES, "--target", "desk.py")
    assert result.exit_code == 0
    assert "r1 is done" in result.stdout
    assert "reply: granted" in result.stdout


def test_with_code_the_run_goes_on_until_it_waits_again(asking: Shell) -> None:
    document = asking.document("answer", "r1", "who", "anna", "--target", "endings.py", code=3)
    assert document["status"] == "waiting"
    assert [question["id"] for question in document["questions"]] == ["how_large"]
    assert document["next"] == ["orchestra answer r1 1 --target endings.py"]


def test_without_code_the_answer_is_stored_and_the_run_goes_on_later(desk: Shell) -> None:
    result = desk("answer", "r1", YES)
    assert result.exit_code == 0
    assert "approve of r1 is answered, and the answer is stored" in result.stdout
    assert "Nothing was driven from here, for want of the graph's code" in result.stdout
    assert "    orchestra resume r1 --target path/file.py:desk\n" in result.stdout
    assert desk("questions", "r1").stdout == "nothing is asked by r1\n"
    assert "nothing is asked any more; to go on:\n    orchestra resume r1\n" in desk("show", "r1").stdout
    again = desk("answer", "r1", YES)
    assert "run 'r1' asks nothing any more, and can go on:   orchestra resume r1" in again.stderr
    assert "reply: granted" in desk("resume", "r1", "--target", "desk.py").stdout


def test_targets_without_the_graph_are_no_code(desk: Shell) -> None:
    result = desk("answer", "r1", YES, "--target", "endings.py")
    assert result.exit_code == 0
    assert "the answer is stored" in result.stdout


@pytest.mark.parametrize("code", [(), ("--target", "desk.py")])
def test_a_wrong_answer_is_refused_with_an_example_and_the_question_stays_open(
    desk: Shell, code: tuple[str, ...]
) -> None:
    result = desk("answer", "r1", '{"granted": "perhaps"}', *code)
    assert result.exit_code == 1
    assert "this is no answer to approve: granted" in result.stderr
    assert 'An answer looks like {"granted": true}' in result.stderr
    assert "The question is still open." in result.stderr
    assert len(desk.document("questions")["questions"]) == 1


def test_what_is_no_json_is_a_text(asking: Shell) -> None:
    assert asking("answer", "r1", "who", "Anna of Reval").exit_code == 0
    assert asking("answer", "r1", "how_large", "--", "-5").exit_code == 0
    state = asking.document("resume", "r1", "--target", "endings.py")["state"]
    assert (state["name"], state["size"]) == ("Anna of Reval", -5)


def test_a_number_answers_a_question_for_a_text(asking: Shell) -> None:
    assert asking("answer", "r1", "who", "42").exit_code == 0
    assert asking("answer", "r1", "how_large", "-5").exit_code == 0
    state = asking.document("resume", "r1", "--target", "endings.py")["state"]
    assert (state["name"], state["size"]) == ("42", -5)


def test_the_answer_may_be_in_a_file(desk: Shell) -> None:
    desk.write("answer.json", json.dumps({"granted": False, "note": "too late"}))
    document = desk.document("answer", "r1", "@answer.json", "--target", "desk.py")
    assert document["state"]["approval"] == {"granted": False, "note": "too late"}


def test_of_several_questions_one_must_be_named(asking: Shell) -> None:
    result = asking("answer", "r1", "anna")
    assert result.exit_code == 1
    assert "run 'r1' asks 2 things. Say which:" in result.stderr
    assert """orchestra answer r1 who '"..."'""" in result.stderr


def test_an_unknown_question_is_told_with_the_nearest(asking: Shell) -> None:
    result = asking("answer", "r1", "how_larg", "3")
    assert result.exit_code == 1
    assert "Did you mean 'how_large'?" in result.stderr


def test_the_same_answer_again_is_fine_and_another_is_not(desk: Shell) -> None:
    assert desk("answer", "r1", "approve", YES, "--target", "desk.py").exit_code == 0
    assert desk("answer", "r1", "approve", '{"granted": true, "note": ""}', "--target", "desk.py").exit_code == 0
    error = desk.document("answer", "r1", "approve", '{"granted": false}', "--target", "desk.py", code=1)["error"]
    assert error["type"] == "AlreadyAnswered"


def test_a_run_that_is_done_asks_nothing(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    result = shell("answer", "r1", "yes")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: run 'r1' is done, and asks nothing:   orchestra show r1\n",
    )


def test_an_answer_is_kept_though_the_code_has_changed_and_the_run_cannot_go_on(desk: Shell) -> None:
    forget("desk")
    desk.write("desk.py", RENAMED)
    result = desk("answer", "r1", YES, "--target", "desk.py")
    assert result.exit_code == 1
    assert "run 'r1' cannot go on with this form of its graph" in result.stderr
    assert "node 'approve' is gone" in result.stderr
    assert desk.document("questions")["questions"] == []
    forget("desk")
    desk.write("desk.py", DESK)
    assert "reply: granted" in desk("resume", "r1", "--target", "desk.py").stdout


def test_a_misspelled_option_is_not_taken_for_a_value(desk: Shell) -> None:
    result = desk("answer", "r1", YES, "--tagret", "desk.py")
    assert result.exit_code == 2
    assert "No such option '--tagret'" in result.stderr


def test_too_many_words_are_told_to_be_quoted(asking: Shell) -> None:
    result = asking("answer", "r1", "who", "Anna", "of", "Reval")
    assert result.exit_code == 2
    assert "Put it in quotes" in result.stderr


def test_the_document_without_code_has_the_keys_of_an_outcome(desk: Shell) -> None:
    document = desk.document("answer", "r1", YES)
    assert document == {
        "run": "r1",
        "graph": "desk",
        "status": "waiting",
        "state": None,
        "questions": [],
        "error": None,
        "next": ["orchestra resume r1"],
    }
