"""What a node may know about where it runs."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import ClassVar

from orchestra_graph.core.events import ErrorInfo

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

    @property
    def idempotency_key(self) -> str:
        """``run/activation``."""
        return f"{self.run}/{self.id}"
