"""The page of the README is the example, without its bodies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.pages import ROOT, blocks, names_of, page, run_python
from orchestra_graph import Graph, Node
from orchestra_graph.graph.node import NodeOptions


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    with names_of("README.md") as found:
        for block in blocks("README.md"):
            if block.language == "python":
                run_python(block, found)
        yield found


@pytest.fixture
def example() -> Graph[Any]:
    from support_desk import support

    return support


def test_the_page_declares_the_graph_of_the_example(names: dict[str, Any], example: Graph[Any]) -> None:
    here, there = names["support"], example
    assert here.compile().shape == there.compile().shape
    assert (here.name, here.version) == (there.name, there.version)


def test_the_page_runs_its_nodes_as_the_example_does(names: dict[str, Any], example: Graph[Any]) -> None:
    assert _how(names["support"]) == _how(example)


def _how(graph: Graph[Any]) -> dict[str, tuple[str, NodeOptions]]:
    return {name: (step.kind, step.options) for name, step in graph.steps.items() if isinstance(step, Node)}


def test_the_first_block_is_twelve_lines_and_a_print() -> None:
    first = blocks("README.md")[0]
    lines = [line for line in first.code.splitlines() if line.strip()]
    assert first.language == "python"
    assert (len(lines), lines[-1][:6]) == (13, "print(")


def test_the_page_comes_after_the_chain_and_the_commands() -> None:
    text = page("README.md")
    assert text.index("letter.chain(") < text.index("make demo") < text.index("class Ticket(State)")


@pytest.mark.asyncio
async def test_monday_and_wednesday_go_as_they_are_written(
    names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import support_desk

    monkeypatch.chdir(tmp_path)
    ticket = support_desk.read_tickets(ROOT / "examples" / "data" / "tickets.txt")["ticket-101"]
    names["support"] = support_desk.support
    names["Approval"] = support_desk.Approval
    names["Ticket"] = lambda text: support_desk.Ticket(text=ticket)

    await names["monday"](support_desk.payments)
    assert capsys.readouterr().out.startswith("approve asks: Refund ")
    await names["wednesday"](support_desk.payments)
    assert "We have refunded" in capsys.readouterr().out
