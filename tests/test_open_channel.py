"""`open_channel`: a channel as an observable of itself, so that RxPY's operators reconnect."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Queue
from threading import Event
from typing import Any

import pytest
from raw_server import CLOSE, TEXT, TIMEOUT, Peer, raw_server
from reactivex import Observable, Observer, operators

import rxecho.channel
from rxecho import (
    ChannelState,
    ConnectError,
    ConnectionLost,
    EchoServer,
    ProtocolError,
    WebSocketChannel,
    open_channel,
)

NORMAL = b"\x03\xe8"


class Server:
    """A server that keeps each request and each close frame, after it did what `conduct` says."""

    def __init__(self, conduct: Callable[[Peer], object] = lambda _: None) -> None:
        self.requests: list[bytes] = []
        self.closes: Queue[bytes] = Queue()
        self._conduct = conduct

    def __call__(self, peer: Peer) -> None:
        self.requests.append(peer.read_head())
        peer.open(head=self.requests[-1])
        self._conduct(peer)
        opcode, payload = peer.receive()
        while opcode != CLOSE:
            opcode, payload = peer.receive()
        self.closes.put(payload)
        peer.send(CLOSE, payload)


class Recording(Observer[WebSocketChannel]):
    """What an observable of channels emits, and how it ends."""

    def __init__(self) -> None:
        self.channels: Queue[WebSocketChannel] = Queue()
        self.end: Future[None] = Future()
        super().__init__(self.channels.put, self.end.set_exception, lambda: self.end.set_result(None))


def listen(channel: WebSocketChannel) -> Observable[str | bytes]:
    return channel.stream


def threads_to(port: int) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if f"127.0.0.1:{port}" in thread.name]


# Cold


def test_a_channel_that_never_opens_is_not_emitted() -> None:
    def refuse(peer: Peer) -> None:
        peer.read_head()
        peer.sock.sendall(b"HTTP/1.1 503 Busy\r\n\r\n")
        peer.wait_for_end()

    recording = Recording()
    with raw_server(refuse) as port:
        open_channel(f"ws://127.0.0.1:{port}/").subscribe(recording)
        assert isinstance(recording.end.exception(TIMEOUT), ConnectError)
    assert recording.channels.empty()


def test_a_channel_is_emitted_although_its_state_is_ahead_of_its_ready() -> None:
    is_open, is_subscribed = Event(), Event()

    class SlowlyReady(WebSocketChannel):
        """One whose own thread is interrupted between the two, until somebody has subscribed."""

        def __init__(self, connection: Any, before: Any = None) -> None:
            succeed = connection.ready.succeed

            def succeed_later(value: None) -> None:
                is_open.set()
                assert is_subscribed.wait(TIMEOUT)
                succeed(value)

            connection.ready.succeed = succeed_later
            super().__init__(connection, before)
            assert is_open.wait(TIMEOUT)

    recording = Recording()
    with raw_server(Server()) as port, pytest.MonkeyPatch.context() as patch:
        patch.setattr(rxecho.channel, "WebSocketChannel", SlowlyReady)
        with open_channel(f"ws://127.0.0.1:{port}/").subscribe(recording):
            is_subscribed.set()
            assert recording.channels.get(timeout=TIMEOUT).state is ChannelState.OPEN


def test_nothing_is_opened_until_it_is_subscribed_to_and_then_a_channel_for_each_subscription() -> None:
    with raw_server(server := Server()) as port:
        source = open_channel(f"ws://127.0.0.1:{port}/")
        recordings = [Recording(), Recording()]
        assert threads_to(port) == []
        subscriptions = [source.subscribe(recording) for recording in recordings]
        first, second = (recording.channels.get(timeout=TIMEOUT) for recording in recordings)
        assert first is not second
        for subscription in subscriptions:
            subscription.dispose()
        first.sink.done.result(TIMEOUT)
        second.sink.done.result(TIMEOUT)
    assert len(server.requests) == 2


def test_the_channel_is_emitted_once_it_is_open_and_only_once() -> None:
    states: Queue[ChannelState] = Queue()
    recording = Recording()

    def look(channel: WebSocketChannel) -> None:
        states.put(channel.state)

    with raw_server(Server(lambda peer: peer.send(TEXT, b"hello"))) as port:
        open_channel(f"ws://127.0.0.1:{port}/").pipe(operators.do_action(look)).subscribe(recording)
        channel = recording.channels.get(timeout=TIMEOUT)
        assert channel.stream.pipe(operators.first()).run() == "hello"
        channel.sink.close()
        assert recording.end.result(TIMEOUT) is None
    assert states.get() is ChannelState.OPEN
    assert states.empty()
    assert recording.channels.empty()


def test_a_channel_that_has_closed_again_before_anybody_looked_is_emitted_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Quick(WebSocketChannel):
        """As if the thread that subscribes were slow."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.sink.done.result(TIMEOUT)

    def hurry(peer: Peer) -> None:
        peer.open()
        peer.send(TEXT, b"hello")
        peer.close()

    monkeypatch.setattr(rxecho.channel, "WebSocketChannel", Quick)
    with raw_server(hurry) as port:
        channel: Any = open_channel(f"ws://127.0.0.1:{port}/").run()
        assert channel.stream.run() == "hello"
    with raw_server(lambda peer: peer.read_head()) as port, pytest.raises(ConnectError):
        open_channel(f"ws://127.0.0.1:{port}/").run()


