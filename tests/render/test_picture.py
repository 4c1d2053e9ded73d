from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from orchestra_graph.core.record import ActivationRecord, ActivationStatus, RunStatus
from orchestra_graph.graph.plan import Shape
from orchestra_graph.render.picture import Picture, PictureEdge, picture_of, picture_of_run

from . import hostile
from .shapes import (
    CALLED,
    LICENCES,
    NOON,
    RACE,
    SUPPORT,
    activation,
    all_frames,
    ask,
    edge_between,
    enter,
    leave,
    node_named,
    run,
    shape,
    work,
)

GRAPH = picture_of(SUPPORT, "support")
REVIEW = picture_of(LICENCES, "licence_review")


def _run_of(status: RunStatus, *activations: ActivationRecord, of: Shape = SUPPORT, **taken: int) -> Picture:
    return picture_of_run(of, run(status, *activations, taken={int(k[1:]): v for k, v in taken.items()}))


# -- a graph -----------------------------------------------------------------------------------------


def test_every_kind_of_node_has_its_own_form() -> None:
    forms = {node.name: node.form for node in GRAPH.nodes}
    assert forms["start"] == "start"
    assert forms["end"] == "end"
    assert forms["draft"] == "work"
    assert forms["approve"] == "person"
    assert forms["refund"] == "irreversible"


def test_a_node_says_what_it_is_and_what_it_writes() -> None:
    assert node_named(GRAPH, "classify").small == ("writes kind",)
    assert node_named(GRAPH, "approve").small == ("asks a person", "writes approval")
    assert node_named(GRAPH, "refund").small == ("irreversible",)
    assert node_named(REVIEW, "ask_about").small == ("may ask a person",)


@pytest.mark.parametrize(
    ("source", "target", "label"),
    [
        ("start", "classify", ()),
        ("classify", "find_order", ("kind = billing",)),
        ("classify", "draft", ("kind = bug, other",)),
        ("approve", "refund", ("approval.granted",)),
        ("approve", "draft", ("not approval.granted",)),
        ("draft", "end", ()),
    ],
)
def test_an_edge_says_when_it_is_taken(source: str, target: str, label: tuple[str, ...]) -> None:
    assert edge_between(GRAPH, source, target).label == label


@pytest.mark.parametrize(
    ("source", "target", "label"),
    [
        ("scan", "sort", ()),
        ("scan", "collect", ("empty",)),
        ("collect", "ask_about", ("open",)),
        ("collect", "report", ("otherwise",)),
        ("ask_about", "scan", ("↺ next turn",)),
    ],
)
def test_edges_of_loops_and_eaches_are_labelled(source: str, target: str, label: tuple[str, ...]) -> None:
    assert edge_between(REVIEW, source, target).label == label


def test_a_switch_by_a_nameless_function_shows_the_values_alone() -> None:
    picture = picture_of(
        shape(
            [work("a")],
            [("START", "a"), ("a", "END", "case", "big"), ("a", "END", "default", "default")],
            choices={"a": "..."},
        ),
        "g",
    )
    assert [edge.label for edge in picture.edges[1:]] == [("big",), ("default",)]


def test_a_long_condition_is_broken_into_lines() -> None:
    label = "customer has paid and the address is known and nobody objects to anything at all"
    picture = picture_of(shape([work("a")], [("START", "a"), ("a", "END", "when", label)]), "g")
    assert all(len(line) <= 24 for line in picture.edges[1].label)
    assert len(picture.edges[1].label) == 3


def test_a_branch_that_simply_ends_is_drawn_plainly() -> None:
    assert edge_between(GRAPH, "draft", "end").strength == "plain"


def test_a_branch_that_may_end_for_want_of_a_condition_is_drawn_thin() -> None:
    picture = picture_of(
        shape(
            [work("a"), work("b")], [("START", "a"), ("a", "b", "when", "x"), ("b", "END"), ("a", "END", "drop", "")]
        ),
        "g",
    )
    edge = edge_between(picture, "a", "end")
    assert (edge.strength, edge.label) == ("thin", ("else",))


