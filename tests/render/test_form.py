from __future__ import annotations

import pytest

from orchestra_graph.render.form import Form

from .shapes import CALLED, LICENCES, RACE, SUPPORT, shape, work


def test_an_edge_to_the_head_of_a_loop_from_inside_leads_back() -> None:
    form = Form.of(LICENCES)
    assert [(link.source, link.target) for link in form.links if link.back] == [(4, 1)]


def test_a_body_knows_the_each_that_leads_into_it() -> None:
    loop, body = Form.of(LICENCES).regions
    assert (body.each, body.limit, body.members) == ("for each package", 8, (2,))
    assert loop.members == (1, 3, 4)


def test_nested_bodies_are_told_apart() -> None:
    nested = shape(
        [work("a"), work("b"), work("c")],
        [("START", "a"), ("a", "b", "each", "for each b"), ("b", "c", "each", "for each c"), ("c", "END")],
        regions=[("scope", None, ["b", "c"], None), ("scope", None, ["c"], 0)],
    )
    assert [region.each for region in Form.of(nested).regions] == ["for each b", "for each c"]


def test_regions_around_a_node_are_listed_from_inside() -> None:
    form = Form.of(LICENCES)
    assert [form.around(v) for v in (0, 1, 2)] == [(), ("loop",), ("scope", "loop")]


def test_the_choice_of_a_switch_goes_to_its_edges() -> None:
    choices = {link.label: link.choice for link in Form.of(SUPPORT).links if link.kind == "case"}
    assert choices["billing"] == "kind"
    assert choices["True"] == "approval.granted"


def test_a_shape_of_an_older_release_may_lack_what_only_adds_to_the_picture() -> None:
    bare = {
        "nodes": [{"name": n, "kind": k} for n, k in (("START", "start"), ("a", "work"), ("END", "end"))],
        "edges": [{"from": 0, "to": 1, "kind": "always"}, {"from": 1, "to": 2, "kind": "drop"}],
        "groups": [[{"kind": "edges", "edges": [0]}], [{"kind": "drop", "edges": [1]}], []],
        "regions": [],
    }
    form = Form.of(bare)
    assert [v.name for v in form.vertices] == ["START", "a", "END"]
    assert all(link.alone for link in form.links)


def test_what_stands_in_a_call_is_named_as_the_call_names_it() -> None:
    form = Form.of(CALLED)
    assert [vertex.name for vertex in form.vertices[3:6]] == ["read", "judge", "mend"]
    assert form.vertices[3].writes == ("note",)
    assert form.full[3] == "review/read"
    assert next(link.choice for link in form.links if link.source == 4) == "good"


def test_calls_are_told_from_the_bodies_of_an_each() -> None:
    kinds = [(region.kind, region.call) for region in Form.of(CALLED).regions]
    assert kinds == [("loop", ""), ("call", "review"), ("loop", "")]
    assert [region.kind for region in Form.of(LICENCES).regions] == ["loop", "scope"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"kind": "all_of"}, "all_of"),
        ({"kind": "each_one"}, "each_one"),
        ({"kind": "first", "count": 2}, "first(2)"),
        ({"kind": "first", "count": 1, "cancel_rest": True}, "first(1), cancels the rest"),
        ({"kind": "until", "predicate": "enough"}, "until enough"),
        ({"kind": "until", "predicate": "..."}, "until ..."),
        ({"kind": "zipped"}, "zipped"),
        ({"kind": "batches", "count": 3}, "batches(3)"),
        ({"kind": "gather"}, ""),
    ],
)
def test_a_join_rule_is_said_as_it_is_written(rule: dict[str, object], said: str) -> None:
    joined = shape([work("a")], [("START", "a"), ("a", "END")], rules={"a": rule})
    assert Form.of(joined).vertices[1].rule == said


def test_members_of_a_race_know_each_other() -> None:
    vertices = {vertex.name: vertex for vertex in Form.of(RACE).vertices}
    assert vertices["approve"].rivals == ("wait",)
    assert vertices["wait"].rivals == ("approve",)
    assert vertices["stop"].ends == "failed"
