"""Declared patches: what is not set is not written."""

from __future__ import annotations

from typing import NamedTuple, TypedDict

import pytest
from pydantic import ValidationError

from orchestra_graph import Patch, State, later
from orchestra_graph.state.patch import patch_fields, patch_state


class Research(State):
    plan: str = later()
    depth: int = 1


class Plan(Patch[Research]):
    plan: str
    depth: int = 3


class DeeperPlan(Plan):
    pass


class PlanDict(TypedDict, total=False):
    plan: str
    depth: int


class PlanTuple(NamedTuple):
    plan: str
    depth: int = 3


def test_only_what_is_set_is_written() -> None:
    assert patch_fields(Plan(plan="p")) == {"plan": "p"}
    assert patch_fields(Plan(plan="p", depth=3)) == {"plan": "p", "depth": 3}


def test_a_typed_dict_writes_the_keys_that_it_has() -> None:
    assert patch_fields(PlanDict(depth=2)) == {"depth": 2}
    assert patch_fields(PlanDict()) == {}


def test_a_named_tuple_writes_all_its_names() -> None:
    assert patch_fields(PlanTuple("p")) == {"plan": "p", "depth": 3}


def test_a_patch_names_its_state_and_so_does_one_derived_from_it() -> None:
    assert patch_state(Plan) is Research
    assert patch_state(DeeperPlan) is Research
    assert patch_state(Patch) is None


def test_a_patch_is_frozen_and_knows_its_fields() -> None:
    with pytest.raises(ValidationError):
        Plan(plan="p", wide=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Plan(plan="p").plan = "q"  # type: ignore[misc]


@pytest.mark.parametrize("value", [3, None, "plan", [1, 2]])
def test_what_is_no_patch_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        patch_fields(value)
