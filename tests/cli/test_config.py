"""Where the database and the code are, and who says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestra_graph.cli.config import DEFAULT_DATABASE, Named, database_named, targets_named, url_of
from orchestra_graph.cli.errors import BadConfig


def project(folder: Path, text: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_line_comes_before_the_environment_before_the_project_before_the_default(tmp_path: Path) -> None:
    path = project(tmp_path, '[tool.orchestra]\ndatabase = "project.db"')
    environ = {"ORCHESTRA_DB": "env.db"}
    bare = tmp_path / "bare"
    bare.mkdir()
    project(bare, "")
    found = [
        database_named("line.db", environ, tmp_path),
        database_named(None, environ, tmp_path),
        database_named(None, {}, tmp_path),
        database_named(None, {}, bare),
    ]
    assert [named.text for named in found] == ["line.db", "env.db", "project.db", DEFAULT_DATABASE]
    assert [named.origin for named in found] == ["--db", "$ORCHESTRA_DB", str(path), "the default"]
    assert [named.typed for named in found] == [True, False, False, False]


def test_the_same_order_holds_for_targets(tmp_path: Path) -> None:
    project(tmp_path, '[tool.orchestra]\ntargets = ["a.b:c", "d.py"]')
    environ = {"ORCHESTRA_TARGET": "env:graph"}
    assert [n.text for n in targets_named(["x:y", "z.py"], environ, tmp_path)] == ["x:y", "z.py"]
    assert [n.text for n in targets_named([], environ, tmp_path)] == ["env:graph"]
    assert [n.text for n in targets_named([], {}, tmp_path)] == ["a.b:c", "d.py"]


def test_an_empty_variable_is_none(tmp_path: Path) -> None:
    project(tmp_path, '[tool.orchestra]\ndatabase = "project.db"\ntargets = "one.py"')
    assert database_named(None, {"ORCHESTRA_DB": ""}, tmp_path).text == "project.db"
    assert [n.text for n in targets_named([], {"ORCHESTRA_TARGET": ""}, tmp_path)] == ["one.py"]


def test_the_nearest_pyproject_is_asked_and_a_path_in_it_starts_from_its_folder(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    project(tmp_path, '[tool.orchestra]\ndatabase = "far.db"')
    project(tmp_path / "a", '[tool.orchestra]\ndatabase = "sqlite:///near.db"\ntargets = ["g.py"]')
    assert url_of(database_named(None, {}, deep)) == f"sqlite:///{tmp_path}/a/near.db"
    assert targets_named([], {}, deep)[0].folder == tmp_path / "a"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("runs.db", "sqlite:///runs.db"),
        ("data/runs.db", "sqlite:///data/runs.db"),
        ("/var/lib/runs.db", "sqlite:////var/lib/runs.db"),
        ("sqlite:////var/lib/runs.db", "sqlite:////var/lib/runs.db"),
        ("sqlite:///runs.db", "sqlite:///runs.db"),
        ("memory://", "memory://"),
        ("postgresql://host/name", "postgresql://host/name"),
    ],
)
def test_a_plain_path_is_a_database_of_sqlite(text: str, url: str) -> None:
    assert url_of(Named(text, "--db", Path.cwd())) == url


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("a.py:g", ["a.py:g"]),
        ("a.py", ["a.py"]),
        ("a.py:g,b.c:h", ["a.py:g", "b.c:h"]),
        ("a.py, b.py:g ,", ["a.py", "b.py:g"]),
        ("a.py:g:b.c:h", ["a.py:g", "b.c:h"]),
    ],
)
def test_a_variable_may_name_several_targets(text: str, targets: list[str], tmp_path: Path) -> None:
    assert [n.text for n in targets_named([], {"ORCHESTRA_TARGET": text}, tmp_path)] == targets


def test_what_can_be_read_in_two_ways_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="Put commas between them"):
        targets_named([], {"ORCHESTRA_TARGET": "a.py:b.py:g"}, tmp_path)


def names(folder: Path) -> None:
    database_named(None, {}, folder)
    targets_named([], {}, folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.orchestra", "is not TOML"),
        ("[tool]\norchestra = 3", "must be a table"),
        ("[tool.orchestra]\ndatabase = 3", "must be a string"),
        ("[tool.orchestra]\ntargets = [3]", "must be a list of strings"),
        ('[tool.orchestra]\ndatabse = "x.db"', "'databse', which means nothing. Did you mean 'database'?"),
    ],
)
def test_a_pyproject_that_cannot_be_meant_is_refused_by_its_path(text: str, said: str, tmp_path: Path) -> None:
    path = project(tmp_path, text)
    with pytest.raises(BadConfig) as caught:
        names(tmp_path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_key_of_a_later_release_is_let_pass(tmp_path: Path) -> None:
    project(tmp_path, "[tool.orchestra]\nworkers = 3")
    assert database_named(None, {}, tmp_path).text == DEFAULT_DATABASE
