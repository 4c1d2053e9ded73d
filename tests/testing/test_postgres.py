"""Throw-away databases: fresh, apart from each other, and never left behind."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestra_graph.testing.postgres import throwaway_postgres
from orchestra_graph.testing.server import Server

_USER = """
import sys, time
from orchestra_graph.testing.server import Server
server = Server.shared(sys.argv[1])
print(server._folder, flush=True)
time.sleep(600)
"""


def test_each_database_is_fresh_and_gone_afterwards() -> None:
    with throwaway_postgres() as one, throwaway_postgres(upgraded=False) as two:
        assert one.server is two.server
        assert one.execute("SELECT count(*) FROM runs") == [(0,)]
        assert two.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
        name = one.url.rpartition("/")[2]
    with throwaway_postgres(upgraded=False) as three:
        assert three.execute("SELECT 1 FROM pg_database WHERE datname = %s", name) == []


def test_a_database_can_be_cleared() -> None:
    with throwaway_postgres() as database:
        database.execute("INSERT INTO graphs VALUES ('f', '{}')")
        database.clear()
        assert database.execute("SELECT * FROM graphs") == []


@pytest.mark.kill
def test_a_server_ends_with_the_last_that_used_it_though_that_was_killed() -> None:
    words = [sys.executable, "-c", _USER, f"test-{secrets.token_hex(6)}"]
    users = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        folders = {Path(_line(user)) for user in users}
        [folder] = folders
        _kill(users[0])
        assert (folder / "server" / "data" / "postmaster.pid").exists()
    finally:
        for user in users:
            _kill(user)
    deadline = time.monotonic() + 60
    while folder.exists():
        assert time.monotonic() < deadline, "the server was left behind"
        time.sleep(0.05)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


@pytest.mark.kill
def test_a_private_server_can_be_stopped_and_started() -> None:
    server = Server.private()
    try:
        port = server.port
        server.restart("immediate")
        assert server.port == port
    finally:
        server.leave()
