"""Which failures are worth another attempt, and when."""

from __future__ import annotations

import email.utils
import socket
import subprocess
import urllib.error
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from orchestra_graph.errors import BadWrite, NodeTimeout, NotWritten, QuestionExpired, StoreBusy
from orchestra_graph.graph.policies import Retry
from orchestra_graph.runtime.classify import described, next_attempt, retry_after, worth_retrying


@dataclass
class Response:
    status_code: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class HTTPStatusError(Exception):
    """As httpx and requests have it: the status is in the response."""

    def __init__(self, status: int, **headers: str):
        super().__init__(f"status {status}")
        self.response = Response(status, {name.replace("_", "-"): value for name, value in headers.items()})


class APIStatusError(Exception):
    """As the clients of model providers have it: the status is in the error itself."""

    def __init__(self, status_code: int):
        super().__init__(f"status {status_code}")
        self.status_code = status_code


class ReadTimeout(Exception):
    """Known by its name, as httpx.ReadTimeout."""


class RateLimitError(Exception):
    pass


class Amount(BaseModel):
    total: int


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Amount(total="much")  # type: ignore[arg-type]
    return caught.value


def http(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://localhost", status, "no", Message(), None)


TRANSIENT: list[BaseException] = [
    ConnectionError("reset"),
    ConnectionRefusedError(),
    BrokenPipeError(),
    TimeoutError(),
    socket.gaierror(-3, "Temporary failure in name resolution"),
    urllib.error.URLError(ConnectionRefusedError()),
    urllib.error.URLError(socket.gaierror(-3, "Temporary failure in name resolution")),
    NodeTimeout("a", 3),
    ReadTimeout(),
    RateLimitError(),
    subprocess.TimeoutExpired("cmd", 3),
    *(HTTPStatusError(status) for status in (408, 429, 500, 502, 503, 504, 599)),
    *(APIStatusError(status) for status in (408, 429, 500)),
    http(503),
]
FINAL: list[BaseException] = [
    *(HTTPStatusError(status) for status in (400, 401, 403, 404, 409, 422)),
    *(APIStatusError(status) for status in (400, 404)),
    http(404),
    invalid(),
    TypeError(),
    ValueError("timeout"),
    KeyError("ConnectionError"),
    AttributeError(),
    AssertionError(),
    ZeroDivisionError(),
    RuntimeError("Connection refused"),
    FileNotFoundError(2, "no such file"),
    PermissionError(),
    urllib.error.URLError("unknown url type: ftp"),
    NotImplementedError(),
    BadWrite("a", "b", "c"),
    NotWritten("S", "a"),
    QuestionExpired("a", "now"),
    StoreBusy("u", "m"),
    KeyboardInterrupt(),
    SystemExit(429),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=repr)
def test_what_may_pass_by_itself_is_tried_again(error: BaseException) -> None:
    assert worth_retrying(error)


@pytest.mark.parametrize("error", FINAL, ids=repr)
def test_what_will_fail_again_is_not_tried_again(error: BaseException) -> None:
    assert not worth_retrying(error)


NOW = 1_800_000_000.0
LATER = email.utils.formatdate(NOW + 90, usegmt=True)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        (LATER, 90.0),
        (email.utils.formatdate(NOW - 90, usegmt=True), 0.0),
        (LATER.replace(" GMT", ""), 90.0),
        ("soon", None),
        ("", None),
        # A wait without end would never be over, and would not fit into the log.
        ("inf", None),
        ("nan", None),
    ],
)
def test_a_retry_after_is_read_in_seconds_or_as_a_date(asked: str, seconds: float | None) -> None:
    assert retry_after(HTTPStatusError(429, Retry_After=asked), NOW) == seconds
    assert retry_after(HTTPStatusError(429, **{"retry-after": asked}), NOW) == seconds


def test_a_retry_after_may_stand_in_the_error_itself() -> None:
    error = RateLimitError()
    assert retry_after(error, NOW) is None
    for value, seconds in [(3, 3.0), (2.5, 2.5), (float("inf"), None), ("3", None)]:
        error.retry_after = value  # type: ignore[attr-defined]
        assert retry_after(error, NOW) == seconds


def attempt(retry: Retry, number: int, error: BaseException | None = None, seed: str = "k/a/1") -> float | None:
    at = next_attempt(retry, number, error or ConnectionError(), NOW, seed)
    return None if at is None else round(at - NOW, 6)


def test_each_delay_is_longer_than_the_one_before_up_to_the_longest() -> None:
    retry = Retry(attempts=9, delay=1, factor=2, longest=10, jitter=0)
    assert [attempt(retry, n) for n in range(1, 10)] == [1, 2, 4, 8, 10, 10, 10, 10, None]


def test_jitter_takes_a_share_off_and_is_the_same_on_every_machine() -> None:
    retry = Retry(attempts=3, delay=8, jitter=0.5)
    waits = {seed: attempt(retry, 1, seed=seed) for seed in (f"run-{n}/a/1" for n in range(50))}
    assert waits == {seed: attempt(retry, 1, seed=seed) for seed in waits}
    assert all(wait is not None and 4 <= wait <= 8 for wait in waits.values())
    assert len(set(waits.values())) > 40


def test_the_other_side_may_ask_for_more_time_than_the_policy_and_never_for_less() -> None:
    retry = Retry(attempts=3, delay=5, longest=5, jitter=0)
    assert attempt(retry, 1, HTTPStatusError(429, Retry_After="600")) == 600
    assert attempt(retry, 1, HTTPStatusError(429, Retry_After="1")) == 5


def test_only_what_the_policy_names_is_tried_again() -> None:
    assert attempt(Retry(on=ValueError, jitter=0), 1, ValueError()) == 1
    assert attempt(Retry(on=ValueError), 1, ConnectionError()) is None
    assert attempt(Retry(on=(KeyError, ValueError), jitter=0), 1, KeyError()) == 1
    assert attempt(Retry(on=lambda error: "again" in str(error), jitter=0), 1, RuntimeError("again")) == 1
    assert attempt(Retry(on=lambda error: "again" in str(error)), 1, RuntimeError("never")) is None


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_error_can_be_described_whatever_its_text_does() -> None:
    assert str(described(ValueError("x"))) == "ValueError: x"
    assert str(described(Silent())) == "Silent: (its text cannot be made: RuntimeError)"
    # Without the name of the node and the number of attempts, which stand beside it.
    assert str(described(NodeTimeout("a", 3, attempts=2))) == "NodeTimeout: no result within 3 s"


def test_a_status_that_is_no_http_status_says_nothing() -> None:
    class Odd(Exception):
        status: Any = True

    class Early(Exception):
        status = 7

    assert not worth_retrying(Odd())
    assert not worth_retrying(Early())
