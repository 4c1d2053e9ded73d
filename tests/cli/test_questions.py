"""`orchestra questions`."""

from __future__ import annotations

from tests.cli.conftest import Shell


def test_open_questions_are_listed_with_the_lines_that_answer_them(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    shell("run", "endings.py:asking", "--key", "r 2")
    result = shell("questions")
    assert result.exit_code == 0
    assert result.stdout == (
        "r1\n"
        "  approve asks anna: Refund 0 for a?\n"
        "      amount: 0\n"
        """      orchestra answer r1 approve '{"granted": true}'\n"""
        "\n"
        "r 2\n"
        "  who asks: Who is it?\n"
        """      orchestra answer 'r 2' who '"..."'\n"""
        "\n"
        "r 2\n"
        "  how_large asks: How large?\n"
        "      orchestra answer 'r 2' how_large 1\n"
    )


def test_the_questions_of_one_run(shell: Shell) -> None:
    shell("run", "desk.py", "--input", "text=a", "--key", "r1")
    shell("run", "endings.py:asking", "--key", "r2")
    document = shell.document("questions", "r2")
    assert [question["id"] for question in document["questions"]] == ["who", "how_large"]
    assert set(document["questions"][0]) == {
        "run",
        "id",
        "prompt",
        "to",
        "details",
        "schema",
        "example",
        "asked",
        "expires",
        "command",
    }


def test_nothing_is_asked(shell: Shell) -> None:
    shell("run", "endings.py:done", "--key", "r1")
    assert shell("questions").stdout == "nothing is asked in sqlite:///orchestra.db\n"
    assert shell("questions", "r1").stdout == "nothing is asked by r1\n"
    assert shell.document("questions") == {"questions": []}
    assert shell("questions", "r7").exit_code == 1
