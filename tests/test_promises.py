"""Promises that take several modules to keep: what is promised when peers are slow and callbacks raise."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from peer import BadPeer, Recorder, connected, connecting, frame
from raw_server import CLOSE, PING, PONG, TEXT, TIMEOUT, raw_server
from reactivex import Observable
from reactivex import operators as ops
from reactivex.subject import Subject

from rxecho import (
    AsyncSnapshot,
    ChannelClosed,
    ChannelState,
    ConnectError,
    ConnectionLost,
    EchoServer,
    WebSocketChannel,
    connection,
    open_channel,
    operators,
)
from rxecho.frames import Message

MEGABYTE = bytes(1 << 20)
FDS = Path("/proc/self/fd")

needs_small_unsent_queue = pytest.mark.skipif(
    not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no TCP_NOTSENT_LOWAT"
)


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """What came to `threading.excepthook`."""
    errors: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: errors.append(args.exc_value))
    return errors


@pytest.fixture
def _nothing_left() -> Any:
    """No thread of a channel and no descriptor is there after the test that was not there before it."""
    threads, descriptors = threading.enumerate(), len(list(FDS.iterdir()))
    yield
    assert ([thread for thread in threading.enumerate() if thread not in threads], len(list(FDS.iterdir()))) == (
        [],
        descriptors,
    )


def listen(channel: WebSocketChannel) -> Recorder[Message]:
    recorder: Recorder[Message] = Recorder()
    channel.stream.subscribe(recorder)
    return recorder


def until_handled(peer: BadPeer) -> None:
    """Wait until everything that the peer has sent so far has been handed over."""
    peer.send(PING, b"handled?")
    while peer.receive() != (PONG, b"handled?"):
        pass


def until_left(channel: WebSocketChannel, state: ChannelState) -> None:
    """Wait until another thread has moved the channel on; its own would tell, but may not have woken yet."""
    moment = threading.Event()
    for _ in range(10_000):
        if channel.state is not state:
            return
        moment.wait(0.001)
    pytest.fail(f"still {state}")


def texts(count: int) -> bytes:
    return b"".join(frame(TEXT, b"message %020d" % index) for index in range(count))


def add_for_ever(channel: WebSocketChannel) -> None:
    while True:
        channel.sink.add("anybody there?")


# A future's callbacks


def raising(error: BaseException) -> Callable[[Future[Any]], None]:
    def callback(_: Future[Any]) -> None:
        raise error

    return callback


raises_anything = pytest.mark.parametrize(
    "error", [ValueError("mine"), SystemExit(3)], ids=["ValueError", "SystemExit"]
)


@raises_anything
@pytest.mark.usefixtures("_nothing_left")
def test_what_a_callback_of_ready_raises_goes_to_the_excepthook_and_the_channel_ends_as_it_would(
    error: BaseException, reported: list[BaseException | None]
) -> None:
    told: list[Future[Any]] = []
    with connecting() as (channel, peer):
        recorder = listen(channel)
        channel.ready.add_done_callback(raising(error))
        channel.ready.add_done_callback(told.append)
        peer.read_head()
        peer.sock.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")
        assert isinstance(recorder.wait_for_end(), ConnectError)
        channel.sink.done.result(TIMEOUT)
        assert told == [channel.ready]
    assert reported == [error]


@raises_anything
@pytest.mark.usefixtures("_nothing_left")
def test_what_a_callback_of_a_ping_raises_goes_to_the_excepthook_and_the_channel_goes_on(
    error: BaseException, reported: list[BaseException | None]
) -> None:
    told: list[Future[Any]] = []
    with connected() as (channel, peer):
        recorder = listen(channel)
        pong = channel.ping(b"?")
        pong.add_done_callback(raising(error))
        pong.add_done_callback(told.append)
        peer.sock.sendall(frame(PONG, b"?") + frame(TEXT, b"on it goes") + frame(CLOSE))
        peer.receive_close()
        peer.leave()
        assert recorder.wait_for_end() is None
        assert recorder.values == ["on it goes"]
        assert told == [pong]
    assert reported == [error]


@raises_anything
@pytest.mark.usefixtures("_nothing_left")
def test_what_callbacks_of_add_stream_and_of_done_raise_goes_to_the_excepthook_and_the_channel_ends_as_it_would(
    error: BaseException, reported: list[BaseException | None]
) -> None:
    told: list[Future[Any]] = []
    with connected() as (channel, peer):
        recorder = listen(channel)
        futures = [channel.sink.add_stream(Subject()), channel.sink.add_stream(Subject()), channel.sink.done]
        for future in futures:
            future.add_done_callback(raising(error))
            future.add_done_callback(told.append)
        peer.reset()
        assert isinstance(recorder.wait_for_end(), ConnectionLost)
        channel.sink.done.result(TIMEOUT)
        channel._connection.thread.join(TIMEOUT)
        assert set(told) == set(futures)
    assert reported == [error] * 3


# Slow peers


def drain_slowly(peer: BadPeer, size: int) -> None:
    """Read so many bytes, some 2 MB a second."""
    pace = threading.Event()
    while size:
        size -= len(peer.read(min(size, 64 * 1024)))
        pace.wait(0.03)


@needs_small_unsent_queue
def test_what_was_added_before_leaves_first_however_slowly_the_peer_drains_and_short_close_timeout_is() -> None:
    with connected(is_narrow=True, close_timeout=0.25, ping_interval=None) as (channel, peer):
        recorder = listen(channel)
        channel.sink.add(MEGABYTE * 4)
        done = channel.sink.close(1000)
        drain_slowly(peer, len(MEGABYTE) * 5 // 2)
        assert not done.done()
        peer.read(14 + len(MEGABYTE) * 3 // 2)
        assert peer.receive() == (CLOSE, b"\x03\xe8")
        peer.send(CLOSE, b"\x03\xe8")
        peer.leave()
        assert recorder.wait_for_end() is None
        assert channel.close_code == 1000


@needs_small_unsent_queue
def test_keepalive_does_not_end_a_channel_whose_peer_drains_slowly_but_steadily() -> None:
    with connected(is_narrow=True, ping_interval=0.05, ping_timeout=0.25) as (channel, peer):
        recorder = listen(channel)
        channel.sink.add(MEGABYTE * 4)
        drain_slowly(peer, len(MEGABYTE) * 5 // 2)
        peer.read(14 + len(MEGABYTE) * 3 // 2)
        assert peer.receive()[0] == PING
        assert channel.state is ChannelState.OPEN
        assert recorder.error is None


# Flow control counts pieces


def test_adding_empty_messages_blocks_when_the_peer_does_not_read_and_ends_when_the_channel_is_closed() -> None:
    added = 0

    def count_up(channel: WebSocketChannel) -> None:
        nonlocal added
        while True:
            channel.sink.add("")
            added += 1

    with connected(is_narrow=True, close_timeout=0.1) as (channel, _), ThreadPoolExecutor(1) as thread:
        adding = thread.submit(count_up, channel)
        before = -1
        while before != added < 500_000:
            before = added
            with pytest.raises(TimeoutError):
                adding.result(0.1)
        blocked_at = added
        channel.sink.close()
        assert isinstance(adding.exception(TIMEOUT), ChannelClosed)
    assert 0 < blocked_at < 500_000


def test_an_echo_to_a_peer_that_floods_empty_messages_and_never_reads_stops_reading_and_keepalive_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "STALL", 1 << 20)
    count = 500_000
    with connected(is_narrow=True, ping_interval=0.05, ping_timeout=0.3) as (channel, peer):
        recorder: Recorder[Message] = Recorder(channel.sink.add)
        channel.stream.subscribe(recorder)
        with suppress(ConnectionError):
            peer.sock.sendall(frame(TEXT) * count)
        error = recorder.wait_for_end()
        assert isinstance(error, ConnectionLost)
        assert "did not answer a ping" in str(error)
        assert 0 < len(recorder.values) < count


# Nothing received is lost


def test_messages_are_not_lost_when_reading_is_paused_the_peer_has_left_and_an_add_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "LINGER", 0.05)
    count = 2000  # more than are kept, and so few that they are all on this side before the peer is gone
    with connected(ping_interval=None) as (channel, peer):
        peer.sock.sendall(texts(count))
        peer.leave()
        with pytest.raises(ChannelClosed):
            add_for_ever(channel)
        with pytest.raises(TimeoutError):
            channel.sink.done.result(0.3)
        recorder = listen(channel)
        assert isinstance(recorder.wait_for_end(), ConnectionLost)
        assert recorder.values == [f"message {index:020}" for index in range(count)]


def test_whoever_takes_only_the_first_snapshot_is_not_the_first_subscriber() -> None:
    with connected() as (channel, peer):
        peer.sock.sendall(frame(TEXT, b"one") + frame(TEXT, b"two"))
        until_handled(peer)
        snapshots: Observable[AsyncSnapshot[Message]] = channel.stream.pipe(operators.snapshots())
        assert snapshots.pipe(ops.first()).run() == AsyncSnapshot[Message].waiting()
        assert listen(channel).wait_for(2) == ["one", "two"]


def test_whoever_only_sends_says_subscribe_and_lets_more_than_1024_echoes_go() -> None:
    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        channel.stream.subscribe()
        for number in range(3000):
            channel.sink.add(f"message {number}")
        # Its pong is behind all the echoes.
        assert channel.ping().result(TIMEOUT) > 0
        channel.sink.add("on it goes")
        assert channel.ping().result(TIMEOUT) > 0


# Nothing is left behind


@pytest.mark.usefixtures("_nothing_left")
def test_a_channel_that_the_subscriber_of_open_channel_raises_at_is_closed_with_1011(
    reported: list[BaseException | None],
) -> None:
    error = ZeroDivisionError()
    opened: Queue[WebSocketChannel] = Queue()
    received: list[tuple[int, bytes]] = []

    def refuse(channel: WebSocketChannel) -> None:
        opened.put(channel)
        raise error

    def conduct(peer: Any) -> None:
        peer.open()
        received.append(peer.receive())
        peer.send(CLOSE, received[0][1])

    with raw_server(conduct) as port:
        open_channel(f"ws://127.0.0.1:{port}/").subscribe(refuse)
        channel = opened.get(timeout=TIMEOUT)
        channel.sink.done.result(TIMEOUT)
        channel._connection.thread.join(TIMEOUT)
    assert received == [(CLOSE, (1011).to_bytes(2))]
    assert reported == [error]


# Closed before it was open


def test_ready_fails_with_channel_closed_for_good_when_closed_first_and_what_was_queued_still_arrives() -> None:
    with connecting() as (channel, peer):
        is_over = threading.Event()
        closed = channel._connection.closed_error

        def closed_later(how: str) -> ChannelClosed:
            # The thread that closes is as slow as it can be, between its close and its word to `ready`.
            if threading.current_thread() is not channel._connection.thread:
                assert is_over.wait(TIMEOUT)
            return closed(how)

        channel._connection.closed_error = closed_later  # type: ignore[method-assign]
        with ThreadPoolExecutor(1) as thread:
            recorder = listen(channel)
            channel.sink.add("queued")
            closing = thread.submit(channel.sink.close, 1000)
            until_left(channel, ChannelState.CONNECTING)
            peer.open_with(b"")
            assert peer.receive() == (TEXT, b"queued")
            assert peer.receive() == (CLOSE, b"\x03\xe8")
            peer.send(CLOSE, b"\x03\xe8")
            peer.leave()
            assert recorder.wait_for_end() is None
            is_over.set()
            closing.result(TIMEOUT).result(TIMEOUT)
        assert isinstance(channel.ready.exception(0), ChannelClosed)


def test_ready_is_done_although_the_channel_is_closed_in_the_moment_it_opens() -> None:
    with connecting() as (channel, peer):
        succeed = channel._connection.ready.succeed

        def succeed_later(value: None) -> None:
            # Somebody sees that it is open, and closes it, before its own thread comes to say so.
            assert channel.state is ChannelState.OPEN
            channel.sink.close(1000)
            succeed(value)

        channel._connection.ready.succeed = succeed_later  # type: ignore[method-assign]
        peer.open_with(b"")
        assert peer.receive() == (CLOSE, b"\x03\xe8")
        assert channel.ready.exception(TIMEOUT) is None


def test_closing_while_connecting_gives_up_at_once_although_a_ping_is_queued() -> None:
    with connecting(connect_timeout=60) as (channel, _):
        pong = channel.ping()
        channel.sink.close().result(TIMEOUT)
        assert isinstance(pong.exception(0), ChannelClosed)


# The states


def test_a_state_prints_as_its_name_and_compares_by_its_order() -> None:
    assert str(ChannelState.OPEN) == f"{ChannelState.OPEN}" == "ChannelState.OPEN"
    assert ChannelState.CONNECTING < ChannelState.OPEN < ChannelState.CLOSING < ChannelState.CLOSED
