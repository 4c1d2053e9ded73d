"""What is shown: a graph, or a run of it, as a drawing that no output format has touched yet.

Every decision about content is made here, most of them in the tables below. The writers (`mermaid`, `dot`, `text`)
only spell.

Rule 1. Colour never says anything alone: a status has a symbol and a word, a taken edge is thick, people and
irreversible nodes have a form of their own. A picture must survive a black and white printer.
Rule 2. All text in a picture is clean (`words.clean`), on one line, and of bounded length. Escaping is left to the
writers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final, Literal

from orchestra_graph.core.record import RunRecord, RunStatus
from orchestra_graph.graph.plan import Shape
from orchestra_graph.render.folding import Way, fold
from orchestra_graph.render.form import Form, Link, Region, Vertex
from orchestra_graph.render.progress import ENDED, Progress, Status, progress_of
from orchestra_graph.render.words import clean, duration, moment, plural, several, shorten, wrapped

__all__ = [
    "Frame",
    "FrameKind",
    "NodeForm",
    "Picture",
    "PictureEdge",
    "PictureNode",
    "Strength",
    "Tone",
    "WayKind",
    "picture_of",
    "picture_of_run",
]

NodeForm = Literal["start", "end", "work", "irreversible", "person", "point"]
"""The outline of a node; a point is an end of a graph in the graph at which ways part and meet."""
Tone = Literal["terminal", "plain", "danger", "person"] | Status
"""The colours of a node: of its kind, or in a run of its status."""
WayKind = Literal["usual", "error", "limit"]
"""What makes a run take an edge: its turn, a failure, a limit."""
FrameKind = Literal["loop", "each", "call"]
"""What a frame stands around."""
Strength = Literal["plain", "thin", "bold", "faint"]
"""How an edge is drawn: a declared way, a way nobody declared, one that was taken, one that was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureNode:
    """One node.

    Attributes:
        name: What it is called.
        form: Its outline.
        tone: Its colours.
        symbol: Of its status; empty in the picture of a graph.
        status: Its status in words; empty in the picture of a graph.
        effort: What it took: attempts, time.
        notes: What else is to be said, a line each.
    """

    name: str
    form: NodeForm
    tone: Tone
    symbol: str = ""
    status: str = ""
    effort: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """The name, with the symbol of the status before it."""
        return f"{self.symbol} {self.name}" if self.symbol else self.name

    @property
    def small(self) -> tuple[str, ...]:
        """The lines below the heading."""
        together = " · ".join(filter(None, (self.status, *self.effort)))
        wide = _NARROW if self.form == "person" else _LINE  # the corners of that form take room at both sides
        parts = (together,) if len(together) <= wide else (self.status, " · ".join(self.effort))
        return tuple(line for part in (*parts, *self.notes) for line in wrapped(part, wide))


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureEdge:
    """One edge, between nodes named by their index.

    Attributes:
        source: Where it comes from.
        target: Where it leads to.
        label: Lines of text.
        strength: How it is drawn.
        kind: What makes a run take it.
        count: In a run, how often it was taken.
        back: It leads to the next turn of a loop.
        enters_each: It leads into the frame of an `each`.
        from_frame: It comes from the frame of the graph around its source, not from that node alone.
    """

    source: int
    target: int
    label: tuple[str, ...] = ()
    strength: Strength = "plain"
    kind: WayKind = "usual"
    count: int = 0
    back: bool = False
    enters_each: bool = False
    from_frame: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A frame around a loop, around the body of an `each`, or around a graph in the graph.

    Attributes:
        kind: Which of the three.
        label: What it says.
        nodes: The nodes directly in it.
        frames: The frames directly in it.
    """

    kind: FrameKind
    label: str
    nodes: tuple[int, ...]
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawing.

    Attributes:
        title: Lines: the first is the heading.
        nodes: START first, END last.
        edges: In declared order.
        frames: The outermost ones.
        order: The nodes in the order in which they are read: each after those that lead to it.
    """

    title: tuple[str, ...]
    nodes: tuple[PictureNode, ...]
    edges: tuple[PictureEdge, ...]
    frames: tuple[Frame, ...]
    order: tuple[int, ...]


# -- tables ------------------------------------------------------------------------------------------

_NAME, _LINE, _NARROW, _LABEL, _FRAME = 48, 34, 24, 24, 76
"""How many characters a name may have, a line in a node and in a narrow one, one on an edge, and one in a frame."""
_TIMES: Final = "\u00d7"

