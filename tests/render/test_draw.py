from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from orchestra_graph.errors import MissingExtra
from orchestra_graph.render import PictureFormat, draw, picture_of, save

from .shapes import SUPPORT

PICTURE = picture_of(SUPPORT, "support")


@pytest.mark.parametrize(
    ("format", "start"),
    [("mermaid", b'---\ntitle: "support"'), ("dot", b"digraph picture {"), ("svg", b"<?xml"), ("png", b"\x89PNG")],
)
def test_every_format_is_drawn(format: PictureFormat, start: bytes) -> None:
    assert draw(PICTURE, format).startswith(start)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.mmd", b"---\ntitle:"),
        ("a.md", b"```mermaid\n---\ntitle:"),
        ("a.dot", b"digraph"),
        ("a.svg", b"<?xml"),
        ("a.b.PNG", b"\x89PNG"),
    ],
)
def test_the_suffix_of_a_file_says_the_format(tmp_path: Path, name: str, start: bytes) -> None:
    save(PICTURE, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_fence_is_closed(tmp_path: Path) -> None:
    save(PICTURE, str(tmp_path / "a.md"))
    assert (tmp_path / "a.md").read_text().endswith("\n```\n")


@pytest.mark.parametrize(("name", "found"), [("a.gif", "ends in '.gif'"), ("picture", "has no suffix")])
def test_an_unknown_suffix_is_refused_with_those_there_are(tmp_path: Path, name: str, found: str) -> None:
    with pytest.raises(ValueError, match=rf"'{name}' {found}.*\.mmd, \.md, \.dot, \.svg, \.png"):
        save(PICTURE, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'gif'; there are mermaid, dot, svg, png"):
        draw(PICTURE, cast("PictureFormat", "gif"))


def test_nothing_is_written_where_a_picture_cannot_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtra):
        save(PICTURE, tmp_path / "a.svg")
    assert list(tmp_path.iterdir()) == []
