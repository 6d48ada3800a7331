"""The connection against peers on raw sockets: how it ends, how it stays alive, and what it does under pressure."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from peer import CONTINUATION, BadPeer, Recorder, connected, connecting, frame, listen, send_until_full
from raw_server import BINARY, CLOSE, PING, PONG, TEXT, TIMEOUT

from rxecho import (
    ChannelClosed,
    ChannelError,
    ChannelState,
    ConnectionLost,
    InvalidPayload,
    MessageTooBig,
    ProtocolError,
    WebSocketChannel,
    connection,
)
from rxecho.flusher import flusher
from rxecho.frames import Message

MEGABYTE = bytes(1 << 20)


def close_payload(code: int, reason: str = "") -> bytes:
    return struct.pack("!H", code) + reason.encode()


def until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + TIMEOUT
    while not condition():
        assert monotonic() < deadline


# Being told of what passes.


def test_a_tap_is_told_of_messages_pings_and_pongs_as_they_cross_the_wire() -> None:
    told: list[tuple[bool, int, Message]] = []
    with connected(ping_interval=None) as (channel, peer):
        channel._tap(lambda *what: told.append(what))
        recorder = listen(channel)
        channel.sink.add("é")
        channel.sink.add(b"\0")
        pong = channel.ping(b"a")
        channel.pong(b"b")
        peer.send(PONG, b"a")
        pong.result(TIMEOUT)
        peer.send(TEXT, "ü".encode())
        peer.send(BINARY, b"\1")
        peer.send(PING, b"c")
        assert [peer.receive()[0] for _ in range(5)] == [TEXT, BINARY, PING, PONG, PONG]
        assert recorder.wait_for(2) == ["ü", b"\1"]
    assert told == [
        (True, TEXT, "é"),
        (True, BINARY, b"\0"),
        (True, PING, b"a"),
        (True, PONG, b"b"),
        (False, PONG, b"a"),
        (False, TEXT, "ü"),
        (False, BINARY, b"\1"),
        (False, PING, b"c"),
        (True, PONG, b"c"),
    ]


def test_a_tap_is_told_of_a_message_before_its_subscribers_are_and_of_what_is_sent_before_its_answer() -> None:
    told: list[object] = []
    with connected(ping_interval=None) as (channel, peer):
        channel._tap(lambda *what: told.append(what))
        channel.stream.subscribe(told.append)
        recorder = listen(channel)
        channel.sink.add("question")
        peer.send(*peer.receive())
        recorder.wait_for(1)
    assert told == [(True, TEXT, "question"), (False, TEXT, "question"), "question"]


def test_a_tap_takes_nothing_from_whoever_subscribes_first() -> None:
    told: list[object] = []
    with connected(ping_interval=None) as (channel, peer):
        channel._tap(lambda *what: told.append(what))
        peer.send(TEXT, b"early")
        until(lambda: len(told) == 1)
        assert listen(channel).wait_for(1) == ["early"]


def test_a_tap_is_told_of_what_came_before_it_as_long_as_nobody_has_had_it() -> None:
    told: list[object] = []
    with connected(behind=frame(TEXT, b"early"), ping_interval=None) as (channel, peer):
        until(lambda: bool(channel._stream._kept))
        channel._tap(lambda *what: told.append(what))
        assert told == [(False, TEXT, "early")]
        recorder = listen(channel)
        peer.send(TEXT, b"later")
        assert recorder.wait_for(2) == ["early", "later"]
    assert told == [(False, TEXT, "early"), (False, TEXT, "later")]


def test_a_tap_is_told_of_messages_that_a_closed_channel_still_keeps() -> None:
    told: list[object] = []
    with connected(behind=frame(TEXT, b"early") + frame(CLOSE, b"")) as (channel, peer):
        peer.receive_close()
        peer.leave()
        channel.sink.done.result(TIMEOUT)
        channel._tap(lambda *what: told.append(what))
        assert listen(channel).wait_for_end() is None
    assert told == [(False, TEXT, "early")]


def test_a_tap_that_was_ended_is_told_nothing_more_and_the_others_are() -> None:
    first: list[object] = []
    second: list[object] = []
    with connected(ping_interval=None) as (channel, peer):
        end = channel._tap(lambda *what: first.append(what))
        channel._tap(lambda *what: second.append(what))
        channel.sink.add("one")
        end()
        channel.sink.add("two")
        assert [peer.receive(), peer.receive()] == [(TEXT, b"one"), (TEXT, b"two")]
    assert (len(first), len(second)) == (1, 2)


# The closing handshake, begun by the peer.


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999])
def test_a_close_by_the_peer_is_answered_with_its_code_and_completes_the_stream(code: int) -> None:
    with connected() as (channel, peer):
        recorder = listen(channel)
        peer.send(CLOSE, close_payload(code, "why é"))
        assert peer.receive() == (CLOSE, close_payload(code))
        peer.leave()
        assert recorder.wait_for_end() is None
        assert (channel.close_code, channel.close_reason) == (code, "why é")


def test_a_close_without_a_code_is_answered_without_one_and_reads_as_1005() -> None:
    with connected() as (channel, peer):
        recorder = listen(channel)
        peer.send(CLOSE, b"")
        assert peer.receive() == (CLOSE, b"")
        peer.leave()
        assert recorder.wait_for_end() is None
        assert (channel.close_code, channel.close_reason) == (1005, "")


def test_close_code_and_reason_are_none_until_the_channel_is_closed() -> None:
    with connected() as (channel, peer):
        assert (channel.close_code, channel.close_reason) == (None, None)
        peer.send(CLOSE, close_payload(1000))
        assert peer.receive()[0] == CLOSE
        assert [channel.state] == [ChannelState.CLOSING]
        assert (channel.close_code, channel.close_reason) == (None, None)
        peer.leave()
        channel.sink.done.result(TIMEOUT)
        assert channel.state is ChannelState.CLOSED
        assert channel.close_code == 1000


def test_everything_before_the_close_frame_is_handed_over_and_nothing_behind_it() -> None:
    with connected() as (channel, peer):
        recorder = listen(channel)
        peer.sock.sendall(
            frame(TEXT, b"one")
            + frame(TEXT, b"unfinished", fin=False)
            + frame(CLOSE, close_payload(1000))
            + frame(TEXT, b"too late")
            + b"\xff\xff"
        )
        assert peer.receive() == (CLOSE, close_payload(1000))
        peer.leave()
        assert recorder.wait_for_end() is None
        assert recorder.values == ["one"]
        assert channel.close_code == 1000


def test_what_was_added_leaves_before_the_answer_to_a_close() -> None:
    with connected() as (channel, peer):

        def answer(message: Message) -> None:
            for index in range(100):
                channel.sink.add(f"{message!r} {index}")

        channel.stream.subscribe(answer)
        peer.sock.sendall(frame(TEXT, b"go") + frame(CLOSE, close_payload(4000)))
        assert [peer.receive() for _ in range(100)] == [(TEXT, f"'go' {i}".encode()) for i in range(100)]
        assert peer.receive() == (CLOSE, close_payload(4000))


def test_a_peer_that_closes_and_then_floods_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER", 0.1)
    with connected() as (channel, peer):
        recorder = listen(channel)
        peer.send(CLOSE, close_payload(1001))
        with suppress(ConnectionError):
            while not channel.sink.done.done():
                peer.send(TEXT, b"x" * 1000)
        assert recorder.wait_for_end() is None
        assert recorder.values == []
        assert channel.close_code == 1001


@pytest.mark.parametrize(
    ("said", "answer"),
    [(frame(CLOSE, close_payload(4000)), close_payload(4000)), (frame(TEXT, b"\xff"), close_payload(1007))],
    ids=["close", "invalid text"],
)
@pytest.mark.parametrize("is_crossing", [False, True], ids=["peer first", "both at once"])
def test_a_slow_peer_gets_what_was_added_before_and_a_close_frame_also_when_it_has_said_its_last(
    said: bytes, answer: bytes, is_crossing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER", 0.0)
    message = bytes(1_000_000)
    with connected(is_narrow=True) as (channel, peer):
        listen(channel)
        states: Recorder[ChannelState] = Recorder()
        channel.states.subscribe(states)
        for _ in range(4):
            channel.sink.add(message)
        assert channel.sink.buffered_amount
        if is_crossing:
            channel.sink.close(1000)
        peer.sock.sendall(said)
        states.wait_for(2)
        assert [peer.receive() for _ in range(4)] == [(BINARY, message)] * 4
        assert peer.receive() == (CLOSE, close_payload(1000) if is_crossing else answer)


@pytest.mark.parametrize("said", [frame(CLOSE), frame(3)], ids=["close", "breach"])
def test_a_peer_that_has_said_its_last_and_keeps_tcp_open_is_left_after_a_while(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER", 0.1)
    with connected(close_timeout=600) as (channel, peer):
        listen(channel)
        peer.sock.sendall(said)
        peer.receive_close()
        channel.sink.done.result(TIMEOUT)


def test_states_tell_at_once_that_the_peer_has_closed_although_it_does_not_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "LINGER", TIMEOUT)
    with connected() as (channel, peer):
        states: Recorder[ChannelState] = Recorder()
        channel.states.subscribe(states)
        peer.send(CLOSE, close_payload(1000))
        assert peer.receive() == (CLOSE, close_payload(1000))
        assert states.wait_for(2) == [ChannelState.OPEN, ChannelState.CLOSING]
        assert channel.state is ChannelState.CLOSING


# The closing handshake, begun by us.


@pytest.mark.parametrize(
    ("code", "reason", "sent"),
    [
        (None, "", b""),
        (1000, "", b"\x03\xe8"),
        (1001, "going", b"\x03\xe9going"),
        (4999, "ü" * 61, b"\x13\x87" + "ü".encode() * 61),
    ],
)
def test_our_close_frame_carries_what_was_asked_for(code: int | None, reason: str, sent: bytes) -> None:
    with connected() as (channel, peer):
        recorder = listen(channel)
        done = channel.sink.close(code, reason)
        assert peer.receive() == (CLOSE, sent)
        assert channel.state is ChannelState.CLOSING
        peer.send(CLOSE, sent)
        peer.leave()
        assert done.result(TIMEOUT) is None
        assert recorder.wait_for_end() is None
        assert (channel.close_code, channel.close_reason) == (1005 if code is None else code, reason)


def test_close_code_is_what_the_peer_said_not_what_we_did() -> None:
    with connected() as (channel, peer):
        done = channel.sink.close(1000)
        assert peer.receive() == (CLOSE, close_payload(1000))
        peer.send(CLOSE, close_payload(4321, "mine"))
        peer.leave()
        done.result(TIMEOUT)
        assert (channel.close_code, channel.close_reason) == (4321, "mine")


def test_two_closes_that_cross_are_one_handshake() -> None:
    with connected() as (channel, peer):
        recorder = listen(channel)
        peer.send(CLOSE, close_payload(1001))
        channel.sink.close(4000)
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.receive()[0] == CLOSE
        assert peer.sock.recv(1) == b""  # not a second close frame
        assert recorder.wait_for_end() is None
        assert channel.close_code == 1001


def test_messages_that_arrive_after_our_close_are_discarded() -> None:
    with connected() as (channel, peer):
        recorder = listen(channel)
        done = channel.sink.close(1000)
        assert peer.receive() == (CLOSE, close_payload(1000))
        peer.sock.sendall(frame(TEXT, b"late") + frame(PING, b"late") + frame(BINARY, b"late"))
        peer.send(CLOSE, close_payload(1000))
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.sock.recv(1) == b""  # nothing follows our close frame, not even a pong
        peer.leave()
        done.result(TIMEOUT)
        assert recorder.wait_for_end() is None
        assert recorder.values == []


def test_messages_behind_the_one_whose_subscriber_closes_are_discarded_even_if_they_came_with_it() -> None:
    def close_at_third(message: Message) -> None:
        if message == "3":
            channel.sink.close(1000)

    with connected() as (channel, peer):
        recorder: Recorder[Message] = Recorder(close_at_third)
        channel.stream.subscribe(recorder)
        peer.sock.sendall(b"".join(frame(TEXT, b"%d" % index) for index in range(1, 10)))
        assert peer.receive() == (CLOSE, close_payload(1000))
        peer.send(CLOSE, close_payload(1000))
        peer.leave()
        assert recorder.wait_for_end() is None
        assert recorder.values == ["1", "2", "3"]


def test_our_close_that_the_peer_never_answers_completes_after_close_timeout() -> None:
    with connected(close_timeout=0.2) as (channel, peer):
        recorder = listen(channel)
        started = monotonic()
        channel.sink.close(1000).result(TIMEOUT)
        assert monotonic() - started >= 0.2
        assert recorder.wait_for_end() is None
        assert (channel.close_code, channel.close_reason) == (1006, "")
        assert peer.receive() == (CLOSE, close_payload(1000))
        assert peer.sock.recv(1) == b""


def test_close_timeout_holds_under_a_steady_flow_of_data() -> None:
    with connected(close_timeout=0.2) as (channel, peer):
        recorder = listen(channel)
        done = channel.sink.close(1000)
        with suppress(ConnectionError):
            while not done.done():
                peer.send(TEXT, b"x" * 1000)
        assert recorder.wait_for_end() is None
        assert channel.close_code == 1006


def test_close_timeout_ends_it_when_the_peer_does_not_even_read() -> None:
    with connected(is_narrow=True, close_timeout=0.2) as (channel, _):
        channel.sink.add(MEGABYTE * 8)
        assert channel.sink.buffered_amount > 0
        channel.sink.close(1000).result(TIMEOUT)
        assert channel.close_code == 1006
        assert channel.sink.buffered_amount == 0


def test_a_slow_peer_that_keeps_reading_gets_all_that_was_added() -> None:
    with connected(is_narrow=True, close_timeout=1.0) as (channel, peer):
        channel.sink.add(MEGABYTE * 12)
        done = channel.sink.close(1000)
        assert peer.read(14)
        for _ in range(4):
            # Longer than close_timeout in all, but not between two reads.
            with pytest.raises(TimeoutError):
                done.result(0.3)
            assert peer.read(len(MEGABYTE) * 3)
        assert peer.receive() == (CLOSE, close_payload(1000))
        peer.send(CLOSE, close_payload(1000))
        peer.leave()
        done.result(TIMEOUT)
        assert channel.close_code == 1000


@pytest.mark.parametrize(
    "breach", [b"\xff\xff", frame(TEXT, b"\xff"), frame(CLOSE, b"\x00"), frame(BINARY, length=2**62)]
)
def test_a_peer_that_breaks_the_protocol_after_our_close_still_completes_the_stream(breach: bytes) -> None:
    with connected() as (channel, peer):
        recorder = listen(channel)
        done = channel.sink.close(1000)
        assert peer.receive() == (CLOSE, close_payload(1000))
        peer.sock.sendall(breach)
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.sock.recv(1) == b""
        done.result(TIMEOUT)
        assert recorder.wait_for_end() is None
        assert (channel.close_code, channel.close_reason) == (1006, "")


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_a_peer_that_vanishes_after_our_close_still_completes_the_stream(how: str) -> None:
    with connected() as (channel, peer):
        recorder = listen(channel)
        done = channel.sink.close(1000)
        assert peer.receive()[0] == CLOSE
        peer.leave() if how == "FIN" else peer.reset()
        done.result(TIMEOUT)
        assert recorder.wait_for_end() is None
        assert channel.close_code == 1006


def test_what_was_added_while_connecting_is_sent_before_the_close_that_followed() -> None:
    with connecting() as (channel, peer):
        channel.sink.add("Hello!")
        done = channel.sink.close(1000)
        assert channel.state is ChannelState.CLOSING
        peer.open()
        assert peer.receive() == (TEXT, b"Hello!")
        assert peer.receive() == (CLOSE, close_payload(1000))
        peer.send(CLOSE, close_payload(1000))
        peer.leave()
        done.result(TIMEOUT)
        assert channel.close_code == 1000
        assert isinstance(channel.ready.exception(TIMEOUT), ChannelClosed)


# A connection that is lost.


@pytest.mark.parametrize("rest", [b"", b"\x81", frame(TEXT, b"half", length=100), frame(TEXT, b"half", fin=False)])
@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_a_connection_that_ends_without_a_close_frame_is_lost(how: str, rest: bytes) -> None:
    with connected() as (channel, peer):
        recorder = listen(channel)
        peer.sock.sendall(frame(TEXT, b"whole") + rest)
        assert recorder.wait_for(1) == ["whole"]
        peer.leave() if how == "FIN" else peer.reset()
        error = recorder.wait_for_end()
        assert isinstance(error, ConnectionLost)
        assert str(error).startswith(f"the connection to {channel._connection.url} was lost: ")
        assert "; check the server and the network" in str(error)
        assert isinstance(error.__cause__, ConnectionResetError) if how == "RST" else error.__cause__ is None
        channel.sink.done.result(TIMEOUT)
        assert recorder.values == ["whole"]
        assert (channel.close_code, channel.close_reason) == (1006, "")
        with pytest.raises(ChannelClosed, match="connect a new one"):
            channel.sink.add("x")


def test_what_a_peer_said_before_it_was_gone_is_handed_over_however_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER", 0.05)
    # More than one read, and less than what the system keeps for us when the peer has gone.
    messages = [b"%04d" % index * 250 for index in range(100)]
    is_seen_lost = threading.Event()

    def on_first(_: Message) -> None:
        if len(recorder.values) == 1:
            assert is_seen_lost.wait(TIMEOUT)

    with connected() as (channel, peer):
        recorder: Recorder[Message] = Recorder(on_first)
        channel.stream.subscribe(recorder)
        peer.sock.sendall(b"".join(frame(BINARY, message) for message in messages))
        recorder.wait_for(1)
        peer.leave()
        with suppress(ChannelClosed):
            while True:
                channel.sink.add("Are you there?")
        # Later than any deadline that has to do with the loss.
        with pytest.raises(TimeoutError):
            channel.sink.done.result(0.2)
        is_seen_lost.set()
        assert isinstance(recorder.wait_for_end(), ConnectionLost)
        assert recorder.values == messages


# A peer that breaks the protocol.

BREACHES: list[tuple[bytes, type[ChannelError], int]] = [
    (frame(TEXT, b"x", reserved=4), ProtocolError, 1002),
    (frame(3), ProtocolError, 1002),
    (frame(11), ProtocolError, 1002),
    (frame(TEXT, b"x", mask=b"abcd"), ProtocolError, 1002),
    (frame(CONTINUATION, b"x"), ProtocolError, 1002),
    (frame(TEXT, fin=False) + frame(TEXT), ProtocolError, 1002),
    (frame(PING, fin=False), ProtocolError, 1002),
    (frame(PING, length=126), ProtocolError, 1002),
    (frame(BINARY, length=125, width=2), ProtocolError, 1002),
    (frame(BINARY, length=65_535, width=8), ProtocolError, 1002),
    (frame(BINARY, length=2**63), ProtocolError, 1002),
    (frame(CLOSE, b"\x03"), ProtocolError, 1002),
    *[(frame(CLOSE, close_payload(code)), ProtocolError, 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 1016)],
    *[(frame(CLOSE, close_payload(code)), ProtocolError, 1002) for code in (2000, 2999, 5000, 65_535)],
    (frame(CLOSE, close_payload(1000) + b"\xff"), InvalidPayload, 1007),
    (frame(TEXT, b"\xff"), InvalidPayload, 1007),
    (frame(TEXT, b"\xce", fin=False) + frame(CONTINUATION, b"\xff", fin=False), InvalidPayload, 1007),
    (frame(TEXT, b"\xf4\x90", length=100), InvalidPayload, 1007),
    (frame(TEXT, b"\xce"), InvalidPayload, 1007),
    (frame(TEXT, length=101), MessageTooBig, 1009),
    (frame(BINARY, length=2**63 - 1), MessageTooBig, 1009),
    (frame(BINARY, b"x" * 100, fin=False) + frame(CONTINUATION, b"x"), MessageTooBig, 1009),
]


@pytest.mark.parametrize(("breach", "kind", "code"), BREACHES)
def test_a_peer_that_breaks_the_protocol_is_told_the_right_code_and_the_stream_fails(
    breach: bytes, kind: type[ChannelError], code: int
) -> None:
    with connected(max_message_size=100) as (channel, peer):
        recorder = listen(channel)
        states: Recorder[ChannelState] = Recorder()
        channel.states.subscribe(states)
        peer.sock.sendall(frame(TEXT, b"before") + breach + frame(TEXT, b"behind"))
        assert peer.receive() == (CLOSE, close_payload(code))
        peer.leave()
        error = recorder.wait_for_end()
        assert type(error) is kind
        assert channel._connection.url in str(error)
        assert type(error.__cause__) is kind
        assert recorder.values == ["before"]
        channel.sink.done.result(TIMEOUT)
        assert (channel.close_code, channel.close_reason) == (1006, "")
        assert states.wait_for_end() is None
        assert states.values == [ChannelState.OPEN, ChannelState.CLOSING, ChannelState.CLOSED]


def test_the_close_frame_reaches_a_peer_that_breaks_the_protocol_and_goes_on_sending() -> None:
    """Closing with something unread would reset the connection, and the reset overtake the close frame."""
    with connected() as (channel, peer):
        recorder = listen(channel)
        peer.sock.sendall(frame(TEXT, b"\xff") + frame(BINARY, MEGABYTE * 2))
        assert peer.receive() == (CLOSE, close_payload(1007))
        peer.send(CLOSE, close_payload(1007))
        peer.leave()
        assert isinstance(recorder.wait_for_end(), InvalidPayload)
        assert channel.close_code == 1006


def test_invalid_text_fails_the_connection_before_its_message_is_complete() -> None:
    with connected() as (channel, peer):
        recorder = listen(channel)
        peer.sock.sendall(frame(TEXT, b"\xe2\x82", fin=False))
        peer.sock.sendall(frame(CONTINUATION, b"\x41", fin=False))
        assert peer.receive() == (CLOSE, close_payload(1007))
        peer.leave()
        assert isinstance(recorder.wait_for_end(), InvalidPayload)


def test_a_message_may_have_max_message_size_bytes() -> None:
    with connected(max_message_size=1000) as (channel, peer):
        recorder = listen(channel)
        peer.sock.sendall(frame(BINARY, b"x" * 1000) + frame(TEXT, b"y" * 999, fin=False) + frame(CONTINUATION, b"y"))
        assert recorder.wait_for(2) == [b"x" * 1000, "y" * 1000]


def test_a_header_that_claims_almost_2_to_the_63_takes_no_memory() -> None:
    with connected(max_message_size=2**62) as (channel, peer):
        recorder = listen(channel)
        tracemalloc.start()
        try:
            peer.sock.sendall(frame(TEXT, b"x" * 1000, length=2**62) + b"x" * 1000)
            assert not channel.ping().done()
            peer.sock.sendall(b"\xff")
            assert peer.receive()[0] == PING
            assert peer.receive() == (CLOSE, close_payload(1007))
            peer.leave()
            # One read of the largest size is all there is.
            assert tracemalloc.get_traced_memory()[1] < 3 * connection.READ_SIZE
        finally:
            tracemalloc.stop()
        assert isinstance(recorder.wait_for_end(), InvalidPayload)


# What stands behind the opening handshake in the same piece.


def test_messages_right_behind_the_opening_handshake_are_not_lost() -> None:
    with connected(frame(TEXT, b"one") + frame(BINARY, b"two") + b"\x81\x05th") as (channel, peer):
        recorder = listen(channel)
        assert recorder.wait_for(2) == ["one", b"two"]
        peer.sock.sendall(b"ree")
        assert recorder.wait_for(3) == ["one", b"two", "three"]


def test_a_close_right_behind_the_opening_handshake_is_answered() -> None:
    with connected(frame(CLOSE, close_payload(1013, "busy"))) as (channel, peer):
        assert peer.receive() == (CLOSE, close_payload(1013))
        peer.leave()
        assert listen(channel).wait_for_end() is None
        assert (channel.close_code, channel.close_reason) == (1013, "busy")


def test_a_breach_right_behind_the_opening_handshake_is_answered() -> None:
    with connected(b"\xff\xff") as (channel, peer):
        assert peer.receive() == (CLOSE, close_payload(1002))
        peer.leave()
        assert isinstance(listen(channel).wait_for_end(), ProtocolError)


# Pings.


def test_every_ping_gets_its_pong_in_order() -> None:
    payloads = [b"%d" % index for index in range(2000)]
    with connected() as (_, peer):
        peer.sock.sendall(b"".join(frame(PING, payload) for payload in [b"", b"x" * 125, *payloads]))
        for payload in [b"", b"x" * 125, *payloads]:
            assert peer.receive() == (PONG, payload)


def test_a_ping_between_fragments_gets_its_pong() -> None:
    with connected() as (channel, peer):
        recorder = listen(channel)
        peer.sock.sendall(frame(TEXT, b"Hel", fin=False) + frame(PING, b"!") + frame(CONTINUATION, b"lo"))
        assert peer.receive() == (PONG, b"!")
        assert recorder.wait_for(1) == ["Hello"]


def test_a_flood_of_pings_while_the_socket_is_blocked_is_answered_by_the_latest_pong() -> None:
    with connected(is_narrow=True, ping_interval=None) as (channel, peer):
        recorder = listen(channel)
        channel.sink.add(MEGABYTE * 8)
        queued = len(channel._connection._outgoing)
        assert channel._connection._is_blocked
        peer.sock.sendall(b"".join(frame(PING, b"%d" % index) for index in range(10_000)) + frame(TEXT, b"done"))
        recorder.wait_for(1)
        assert len(channel._connection._outgoing) <= queued + 1
        assert peer.receive() == (BINARY, MEGABYTE * 8)
        assert peer.receive() == (PONG, b"9999")
        peer.send(PING, b"and now?")
        assert peer.receive() == (PONG, b"and now?")


def test_a_ping_that_was_about_to_be_sent_is_not_sent_behind_a_close_frame() -> None:
    with connected(ping_interval=0.05) as (channel, peer):
        connection = channel._connection
        with connection._lock:
            until(lambda: monotonic() >= connection._next_ping_at)
            until(lambda: sys._current_frames()[connection.thread.ident or 0].f_code.co_name == "_keep_alive")
            channel.sink.close(1000)
        assert peer.receive() == (CLOSE, close_payload(1000))
        peer.send(CLOSE, close_payload(1000))
        peer.sock.shutdown(socket.SHUT_WR)
        with pytest.raises(EOFError):
            peer.receive()


def test_ping_measures_the_round_trip_in_seconds() -> None:
    with connected() as (channel, peer):
        started = monotonic()
        pong = channel.ping(b"payload")
        assert peer.receive() == (PING, b"payload")
        with pytest.raises(TimeoutError):
            pong.result(0.05)
        peer.send(PONG, b"payload")
        assert 0.05 <= pong.result(TIMEOUT) <= monotonic() - started


def test_a_ping_before_the_channel_is_open_is_measured_from_its_opening() -> None:
    with connecting() as (channel, peer):
        pong = channel.ping()
        with pytest.raises(TimeoutError):
            channel.ready.result(0.1)
        started = monotonic()
        peer.open()
        assert peer.receive() == (PING, b"")
        peer.send(PONG, b"")
        assert pong.result(TIMEOUT) <= monotonic() - started


def test_a_pong_answers_the_oldest_ping_of_its_payload_and_those_before_it() -> None:
    with connected() as (channel, peer):
        first, skipped, third, fourth = (channel.ping(payload) for payload in (b"a", b"b", b"a", b"c"))
        assert [peer.receive() for _ in range(4)] == [(PING, payload) for payload in (b"a", b"b", b"a", b"c")]
        peer.sock.sendall(frame(PONG, b"unasked for") + frame(PONG, b"a") + frame(PING, b"now"))
        assert peer.receive() == (PONG, b"now")
        assert [ping.done() for ping in (first, skipped, third, fourth)] == [True, False, False, False]
        peer.sock.sendall(frame(PONG, b"a") + frame(PING, b"now"))
        assert peer.receive() == (PONG, b"now")
        assert [ping.done() for ping in (first, skipped, third, fourth)] == [True, True, True, False]
        peer.send(PONG, b"c")
        fourth.result(TIMEOUT)


@pytest.mark.parametrize(
    ("how", "kind"), [("close", ChannelClosed), ("loss", ConnectionLost), ("breach", ProtocolError)]
)
def test_a_ping_without_a_pong_fails_when_the_channel_ends(how: str, kind: type[ChannelError]) -> None:
    with connected() as (channel, peer):
        pong = channel.ping()
        assert peer.receive() == (PING, b"")
        if how == "close":
            peer.send(CLOSE, close_payload(1000))
        elif how == "breach":
            peer.sock.sendall(b"\xff\xff")
        peer.sock.shutdown(socket.SHUT_WR)
        assert type(pong.exception(TIMEOUT)) is kind
        with pytest.raises(ChannelClosed):
            channel.ping()


def test_a_ping_with_something_else_than_bytes_is_a_type_error_and_costs_no_message_that_is_queued() -> None:
    with connecting() as (channel, peer):
        for payload in ("text", 5, None):
            with pytest.raises(TypeError, match="payload of a ping is bytes"):
                channel.ping(payload)  # type: ignore[arg-type]
        channel.sink.add("queued")
        channel.sink.close(1000)
        peer.open_with(b"")
        assert peer.receive() == (TEXT, b"queued")
        assert peer.receive() == (CLOSE, close_payload(1000))


def test_a_ping_keeps_the_payload_it_was_given_whatever_becomes_of_the_buffer() -> None:
    with connected() as (channel, peer):
        buffer = bytearray(b"one")
        pong = channel.ping(buffer)  # type: ignore[arg-type]
        buffer[:] = b"two"
        assert peer.receive() == (PING, b"one")
        peer.send(PONG, b"one")
        assert pong.result(TIMEOUT) > 0


def test_a_pong_that_nobody_asked_for_is_sent_with_its_payload() -> None:
    with connected(ping_interval=None) as (channel, peer):
        channel.pong()
        channel.pong(b"here")
        assert [peer.receive(), peer.receive()] == [(PONG, b""), (PONG, b"here")]


def test_a_pong_is_of_up_to_125_bytes() -> None:
    with connected(ping_interval=None) as (channel, peer):
        with pytest.raises(TypeError, match="the payload of a pong is bytes, not str"):
            channel.pong("text")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="a pong may have 125 bytes, this one has 126"):
            channel.pong(bytes(126))
        channel.pong(bytes(125))
        assert peer.receive() == (PONG, bytes(125))


def test_a_pong_is_refused_once_the_channel_is_closing() -> None:
    with connected() as (channel, _):
        channel.sink.close()
        with pytest.raises(ChannelClosed, match="is closed"):
            channel.pong()


def test_a_ping_of_more_than_125_bytes_is_a_value_error() -> None:
    with connected() as (channel, peer):
        channel.ping(b"x" * 125)
        assert peer.receive() == (PING, b"x" * 125)
        with pytest.raises(ValueError, match="125 bytes"):
            channel.ping(b"x" * 126)


# Keepalive.


def test_keepalive_pings_again_and_again_while_the_peer_answers() -> None:
    with connected(ping_interval=0.01, ping_timeout=TIMEOUT) as (channel, peer):
        payloads = set()
        for _ in range(5):
            opcode, payload = peer.receive()
            assert opcode == PING
            payloads.add(payload)
            peer.send(PONG, payload)
        assert len(payloads) == 5
        assert channel.state is ChannelState.OPEN


def test_a_peer_that_does_not_answer_a_ping_is_lost() -> None:
    with connected(ping_interval=0.01, ping_timeout=0.1) as (channel, peer):
        recorder = listen(channel)
        assert peer.receive()[0] == PING
        error = recorder.wait_for_end()
        assert isinstance(error, ConnectionLost)
        assert "did not answer a ping for 0.1 s" in str(error)
        channel.sink.done.result(TIMEOUT)
        assert channel.close_code == 1006


def test_a_peer_that_talks_but_does_not_answer_a_ping_is_lost() -> None:
    with connected(ping_interval=0.01, ping_timeout=0.1) as (channel, peer):
        recorder = listen(channel)
        assert peer.receive()[0] == PING
        with suppress(ConnectionError):
            while recorder.error is None:
                peer.send(PONG, b"not that one")
                with suppress(TimeoutError):
                    channel.sink.done.result(0.005)
        assert isinstance(recorder.wait_for_end(), ConnectionLost)


def test_a_connection_that_can_no_longer_be_written_to_is_lost_although_the_peer_goes_on_talking() -> None:
    with connected(ping_interval=0.1, ping_timeout=0.1) as (channel, peer):
        recorder = listen(channel)
        sock = channel._connection._sock
        assert sock is not None
        sock.shutdown(socket.SHUT_WR)  # as if the system refused to send
        with suppress(ConnectionError):
            while recorder.error is None:
                peer.send(TEXT, b"tick")
                with suppress(TimeoutError):
                    channel.sink.done.result(0.005)
        error = recorder.wait_for_end()
        assert isinstance(error, ConnectionLost)
        assert "a write failed" in str(error)


def test_the_interval_lies_between_a_pong_and_the_next_ping() -> None:
    with connected(ping_interval=0.5, ping_timeout=TIMEOUT) as (_, peer):
        opcode, payload = peer.receive()
        peer.send(PONG, payload)
        assert opcode == PING
        assert peer.is_silent_for(0.25)
        assert peer.receive()[0] == PING


def test_no_ping_is_sent_while_reading_is_paused() -> None:
    with connected(frame(TEXT, b"x") * 1030, ping_interval=0.1) as (channel, peer):
        assert peer.is_silent_for(0.5)
        listen(channel).wait_for(1030)
        assert peer.receive()[0] == PING


def test_no_ping_follows_a_close_frame() -> None:
    with connected(ping_interval=0.05, ping_timeout=TIMEOUT) as (channel, peer):
        channel.sink.close(1000)
        peer.receive_close()
        assert peer.is_silent_for(0.3)


def test_the_silence_of_one_ping_does_not_count_for_the_next() -> None:
    with connected(ping_interval=0.01, ping_timeout=1.0) as (channel, peer):
        for _ in range(4):
            opcode, payload = peer.receive()
            assert opcode == PING
            assert peer.is_silent_for(0.3)
            peer.send(PONG, payload)
        assert channel.state is ChannelState.OPEN


def test_there_are_no_pings_without_an_interval() -> None:
    with connected(ping_interval=None) as (channel, peer):
        assert peer.is_silent_for(0.1)
        assert channel._connection._next_ping_at == float("inf")


def test_an_unanswered_ping_is_waited_for_for_ever_without_a_timeout() -> None:
    with connected(ping_interval=0.01, ping_timeout=None) as (channel, peer):
        assert peer.receive()[0] == PING
        with pytest.raises(TimeoutError):
            channel.sink.done.result(0.2)
        assert channel.state is ChannelState.OPEN


def test_keepalive_does_not_close_a_channel_whose_own_subscriber_is_slow() -> None:
    go_on = threading.Event()

    def be_slow(_: Message) -> None:
        assert go_on.wait(TIMEOUT)

    with connected(ping_interval=0.01, ping_timeout=0.4) as (channel, peer):
        recorder: Recorder[Message] = Recorder(be_slow)
        channel.stream.subscribe(recorder)
        opcode, payload = peer.receive()
        assert opcode == PING
        peer.send(TEXT, b"take your time")
        recorder.wait_for(1)
        peer.send(PONG, payload)
        assert peer.is_silent_for(0.6)
        go_on.set()
        # The next one shows that this pong was heard.
        assert peer.receive()[0] == PING


def test_keepalive_rests_while_reading_is_paused() -> None:
    # More than is kept, so that the pong behind it will not be read before somebody listens.
    messages = b"".join(frame(TEXT, b"%d" % index) for index in range(2000))
    with connected(ping_interval=0.05, ping_timeout=0.5) as (channel, peer):
        opcode, payload = peer.receive()
        assert opcode == PING
        peer.sock.sendall(messages + frame(PONG, payload))
        assert peer.is_silent_for(0.7)
        assert channel.state is ChannelState.OPEN
        recorder = listen(channel)
        recorder.wait_for(2000)
        assert peer.receive()[0] == PING
        assert recorder.error is None


def test_a_peer_that_is_slow_to_drain_is_alive() -> None:
    with connected(is_narrow=True, ping_interval=0.2, ping_timeout=0.8) as (channel, peer):
        recorder = listen(channel)
        channel.sink.add(MEGABYTE * 12)
        assert peer.read(14)
        for _ in range(6):
            # Longer than ping_timeout in all, and the ping waits behind all of it.
            with pytest.raises(TimeoutError):
                channel.sink.done.result(0.2)
            assert peer.read(len(MEGABYTE) * 2)
        assert peer.receive()[0] == PING
        assert recorder.error is None


def test_a_peer_that_never_drains_is_lost_and_whoever_waits_for_it_is_told() -> None:
    with connected(is_narrow=True, ping_interval=0.01, ping_timeout=0.2) as (channel, _):
        recorder = listen(channel)
        channel.sink.add(MEGABYTE * 12)
        with pytest.raises(ChannelClosed):
            channel.sink.add("waits for room")
        assert isinstance(recorder.wait_for_end(), ConnectionLost)


# Pressure.


def test_a_reply_does_not_wait_behind_the_next_slow_subscriber() -> None:
    replied = threading.Event()

    def answer(message: Message) -> None:
        if message == "one":
            channel.sink.add("reply")
        else:
            assert replied.wait(TIMEOUT)

    with connected(frame(TEXT, b"one") + frame(TEXT, b"two")) as (channel, peer):
        recorder: Recorder[Message] = Recorder(answer)
        channel.stream.subscribe(recorder)
        assert peer.receive() == (TEXT, b"reply")
        replied.set()
        recorder.wait_for(2)


def test_a_reply_that_was_held_leaves_as_soon_as_a_millisecond_has_passed() -> None:
    replied = threading.Event()

    def answer(message: Message) -> None:
        if message in ("one", "two"):
            channel.sink.add(message)  # the first leaves at once, the second is held
        elif message == "a while":
            until = monotonic() + 2 * connection.GATHER_TIME
            while monotonic() < until:
                pass
        else:
            assert replied.wait(TIMEOUT)

    with connected() as (channel, peer):
        recorder: Recorder[Message] = Recorder(answer)
        channel.stream.subscribe(recorder)
        peer.sock.sendall(b"".join(frame(TEXT, text) for text in (b"one", b"two", b"a while", b"for ever")))
        assert peer.receive() == (TEXT, b"one")
        assert peer.receive() == (TEXT, b"two")
        replied.set()
        recorder.wait_for(4)


def test_another_thread_sends_what_is_held_before_its_own() -> None:
    is_held, is_sent = threading.Event(), threading.Event()

    def answer(message: Message) -> None:
        channel.sink.add(message)
        if message == "9":
            is_held.set()
            assert is_sent.wait(TIMEOUT)

    with connected() as (channel, peer):
        channel.stream.subscribe(answer)
        peer.sock.sendall(b"".join(frame(TEXT, b"%d" % index) for index in range(10)))
        assert is_held.wait(TIMEOUT)
        channel.sink.add("from outside")
        assert [peer.receive() for _ in range(10)] == [(TEXT, b"%d" % index) for index in range(10)]
        assert peer.receive() == (TEXT, b"from outside")
        is_sent.set()


def test_replies_are_gathered_and_come_whole_and_in_order() -> None:
    with connected() as (channel, peer):
        channel.stream.subscribe(channel.sink.add)
        messages = [b"%05d" % index * (index % 50) for index in range(3000)]
        peer.sock.sendall(b"".join(frame(BINARY, message) for message in messages))
        for message in messages:
            assert peer.receive() == (BINARY, message)


def test_past_64_mib_nothing_is_read_until_the_peer_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection.STALL == 64 * 2**20
    monkeypatch.setattr(connection, "STALL", 8 * 2**20)
    chunk = MEGABYTE * 16

    def answer(message: Message) -> None:
        if message == "go":
            channel.sink.add(chunk)

    with connected(is_narrow=True, ping_interval=None) as (channel, peer):
        recorder: Recorder[Message] = Recorder(answer)
        channel.stream.subscribe(recorder)
        left = send_until_full(peer, frame(TEXT, b"go") + frame(TEXT, b"x" * 10_000) * 2000)
        assert recorder.values == ["go"]
        assert 8 * 2**20 < channel.sink.buffered_amount < len(chunk)
        assert peer.receive() == (BINARY, chunk)
        peer.sock.sendall(left)
        recorder.wait_for(2001)
        assert channel.sink.buffered_amount == 0


def test_keepalive_ends_a_channel_that_stopped_reading_because_the_peer_never_drains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "STALL", 8 * 2**20)

    def answer(_: Message) -> None:
        channel.sink.add(MEGABYTE * 16)

    with connected(is_narrow=True, ping_interval=0.01, ping_timeout=0.2) as (channel, peer):
        recorder: Recorder[Message] = Recorder(answer)
        channel.stream.subscribe(recorder)
        peer.send(TEXT, b"go")
        error = recorder.wait_for_end()
        assert isinstance(error, ConnectionLost)
        assert "did not answer a ping" in str(error)


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_a_peer_that_is_gone_is_noticed_also_when_reading_had_stopped_for_it_to_drain(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "STALL", 8 * 2**20)

    def answer(message: Message) -> None:
        if message == "go":
            channel.sink.add(MEGABYTE * 16)

    with connected(is_narrow=True, ping_interval=None) as (channel, peer):
        recorder: Recorder[Message] = Recorder(answer)
        channel.stream.subscribe(recorder)
        peer.sock.sendall(frame(TEXT, b"go") + frame(TEXT, b"behind"))
        assert peer.read(14)
        peer.leave() if how == "FIN" else peer.reset()
        assert isinstance(recorder.wait_for_end(), ConnectionLost)
        assert recorder.values == ["go", "behind"]


def test_two_channels_that_feed_each_other_never_wait_for_each_other_for_ever() -> None:
    """Each thread waits for room in the other's channel, which only the other thread would make."""
    count = 400
    message = frame(BINARY, bytes(65_000))

    def drain(peer: BadPeer, left: memoryview) -> int:
        peer.sock.settimeout(TIMEOUT)
        with ThreadPoolExecutor() as threads:
            sending = threads.submit(peer.sock.sendall, left)
            received = [peer.receive() for _ in range(count)]
            sending.result(TIMEOUT)
        return len(received)

    with connected(ping_interval=None) as (one, first), connected(ping_interval=None) as (two, second):
        one.stream.subscribe(two.sink.add)
        two.stream.subscribe(one.sink.add)
        left = [send_until_full(peer, message * count) for peer in (first, second)]
        assert min(one.sink.buffered_amount, two.sink.buffered_amount) > connection.HIGH_WATER
        with ThreadPoolExecutor() as threads:
            assert list(threads.map(drain, (first, second), left)) == [count, count]