_FORMS: Final[Mapping[str, NodeForm]] = {
    "start": "start",
    "end": "end",
    "ask": "person",
    "receive": "person",
    "enter": "point",
    "leave": "point",
}
_POINTS: Final[Mapping[str, str]] = {"enter": "begin of {}", "leave": "end of {}"}
_KINDS: Final[Mapping[str, WayKind]] = {"error": "error", "limit": "limit"}
_NAMES: Final[Mapping[str, str]] = {"start": "start", "end": "end"}
_TONES: Final[Mapping[NodeForm, Tone]] = {
    "start": "terminal",
    "end": "terminal",
    "work": "plain",
    "irreversible": "danger",
    "person": "person",
    "point": "terminal",
}

# Only signs that no system draws as a coloured emoji, and that DejaVu, Arial and Segoe have.
_SYMBOLS: Final[Mapping[Status, str]] = {
    "done": "✓",
    "running": "►",
    "waiting": "?",
    "failed": "✗",
    "retrying": "↻",
    "ready": "▷",
    "withdrawn": "⊘",
    "skipped": "\u2013",
    "later": "○",
}
_WORDS: Final[Mapping[Status, str]] = {
    "done": "done",
    "running": "running",
    "waiting": "waiting",
    "failed": "failed",
    "retrying": "retrying",
    "ready": "ready",
    "withdrawn": "withdrawn",
    "skipped": "skipped",
    "later": "not yet",
}
_READING_ORDER: Final[tuple[Status, ...]] = ("done", "running", "ready", "waiting", "retrying", "failed", "withdrawn")
_RUN_WORDS: Final[Mapping[RunStatus, str]] = {
    "running": "► running",
    "waiting": "? waiting",
    "done": "✓ done",
    "failed": "✗ failed",
    "cancelled": "⊘ cancelled",
    "stopped": "■ stopped by a limit",
    "dead": "✝ dead: its processes died",
}
_FRAME_KINDS: Final[Mapping[str, FrameKind]] = {"loop": "loop", "scope": "each", "call": "call"}
_TRUTH: Final[Mapping[str, str]] = {"True": "{}", "False": "not {}"}

_EDGE_LABELS: Final[Mapping[str, Callable[[Link], str]]] = {
    "always": lambda link: link.label,
    "when": lambda link: link.label,
    "otherwise": lambda link: link.label or "otherwise",
    "case": lambda link: _case_label(link),
    "default": lambda link: link.label or "default",
    "each": lambda link: "",  # the frame says it
    "empty": lambda link: link.label or "empty",
    "drop": lambda link: "" if link.alone else "else",
    "error": lambda link: f"on {link.label or 'an error'}",
    "limit": lambda link: link.label or "limit",
}


# -- a graph -----------------------------------------------------------------------------------------


def picture_of(shape: Shape, name: str) -> Picture:
    """The picture of a graph.

    Args:
        shape: Its form, from `Plan.shape` or from a database.
        name: Its name, for the title.
    """
    form = Form.of(shape)
    return _assembled(form, (_said(name),), [_node(vertex) for vertex in form.vertices], {}, None)


def _assembled(
    form: Form,
    title: tuple[str, ...],
    nodes: Sequence[PictureNode],
    progress: Mapping[str, Progress],
    record: RunRecord | None,
) -> Picture:
    """Put together what is drawn; the vertices that are not are taken out, and the others counted anew."""
    folded = fold(form)
    drawn = [index for index in range(len(nodes)) if index not in folded.hidden]
    place = {vertex: index for index, vertex in enumerate(drawn)}
    return Picture(
        title=title,
        nodes=tuple(nodes[vertex] for vertex in drawn),
        edges=tuple(_edge(form, way, place, record) for way in folded.ways),
        frames=_frames(form, None, progress, place, record),
        order=tuple(place[vertex] for vertex in _order(form) if vertex in place),
    )


def _node(vertex: Vertex) -> PictureNode:
    outline = _form(vertex)
    return PictureNode(
        name=_name(vertex),
        form=outline,
        tone=_TONES[outline],
        notes=(*_kind_notes(vertex), *_rule_notes(vertex), *_write_notes(vertex)),
    )


def _form(vertex: Vertex) -> NodeForm:
    return _FORMS.get(vertex.kind, "irreversible" if vertex.irreversible else "work")


def _name(vertex: Vertex) -> str:
    if vertex.kind in _POINTS:
        return _said(_POINTS[vertex.kind].format(vertex.name.removesuffix("/END")))
    return _NAMES.get(vertex.kind) or _said(vertex.name) or "(no name)"


def _said(text: str) -> str:
    return shorten(clean(text), _NAME)


def _kind_notes(vertex: Vertex) -> tuple[str, ...]:
    if vertex.kind == "ask":
        return ("may ask a person",) if vertex.optional else ("asks a person",)
    if vertex.kind == "receive":
        return ("waits for a message",)
    return ("irreversible",) if vertex.irreversible else ()


