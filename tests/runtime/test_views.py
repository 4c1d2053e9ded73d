"""What a node gets for a parameter that is annotated with a protocol."""

from dataclasses import FrozenInstanceError
from typing import Any, Protocol, runtime_checkable

import pytest

from orchestra_graph import Graph, State, node
from orchestra_graph.state.schema import later


class Doc(State):
    text: str
    lines: list[str] = ["a"]
    secret: str = "hidden"
    title: str = later()
    out: str = ""


@runtime_checkable
class Titled(Protocol):
    @property
    def title(self) -> str: ...

    @property
    def lines(self) -> list[str]: ...


@node(writes="title")
def name_it(text: str) -> str:
    return text.title()


def run(seen: list[Any], keep: Any) -> Doc:
    @node(writes="out")
    def show(doc: Titled) -> str:
        seen.append(doc)
        keep(doc)
        return f"{doc.title}: {', '.join(doc.lines)}"

    graph = Graph(Doc, name="doc")
    graph.start(name_it)
    graph.edge(name_it, show)
    return graph.run_sync(Doc(text="news"))


def test_a_view_has_the_fields_that_its_protocol_lists_and_no_others() -> None:
    seen: list[Any] = []

    assert run(seen, lambda doc: None).out == "News: a"
    assert isinstance(seen[0], Titled)
    assert type(seen[0]).__name__ == "Titled"
    assert not hasattr(seen[0], "secret")
    assert repr(seen[0]).endswith("Titled(title='News', lines=['a'])")


def test_a_view_is_a_copy_that_cannot_be_set() -> None:
    def spoil(doc: Any) -> None:
        doc.lines.append("b")
        with pytest.raises(FrozenInstanceError):
            doc.title = "x"

    assert run([], spoil).lines == ["a"]
