"""What a line is as a message, and what it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxecho.console.lines import Mistake, Unfinished, as_hex, as_json


@given(st.binary(), st.sampled_from(["", " ", "\n", "  "]), st.booleans())
def test_bytes_come_back_from_hex_with_and_without_spaces(data: bytes, gap: str, upper: bool) -> None:
    text = gap.join(f"{byte:02x}" for byte in data)
    assert as_hex(text.upper() if upper else text) == data


@pytest.mark.parametrize(("line", "at"), [("0", 1), ("00 f", 4), ("0 0", 1), ("0x00", 1), ("00gg", 3), ("٠٠", 1)])  # noqa: RUF001
def test_what_is_not_hex_is_told_with_its_place(line: str, at: int) -> None:
    with pytest.raises(Mistake, match=f"it is not hex at character {at}: "):
        as_hex(line)


def test_json_is_sent_as_it_was_typed() -> None:
    assert as_json('{ "a":1,\n  "b": 1.10}\n') == '{ "a":1,\n  "b": 1.10}\n'


def test_the_beginning_of_json_is_unfinished() -> None:
    with pytest.raises(Unfinished):
        as_json('{"a": [1,\n')


def test_what_is_not_json_is_told_with_its_line_and_column() -> None:
    with pytest.raises(Mistake, match="it is not JSON at line 2, column 3: expected ',' or ']'"):
        as_json("[1,\n2 3]")
