"""Bytes to frames and back, without a network: RFC 6455, section 5."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peer import CONTINUATION, frame, unmask
from raw_server import BINARY, CLOSE, PING, PONG, TEXT

from rxecho import frames
from rxecho.errors import ChannelError, InvalidPayload, MessageTooBig, ProtocolError
from rxecho.frames import ControlFrame, FrameReader, Message, Opcode, encode, encode_close, parse_close

Event = Message | ControlFrame
OURS = (ProtocolError, InvalidPayload, MessageTooBig)
MAX = 1000


def read(data: bytes, *, max_message_size: int = MAX) -> list[Event]:
    return list(FrameReader(max_message_size).read(data))


def read_pieces(pieces: list[bytes], *, max_message_size: int = MAX) -> tuple[list[Event], type[ChannelError] | None]:
    """What the pieces complete, and the kind of error that ends it."""
    reader = FrameReader(max_message_size)
    events: list[Event] = []
    try:
        for piece in pieces:
            for event in reader.read(piece):
                events.append(event)
                if isinstance(event, ControlFrame) and event.opcode is Opcode.CLOSE:
                    return events, None
    except OURS as error:
        return events, type(error)
    return events, None


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


def single_bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


cuts = st.lists(st.integers(0, 10**6), max_size=8)
controls = st.builds(ControlFrame, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125))
# Both sides of each border between two forms of a length, below the limit.
sizes = st.sampled_from([0, 1, 124, 125, 126, 127, 300])


@st.composite
def conversations(draw: st.DrawFn) -> tuple[bytes, list[Event]]:
    """What a peer that keeps the rules may send, and what it means."""
    data = b""
    events: list[Event] = []
    for message in draw(st.lists(st.text(max_size=40) | st.binary(max_size=40) | st.builds(bytes, sizes) | controls)):
        if isinstance(message, ControlFrame):
            data += frame(message.opcode, message.payload)
            events.append(message)
            continue
        opcode = TEXT if isinstance(message, str) else BINARY
        payload = message.encode() if isinstance(message, str) else message
        fragments = split(payload, draw(st.lists(st.integers(0, 10**6), max_size=4)))
        for index, fragment in enumerate(fragments):
            for control in draw(st.lists(controls, max_size=1)) if index else ():
                data += frame(control.opcode, control.payload)
                events.append(control)
            is_last = index == len(fragments) - 1
            data += frame(CONTINUATION if index else opcode, fragment, fin=is_last)
        events.append(message)
    return data, events


@given(conversations(), cuts)
@settings(max_examples=50)
def test_any_split_of_a_valid_byte_stream_gives_the_same_messages(
    conversation: tuple[bytes, list[Event]], cuts: list[int]
) -> None:
    data, events = conversation
    assert read_pieces([data]) == (events, None)
    assert read_pieces(split(data, cuts)) == (events, None)
    assert read_pieces(single_bytes(data)) == (events, None)


headers = st.builds(
    frame,
    st.integers(0, 15),
    st.binary(max_size=20),
    fin=st.booleans(),
    reserved=st.sampled_from([0, 0, 0, 1, 4]),
    length=st.none() | st.sampled_from([0, 5, 125, 126, 1 << 16, (1 << 63) - 1, 1 << 63]),
    width=st.none() | st.just(8),
)


@given(st.lists(headers | st.binary(max_size=20), max_size=5).map(b"".join), cuts)
@settings(max_examples=150)
def test_any_bytes_at_all_give_messages_or_one_of_our_errors_however_they_are_split(
    data: bytes, cuts: list[int]
) -> None:
    whole = read_pieces([data], max_message_size=300)
    assert read_pieces(split(data, cuts), max_message_size=300) == whole
    assert read_pieces(single_bytes(data), max_message_size=300) == whole


@pytest.mark.parametrize("payload", ["", "x" * 125, "x" * 126, "ü" * 32_767 + "x", "x" * 65_536])
def test_a_length_of_each_form_is_read(payload: str) -> None:
    raw = payload.encode()
    assert read(frame(TEXT, raw), max_message_size=len(raw) or 1) == [payload]
    assert read(frame(BINARY, raw), max_message_size=len(raw) or 1) == [raw]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize(("length", "width"), [(0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65_535, 8)])
def test_a_length_not_in_its_shortest_form_is_a_protocol_error(opcode: int, length: int, width: int) -> None:
    with pytest.raises(ProtocolError, match="shortest form"):
        read(frame(opcode, length=length, width=width), max_message_size=1 << 20)


@pytest.mark.parametrize("reserved", [1, 2, 4, 7])
@pytest.mark.parametrize("opcode", [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG])
def test_a_reserved_bit_is_a_protocol_error(opcode: int, reserved: int) -> None:
    with pytest.raises(ProtocolError, match="reserved bits"):
        read(frame(opcode, reserved=reserved))


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_a_reserved_opcode_is_a_protocol_error(opcode: int) -> None:
    with pytest.raises(ProtocolError, match=f"opcode {opcode:#x} is reserved"):
        read(frame(opcode))


@pytest.mark.parametrize("opcode", [TEXT, BINARY, CLOSE, PING, PONG])
def test_a_masked_frame_is_a_protocol_error(opcode: int) -> None:
    with pytest.raises(ProtocolError, match="masked"):
        read(frame(opcode, b"x", mask=b"abcd"))


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_a_fragmented_control_frame_is_a_protocol_error(opcode: int) -> None:
    with pytest.raises(ProtocolError, match="fragmented"):
        read(frame(opcode, fin=False))


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
@pytest.mark.parametrize("length", [126, 65_536])
def test_a_control_frame_of_more_than_125_bytes_is_a_protocol_error(opcode: int, length: int) -> None:
    assert read(frame(opcode, b"x" * 125)) == [ControlFrame(Opcode(opcode), b"x" * 125)]
    with pytest.raises(ProtocolError, match="125 bytes"):
        read(frame(opcode, length=length))


def test_a_continuation_of_nothing_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="continues nothing"):
        read(frame(CONTINUATION, b"x"))
    with pytest.raises(ProtocolError, match="continues nothing"):
        read(frame(TEXT, b"whole") + frame(CONTINUATION, b"x"))


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_that_begins_within_another_is_a_protocol_error(opcode: int) -> None:
    with pytest.raises(ProtocolError, match="before the one before it has ended"):
        read(frame(TEXT, b"un", fin=False) + frame(opcode, b"x"))


def test_a_length_with_its_highest_bit_set_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="highest bit"):
        read(frame(BINARY, length=1 << 63))


def test_what_came_before_a_fault_is_still_given_out() -> None:
    events, error = read_pieces([frame(TEXT, b"one") + frame(PING, b"two") + frame(TEXT, b"\xff")])
    assert events == ["one", ControlFrame(Opcode.PING, b"two")]
    assert error is InvalidPayload


def test_nothing_is_read_behind_a_close_frame() -> None:
    assert read(frame(CLOSE, b"\x03\xe8") + b"\xff\xff\xff\xff") == [ControlFrame(Opcode.CLOSE, b"\x03\xe8")]


@pytest.mark.parametrize("size", [100, 10_000])
def test_a_message_may_be_as_large_as_the_limit_and_no_byte_larger(size: int) -> None:
    assert read(frame(TEXT, b"x" * size), max_message_size=size) == ["x" * size]
    with pytest.raises(MessageTooBig, match=f"{size:,} are allowed"):
        read(frame(TEXT, b"x" * (size + 1)), max_message_size=size)


def test_the_limit_holds_for_the_fragments_of_a_message_together() -> None:
    fragments = frame(BINARY, b"x" * 60, fin=False) + frame(CONTINUATION, b"x" * 40, fin=False)
    assert read(fragments + frame(CONTINUATION), max_message_size=100) == [b"x" * 100]
    with pytest.raises(MessageTooBig):
        read(fragments + frame(CONTINUATION, b"x"), max_message_size=100)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_header_is_judged_before_memory_is_taken_for_its_frame(opcode: int) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(MessageTooBig):
            read(frame(opcode, length=(1 << 63) - 1), max_message_size=1 << 40)
        # This one may come, but has not yet.
        assert read(frame(opcode, b"x", length=1 << 39), max_message_size=1 << 40) == []
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_empty_fragments_take_no_memory_however_many_they_are() -> None:
    reader = FrameReader(MAX)
    empty = frame(CONTINUATION, fin=False) * 10_000
    assert list(reader.read(frame(TEXT, b"", fin=False) + empty)) == []
    tracemalloc.start()
    try:
        assert list(reader.read(empty)) == []
        assert tracemalloc.get_traced_memory()[0] < 1000
    finally:
        tracemalloc.stop()
    assert list(reader.read(frame(CONTINUATION, b"end"))) == ["end"]


def test_the_time_for_fragments_grows_with_their_bytes_and_not_with_its_square() -> None:
    """Joined with `+=`, these 8 MB would move 34 GB and not be done in time."""
    fragment = frame(CONTINUATION, b"x" * 1000, fin=False)
    reader = FrameReader(8 << 20)
    assert list(reader.read(frame(BINARY, fin=False) + fragment * 8192)) == []
    assert list(reader.read(frame(CONTINUATION))) == [b"x" * 8_192_000]


WRONG = [
    b"\x80",  # a continuation of nothing
    b"\xc0\xaf",  # overlong
    b"\xe0\x80",  # overlong, unfinished
    b"\xf0\x80",
    b"\xed\xa0",  # a surrogate, unfinished
    b"\xf4\x90",  # beyond U+10FFFF, unfinished
    b"\xf5",
    b"\xffabc",
]


@pytest.mark.parametrize("wrong", WRONG)
def test_invalid_text_is_noticed_in_an_unfinished_fragment(wrong: bytes) -> None:
    reader = FrameReader(MAX)
    assert list(reader.read(frame(TEXT, "κόσμε".encode(), fin=False))) == []
    with pytest.raises(InvalidPayload, match="UTF-8"):
        list(reader.read(frame(CONTINUATION, wrong, fin=False)))


@pytest.mark.parametrize("wrong", WRONG)
def test_invalid_text_is_noticed_in_an_unfinished_frame(wrong: bytes) -> None:
    reader = FrameReader(MAX)
    assert list(reader.read(frame(TEXT, length=500) + "κόσμε".encode())) == []
    with pytest.raises(InvalidPayload, match="UTF-8"):
        list(reader.read(wrong))


def test_a_character_may_be_split_anywhere_between_fragments_and_reads() -> None:
    text = "a\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"
    raw = text.encode()
    fragments = [frame(CONTINUATION if i else TEXT, raw[i : i + 1], fin=False) for i in range(len(raw))]
    data = b"".join(fragments) + frame(CONTINUATION)
    assert read(data) == [text]
    assert read_pieces(single_bytes(data)) == ([text], None)
    assert read_pieces(single_bytes(frame(TEXT, raw))) == ([text], None)


@pytest.mark.parametrize("pieces", [[b"\xe2\x82"], [b"ab\xf0\x9f", b"\x98"]])
def test_a_text_that_ends_within_a_character_is_invalid(pieces: list[bytes]) -> None:
    data = frame(TEXT, pieces[0], fin=False) + b"".join(frame(CONTINUATION, piece, fin=False) for piece in pieces[1:])
    with pytest.raises(InvalidPayload, match=r"UTF-8|middle of a character"):
        read(data + frame(CONTINUATION))
    with pytest.raises(InvalidPayload):
        read(frame(TEXT, b"".join(pieces)))


def test_binary_is_never_checked_for_text() -> None:
    assert read(frame(BINARY, b"\xff", fin=False) + frame(CONTINUATION, b"\xfe")) == [b"\xff\xfe"]


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 3999, 4999])
def test_a_close_frame_carries_a_code_and_a_reason(code: int) -> None:
    assert parse_close(code.to_bytes(2) + "Grüße".encode()) == (code, "Grüße")
    assert parse_close(code.to_bytes(2)) == (code, "")


def test_a_close_frame_without_a_code_reads_as_1005() -> None:
    assert parse_close(b"") == (1005, "")


def test_half_a_close_code_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="half a code"):
        parse_close(b"\x03")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
def test_a_close_code_that_may_not_be_sent_is_a_protocol_error(code: int) -> None:
    with pytest.raises(ProtocolError, match=f"{code} may not be sent"):
        parse_close(code.to_bytes(2))


def test_a_close_reason_that_is_not_utf_8_is_invalid() -> None:
    with pytest.raises(InvalidPayload, match="reason is not UTF-8"):
        parse_close(b"\x03\xe8\xce")


def decode(data: bytes) -> tuple[int, bytes]:
    """Opcode and payload of one frame of a client."""
    short = data[1] & 0x7F
    width = {126: 2, 127: 8}.get(short, 0)
    length = int.from_bytes(data[2 : 2 + width]) if width else short
    key, payload = data[2 + width : 6 + width], data[6 + width :]
    assert data[0] & 0xF0 == 0x80
    assert data[1] & 0x80
    assert len(payload) == length
    assert frame(data[0] & 0x0F, unmask(payload, key), mask=key) == data  # the length is in its shortest form
    return data[0] & 0x0F, unmask(payload, key)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 126, 65_535, 65_536, 100_001])
def test_what_is_sent_is_one_masked_frame_with_the_shortest_length(size: int) -> None:
    payload = bytes(i % 251 for i in range(size))
    assert decode(encode(Opcode.BINARY, payload)) == (BINARY, payload)


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
@settings(max_examples=50)
def test_masking_in_python_and_in_c_agree(payload: bytes, key: bytes) -> None:
    in_c = frames._mask_in_c()
    assert in_c is not frames._mask_in_python
    assert frames._mask_in_python(payload, key) == in_c(payload, key) == unmask(payload, key)


def test_masking_is_done_in_python_at_first_and_in_c_as_soon_as_it_is_worth_it() -> None:
    # In an interpreter of its own, which has not masked anything yet.
    program = """
