"""What is written on a marble, and its colour."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex import GroupedObservable, Subject
from rich.cells import cell_len
from strategies import values

from rxecho.marbles.labels import COLOURS, LONGEST_VALUE, Palette, full, label, same, says_something, shortened
from rxecho.printable import printable


class Unrepresentable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


group: GroupedObservable[Any, Any] = GroupedObservable("key", Subject[Any]())


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("text", "text"),
        ("", "''"),
        ("two\nlines\t\x1b", "two\\nlines\\t\\e"),
        ("\u202eabc", "\\u202eabc"),
        ("\u200b", "\\u200b"),
        ("\ud800", "\\ud800"),
        ("a" * 101, "a" * 100 + "…"),
        (b"", "''"),
        (b"\x00\xff", "00 ff"),
        (b"a" * 101, " ".join(["61"] * 100) + "…"),
        (1, "1"),
        (1.5, "1.5"),
        (None, "None"),
        (["a", 1], "['a', 1]"),
        (ValueError("no"), "ValueError: no"),
        (ValueError(), "ValueError"),
        (Speechless(), "Speechless: <its str raised RuntimeError>"),
        (reactivex.never(), "○"),
        (group, "key"),
    ],
)
def test_a_marble_has_a_label_of_one_line(value: object, written: str) -> None:
    assert label(value) == written


def test_a_value_that_has_no_repr_has_a_label_all_the_same() -> None:
    assert "Unrepresentable" in label(Unrepresentable())
    assert "Unrepresentable" in label([Unrepresentable()])


def test_a_value_without_a_repr_of_its_own_is_told_without_its_address() -> None:
    assert label(object()) == full(object()) == "<object>"
    assert label(type("Said", (), {"__str__": lambda _: "said"})()) == "said"


def test_a_class_that_is_called_as_one_of_pythons_is_not_taken_for_it() -> None:
    assert label(type("array", (), {"__repr__": lambda _: "mine"})()) == "mine"


@given(values)
def test_a_label_is_seen_and_commands_nothing(value: object) -> None:
    written = label(value)
    assert printable(written) == written
    assert cell_len(written) > 0


def test_a_number_of_too_many_digits_says_so() -> None:
    assert label(10**5000) == full(10**5000) == "<a int whose repr raised ValueError>"


def test_a_large_collection_is_cut() -> None:
    assert label(list(range(1000))).endswith("18, 19, ...]")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a\x1b", "'a\\x1b'"),
        ([1, "a"], "[1, 'a']"),
        (Unrepresentable(), "<a Unrepresentable whose repr raised RuntimeError>"),
        (reactivex.never(), "an observable, ○"),
        (group, "an observable, key"),
    ],
)
def test_in_full_a_value_is_as_python_writes_it(value: object, written: str) -> None:
    assert full(value) == written


def test_in_full_a_value_of_great_length_is_cut() -> None:
    assert full("a" * 10_001) == f"'{'a' * LONGEST_VALUE}'… (10,001 characters in all)"
    assert full(b"a" * 10_001).endswith("… (10,001 bytes in all)")
    assert full([0] * 10_000) == "[" + ("0, " * 10_000)[: LONGEST_VALUE - 1] + "…"
    assert full("a" * 9_998) == repr("a" * 9_998)


@pytest.mark.parametrize(
    ("cells", "left"), [(6, "日本語"), (5, "日本…"), (4, "日…"), (3, "日…"), (2, "…"), (1, "…"), (0, ""), (-1, "")]
)
def test_a_text_is_shortened_to_so_many_cells(cells: int, left: str) -> None:
    assert shortened("日本語", cells) == left


@given(st.text(max_size=20).map(printable), st.integers(-3, 30))
def test_a_shortened_text_is_no_wider_and_the_beginning(text: str, cells: int) -> None:
    left = shortened(text, cells, "~")
    assert cell_len(left) <= max(cells, 0)
    assert left == text or text.startswith(left.removesuffix("~"))


def test_the_error_that_stands_for_any_says_nothing() -> None:
    assert not says_something(Exception("error"))
    assert says_something(Exception("other"))
    assert says_something(ValueError("error"))
    assert says_something(Speechless())


def test_what_raises_when_compared_is_the_same_as_itself_only() -> None:
    def refuse(*_: object) -> bool:
        raise RuntimeError("no")

    kind = type("Refusing", (), {"__eq__": refuse, "__hash__": None})
    value = kind()
    assert same(value, value)
    assert not same(value, kind())
    assert same(Speechless(), Speechless())


def test_labels_have_twelve_colours_and_keep_them() -> None:
    palette = Palette()
    colours = [palette(str(number)) for number in range(13)]
    assert colours == [*COLOURS, COLOURS[0]]
    assert [palette(str(number)) for number in range(13)] == colours


def test_a_palette_does_not_grow_without_end() -> None:
    palette = Palette()
    for number in range(30_000):
        palette(str(number))
    assert len(palette._numbers) <= 10_001


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_colour_stands_out_from_white_and_from_black(colour: str) -> None:
    assert 1.05 / (_luminance(colour) + 0.05) > 4.4
    assert (_luminance(colour) + 0.05) / 0.05 > 4.4
