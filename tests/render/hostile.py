"""Names and labels that try to break out of every output, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from orchestra_graph.graph.plan import Shape

from .shapes import ask, enter, leave, shape, work

NASTY = [
    "end",
    "END",
    "graph",
    "subgraph x",
    '"',
    "'",
    "\\",
    "\\N\\G\\E\\L",
    "a\\",
    "]]",
    "))",
    "}}",
    "((x))",
    "|x|",
    "-->",
    "a --> b",
    "%% comment",
    "%%{init: {}}%%",
    "#quot;",
    "&lt;b&gt;",
    "<b>bold</b>",
    "<br/>",
    "<script>alert(1)</script>",
    "]]>",
    "-- >",
    "`code`",
    "```",
    "**bold**",
    "_x_",
    "__init__",
    "1. first",
    "- item",
    "$$x^2$$",
    "fa:fa-bug",
    "style:#fff;",
    "classDef x fill:#fff;",
    "click n1 callback",
    "n0 --> n1",
    "a;b",
    "a:b:c",
    "{a|b}",
    "line\nbreak",
    "\r\n---\r\n",
    "tab\there",
    "",
    " ",
    "\u00a0",
    "\x00",
    "\x1b[31mred\x1b[0m",
    "\u202egnirts",
    "\ud800",
    "\ufffe",
    "ﬂ°°35¶ß",
    "naïve Straße",
    "日本語",
    "👩\u200d🚀",
    "x" * 500,
]

texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=30), st.lists(st.sampled_from(NASTY)).map("".join))


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """A graph with every form of node, edge and frame, all of whose names and labels are hostile."""
    named = texts.filter(lambda t: t not in ("START", "END"))
    names = draw(st.lists(named, min_size=6, max_size=6, unique_by=(str, str.strip)))
    first, body, person, last, graph, inner = names
    inside = f"{graph}/{inner}"
    label = draw(st.lists(texts, min_size=8, max_size=8))
    return shape(
        [
            work(first, writes=[label[0]], turns=3),
            work(body),
            ask(person),
            work(last, effect="irreversible", terminates="done"),
            enter(graph),
            work(inside, writes=[f"{graph}/{label[5]}"]),
            leave(graph),
        ],
        [
            ("START", first),
            (first, body, "each", label[1]),
            (body, person),
            (person, first, "case", label[2]),
            (person, last, "case", "False"),
            (person, "END", "default", label[3]),
            (last, "END", "when", label[4]),
            (last, "END", "drop", ""),
            (last, graph, "error", label[5]),
            (graph, inside),
            (graph, last, "limit", label[6]),
            (inside, f"{graph}/END", "when", label[7]),
            (inside, f"{graph}/END", "limit", label[6]),
            (f"{graph}/END", "END", "when", label[0]),
            (f"{graph}/END", "END", "drop", ""),
        ],
        choices={person: draw(texts)},
        limit=2,
        regions=[
            ("loop", first, [first, body, person], None),
            ("scope", None, [body], 0),
            ("scope", None, [inside, f"{graph}/END"], None),
        ],
        calls=[(graph, [inside])],
        rules={
            last: {"kind": "until", "count": 0, "cancel_rest": True, "short": "error", "predicate": label[2]},
            graph: {"kind": "batches", "count": 3, "cancel_rest": False, "short": "error", "predicate": ""},
        },
        races=[[last, graph], [body, person]],
    )
