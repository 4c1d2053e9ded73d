"""State classes: what is unset, what a class says about its fields, and which validators see what."""

from __future__ import annotations

import copy
import pickle
from typing import Annotated, Any, Self

import pytest
from pydantic import BaseModel, Field, PrivateAttr, ValidationError, field_validator, model_validator

from orchestra_graph import NotWritten, State, append, later
from orchestra_graph.state.schema import Schema


class Kid(BaseModel):
    name: str
    kids: list[Kid] = []


class Report(State):
    title: str
    kid: Kid = later()
    count: int = later()
    notes: Annotated[list[str], append] = []
    made: list[int] = Field(default_factory=lambda: [1])


def test_a_later_field_is_unset_until_it_is_written() -> None:
    report = Report(title="t")
    with pytest.raises(NotWritten, match=r"Report\.count is not written yet") as caught:
        _ = report.count
    assert (caught.value.state, caught.value.field) == ("Report", "count")
    assert not hasattr(report, "count")  # it is an AttributeError, too
    assert report.model_fields_set == {"title"}
    assert "count" not in repr(report)
    assert Report(title="t", count=3).count == 3


def test_a_name_that_is_no_field_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(AttributeError) as caught:
        _ = Report(title="t").cuont  # type: ignore[attr-defined]
    assert not isinstance(caught.value, NotWritten)


def test_a_state_cannot_be_assigned_to() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Report(title="t").title = "u"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Report(title="t", colour="red")  # type: ignore[call-arg]


def test_copies_keep_unset_fields_unset() -> None:
    report = Report(title="t")
    pickled: Report = pickle.loads(pickle.dumps(report))
    for copied in (copy.copy(report), copy.deepcopy(report), report.model_copy(), pickled):
        assert copied == report
        assert not hasattr(copied, "count")


def test_a_state_with_unset_fields_can_be_dumped_and_compared() -> None:
    assert Report(title="t").model_dump() == {"title": "t", "notes": [], "made": [1]}
    assert Report(title="t", count=1) != Report(title="t")


def test_the_schema_says_how_every_field_begins() -> None:
    fields = Schema.of(Report).fields
    assert list(fields) == ["title", "kid", "count", "notes", "made"]
    assert fields["title"].required
    assert fields["count"].later
    assert not fields["count"].required
    assert fields["notes"].reducer is append
    assert fields["notes"].grows
    assert fields["notes"].default == []
    assert fields["made"].has_factory
    assert Schema.of(Report) is Schema.of(Report)


def test_what_a_run_starts_with_has_the_defaults_and_not_what_is_unset() -> None:
    given = Schema.of(Report).given(Report(title="t"))
    assert given == {"title": "t", "notes": [], "made": [1]}


def test_a_built_state_has_exactly_what_was_written() -> None:
    built = Schema.of(Report).build({"title": "t"})
    assert isinstance(built, Report)
    assert built.model_fields_set == {"title"}
    # Every run has the defaults from its start on; a state without them is one of a run that was cut off before.
    for name in ("count", "notes", "made"):
        with pytest.raises(NotWritten):
            getattr(built, name)


class Prepared(State):
    """A state with a hook of its own, which must not keep the markers of unset fields from going."""

    x: int = later()
    _seen: list[str] = PrivateAttr(default_factory=list)

    def model_post_init(self, context: Any, /) -> None:
        self._seen.append("init")


class PreparedFurther(Prepared):
    y: int = later()


@pytest.mark.parametrize("state", [Prepared, PreparedFurther])
def test_a_hook_after_the_init_runs_once_and_unset_stays_unset(state: type[Prepared]) -> None:
    for made in (state(), Schema.of(state).build({})):
        assert isinstance(made, Prepared)
        assert made._seen == ["init"]
        assert not hasattr(made, "x")


# -- validators of the state itself ------------------------------------------------------------------------

CALLS: list[str] = []


class Checked(State):
    low: int = 0
    high: int = 0
    tree: Kid = Kid(name="root")
    rest: str = later()

    @field_validator("low")
    @classmethod
    def one_more(cls, value: int) -> int:
        CALLS.append("field")
        return value + 1

    @model_validator(mode="before")
    @classmethod
    def first(cls, data: Any) -> Any:
        CALLS.append("before")
        return data

    @model_validator(mode="wrap")
    @classmethod
    def around(cls, data: Any, handler: Any) -> Any:
        CALLS.append("wrap")
        return handler(data)

    @model_validator(mode="after")
    def in_order(self) -> Self:
        CALLS.append("after")
        if self.low > self.high:
            raise ValueError(f"{self.low} is above {self.high}")
        return self


def test_the_final_state_is_seen_by_the_validators_of_the_state_and_not_by_those_of_its_fields() -> None:
    CALLS.clear()
    values = {"low": 3, "high": 5, "tree": Kid(name="a", kids=[Kid(name="b")])}
    built: Any = Schema.of(Checked).build(values, whole=True)
    assert sorted(CALLS) == ["after", "before", "wrap"]
    assert built.low == 3  # the field's own validator saw it when it was written, and would add one again
    assert built.tree is values["tree"]
    assert not hasattr(built, "rest")
    assert built.model_fields_set == {"low", "high", "tree"}


def test_a_final_state_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValidationError, match="6 is above 5"):
        Schema.of(Checked).build({"low": 6, "high": 5, "tree": Kid(name="a")}, whole=True)


def test_a_state_in_the_middle_of_a_run_is_not_judged_as_a_whole() -> None:
    CALLS.clear()
    built: Any = Schema.of(Checked).build({"low": 6, "high": 5})
    assert (built.low, built.high) == (6, 5)
    assert CALLS == []
