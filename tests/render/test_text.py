from __future__ import annotations

from itertools import pairwise

from hypothesis import given

from orchestra_graph.graph.plan import Shape
from orchestra_graph.render import picture_of, picture_of_run, text_of

from . import hostile
from .shapes import CALLED, LICENCES, SUPPORT, activation, run, shape, work

RECORD = run(
    "waiting",
    activation("classify"),
    activation("find_order", attempts=3),
    activation("check_policy"),
    activation("check_stock"),
    activation("approve", "waiting", waiting_for="anna"),
)


def test_a_run_is_a_table_in_reading_order() -> None:
    assert text_of(picture_of_run(SUPPORT, RECORD)) == (
        "support 1 · ticket-42\n"
        "? waiting for anna · 5 steps · started 2026-03-01 12:00 UTC\n"
        "  ✓ start         done\n"
        "  ✓ classify      done · 1.0 s\n"
        "  ✓ find_order    done · 3 attempts · 1.0 s\n"
        "  ✓ check_policy  done · 1.0 s\n"
        "  ✓ check_stock   done · 1.0 s\n"
        "  ? approve       waiting for anna\n"
        "  ○ refund        not yet · irreversible\n"
        "  ○ draft         not yet\n"
        "  ○ end           not yet\n"
    )


def test_a_graph_says_where_each_node_leads() -> None:
    assert text_of(picture_of(LICENCES, "review")) == (
        "review\n"
        "  start\n"
        "    → scan\n"
        "  loop: at most 5 turns\n"
        "    scan       writes packages\n"
        "      → sort\n"
        "      → collect  (empty)\n"
        "    for each package, at most 8 at once\n"
        "      sort     writes found\n"
        "        → collect\n"
        "    collect    writes open\n"
        "      → ask_about  (open)\n"
        "      → report  (otherwise)\n"
        "    ask_about  may ask a person\n"
        "      → scan  (↺ next turn)\n"
        "  report\n"
        "    → end\n"
        "  end\n"
    )


def test_colours_are_used_only_when_asked_for() -> None:
    picture = picture_of_run(SUPPORT, RECORD)
    assert "\x1b" not in text_of(picture)
    assert "  ? approve       \x1b[33mwaiting for anna\x1b[0m\n" in text_of(picture, colour=True)


def test_columns_hold_with_signs_that_are_two_wide() -> None:
    wide = shape([work("日本"), work("abcd")], [("START", "日本"), ("日本", "abcd"), ("abcd", "END")])
    lines = text_of(picture_of_run(wide, run("running"))).splitlines()
    assert lines[3:5] == ["  ○ 日本   not yet", "  ○ abcd   not yet"]


@given(hostile.shapes())
def test_no_name_commands_the_terminal(hostile_shape: Shape) -> None:
    text = text_of(picture_of_run(hostile_shape, run("running")))
    assert not set(text) & set("\x1b\x00\r\u202e")
    assert all(name in text for name in ("start", "end"))


def test_a_graph_in_a_graph_is_nested_with_what_leaves_it_as_a_whole() -> None:
    assert text_of(picture_of(CALLED, "nested")) == (
        "nested\n"
        "  start\n"
        "    → draft\n"
        "  loop: at most 4 turns\n"
        "    draft            writes text\n"
        "      → read\n"
        "      → apologise  (on ValueError or KeyError)\n"
        "      → apologise  (after 4 turns)\n"
        "    graph review\n"
        "      → apologise  (after 60 seconds)\n"
        "      read           writes note\n"
        "        → judge\n"
        "      loop: at most 3 turns\n"
        "        judge        writes good\n"
        "          → end of review  (good)\n"
        "          → mend  (not good)\n"
        "          → end of review  (after 3 turns)\n"
        "        mend         writes note\n"
        "          → judge  (↺ next turn)\n"
        "      end of review\n"
        "        → publish  (good enough)\n"
        "        → draft  (↺ otherwise)\n"
        "  apologise\n"
        "    → end\n"
        "  publish\n"
        "    → end\n"
        "  end\n"
    )


def test_of_a_run_only_the_ways_it_took_are_told_with_their_counts() -> None:
    record = run("running", activation("classify"), activation("draft"), taken={0: 1, 7: 2})
    text = text_of(picture_of_run(SUPPORT, record))
    assert "  ✓ start         done\n    → classify\n" in text
    assert "    → draft  (kind = bug, other \u00d72)\n" in text
    assert "find_order  (" not in text
    assert "→" not in text_of(picture_of_run(SUPPORT, record), ways=False)


def test_fifteen_nodes_with_long_names_keep_to_eighty_columns() -> None:
    names = [f"check_{'x' * (2 * index)}_{index}" for index in range(15)]
    long = "writes " + ", ".join(f"field_{index}" for index in range(9))
    nodes = [work(name, writes=[f"a_rather_long_field_{name}", "b", "c"]) for name in names]
    ways = [("START", name) for name in names[:5]] + list(pairwise(names))
    errors = [activation(name, "failed", error=f"{'Very' * 8}Error: {long}", attempts=3) for name in names[:12]]
    big = shape(nodes, [*ways, (names[-1], "END")])
    for picture in (picture_of(big, "big"), picture_of_run(big, run("failed", *errors))):
        text = text_of(picture)
        assert max(map(len, text.splitlines())) <= 80
        assert all(text.count(name) for name in names)


@given(hostile.shapes())
def test_hostile_names_do_not_stretch_the_columns_without_end(hostile_shape: Shape) -> None:
    for picture in (picture_of(hostile_shape, "g"), picture_of_run(hostile_shape, run("running"))):
        assert all(len(line) <= 140 for line in text_of(picture).splitlines())
