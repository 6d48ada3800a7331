"""The `messages` operator: channels become one stream of what they receive."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex
from peer import Recorder, connected
from raw_server import TEXT, TIMEOUT
from reactivex import Observable
from reactivex import operators as ops
from reactivex.subject import Subject

from rxecho import ConnectionLost, EchoServer, WebSocketChannel, open_channel
from rxecho.frames import Message
from rxecho.operators import messages, reconnect

LOST = ConnectionLost("gone")


class Streaming:
    """Of a channel, what `messages` looks at."""

    def __init__(self, stream: Observable[Message]) -> None:
        self.stream = stream


def flattened(channels: Observable[Any]) -> Recorder[Message]:
    recorder: Recorder[Message] = Recorder()
    channels.pipe(messages()).subscribe(recorder)
    return recorder


def test_all_messages_of_one_channel_come_and_then_its_end() -> None:
    with EchoServer() as server:
        recorder = flattened(open_channel(server.url_for("/ticker?interval=0.001&count=20&seed=1")))
        assert recorder.wait_for_end() is None
    assert len(recorder.values) == 20


def test_what_arrived_with_the_handshake_comes_too() -> None:
    with connected(behind=b"\x81\x05early") as (channel, peer):
        recorder = flattened(reactivex.of(channel))
        peer.send(TEXT, b"later")
        assert recorder.wait_for(2) == ["early", "later"]


def test_the_messages_of_channels_that_follow_each_other_are_one_stream() -> None:
    def greet(channel: WebSocketChannel) -> None:
        channel.sink.add("Hello!")

    with EchoServer() as server:
        recorder = flattened(
            open_channel(server.url_for("/flaky?after=1")).pipe(
                reconnect(min_delay=0.01, max_delay=0.01, max_attempts=5), ops.do_action(greet)
            )
        )
        assert isinstance(recorder.wait_for_end(), ConnectionLost)
    assert recorder.values == ["Hello!"] * 5


def test_a_connection_that_is_lost_is_an_error_once() -> None:
    with EchoServer() as server:
        recorder = flattened(open_channel(server.url_for("/flaky?after=0")))
        assert isinstance(recorder.wait_for_end(), ConnectionLost)


def test_the_error_of_a_channel_is_none_where_another_follows() -> None:
    channels: Subject[Streaming] = Subject()
    recorder = flattened(channels)
    channels.on_next(Streaming(reactivex.throw(LOST)))
    channels.on_next(Streaming(reactivex.of("a")))
    channels.on_completed()
    assert recorder.wait_for_end() is None
    assert recorder.values == ["a"]


@pytest.mark.parametrize("completes_first", [True, False])
def test_the_error_of_the_last_channel_counts_where_the_channels_complete(completes_first: bool) -> None:
    channels: Subject[Streaming] = Subject()
    stream: Subject[Message] = Subject()
    recorder = flattened(channels)
    channels.on_next(Streaming(stream))
    if completes_first:
        channels.on_completed()
    stream.on_error(LOST)
    if not completes_first:
        channels.on_completed()
    assert recorder.wait_for_end() is LOST


def test_it_goes_on_after_the_channels_have_completed_until_their_streams_have() -> None:
    stream: Subject[Message] = Subject()
    recorder = flattened(reactivex.of(Streaming(stream)))
    stream.on_next("a")
    assert not recorder.has_completed
    stream.on_completed()
    assert recorder.has_completed


def test_an_error_of_the_channels_is_the_end_also_while_one_is_open() -> None:
    channels: Subject[Streaming] = Subject()
    stream: Subject[Message] = Subject()
    recorder = flattened(channels)
    channels.on_next(Streaming(stream))
    channels.on_error(LOST)
    assert recorder.wait_for_end() is LOST
    assert stream.observers == []


def test_an_error_that_no_channel_makes_counts_at_once() -> None:
    channels: Subject[Streaming] = Subject()
    fault = ValueError("a fault in an operator")
    recorder = flattened(channels)
    channels.on_next(Streaming(reactivex.throw(fault)))
    assert recorder.wait_for_end() is fault
    assert channels.observers == []


def test_disposing_of_it_leaves_the_streams_and_the_channels() -> None:
    channels: Subject[Any] = Subject()
    stream: Subject[Message] = Subject()
    with channels.pipe(messages()).subscribe():
        channels.on_next(Streaming(stream))
        assert stream.observers
    assert (channels.observers, stream.observers) == ([], [])


def test_disposing_of_it_inside_on_next_closes_the_channel() -> None:
    with EchoServer() as server:
        opened: list[WebSocketChannel] = []
        open_channel(server.url_for("/ticker?interval=0.001")).pipe(
            ops.do_action(opened.append), messages(), ops.take(1)
        ).run()
        opened[0].sink.done.result(TIMEOUT)
        assert opened[0].close_code == 1000
