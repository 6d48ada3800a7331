"""What is seen as one character: the steps that a cursor takes through a text.

The text field moves by them and the panel scrolls by them. Most of Unicode's annex 29: accents, variation
selectors, skin tones, emoji joined into one, flags.
"""

from __future__ import annotations

from rich.cells import get_character_cell_size

__all__ = ["next_grapheme", "previous_grapheme"]

_JOINER = "\u200d"


def previous_grapheme(text: str, index: int) -> int:
    r"""Where the character seen before `index` begins; 0 at the start.

    >>> previous_grapheme("e\u0301", 2)
    0
    """
    index = max(index - 1, 0)
    while _joined(text, index):
        index -= 1
    return index


def next_grapheme(text: str, index: int) -> int:
    r"""Where the character seen at `index` ends; the length of `text` at its end.

    >>> next_grapheme("e\u0301", 0)
    2
    """
    index = min(index + 1, len(text))
    while _joined(text, index):
        index += 1
    return index


def _joined(text: str, index: int) -> bool:
    """Whether what is at `index` is seen as one with what is before it."""
    if not 0 < index < len(text) or _is_control(text[index - 1]):
        return False
    character = text[index]
    if _is_flag_half(character):
        halves = index
        while halves and _is_flag_half(text[halves - 1]):
            halves -= 1
        return (index - halves) % 2 == 1
    mark = get_character_cell_size(character) == 0 and not _is_control(character)
    return mark or text[index - 1] == _JOINER


def _is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character <= "\x9f"


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
