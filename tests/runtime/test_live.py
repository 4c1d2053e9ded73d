"""What nodes say: heard by those who listen then, and held up by nobody."""

from __future__ import annotations

import asyncio
import threading

import pytest

from orchestra_graph.clock import SystemClock
from orchestra_graph.events import Emitted, LiveEvent
from orchestra_graph.runtime.live import Live


def word(value: object, identity: str = "a") -> Emitted:
    return Emitted(run="k", cursor="", at=0.0, id=identity, node="a", value=value)


@pytest.mark.asyncio
async def test_a_word_reaches_every_listener_of_its_run_and_no_other() -> None:
    live, woken = Live(), list[str]()
    speak = live.speaker(1, SystemClock())
    speak(word(0))  # nobody listens
    with live.listening(1, lambda: woken.append("one")) as one, live.listening(2, lambda: woken.append("two")) as two:
        with live.listening(1, lambda: woken.append("more")) as more:
            speak(word(1, "a"))
            speak(word(2, "b"))
        speak(word(3, "a"))
        assert [e.value for e in one.take("a") if isinstance(e, Emitted)] == [1, 3]
        assert [e.value for e in one.take() if isinstance(e, Emitted)] == [2]
        assert one.take() == two.take() == []
        assert [e.value for e in more.take() if isinstance(e, Emitted)] == [1, 2]
        assert woken == ["one", "more", "one", "more", "one"]
    speak(word(4))
    assert one.take() == []


@pytest.mark.asyncio
async def test_who_does_not_keep_up_loses_the_oldest() -> None:
    live = Live()
    speak = live.speaker(1, SystemClock())
    with live.listening(1, lambda: None) as ear:
        for number in range(10_007):
            speak(word(number))
        kept = [e.value for e in ear.take() if isinstance(e, Emitted)]
    assert kept == list(range(7, 10_007))


@pytest.mark.asyncio
async def test_words_from_threads_come_in_order_and_at_the_time_they_were_said() -> None:
    live, heard = Live(), list[tuple[int, LiveEvent]]()
    live.listen_to_all(lambda run, event: heard.append((run, event)))
    speak = live.speaker(7, SystemClock())

    def say() -> None:
        for number in range(100):
            speak(word(number))

    await asyncio.to_thread(say)
    assert [(run, e.value) for run, e in heard if isinstance(e, Emitted)] == [(7, n) for n in range(100)]
    assert all(e.at > 0 for _, e in heard)


def test_a_thread_that_outlives_the_loop_speaks_to_nobody() -> None:
    live = Live()
    live.listen_to_all(lambda run, event: None)

    async def make() -> object:
        return live.speaker(1, SystemClock())

    speak = asyncio.run(make())
    failed: list[BaseException] = []

    def say() -> None:
        try:
            speak(word(1))  # type: ignore[operator]
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=say)
    thread.start()
    thread.join()
    assert failed == []
