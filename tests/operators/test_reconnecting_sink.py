"""The sink that outlives channels, with channels to real servers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import reactivex
from peer import Recorder
from raw_server import CLOSE, TEXT, TIMEOUT, Peer, raw_server
from reactivex import operators as ops
from reactivex.subject import Subject

from rxecho import ChannelClosed, EchoServer, WebSocketChannel, open_channel
from rxecho.frames import Message
from rxecho.operators import BufferOverflow, ReconnectingSink, ReconnectState, messages, reconnect

QUICK: dict[str, Any] = {"min_delay": 0.01, "max_delay": 0.02}


@contextmanager
def following(sink: ReconnectingSink, url: str, **options: Any) -> Iterator[Recorder[Message]]:
    """What the channels receive, one after the other, that the sink follows."""
    recorder: Recorder[Message] = Recorder()
    channels: list[WebSocketChannel] = []
    pipe = open_channel(url).pipe(
        ops.do_action(channels.append), reconnect(**(QUICK | options)), sink.follow(), messages()
    )
    with pipe.subscribe(recorder):
        yield recorder
    for channel in channels:
        channel._connection.thread.join(TIMEOUT)


def opening(sink: ReconnectingSink) -> tuple[Subject[WebSocketChannel], Recorder[WebSocketChannel]]:
    """Channels that the test hands to the sink by itself."""
    channels: Subject[WebSocketChannel] = Subject()
    recorder: Recorder[WebSocketChannel] = Recorder()
    channels.pipe(sink.follow()).subscribe(recorder)
    return channels, recorder


# What is kept, and sent.


def test_what_was_added_before_there_was_a_connection_is_sent_first_and_in_order() -> None:
    sink = ReconnectingSink()
    sink.add("one")
    sink.add(b"two")
    sink.add(bytearray(b"three"))
    with EchoServer() as server, following(sink, server.url) as received:
        received.wait_for(3)
        sink.add("four")
        assert received.wait_for(4) == ["one", b"two", b"three", "four"]


def test_what_is_added_between_two_connections_goes_to_the_next() -> None:
    sink = ReconnectingSink()
    states: Recorder[ReconnectState] = Recorder()
    with EchoServer() as server, following(sink, server.url_for("/flaky?after=1"), states=states) as received:
        for number in range(20):
            sink.add(str(number))
            received.wait_for(number + 1)
            states.wait_for(3 * (number + 1))  # connecting, open, waiting
    assert received.values == [str(number) for number in range(20)]


def test_messages_of_one_thread_stay_in_order_while_connections_come_and_go() -> None:
    got: list[bytes] = []
    enough = threading.Event()

    def take_ten(peer: Peer) -> None:
        peer.open()
        for _ in range(10):
            opcode, payload = peer.receive()
            if opcode != TEXT:
                return
            got.append(payload)
            if payload == b"last":
                enough.set()

    sink = ReconnectingSink(overflow="block")
    with raw_server(take_ten) as port, following(sink, f"ws://127.0.0.1:{port}/"):
        number = 0
        while len(got) < 50:
            sink.add(str(number))
            number += 1
        sink.add("last")
        # What TCP had accepted when a connection was dropped is lost; what came is in order.
        while not enough.is_set():
            sink.add("last")
    numbers = [int(payload) for payload in got if payload != b"last"]
    assert numbers == sorted(set(numbers))


def test_a_subject_feeds_it_and_its_end_closes_with_1000() -> None:
    sink = ReconnectingSink()
    lines: Subject[Message] = Subject()
    lines.subscribe(sink)
    lines.on_next("Hello!")
    with EchoServer() as server, following(sink, server.url) as received:
        received.wait_for(1)
        lines.on_completed()
        sink.done.result(TIMEOUT)
        assert received.wait_for_end() is None


def test_a_stream_that_is_added_is_sent_over_whatever_channel_is_open() -> None:
    sink = ReconnectingSink()
    sent = sink.add_stream(reactivex.from_iterable(map(str, range(10))))
    assert sent.result(TIMEOUT) is None
    with EchoServer() as server, following(sink, server.url) as received:
        assert received.wait_for(10) == [str(number) for number in range(10)]


def test_a_stream_that_is_added_fails_when_the_channels_end() -> None:
    sink = ReconnectingSink()
    sent = sink.add_stream(reactivex.never())
    with EchoServer() as server, following(sink, server.url_for("/close"), when=["lost"]) as received:
        received.wait_for_end()
        assert isinstance(sent.exception(TIMEOUT), ChannelClosed)


def test_buffered_amount_is_what_is_kept() -> None:
    sink = ReconnectingSink()
    sink.add("é")
    sink.add(b"123")
    assert sink.buffered_amount == 5
    with EchoServer() as server, following(sink, server.url) as received:
        received.wait_for(2)
        assert sink.buffered_amount == 0


@pytest.mark.parametrize("message", [1, None, ["a"]])
def test_what_is_no_message_is_a_type_error(message: Any) -> None:
    with pytest.raises(TypeError, match="a message is str, bytes, bytearray or memoryview"):
        ReconnectingSink().add(message)


def test_text_that_utf_8_cannot_say_is_told_at_once() -> None:
    with pytest.raises(UnicodeEncodeError):
        ReconnectingSink().add("\ud800")


# When it is full.


def test_it_raises_when_it_is_full_and_keeps_what_it_has() -> None:
    sink = ReconnectingSink(size=2)
    sink.add("one")
    sink.add("two")
    with pytest.raises(BufferOverflow, match="the 2 of 6 bytes that do"):
        sink.add("three")
    with EchoServer() as server, following(sink, server.url) as received:
        assert received.wait_for(2) == ["one", "two"]
    assert sink.dropped == 0


def test_bytes_fill_it_too_and_a_single_message_is_always_kept() -> None:
    sink = ReconnectingSink(max_bytes=10)
    sink.add(bytes(100))
    with pytest.raises(BufferOverflow, match="the 1 of 100 bytes"):
        sink.add(b"")


def test_it_drops_the_oldest_where_that_was_chosen_and_counts_it() -> None:
    sink = ReconnectingSink(size=2, overflow="drop_oldest")
    for number in range(5):
        sink.add(str(number))
    assert sink.dropped == 3
    with EchoServer() as server, following(sink, server.url) as received:
        assert received.wait_for(2) == ["3", "4"]


def test_it_drops_the_newest_where_that_was_chosen_and_counts_it() -> None:
    sink = ReconnectingSink(size=2, overflow="drop_newest")
    for number in range(5):
        sink.add(str(number))
    assert sink.dropped == 3
    with EchoServer() as server, following(sink, server.url) as received:
        assert received.wait_for(2) == ["0", "1"]


def test_it_waits_for_room_where_that_was_chosen() -> None:
    sink = ReconnectingSink(size=1, overflow="block")
    sink.add("one")
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(sink.add, "two")
        with pytest.raises(TimeoutError):
            waiting.result(0.1)
        with EchoServer() as server, following(sink, server.url) as received:
            assert waiting.result(TIMEOUT) is None
            assert received.wait_for(2) == ["one", "two"]


def test_who_waits_for_room_is_told_when_it_is_closed() -> None:
    sink = ReconnectingSink(size=1, overflow="block")
    sink.add("one")
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(sink.add, "two")
        with pytest.raises(TimeoutError):
            waiting.result(0.1)
        sink.close()
        assert isinstance(waiting.exception(TIMEOUT), ChannelClosed)


def test_waiting_for_room_on_the_thread_of_the_channel_that_was_lost_is_refused() -> None:
    sink = ReconnectingSink(size=1, overflow="block")
    channels, _ = opening(sink)
    is_heard = threading.Event()
    refused: Future[None] = Future()

    def add_two(_: object) -> None:
        sink.add("one")
        try:
            sink.add("two")
        except RuntimeError as error:
            refused.set_exception(error)

    def drop(peer: Peer) -> None:
        peer.open()
        assert is_heard.wait(TIMEOUT)

    with raw_server(drop) as port:
        channel = WebSocketChannel.connect(f"ws://127.0.0.1:{port}/")
        channel.ready.add_done_callback(lambda _: channels.on_next(channel))
        channel.stream.subscribe(on_error=add_two)
        channel.ready.result(TIMEOUT)
        is_heard.set()
        assert isinstance(refused.exception(TIMEOUT), RuntimeError)


@pytest.mark.parametrize("opens_first", [True, False])
def test_waiting_for_room_while_a_channel_is_passed_on_is_refused(opens_first: bool) -> None:
    sink = ReconnectingSink(size=1, overflow="block")
    sink.add("kept")
    recorder: Recorder[WebSocketChannel] = Recorder()
    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        if opens_first:  # then it is this thread that passes it on, and the channel's otherwise
            channel.ready.result(TIMEOUT)
        channels = reactivex.from_future(channel.ready).pipe(ops.map(lambda _: channel))
        channels.pipe(sink.follow(), ops.do_action(lambda _: sink.add("no room"))).subscribe(recorder)
        assert isinstance(recorder.wait_for_end(), RuntimeError)


@pytest.mark.parametrize("options", [{"size": 0}, {"max_bytes": 0}, {"overflow": "drop"}])
def test_an_option_that_cannot_be_right_raises_right_there(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ReconnectingSink(**options)


# Closing it.


def test_closing_it_closes_the_channel_with_that_code_and_connects_no_more() -> None:
    codes: list[bytes] = []

    def answer(peer: Peer) -> None:
        peer.open()
        codes.append(peer.receive_until(CLOSE))
        peer.send(CLOSE, codes[-1])

    sink = ReconnectingSink()
    with raw_server(answer) as port, following(sink, f"ws://127.0.0.1:{port}/", when=["lost", "closed"]) as received:
        sink.add("first")
        sink.close(4001, "enough").result(TIMEOUT)
        assert received.wait_for_end() is None
    assert codes == [b"\x0f\xa1enough"]


def test_closing_it_while_it_waits_ends_the_wait() -> None:
    sink = ReconnectingSink()
    states: Recorder[Any] = Recorder()
    with EchoServer() as server:
        port = server.port
    url = f"ws://127.0.0.1:{port}/"
    with following(sink, url, states=states, min_delay=60, max_delay=60) as received:
        states.wait_for(2)
        sink.close().result(TIMEOUT)
        assert received.wait_for_end() is None


def test_closing_it_with_something_kept_lets_the_next_channel_send_it_first() -> None:
    sink = ReconnectingSink()
    sink.add("kept")
    done = sink.close(4002)
    assert not done.done()
    with pytest.raises(ChannelClosed, match="the reconnecting sink is closed"):
        sink.add("too late")
    got: list[tuple[int, bytes]] = []

    def answer(peer: Peer) -> None:
        peer.open()
        got.extend([peer.receive(), peer.receive()])
        peer.send(*got[-1])

    with raw_server(answer) as port, following(sink, f"ws://127.0.0.1:{port}/") as received:
        done.result(TIMEOUT)
        assert received.wait_for_end() is None
    assert got == [(TEXT, b"kept"), (CLOSE, b"\x0f\xa2")]


def test_closing_it_while_a_channel_is_passed_on_closes_that_one_with_that_code() -> None:
    sink = ReconnectingSink()
    recorder: Recorder[WebSocketChannel] = Recorder(then=lambda _: sink.close(4001))
    with EchoServer() as server:
        open_channel(server.url).pipe(sink.follow()).subscribe(recorder)
        assert recorder.wait_for_end() is None
    assert recorder.values[0].close_code == 4001


def test_waiting_for_its_end_inside_a_subscriber_is_refused() -> None:
    sink = ReconnectingSink()
    sink.add("Hello!")
    refused: Future[None] = Future()

    def wait(_: object) -> None:
        try:
            sink.close().result()
        except RuntimeError as error:
            refused.set_exception(error)

    received: Recorder[Message] = Recorder(then=wait)
    with EchoServer() as server:
        open_channel(server.url).pipe(sink.follow(), messages()).subscribe(received)
        assert isinstance(refused.exception(TIMEOUT), RuntimeError)
        assert received.wait_for_end() is None


def test_closing_it_again_changes_nothing() -> None:
    sink = ReconnectingSink()
    with EchoServer() as server, following(sink, server.url) as received:
        sink.add("here")
        received.wait_for(1)
        assert sink.close(4000) is sink.close(4001)
        received.wait_for_end()


def test_a_code_that_cannot_be_sent_closes_nothing() -> None:
    sink = ReconnectingSink()
    with pytest.raises(ValueError, match="1005"):
        sink.close(1005)
    sink.add("still open")


def test_closing_it_before_it_follows_anything_completes_whatever_it_follows_then() -> None:
    sink = ReconnectingSink()
    sink.close().result(TIMEOUT)
    _, recorder = opening(sink)
    assert recorder.wait_for_end() is None


def test_it_follows_one_observable_of_channels() -> None:
    sink = ReconnectingSink()
    channels, first = opening(sink)
    _, second = opening(sink)
    assert isinstance(second.wait_for_end(), RuntimeError)
    sink.close()
    assert first.wait_for_end() is None
    assert channels.observers == []


# After the end.


def test_after_the_end_add_raises_and_on_next_counts() -> None:
    sink = ReconnectingSink()
    channels, recorder = opening(sink)
    sink.add("kept")
    channels.on_completed()
    assert recorder.has_completed
    assert sink.done.done()
    with pytest.raises(ChannelClosed, match="is closed"):
        sink.add("late")
    sink.on_next("late")
    assert sink.dropped == 2


def test_an_error_of_the_channels_is_passed_on_and_is_the_end() -> None:
    sink = ReconnectingSink()
    channels, recorder = opening(sink)
    fault = ValueError("a fault")
    channels.on_error(fault)
    assert recorder.error is fault
    assert sink.done.done()


def test_leaving_it_is_the_end() -> None:
    sink = ReconnectingSink()
    with reactivex.never().pipe(sink.follow()).subscribe():
        assert not sink.done.done()
    assert sink.done.done()
