"""The codec: what comes back is what was written, and nobody shares it."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)

from orchestra_graph import (
    Replace,
    State,
    add,
    append,
    extend,
    last,
    later,
    maximum,
    merge,
    minimum,
    reducer,
    union,
)
from orchestra_graph.errors import NotStorable
from orchestra_graph.state.codec import FieldCodec, JsonCodec, codec_of, first_line, parse, unstorable
from orchestra_graph.state.schema import Schema

from .kinds import KINDS, REFUSED, Camel, Circle, Line, Odd, Point, Square, Wide, shared


def same(one: object, other: object) -> bool:
    """Equal, or alike where something in it is not equal to itself (NaN)."""
    return type(one) is type(other) and (one == other or repr(one) == repr(other))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_value_comes_back_as_it_was_and_nothing_of_it_is_shared(kind: str, data: st.DataObject) -> None:
    annotation, values = KINDS[kind]
    codec = JsonCodec(kind, annotation)
    written = data.draw(values)
    accepted = codec.accept(written)
    assert same(accepted.value, written)
    assert not shared(accepted.value, written)
    loaded = codec.load(parse(accepted.json))
    assert same(loaded, written)
    assert same(codec.load(parse(codec.dump(loaded))), written)
    handed_out = codec.copy(accepted.value)
    assert same(handed_out, written)
    assert not shared(handed_out, accepted.value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_stored(kind: str) -> None:
    assert unstorable(KINDS[kind][0]) is None


def test_what_cannot_change_is_shared_and_not_copied() -> None:
    point = Point(x=1)
    for annotation, value in [
        (Point, point),
        (tuple[Point, ...], (point,)),
        (Point | None, point),
        (str, "a"),
        (Annotated[Point, Field()], point),
    ]:
        assert JsonCodec("f", annotation).copy(value) is value


# -- what does not survive JSON ----------------------------------------------------------------------------


class Sub(Line):
    extra: int = 0


class Holder(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    thing: Any = None


class Same1(BaseModel):
    x: int


class Same2(BaseModel):
    x: int


@pytest.mark.parametrize(
    ("annotation", "value", "says"),
    [
        (Line, Sub(sku="a", extra=3), "comes back from JSON as"),
        (Same1 | Same2, Same2(x=1), "comes back from JSON as"),
        (list[int] | tuple[int, ...], (1, 2), "comes back from JSON as"),
        (Any, (1, 2), "comes back from JSON as"),
        (Any, {1: "a"}, "comes back from JSON as"),
        (Any, {"when": datetime(2030, 1, 1)}, "comes back from JSON as"),
        (Any, Odd(), "Unable to serialize"),
        (Wide, Wide(line=Sub(sku="a", extra=3)), "comes back from JSON as"),
        (Holder, Holder(thing=Decimal("1")), "comes back from JSON as"),
        (Annotated[int, AfterValidator(lambda x: x + 1)], 3, "comes back from JSON as 5"),
        (Line, Line.model_construct(sku=3), "'sku' cannot be stored|PydanticSerializationUnexpectedValue"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused_when_it_is_written(
    annotation: Any, value: object, says: str
) -> None:
    with pytest.raises(NotStorable, match=says) as caught:
        JsonCodec("order", annotation).accept(value)
    assert caught.value.field == "order"


def test_what_is_nested_without_end_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(NotStorable):
        JsonCodec("ring", Any).accept(ring)


def test_infinity_and_nan_are_numbers_of_a_field_and_are_refused_where_json_would_lose_them() -> None:
    codec = JsonCodec("f", float)
    assert codec.load(parse(codec.accept(float("inf")).json)) == float("inf")
    assert repr(codec.load(parse(codec.accept(float("nan")).json))) == "nan"
    with pytest.raises(NotStorable):
        JsonCodec("f", Circle).accept(Circle(r=float("inf")))


@pytest.mark.parametrize("kind", REFUSED)
def test_types_that_cannot_be_stored_are_named_with_the_reason(kind: str) -> None:
    annotation, says = REFUSED[kind]
    assert says in (unstorable(annotation) or "")


def test_bytes_in_a_model_may_say_themselves_how_they_are_written() -> None:
    class Encoded(BaseModel):
        data: list[Base64Bytes]

    assert unstorable(Encoded) is None
    assert JsonCodec("f", Encoded).accept(Encoded(data=[b"/wA="])).value.data == [b"\xff\x00"]


def test_a_secret_is_found_however_deep_it_is() -> None:
    class Login(BaseModel):
        user: str
        password: SecretStr

    class Site(BaseModel):
        logins: dict[str, list[Login]]

    assert "SecretStr" in (unstorable(Site) or "")


def test_a_long_value_is_shortened_in_the_message() -> None:
    with pytest.raises(ValidationError) as caught:
        JsonCodec("f", int).accept("x" * 1000)
    said = first_line(caught.value)
    assert len(said) < 250
    assert "found 'xxx" in said


def test_a_message_names_the_place_inside_of_the_value() -> None:
    with pytest.raises(ValidationError) as caught:
        JsonCodec("f", list[Line]).accept([{"sku": "a"}, {"sku": "b", "price": "much"}])
    assert first_line(caught.value).startswith("1.price: ")


# -- fields ------------------------------------------------------------------------------------------------

RUNS: list[str] = []


class Sheet(State):
    count: Annotated[int, Field(gt=0)] = 1
    note: str = ""
    names: Annotated[list[str], append] = []
    lines: Annotated[tuple[Line, ...], extend] = ()
    total: Annotated[Decimal, add, Field(ge=0)] = Decimal(0)
    newest: Annotated[list[int], last] = []
    shape: Circle | Square = later()

    model_config = ConfigDict(str_strip_whitespace=True)
    PREFIX: ClassVar[str] = "> "

    @field_validator("note")
    @classmethod
    def marked(cls, value: str) -> str:
        RUNS.append(value)
        return cls.PREFIX + value

    @field_validator("names")
    @classmethod
    def no_blanks(cls, value: list[str]) -> list[str]:
        if "" in value:
            raise ValueError("a name must not be empty")
        return value


def field_of(name: str) -> FieldCodec:
    return codec_of(Schema.of(Sheet)).fields[name]


def test_the_validators_of_a_field_run_once_for_each_write_and_not_when_it_is_read_back() -> None:
    RUNS.clear()
    codec = field_of("note")
    accepted = codec.operand("hello")
    assert accepted.value == "> hello"
    assert codec.load(parse(accepted.json)) == "> hello"
    assert RUNS == ["hello"]
    # A state that a run starts with was validated when it was made.
    assert codec.accept_given("> hello").value == "> hello"
    assert RUNS == ["hello"]


def test_the_settings_of_the_state_class_hold_for_writes_too() -> None:
    assert field_of("note").operand("  a ").value == "> a"
    assert field_of("names").operand(" b ").value == ["b"]


def test_constraints_are_those_of_the_field_and_for_a_reducer_of_what_is_added() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        field_of("count").operand(0)
    with pytest.raises(ValidationError, match="a name must not be empty"):
        field_of("names").operand("")
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        field_of("total").operand(Decimal(-1))


def test_the_operand_of_append_is_one_element_and_of_extend_several() -> None:
    assert field_of("names").operand("a").value == ["a"]
    with pytest.raises(ValidationError):
        field_of("names").operand(["a"])
    assert field_of("lines").operand([Line(sku="a")]).value == (Line(sku="a"),)
    assert field_of("lines").makes_tuple
    assert not field_of("names").makes_tuple
    assert field_of("newest").operand([1]).value == [1]


@reducer
def counted(known: dict[str, int], word: str) -> dict[str, int]:
    return {**known, word: known.get(word, 0) + 1}


class Folds(State):
    tags: Annotated[set[str], union] = set()
    days: Annotated[frozenset[date], union] = frozenset()
    prices: Annotated[dict[str, Decimal], merge] = {}
    best: Annotated[Decimal | None, maximum] = None
    first: Annotated[date | None, minimum] = None
    words: Annotated[dict[str, int], counted] = {}
    lines: Annotated[tuple[Line, ...], append] = ()
    total: Annotated[int, add, Field(ge=0)] = 0


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("tags", ["a", "b", "a"], {"a", "b"}),
        ("tags", frozenset("a"), {"a"}),
        ("days", [date(2030, 1, 1)], frozenset([date(2030, 1, 1)])),
        ("prices", {"a": Decimal("1.50")}, {"a": Decimal("1.50")}),
        ("best", Decimal("1.50"), Decimal("1.50")),
        ("best", None, None),
        ("first", date(2030, 1, 1), date(2030, 1, 1)),
        ("words", "a", "a"),
    ],
)
def test_an_operand_is_what_its_reducer_folds_in_and_comes_back_as_it_was(name: str, given: Any, kept: Any) -> None:
    codec = codec_of(Schema.of(Folds)).fields[name]
    accepted = codec.operand(given)
    assert same(accepted.value, kept)
    assert same(codec.load_operand(parse(accepted.json)), kept)
    assert same(codec.copy_operand(accepted.value), kept)


@pytest.mark.parametrize(
    ("name", "given"),
    [("tags", "ab"), ("tags", [1]), ("prices", [("a", 1)]), ("prices", {"a": "much"}), ("best", "much"), ("words", 1)],
)
def test_an_operand_of_another_type_is_refused(name: str, given: Any) -> None:
    with pytest.raises(ValidationError):
        codec_of(Schema.of(Folds)).fields[name].operand(given)


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("tags", {"a"}, {"a"}),
        ("words", {"a": 3}, {"a": 3}),
        ("lines", (Line(sku="a"), Line(sku="b")), (Line(sku="a"), Line(sku="b"))),
        ("best", None, None),
        ("total", 3, 3),
    ],
)
def test_what_replaces_is_a_whole_value_of_the_field(name: str, given: Any, kept: Any) -> None:
    codec = codec_of(Schema.of(Folds)).fields[name]
    accepted = codec.operand(Replace(given))
    assert same(accepted.value, kept)
    assert same(codec.load(parse(accepted.json)), kept)


@pytest.mark.parametrize(("name", "given"), [("words", "a"), ("lines", Line(sku="a")), ("total", -1)])
def test_what_replaces_is_no_operand_and_is_held_to_the_constraints_of_the_field(name: str, given: Any) -> None:
    with pytest.raises(ValidationError):
        codec_of(Schema.of(Folds)).fields[name].operand(Replace(given))


def test_a_model_is_written_by_the_names_of_its_fields_and_read_by_its_aliases_too() -> None:
    codec = JsonCodec("f", Camel)
    accepted = codec.accept(Camel.model_validate({"ORDER_ID": 1}))
    assert accepted.json == '{"order_id":1,"lines":[]}'
    assert codec.load({"ORDER_ID": 1}) == codec.load({"order_id": 1}) == accepted.value


def test_plain_data_that_makes_the_declared_type_is_taken() -> None:
    accepted = field_of("shape").operand({"kind": "square", "side": 2})
    assert accepted.value == Square(side=2)
    assert field_of("total").operand("1.5").value == Decimal("1.5")


class Child(BaseModel):
    parent: Parent | None = None
    names: list[str] = []


class Parent(BaseModel):
    child: Child | None = None


class Family(State):
    head: Parent = Parent()
    limit: int = 3

    @field_validator("head", mode="after")
    @classmethod
    def checked(cls, value: Parent) -> Parent:
        if value.child is not None and "x" in value.child.names:
            raise ValueError("no x in the family")
        return value


def test_a_field_of_models_that_refer_to_each_other_has_its_validator() -> None:
    codec = codec_of(Schema.of(Family)).fields["head"]
    assert codec.operand({"child": {"names": ["a"]}}).value == Parent(child=Child(names=["a"]))
    with pytest.raises(ValidationError, match="no x in the family"):
        codec.operand(Parent(child=Child(names=["x"])))


def test_none_is_a_value_like_any_other() -> None:
    codec = JsonCodec("f", UUID | None)
    assert codec.accept(None) == (None, "null")
    assert codec.load(None) is None


def test_an_aware_moment_keeps_its_moment_and_a_naive_one_stays_naive() -> None:
    codec = JsonCodec("f", datetime)
    at = datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert codec.load(parse(codec.accept(at).json)) == at
    assert codec.load(parse(codec.accept(at.replace(tzinfo=None)).json)).tzinfo is None
    assert JsonCodec("f", timedelta).accept(timedelta(microseconds=1)).value == timedelta(microseconds=1)


def test_large_numbers_and_strange_strings_survive() -> None:
    assert JsonCodec("f", int).accept(10**40).value == 10**40
    assert JsonCodec("f", Decimal).accept(Decimal("1E+30")).value == Decimal("1E+30")
    strange = "\u2028\x00\ud7ff\U0001f600"
    codec = JsonCodec("f", str)
    assert codec.load(parse(codec.accept(strange).json)) == strange


def test_text_that_is_no_text_is_refused() -> None:
    with pytest.raises((NotStorable, ValidationError)):
        JsonCodec("f", str).accept("\ud800")


class Weight(enum.Enum):
    LIGHT = 1


def test_a_path_and_an_enum_are_what_they_were() -> None:
    assert JsonCodec("f", Path).accept(Path("a")).value == Path("a")
    assert JsonCodec("f", Weight).accept(Weight.LIGHT).value is Weight.LIGHT
