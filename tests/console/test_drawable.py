"""Messages on their way to the terminal: cut, escaped, broken into rows."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

from rxecho.console.drawable import BriefJsonExcerpt, Excerpt, JsonExcerpt, spelled, symbols


def options(width: int = 80, encoding: str = "utf-8") -> ConsoleOptions:
    return Console(file=io.TextIOWrapper(io.BytesIO(), encoding=encoding), width=width).options


@given(st.text() | st.text("a\n日\x1b\u202e") | st.binary(), st.integers(2, 100), st.integers(1, 12))
def test_a_message_stays_in_its_place_and_commands_nothing(message: str | bytes, width: int, limit: int) -> None:
    rows = Excerpt.of(message).rows(options(width), limit=limit)
    assert len(rows) <= limit
    assert all(cell_len(row) <= width for row in rows[:-1])
    assert not any(
        character < " " or "\x7f" <= character <= "\x9f" or character == "\u202e" for character in "".join(rows)
    )


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "M"]), max_size=100), st.integers(2, 40))
def test_what_has_room_is_shown_whole(message: str, width: int) -> None:
    rows = Excerpt.of(message).rows(options(width), limit=200)
    assert "".join(rows) == spelled(message, options())


def test_line_breaks_are_kept() -> None:
    assert Excerpt.of("one\n\ntwo\n").rows(options(), limit=12) == ["one", "", "two", ""]


def test_a_megabyte_on_one_line_is_cut_with_a_note_of_its_size() -> None:
    rows = Excerpt.of("x" * 1_000_000).rows(options(), limit=3)
    assert rows == ["x" * 80, "x" * 80, "… 1,000,000 characters in all"]


def test_many_lines_are_cut_with_a_note() -> None:
    rows = Excerpt.of("x\n" * 30).rows(options(), limit=3)
    assert rows == ["x", "x", "… 60 characters in all"]


def test_of_a_message_no_more_is_kept_than_could_be_shown() -> None:
    assert len(Excerpt.of("x" * 1_000_000).head) == len(Excerpt.of(bytes(1_000_000)).head) == 4_000


@pytest.mark.parametrize(
    ("message", "row"),
    [
        (b"hel", "3 bytes 68 65 6c"),
        (b"h", "1 byte 68"),
        (b"", "0 bytes"),
        (bytes(100), "100 bytes " + "00 " * 64 + "…"),
    ],
)
def test_binary_is_shown_as_its_length_and_hex(message: bytes, row: str) -> None:
    assert Excerpt.of(message).rows(options(width=300), limit=3) == [row]


def test_hex_breaks_between_bytes() -> None:
    assert Excerpt.of(b"hello").rows(options(width=12), limit=3) == ["5 bytes 68", "65 6c 6c 6f"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_where_the_terminal_has_no_unicode_everything_is_in_what_it_has(encoding: str) -> None:
    terminal = options(encoding=encoding)
    ours = symbols("→ ← ↑ ↓ ❯ ● … · ↵", terminal)  # noqa: RUF001
    assert ours == "> < ^ v > * ... - \\n"
    theirs = spelled("日 é →", terminal)
    assert theirs.encode(encoding)
    assert theirs.startswith("\\u65e5 ")
    assert Excerpt.of("x" * 400).rows(terminal, limit=1) == ["... 400 characters in all"]


# JSON.


def lines(message: str | bytes, *, width: int = 80, limit: int = 12, encoding: str = "utf-8") -> list[Text]:
    return JsonExcerpt.of(message).lines(options(width, encoding), limit=limit)


@given(st.text() | st.text('{}[]":,1\n\x1b\u202e日') | st.binary(), st.integers(2, 100), st.integers(1, 12))
def test_a_message_where_json_is_awaited_stays_in_its_place_too(message: str | bytes, width: int, limit: int) -> None:
    rows = [row.plain for row in lines(message, width=width, limit=limit)]
    assert len(rows) <= limit
    assert all(cell_len(row) <= width for row in rows[:-1])
    assert not any(character < " " or character == "\u202e" for character in "".join(rows))


def test_each_kind_of_token_has_its_colour() -> None:
    drawn = lines('{"a":["b",1,null]}')
    coloured = {row.plain[span.start : span.end]: span.style for row in drawn for span in row.spans}
    assert coloured == {'"a"': "color(4)", '"b"': "color(2)", "1": "color(6)", "null": "color(5)"}


def test_a_string_that_has_no_room_goes_on_in_its_colour() -> None:
    rows = lines(f'["{"x" * 30}"]', width=20)
    assert [row.plain for row in rows] == ["[", '  "' + "x" * 17, "x" * 13 + '"', "]"]
    assert {str(span.style) for row in rows for span in row.spans} == {"color(2)"}


def test_of_a_long_string_the_beginning_is_shown() -> None:
    rows = [row.plain for row in lines(f'{{"data": "{"x" * 1_000_000}"}}', limit=4)]
    assert rows == ["{", '  "data": "' + "x" * 69, "x" * 80, "… 1,000,012 characters in all"]


@pytest.mark.parametrize("text", ["hello", '{"a": 1', "[2026-01-01] " + "x " * 5_000, "1 2", ""])
def test_what_is_not_json_is_drawn_as_ever(text: str) -> None:
    assert [row.plain for row in lines(text)] == Excerpt.of(text).rows(options(), limit=12)


def test_bidi_overrides_in_json_are_shown_and_not_obeyed_and_all_of_it_is_ascii_where_it_must() -> None:
    assert [row.plain for row in lines('["\u202e日"]', encoding="ascii")] == ["[", '  "\\u202e\\u65e5"', "]"]


def test_json_in_little_room_is_coloured_and_on_one_line() -> None:
    rows = BriefJsonExcerpt.of('{"price":1.10,\n\n"sizes":[1,2]}').lines(options(40), limit=3)
    assert [row.plain for row in rows] == ['{"price": 1.10, "sizes": [1, 2]}']
    assert {span.style for span in rows[0].spans} >= {"color(4)", "color(6)"}