# Signals, which Python handles on the main thread between any two of its steps.


def run_interrupted(what: str) -> None:
    program = Path(__file__).with_name("interrupted_send.py")
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    result = subprocess.run(
        [sys.executable, program, what], env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


needs_signals = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")


@needs_signals
def test_a_signal_handler_may_send_in_the_midst_of_a_send() -> None:
    run_interrupted("add")


@needs_signals
def test_an_exception_from_a_signal_handler_never_lets_a_frame_follow_half_a_frame() -> None:
    run_interrupted("raise")


def test_an_exception_in_the_moment_in_which_a_wait_for_room_lets_the_lock_go_is_that_exception(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with connected(ping_interval=None, close_timeout=0.1) as (channel, _):
        room = channel._connection._room
        let_go = room._release_save  # type: ignore[attr-defined]

        def let_go_and_raise() -> None:
            let_go()
            raise KeyboardInterrupt

        def fill() -> None:
            while True:
                channel.sink.add(bytes(2**20))

        with monkeypatch.context() as patched:
            patched.setattr(room, "_release_save", let_go_and_raise)
            with pytest.raises(KeyboardInterrupt):
                fill()
        assert channel.sink.buffered_amount > connection.HIGH_WATER


@needs_signals
def test_a_signal_handler_that_sends_while_a_message_is_deflated_breaks_neither() -> None:
    run_interrupted("deflate")


# Faults that are nobody's but ours or the program's.


def test_a_fault_of_ours_ends_the_channel_and_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))
    fault = LookupError("a fault")

    with connected() as (channel, peer):
        recorder = listen(channel)

        def fail(*_: object) -> None:
            raise fault

        monkeypatch.setattr(channel._connection, "_on_ping", fail)
        peer.send(PING, b"")
        error = recorder.wait_for_end()
        assert isinstance(error, ConnectionLost)
        assert error.__cause__ is fault
        assert "fault in rxecho" in str(error)
        assert reported == [fault]


