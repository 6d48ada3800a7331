"""The `multiplex` operator, with a server that knows topics."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import reactivex
from peer import Recorder
from raw_server import TIMEOUT
from reactivex import Observable
from reactivex import operators as ops
from reactivex.subject import Subject
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from rxecho import ConnectionLost, WebSocketChannel, open_channel
from rxecho.frames import Message
from rxecho.operators import multiplex, reconnect


class Topics:
    """A server that confirms what it is asked for, and can publish and drop."""

    def __init__(self) -> None:
        self.asked: queue.Queue[str] = queue.Queue()
        self.connections: list[ServerConnection] = []
        self.latest: ServerConnection
        """The one that has asked last, which need not be the one whose thread began last."""

    def conduct(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        try:
            for message in connection:
                self.latest = connection
                self.asked.put(str(message))
                connection.send(message)
        except ConnectionClosed:
            pass

    def publish(self, topic: str, value: object) -> None:
        self.latest.send(json.dumps({"topic": topic, "value": value}))

    def drop(self) -> None:
        self.latest.socket.shutdown(2)

    def was_asked(self, number: int) -> list[str]:
        return [self.asked.get(timeout=TIMEOUT) for _ in range(number)]


@contextmanager
def topics() -> Iterator[tuple[Topics, str]]:
    server = Topics()
    with serve(server.conduct, "127.0.0.1", 0) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield server, f"ws://127.0.0.1:{listening.socket.getsockname()[1]}/"
        listening.shutdown()
    thread.join(TIMEOUT)


def is_of(topic: str) -> Any:
    return lambda message: json.loads(message).get("topic") == topic if message.startswith("{") else False


def topic(name: str, confirmed: threading.Event | None = None) -> Any:
    """Messages of a topic.

    Args:
        name: Of the topic.
        confirmed: Set when the server has echoed that it was asked for: who leaves before that may close the channel
            before there is somebody to ask for no more.
    """

    def select(message: Message) -> bool:
        if confirmed and message == f"+{name}":
            confirmed.set()
        return bool(is_of(name)(message))

    return multiplex(f"+{name}", lambda: f"-{name}", select)


def values(recorder: Recorder[Message], number: int) -> list[object]:
    return [json.loads(message)["value"] for message in recorder.wait_for(number)]


def shared(url: str) -> Observable[WebSocketChannel]:
    return open_channel(url).pipe(reconnect(min_delay=0.01, max_delay=0.02), ops.replay(1), ops.ref_count())


def test_it_asks_for_its_topic_and_gets_it_and_nothing_else() -> None:
    with topics() as (server, url):
        quotes: Recorder[Message] = Recorder()
        with open_channel(url).pipe(topic("BTC")).subscribe(quotes):
            assert server.was_asked(1) == ["+BTC"]
            server.publish("ETH", 1)
            server.publish("BTC", 2)
            assert values(quotes, 1) == [2]


def test_who_leaves_asks_for_no_more_before_the_channel_closes() -> None:
    with topics() as (server, url):
        confirmed = threading.Event()
        subscription = open_channel(url).pipe(topic("BTC", confirmed)).subscribe()
        assert server.was_asked(1) == ["+BTC"]
        assert confirmed.wait(TIMEOUT)
        subscription.dispose()
        assert server.was_asked(1) == ["-BTC"]


def test_subscribers_of_one_topic_share_it_and_the_last_asks_for_no_more() -> None:
    with topics() as (server, url):
        quotes = open_channel(url).pipe(topic("BTC"))
        first: Recorder[Message] = Recorder()
        second: Recorder[Message] = Recorder()
        leaving_first = quotes.subscribe(first)
        server.was_asked(1)
        leaving_second = quotes.subscribe(second)
        server.publish("BTC", 1)
        assert values(first, 1) == values(second, 1) == [1]
        leaving_first.dispose()
        server.publish("BTC", 2)
        assert values(second, 2) == [1, 2]
        leaving_second.dispose()
        assert server.was_asked(1) == ["-BTC"]
        assert len(server.connections) == 1


def test_who_comes_after_the_last_has_left_begins_anew() -> None:
    with topics() as (server, url):
        confirmed = threading.Event()
        quotes = open_channel(url).pipe(topic("BTC", confirmed))
        for _ in range(2):
            with quotes.subscribe():
                assert server.was_asked(1) == ["+BTC"]
                assert confirmed.wait(TIMEOUT)
                confirmed.clear()
            assert server.was_asked(1) == ["-BTC"]


def test_who_comes_after_an_end_begins_anew() -> None:
    with topics() as (server, url):
        quotes = open_channel(url).pipe(topic("BTC"))
        for _ in range(2):
            recorder: Recorder[Message] = Recorder()
            quotes.subscribe(recorder)
            server.was_asked(1)
            server.drop()
            assert isinstance(recorder.wait_for_end(), ConnectionLost)


def test_it_asks_again_after_a_reconnect() -> None:
    with topics() as (server, url):
        quotes: Recorder[Message] = Recorder()
        with shared(url).pipe(topic("BTC")).subscribe(quotes):
            for number in range(1, 4):
                assert server.was_asked(1) == ["+BTC"]
                server.publish("BTC", number)
                values(quotes, number)
                server.drop()
        assert values(quotes, 3) == [1, 2, 3]


def test_several_topics_share_one_connection_and_each_is_asked_for_again() -> None:
    with topics() as (server, url):
        channels = shared(url)
        both: list[Recorder[Message]] = [Recorder(), Recorder()]
        with channels.pipe(topic("BTC")).subscribe(both[0]):
            assert server.was_asked(1) == ["+BTC"]
            with channels.pipe(topic("ETH")).subscribe(both[1]):
                assert server.was_asked(1) == ["+ETH"]
                assert len(server.connections) == 1
                server.drop()
                assert sorted(server.was_asked(2)) == ["+BTC", "+ETH"]
                server.publish("BTC", 1)
                server.publish("ETH", 2)
                assert (values(both[0], 1), values(both[1], 1)) == ([1], [2])
            assert server.was_asked(1) == ["-ETH"]
        assert server.was_asked(1) == ["-BTC"]
        assert len(server.connections) == 2


def test_a_channel_that_is_closed_already_is_passed_over() -> None:
    with topics() as (server, url):
        with WebSocketChannel.connect(url) as closed:
            closed.ready.result(TIMEOUT)
        channels: Subject[WebSocketChannel] = Subject()
        quotes: Recorder[Message] = Recorder()
        with channels.pipe(topic("BTC")).subscribe(quotes), WebSocketChannel.connect(url) as channel:
            channels.on_next(closed)
            channel.ready.result(TIMEOUT)
            channels.on_next(channel)
            assert server.was_asked(1) == ["+BTC"]
            server.publish("BTC", 1)
            assert values(quotes, 1) == [1]


@pytest.mark.parametrize("what", ["subscribe", "select"])
def test_what_a_function_raises_is_the_error_of_the_subscription(what: str) -> None:
    def fail(*_: object) -> Any:
        raise ZeroDivisionError

    operator = multiplex(fail if what == "subscribe" else "+BTC", "-BTC", fail)
    with topics() as (_, url):
        recorder: Recorder[Message] = Recorder()
        open_channel(url).pipe(operator).subscribe(recorder)
        assert isinstance(recorder.wait_for_end(), ZeroDivisionError)


def test_what_unsubscribe_raises_is_told_and_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))

    def fail() -> Message:
        raise ZeroDivisionError

    quotes: Recorder[Message] = Recorder()
    with topics() as (server, url):
        with open_channel(url).pipe(multiplex("+BTC", fail, is_of("BTC"))).subscribe(quotes):
            server.was_asked(1)
            server.publish("BTC", 1)
            values(quotes, 1)
        assert told == [ZeroDivisionError]


def test_a_subscriber_that_raises_keeps_no_message_from_those_that_share_the_topic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))

    def fail(_: Message) -> None:
        raise ZeroDivisionError

    with topics() as (server, url):
        quotes = open_channel(url).pipe(topic("BTC"))
        other: Recorder[Message] = Recorder()
        quotes.subscribe(fail)
        with quotes.subscribe(other):
            server.was_asked(1)
            server.publish("BTC", 1)
            server.publish("BTC", 2)
            assert values(other, 2) == [1, 2]
        assert server.was_asked(1) == ["-BTC"]
    assert told == [ZeroDivisionError]


def test_a_subscriber_that_handles_no_errors_keeps_no_end_from_those_that_share_the_topic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))
    with topics() as (server, url):
        quotes = open_channel(url).pipe(topic("BTC"))
        other: Recorder[Message] = Recorder()
        quotes.subscribe()
        quotes.subscribe(other)
        server.was_asked(1)
        server.drop()
        assert isinstance(other.wait_for_end(), ConnectionLost)
    assert told == [ConnectionLost]


def test_an_error_of_the_channels_is_passed_on() -> None:
    recorder: Recorder[Message] = Recorder()
    fault = OSError("no descriptor left")
    channels: Observable[WebSocketChannel] = reactivex.throw(fault)
    channels.pipe(topic("BTC")).subscribe(recorder)
    assert recorder.wait_for_end() is fault