def _rule_notes(vertex: Vertex) -> tuple[str, ...]:
    """How branches meet there, whom it races with, and what it ends."""
    rivals = f"race with {several([_said(name) for name in vertex.rivals])}" if vertex.rivals else ""
    ends = {"done": "ends the graph", "failed": "ends the run: failed"}.get(vertex.ends or "", "")
    rule = f"join: {_said(vertex.rule)}" if vertex.rule else ""
    return tuple(filter(None, (rule, rivals, ends)))


def _write_notes(vertex: Vertex) -> tuple[str, ...]:
    return (f"writes {several([_said(field) for field in vertex.writes])}",) if vertex.writes else ()


def _edge(form: Form, way: Way, place: Mapping[int, int], record: RunRecord | None) -> PictureEdge:
    links = [form.links[index] for index in way.links]
    count = 0 if record is None else min(record.taken.get(index, 0) for index in way.links)
    back = any(link.back for link in links)
    # Two of several ends of a call may say the same.
    said = dict.fromkeys(filter(None, (shorten(clean(_EDGE_LABELS[link.kind](link)), 2 * _LABEL) for link in links)))
    text = ", ".join(said)
    if back:
        text = f"↺ {text or 'next turn'}"
    if count > 1:
        text = f"{text}\u00a0{_TIMES}{count:,}"
    limit = form.vertices[way.target].turns
    if way.source == way.target and limit:
        text = f"{text}, {_at_most(limit, 'turn')}"
    return PictureEdge(
        source=place[way.source],
        target=place[way.target],
        label=wrapped(text.strip(), _LABEL),
        strength=_strength(links, None if record is None else count),
        kind=next((_KINDS[link.kind] for link in links if link.kind in _KINDS), "usual"),
        count=count,
        back=back,
        enters_each=any(link.kind == "each" for link in links),
        from_frame=way.from_frame,
    )


def _strength(links: Sequence[Link], count: int | None) -> Strength:
    if count is not None:
        return "bold" if count else "faint"
    return "thin" if any(link.kind == "drop" and not link.alone for link in links) else "plain"


def _case_label(link: Link) -> str:
    if not link.choice:
        return link.label
    if link.label in _TRUTH:
        return _TRUTH[link.label].format(link.choice)
    return f"{link.choice} = {link.label}"


def _frames(
    form: Form,
    parent: int | None,
    progress: Mapping[str, Progress],
    place: Mapping[int, int],
    record: RunRecord | None,
) -> tuple[Frame, ...]:
    """The frames in the region *parent*. A node that follows itself gets none: its edge says all there is to say."""
    return tuple(
        Frame(
            kind=_FRAME_KINDS[region.kind],
            label=_frame_label(form, region, progress, record),
            nodes=tuple(place[v] for v in (*region.members, *_repeating(form, index)) if v in place),
            frames=_frames(form, index, progress, place, record),
        )
        for index, region in enumerate(form.regions)
        if region.parent == parent and not region.repeats
    )


def _frame_label(form: Form, region: Region, progress: Mapping[str, Progress], record: RunRecord | None) -> str:
    if region.kind == "call":
        return _call_label(form, region, record)
    return _each_label(region) if region.kind == "scope" else _loop_label(form, region, progress)


def _call_label(form: Form, region: Region, record: RunRecord | None) -> str:
    """The name of the graph, how far it has come, and what was declared of it as of a node."""
    before = form.vertices[region.enter]
    parts = [f"graph {_said(region.call) or '(no name)'}", *_rule_notes(before)]
    if record is None:
        return shorten(" · ".join(parts), _FRAME)
    names = [form.full[vertex] for vertex in (region.enter, region.leave)]
    begun, ended = (sum(a.node == name and a.status == "done" for a in record.activations) for name in names)
    status: Status = "done" if begun and ended >= begun else "running" if begun else "later"
    if status != "done" and record.status in ENDED:
        status = "withdrawn" if begun else "skipped"
    times = [f"{_TIMES}{begun:,}"] if begun > 1 else []
    return shorten(" · ".join([f"{_SYMBOLS[status]} {parts[0]}", _WORDS[status], *times, *parts[1:]]), _FRAME)


def _repeating(form: Form, parent: int) -> tuple[int, ...]:
    return tuple(v for region in form.regions if region.repeats and region.parent == parent for v in region.members)


def _each_label(region: Region) -> str:
    label = _said(region.each) or "for each item"
    return label if region.limit is None else f"{label}, at most {region.limit:,} at once"


def _loop_label(form: Form, region: Region, progress: Mapping[str, Progress]) -> str:
    turns = 0
    if region.head is not None and "scope" not in form.around(region.head):
        here = progress.get(form.full[region.head])
        turns = here.turns if here else 0
    limit = min((n for n in (form.vertices[v].turns for v in region.members) if n), default=0)
    parts = [plural(turns, "turn")] if turns else []
    if limit:
        parts.append(f"at most {limit:,}" if turns else _at_most(limit, "turn"))
    return f"loop: {', '.join(parts)}" if parts else "loop"