def test_messages_are_kept_for_the_first_subscriber_of_the_stream() -> None:
    def greet(peer: Peer) -> None:
        peer.open()
        for number in range(5):
            peer.send(TEXT, str(number).encode())
        peer.close()

    recording = Recording()
    with raw_server(greet) as port:
        open_channel(f"ws://127.0.0.1:{port}/").subscribe(recording)
        recording.end.result(TIMEOUT)
    assert recording.channels.get().stream.pipe(operators.to_list()).run() == ["0", "1", "2", "3", "4"]


# How it ends


def ending(conduct: Callable[[Peer], object]) -> BaseException | None:
    recording = Recording()
    with raw_server(conduct) as port:
        open_channel(f"ws://127.0.0.1:{port}/").subscribe(recording)
        return recording.end.exception(TIMEOUT)


def test_it_completes_as_its_stream_does() -> None:
    def close(peer: Peer) -> None:
        peer.open()
        peer.close(b"\x0f\xa0")

    assert ending(close) is None


def test_it_fails_as_its_stream_does() -> None:
    def lose(peer: Peer) -> None:
        peer.open()
        peer.reset()

    def break_the_protocol(peer: Peer) -> None:
        peer.open()
        peer.send(3, b"")
        assert peer.receive() == (CLOSE, b"\x03\xea")

    def refuse(peer: Peer) -> None:
        peer.read_head()
        peer.sock.sendall(b"HTTP/1.1 503 Busy\r\n\r\n")
        peer.wait_for_end()

    assert isinstance(ending(lose), ConnectionLost)
    assert isinstance(ending(break_the_protocol), ProtocolError)
    refused = ending(refuse)
    assert isinstance(refused, ConnectError)
    assert refused.status == 503


def test_it_completes_when_the_channel_is_closed_through_its_sink() -> None:
    recording = Recording()
    with raw_server(server := Server()) as port:
        open_channel(f"ws://127.0.0.1:{port}/").subscribe(recording)
        recording.channels.get(timeout=TIMEOUT).sink.close(4000)
        assert recording.end.result(TIMEOUT) is None
    assert server.closes.get(timeout=TIMEOUT) == b"\x0f\xa0"


# Disposing


def test_disposing_closes_with_1000() -> None:
    recording = Recording()
    with raw_server(server := Server()) as port:
        subscription = open_channel(f"ws://127.0.0.1:{port}/").subscribe(recording)
        channel = recording.channels.get(timeout=TIMEOUT)
        subscription.dispose()
        channel.sink.done.result(TIMEOUT)
        assert channel.close_code == 1000
    assert server.closes.get(timeout=TIMEOUT) == NORMAL
    assert not recording.end.done()


def test_an_operator_that_has_enough_closes_with_1000() -> None:
    with raw_server(server := Server()) as port:
        open_channel(f"ws://127.0.0.1:{port}/").pipe(operators.take(1)).run()
        assert server.closes.get(timeout=TIMEOUT) == NORMAL


def test_disposing_while_connecting_gives_the_attempt_up() -> None:
    has_asked, has_left = Event(), Event()

    def say_nothing(peer: Peer) -> None:
        peer.read_head()
        has_asked.set()
        peer.wait_for_end()
        has_left.set()

    recording = Recording()
    with raw_server(say_nothing) as port:
        subscription = open_channel(f"ws://127.0.0.1:{port}/", connect_timeout=60).subscribe(recording)
        assert has_asked.wait(TIMEOUT)
        subscription.dispose()
        assert has_left.wait(TIMEOUT)
        for thread in threads_to(port):
            thread.join(TIMEOUT)
        assert threads_to(port) == []
    assert recording.channels.empty()
    assert not recording.end.done()


