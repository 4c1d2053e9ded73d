"""orchestra_graph: a stateful graph workflow engine for AI orchestration.

Declare a graph of nodes over a typed state, run it, and find every step in SQL: loops, branches, parallel work and
pauses for a person survive crashes, deploys and months.

    from orchestra_graph import Engine, Graph, State, node
"""

from typing import TYPE_CHECKING, Any

from orchestra_graph._version import __version__ as __version__
from orchestra_graph.errors import AlreadyAnswered as AlreadyAnswered
from orchestra_graph.errors import BadInput as BadInput
from orchestra_graph.errors import BadWrite as BadWrite
from orchestra_graph.errors import GraphChanged as GraphChanged
from orchestra_graph.errors import GraphError as GraphError
from orchestra_graph.errors import LimitReached as LimitReached
from orchestra_graph.errors import NodeFailed as NodeFailed
from orchestra_graph.errors import NodeTimeout as NodeTimeout
from orchestra_graph.errors import NotWritten as NotWritten
from orchestra_graph.errors import OrchestraError as OrchestraError
from orchestra_graph.errors import Problem as Problem
from orchestra_graph.errors import QuestionExpired as QuestionExpired
from orchestra_graph.errors import RunBusy as RunBusy
from orchestra_graph.errors import RunCancelled as RunCancelled
from orchestra_graph.errors import RunDead as RunDead
from orchestra_graph.errors import RunEnded as RunEnded
from orchestra_graph.errors import RunFailed as RunFailed
from orchestra_graph.errors import RunKeyTaken as RunKeyTaken
from orchestra_graph.errors import RunOwned as RunOwned
from orchestra_graph.errors import RunStopped as RunStopped
from orchestra_graph.errors import RunWaiting as RunWaiting
from orchestra_graph.errors import StaleAnswer as StaleAnswer
from orchestra_graph.errors import StepsChanged as StepsChanged
from orchestra_graph.errors import StoreError as StoreError
from orchestra_graph.errors import SwitchMissed as SwitchMissed
from orchestra_graph.errors import UnknownRun as UnknownRun
from orchestra_graph.errors import WrongAnswer as WrongAnswer

# Everything else is imported when it is first named: `orchestra --help` needs no pydantic, a module that only declares
# graphs needs no engine.
if TYPE_CHECKING:
    from orchestra_graph.graph.builder import Graph as Graph
    from orchestra_graph.graph.node import END as END
    from orchestra_graph.graph.node import Item as Item
    from orchestra_graph.graph.node import Node as Node
    from orchestra_graph.graph.node import Resource as Resource
    from orchestra_graph.graph.node import Step as Step
    from orchestra_graph.graph.node import Target as Target
    from orchestra_graph.graph.node import ask as ask
    from orchestra_graph.graph.node import node as node
    from orchestra_graph.graph.node import receive as receive
    from orchestra_graph.graph.policies import Cache as Cache
    from orchestra_graph.graph.policies import Limits as Limits
    from orchestra_graph.graph.policies import Retry as Retry
    from orchestra_graph.graph.policies import all_of as all_of
    from orchestra_graph.graph.policies import batches as batches
    from orchestra_graph.graph.policies import each_one as each_one
    from orchestra_graph.graph.policies import first as first
    from orchestra_graph.graph.policies import until as until
    from orchestra_graph.graph.policies import zipped as zipped
    from orchestra_graph.graph.question import Question as Question
    from orchestra_graph.runtime.context import Context as Context
    from orchestra_graph.runtime.engine import Engine as Engine
    from orchestra_graph.runtime.explain import Explanation as Explanation
    from orchestra_graph.runtime.history import HistoryStep as HistoryStep
    from orchestra_graph.runtime.mail import Message as Message
    from orchestra_graph.runtime.outcomes import Cancelled as Cancelled
    from orchestra_graph.runtime.outcomes import Dead as Dead
    from orchestra_graph.runtime.outcomes import Done as Done
    from orchestra_graph.runtime.outcomes import Failed as Failed
    from orchestra_graph.runtime.outcomes import OpenQuestion as OpenQuestion
    from orchestra_graph.runtime.outcomes import Outcome as Outcome
    from orchestra_graph.runtime.outcomes import Stopped as Stopped
    from orchestra_graph.runtime.outcomes import Waiting as Waiting
    from orchestra_graph.runtime.run import Run as Run
    from orchestra_graph.state.patch import Patch as Patch
    from orchestra_graph.state.reducers import Replace as Replace
    from orchestra_graph.state.reducers import add as add
    from orchestra_graph.state.reducers import append as append
    from orchestra_graph.state.reducers import extend as extend
    from orchestra_graph.state.reducers import last as last
    from orchestra_graph.state.reducers import maximum as maximum
    from orchestra_graph.state.reducers import merge as merge
    from orchestra_graph.state.reducers import minimum as minimum
    from orchestra_graph.state.reducers import reducer as reducer
    from orchestra_graph.state.reducers import union as union
    from orchestra_graph.state.schema import State as State
    from orchestra_graph.state.schema import later as later
    from orchestra_graph.store.keys import Keys as Keys

