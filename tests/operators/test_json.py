"""The operators `from_json`, `to_json`, `text` and `binary`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from math import inf, nan
from typing import Any, TypedDict
from uuid import UUID

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from peer import Recorder
from reactivex.subject import Subject

from rxecho import EchoServer, WebSocketChannel
from rxecho.frames import Message
from rxecho.operators import JsonError, binary, from_json, text, to_json
from rxecho.printable import printable

DEEP = 10_000
CLOSED = "[" * DEEP + "]" * DEEP


@dataclass
class Quote:
    symbol: str
    price: float


class Order(TypedDict):
    amount: int


class Side(Enum):
    BUY = "buy"


def decoded(*messages: object, **options: Any) -> Recorder[Any]:
    recorder: Recorder[Any] = Recorder()
    reactivex.of(*messages).pipe(from_json(**options)).subscribe(recorder)  # type: ignore[arg-type]
    return recorder


def encoded(*values: object, **options: Any) -> Recorder[str]:
    recorder: Recorder[str] = Recorder()
    reactivex.of(*values).pipe(to_json(**options)).subscribe(recorder)
    return recorder


# from_json


def test_text_and_binary_are_decoded_alike() -> None:
    assert decoded('{"a": [1, 2.5, null, true, "é"]}', '{"a": "é"}'.encode()).values == [
        {"a": [1, 2.5, None, True, "é"]},
        {"a": "é"},
    ]


def test_messages_are_decoded_into_a_dataclass_and_into_what_else_is_a_type() -> None:
    assert decoded('{"symbol": "BTC", "price": 7}', type=Quote).values == [Quote("BTC", 7.0)]
    assert decoded('{"amount": 3}', type=Order).values == [{"amount": 3}]
    assert decoded('["buy"]', type=list[Side]).values == [[Side.BUY]]
    assert decoded('"2026-01-31T12:00:00Z"', type=datetime).values == [datetime(2026, 1, 31, 12, tzinfo=UTC)]


def test_a_large_whole_number_stays_exact() -> None:
    assert decoded("123456789012345678901234567890").values == [123456789012345678901234567890]


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("", "truncated"),
        ("{", "truncated"),
        ('{"price": 7x}', "byte 11"),
        ("nonsense", "malformed"),
        ("NaN", "malformed"),
        ("[Infinity]", "byte 1"),
        ('{"a": 1} trailing', "byte 10"),
        ("\ufeff{}", "byte 0"),
        (b'"\xff"', "not UTF-8 (byte 1)"),
        (b"\xff\xfe", "byte 0"),
        ('"\\ud800"', "truncated"),
        (CLOSED, "nested too deeply"),
        ("[" * 1_000_000, "nested too deeply"),
        ('{"a":' * DEEP, "nested too deeply"),
        (7, "a message is str or bytes, not int"),
    ],
)
def test_a_bad_message_is_one_clear_error(message: object, says: str) -> None:
    error = decoded(message).wait_for_end()
    assert isinstance(error, JsonError)
    assert says in str(error)
    assert printable(str(error)) == str(error)
    assert len(str(error)) < 500
    assert error.value is message


def test_a_message_of_another_type_says_where_it_differs() -> None:
    error = decoded('[{"symbol": "BTC", "price": "much"}]', type=list[Quote]).wait_for_end()
    assert "Expected `float`, got `str` - at `$[0].price`" in str(error)


def test_a_huge_message_is_decoded_or_told_without_being_quoted_whole() -> None:
    huge = "[" + "1," * 4_000_000 + "1]"
    assert len(decoded(huge).values[0]) == 4_000_001
    assert len(str(decoded(huge[:-1]).wait_for_end())) < 500


def test_a_bad_message_is_left_out_where_that_was_chosen() -> None:
    recorder = decoded("1", "{", "2", bad="skip")
    assert recorder.values == [1, 2]
    assert recorder.has_completed


def test_bad_messages_go_to_a_side_stream_and_the_others_go_on() -> None:
    side: Recorder[JsonError] = Recorder()
    subject: Subject[JsonError] = Subject()
    subject.subscribe(side)
    assert decoded("1", "{", "2", bad=subject).values == [1, 2]
    assert [error.value for error in side.values] == ["{"]


def test_the_error_of_the_stream_is_passed_on() -> None:
    recorder: Recorder[Any] = Recorder()
    fault = OSError("gone")
    messages: reactivex.Observable[Message] = reactivex.throw(fault)
    messages.pipe(from_json()).subscribe(recorder)
    assert recorder.wait_for_end() is fault


@pytest.mark.parametrize("operator", [from_json, to_json])
def test_what_becomes_of_the_bad_ones_is_one_of_three(operator: Any) -> None:
    with pytest.raises(ValueError, match="bad is 'raise', 'skip' or an observer"):
        operator(bad="ignore")


def test_a_type_that_cannot_be_decoded_into_raises_right_there() -> None:
    with pytest.raises(TypeError):
        from_json(type=Recorder | Subject)


@given(st.text() | st.binary())
def test_any_message_is_decoded_or_one_clear_error(message: Message) -> None:
    recorder = decoded(message)
    if error := recorder.error:
        assert isinstance(error, JsonError)
        assert printable(str(error)) == str(error)
    else:
        assert recorder.has_completed
        assert recorder.values == [json.loads(message)]


# to_json


def test_values_become_compact_text() -> None:
    assert encoded({"a": [1, 2.5, None, True, "é"]}).values == ['{"a":[1,2.5,null,true,"é"]}']


def test_what_python_has_besides_is_encoded_too() -> None:
    assert encoded(
        Quote("BTC", 7.0), Side.BUY, datetime(2026, 1, 31, tzinfo=UTC), UUID(int=1), (1, 2), {1: "a"}
    ).values == [
        '{"symbol":"BTC","price":7.0}',
        '"buy"',
        '"2026-01-31T00:00:00Z"',
        '"00000000-0000-0000-0000-000000000001"',
        "[1,2]",
        '{"1":"a"}',
    ]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "value",
    [
        nan,
        inf,
        -inf,
        [1, {"a": nan}],
        Quote("BTC", nan),
        object(),
        {(1, 2): 3},
        "\ud800",
        ["\udfff"],
        nested(DEEP),
        LOOP,
    ],
)
def test_what_json_cannot_say_is_one_clear_error(value: object) -> None:
    error = encoded(value).wait_for_end()
    assert isinstance(error, JsonError)
    assert error.value is value
    assert printable(str(error)) == str(error)
    assert len(str(error)) < 500


def test_null_and_text_that_says_null_or_nan_are_values_like_others() -> None:
    assert encoded(None, "null", "NaN", [None, "NaN"]).values == ["null", '"null"', '"NaN"', '[null,"NaN"]']


def test_a_bad_value_is_left_out_or_goes_to_a_side_stream() -> None:
    assert encoded(1, nan, 2, bad="skip").values == ["1", "2"]
    side: Recorder[JsonError] = Recorder()
    assert encoded(1, nan, 2, bad=side).values == ["1", "2"]
    assert len(side.values) == 1


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_what_was_encoded_is_decoded_to_the_same(value: object) -> None:
    assert decoded(*encoded(value).values).values == [value]


def test_it_goes_over_a_real_channel_and_back() -> None:
    recorder: Recorder[Quote] = Recorder()
    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        channel.stream.pipe(from_json(Quote)).subscribe(recorder)
        channel.sink.add_stream(reactivex.of(Quote("BTC", 7.0)).pipe(to_json()))
        assert recorder.wait_for(1) == [Quote("BTC", 7.0)]


# text and binary


def test_only_text_passes_text_and_only_bytes_pass_binary() -> None:
    messages = ["a", b"b", "c", b""]
    for operator, passing in [(text(), ["a", "c"]), (binary(), [b"b", b""])]:
        recorder: Recorder[Any] = Recorder()
        reactivex.from_iterable(messages).pipe(operator).subscribe(recorder)  # type: ignore[arg-type]
        assert recorder.values == passing
        assert recorder.has_completed
