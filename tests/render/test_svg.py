from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from orchestra_graph.errors import EngineBug, MissingExtra
from orchestra_graph.render import svg
from orchestra_graph.render.picture import Picture, picture_of
from orchestra_graph.render.svg import png_of, svg_of

from .shapes import LICENCES

PICTURE = picture_of(LICENCES, "licence review — für Ärzte")


@pytest.fixture
def no_pygraphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def _program(folder: Path, name: str, script: str) -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def test_an_svg_is_xml_with_every_name_in_it(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pygraphviz")
    drawn = ElementTree.fromstring(svg_of(PICTURE))
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    assert {"scan", "collect", "report", "licence review — für Ärzte"} <= set(texts)
    assert capfd.readouterr() == ("", "")


def test_a_png_is_sharp(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pygraphviz")
    drawn = png_of(PICTURE)
    assert drawn.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(drawn[20:24], "big") > 1200
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("no_pygraphviz")
@pytest.mark.parametrize("writer", [svg_of, png_of])
def test_without_graphviz_the_error_has_the_line_to_type(
    writer: Callable[[Picture], bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtra, match=r"SVG and PNG pictures.* pip install 'orchestra-graph\[diagrams\]'"):
        writer(PICTURE)


@pytest.mark.usefixtures("no_pygraphviz")
def test_without_pygraphviz_the_dot_on_path_draws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _program(tmp_path, "dot", "echo \"$@\"; grep -c 'digraph picture'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert svg_of(PICTURE) == b"-Kdot -Tsvg\n1\n"


@pytest.mark.usefixtures("no_pygraphviz")
def test_a_dot_that_cannot_write_the_format_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _program(tmp_path, "dot", "cat > /dev/null; echo 'Format: \"png\" not recognized' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(MissingExtra):
        png_of(PICTURE)


def test_a_pygraphviz_that_cannot_be_imported_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(svg, "_LAYOUT", _script(tmp_path, "import sys; sys.exit(3)"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtra):
        svg_of(PICTURE)


def test_a_graphviz_that_breaks_down_is_our_mistake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(svg, "_LAYOUT", _script(tmp_path, "raise ValueError('layout')"))
    with pytest.raises(EngineBug, match="could not draw a picture: ValueError: layout"):
        svg_of(PICTURE)


def _script(folder: Path, text: str) -> Path:
    script = folder / "layout.py"
    script.write_text(text)
    return script


def test_importing_pictures_loads_no_graphviz() -> None:
    code = "import sys, orchestra_graph.render; sys.exit(len({'graphviz', 'pygraphviz'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
