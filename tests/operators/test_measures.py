"""The operators that measure a stream: `latency`, `rate` and `heartbeat`."""

from __future__ import annotations

import threading
import tracemalloc
from typing import Any

import pytest
import reactivex
from peer import Recorder
from reactivex import Observable
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.subscription import Subscription

from rxecho import EchoServer, WebSocketChannel
from rxecho.frames import Message
from rxecho.operators import Quiet, Rate, heartbeat, latency, rate

on_next, on_completed, on_error = ReactiveTest.on_next, ReactiveTest.on_completed, ReactiveTest.on_error


# latency


def latencies(sent: list[Any], received: list[Any]) -> list[Any]:
    scheduler = TestScheduler()
    going, coming = scheduler.create_hot_observable(*sent), scheduler.create_hot_observable(*received)
    return scheduler.start(lambda: coming.pipe(latency(going))).messages


def test_each_echo_is_timed_from_its_own_message() -> None:
    assert latencies(
        [on_next(210, "a"), on_next(220, "b")], [on_next(215, "a"), on_next(240, "b"), on_completed(250)]
    ) == [on_next(215, 5.0), on_next(240, 20.0), on_completed(250)]


def test_equal_messages_are_told_apart_by_their_order() -> None:
    assert latencies([on_next(210, "a"), on_next(220, "a")], [on_next(230, "a"), on_next(231, "a")]) == [
        on_next(230, 20.0),
        on_next(231, 11.0),
    ]


def test_what_was_not_sent_is_no_echo() -> None:
    assert latencies([on_next(210, "a")], [on_next(220, "b"), on_next(230, "a"), on_next(240, "a")]) == [
        on_next(230, 20.0)
    ]


def test_a_message_that_is_never_echoed_keeps_no_other_from_being_timed() -> None:
    assert latencies([on_next(210, "lost"), on_next(220, "a")], [on_next(230, "a")]) == [on_next(230, 10.0)]


def test_bytes_that_were_sent_in_any_form_are_recognised() -> None:
    assert latencies(
        [on_next(210, bytearray(b"a")), on_next(211, memoryview(b"b"))], [on_next(220, b"a"), on_next(221, b"b")]
    ) == [on_next(220, 10.0), on_next(221, 10.0)]


def test_an_error_of_the_stream_is_passed_on() -> None:
    error = OSError("gone")
    assert latencies([], [on_error(220, error)]) == [on_error(220, error)]


def test_messages_that_are_never_echoed_do_not_gather_without_end() -> None:
    sent: Subject[Message] = Subject()
    received: Subject[Message] = Subject()
    echoed: Recorder[float] = Recorder()
    received.pipe(latency(sent)).subscribe(echoed)
    for number in range(20_000):
        sent.on_next(str(number))
    tracemalloc.start()
    for number in range(20_000, 60_000):
        sent.on_next(str(number))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 8 * 2**20
    received.on_next("49999")
    assert echoed.values == []
    received.on_next("50000")
    assert len(echoed.values) == 1


def test_the_round_trips_over_a_real_channel_are_told() -> None:
    echoed: Recorder[float] = Recorder()
    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        channel.stream.pipe(latency(channel.sink)).subscribe(echoed)
        channel.sink.add("text")
        channel.sink.add(b"binary")
        channel.sink.add("é" * 1000)
        assert all(0 < seconds < 10 for seconds in echoed.wait_for(3))


def test_leaving_it_leaves_both_streams() -> None:
    scheduler = TestScheduler()
    going = scheduler.create_hot_observable(on_next(500, "a"))
    coming = scheduler.create_hot_observable(on_next(500, "a"))
    scheduler.start(lambda: coming.pipe(latency(going)), disposed=300)
    assert (going.subscriptions, coming.subscriptions) == ([Subscription(200, 300)], [Subscription(200, 300)])


# rate


def rates(*received: Any, window: float = 10.0, **options: Any) -> list[Any]:
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(*received)
    return scheduler.start(lambda: source.pipe(rate(window)), **options).messages


def test_messages_and_bytes_of_each_window_are_told_by_the_second() -> None:
    assert rates(on_next(201, "a"), on_next(205, b"123"), on_next(215, "é"), disposed=225) == [
        on_next(210, Rate(0.2, 0.4)),
        on_next(220, Rate(0.1, 0.2)),
    ]


