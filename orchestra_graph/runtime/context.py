"""What a node may know about where it runs."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, ClassVar

from orchestra_graph.core.events import ErrorInfo
from orchestra_graph.events import Emitted, Progress
from orchestra_graph.runtime.live import SPEAK, Speak

__all__ = ["Context"]

# Without a handler of the user's, nothing is printed: a failure is in the outcome, and its traceback in `__cause__`.
logging.getLogger("orchestra_graph").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Handed to a node that has a parameter of this type.

    Attributes:
        run: The key of the run.
        graph: The name of the graph.
        node: The node's name.
        id: The durable id of this activation, such as ``work@1#3``.
        attempt: 1 for the first attempt.
        turn: The turn of the innermost loop around the node, from 0; None outside of loops.
        error: How the attempt before failed, or None.
        idempotency_key: The same for every attempt of this activation, in every process, and different from all others:
            give it to whoever must not do a thing twice.
        log: A logger that names run and node.
    """

    __orchestra_role__: ClassVar[str] = "context"

    run: str
    graph: str
    node: str
    id: str
    attempt: int = 1
    turn: int | None = None
    error: ErrorInfo | None = None
    log: logging.LoggerAdapter[logging.Logger] = field(
        default_factory=lambda: logging.LoggerAdapter(logging.getLogger("orchestra_graph.node"), {})
    )

    _speak: Speak = field(default_factory=SPEAK.get, repr=False, compare=False)

    def emit(self, value: Any) -> None:
        """Tell whoever follows the run at this moment (`Run.events`, hooks); see `events.Emitted`.

        Nothing of it is stored: what has to be found again is written to a field. A later attempt says it again.

        Args:
            value: Anything. It is handed over as it is: do not change it afterwards.
        """
        self._speak(Emitted(run=self.run, cursor="", at=0.0, id=self.id, node=self.node, value=value))

    def progress(self, fraction: float | None, text: str = "") -> None:
        """Tell whoever follows the run at this moment how far this node is; see `events.Progress`.

        Args:
            fraction: How much is done, from 0 to 1; what lies outside is cut. None: it cannot be said.
            text: What is being done.
        """
        done = None if fraction is None else min(1.0, max(0.0, float(fraction)))
        self._speak(Progress(run=self.run, cursor="", at=0.0, id=self.id, node=self.node, fraction=done, text=text))

    @property
    def idempotency_key(self) -> str:
        """``run/activation``."""
        return f"{self.run}/{self.id}"
