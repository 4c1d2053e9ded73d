"""`edge(on_error=)`: where a run goes on when a node has failed for good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from orchestra_graph import (
    END,
    Context,
    Engine,
    Graph,
    Item,
    Question,
    QuestionExpired,
    Retry,
    State,
    append,
    ask,
    node,
)
from orchestra_graph.errors import BadWrite, NodeFailed, NodeTimeout, SwitchMissed

from .common import bodies, both_stores, done, failed, until_asked, url_of, virtual
from .stage import Board, Stage, ids, note, ran
from .virtual import elapsed, in_virtual_time


class Lost(LookupError):
    """An error of the user's own."""


def fails(error: Callable[[], BaseException], **options: Any) -> Any:
    @node(writes="log", name="risky", **options)
    async def risky() -> str:
        raise error()

    return risky


@node(writes="log")
async def mend(ctx: Context) -> str:
    return f"mended {ctx.error.type}: {ctx.error.message}" if ctx.error else "mended nothing"


def guarded(risky: Any, *ways: tuple[Any, Any]) -> Graph[Board]:
    graph = Graph(Board, name="guarded")
    graph.start(risky)
    graph.edge(risky, note("fine"))
    for errors, target in ways:
        graph.edge(risky, target, on_error=errors)
    return graph


# -- which way ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("errors", [Lost, LookupError, Exception, (KeyError, Lost), (OSError, LookupError)], ids=str)
@both_stores
@pytest.mark.asyncio
async def test_the_way_of_an_error_is_taken_for_its_type_and_those_below(
    errors: Any, place: str, tmp_path: Path
) -> None:
    assert await ran(guarded(fails(lambda: Lost("it")), (errors, mend)), url=url_of(place, tmp_path)) == [
        "mended Lost: it"
    ]


@pytest.mark.parametrize("errors", [KeyError, (OSError, ValueError)], ids=str)
@pytest.mark.asyncio
async def test_another_error_takes_no_way(errors: Any) -> None:
    graph = guarded(fails(lambda: Lost("it")), (errors, mend))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        outcome = failed(await run.wait(), "Lost")
        assert isinstance(outcome.cause, Lost)


@pytest.mark.parametrize(
    ("ways", "log"),
    [
        ([(LookupError, note("first")), (Lost, note("second"))], ["first"]),
        ([(KeyError, note("first")), (Lost, note("second")), (Exception, note("third"))], ["second"]),
        ([(Lost, [note("one"), note("other")]), (Exception, note("third"))], ["one", "other"]),
    ],
)
@pytest.mark.asyncio
async def test_the_first_that_fits_is_taken_with_all_its_targets(ways: Any, log: list[str]) -> None:
    assert sorted(await ran(guarded(fails(Lost), *ways))) == log


@pytest.mark.asyncio
async def test_a_node_that_does_not_fail_goes_its_ordinary_way() -> None:
    assert await ran(guarded(note("calm"), (Exception, mend))) == ["calm", "fine"]


@pytest.mark.asyncio
async def test_an_error_may_end_the_branch() -> None:
    assert await ran(guarded(fails(Lost), (Lost, END))) == []


# -- what is an error ---------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_timeout_is_one() -> None:
    @node(writes="log", timeout=5)
    async def slow() -> str:
        await asyncio.sleep(60)
        return "slow"

    graph = guarded(slow, (NodeTimeout, mend))
    async with virtual(graph) as engine:
        run = await engine.start(graph, Board())
        assert done(await run.wait()).log == ["mended NodeTimeout: no result within 5 s"]
        assert elapsed() == 5


@in_virtual_time
async def test_only_when_the_attempts_are_spent() -> None:
    tries: list[float] = []

    def error() -> BaseException:
        tries.append(elapsed())
        return Lost(f"try {len(tries)}")

    retry = Retry(attempts=3, delay=10, factor=1, jitter=0, on=(Lost,))
    graph = guarded(fails(error, retry=retry), (Lost, mend))
    async with virtual(graph) as engine:
        run = await engine.start(graph, Board())
        assert done(await run.wait()).log == ["mended Lost: try 3"]
    assert tries == [0, 10, 20]


@in_virtual_time
async def test_a_question_whose_time_is_over_is_one() -> None:
    @ask(writes="ok")
    async def agree() -> Question[bool]:
        return Question("Well?", expires_in=timedelta(hours=1))

    graph = guarded(agree, (QuestionExpired, mend))
    async with virtual(graph) as engine:
        run = await engine.start(graph, Board())
        await until_asked(run)
        await asyncio.sleep(3601)
        state = done(await run.wait())
        assert [line.split(":")[0] for line in state.log] == ["mended QuestionExpired"]
        assert not state.ok
        [row] = await engine.store.questions(run._row.number, status=())
        assert row.status == "expired"