def _at_most(limit: int, noun: str) -> str:
    return f"at most {plural(limit, noun)}"


def _order(form: Form) -> tuple[int, ...]:
    """A topological order without the edges back, in declared order where there is a choice; nobody is left out."""
    waits_for = Counter(link.target for link in form.links if not link.back)
    ahead: dict[int, list[int]] = {}
    for link in form.links:
        if not link.back:
            ahead.setdefault(link.source, []).append(link.target)
    ready, order = [0], []
    while ready:
        order.append(heappop(ready))
        for target in ahead.get(order[-1], ()):
            waits_for[target] -= 1
            if not waits_for[target]:
                heappush(ready, target)
    return (*order, *sorted(set(range(len(form.vertices))) - set(order)))


# -- a run -------------------------------------------------------------------------------------------


def picture_of_run(shape: Shape, record: RunRecord, *, now: float | None = None) -> Picture:
    """The picture of a run: how far it has come at each node, and which ways it took.

    Args:
        shape: The form of the graph with which it was started.
        record: What happened.
        now: Seconds since the epoch, to show the time spent on what is still under way; left out, it is not shown.
    """
    form = Form.of(shape)
    progress = progress_of(record, now)
    nodes = [_run_node(form, index, record, progress) for index in range(len(form.vertices))]
    return _assembled(form, _run_title(record, progress, now), nodes, progress, record)


def _run_node(form: Form, index: int, record: RunRecord, progress: Mapping[str, Progress]) -> PictureNode:
    vertex = form.vertices[index]
    here = progress.get(form.full[index]) or Progress(status=_untouched(vertex, record))
    circle = vertex.kind in _NAMES or _form(vertex) == "point"
    return PictureNode(
        name=_name(vertex),
        form=_form(vertex),
        tone=here.status,
        symbol=_SYMBOLS[here.status],
        status=_WORDS[here.status] if circle else _status(here, form.around(index)),
        effort=() if circle else _effort(here),
        notes=(*(("irreversible",) if vertex.irreversible else ()), *_rule_notes(vertex)),
    )


def _untouched(vertex: Vertex, record: RunRecord) -> Status:
    """The status of a node without activations."""
    if vertex.kind == "start" or (vertex.kind == "end" and record.status == "done"):
        return "done"
    return "skipped" if record.status in ENDED else "later"


def _status(here: Progress, around: tuple[str, ...]) -> str:
    if here.activations <= 1:
        return _in_words(here.status, here)
    if len(here.counts) == 1:
        parts = _in_words(here.status, here)
    else:
        parts = ", ".join(f"{count:,}\u00a0{_in_words(status, here)}" for status, count in _reading_order(here))
    return f"{_times(here, around)}: {parts}"


def _reading_order(here: Progress) -> list[tuple[Status, int]]:
    """What is done first, trouble last: the order in which a count is read."""
    return sorted(here.counts, key=lambda part: _READING_ORDER.index(part[0]))


def _times(here: Progress, around: tuple[str, ...]) -> str:
    """``3 turns`` in a loop; in an `each` 12 times, or 24 times in 2 turns where a loop is around it."""
    if "scope" not in around and here.turns == here.activations:
        return plural(here.turns, "turn")
    return f"{_TIMES}{here.activations:,}" + (f" in {here.turns:,} turns" if here.turns > 1 else "")


def _in_words(status: Status, here: Progress) -> str:
    word = _WORDS[status]
    if status == "waiting":
        return f"{word} for {several([_said(who) for who in here.waiting_for])}"
    if status == here.status and here.error:
        return f"{word}: {_said(here.error)}" if status == "failed" else f"{word} after {_said(here.error)}"
    return word


def _effort(here: Progress) -> tuple[str, ...]:
    upto = "up to " if here.activations > 1 else ""
    attempts = (f"{upto}{plural(here.attempts, 'attempt')}",) if here.attempts > 1 else ()
    return attempts if here.seconds is None else (*attempts, duration(here.seconds))


def _run_title(record: RunRecord, progress: Mapping[str, Progress], now: float | None) -> tuple[str, ...]:
    status = _RUN_WORDS[record.status]
    asked = [_said(who) for here in progress.values() for who in here.waiting_for]
    if record.status == "waiting" and asked:
        status += f" for {several(asked)}"
    until = record.ended if record.ended is not None else now
    time = [] if until is None else [duration(max(0.0, until - record.started))]
    facts = [status, plural(record.steps, "step"), *time, f"started {moment(record.started)}"]
    return (f"{_said(record.graph)} {_said(record.version)} · {_said(record.key)}", " · ".join(facts))
