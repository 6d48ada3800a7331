"""What is seen as one character, and the steps over it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxecho.console.graphemes import next_grapheme, previous_grapheme

SEEN_AS_ONE = {
    "a letter": "a",
    "a wide letter": "日",
    "a letter and its accent": "e\u0301",
    "an emoji": "👋",
    "an emoji and its skin tone": "👋🏽",
    "a family": "👩‍👩‍👧",
    "a heart in colour": "❤️",
    "a flag": "🇩🇪",
    "a line break": "\n",
    "an escape": "\x1b",
}
"""Characters as a person counts them."""


@pytest.mark.parametrize("character", SEEN_AS_ONE.values(), ids=SEEN_AS_ONE)
def test_one_step_goes_over_what_is_seen_as_one_character(character: str) -> None:
    text = f"x{character}x"
    assert next_grapheme(text, 1) == 1 + len(character)
    assert previous_grapheme(text, 1 + len(character)) == 1


@given(st.lists(st.sampled_from(list(SEEN_AS_ONE.values()))))
def test_steps_either_way_stop_at_the_same_places(characters: list[str]) -> None:
    text = "".join(characters)
    ends = [sum(map(len, characters[: index + 1])) for index in range(len(characters))]
    forwards: list[int] = []
    while (forwards[-1] if forwards else 0) < len(text):
        forwards.append(next_grapheme(text, forwards[-1] if forwards else 0))
    backwards = [len(text)] if text else []
    while backwards and (step := previous_grapheme(text, backwards[-1])):
        backwards.append(step)
    assert forwards == ends
    assert backwards == ends[::-1]


@given(st.text(), st.data())
def test_a_step_never_leaves_the_text_and_never_stands_still(text: str, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(text)))
    assert previous_grapheme(text, index) < index or index == 0
    assert index < next_grapheme(text, index) <= len(text) or index == len(text)
    assert previous_grapheme(text, index) >= 0


def test_an_accent_after_a_line_break_stands_alone() -> None:
    assert next_grapheme("\n\u0301", 0) == 1
