from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra_graph.render.words import clean, duration, moment, plural, several, shorten, wrapped

from . import hostile


@given(hostile.texts)
def test_clean_text_is_one_line_that_xml_can_hold(text: str) -> None:
    cleaned = clean(text)
    assert not set(cleaned) & set("\n\r\t\x00\x1b\u202e\u2028")
    assert cleaned == cleaned.strip()
    element = ElementTree.Element("a")
    element.text = cleaned
    assert ElementTree.fromstring(ElementTree.tostring(element, "utf-8")).text == (cleaned or None)


@given(hostile.texts)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    "text", ["naïve Straße", "日本語", "approval.granted", "👩\u200d🚀", "\u0645\u06cc\u200c\u062e\u0648"]
)
def test_words_of_all_scripts_stay_as_they_are(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "<1 ms"),
        (0.0004, "<1 ms"),
        (0.012, "12 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (1.24, "1.2 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (11_520, "3 h 12 min"),
        (2 * 86_400 + 4 * 3600 + 59, "2 d 4 h"),
    ],
)
def test_a_duration_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@given(st.floats(min_value=0, max_value=1e10))
def test_every_duration_is_short(seconds: float) -> None:
    assert 0 < len(duration(seconds)) <= 14


def test_a_moment_says_its_time_zone() -> None:
    assert moment(1_772_366_400) == "2026-03-01 12:00 UTC"


def test_a_long_list_of_names_is_cut_and_names_nobody_twice() -> None:
    assert several(["anna", "ben", "anna"]) == "anna, ben"
    assert several(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_a_cut_text_shows_that_it_was_cut() -> None:
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abcde…"


def test_words_held_together_are_not_parted() -> None:
    assert wrapped("20 done, 1\u00a0running", 11) == ("20 done,", "1 running")


def test_one_is_singular() -> None:
    assert [plural(1, "turn"), plural(2000, "turn")] == ["1 turn", "2,000 turns"]
