from __future__ import annotations

from typing import get_args

import pytest

from orchestra_graph.render.picture import Strength, Tone
from orchestra_graph.render.progress import Status
from orchestra_graph.render.style import EDGES, FRAMES, MUTED, TONES


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("tone", TONES)
def test_text_can_be_read_on_every_tone(tone: Tone) -> None:
    look = TONES[tone]
    assert _contrast(look.text, look.fill) >= 4.5
    assert tone == "terminal" or _contrast(MUTED, look.fill) >= 4.5


def test_text_can_be_read_on_every_ground() -> None:
    for stroke in EDGES.values():
        assert _contrast(stroke.text, "#ffffff") >= 4.5
    for frame in FRAMES.values():
        assert _contrast(MUTED, frame.fill) >= 4.5


def test_every_status_and_every_strength_has_a_style() -> None:
    assert set(get_args(Status)) <= set(TONES)
    assert set(get_args(Strength)) == set(EDGES)
