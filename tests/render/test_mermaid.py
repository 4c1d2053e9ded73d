from __future__ import annotations

import json
import re
from html import unescape

import pytest
from hypothesis import given

from orchestra_graph.graph.plan import Shape
from orchestra_graph.render.mermaid import mermaid_of
from orchestra_graph.render.picture import picture_of, picture_of_run

from . import hostile
from .shapes import CALLED, LICENCES, RACE, SUPPORT, activation, ask, run, shape, work

LABEL = r'"((?:[^"<>|{}\[\]`\\$*&;]|<b>|</b>|<br/>|#\d+;)*)"'
NODE = rf"n\d+(?:\(\({LABEL}\)\)|\(\(\({LABEL}\)\)\)|\({LABEL}\)|\[\[{LABEL}\]\]|\{{\{{{LABEL}\}}\}})"
STYLE = r"[\w:#.,% -]+"
LINES = [
    rf"subgraph f[\d_]+\[{LABEL}\]",
    "end",
    NODE,
    rf"(?:n\d+|f[\d_]+) (?:-->|==>|-\.->)(?:\|{LABEL}\|)? n\d+",
    rf"classDef \w+ {STYLE}",
    r"class n\d+(?:,n\d+)* \w+",
    rf"style f[\d_]+ {STYLE}",
    rf"linkStyle \d+(?:,\d+)* {STYLE}",
]


def _assert_grammatical(text: str) -> None:
    """Every line is one of those that this writer means to write: nothing got out of its quotes."""
    head, title, tail, kind, *lines = text.splitlines()
    assert (head, tail, kind) == ("---", "---", "flowchart TB")
    assert title.startswith("title: ")
    json.loads(title.removeprefix("title: "))
    for line in lines:
        assert any(re.fullmatch(pattern, line.strip()) for pattern in LINES), line
    assert lines.count("    end") == sum(line.startswith("    subgraph") for line in lines)


def _read(label: str) -> list[str]:
    """What a reader sees of a label."""
    plain = label.replace("<b>", "").replace("</b>", "")
    return [unescape(re.sub(r"#(\d+);", r"&#\1;", line)) for line in plain.split("<br/>")]


def test_a_graph_is_written_so() -> None:
    small = shape(
        [work("look_up", writes=["order"]), ask("approve")],
        [("START", "look_up"), ("look_up", "approve", "when", "is_big"), ("look_up", "END", "otherwise", "otherwise")],
    )
    assert mermaid_of(picture_of(small, "tiny")) == (
        "---\n"
        'title: "tiny"\n'
        "---\n"
        "flowchart TB\n"
        '    n0(("start"))\n'
        '    n1("<b>look_up</b><br/>writes order")\n'
        '    n2{{"<b>approve</b><br/>asks a person"}}\n'
        '    n3((("end")))\n'
        "    n0 --> n1\n"
        '    n1 -->|"is_big"| n2\n'
        '    n1 -->|"otherwise"| n3\n'
        "    classDef person fill:#fef3c7,color:#0f172a,stroke:#b45309,stroke-width:1.2px\n"
        "    class n2 person\n"
        "    classDef plain fill:#f8fafc,color:#0f172a,stroke:#64748b,stroke-width:1.2px\n"
        "    class n1 plain\n"
        "    classDef terminal fill:#334155,color:#ffffff,stroke:#334155,stroke-width:1.2px\n"
        "    class n0,n3 terminal\n"
    )


def test_frames_become_subgraphs_in_subgraphs() -> None:
    text = mermaid_of(picture_of(LICENCES, "review"))
    assert '    subgraph f0["loop: at most 5 turns"]\n' in text
    assert '        subgraph f0_0["for each package, at most 8 at once"]\n' in text
    assert text.count("\n            n2(") == 1
    _assert_grammatical(text)


def test_ways_of_a_run_differ_without_colours() -> None:
    text = mermaid_of(picture_of_run(SUPPORT, run("running", activation("classify"), taken={0: 1, 6: 2})))
    assert "n0 ==> n1" in text
    assert 'n1 ==>|"kind = billing \u00d72"| n2' in text
    assert 'n1 -.->|"kind = bug, other"| n3' in text
    assert 'n1("<b>✓ classify</b><br/>done · 1.0 s")' in text
    _assert_grammatical(text)


@pytest.mark.parametrize("name", ["end", "graph", "subgraph", "style", "class", "click", "default", "x", "o"])
def test_reserved_words_may_be_names(name: str) -> None:
    text = mermaid_of(picture_of(shape([work(name)], [("START", name), (name, "END")]), name))
    assert f'n1("<b>{name}</b>")' in text
    _assert_grammatical(text)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ('say "hi"', "say #34;hi#34;"),
        ("a[0]", "a#91;0#93;"),
        ("look_up", "look_up"),
        ("_private_", "#95;private#95;"),
        ("1. first", "1#46; first"),
        ("style:#fff;", "style#58;#35;fff#59;"),
        ("two\nlines", "two lines"),
        ("日本語", "日本語"),
        ("ﬂ°¶ß", "#64258;#176;#182;ß"),
    ],
)
def test_signs_with_a_meaning_are_written_as_entities(name: str, written: str) -> None:
    text = mermaid_of(picture_of(shape([work(name)], [("START", name), (name, "END")]), "g"))
    assert f'n1("<b>{written}</b>")' in text


@given(hostile.shapes(), hostile.texts)
def test_no_text_gets_out_of_its_quotes_and_none_is_lost(hostile_shape: Shape, name: str) -> None:
    picture = picture_of(hostile_shape, name)
    text = mermaid_of(picture)
    _assert_grammatical(text)
    for index, node in enumerate(picture.nodes):
        [label] = re.findall(rf"^ *n{index}[(\[{{]+{LABEL}[)\]}}]+$", text, re.MULTILINE)
        assert _read(label) == ([" "] if node.form == "point" else [node.heading, *node.small])
    labels = [_read(label) for label in re.findall(rf"> ?\|{LABEL}\| n", text)]
    assert labels == [list(edge.label) for edge in picture.edges if edge.label]


def test_a_graph_in_a_graph_is_a_subgraph_and_its_limit_leaves_it_as_a_whole() -> None:
    text = mermaid_of(picture_of(CALLED, "nested"))
    assert 'subgraph f0_0["graph review"]' in text
    assert re.search(r'^    f0_0 -\.->\|"after 60 seconds"\| n\d+$', text, re.MULTILINE)
    assert re.search(r'^ +n\d+\(\(" "\)\)$', text, re.MULTILINE)
    _assert_grammatical(text)


def test_ways_aside_have_their_own_colours_and_dashes() -> None:
    text = mermaid_of(picture_of(CALLED, "nested"))
    assert re.search(r"^    linkStyle \d+ stroke:#b91c1c,stroke-width:1.2px,stroke-dasharray:5 4$", text, re.MULTILINE)
    assert re.search(
        r"^    linkStyle [\d,]+ stroke:#b45309,stroke-width:1.2px,stroke-dasharray:1 4$", text, re.MULTILINE
    )
    taken = mermaid_of(picture_of_run(CALLED, run("running", activation("draft"), taken={0: 1, 2: 1})))
    assert '==>|"on ValueError or<br/>KeyError"| n' in taken
    _assert_grammatical(taken)


def test_races_and_rules_are_written() -> None:
    text = mermaid_of(picture_of(RACE, "race"))
    assert "<br/>race with wait" in text
    assert "join: first(2), cancels the rest" in text
    _assert_grammatical(text)
