"""JSON as a text: judged as Python's own parser judges it, and changed in nothing but its blanks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxecho.console.json_text import DEEPEST, LONGEST, NotJson, Reader, indented

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
ALMOST = st.lists(
    st.sampled_from(['"', "a", "1", "0", ".", "e", "-", "[", "]", "{", "}", ",", ":", " ", "\n", "\\", "true"])
)


def judged(text: str) -> bool | None:
    """Whether it is JSON; `None` where it may become that."""
    reader = Reader()
    try:
        reader.skim(text)
    except NotJson:
        return False
    return reader.is_whole or None


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_what_python_writes_is_read(value: object, indent: int | None, ascii_only: bool) -> None:
    assert judged(json.dumps(value, indent=indent, ensure_ascii=ascii_only))


@given(ALMOST.map("".join))
def test_what_python_does_not_read_is_not_json_either(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        assert not judged(text)
    else:
        assert judged(text)


@given(VALUES, st.data())
def test_what_is_cut_between_two_tokens_is_the_beginning_of_json(value: object, data: st.DataObject) -> None:
    tokens = [token.text for token in Reader().read(json.dumps([value]))]
    assert judged(" ".join(tokens[: data.draw(st.integers(0, len(tokens) - 1))])) is None


@pytest.mark.parametrize(
    "text", ['"abc', "tru", "1.", "-", '"\\x"', '"\\u12"', '"tab\there"', "NaN", "01", "{}{}", "\ufeff1"]
)
def test_what_no_further_line_can_make_json_is_wrong_at_once(text: str) -> None:
    assert judged(text) is False


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ('{"a" 1}', 5, "expected ':'"),
        ("[1 2]", 3, "expected ',' or ']'"),
        ("{a: 1}", 1, "expected a key in quotes or '}'"),
        ('{"a": 1,}', 8, "expected a key in quotes"),
        ("[1,]", 3, "expected a value"),
        ("1 2", 2, "expected the end"),
        ('["abc]', 1, "expected a string without control characters, that ends"),
    ],
)
def test_the_mistake_is_where_it_is_and_says_what_was_expected(text: str, at: int, said: str) -> None:
    with pytest.raises(NotJson) as caught:
        Reader().skim(text)
    assert (caught.value.at, str(caught.value)) == (at, said)


def test_no_depth_is_too_deep_to_be_read() -> None:
    assert judged("[" * 100_000 + "]" * 100_000)
    assert judged('{"a":' * 100_000) is None


# Indented.


@given(VALUES)
def test_indented_it_is_what_python_would_write(value: object) -> None:
    assert indented(json.dumps(value, ensure_ascii=False)) == json.dumps(value, ensure_ascii=False, indent=2)


def test_numbers_the_order_of_keys_and_keys_that_come_twice_stay() -> None:
    text = '{"b":1e400,"a":12345678901234567890,"b":1.10,"c":-0.0,"d":"\\u0041\\/"}'
    view = indented(text)
    assert view is not None
    assert view.replace("\n", "").replace("  ", "").replace(": ", ":") == text


@pytest.mark.parametrize("text", ["", "hello", "{", '{"a": 1} x', "[1, 2", "\x1b[31m"])
def test_what_is_not_json_is_not_indented(text: str) -> None:
    assert indented(text) is None


def test_what_is_huge_or_deep_is_not_indented_either() -> None:
    assert indented("[" + "1," * LONGEST + "1]") is None
    assert indented("[" * 10_000 + "]" * 10_000) is None
    assert indented("[" * DEEPEST + "]" * DEEPEST) is not None
