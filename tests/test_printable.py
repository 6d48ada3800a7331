"""Text from the network made fit to draw."""

from __future__ import annotations

import unicodedata

import pyte
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rxecho.printable import printable

LEFT = set(printable("".join(map(chr, range(0x110000)))))
DIRECTIONAL = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
MARKS = {"LEFT-TO-RIGHT MARK", "RIGHT-TO-LEFT MARK", "ARABIC LETTER MARK"}


def test_no_control_line_separator_or_surrogate_is_left() -> None:
    # Cc: C0, DEL and C1. Zl, Zp: line and paragraph separator. Cs: surrogates.
    assert not [hex(ord(c)) for c in LEFT if unicodedata.category(c) in {"Cc", "Zl", "Zp", "Cs"}]


def test_nothing_that_reorders_text_is_left() -> None:
    assert not [
        hex(ord(c)) for c in LEFT if unicodedata.bidirectional(c) in DIRECTIONAL or unicodedata.name(c, "") in MARKS
    ]


@pytest.mark.parametrize("character", "\u206a\u206b\u206c\u206d\u206e\u206f\ufff9\ufffa\ufffb\ufeff")
def test_no_deprecated_format_control_annotation_or_byte_order_mark_is_left(character: str) -> None:
    assert printable(f"a{character}b") == f"a\\u{ord(character):04x}b"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("red \x1b[31malert\x07", r"red \e[31malert\x07"),
        ("\x1b]0;title\x1b\\", r"\e]0;title\e" + "\\"),
        ("one\rtwo\nthree\tfour", r"one\rtwo\nthree\tfour"),
        ("\x9b31m\x7f\x00", r"\x9b31m\x7f\x00"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("a\u2028b", r"a\u2028b"),
        ("\ud800", r"\ud800"),
    ],
)
def test_an_escape_names_the_character(text: str, escaped: str) -> None:
    assert printable(text) == escaped


@pytest.mark.parametrize(
    "text",
    [
        "Hello!",
        "[bold]not markup[/] :smile:",
        "C:\\path",
        "naïve Ångström e\u0301",
        "שלום، مرحبا",
        "नमस्ते",
        "می\u200cخواهم",  # noqa: RUF001  Persian is written with a zero-width non-joiner
        "👩\u200d👩\u200d👧 ❤\ufe0f 🏳\ufe0f\u200d🌈 👍🏽 🇫🇷",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # the flag of Scotland
        "日本語",
        "┌─┐ ⠿ \ue0b0",
    ],
)
def test_what_shows_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_what_is_kept_is_left_to_the_drawing() -> None:
    assert printable("a\tb\nc\x1b", keep="\n") == "a\\tb\nc\\e"
    assert printable("a\tb\nc\x1b", keep="\n\t") == "a\tb\nc\\e"


@given(st.text(st.characters(codec=None)))
@example("\x1b[2J\x1b[H")
def test_it_can_be_encoded_and_escaping_again_changes_nothing(text: str) -> None:
    escaped = printable(text)
    escaped.encode()
    assert printable(escaped) == escaped


@given(st.text(st.sampled_from("ab\x1b[]?0123456789;:JHmKlhcPX\\\x07\x08\x0b\x0c\x0e\x0f\r\n\x9b\x9d\x90\x84\x85")))
@example("\x1b[2J\x1b[H\x1b[?1049h\x1bc")
@example("\x9b2J\x9d0;title\x07")
def test_whatever_it_says_a_terminal_only_shows_it(text: str) -> None:
    screen = pyte.Screen(1000, 2)
    pyte.Stream(screen).feed(escaped := printable(text)[:900])
    assert screen.display == [escaped.ljust(1000), " " * 1000]
    assert (screen.title, screen.cursor.x) == ("", len(escaped))