import sys
from rxecho.frames import Opcode, encode
for _ in range(16):
    encode(Opcode.TEXT, bytes(1000))
print("websockets.speedups" in sys.modules)
encode(Opcode.TEXT, bytes(1000))
print("websockets.speedups" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True"]


def test_masking_is_done_in_python_where_the_c_version_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)
    monkeypatch.setattr(frames, "_masking", frames._Masking())
    payload = b"payload" * 10_000
    assert decode(encode(Opcode.BINARY, payload)) == (BINARY, payload)


def test_no_two_masking_keys_follow_from_each_other() -> None:
    keys = [encode(Opcode.TEXT, b"")[2:] for _ in range(10_000)]
    # Random ones: among 2**32, 10,000 have a pair by chance in 1 of 85 runs, and never four. A key of each pool of a
    # thousand that was used twice would make nine.
    assert len(set(keys)) > 9_996
    differences = Counter((int.from_bytes(b) - int.from_bytes(a)) % 2**32 for a, b in pairwise(keys))
    assert differences.most_common(1)[0][1] < 4
    # Each of the 32 bits is as often set as not: 5,000 times, give or take ten times the deviation of 50.
    for bit in range(32):
        assert abs(sum(int.from_bytes(key) >> bit & 1 for key in keys) - 5000) < 500


