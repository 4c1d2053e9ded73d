"""Secrets are refused where they would be stored: by their type, and where the type says nothing, by their value."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, SecretBytes, SecretStr, field_serializer

from orchestra_graph import BadInput, Context, Engine, Graph, Question, State, ask, node
from orchestra_graph.errors import GraphError
from orchestra_graph.runtime.outcomes import Failed
from orchestra_graph.state.storable import secret_in, unstorable

PASSWORD = "hunter2"
SECRET = SecretStr(PASSWORD)


class Login(BaseModel):
    name: str
    password: SecretStr


class Telling(BaseModel):
    password: SecretStr

    @field_serializer("password")
    def _tell(self, password: SecretStr) -> str:
        return password.get_secret_value()


@dataclass
class Plain:
    inside: Any


@dataclass(slots=True)
class Slotted:
    inside: Any


class Anything(State):
    text: str = ""
    value: Any = None
    listed: list[Any] = []
    good: bool = False


@pytest.mark.parametrize(
    "annotation",
    [
        SecretStr,
        SecretBytes,
        SecretStr | None,
        list[SecretStr],
        dict[str, list[SecretBytes]],
        tuple[int, SecretStr],
        Annotated[SecretStr, Field(min_length=3)],
        Login,
        list[Login],
        Telling,
    ],
)
def test_a_type_with_a_secret_in_it_is_refused_when_the_graph_is_compiled(annotation: Any) -> None:
    assert "is a secret" in (unstorable(annotation) or "")


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        SecretBytes(b"x"),
        [1, [SECRET]],
        {"a": {"b": SECRET}},
        {SECRET: 1},
        (1, SECRET),
        deque([SECRET]),
        Login(name="a", password=SECRET),
        [Telling(password=SECRET)],
        Plain(SECRET),
        Slotted([SECRET]),
    ],
)
def test_a_secret_is_found_wherever_it_is(value: Any) -> None:
    assert "is a secret" in (secret_in(value) or "")


def test_what_has_no_secret_in_it_is_none() -> None:
    round_: list[Any] = [1, "a", {"b": (2.0, None)}, Plain([]), Slotted(b"c"), object(), Anything()]
    round_.append(round_)
    assert secret_in(round_) is None


async def failure(graph: Graph[Anything]) -> str:
    async with Engine() as engine:
        run = await engine.start(graph, Anything())
        outcome = await run.wait()
        assert isinstance(outcome, Failed)
        everything = [repr(event) async for event in run.events(follow=False)]
    assert PASSWORD not in f"{outcome} {everything}"
    return outcome.reason


@pytest.mark.asyncio
@pytest.mark.parametrize("value", [SECRET, [SECRET], {"a": Login(name="a", password=SECRET)}, Telling(password=SECRET)])
async def test_a_node_that_gives_a_secret_fails(value: Any) -> None:
    @node(writes="value")
    def give(text: str) -> Any:
        return value

    graph = Graph(Anything, name="anything")
    graph.start(give)
    assert "is a secret, and a run's state is stored. Give it to the Engine as a resource" in await failure(graph)


@pytest.mark.asyncio
async def test_a_person_is_told_no_secret() -> None:
    @ask(writes="good")
    def approve(text: str) -> Question[bool]:
        return Question("Go on?", details={"login": [Telling(password=SECRET)]})

    graph = Graph(Anything, name="anything")
    graph.start(approve)
    assert "'details' cannot be stored: a SecretStr is a secret" in await failure(graph)


@pytest.mark.asyncio
async def test_a_step_keeps_no_secret() -> None:
    @node(writes="text")
    async def work(text: str, context: Context) -> str:
        await context.step("login", lambda: [SECRET], returns=list[Any])
        return "never"

    graph = Graph(Anything, name="anything")
    graph.start(work)
    assert "a SecretStr is a secret" in await failure(graph)


@pytest.mark.asyncio
async def test_a_run_starts_with_no_secret() -> None:
    @node(writes="text")
    def work(text: str) -> str:
        return text

    graph = Graph(Anything, name="anything")
    graph.start(work)
    async with Engine() as engine:
        with pytest.raises(BadInput, match="'listed' cannot be stored: a SecretStr is a secret"):
            await engine.start(graph, Anything(listed=[SECRET]))


def test_an_answer_with_a_secret_is_refused_when_the_graph_is_compiled() -> None:
    class Asked(State):
        text: str = ""
        login: Any = None

    @ask(writes="login")
    def login(text: str) -> Question[Login]:
        return Question("Who are you?")

    graph = Graph(Asked, name="asked")
    graph.start(login)
    with pytest.raises(GraphError, match="SecretStr is a secret"):
        graph.compile()
