"""Whatever a peer sends, in whatever pieces: the properties of the frame path beyond those in `tests/test_frames.py`.

The judge is websockets' own protocol, which shares no line with ours.
"""

from __future__ import annotations

import socket
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peer import connected, frame, listen
from raw_server import PONG
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame
from websockets.frames import Opcode as Theirs
from websockets.protocol import State
from websockets.server import ServerProtocol

from rxecho import ChannelError, ConnectionLost, InvalidPayload, MessageTooBig, ProtocolError
from rxecho.deflate import Deflate
from rxecho.frames import ControlFrame, FrameReader, Message, Opcode, encode, encode_close, parse_close

Event = Message | ControlFrame
LIMIT = 100_000
CODES = {ProtocolError: 1002, InvalidPayload: 1007, MessageTooBig: 1009}

# Both sides of each border between two forms of a length.
sizes = st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536])
messages = st.text(max_size=50) | st.binary(max_size=50) | st.builds(bytes, sizes) | sizes.map(lambda size: "x" * size)
controls = st.builds(ControlFrame, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125))
cuts = st.lists(st.integers(0, 10**6), max_size=8)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """As many pieces as there are cuts, and one more, some of them empty."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


@st.composite
def conversations(draw: st.DrawFn, *, compressed: bool) -> tuple[bytes, list[Event]]:
    """What websockets' server sends, in any fragments, with pings and pongs between them; and what it means."""
    server = ServerProtocol(state=State.OPEN)
    if compressed:
        server.extensions = [PerMessageDeflate(False, False, 15, 15)]
    events: list[Event] = []

    def send_controls() -> None:
        for control in draw(st.lists(controls, max_size=2)):
            (server.send_ping if control.opcode is Opcode.PING else server.send_pong)(control.payload)
            events.append(control)

    for message in draw(st.lists(messages, max_size=5)):
        send_controls()
        payload = message.encode() if isinstance(message, str) else message
        send: Callable[..., None] = server.send_text if isinstance(message, str) else server.send_binary
        *fragments, last = split(payload, draw(st.lists(st.integers(0, 10**6), max_size=3)))
        for fragment in fragments:
            send(fragment, fin=False)
            send = server.send_continuation
            send_controls()
        send(last, fin=True)
        events.append(message)
    return b"".join(server.data_to_send()), events


def read(pieces: Sequence[bytes], reader: FrameReader) -> list[Event]:
    return [event for piece in pieces for event in reader.read(piece)]


@given(st.data(), cuts, st.booleans())
@settings(max_examples=60)
def test_what_websockets_sends_in_any_fragments_and_pieces_is_read_as_it_was_meant(
    data: st.DataObject, cuts: list[int], compressed: bool
) -> None:
    wire, events = data.draw(conversations(compressed=compressed))
    reader = FrameReader(LIMIT, Deflate().inflater() if compressed else None)
    assert read(split(wire, cuts), reader) == events


@given(conversations(compressed=False), cuts)
@settings(max_examples=20)
def test_it_arrives_as_it_was_meant_over_a_socket_and_every_ping_gets_its_pong(
    conversation: tuple[bytes, list[Event]], cuts: list[int]
) -> None:
    wire, events = conversation
    with connected() as (channel, peer):
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        recorder = listen(channel)
        for piece in split(wire, cuts):
            peer.sock.sendall(piece)
        for event in events:
            if isinstance(event, ControlFrame) and event.opcode is Opcode.PING:
                assert peer.receive() == (PONG, event.payload)
        sent = [event for event in events if not isinstance(event, ControlFrame)]
        assert recorder.wait_for(len(sent)) == sent
        assert recorder.error is None


# Frames that may be anything, with headers that may claim anything.
anything = st.lists(
    st.builds(
        frame,
        st.sampled_from([0, 1, 1, 2, 8, 9, 10, 11]),
        st.binary(max_size=20) | st.text(max_size=9).map(str.encode),
        fin=st.booleans(),
        reserved=st.sampled_from([0, 0, 0, 0, 1, 4]),
        length=st.none() | st.sampled_from([0, 5, 125, 126, 1 << 16, (1 << 63) - 1, 1 << 63]),
        width=st.none() | st.just(8),
    )
    | st.binary(max_size=20),
    max_size=8,
).map(b"".join)


def verdict(data: bytes) -> tuple[list[Message], type[ChannelError] | None]:
    """The messages before the end, and the error that it is: none after a close frame."""
    received: list[Message] = []
    try:
        for event in FrameReader(LIMIT).read(data):
            if not isinstance(event, ControlFrame):
                received.append(event)
            elif event.opcode is Opcode.CLOSE:
                parse_close(event.payload)
                return received, None
    except tuple(CODES) as error:
        return received, type(error)
    return received, ConnectionLost


@given(anything, cuts)
@settings(max_examples=60)
def test_any_bytes_at_all_end_a_channel_with_what_was_promised_and_the_code_that_goes_with_it(
    data: bytes, cuts: list[int]
) -> None:
    received, error = verdict(data)
    with connected(max_message_size=LIMIT) as (channel, peer):
        recorder = listen(channel)
        for piece in split(data, cuts):
            peer.sock.sendall(piece)
        peer.sock.shutdown(socket.SHUT_WR)
        assert type(recorder.wait_for_end()) is (error or type(None))
        assert recorder.values == received
        if error in CODES:
            assert peer.receive_close() == CODES[error].to_bytes(2)
        elif error is ConnectionLost:
            with pytest.raises((EOFError, ConnectionError)):
                peer.receive_close()


@given(anything, cuts)
@settings(max_examples=60)
def test_no_bytes_take_more_memory_than_a_few_times_what_they_are(data: bytes, cuts: list[int]) -> None:
    pieces = split(data, cuts)
    reader = FrameReader(1 << 62)
    tracemalloc.start()
    try:
        read(pieces, reader)
    except tuple(CODES):
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 * len(data) + 16 * 1024


def received_by_websockets(*frames: bytes) -> list[Frame]:
    """What websockets' server makes of what we send."""
    server = ServerProtocol(state=State.OPEN)
    server.receive_data(b"".join(frames))
    assert server.parser_exc is None
    events = server.events_received()
    assert all(isinstance(event, Frame) for event in events)
    return [event for event in events if isinstance(event, Frame)]


@given(st.lists(messages | controls, max_size=8))
@settings(max_examples=60)
def test_websockets_reads_what_we_encode_as_it_was_meant(events: list[Event]) -> None:
    meant = [
        (Theirs(event.opcode), event.payload)
        if isinstance(event, ControlFrame)
        else (Theirs.TEXT, event.encode())
        if isinstance(event, str)
        else (Theirs.BINARY, event)
        for event in events
    ]
    frames = received_by_websockets(*(encode(Opcode(opcode), payload) for opcode, payload in meant))
    assert [(frame.opcode, bytes(frame.data)) for frame in frames] == meant
    assert all(frame.fin and not (frame.rsv1 or frame.rsv2 or frame.rsv3) for frame in frames)


codes = st.sampled_from([1000, 1001, 1002, 1003, *range(1007, 1015)]) | st.integers(3000, 4999)


@given(codes, st.text(max_size=123).filter(lambda reason: len(reason.encode()) <= 123))
@settings(max_examples=60)
def test_websockets_reads_our_close_frame_as_it_was_meant(code: int, reason: str) -> None:
    (received,) = received_by_websockets(encode_close(code, reason))
    assert received.opcode is Theirs.CLOSE
    assert Close.parse(received.data) == Close(code, reason)
