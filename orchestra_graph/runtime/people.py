"""`People`: what one run asks of them while it is driven, and what they say.

Rule 1. A question is in the log and in its table, in one transaction; nobody sees one that is not.
Rule 2. An answer is taken once, however often it is heard of: from the `Watcher`, from whoever gave it in this process,
or in the table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

from orchestra_graph.clock import Clock
from orchestra_graph.core import events as ev
from orchestra_graph.core.run import Activation, RunState
from orchestra_graph.errors import QuestionExpired
from orchestra_graph.graph.question import Question
from orchestra_graph.runtime import answers
from orchestra_graph.runtime.happening import Happening
from orchestra_graph.runtime.invoke import Invoker
from orchestra_graph.store.base import MessageRow, QuestionRow, QuestionStatus, RunRow, Store
from orchestra_graph.store.rules import is_over

__all__ = ["Asking", "People"]


class Asking(Protocol):
    """Whose people these are: a `Drive`."""

    store: Store
    row: RunRow
    run: RunState
    invoker: Invoker
    clock: Clock

    def add(self, happening: Happening) -> None:
        """Let something happen to the run."""
        ...

    def finish(self, activation: Activation, value: Any, began: float) -> None:
        """This is what it came to."""
        ...

    def refuse(self, activation: Activation, error: Exception, began: float) -> None:
        """What it came to is no good."""
        ...

    def fail(
        self,
        activation: Activation,
        error: BaseException,
        began: float | None = None,
        closed: tuple[str, QuestionStatus] | None = None,
    ) -> None:
        """It has failed."""
        ...

    def wake(self) -> None:
        """Look at what has happened."""
        ...

    def hear_messages(self, rows: Iterable[MessageRow]) -> None:
        """Take what was sent to the run."""
        ...


class People:
    """Questions and answers of one run; a `Listener`.

    Attributes:
        trouble: Why nobody looks for answers any more, or None.
    """

    def __init__(self, drive: Asking):
        self.trouble: Exception | None = None
        self._drive = drive
        self._answered: set[str] = set()  # their answers are in the inbox, or folded

    # -- questions ----------------------------------------------------------------------------------

    def ask(self, activation: Activation, asked: object) -> None:
        """Put the question that a node asks."""
        if not isinstance(asked, Question):
            raise TypeError(f"an @ask function returns a Question, not {asked!r:.80}")
        drive = self._drive
        now, plan = drive.clock.now(), drive.invoker.plan
        self._put(activation, answers.question_row(plan, drive.row.number, drive.row.key, activation, asked, now))

    def doubt(self, activation: Activation, why: str) -> None:
        """An irreversible node was started and nobody knows how it ended: a person decides, nothing is repeated."""
        drive = self._drive
        now, plan = drive.clock.now(), drive.invoker.plan
        row = answers.doubt_row(plan, drive.row.number, drive.row.key, activation, now, why)
        self._put(activation, row, doubt=True)

    def _put(self, activation: Activation, row: QuestionRow, *, doubt: bool = False) -> None:
        event = ev.QuestionAsked(
            at=row.asked_at, id=activation.id, question=row.id, to=row.to, expires_at=row.expires_at, doubt=doubt
        )
        self._drive.add(Happening(event, asked=row))

    # -- answers ------------------------------------------------------------------------------------

    @property
    def waiting(self) -> Collection[str]:
        """The ids of the questions that nobody has answered yet."""
        run = self._drive.run
        asked = [a.question for a in run.questions if a.question is not None] if run.asking else []
        return [question for question in asked if question not in self._answered]

    @property
    def due_at(self) -> float | None:
        """When the time of one of these questions is over, in seconds since the epoch; None: never."""
        run, waiting = self._drive.run, set(self.waiting)
        times = [a.expires_at for a in run.questions if a.question in waiting and a.expires_at is not None]
        return min(times, default=None)

    async def look(self) -> None:
        """Take the answers that have come, and see whose time is over."""
        waiting = self.waiting
        if waiting:
            drive = self._drive
            self.hear(await drive.store.news({drive.row.number: waiting}, now=drive.clock.now()))

    def hear(self, news: Iterable[QuestionRow]) -> None:
        """Take what has come of questions."""
        for row in news:
            activation = self._asks(row.id)
            if activation is None:
                continue
            if row.status == "answered" and row.answer is not None:
                self._answered.add(row.id)
                self._take(activation, row, row.answer)
            elif row.status == "expired" or (row.status == "open" and is_over(row.expires_at, self._drive.clock.now())):
                self._answered.add(row.id)
                error = QuestionExpired(activation.id, answers.expired_text(row))
                self._drive.fail(activation, error, closed=(row.id, "expired"))

    def _asks(self, question: str) -> Activation | None:
        """Who waits for the answer to a question, if anybody does."""
        run = self._drive.run
        activation = run.live.get(answers.asker_of(question))
        if activation is None and run.moves:  # it may be called otherwise since
            activation = next((a for a in run.questions if a.question == question), None)
        if activation is None or activation.status != "asking" or activation.question != question:
            return None
        return None if question in self._answered else activation

    def hear_messages(self, messages: Sequence[MessageRow]) -> None:
        """Pass on what was sent to the run."""
        self._drive.hear_messages(messages)

    def settle(self, question: str) -> None:
        """The answer to a question is known, and in the inbox."""
        self._answered.add(question)

    def lose(self, error: Exception) -> None:
        """Nobody looks for answers any more: the run cannot go on."""
        self.trouble = error
        self._drive.wake()

    def forget(self) -> None:
        """What was heard is not known any more: the run was loaded anew."""
        self._answered.clear()

    async def take_earlier(self, activation: Activation) -> bool:
        """Where a retry comes after an answer: nobody is asked twice, unless the answer itself was no good."""
        if activation.question is None:
            return False
        row = await self._drive.store.question(self._drive.row.number, activation.question)
        if row is None or row.status != "answered" or row.answer is None:
            return False
        if not answers.fits(self._drive.invoker.plan, activation, row.answer):
            return False
        self._take(activation, row, row.answer)
        return True

    def _take(self, activation: Activation, row: QuestionRow, answer: str) -> None:
        drive, now = self._drive, self._drive.clock.now()
        drive.add(Happening(ev.Answered(at=row.answered_at or now, id=activation.id)))
        try:
            done, value = answers.settled(drive.invoker.plan, activation, answer)
            if not done:
                drive.add(Happening(ev.DoubtSettled(at=now, id=activation.id)))
                return
        except Exception as error:
            drive.refuse(activation, error, activation.since)
        else:
            drive.finish(activation, value, activation.since)
