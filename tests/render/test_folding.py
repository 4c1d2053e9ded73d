from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given

from orchestra_graph.graph.plan import Shape
from orchestra_graph.render.folding import Folded, fold
from orchestra_graph.render.form import Form

from . import hostile
from .shapes import CALLED, LICENCES, Way, enter, leave, shape, work


def called(before: Sequence[str], first: Sequence[str], last: Sequence[str], after: Sequence[str]) -> Shape:
    """A graph `g` with these nodes before it, first in it, last in it, and after it."""
    inside = dict.fromkeys(f"g/{name}" for name in (*first, *last))
    ways: list[Way] = [("START", name) for name in before]
    ways += [(name, "g") for name in before]
    ways += [("g", f"g/{name}") for name in first]
    ways += [(f"g/{a}", f"g/{b}") for a in first for b in last if a != b]
    ways += [(f"g/{name}", "g/END") for name in last]
    ways += [("g/END", name) for name in after]
    ways += [(name, "END") for name in after]
    nodes = [
        *(work(name) for name in before),
        enter("g"),
        *(work(name) for name in inside),
        leave("g"),
        *(work(name) for name in after),
    ]
    members = [*inside, "g/END"]
    return shape(nodes, ways, regions=[("scope", None, members, None)], calls=[("g", list(inside))])


def drawn(form: Form, folded: Folded) -> set[tuple[str, str]]:
    return {(form.full[way.source], form.full[way.target]) for way in folded.ways}


def test_a_graph_without_calls_is_drawn_as_it_is() -> None:
    form = Form.of(LICENCES)
    folded = fold(form)
    assert folded.hidden == frozenset()
    assert [(w.source, w.target, w.links) for w in folded.ways] == [
        (link.source, link.target, (i,)) for i, link in enumerate(form.links)
    ]


def test_both_ends_of_a_call_are_left_out_where_one_way_leads_in_and_one_out() -> None:
    form = Form.of(called(["a"], ["x"], ["y"], ["b"]))
    folded = fold(form)
    assert {form.full[vertex] for vertex in folded.hidden} == {"g", "g/END"}
    assert {("a", "g/x"), ("g/x", "g/y"), ("g/y", "b")} <= drawn(form, folded)


@pytest.mark.parametrize(
    ("before", "first", "last", "after", "kept"),
    [
        (["a", "b"], ["x"], ["y"], ["c"], set()),
        (["a"], ["x", "y"], ["z"], ["c"], set()),
        (["a"], ["x"], ["y", "z"], ["c"], set()),
        (["a"], ["x"], ["y"], ["c", "d"], set()),
        (["a", "b"], ["x", "y"], ["z"], ["c"], {"g"}),
        (["a"], ["x"], ["y", "z"], ["c", "d"], {"g/END"}),
    ],
)
def test_an_end_stays_where_several_ways_lead_to_it_and_several_on(
    before: list[str], first: list[str], last: list[str], after: list[str], kept: set[str]
) -> None:
    form = Form.of(called(before, first, last, after))
    folded = fold(form)
    assert {"g", "g/END"} - {form.full[vertex] for vertex in folded.hidden} == kept
    if not kept:
        assert {(b, f"g/{f}") for b in before for f in first} <= drawn(form, folded)
        assert {(f"g/{x}", y) for x in last for y in after} <= drawn(form, folded)


def test_the_beginning_of_the_work_of_an_each_stays_where_it_begins_with_several_nodes() -> None:
    several = called(["a"], ["x", "y"], ["z"], ["b"])
    alone = called(["a"], ["x"], ["z"], ["b"])
    for shaped in (several, alone):
        shaped["edges"][1]["kind"] = "each"
    assert [Form.of(several).full[vertex] for vertex in fold(Form.of(several)).hidden] == ["g/END"]
    assert len(fold(Form.of(alone)).hidden) == 2


def test_a_limit_of_the_whole_graph_comes_from_its_frame() -> None:
    form = Form.of(CALLED)
    [way] = [way for way in fold(form).ways if way.from_frame]
    assert (form.full[way.source], form.full[way.target]) == ("review/read", "apologise")


@given(hostile.shapes())
def test_every_link_is_in_a_way_and_no_way_ends_nowhere(hostile_shape: Shape) -> None:
    form = Form.of(hostile_shape)
    folded = fold(form)
    assert {link for way in folded.ways for link in way.links} == set(range(len(form.links)))
    assert not folded.hidden & {vertex for way in folded.ways for vertex in (way.source, way.target)}
    for way in folded.ways:
        between = [(form.links[a].target, form.links[b].source) for a, b in zip(way.links, way.links[1:], strict=False)]
        assert all(one == other and one in folded.hidden for one, other in between)