@pytest.mark.parametrize("errors", [BadWrite, NodeFailed], ids=str)
@pytest.mark.asyncio
async def test_a_value_that_does_not_fit_is_one_and_nothing_of_it_is_stored(errors: Any) -> None:
    @node(writes="n")
    async def wrong() -> int:
        return "no number"  # type: ignore[return-value]

    graph = guarded(wrong, (errors, mend))
    async with Engine(graphs=[graph]) as engine:
        state = done(await (await engine.start(graph, Board())).wait())
    assert state.n == 0
    assert state.log[0].startswith("mended BadWrite: what it wrote to 'n' does not fit")


@pytest.mark.asyncio
async def test_a_switch_without_a_case_is_one_and_the_write_is_not_stored() -> None:
    @node(writes="n")
    async def count() -> int:
        return 7

    def which(n: int) -> Literal["few", "many"]:
        return "unheard of" if n == 7 else "few"  # type: ignore[return-value]

    graph = Graph(Board, name="missed")
    graph.start(count)
    graph.switch(count, which, {"few": END, "many": note("many")})
    graph.edge(count, mend, on_error=SwitchMissed)
    async with Engine(graphs=[graph]) as engine:
        state = done(await (await engine.start(graph, Board())).wait())
    assert state.n == 0
    assert state.log[0].startswith("mended SwitchMissed")


@pytest.mark.asyncio
async def test_a_condition_that_raises_is_one() -> None:
    def broken(n: int) -> bool:
        raise Lost("no condition")

    graph = Graph(Board, name="condition")
    graph.start(note("begin"))
    graph.edge("begin", note("then"), when=broken)
    graph.edge("begin", mend, on_error=Lost)
    assert await ran(graph) == ["mended Lost: no condition"]


@both_stores
@pytest.mark.asyncio
async def test_of_an_irreversible_node(place: str, tmp_path: Path) -> None:
    """It has failed itself: that is known, and nobody needs to be asked whether it has happened."""
    risky = fails(lambda: Lost("refused"), effect="irreversible", unattended=True)
    graph = guarded(risky, (Lost, mend))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        assert done(await run.wait()).log == ["mended Lost: refused"]
        assert await engine.store.questions(run._row.number, status=()) == []


@pytest.mark.asyncio
async def test_an_irreversible_node_whose_write_does_not_fit_has_happened_and_takes_no_way() -> None:
    @node(writes="n", effect="irreversible", unattended=True)
    async def pay() -> int:
        return "paid"  # type: ignore[return-value]

    graph = guarded(pay, (BadWrite, mend))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await run.wait()
        assert [q.id for q in await run.questions()] == ["pay"]  # a person says what was done


# -- what the handler knows -----------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_the_handler_knows_the_error_in_every_attempt_of_its_own(place: str, tmp_path: Path) -> None:
    seen: list[tuple[int, str]] = []

    @node(writes="log", retry=Retry(attempts=3, delay=0.001, on=(OSError,)))
    async def handle(ctx: Context) -> str:
        assert ctx.error is not None
        seen.append((ctx.attempt, ctx.error.type))
        if ctx.attempt < 3:
            raise OSError("busy")
        return "handled"

    graph = guarded(fails(lambda: Lost("it")), (Lost, handle))
    assert await ran(graph, url=url_of(place, tmp_path)) == ["handled"]
    assert seen == [(1, "Lost"), (2, "Lost"), (3, "Lost")]


@both_stores
@pytest.mark.asyncio
async def test_the_handler_knows_it_in_another_process_too(place: str, tmp_path: Path) -> None:
    """The error is in the log: it is there after a resume, and when the handler itself was retried by hand."""
    broken = [True]

    @node(writes="log")
    async def handle(ctx: Context) -> str:
        if broken.pop() if broken else False:
            raise OSError("down")
        return f"handled {ctx.error}"

    graph = guarded(fails(lambda: Lost("it")), (Lost, handle))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        assert failed(await run.wait()).reason == "handle: OSError: down"
        await run.retry()
        assert done(await run.wait()).log == ["handled Lost: it"]
        [activation] = [a for a in (await run.record()).activations if a.id == "risky"]
        assert (activation.status, activation.error) == ("failed", "Lost: it")


@pytest.mark.asyncio
async def test_an_error_reaches_a_handler_behind_a_join() -> None:
    """Several come to one handler: it is started once, and has the error of the first edge."""
    stage = Stage()
    a, b = stage.nodes("a", "b")
    graph = Graph(Board, name="joined")
    graph.start([a, b])
    graph.edge([a, b], END)
    graph.edge([a, b], mend, on_error=ValueError)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.fail(run, "b")
        await stage.fail(run, "a")
        assert done(await run.wait()).log == ["mended ValueError: no a"]


