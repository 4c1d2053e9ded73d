from __future__ import annotations

import threading
from pathlib import Path

import pytest

from orchestra_graph.store.locks import FileLock, is_held

from .processes import eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.lock"


def taken(path: Path, timeout: float = 0) -> FileLock:
    lock = FileLock.take(path, timeout=timeout)
    assert lock is not None
    return lock


def test_a_lock_is_held_until_it_is_dropped(path: Path) -> None:
    assert not is_held(path)
    lock = taken(path)
    assert is_held(path)
    assert FileLock.take(path, timeout=0) is None
    lock.drop()
    assert not is_held(path)
    assert not path.exists()
    lock.drop()


def test_the_file_of_a_dead_owner_is_removed(path: Path) -> None:
    path.touch()
    assert not is_held(path)
    assert not path.exists()


def test_a_lock_can_be_taken_on_a_file_that_is_there(path: Path) -> None:
    path.touch()
    taken(path).drop()


def test_who_drops_a_lock_whose_file_is_gone_takes_no_other_file(path: Path) -> None:
    first = taken(path)
    path.unlink()
    second = taken(path)
    first.drop()
    assert is_held(path)
    second.drop()


def test_who_waits_gets_a_file_that_is_there(path: Path) -> None:
    first = taken(path)
    got: list[FileLock] = []
    waiting = threading.Thread(target=lambda: got.append(taken(path, timeout=30)))
    waiting.start()
    first.drop()
    assert eventually(lambda: bool(got))
    waiting.join()
    assert is_held(path)
    got[0].drop()


def test_many_threads_hold_it_one_at_a_time(path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(n: int) -> None:
        for _ in range(10):
            lock = taken(path, timeout=30)
            inside.append(n)
            most.append(len(inside))
            inside.remove(n)
            lock.drop()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 40
