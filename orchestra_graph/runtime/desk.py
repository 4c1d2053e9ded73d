"""`Desk`: one transaction of a run at a time, and nothing else appended meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

__all__ = ["Desk"]


class Desk:
    """Where the transactions of one run take their turn, the first first.

    Args:
        wake: Called when there is something to do: somebody wants a turn, or has had it.

    Attributes:
        taken: There is a transaction, or one that was handed over and is about to be stored.
    """

    def __init__(self, wake: Callable[[], object]):
        self.taken = False
        self._wake = wake
        self._waiting = deque[asyncio.Future[None]]()

    async def enter(self) -> None:
        """Wait for a turn; whoever has had it calls `leave`."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._wake()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had come in that very moment
                self.leave()
            raise

    def admit(self) -> None:
        """Let the next one have its turn; to be called while nothing is being appended to the run."""
        while self._waiting and not self.taken:
            turn = self._waiting.popleft()
            if not turn.done():
                self.taken = True
                turn.set_result(None)

    def leave(self) -> None:
        """The turn is over."""
        self.taken = False
        self._wake()
