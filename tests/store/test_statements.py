from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from sqlalchemy import bindparam, create_engine, select

from orchestra_graph.store.statements import POSTGRES, SQLITE, Sqlite, Statement, Statements
from orchestra_graph.store.tables import metadata, runs

_NAMES = sorted(name for name, value in vars(Statements).items() if isinstance(value, Statement))


@pytest.mark.parametrize("name", _NAMES)
def test_each_statement_takes_the_same_values_in_every_database(name: str) -> None:
    ours, theirs = getattr(SQLITE, name), getattr(POSTGRES, name)
    assert ours.count("?") == theirs.count("%s")
    assert getattr(SQLITE, name) is ours  # is compiled once


def test_sqlite_understands_each_statement() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        metadata.create_all(connection)
        script = [row[0] for row in connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
    engine.dispose()
    with closing(sqlite3.connect(":memory:")) as database:
        for statement in script:
            database.execute(statement)
        for name in _NAMES:
            text = getattr(SQLITE, name)
            database.execute(f"EXPLAIN {text}", (None,) * text.count("?"))


def test_values_in_another_order_are_refused() -> None:
    class Wrong(Statements):
        FIND = Statement(
            select(runs.c.id).where(runs.c.key == bindparam("one"), runs.c.graph == bindparam("two")), "two", "one"
        )

    with pytest.raises(
        AssertionError, match=r"the parameters of FIND, (?s:.*) are \('one', 'two'\), not \('two', 'one'\)"
    ):
        _ = Wrong(Sqlite()).FIND


def test_who_uses_sqlite_loads_nothing_of_postgresql() -> None:
    code = """
import sys
sys.modules["psycopg"] = None
from orchestra_graph.errors import MissingExtra
from orchestra_graph.store import open_store
open_store("sqlite:///x.db")
assert not [name for name in sys.modules if name.startswith("sqlalchemy.dialects.postgresql")]
try:
    open_store("postgresql://localhost/runs")
except MissingExtra as error:
    print(error.extra)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "postgres\n"
