"""Every type that a state may have, through a run: written by a node, into the log, and read by another process."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import create_model

from orchestra_graph import Done, Engine, Graph, GraphError, Node, Question, Run, State, Waiting, ask, later, node

from .kinds import KINDS, REFUSED, shared

NAMES = {kind: f"field_{number}" for number, kind in enumerate(KINDS)}
FIELDS: dict[str, Any] = {NAMES[kind]: (annotation, later()) for kind, (annotation, _) in KINDS.items()}
Everything: Any = create_model("Everything", __base__=State, **FIELDS, agreed=(bool, later()), checked=(int, 0))
DRAWN = st.fixed_dictionaries({kind: values for kind, (_, values) in KINDS.items()})
VALUES: dict[str, Any] = {}
"""What the nodes write, by kind."""


def writer(kind: str) -> Node[Any]:
    def write() -> Any:
        return VALUES[kind]

    async def run() -> Any:
        return write()

    run.__annotations__["return"] = KINDS[kind][0]
    return node(writes=NAMES[kind], name=f"write_{NAMES[kind]}")(run)


@ask(writes="agreed")
def agree() -> Question[bool]:
    return Question("Go on?")


def graph_of_everything() -> Graph[Any]:
    """Every field is written by a node of its own; then somebody is asked, and a node sees all of them."""

    async def look(state: Any) -> int:
        assert all(same(getattr(state, NAMES[kind]), VALUES[kind]) for kind in KINDS)
        return len(KINDS)

    look.__annotations__["state"] = Everything
    graph: Graph[Any] = Graph(Everything, name="everything")
    writers = [writer(kind) for kind in KINDS]
    graph.start(writers)
    graph.edge(writers, agree)
    graph.edge(agree, node(writes="checked")(look))
    return graph


def same(one: object, other: object) -> bool:
    return type(one) is type(other) and (one == other or repr(one) == repr(other))


async def written(url: str, values: dict[str, Any]) -> None:
    VALUES.update(values)
    async with Engine(url, graphs=[GRAPH]) as engine:
        run = await engine.start(GRAPH, Everything(), key="all")
        outcome = await run.wait()
    assert isinstance(outcome, Waiting), outcome


async def read(url: str) -> Any:
    """What the run comes to, by an engine that knows only the database; a node sees all of it, too."""
    async with Engine(url, graphs=[GRAPH]) as engine:
        run: Run[Any] = await engine.get("all", GRAPH)
        [question] = await run.questions()
        await run.answer(question.id, True)
        outcome = await run.wait()
    assert isinstance(outcome, Done), outcome
    assert outcome.state.checked == len(KINDS)
    return outcome.state


GRAPH = graph_of_everything()


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=DRAWN)
def test_what_nodes_wrote_is_what_another_engine_reads(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('all')}/runs.db"

    async def both() -> Any:
        await written(url, values)
        return await read(url)

    state = asyncio.run(both())
    for kind, value in values.items():
        found = getattr(state, NAMES[kind])
        assert same(found, value), kind
        assert not shared(found, value), kind


def child(url: str, values: bytes, folder: str) -> None:
    """In another process: go on with the run, and leave the state behind."""
    VALUES.update(pickle.loads(values))
    state = asyncio.run(read(url))
    Path(folder, "state").write_bytes(pickle.dumps({kind: getattr(state, NAMES[kind]) for kind in KINDS}))


def test_what_nodes_wrote_is_what_another_process_reads(tmp_path: Path) -> None:
    drawn: list[dict[str, Any]] = []

    @settings(max_examples=1, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(DRAWN)
    def draw(values: dict[str, Any]) -> None:
        drawn.append(values)

    draw()
    url = f"sqlite:///{tmp_path}/runs.db"
    asyncio.run(written(url, drawn[0]))
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=child, args=(url, pickle.dumps(drawn[0]), str(tmp_path)))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    found = pickle.loads((tmp_path / "state").read_bytes())
    assert [kind for kind in KINDS if not same(found[kind], drawn[0][kind])] == []


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_stored_is_refused_before_anything_runs(kind: str) -> None:
    annotation, says = REFUSED[kind]
    state: Any = create_model("Wrong", __base__=State, value=(annotation, later()))

    @node
    async def begin() -> None:
        return None

    graph: Graph[Any] = Graph(state, name="wrong")
    graph.start(begin)
    with pytest.raises(GraphError) as caught:
        graph.compile()
    [problem] = caught.value.problems
    assert problem.code == "unstorable"
    assert "Wrong.value" in problem.what
    assert says in problem.what
