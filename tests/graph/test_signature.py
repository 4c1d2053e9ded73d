"""What a function reads and writes, read off its annotations."""

import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, Never, NotRequired, Optional, Protocol, Union

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from orchestra_graph.graph.node import Item, Node, Resource, ask, node
from orchestra_graph.graph.plan import WriteSpec
from orchestra_graph.graph.question import Question
from orchestra_graph.graph.signature import Signature, choice_reads, hints_of, read_signature, type_name
from orchestra_graph.state.patch import Patch
from orchestra_graph.state.schema import Schema, State, later


class Job(State):
    text: str
    total: int = later()
    parts: list[str] = []


class Wide(Job):
    more: int = 0


SCHEMA = Schema.of(Job)


def read(step: Node[Any]) -> Signature:
    found = read_signature(step, SCHEMA)
    assert not found.problems, found.problems
    return found


def codes(step: Node[Any]) -> list[str]:
    return [problem.code for problem in read_signature(step, SCHEMA).problems]


def test_parameters_are_fields() -> None:
    @node
    async def work(text: str, *, total: int | None) -> None: ...

    assert [(p.name, p.kind, p.annotation) for p in read(work).params] == [
        ("text", "field", str),
        ("total", "field", int | None),
    ]


def test_a_parameter_is_marked_by_its_type() -> None:
    class Client: ...

    @node
    def work(
        part: Item[str],
        state: Job,
        client: Annotated[Client, Resource],
        other: Annotated[Client, Resource("eu")],
    ) -> None: ...

    item, state, client, other = read(work).params

    assert (item.kind, item.annotation) == ("item", str)
    assert (state.kind, state.annotation) == ("state", Job)
    assert (client.kind, client.annotation, client.resource) == ("resource", Client, "")
    assert (other.kind, other.resource) == ("resource", "eu")


def test_a_parameter_of_a_wider_state_is_no_snapshot() -> None:
    @node
    def work(state: Wide) -> None: ...

    assert codes(work) == ["unknown-parameter"]


def test_the_context_is_known_by_its_role() -> None:
    class Context:
        __orchestra_role__ = "context"

    @node
    def work(ctx: Context) -> None: ...

    assert [p.kind for p in read(work).params] == ["context"]


def test_a_single_write_is_the_return_type() -> None:
    @node(writes="total")
    def work(text: str) -> int:
        return 1

    assert read(work).writes == WriteSpec(fields={"total": int}, sure=True, single=True, certain=frozenset({"total"}))


@pytest.mark.parametrize("nothing", [None, Never])
def test_none_writes_nothing(nothing: Any) -> None:
    def work(text: str) -> Any: ...

    work.__annotations__["return"] = nothing
    assert read(node(work)).writes.fields == {}


class Plan(Patch[Job]):
    text: str
    total: int = 0


class Keys(TypedDict):
    text: str
    total: NotRequired[int]


class Pair(NamedTuple):
    text: str
    total: int


@pytest.mark.parametrize(
    ("patch", "certain", "sure"),
    [(Plan, {"text"}, False), (Keys, {"text"}, False), (Pair, {"text", "total"}, True)],
)
def test_a_patch_writes_its_members(patch: Any, certain: set[str], sure: bool) -> None:
    def work(text: str) -> Any: ...

    work.__annotations__["return"] = patch
    writes = read(node(work)).writes

    assert dict(writes.fields) == {"text": str, "total": int}
    assert writes.certain == certain
    assert writes.sure is sure
    assert not writes.single


def test_a_patch_of_classes_that_are_local_to_a_factory() -> None:
    class Local(str): ...

    class Found(TypedDict):
        text: "Local"

    @node
    def work(text: str) -> Found:
        return {"text": Local()}

    assert read(work).writes.fields == {"text": Local}


def test_a_patch_that_names_what_is_not_defined_is_a_problem() -> None:
    class Found(TypedDict):
        text: "Missing"  # type: ignore[name-defined]  # noqa: F821

    @node
    def work(text: str) -> Found: ...  # type: ignore[empty-body]

    assert codes(work) == ["undefined-name"]


def test_a_question_has_the_type_of_its_answer() -> None:
    @ask(writes="total")
    def how_many(text: str) -> Question[int]:
        return Question(text)

    @ask(writes="total")
    async def perhaps(text: str) -> Question[int] | None:
        return None

    assert (read(how_many).answer, read(how_many).optional, read(how_many).writes.sure) == (int, False, True)
    assert (read(perhaps).answer, read(perhaps).optional, read(perhaps).writes.sure) == (int, True, False)
    assert not read(perhaps).writes.certain


def test_partials_methods_and_callables_are_read_through() -> None:
    class Adder:
        def add(self, total: int) -> None: ...

        def __call__(self, text: str) -> None: ...

    def scaled(total: int, factor: int) -> None: ...

    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @node
    @logged
    def work(parts: list[str]) -> None: ...

    assert [p.name for p in read(node(Adder().add)).params] == ["total"]
    assert [p.name for p in read(node(name="add")(Adder())).params] == ["text"]
    assert [p.name for p in read(node(name="scale")(functools.partial(scaled, factor=2))).params] == ["total"]
    assert [p.name for p in read(work).params] == ["parts"]


def test_names_are_looked_up_in_the_factory() -> None:
    class Local: ...

    @node
    def work(text: "str", client: "Annotated[Local, Resource]") -> None: ...

    assert read(work).params[1].annotation is Local


def test_every_problem_of_a_function_is_named() -> None:
    @node
    def work(txt: str, untyped, *rest: int):  # type: ignore[no-untyped-def]
        ...

    assert codes(work) == ["unknown-parameter", "unannotated", "parameter-kind", "no-return-type"]


def test_a_builtin_that_tells_nothing_is_a_problem() -> None:
    assert codes(node(name="size")(dict)) != []


def test_what_a_condition_reads() -> None:
    assert choice_reads("order.total") == ("order",)
    assert choice_reads(lambda text, total: text) == ("text", "total")


def test_annotations_are_evaluated_with_their_marks() -> None:
    def work(part: "Item[str]") -> "int": ...  # type: ignore[empty-body]

    hints = hints_of(work)

    assert hints["return"] is int
    assert hints["part"] == Item[str]


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (None, "None"),
        (int | None, "int | None"),
        (Optional[int], "int | None"),  # noqa: UP045
        (Union[int, str], "int | str"),  # noqa: UP007
        (list[int], "list[int]"),
        (dict[str, list[int]], "dict[str, list[int]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Literal["a", 1], "Literal['a', 1]"),
        (Annotated[int, "mark"], "int"),
        (Any, "Any"),
    ],
)
def test_a_type_is_written_as_people_write_it(annotation: Any, text: str) -> None:
    assert type_name(annotation) == text


def test_a_protocol_of_attributes_is_a_view_of_the_fields_of_these_names() -> None:
    class Part(Protocol):
        text: str

    @node
    def work(part: Part) -> None: ...

    class Doc(State):
        text: str

    (param,) = read_signature(work, Schema.of(Doc)).params

    assert (param.kind, param.annotation, param.view) == ("view", Part, {"text": "text"})


def test_a_parameter_that_is_named_like_a_field_is_that_field_whatever_its_type() -> None:
    class Part(Protocol):
        text: str

    class Inner(BaseModel):
        text: str

    @node
    def work(part: Part) -> None: ...

    class Doc(State):
        part: Inner
        text: str

    (param,) = read_signature(work, Schema.of(Doc)).params

    assert (param.kind, param.source) == ("field", "part")