__all__ = [  # for `import *`, which does not ask for lazy names by itself
    "END",
    "AlreadyAnswered",
    "BadInput",
    "BadWrite",
    "Cache",
    "Cancelled",
    "Context",
    "Dead",
    "Done",
    "Engine",
    "Explanation",
    "Failed",
    "Graph",
    "GraphChanged",
    "GraphError",
    "HistoryStep",
    "Item",
    "Keys",
    "LimitReached",
    "Limits",
    "Message",
    "Node",
    "NodeFailed",
    "NodeTimeout",
    "NotWritten",
    "OpenQuestion",
    "OrchestraError",
    "Outcome",
    "Patch",
    "Problem",
    "Question",
    "QuestionExpired",
    "Replace",
    "Resource",
    "Retry",
    "Run",
    "RunBusy",
    "RunCancelled",
    "RunDead",
    "RunEnded",
    "RunFailed",
    "RunKeyTaken",
    "RunOwned",
    "RunStopped",
    "RunWaiting",
    "StaleAnswer",
    "State",
    "Step",
    "StepsChanged",
    "Stopped",
    "StoreError",
    "SwitchMissed",
    "Target",
    "UnknownRun",
    "Waiting",
    "WrongAnswer",
    "add",
    "all_of",
    "append",
    "ask",
    "batches",
    "each_one",
    "extend",
    "first",
    "last",
    "later",
    "maximum",
    "merge",
    "minimum",
    "node",
    "receive",
    "reducer",
    "union",
    "until",
    "zipped",
]

_LAZY = {
    "Graph": "graph.builder",
    "END": "graph.node",
    "Item": "graph.node",
    "Node": "graph.node",
    "Resource": "graph.node",
    "Step": "graph.node",
    "Target": "graph.node",
    "ask": "graph.node",
    "node": "graph.node",
    "receive": "graph.node",
    "Cache": "graph.policies",
    "Limits": "graph.policies",
    "all_of": "graph.policies",
    "batches": "graph.policies",
    "each_one": "graph.policies",
    "first": "graph.policies",
    "until": "graph.policies",
    "zipped": "graph.policies",
    "Retry": "graph.policies",
    "Question": "graph.question",
    "Context": "runtime.context",
    "Patch": "state.patch",
    "Replace": "state.reducers",
    "add": "state.reducers",
    "append": "state.reducers",
    "extend": "state.reducers",
    "last": "state.reducers",
    "maximum": "state.reducers",
    "merge": "state.reducers",
    "minimum": "state.reducers",
    "reducer": "state.reducers",
    "union": "state.reducers",
    "State": "state.schema",
    "later": "state.schema",
    "Engine": "runtime.engine",
    "Run": "runtime.run",
    "Keys": "store.keys",
    "Explanation": "runtime.explain",
    "HistoryStep": "runtime.history",
    "Cancelled": "runtime.outcomes",
    "Dead": "runtime.outcomes",
    "Done": "runtime.outcomes",
    "Failed": "runtime.outcomes",
    "OpenQuestion": "runtime.outcomes",
    "Outcome": "runtime.outcomes",
    "Stopped": "runtime.outcomes",
    "Waiting": "runtime.outcomes",
    "Message": "runtime.mail",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'orchestra_graph' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(f"orchestra_graph.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