def test_frames_nest_as_regions_do() -> None:
    [loop] = REVIEW.frames
    [body] = loop.frames
    assert (loop.kind, loop.label, loop.nodes) == ("loop", "loop: at most 5 turns", (1, 3, 4))
    assert (body.kind, body.label, body.nodes) == ("each", "for each package, at most 8 at once", (2,))


def test_a_node_that_follows_itself_has_its_limit_on_the_edge_and_no_frame() -> None:
    again = shape(
        [work("a", turns=3)],
        [("START", "a"), ("a", "a", "when", "more"), ("a", "END", "otherwise", "otherwise")],
        regions=[("loop", "a", ["a"], None)],
    )
    picture = picture_of(again, "g")
    assert picture.frames == ()
    assert " ".join(edge_between(picture, "a", "a").label) == "↺ more, at most 3 turns"


def test_a_node_that_follows_itself_stays_in_the_frame_around_it() -> None:
    inner = shape(
        [work("a"), work("b")],
        [("START", "a"), ("a", "b"), ("b", "b", "when", "more"), ("b", "a", "otherwise", ""), ("a", "END")],
        regions=[("loop", "a", ["a", "b"], None), ("loop", "b", ["b"], 0)],
    )
    [frame] = picture_of(inner, "g").frames
    assert frame.nodes == (1, 2)
    assert frame.label == "loop"


def test_the_reading_order_follows_the_edges_and_not_the_declaration() -> None:
    names = [GRAPH.nodes[index].name for index in GRAPH.order]
    assert names.index("draft") > names.index("refund")
    assert (names[0], names[-1]) == ("start", "end")


def test_a_node_without_a_name_can_still_be_pointed_at() -> None:
    picture = picture_of(shape([work(" ")], [("START", " "), (" ", "END")]), "g")
    assert picture.nodes[1].name == "(no name)"


@given(hostile.shapes())
def test_every_text_is_one_short_line(hostile_shape: Shape) -> None:
    picture = picture_of(hostile_shape, "g")
    texts = [line for node in picture.nodes for line in (node.heading, *node.small)]
    texts += [line for edge in picture.edges for line in edge.label]
    texts += [frame.label for frame in all_frames(picture.frames)]
    assert all(len(text) <= 80 and len(text.splitlines()) == 1 for text in texts)


@given(hostile.shapes())
def test_the_reading_order_has_every_node_once(hostile_shape: Shape) -> None:
    picture = picture_of(hostile_shape, "g")
    assert sorted(picture.order) == list(range(len(picture.nodes)))


# -- a run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "more", "heading", "small"),
    [
        ("done", {}, "✓ classify", "done · 1.0 s"),
        ("running", {}, "► classify", "running"),
        ("ready", {}, "▷ classify", "ready"),
        ("waiting", {"waiting_for": "anna"}, "? classify", "waiting for anna"),
        ("waiting", {}, "? classify", "waiting for a person"),
        ("retrying", {"error": "IOError: x", "attempts": 2}, "↻ classify", "retrying after IOError · 2 attempts"),
        ("failed", {"error": "KeyError: x", "attempts": 3}, "✗ classify", "failed: KeyError · 3 attempts · 1.0 s"),
        ("withdrawn", {}, "⊘ classify", "withdrawn · 1.0 s"),
    ],
)
def test_every_status_has_a_sign_and_a_word(
    status: ActivationStatus, more: dict[str, Any], heading: str, small: str
) -> None:
    record = activation("classify", status, **more)
    node = node_named(_run_of("running", record), "classify")
    assert (node.heading, node.tone) == (heading, status)
    assert " · ".join(node.small) == small


def test_a_node_that_was_not_started_yet_may_still_come() -> None:
    node = node_named(_run_of("running"), "draft")
    assert (node.heading, node.small, node.tone) == ("○ draft", ("not yet",), "later")


