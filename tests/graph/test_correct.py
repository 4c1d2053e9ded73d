"""The correct programs run: what the checks let through comes to its end."""

import contextlib
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from orchestra_graph.errors import RunStopped
from orchestra_graph.graph.attributes import methods_of
from orchestra_graph.graph.fits import members, value_of
from tests.graph.correct import PROGRAMS


def sample(kind: Any) -> Any:
    """Some value of a type."""
    member = members(kind)[0]
    own = value_of(member)
    if own is not None:
        return own[0]
    made: Any = get_origin(member) or member
    if made in (list, tuple, set, frozenset):
        return made([sample(inner) for inner in get_args(member)[:1]])
    if issubclass(made, BaseModel):
        fields = made.model_fields.items()
        return made(**{name: sample(info.annotation) for name, info in fields if info.is_required()})
    return made("x") if made is str else made(1) if made in (int, float) else made()


def fake(protocol: type) -> object:
    """Something whose methods find nothing."""
    return type("Fake", (protocol,), {name: lambda self, *given: [] for name in methods_of(protocol)})()


def test_there_are_many_of_them() -> None:
    assert len(PROGRAMS) >= 60


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_correct_program_runs(name: str) -> None:
    graph = PROGRAMS[name]()
    plan = graph.compile()
    fields = [plan.schema.fields[name] for name in plan.own]
    given = {spec.name: sample(spec.annotation) for spec in fields if spec.required}
    wanted = {param.annotation for node in plan.nodes for param in node.params if param.kind == "resource"}

    with contextlib.suppress(RunStopped):  # a limit
        graph.run_sync(
            graph.state(**given),
            on_question=lambda question: sample(plan.by_name[question.node].answer),
            resources=[fake(kind) for kind in wanted],
        )
