"""Fields that no run can have."""

import warnings
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import SecretStr

from orchestra_graph.graph.builder import Graph
from orchestra_graph.graph.node import node
from orchestra_graph.state.reducers import extend
from orchestra_graph.state.schema import State
from tests.graph.mistakes.corpus import mistake


class WithSecret(State):
    text: str
    token: SecretStr


class WithFunction(State):
    text: str
    hook: Callable[[], int] | None = None


class WithReducer(State):
    text: str
    total: Annotated[int, extend] = 0


with warnings.catch_warnings():
    warnings.simplefilter("ignore")

    class WithCopy(State):
        text: str
        copy: str = ""  # type: ignore[assignment]  # checker: reportIncompatibleMethodOverride

    class WithSchema(State):
        text: str
        schema: str = ""  # type: ignore[assignment]  # checker: reportIncompatibleMethodOverride


@node
def work(text: str) -> None: ...


@mistake("unstorable", "field WithSecret.token cannot be stored", "")
def secret_in_the_state() -> Graph[Any]:
    graph = Graph(WithSecret, name="job")  # here
    graph.start(work)
    return graph


@mistake("unstorable", "field WithFunction.hook cannot be stored", "")
def function_in_the_state() -> Graph[Any]:
    graph = Graph(WithFunction, name="job")  # here
    graph.start(work)
    return graph


@mistake("reducer-type", "which needs a list or tuple, not int", "total: Annotated[list[int], extend] = []")
def reducer_of_a_number() -> Graph[Any]:
    graph = Graph(WithReducer, name="job")  # here
    graph.start(work)
    return graph


@mistake("field-name", "field WithCopy.copy has the name of an attribute of pydantic's BaseModel", "copy_: str")
def field_named_copy() -> Graph[Any]:
    graph = Graph(WithCopy, name="job")  # here
    graph.start(work)
    return graph


@mistake("field-name", "field WithSchema.schema has the name", "schema_: str")
def field_named_schema() -> Graph[Any]:
    graph = Graph(WithSchema, name="job")  # here
    graph.start(work)
    return graph