@pytest.mark.parametrize("status", ["done", "failed", "cancelled", "stopped"])
def test_a_node_that_was_not_started_when_the_run_ended_is_skipped(status: RunStatus) -> None:
    node = node_named(_run_of(status), "draft")
    assert (node.symbol, node.small, node.tone) == ("\u2013", ("skipped",), "skipped")


def test_instances_are_counted_by_status() -> None:
    found = [activation("sort") for _ in range(10)] + [activation("sort", "waiting", waiting_for="legal")] * 2
    node = node_named(_run_of("waiting", *found, of=LICENCES), "sort")
    assert " ".join(node.small) == "\u00d712: 10 done, 2 waiting for legal 1.0 s"


def test_turns_of_a_loop_are_called_turns() -> None:
    found = [activation("scan", turn=turn) for turn in range(3)]
    picture = _run_of("running", *found, of=LICENCES)
    assert node_named(picture, "scan").small == ("3 turns: done · 1.0 s",)
    assert picture.frames[0].label == "loop: 3 turns, at most 5"


def test_instances_in_several_turns_are_told_apart() -> None:
    found = [activation("sort", turn=turn) for turn in (0, 0, 1, 1)]
    assert node_named(_run_of("running", *found, of=LICENCES), "sort").status == "\u00d74 in 2 turns: done"


def test_attempts_are_shown_when_there_was_more_than_one() -> None:
    assert node_named(_run_of("running", activation("draft", attempts=3)), "draft").effort == ("3 attempts", "1.0 s")
    assert node_named(_run_of("running", activation("draft")), "draft").effort == ("1.0 s",)


def test_an_irreversible_node_stays_marked_in_a_run() -> None:
    node = node_named(_run_of("running", activation("refund")), "refund")
    assert node.form == "irreversible"
    assert node.notes == ("irreversible",)


def test_edges_that_were_taken_are_bold_with_a_count() -> None:
    picture = _run_of("running", e0=1, e6=3)
    assert edge_between(picture, "start", "classify") == PictureEdge(source=0, target=1, strength="bold", count=1)
    assert edge_between(picture, "classify", "find_order").label == ("kind = billing \u00d73",)
    assert edge_between(picture, "classify", "draft").strength == "faint"


def test_a_count_without_a_label_stands_alone() -> None:
    picture = _run_of("running", e1=12_000, of=LICENCES)
    assert edge_between(picture, "scan", "sort").label == ("\u00d712,000",)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("running", "► running"),
        ("waiting", "? waiting for anna, ben"),
        ("done", "✓ done"),
        ("failed", "✗ failed"),
        ("cancelled", "⊘ cancelled"),
        ("stopped", "■ stopped by a limit"),
    ],
)
def test_the_title_says_key_status_and_time(status: RunStatus, said: str) -> None:
    asked = [activation("approve", "waiting", waiting_for=who) for who in ("anna", "ben")]
    heading, facts = picture_of_run(SUPPORT, run(status, *asked), now=NOON + 10).title
    assert heading == "support 1 · ticket-42"
    assert facts == f"{said} · 2 steps · 10 s · started 2026-03-01 12:00 UTC"


def test_a_run_that_still_goes_on_has_no_time_without_a_clock() -> None:
    assert picture_of_run(SUPPORT, run("running")).title[1] == "► running · 0 steps · started 2026-03-01 12:00 UTC"


def test_start_and_end_show_whether_they_were_reached() -> None:
    assert [(n.symbol, n.tone) for n in _run_of("done").nodes if n.form in ("start", "end")] == [("✓", "done")] * 2
    assert _run_of("running").nodes[-1].tone == "later"
    assert _run_of("failed").nodes[-1].tone == "skipped"


def test_activations_of_nodes_that_the_shape_lacks_are_left_out() -> None:
    assert len(_run_of("done", activation("from_elsewhere")).nodes) == len(GRAPH.nodes)


def test_lines_in_the_form_of_a_person_are_narrow() -> None:
    who = shape([ask("a")], [("START", "a"), ("a", "END")])
    waiting = activation("a", "waiting", waiting_for="the legal department")
    picture = picture_of_run(who, run("waiting", waiting), now=NOON + 3600)
    assert picture.nodes[1].small == ("waiting for the legal", "department", "1 h")