def test_no_thread_left_to_start_is_told_to_who_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def next_descriptor() -> int:
        descriptor = os.open(os.devnull, os.O_RDONLY)
        os.close(descriptor)
        return descriptor

    monkeypatch.setattr(threading.Thread, "start", fail)
    expected = next_descriptor()
    with pytest.raises(RuntimeError, match="start new thread"):
        WebSocketChannel.connect("ws://127.0.0.1:1/")
    assert next_descriptor() == expected


# What another thread sends at a stretch


class Counting:
    """A socket that counts what is written to it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.writes = 0

    def send(self, data: bytes) -> int:
        self.writes += 1
        return self._sock.send(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def writes_at_a_stretch(channel: WebSocketChannel, peer: BadPeer) -> int:
    """How often the socket was written to for a thousand messages."""
    sock = channel._connection._sock
    assert sock is not None
    counting = Counting(sock)
    channel._connection._sock = counting  # type: ignore[assignment]
    for index in range(1000):
        channel.sink.add(f"{index}")
    assert [peer.receive() for _ in range(1000)] == [(TEXT, b"%d" % index) for index in range(1000)]
    peer.send(PING, b"")
    assert peer.receive() == (PONG, b"")  # whoever wrote has come back from it
    channel._connection._sock = sock
    return counting.writes


def test_what_is_sent_at_a_stretch_becomes_few_writes_and_leaves_at_once() -> None:
    with connected() as (channel, peer):
        # Where other programs keep the processors busy, the two threads may happen to take turns.
        assert any(writes_at_a_stretch(channel, peer) < 500 for _ in range(20))
        assert channel.sink.buffered_amount == 0


def test_an_answer_to_what_came_is_written_by_whoever_sends_it() -> None:
    with connected() as (channel, peer):
        recorder = listen(channel)
        counting = Counting(channel._connection._sock)  # type: ignore[arg-type]
        channel._connection._sock = counting  # type: ignore[assignment]
        for index in range(10):
            channel.sink.add("ping")
            assert counting.writes == index + 1, "nothing is left to another thread"
            assert peer.receive() == (TEXT, b"ping")
            peer.send(TEXT, b"pong")
            recorder.wait_for(index + 1)


def test_what_is_sent_at_a_stretch_does_not_wait_for_a_slow_subscriber() -> None:
    entered, leave = threading.Event(), threading.Event()
    with connected() as (channel, peer):

        def on_next(_: Message) -> None:
            entered.set()
            leave.wait(3 * TIMEOUT)

        channel.stream.subscribe(on_next)
        peer.send(TEXT, b"slow")
        assert entered.wait(TIMEOUT)
        for index in range(100):
            channel.sink.add(f"{index}")
        try:
            assert [peer.receive() for _ in range(100)] == [(TEXT, b"%d" % index) for index in range(100)]
        finally:
            leave.set()


@pytest.mark.parametrize("is_last", [False, True])
def test_what_was_added_before_the_program_ends_leaves_before_it_does(is_last: bool) -> None:
    program = """if True:
        import atexit, sys
        def add():
            sys.setswitchinterval(1000)  # no other thread gets a chance
            for index in range(100):
                channel.sink.add(str(index))
        is_last = sys.argv[2] == "True"
        if is_last:
            atexit.register(add)  # called after all that was registered later
        from rxecho import WebSocketChannel
        channel = WebSocketChannel.connect(sys.argv[1])
        channel.ready.result(10)
        if not is_last:
            add()
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        with subprocess.Popen([sys.executable, "-c", program, url, str(is_last)]) as process:
            sock, _ = listener.accept()
            sock.settimeout(TIMEOUT)
            peer = BadPeer(sock)
            peer.open()
            assert [peer.receive() for _ in range(100)] == [(TEXT, b"%d" % index) for index in range(100)]
            peer.leave()
            assert process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("kept", ["of another thread", "of a subscriber"])