@pytest.mark.skipif(not hasattr(sys.modules["os"], "fork"), reason="this system cannot fork")
def test_a_forked_child_does_not_repeat_the_masking_keys_of_its_parent() -> None:
    program = """
import os, sys
from rxecho.frames import Opcode, encode
encode(Opcode.TEXT, b"")
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, b"".join(encode(Opcode.TEXT, b"")[2:] for _ in range(100)))
    os._exit(0)
os.wait()
child = os.read(reader, 1000)
parent = b"".join(encode(Opcode.TEXT, b"")[2:] for _ in range(100))
print(len({child[i:i + 4] for i in range(0, 400, 4)} & {parent[i:i + 4] for i in range(0, 400, 4)}))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["0"]


@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [
        (None, "", b""),
        (1000, "", b"\x03\xe8"),
        (4999, "x" * 123, b"\x13\x87" + b"x" * 123),
        (3000, "ü" * 61, b"\x0b\xb8" + "ü".encode() * 61),
    ],
)
def test_a_close_frame_is_sent_with_the_code_and_the_reason(code: int | None, reason: str, payload: bytes) -> None:
    assert decode(encode_close(code, reason)) == (CLOSE, payload)


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 70_000])
def test_a_close_code_that_may_not_be_sent_is_a_value_error(code: int) -> None:
    with pytest.raises(ValueError, match=f"{code} cannot be sent"):
        encode_close(code, "")


@pytest.mark.parametrize(("code", "reason"), [(None, "why"), (1000, "x" * 124), (1000, "ü" * 62), (1000, "\ud800")])
def test_a_close_reason_that_cannot_be_sent_is_a_value_error(code: int | None, reason: str) -> None:
    with pytest.raises(ValueError, match=r"close code|123 bytes|surrogates"):
        encode_close(code, reason)
