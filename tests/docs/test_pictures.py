"""Every picture of the pages can be drawn again, and is not out of date."""

from __future__ import annotations

import html
import re

import pytest

from docs.draw_pictures import FOLDER, pictures
from docs.pages import ROOT, page
from orchestra_graph.render import Picture
from orchestra_graph.render.svg import svg_of

PAGES = ("README.md", "docs/first-hour.md", "docs/semantics.md", "docs/design.md")
_TEXT = re.compile(r"<text[^>]*>([^<]*)</text>")
_TIME = re.compile(r"<?\d+(?:\.\d+)? (?:ms|s)\b")


@pytest.fixture(scope="module")
def drawn() -> dict[str, Picture]:
    return pictures()


def _words(svg: str) -> list[str]:
    """What a picture says: not where (that depends on the release of Graphviz), nor how long things took."""
    return sorted(_TIME.sub("<time>", html.unescape(text)) for text in _TEXT.findall(svg))


def test_what_the_pictures_say_is_what_the_library_would_draw_now(drawn: dict[str, Picture]) -> None:
    for name, picture in drawn.items():
        stored = (FOLDER / name).read_text(encoding="utf-8")
        assert _words(stored) == _words(svg_of(picture).decode()), f"{name} is old:   make pictures"


def test_the_folder_has_these_pictures_and_no_other(drawn: dict[str, Picture]) -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(drawn)


def test_every_picture_stands_on_a_page_with_words_for_those_who_do_not_see_it(drawn: dict[str, Picture]) -> None:
    text = "\n".join(page(name) for name in PAGES if (ROOT / name).exists())
    for name in drawn:
        assert re.search(rf'<img src="(?:docs/)?pictures/{re.escape(name)}" alt="[^"]+"', text), f"{name} is on no page"
