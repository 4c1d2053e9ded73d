"""Many processes bring one SQLite file up to date at once, and one of them is killed in the middle."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestra_graph.store.examine import examine
from orchestra_graph.store.migrate import known_revisions

from .processes import line, process
from .test_golden import restored

pytestmark = pytest.mark.kill

WHAT_IS_THERE = "cancelled done failed running running running waiting"


def test_whoever_is_killed_in_the_middle_of_it_is_redone_by_those_who_wait(tmp_path: Path) -> None:
    url = restored("schema-0001", tmp_path)
    with ExitStack() as stack:
        first = stack.enter_context(process("upgrade_halfway", url))
        others = [stack.enter_context(process("open_and_read", url)) for _ in range(9)]
        assert line(first) == "halfway"
        for other in others:
            assert line(other) == "ready"
            assert other.stdin is not None
            other.stdin.write("now\n")
            other.stdin.flush()
        assert [line(other) for other in others] == ["opening"] * 9
        assert examine(url).revision == "0001", "others see nothing of what is not whole"
        first.kill()
        assert [line(other) for other in others] == [WHAT_IS_THERE] * 9
        assert all(other.wait() == 0 for other in others)
    found = examine(url)
    assert (found.revision, found.damage) == (known_revisions()[-1], ())
    assert [path.name for path in tmp_path.iterdir()] == ["runs.db"]
