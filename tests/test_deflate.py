"""permessage-deflate, RFC 7692: what is agreed on, what is inflated, and what goes out deflated."""

from __future__ import annotations

import json
import os
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peer import BadPeer, connecting, frame, listen, unmask
from raw_server import BINARY, CLOSE, PING, PONG, TEXT, TIMEOUT, raw_server
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.sync.server import ServerConnection, serve

from rxecho import ConnectError, InvalidPayload, MessageTooBig, ProtocolError, WebSocketChannel
from rxecho.connection import READ_SIZE
from rxecho.deflate import OFFER, Deflate, Deflater, Inflater
from rxecho.frames import ControlFrame, FrameReader, Message

TAIL = b"\x00\x00\xff\xff"
COMPRESSED = 4
LONG = json.dumps([{"symbol": "RX", "price": index * 1.5, "note": "grün"} for index in range(50)], ensure_ascii=False)
EXTENSION = "Sec-WebSocket-Extensions: permessage-deflate"


class Sender:
    """A server's compressor, with its memory of what it sent."""

    def __init__(self, window_bits: int = 15) -> None:
        self._zlib = zlib.compressobj(wbits=-window_bits)

    def deflate(self, message: bytes) -> bytes:
        return (self._zlib.compress(message) + self._zlib.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Receiver:
    """A server's decompressor, with its memory of what it received."""

    def __init__(self, window_bits: int = 15) -> None:
        self._zlib = zlib.decompressobj(wbits=-window_bits)

    def inflate(self, message: bytes) -> bytes:
        return self._zlib.decompress(message + TAIL)


def deflated(message: bytes) -> bytes:
    return Sender().deflate(message)


def inflated(message: bytes) -> bytes:
    return Receiver().inflate(message)


@contextmanager
def agreed(parameters: str = "", **options: Any) -> Iterator[tuple[WebSocketChannel, BadPeer]]:
    """An open channel, and a peer that has agreed to compress."""
    with connecting(**options) as (channel, peer):
        peer.open(EXTENSION + parameters)
        channel.ready.result(TIMEOUT)
        yield channel, peer


def sent(peer: BadPeer) -> tuple[int, bytes]:
    """The next frame: its first byte, with all its bits, and its payload."""
    first, length = peer.read(2)
    size = length & 0x7F
    if size > 125:
        size = int.from_bytes(peer.read(2 if size == 126 else 8))
    key = peer.read(4)
    return first, unmask(peer.read(size), key)


# What is agreed on


def offer(**options: Any) -> str | None:
    """The `Sec-WebSocket-Extensions` of a client."""
    with connecting(**options) as (_, peer):
        return peer.open().get("sec-websocket-extensions")


def test_compression_is_offered_by_default_and_not_where_it_is_turned_off() -> None:
    assert offer() == OFFER == "permessage-deflate; client_max_window_bits"
    assert offer(compression="deflate") == OFFER
    assert offer(compression=None) is None


@pytest.mark.parametrize("compression", ["gzip", "", True, False])
def test_a_compression_that_does_not_exist_raises_value_error_right_there(compression: Any) -> None:
    with pytest.raises(ValueError, match="compression"):
        WebSocketChannel.connect("ws://127.0.0.1:1/", compression=compression)


@pytest.mark.parametrize(
    ("answer", "agreement"),
    [
        ("permessage-deflate", Deflate()),
        ("permessage-deflate; server_no_context_takeover", Deflate(server_no_context_takeover=True)),
        ("permessage-deflate;client_no_context_takeover", Deflate(client_no_context_takeover=True)),
        ("permessage-deflate; server_max_window_bits=8", Deflate(server_max_window_bits=8)),
        ('permessage-deflate ; client_max_window_bits = "10" ', Deflate(client_max_window_bits=10)),
        (
            "permessage-deflate; client_max_window_bits=9; server_max_window_bits=12; client_no_context_takeover",
            Deflate(False, True, 12, 9),
        ),
    ],
)
def test_what_the_server_agrees_to_is_read(answer: str, agreement: Deflate) -> None:
    assert Deflate.parse(answer) == agreement


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("x-webkit-deflate-frame", "not offered"),
        ("permessage-deflate2", "not offered"),
        ("; server_no_context_takeover", "not offered"),
        ("permessage-deflate, permessage-deflate", "one extension"),
        ("permessage-deflate; server_no_context_takeover, x", "one extension"),
        ("permessage-deflate server_no_context_takeover", "not a parameter"),
        ("permessage-deflate;", "not a parameter"),
        ("permessage-deflate; server_no_context_takeover=1", "no value"),
        ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", "twice"),
        ("permessage-deflate; server_max_window_bits", "from 8 to 15"),
        ("permessage-deflate; server_max_window_bits=7", "from 8 to 15"),
        ("permessage-deflate; server_max_window_bits=16", "from 8 to 15"),
        ("permessage-deflate; server_max_window_bits=010", "from 8 to 15"),
        ("permessage-deflate; client_max_window_bits", "from 8 to 15"),
        ('permessage-deflate; client_max_window_bits="10', "from 8 to 15"),
        ("permessage-deflate; chunks=3", "no parameter chunks"),
    ],
)
def test_an_answer_that_is_none_is_a_connect_error_that_says_why(answer: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Deflate.parse(answer)
    with raw_server(lambda peer: peer.open(f"Sec-WebSocket-Extensions: {answer}")) as port:
        error = WebSocketChannel.connect(f"ws://127.0.0.1:{port}/").ready.exception(TIMEOUT)
    assert isinstance(error, ConnectError)
    assert why in str(error)


# What arrives


def test_compressed_messages_arrive_as_what_they_were_and_plain_ones_between_them() -> None:
    sender = Sender()
    with agreed() as (channel, peer):
        recorder = listen(channel)
        peer.sock.sendall(frame(TEXT, sender.deflate(LONG.encode()), reserved=COMPRESSED))
        peer.sock.sendall(frame(TEXT, b"plain") + frame(BINARY, sender.deflate(LONG.encode()), reserved=COMPRESSED))
        peer.sock.sendall(frame(TEXT, sender.deflate(b""), reserved=COMPRESSED))
        assert recorder.wait_for(4) == [LONG, "plain", LONG.encode(), ""]


def test_the_server_may_look_back_across_messages_unless_it_agreed_not_to() -> None:
    sender = Sender()
    messages = [sender.deflate(LONG.encode()) for _ in range(2)]
    assert len(messages[1]) < len(messages[0]) // 4
    with agreed() as (channel, peer):
        recorder = listen(channel)
        for message in messages:
            peer.sock.sendall(frame(TEXT, message, reserved=COMPRESSED))
        assert recorder.wait_for(2) == [LONG, LONG]
    with agreed("; server_no_context_takeover") as (channel, peer):
        recorder = listen(channel)
        for message in messages:
            peer.sock.sendall(frame(TEXT, message, reserved=COMPRESSED))
        assert peer.receive_close() == (1002).to_bytes(2)
        peer.leave()
        assert isinstance(recorder.wait_for_end(), ProtocolError)
        assert recorder.values == [LONG]


@given(
    messages=st.lists(st.one_of(st.text(), st.binary(), st.just(LONG * 20)), max_size=5),
    cuts=st.lists(st.integers(0, 10**4), max_size=5),
    pieces=st.lists(st.integers(1, 5000), min_size=1, max_size=5),
)
def test_however_a_compressed_message_is_cut_it_arrives_the_same(
    messages: list[str | bytes], cuts: list[int], pieces: list[int]
) -> None:
    sender = Sender()
    wire = b""
    for message in messages:
        opcode, payload = (TEXT, message.encode()) if isinstance(message, str) else (BINARY, message)
        payload = sender.deflate(payload)
        edges = [0, *sorted(cut % (len(payload) + 1) for cut in cuts), len(payload)]
        for index, (start, stop) in enumerate(pairwise(edges)):
            wire += frame(
                opcode if index == 0 else 0,
                payload[start:stop],
                fin=index == len(edges) - 2,
                reserved=COMPRESSED if index == 0 else 0,
            ) + frame(PING, b"between")
    reader = FrameReader(1 << 20, Deflate().inflater())
    events: list[Message | ControlFrame] = []
    while wire:
        size = pieces[len(events) % len(pieces)]
        events += list(reader.read(wire[:size]))
        wire = wire[size:]
    assert [event for event in events if not isinstance(event, ControlFrame)] == messages
    assert reader.unfinished_size == 0


@given(st.binary(max_size=300), st.integers(1, 400))
def test_any_bytes_at_all_are_inflated_or_are_one_of_our_errors(data: bytes, limit: int) -> None:
    reader = FrameReader(limit, Deflate().inflater())
    try:
        for opcode in (BINARY, TEXT):
            for event in reader.read(frame(opcode, data, reserved=COMPRESSED)):
                assert len(event) <= limit
    except (ProtocolError, InvalidPayload, MessageTooBig):
        pass


def test_a_sender_that_ends_its_blocks_instead_of_flushing_them_is_understood() -> None:
    with agreed() as (channel, peer):
        recorder = listen(channel)
        for _ in range(2):
            compressor = zlib.compressobj(wbits=-15)
            final = compressor.compress(LONG.encode()) + compressor.flush(zlib.Z_FINISH)
            peer.sock.sendall(frame(TEXT, final + b"\x00", reserved=COMPRESSED))
        # The very bytes of RFC 7692, section 7.2.3.4.
        peer.sock.sendall(frame(TEXT, bytes.fromhex("f348cdc9c9070000"), reserved=COMPRESSED))
        assert recorder.wait_for(3) == [LONG, LONG, "Hello"]


@pytest.mark.parametrize(
    ("wire", "error", "code"),
    [
        (frame(TEXT, b"\xff\xff\xff\xff", reserved=COMPRESSED), ProtocolError, 1002),
        (frame(TEXT, deflated(b"x") + b"\xff\xff\xff\xff", reserved=COMPRESSED), ProtocolError, 1002),
        (frame(TEXT, bytes.fromhex("f348cdc9c90700") * 2, reserved=COMPRESSED), ProtocolError, 1002),
        (frame(TEXT, deflated(b"gr\xfcn"), reserved=COMPRESSED), InvalidPayload, 1007),
        (frame(TEXT, deflated("ü".encode()[:1]), reserved=COMPRESSED), InvalidPayload, 1007),
        (frame(PING, b"x", reserved=COMPRESSED), ProtocolError, 1002),
        (frame(CLOSE, b"", reserved=COMPRESSED), ProtocolError, 1002),
        (frame(TEXT, b"x", fin=False) + frame(0, b"x", reserved=COMPRESSED), ProtocolError, 1002),
        (frame(TEXT, deflated(b"x"), reserved=COMPRESSED | 2), ProtocolError, 1002),
        (frame(TEXT, deflated(b"x"), reserved=1), ProtocolError, 1002),
        (frame(3, deflated(b"x"), reserved=COMPRESSED), ProtocolError, 1002),
        (frame(TEXT, deflated(b"x" * 1001), reserved=COMPRESSED), MessageTooBig, 1009),
        # Fails at the first byte that is too much, or wrong, however much was announced and is still to come.
        (frame(TEXT, deflated(b"x" * 1001), reserved=COMPRESSED, length=2**50), MessageTooBig, 1009),
        (frame(TEXT, deflated(b"gr\xfcn"), reserved=COMPRESSED, fin=False, length=999), InvalidPayload, 1007),
    ],
)
def test_what_breaks_the_compression_ends_the_channel_with_the_right_code(
    wire: bytes, error: type[Exception], code: int
) -> None:
    with agreed(max_message_size=1000) as (channel, peer):
        recorder = listen(channel)
        peer.sock.sendall(wire)
        assert peer.receive_close() == code.to_bytes(2)
        peer.leave()
        assert type(recorder.wait_for_end()) is error
        assert recorder.values == []
        assert channel.close_code == 1006


def test_a_message_may_be_as_large_as_the_limit_however_small_it_travels() -> None:
    with agreed(max_message_size=1000) as (channel, peer):
        recorder = listen(channel)
        noise = os.urandom(1000)
        assert len(deflated(noise)) > 1000
        peer.sock.sendall(frame(TEXT, deflated(b"x" * 1000), reserved=COMPRESSED))
        peer.sock.sendall(frame(BINARY, deflated(noise), reserved=COMPRESSED))
        assert recorder.wait_for(2) == ["x" * 1000, noise]


def test_a_bomb_costs_no_more_memory_than_the_message_it_could_have_been() -> None:
    limit = 2**20
    data = frame(BINARY, deflated(bytes(2**28)), reserved=COMPRESSED)
    assert len(data) < limit
    reader = FrameReader(limit, Deflate().inflater())

    def read() -> None:
        for start in range(0, len(data), READ_SIZE):
            list(reader.read(data[start : start + READ_SIZE]))

    tracemalloc.start()
    try:
        with pytest.raises(MessageTooBig, match="1,048,576"):
            read()
        assert tracemalloc.get_traced_memory()[1] < 3 * READ_SIZE + 3 * limit
    finally:
        tracemalloc.stop()


# What leaves


def test_messages_from_100_bytes_on_are_deflated_and_smaller_ones_sent_as_they_are() -> None:
    receiver = Receiver()
    with agreed() as (channel, peer):
        for message in ("x" * 99, "x" * 100, LONG, LONG, b"x" * 99, LONG.encode() * 2000):
            channel.sink.add(message)
        assert sent(peer) == (0x80 | TEXT, b"x" * 99)
        sizes = []
        for expected in (b"x" * 100, LONG.encode(), LONG.encode()):
            first, payload = sent(peer)
            assert first == 0x80 | COMPRESSED << 4 | TEXT
            assert receiver.inflate(payload) == expected
            sizes.append(len(payload))
        assert sizes[2] < sizes[1] < len(LONG) // 4, "the second looks back at the first"
        assert sent(peer) == (0x80 | BINARY, b"x" * 99)
        first, payload = sent(peer)
        assert first == 0x80 | COMPRESSED << 4 | BINARY
        assert receiver.inflate(payload) == LONG.encode() * 2000
        channel.ping(b"p" * 125)
        assert sent(peer) == (0x80 | PING, b"p" * 125)
        assert channel.sink.buffered_amount == 0


def test_buffered_amount_counts_a_deflated_message_as_it_was_given() -> None:
    noise = os.urandom(2**20)
    with agreed(is_narrow=True) as (channel, peer):
        sizes = []
        for _ in range(12):
            threading.Thread(target=channel.sink.add, args=[noise], daemon=True).start()
        while channel.sink.buffered_amount <= 4 * 2**20:
            sizes.append(channel.sink.buffered_amount)
        assert channel.sink.buffered_amount <= 6 * 2**20
        receiver = Receiver()
        for _ in range(12):
            assert receiver.inflate(sent(peer)[1]) == noise
        assert channel.sink.buffered_amount == 0


def test_buffered_amount_counts_what_could_not_be_written_as_it_was_given() -> None:
    with agreed(is_narrow=True) as (channel, _):
        connection = channel._connection

        def is_blocked() -> bool:
            with connection._lock:
                connection._is_blocked = False
                connection._flush()
                return connection._is_blocked

        while not all(is_blocked() for _ in range(3)):  # in the end, nothing at all is written
            channel.sink.add(os.urandom(10_000))
        for _ in range(20):
            channel.sink.add(bytes(100_000))
        assert is_blocked()
        assert channel.sink.buffered_amount > 2_000_000


def test_the_client_looks_back_no_further_than_it_was_told() -> None:
    noise = os.urandom(2000)
    with agreed("; client_no_context_takeover") as (channel, peer):
        for _ in range(2):
            channel.sink.add(LONG)
            assert inflated(sent(peer)[1]) == LONG.encode()
    with agreed("; client_max_window_bits=9") as (channel, peer):
        channel.sink.add(noise + noise)
        assert Receiver(9).inflate(sent(peer)[1]) == noise + noise
    with agreed("; client_max_window_bits=8") as (channel, peer):
        channel.sink.add(LONG)
        assert sent(peer) == (0x80 | TEXT, LONG.encode())


def test_what_was_queued_before_it_was_known_to_be_welcome_is_sent_as_it_is() -> None:
    with connecting() as (channel, peer):
        channel.sink.add(LONG)
        peer.open(EXTENSION)
        channel.ready.result(TIMEOUT)
        assert sent(peer) == (0x80 | TEXT, LONG.encode())
        channel.sink.add(LONG)
        assert inflated(sent(peer)[1]) == LONG.encode()


def test_nothing_is_deflated_where_the_server_did_not_agree() -> None:
    with connecting() as (channel, peer):
        peer.open()
        channel.sink.add(LONG)
        assert sent(peer) == (0x80 | TEXT, LONG.encode())


def test_messages_of_many_threads_are_inflated_in_the_order_they_leave() -> None:
    receiver = Receiver()
    with agreed() as (channel, peer):

        def add_all(name: int) -> None:
            for index in range(200):
                channel.sink.add(f"{name} {index} {LONG}")

        threads = [threading.Thread(target=add_all, args=[name]) for name in range(4)]
        for thread in threads:
            thread.start()
        received = [receiver.inflate(sent(peer)[1]).decode() for _ in range(800)]
        for thread in threads:
            thread.join()
    for name in range(4):
        own = [message for message in received if message.startswith(f"{name} ")]
        assert own == [f"{name} {index} {LONG}" for index in range(200)]


class Interrupted(Deflater):
    """As if a signal handler raised between the deflating of a message and its sending."""

    def deflate(self, message: bytes) -> bytes:
        super().deflate(message)
        raise KeyboardInterrupt


def test_a_message_that_an_exception_kept_from_being_sent_breaks_no_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver()
    with agreed() as (channel, peer):
        channel.sink.add(f"first {LONG}")
        with monkeypatch.context() as patch:
            patch.setattr(channel._connection._deflater, "__class__", Interrupted)
            with pytest.raises(KeyboardInterrupt):
                channel.sink.add(f"lost {LONG[::-1]}")
        channel.sink.add(f"last {LONG[::-1]}")
        assert [receiver.inflate(sent(peer)[1]).decode() for _ in range(2)] == [f"first {LONG}", f"last {LONG[::-1]}"]


@given(st.lists(st.binary(max_size=2000), max_size=5), st.booleans(), st.integers(9, 15))
def test_what_is_deflated_is_inflated_to_the_same(messages: list[bytes], takes_over: bool, bits: int) -> None:
    deflater = Deflater(bits, takes_over=takes_over)
    inflater = Inflater(bits, takes_over=takes_over)
    for message in messages:
        whole = deflater.deflate(message)
        assert inflater.inflate(whole, 9999) + inflater.finish(9999) == message


def test_after_a_reset_the_peer_needs_nothing_from_before() -> None:
    deflater = Deflater(15, takes_over=True)
    first = deflater.deflate(LONG.encode())
    deflater.deflate(b"never sent" * 100)
    deflater.reset()
    receiver = Receiver()
    assert receiver.inflate(first) == LONG.encode()
    assert receiver.inflate(deflater.deflate(LONG.encode())) == LONG.encode()


# With a server that somebody else wrote


@pytest.mark.parametrize("server_bits", [None, 9])
@pytest.mark.parametrize("client_bits", [None, 9])
@pytest.mark.parametrize("no_takeover", [False, True])
def test_websockets_server_understands_and_is_understood(
    server_bits: int | None, client_bits: int | None, no_takeover: bool
) -> None:
    def echo(connection: ServerConnection) -> None:
        assert connection.protocol.extensions
        for message in connection:
            connection.send(message)

    factory = ServerPerMessageDeflateFactory(no_takeover, no_takeover, server_bits, client_bits)
    with serve(echo, "127.0.0.1", 0, compression=None, extensions=[factory]) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        messages: list[str | bytes] = [
            "",
            "x" * 99,
            "x" * 100,
            LONG,
            LONG,
            LONG.encode() * 100,
            os.urandom(100_000),
            "ü" * 70_000,
            LONG,
        ]
        with WebSocketChannel.connect(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/") as channel:
            recorder = listen(channel)
            for message in messages:
                channel.sink.add(message)
            assert recorder.wait_for(len(messages)) == messages
        server.shutdown()
        thread.join()


def test_a_pong_is_answered_between_the_frames_of_a_compressed_message() -> None:
    message = deflated(LONG.encode())
    with agreed() as (channel, peer):
        recorder = listen(channel)
        peer.sock.sendall(frame(TEXT, message[:5], reserved=COMPRESSED, fin=False) + frame(PING, b"now"))
        assert sent(peer) == (0x80 | PONG, b"now")
        assert channel.arriving_amount == len(zlib.decompressobj(wbits=-15).decompress(message[:5]))
        peer.sock.sendall(frame(0, message[5:]))
        assert recorder.wait_for(1) == [LONG]