# -- graphs in graphs, races, errors, limits ---------------------------------------------------------

NESTED = picture_of(CALLED, "nested")


def test_a_graph_in_a_graph_is_a_frame_with_its_name() -> None:
    [loop] = NESTED.frames
    [call] = loop.frames
    [inner] = call.frames
    assert (loop.kind, call.kind, inner.kind) == ("loop", "call", "loop")
    assert (call.label, inner.label) == ("graph review", "loop: at most 3 turns")
    assert {NESTED.nodes[index].name for index in call.nodes} == {"read", "end of review"}


def test_the_ends_of_a_call_are_no_nodes_unless_ways_part_and_meet_there() -> None:
    points = [node.name for node in NESTED.nodes if node.form == "point"]
    assert points == ["end of review"]
    assert edge_between(NESTED, "draft", "read").label == ()
    assert edge_between(NESTED, "end of review", "draft").label == ("↺ otherwise",)


def test_ways_aside_say_what_makes_a_run_take_them() -> None:
    aside = {(" ".join(edge.label), edge.kind, edge.from_frame) for edge in NESTED.edges if edge.kind != "usual"}
    assert aside == {
        ("on ValueError or KeyError", "error", False),
        ("after 4 turns", "limit", False),
        ("after 3 turns", "limit", False),
        ("after 60 seconds", "limit", True),
    }


def test_labels_of_ways_that_became_one_are_said_together() -> None:
    through = shape(
        [enter("g"), work("g/a"), leave("g"), work("b")],
        [
            ("START", "g"),
            ("g", "g/a"),
            ("g/a", "g/END", "when", "ready"),
            ("g/END", "b", "when", "wanted"),
            ("b", "END", "drop", ""),
        ],
        regions=[("scope", None, ["g/a", "g/END"], None)],
        calls=[("g", ["g/a"])],
    )
    picture = picture_of(through, "g")
    assert edge_between(picture, "a", "b").label == ("ready, wanted",)
    counted = picture_of_run(through, run("done", activation("g/a"), taken={0: 2, 1: 2, 2: 3, 3: 2}))
    assert edge_between(counted, "a", "b").count == 2
    assert edge_between(counted, "a", "b").strength == "bold"


def test_join_rules_races_and_ends_are_notes_of_their_nodes() -> None:
    picture = picture_of(RACE, "race")
    assert node_named(picture, "merge").notes == ("join: first(2), cancels the rest",)
    assert node_named(picture, "approve").notes == ("asks a person", "race with wait")
    assert node_named(picture, "wait").notes == ("race with approve",)
    assert node_named(picture, "stop").notes == ("ends the run: failed",)
    done = _run_of("done", activation("approve", "withdrawn"), activation("wait"), of=RACE)
    assert node_named(done, "approve").notes == ("race with wait",)


@pytest.mark.parametrize(
    ("status", "activations", "said"),
    [
        ("running", [], "○ graph review · not yet"),
        ("running", [("review", "done")], "► graph review · running"),
        ("done", [("review", "done"), ("review/END", "done")], "✓ graph review · done"),
        ("done", [("review", "done"), ("review/END", "done")] * 3, "✓ graph review · done · \u00d73"),
        ("failed", [], "\u2013 graph review · skipped"),
        ("cancelled", [("review", "done")], "⊘ graph review · withdrawn"),
    ],
)
def test_the_frame_of_a_graph_says_how_far_it_has_come(
    status: RunStatus, activations: list[tuple[str, ActivationStatus]], said: str
) -> None:
    found = [activation(name, how) for name, how in activations]
    [loop] = _run_of(status, *found, of=CALLED).frames
    assert loop.frames[0].label == said


def test_nodes_in_a_graph_find_their_activations_by_their_whole_names() -> None:
    picture = _run_of("running", activation("review/read"), activation("review/judge", "running"), of=CALLED)
    assert (node_named(picture, "read").status, node_named(picture, "judge").status) == ("done", "running")