def test_a_reply_does_not_wait_for_its_slow_subscriber_where_something_was_kept_by_a_blocked_socket(kept: str) -> None:
    may_leave = threading.Event()

    def on_next(message: Message) -> None:
        channel.sink.add(f"reply to {message!s}")
        if message == "slow":
            may_leave.wait(3 * TIMEOUT)

    with connected(is_narrow=True, ping_interval=None) as (channel, peer):
        inner = channel._connection
        recorder: Recorder[Message] = Recorder(on_next)
        channel.stream.subscribe(recorder)
        while not inner._is_blocked:
            channel.sink.add(MEGABYTE)
        if kept == "of another thread":
            until(lambda: inner._is_waiting)
            channel.sink.add("another")
        else:
            peer.send(TEXT, b"quick")
            recorder.wait_for(1)
            until(lambda: not inner._is_handing_over)
            until(lambda: not (flusher._clock and flusher._clock.is_wanted.is_set()))
        peer.send(TEXT, b"slow")
        until(lambda: "slow" in recorder.values)
        try:
            until(lambda: peer.receive() == (TEXT, b"reply to slow"))
        finally:
            may_leave.set()


def test_what_is_sent_at_a_stretch_does_not_wait_for_a_subscriber_who_gets_what_was_kept() -> None:
    entered, leave = threading.Event(), threading.Event()

    def on_next(_: Message) -> None:
        entered.set()
        leave.wait(3 * TIMEOUT)

    with connected(frame(TEXT, b"kept")) as (channel, peer):
        channel.ping().add_done_callback(lambda _: channel.stream.subscribe(on_next))
        peer.send(PONG, peer.receive()[1])
        assert entered.wait(TIMEOUT)
        for index in range(100):
            channel.sink.add(f"{index}")
        try:
            assert [peer.receive() for _ in range(100)] == [(TEXT, b"%d" % index) for index in range(100)]
        finally:
            leave.set()