@pytest.mark.asyncio
async def test_a_node_behind_the_handler_has_no_error() -> None:
    @node(writes="log")
    async def behind(ctx: Context) -> str:
        return f"behind {ctx.error}"

    graph = guarded(fails(Lost), (Lost, mend))
    graph.edge(mend, behind)
    assert (await ran(graph))[1] == "behind None"


# -- and on ------------------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_a_handler_comes_back_to_the_main_line(place: str, tmp_path: Path) -> None:
    stage = Stage()
    risky, beside = stage.nodes("risky", "beside")
    graph = Graph(Board, name="back")
    graph.start([risky, beside])
    graph.edge(risky, mend, on_error=ValueError)
    graph.edge([risky, mend, beside], note("meet"))
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        await stage.fail(run, "risky")
        await stage.end(run, "beside")
        assert sorted(done(await run.wait()).log) == ["beside", "meet", "mended ValueError: no risky"]


@pytest.mark.asyncio
async def test_a_handler_may_lead_back_to_the_node() -> None:
    tries: list[int] = []

    @node(writes="log")
    async def risky(ctx: Context) -> str:
        tries.append(ctx.turn or 0)
        if len(tries) < 3:
            raise Lost
        return ctx.id

    graph = Graph(Board, name="again")
    graph.start(risky)
    graph.edge(risky, mend, on_error=Lost)
    graph.edge(mend, risky)
    assert await ran(graph) == ["mended Lost: ", "mended Lost: ", "risky@2"]


@pytest.mark.asyncio
async def test_each_element_has_its_own_error() -> None:
    @node
    async def begin() -> None: ...

    @node(writes="log")
    async def work(item: Item[str]) -> str:
        if item != "b":
            raise Lost(item)
        return item

    collect = note("collect")
    graph = Graph(Board, name="elements")
    graph.start(begin)
    graph.each(begin, "items", work, collect=collect)
    graph.edge(work, collect)
    graph.edge(work, mend, on_error=Lost)
    graph.edge(mend, collect)
    assert await ran(graph) == ["mended Lost: a", "b", "mended Lost: c", "collect"]


def inside(name: str = "inner") -> Graph[Board]:
    graph = Graph(Board, name=name)
    graph.start(note("begin"))
    graph.edge("begin", fails(lambda: Lost("inside")))
    return graph


@both_stores
@pytest.mark.asyncio
async def test_an_error_inside_of_a_graph_is_taken_inside(place: str, tmp_path: Path) -> None:
    inner = inside()
    inner.edge("risky", mend, on_error=Lost)
    graph = Graph(Board, name="outer")
    graph.start(inner)
    graph.edge(inner, note("after"))
    assert await ran(graph, url=url_of(place, tmp_path)) == ["inner/begin", "mended Lost: inside", "after"]


@pytest.mark.asyncio
async def test_a_failure_inside_of_a_graph_that_nobody_takes_fails_the_run_and_is_retried_there() -> None:
    broken = [True]

    @node(writes="log")
    async def risky(ctx: Context) -> str:
        if broken:
            raise Lost
        return ctx.id

    inner = Graph(Board, name="inner")
    inner.start(note("begin"))
    inner.edge("begin", risky)
    graph = Graph(Board, name="outer")
    graph.start(inner)
    graph.edge(inner, note("after"))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        assert [i for i, _ in failed(await run.wait(), "Lost").errors] == ["inner/risky"]
        broken.clear()
        await run.retry()
        assert done(await run.wait()).log == ["inner/begin", "inner/risky", "after"]


@pytest.mark.asyncio
async def test_the_edges_that_an_error_took_are_in_the_log_and_in_the_record() -> None:
    graph = guarded(fails(Lost), (Lost, mend))
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Board())
        done(await run.wait())
        [failure] = await bodies(run, "NodeFailed")
        assert '"taken"' in failure
        plan, record = graph.compile(), await run.record()
        taken = {plan.nodes[plan.edges[e].target].name for e, times in record.taken.items() if times}
        assert taken == {"risky", "mend", "END"}
        assert ids(record, "failed") == ["risky"]
        assert ids(record, "done") == ["mend"]


@pytest.mark.asyncio
async def test_a_handler_may_be_a_graph() -> None:
    class Repair(State):
        log: Annotated[list[str], append] = []

    @node
    async def boom() -> None:
        raise ValueError("no")

    @node(writes="log")
    async def mend(ctx: Context) -> str:
        return f"{ctx.id}: {ctx.error}"

    repair = Graph(Repair, name="repair")
    repair.start(mend)
    graph = Graph(Repair, name="job")
    graph.start(boom)
    graph.edge(boom, repair, on_error=ValueError)

    assert (await graph.run(Repair())).log == ["repair/mend: ValueError: no"]
