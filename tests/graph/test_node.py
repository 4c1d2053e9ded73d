"""Nodes: a function, and how it is to be run."""

import asyncio
import functools
import inspect
import pickle
from datetime import timedelta
from typing import Any

import pytest

from orchestra_graph.graph.node import END, Node, NodeOptions, ask, node
from orchestra_graph.graph.policies import Retry
from orchestra_graph.graph.question import Question


@node(writes="total", retry=Retry(attempts=2), timeout=timedelta(seconds=3), effect="pure")
def double(total: int) -> int:
    """Twice as much."""
    return 2 * total


@node
async def wait(total: int) -> int:
    return total


@ask(writes="allowed")
def approve(total: int) -> Question[bool]:
    return Question(str(total))


def test_a_node_called_is_its_function() -> None:
    assert double(total=4) == 8
    assert asyncio.run(wait(3)) == 3


def test_a_node_looks_like_its_function() -> None:
    assert double.__doc__ == "Twice as much."
    assert double.__name__ == double.name == "double"
    assert inspect.signature(double).parameters.keys() == {"total"}
    assert repr(double) == "<node double>"
    assert repr(approve) == "<ask approve>"
    assert repr(END) == "END"


def test_options_are_kept() -> None:
    assert double.options == NodeOptions(writes="total", retry=Retry(attempts=2), timeout=3.0, effect="pure")
    assert wait.options == NodeOptions()
    assert approve.options == NodeOptions(writes="allowed", effect="idempotent")


def test_a_node_says_where_its_function_is() -> None:
    assert double.where.startswith(__file__)


def test_a_node_is_pickled_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(double)) is double


def test_a_node_of_a_factory_remembers_what_is_local_there() -> None:
    class Local: ...

    @node
    def work(x: "Local") -> None: ...

    assert work.scope["Local"] is Local
    assert double.scope == {}


def test_what_has_no_name_needs_one() -> None:
    partial = functools.partial(double.fn, total=1)

    with pytest.raises(TypeError, match="has no name"):
        node(partial)
    assert node(name="once")(partial).name == "once"


@pytest.mark.parametrize("wrong", [3, "double", staticmethod(len)])
def test_what_is_no_function_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="@node takes a function"):
        node(wrong)


def test_one_decorator_is_enough() -> None:
    with pytest.raises(TypeError, match="is a node already"):
        node(double)


def test_a_method_is_refused_and_the_bound_one_named() -> None:
    with pytest.raises(TypeError, match=r"node\(\.\.\.\)\(obj\.work\)"):

        class Worker:
            @node
            def work(self, total: int) -> None: ...


def test_a_bound_method_is_a_node() -> None:
    class Worker:
        def work(self, total: int) -> int:
            return total

    assert isinstance(node(Worker().work), Node)