def test_disposing_twice_or_after_the_end_is_harmless() -> None:
    recording = Recording()
    with raw_server(Server()) as port:
        subscription = open_channel(f"ws://127.0.0.1:{port}/").subscribe(recording)
        channel = recording.channels.get(timeout=TIMEOUT)
        channel.sink.close(4000).result(TIMEOUT)
        recording.end.result(TIMEOUT)
        subscription.dispose()
        subscription.dispose()
        assert channel.close_code == 4000


# Reconnecting


def test_retry_connects_again_after_each_failure() -> None:
    refused = iter(range(3))

    def refuse_at_first(peer: Peer) -> None:
        if next(refused, None) is None:
            Server(lambda peer: peer.send(TEXT, b"at last"))(peer)
        else:
            peer.read_head()
            peer.sock.sendall(b"HTTP/1.1 503 Busy\r\n\r\n")
            peer.wait_for_end()

    with raw_server(refuse_at_first) as port:
        answers = open_channel(f"ws://127.0.0.1:{port}/").pipe(operators.flat_map(listen))
        assert answers.pipe(operators.retry(4)).pipe(operators.first()).run() == "at last"


def test_retry_gives_up_when_it_is_told_to() -> None:
    attempts: Queue[int] = Queue()

    def refuse(peer: Peer) -> None:
        attempts.put(1)
        peer.read_head()

    with raw_server(refuse) as port, pytest.raises(ConnectError):
        open_channel(f"ws://127.0.0.1:{port}/").pipe(operators.retry(3)).run()
    assert attempts.qsize() == 3


def test_retry_works_against_a_server_that_drops_its_connections() -> None:
    lines: list[str | bytes] = []

    def converse(channel: WebSocketChannel) -> Observable[str | bytes]:
        channel.sink.add(f"{len(lines)}")
        return channel.stream

    with EchoServer() as server:
        open_channel(server.url_for("/flaky?after=1")).pipe(
            operators.flat_map(converse), operators.do_action(lines.append), operators.retry(), operators.take(3)
        ).run()
    assert lines == ["0", "1", "2"]


def test_repeat_connects_again_after_each_close() -> None:
    with EchoServer() as server:
        quotes = open_channel(server.url_for("/ticker?interval=0.001&count=2&seed=1")).pipe(operators.flat_map(listen))
        repeated: Observable[str | bytes] = quotes.pipe(operators.repeat(3))
        received = repeated.to_list().run()
    assert len(received) == 6
    assert received[:2] == received[2:4] == received[4:]


def test_what_was_given_as_an_iterator_goes_to_each_connection() -> None:
    with raw_server(server := Server(lambda peer: peer.send(TEXT, b"hello"))) as port:
        source = open_channel(
            f"ws://127.0.0.1:{port}/", headers=iter([("X-One", "1")]), protocols=iter(["chat", "talk"])
        )
        for _ in range(2):
            source.pipe(operators.flat_map(listen)).pipe(operators.first()).run()
    for request in server.requests:
        assert b"X-One: 1\r\n" in request
        assert b"Sec-WebSocket-Protocol: chat, talk\r\n" in request


# What cannot be right


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://h/", {}),
        ("ws://h/#fragment", {}),
        ("ws://h/", {"protocols": ["a", "a"]}),
        ("ws://h/", {"headers": {"X One": "1"}}),
        ("ws://h/", {"origin": "a\r\nb"}),
        ("ws://h/", {"proxy": "proxy"}),
        ("ws://h/", {"connect_timeout": 0}),
        ("ws://h/", {"close_timeout": -1}),
        ("ws://h/", {"ping_interval": 0}),
        ("ws://h/", {"ping_timeout": 0}),
        ("ws://h/", {"max_message_size": 0}),
    ],
)
def test_a_url_or_an_option_that_cannot_be_right_raises_value_error_right_there(
    url: str, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any text
        open_channel(url, **options)


@pytest.mark.parametrize("options", [{"conect_timeout": 1}, {"headers": {"X-One": 1}}, {"protocols": "chat"}])
def test_an_option_that_does_not_exist_or_is_of_a_wrong_type_raises_type_error_right_there(
    options: dict[str, Any],
) -> None:
    with pytest.raises(TypeError):
        open_channel("ws://h/", **options)
