"""People: what is asked, who may answer what, and that every answer counts once, for its own question."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, field_validator

from orchestra_graph import (
    AlreadyAnswered,
    Context,
    Engine,
    Graph,
    Item,
    Question,
    StaleAnswer,
    State,
    WrongAnswer,
    append,
    ask,
    extend,
    later,
    node,
)
from orchestra_graph.core.run import Activation
from orchestra_graph.runtime.answers import accept_answer, answer_codec, check_by_schema, fits, node_of, same_answer

from .common import Sheet, asked, both_stores, chain, database, done, events, failed, until_asked, url_of


class Approval(BaseModel):
    granted: bool
    limit: Decimal = Decimal(100)
    note: str = ""


class Case(State):
    text: str = "t"
    approval: Approval = later()
    second: Approval | None = None
    count: int = 0
    choice: Literal["again", "stop"] = "stop"
    people: list[str] = []
    said: Annotated[list[str], append] = []
    lists: Annotated[list[str], extend] = []
    log: Annotated[list[str], append] = []
    level: Annotated[int, Field(ge=0)] = 0

    @field_validator("level")
    @classmethod
    def even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value


@ask(writes="approval")
def approve(text: str) -> Question[Approval]:
    return Question(f"Approve {text}?", to="boss", details={"text": text, "sum": Decimal("1.50")})


@node(writes="log")
async def after(approval: Approval) -> str:
    return f"{approval.granted} {approval.limit} {approval.note}"


simple: Graph[Case] = Graph(Case, name="simple")
simple.start(approve)
simple.edge(approve, after)


# -- what is an answer -------------------------------------------------------------------------------------


@both_stores
@pytest.mark.asyncio
async def test_a_question_says_whom_it_asks_what_and_what_an_answer_looks_like(place: str, tmp_path: Path) -> None:
    async with Engine(url_of(place, tmp_path), graphs=[simple]) as engine:
        run = await engine.start(simple, Case(), key="k")
        [question] = asked(await run.wait())
        assert (question.run, question.id, question.node, question.to) == ("k", "approve", "approve", "boss")
        assert question.prompt == "Approve t?"
        assert question.details == {"text": "t", "sum": "1.50"}
        assert question.schema["required"] == ["granted"]
        assert json.loads(question.example) == {"granted": True}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"granted": "perhaps"}, "granted: Input should be a valid boolean"),
        ({}, "granted: Field required"),
        (True, "valid dictionary or instance of Approval"),
        (None, "valid dictionary or instance of Approval"),
        ({"granted": True, "limit": "much"}, "limit: Input should be a valid decimal"),
    ],
)
@pytest.mark.asyncio
async def test_a_wrong_answer_is_refused_with_an_example_and_the_question_stays_open(value: object, says: str) -> None:
    async with Engine(graphs=[simple]) as engine:
        run = await engine.start(simple, Case())
        asked(await run.wait())
        with pytest.raises(WrongAnswer) as caught:
            await run.answer("approve", value)
        assert says in str(caught.value)
        assert 'An answer looks like {"granted": true}' in str(caught.value)
        assert "still open" in str(caught.value)
        with pytest.raises(WrongAnswer):
            await run.answer_json("approve", value)
        assert [q.id for q in asked(await run.wait())] == ["approve"]
        await run.answer("approve", Approval(granted=True, note="fine"))
        assert (await run.result()).log == ["True 100 fine"]


@pytest.mark.asyncio
async def test_an_answer_may_be_plain_data_or_json_and_the_same_one_again_changes_nothing() -> None:
    async with Engine(graphs=[simple]) as engine:
        run = await engine.start(simple, Case())
        asked(await run.wait())
        await run.answer("approve", {"granted": True, "limit": Decimal("2.50")})
        await run.answer("approve", Approval(granted=True, limit=Decimal("2.50")))
        await run.answer_json("approve", {"granted": True, "limit": "2.50", "note": ""})
        state = await run.result()
        assert state.approval == Approval(granted=True, limit=Decimal("2.50"))
        await run.answer("approve", {"granted": True, "limit": Decimal("2.50")})  # even after the end
        with pytest.raises(AlreadyAnswered, match="was answered before, otherwise") as caught:
            await run.answer("approve", Approval(granted=False))
        assert json.loads(caught.value.answer)["granted"] is True
        assert state.log == ["True 2.50 "]
        assert await events(run, "Answered") == ["Answered"]


@pytest.mark.asyncio
async def test_an_answer_must_also_fit_the_field_that_takes_it() -> None:
    @ask(writes="level")
    def level() -> Question[int]:
        return Question("How high?")

    graph: Graph[Case] = Graph(Case, name="g")
    graph.start(level)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Case())
        asked(await run.wait())
        with pytest.raises(WrongAnswer, match="greater than or equal to 0"):
            await run.answer("level", -2)
        with pytest.raises(WrongAnswer, match="must be even"):
            await run.answer("level", 3)
        await run.answer("level", 4)
        assert (await run.result()).level == 4


@pytest.mark.asyncio
async def test_an_answer_into_a_grown_field_is_one_element_of_it_or_several() -> None:
    @ask(writes="said")
    def one() -> Question[str]:
        return Question("What?")

    @ask(writes="lists")
    def many() -> Question[list[str]]:
        return Question("What else?")

    graph: Graph[Case] = Graph(Case, name="g")
    graph.start(one)
    graph.edge(one, many)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Case())
        asked(await run.wait())
        with pytest.raises(WrongAnswer):
            await run.answer("one", ["a"])
        await run.answer("one", "a")
        asked(await run.wait())
        await run.answer("many", ["b", "c"])
        state = await run.result()
        assert (state.said, state.lists) == (["a"], ["b", "c"])


@pytest.mark.asyncio
async def test_nobody_is_asked_where_the_function_returns_none() -> None:
    @ask(writes="second")
    def maybe(count: int) -> Question[Approval] | None:
        return Question("Really?") if count > 3 else None

    @node(writes="log")
    async def end(second: Approval | None) -> str:
        return "nobody" if second is None else f"{second.granted}"

    graph: Graph[Case] = Graph(Case, name="g")
    graph.start(maybe)
    graph.edge(maybe, end)
    async with Engine(graphs=[graph]) as engine:
        assert (await (await engine.start(graph, Case())).result()).log == ["nobody"]
        run = await engine.start(graph, Case(count=4))
        asked(await run.wait())
        await run.answer("maybe", Approval(granted=True))
        assert (await run.result()).log == ["True"]


@pytest.mark.asyncio
async def test_an_ask_that_returns_no_question_fails_and_names_what_it_returned() -> None:
    def wrong() -> Question[bool]:
        return "Really?"  # type: ignore[return-value]

    graph = chain(ask(writes="ok")(wrong))
    async with Engine(graphs=[graph]) as engine:
        outcome = failed(await (await engine.start(graph, Sheet())).wait(), "TypeError")
        assert "an @ask function returns a Question, not 'Really?'" in outcome.reason


@pytest.mark.asyncio
async def test_details_that_have_no_form_in_json_fail_the_node_and_a_retry_asks() -> None:
    details: dict[str, Any] = {"thing": object()}

    @ask(writes="ok")
    def wrong() -> Question[bool]:
        return Question("Really?", details=details)

    graph = chain(wrong)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        failed(await run.wait())
        assert await run.questions() == []
        details.clear()
        await run.retry()
        assert asked(await run.wait())[0].id == "wrong"


# -- several at once ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["abc", "cab", "bca"])
@both_stores
@pytest.mark.asyncio
async def test_several_may_be_open_at_once_and_be_answered_in_any_order(place: str, order: str, tmp_path: Path) -> None:
    def question(name: str) -> Any:
        @ask(writes="log", name=name)
        def put() -> Question[str]:
            return Question(f"{name}?")

        return put

    questions = [question(name) for name in "abc"]

    @node(writes="text")
    async def join(log: list[str]) -> str:
        return "".join(log)

    graph = Graph(Sheet, name="g")
    graph.start(questions)
    graph.edge(questions, join)
    async with Engine(url_of(place, tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        assert sorted(q.id for q in asked(await run.wait())) == ["a", "b", "c"]
        for number, name in enumerate(order, 1):
            await run.answer(name, name.upper())
            if number < 3:
                assert len(asked(await run.wait())) == 3 - number
        assert (await run.result()).text == "ABC"


@pytest.mark.asyncio
async def test_an_answer_lands_on_its_own_turn_of_a_loop_and_on_no_other(tmp_path: Path) -> None:
    @ask(writes="choice")
    def more(count: int) -> Question[Literal["again", "stop"]]:
        return Question(f"turn {count}?")

    @node(writes="count")
    async def step(count: int) -> int:
        return count + 1

    @node(writes="log")
    async def end() -> str:
        return "end"

    graph: Graph[Case] = Graph(Case, name="g")
    graph.start(more)
    graph.switch(more, "choice", {"again": step, "stop": end})
    graph.edge(step, more)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Case())
        for turn in range(3):
            [question] = asked(await run.wait())
            assert (question.id, question.prompt) == (f"more@{turn}", f"turn {turn}?")
            await run.answer(question.id, "again")
            # The same click again, when the next question may be open already, is not taken for it.
            await run.answer(question.id, "again")
            with pytest.raises(AlreadyAnswered):
                await run.answer(question.id, "stop")
        [question] = asked(await run.wait())
        assert question.id == "more@3"
        with pytest.raises(AlreadyAnswered):
            await run.answer("more@0", "stop")
        await run.answer("more@3", "stop")
        assert (await run.result()).count == 3


@pytest.mark.asyncio
async def test_each_item_has_a_question_of_its_own(tmp_path: Path) -> None:
    @node
    async def begin() -> None: ...

    @ask(writes="said")
    def greet(person: Item[str]) -> Question[str]:
        return Question(f"Hello {person}?", to=person)

    @node(writes="log")
    async def reply(person: Item[str], ctx: Context) -> str:
        return f"{ctx.id} {person}"

    @node
    async def end() -> None: ...

    graph: Graph[Case] = Graph(Case, name="g")
    graph.start(begin)
    graph.each(begin, "people", greet, collect=end)
    graph.chain(greet, reply, end)
    async with Engine(database(tmp_path), graphs=[graph]) as engine:
        run = await engine.start(graph, Case(people=["ada", "eve", "bob"]))
        questions = {q.to: q for q in asked(await run.wait())}
        assert {to: q.id for to, q in questions.items()} == {"ada": "greet#0", "eve": "greet#1", "bob": "greet#2"}
        await run.answer("greet#2", "hi from bob")
        asked(await run.wait())
        await run.answer("greet#0", "hi from ada")
        await run.answer("greet#1", "hi from eve")
        state = await run.result()
        assert state.said == ["hi from ada", "hi from eve", "hi from bob"]
        assert state.log == ["reply#0 ada", "reply#1 eve", "reply#2 bob"]


# -- nothing runs twice ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_nothing_before_or_after_a_question_runs_twice_whoever_drives_and_answers(tmp_path: Path) -> None:
    """Every part of the run happens in another engine: started, answered, resumed, looked at."""
    ran: Counter[str] = Counter()

    @node(writes="log")
    async def before() -> str:
        ran["before"] += 1
        return "before"

    @ask(writes="ok")
    def confirm() -> Question[bool]:
        ran["confirm"] += 1
        return Question("Well?")

    @node(writes="log")
    async def behind() -> str:
        ran["behind"] += 1
        return "behind"

    graph = chain(before, confirm, behind)
    url = database(tmp_path)
    async with Engine(url, graphs=[graph]) as engine:
        asked(await (await engine.start(graph, Sheet(), key="k")).wait())
    async with Engine(url, graphs=[graph]) as engine:
        asked(await (await engine.start(graph, Sheet(), key="k")).wait())
    async with Engine(url, graphs=[graph]) as engine:
        await (await engine.get("k", graph)).answer("confirm", True)
    async with Engine(url) as engine:
        await (await engine.get("k")).answer("confirm", True)
    async with Engine(url, graphs=[graph]) as engine:
        assert (await (await engine.get("k", graph)).result()).log == ["before", "behind"]
    async with Engine(url, graphs=[graph]) as engine:
        assert (await (await engine.start(graph, Sheet(), key="k")).result()).log == ["before", "behind"]
    assert ran == {"before": 1, "confirm": 1, "behind": 1}


@pytest.mark.asyncio
async def test_an_answer_of_another_engine_is_seen_while_other_branches_run(tmp_path: Path) -> None:
    behind = asyncio.Event()

    @ask(writes="ok")
    def confirm() -> Question[bool]:
        return Question("Well?")

    @node(writes="log")
    async def after_answer() -> str:
        behind.set()
        return "after"

    @node(writes="log")
    async def beside() -> str:
        await behind.wait()  # does not end before the answer has moved the other branch
        return "beside"

    graph = Graph(Sheet, name="g")
    graph.start([confirm, beside])
    graph.edge(confirm, after_answer)
    url = database(tmp_path)
    async with Engine(url, graphs=[graph]) as engine, Engine(url) as person:
        run = await engine.start(graph, Sheet(), key="k")
        waiting = asyncio.create_task(run.wait())
        theirs = await person.get("k")
        await until_asked(theirs)
        await theirs.answer("confirm", True)
        assert sorted(done(await asyncio.wait_for(waiting, 20)).log) == ["after", "beside"]


@pytest.mark.asyncio
async def test_of_many_different_answers_at_once_one_is_heard_and_the_others_are_told(tmp_path: Path) -> None:
    url = database(tmp_path)
    async with Engine(url, graphs=[simple]) as engine, Engine(url) as other:
        run = await engine.start(simple, Case(), key="k")
        asked(await run.wait())
        theirs = await other.get("k")
        given = [(run, theirs)[n % 2].answer("approve", {"granted": True, "note": str(n)}) for n in range(10)]
        heard = await asyncio.gather(*given, return_exceptions=True)
        assert Counter(type(h) for h in heard) == {type(None): 1, AlreadyAnswered: 9}
        state = await run.result()
        assert state.log == [f"True 100 {heard.index(None)}"]


# -- after a failure ---------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_fails_behind_an_answer_does_not_ask_the_person_again() -> None:
    """The answer was taken, and a condition on the way out is wrong: mended, the run goes on with that answer."""
    broken = [True]
    ran: list[str] = []

    @ask(writes="approval")
    def decide() -> Question[Approval]:
        ran.append("decide")
        return Question("Well?")

    def fine(approval: Approval) -> bool:
        if broken:
            raise ZeroDivisionError
        return approval.granted

    graph: Graph[Case] = Graph(Case, name="g")
    graph.start(decide)
    graph.edge(decide, after, when=fine)
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Case())
        asked(await run.wait())
        await run.answer("decide", Approval(granted=True, note="yes"))
        failed(await run.wait(), "ZeroDivisionError")
        await run.retry()
        failed(await run.wait(), "ZeroDivisionError")
        broken.clear()
        await run.retry()
        assert done(await run.wait()).log == ["True 100 yes"]
        assert ran == ["decide"]


@pytest.mark.asyncio
async def test_an_answer_that_only_the_code_can_refuse_is_asked_for_again(tmp_path: Path) -> None:
    """Without the code it was checked by the schema alone, which does not know the validator."""

    @ask(writes="level")
    def level() -> Question[int]:
        return Question("How high?")

    graph: Graph[Case] = Graph(Case, name="g")
    graph.start(level)
    url = database(tmp_path)
    async with Engine(url, graphs=[graph]) as engine:
        asked(await (await engine.start(graph, Case(), key="k")).wait())
    async with Engine(url) as person:
        run: Any = await person.get("k")
        with pytest.raises(WrongAnswer, match="'high' is not of type 'integer'"):
            await run.answer("level", "high")
        await run.answer("level", 3)
    async with Engine(url, graphs=[graph]) as engine:
        run = await engine.get("k", graph)
        outcome = failed(await run.wait(), "BadWrite")
        assert "must be even" in outcome.reason
        await run.retry()
        assert [q.id for q in asked(await run.wait())] == ["level!2"]
        await run.answer("level!2", 4)
        assert (await run.result()).level == 4


@pytest.mark.asyncio
async def test_an_answer_that_comes_while_a_run_has_failed_is_kept_for_the_retry() -> None:
    broken = [True]

    @ask(writes="ok")
    def confirm() -> Question[bool]:
        return Question("Well?")

    @node
    async def wrong() -> None:
        if broken:
            raise ValueError

    graph = Graph(Sheet, name="g")
    graph.start([confirm, wrong])
    async with Engine(graphs=[graph]) as engine:
        run = await engine.start(graph, Sheet())
        failed(await run.wait())
        while not await run.questions():  # both begin together: asked before the failure, or at the retry
            broken.clear()
            await run.retry()
            await run.wait()
        await run.answer("confirm", True)
        broken.clear()
        if await run.status() == "failed":
            await run.retry()
        assert (await run.result()).ok is True


# -- the parts ---------------------------------------------------------------------------------------------


def test_the_node_of_a_question_is_read_off_its_id() -> None:
    plan = simple.compile()
    for identity in ("approve", "approve@0", "approve#3", "approve@1#2(~1)", "approve!2", "approve~1"):
        assert node_of(plan, identity).name == "approve"
    with pytest.raises(KeyError):
        node_of(plan, "unknown@1")


def test_answers_are_the_same_when_they_mean_the_same() -> None:
    plan = simple.compile()
    assert same_answer(plan, "approve", '{"granted":true}', '{"note":"","granted":true,"limit":"100"}')
    assert not same_answer(plan, "approve", '{"granted":true}', '{"granted":false}')
    # Without the code only what looks alike is known to be the same.
    assert same_answer(None, "approve", '{"a":1,"b":2}', '{"b":2,"a":1}')
    assert not same_answer(None, "approve", '{"granted":true}', '{"granted":true,"note":""}')
    assert not same_answer(plan, "approve", '{"granted":true}', "3")


class Receipt(BaseModel):
    number: int


class Shop(State):
    ok: bool = later()
    receipts: list[str] = []
    receipt: Receipt | None = None
    log: Annotated[list[str], append] = []


def paying(work: Any) -> Graph[Shop]:
    @ask(writes="ok")
    def allow() -> Question[bool]:
        return Question("Pay?")

    graph = Graph(Shop, name="shop")
    graph.start(allow)
    graph.edge(allow, work)
    return graph


@node(writes="receipts", effect="irreversible")
async def pay_list() -> list[str]:
    return []


@node(writes="receipt", effect="irreversible")
async def pay_maybe() -> Receipt | None:
    return None


@node(effect="irreversible")
async def pay_nothing() -> None: ...


@pytest.mark.parametrize(
    ("work", "answer", "stored"),
    [
        # Not happened: nothing is said of what it wrote, whatever the type is.
        (pay_list, {"happened": False}, '{"happened":false}'),
        (pay_maybe, {"happened": False}, '{"happened":false}'),
        (pay_nothing, {"happened": False}, '{"happened":false}'),
        (pay_list, {"happened": True, "receipts": ["a"]}, '{"happened":true,"receipts":["a"]}'),
        (pay_maybe, {"happened": True, "receipt": None}, '{"happened":true,"receipt":null}'),
        (pay_maybe, {"happened": True, "receipt": {"number": 3}}, '{"happened":true,"receipt":{"number":3}}'),
        (pay_nothing, {"happened": True}, '{"happened":true}'),
    ],
)
def test_whether_something_happened_is_answered_with_what_it_wrote(work: Any, answer: object, stored: str) -> None:
    plan = paying(work).compile()
    for parsed_json in (False, True):
        assert accept_answer(plan, work.name, answer, parsed_json=parsed_json) == stored


@pytest.mark.parametrize(
    ("work", "answer", "says"),
    [
        (pay_list, {"happened": True}, "say what it wrote, too: receipts"),
        (pay_maybe, {"happened": True}, "say what it wrote, too: receipt"),
        (pay_list, {"happened": True, "receipts": "a"}, "receipts: Input should be a valid list"),
        (pay_nothing, {"happened": True, "receipts": []}, "receipts: Extra inputs are not permitted"),
        (pay_nothing, {}, "happened: Field required"),
        (pay_nothing, True, "valid dictionary"),
    ],
)
def test_an_incomplete_word_on_whether_something_happened_is_no_answer(work: Any, answer: object, says: str) -> None:
    plan = paying(work).compile()
    with pytest.raises(WrongAnswer, match="The question is still open") as caught:
        accept_answer(plan, work.name, answer, parsed_json=False)
    assert says in str(caught.value)


def test_an_answer_that_was_stored_without_the_code_is_looked_at_again() -> None:
    plan = paying(pay_list).compile()
    activation = Activation("pay_list", plan.by_name["pay_list"].index, (), (), None, (), 0.0)  # type: ignore[arg-type]
    assert fits(plan, activation, '{"happened":true,"receipts":["a"]}')
    assert fits(plan, activation, '{"happened":false}')
    for wrong in ('{"happened":true}', "3", '{"happened":true,"receipts":3}', "{", "null"):
        assert not fits(plan, activation, wrong)
    schema = answer_codec(plan.by_name["pay_list"]).adapter.json_schema()
    assert schema["required"] == ["happened"]


@pytest.mark.asyncio
async def test_an_answer_is_checked_by_the_stored_schema_where_there_is_no_code(tmp_path: Path) -> None:
    async with Engine(database(tmp_path), graphs=[simple]) as engine:
        asked(await (await engine.start(simple, Case(), key="k")).wait())
        [row] = await engine.store.questions()
    assert json.loads(check_by_schema(row, {"granted": False})) == {"granted": False}
    stored = check_by_schema(row, Approval(granted=True, limit=Decimal("2.50")))
    assert json.loads(stored) == {"granted": True, "limit": "2.50", "note": ""}
    with pytest.raises(WrongAnswer, match="Unable to serialize"):
        check_by_schema(row, {"granted": object()})
    with pytest.raises(WrongAnswer, match="granted: 'no' is not of type 'boolean'"):
        check_by_schema(row, {"granted": "no"})
    with pytest.raises(WrongAnswer, match="'granted' is a required property"):
        check_by_schema(row, {})


@pytest.mark.asyncio
async def test_an_answer_to_a_withdrawn_question_is_stale() -> None:
    async with Engine(graphs=[simple]) as engine:
        run = await engine.start(simple, Case())
        asked(await run.wait())
        await run.cancel()
        with pytest.raises(StaleAnswer, match="its run went on without it"):
            await run.answer("approve", Approval(granted=True))