def test_nothing_in_a_window_is_a_rate_of_0() -> None:
    assert rates(disposed=225) == [on_next(210, Rate(0, 0)), on_next(220, Rate(0, 0))]


def test_the_window_that_was_not_full_is_told_at_the_end() -> None:
    assert rates(on_next(214, "ab"), on_completed(215)) == [
        on_next(210, Rate(0, 0)),
        on_next(215, Rate(0.2, 0.4)),
        on_completed(215),
    ]


def test_an_empty_window_at_the_end_is_not_told() -> None:
    assert rates(on_completed(215)) == [on_next(210, Rate(0, 0)), on_completed(215)]


def test_an_error_comes_after_what_was_counted() -> None:
    error = OSError("gone")
    assert rates(on_next(205, "a"), on_error(205, error)) == [on_next(205, Rate(0.2, 0.2)), on_error(205, error)]


def test_what_is_no_message_has_no_bytes() -> None:
    assert rates(on_next(205, {"decoded": 1}), disposed=211) == [on_next(210, Rate(0.1, 0))]


def test_a_rate_of_messages_that_come_all_at_once_is_a_number() -> None:
    recorder: Recorder[Rate] = Recorder()
    reactivex.of("a", "b").pipe(rate(60)).subscribe(recorder)
    assert recorder.wait_for_end() is None
    assert recorder.values[0].messages > 0


@pytest.mark.parametrize("window", [0, -1, float("nan")])
def test_a_window_is_above_0(window: float) -> None:
    with pytest.raises(ValueError, match="a window is a number of seconds above 0"):
        rate(window)


def test_the_rate_of_a_real_channel_is_told_while_it_runs() -> None:
    recorder: Recorder[Rate] = Recorder()
    with EchoServer() as server, WebSocketChannel.connect(server.url_for("/ticker?interval=0.001")) as channel:
        channel.stream.pipe(rate(0.05)).subscribe(recorder)
        assert any(rate.messages > 0 for rate in recorder.wait_for(3))


# heartbeat


def beats(*received: Any, quiet: float = 10.0, **options: Any) -> list[Any]:
    scheduler = TestScheduler()
    source: Observable[Any] = scheduler.create_hot_observable(*received)
    return scheduler.start(lambda: source.pipe(heartbeat(quiet, **options)), disposed=245).messages


def test_a_value_comes_after_a_while_of_silence_and_after_each_further() -> None:
    assert beats(on_next(205, "a"), value="…") == [
        on_next(205, "a"),
        on_next(215, "…"),
        on_next(225, "…"),
        on_next(235, "…"),
    ]


def test_silence_from_the_beginning_counts_too() -> None:
    assert beats(on_completed(215), value="…") == [on_next(210, "…"), on_completed(215)]


def test_whoever_speaks_often_enough_is_left_alone() -> None:
    values = [on_next(time, time) for time in range(205, 245, 9)]
    assert beats(*values, value="…") == values


def test_without_a_value_silence_is_an_error_that_says_how_long() -> None:
    (first, end) = beats(on_next(205, "a"), on_next(230, "too late"))
    assert first == on_next(205, "a")
    assert end.time == 215
    error = end.value.exception
    assert isinstance(error, Quiet | TimeoutError)
    assert "nothing came for 10 s" in str(error)


def test_none_is_a_value() -> None:
    assert beats(on_completed(215), value=None) == [on_next(210, None), on_completed(215)]


def test_after_the_end_nothing_beats() -> None:
    error = OSError("gone")
    assert beats(on_error(205, error), value="…") == [on_error(205, error)]


@pytest.mark.parametrize("quiet", [0, -1, float("nan")])
def test_quiet_is_above_0(quiet: float) -> None:
    with pytest.raises(ValueError, match="quiet is a number of seconds above 0"):
        heartbeat(quiet)


def test_a_silent_server_is_noticed_and_left() -> None:
    recorder: Recorder[Message] = Recorder()
    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        channel.stream.pipe(heartbeat(0.05)).subscribe(recorder)
        assert isinstance(recorder.wait_for_end(), Quiet)


def test_a_thousand_messages_take_no_timer_each() -> None:
    values: Subject[int] = Subject()
    with values.pipe(heartbeat(60)).subscribe():
        before = threading.active_count()
        for number in range(1000):
            values.on_next(number)
        assert threading.active_count() <= before
