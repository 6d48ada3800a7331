"""The operators `conflate` and `bounded`: in virtual time, and between real threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import reactivex
from peer import Recorder
from raw_server import TIMEOUT
from reactivex import Observable, abc
from reactivex import operators as ops
from reactivex.scheduler import EventLoopScheduler, VirtualTimeScheduler
from reactivex.subject import Subject

from rxecho import EchoServer, WebSocketChannel
from rxecho.operators import BufferOverflow, Handover, bounded, conflate

BUSY = 6.0
SOURCE = "a---b-c-d-e-f-------|"


def delivered(operator: Handover, source: str = SOURCE) -> list[tuple[float, object]]:
    """What a subscriber gets that takes six seconds for each, and when, in virtual time."""
    time = VirtualTimeScheduler()
    got: list[tuple[float, object]] = []

    def on_next(value: object) -> None:
        got.append((time.clock, value))
        time.sleep(BUSY)

    def note(end: object) -> None:
        got.append((time.clock, end))

    reactivex.from_marbles(source, 1.0, scheduler=time).pipe(operator).subscribe(
        on_next, note, lambda: note("|"), scheduler=time
    )
    time.advance_to(100)
    return got


class Busy(Recorder[Any]):
    """A subscriber that is busy with its first value until it is told to go on."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        super().__init__(then=lambda _: self.may_go_on.wait(TIMEOUT))


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "rxecho handover":
            thread.join(TIMEOUT)
            assert not thread.is_alive()


# In virtual time.


def test_conflate_delivers_the_newest_when_the_subscriber_is_free_again() -> None:
    operator = conflate()
    assert delivered(operator) == [(0, "a"), (6, "c"), (12, "f"), (20, "|")]
    assert operator.dropped == 3


def test_conflate_merges_what_came_meanwhile() -> None:
    operator = conflate(lambda kept, newest: kept + newest)
    assert delivered(operator) == [(0, "a"), (6, "bc"), (12, "def"), (20, "|")]
    assert operator.dropped == 0


def test_bounded_drops_the_oldest() -> None:
    operator = bounded(2, "drop_oldest")
    assert delivered(operator) == [(0, "a"), (6, "b"), (12, "e"), (18, "f"), (24, "|")]
    assert operator.dropped == 2


def test_bounded_drops_the_newest() -> None:
    operator = bounded(2, "drop_newest")
    assert delivered(operator) == [(0, "a"), (6, "b"), (12, "c"), (18, "d"), (24, "|")]
    assert operator.dropped == 2


def test_bounded_fails_after_what_is_kept_where_that_was_chosen() -> None:
    operator = bounded(2, "error")
    *values, (time, error) = delivered(operator)
    assert values == [(0, "a"), (6, "b"), (12, "c"), (18, "d")]
    assert time == 24
    assert isinstance(error, BufferOverflow)
    assert "3 values wait for a busy subscriber, one more than may" in str(error)
    assert operator.dropped == 1


def test_bounded_cannot_wait_where_there_is_one_thread_and_says_so() -> None:
    *_, (_, error) = delivered(bounded(1, "block"))
    assert isinstance(error, RuntimeError)
    assert "waiting for room would never end" in str(error)


@pytest.mark.parametrize("operator", [conflate(), bounded(1)])
def test_a_subscriber_that_keeps_up_gets_all_of_it_at_once(operator: Handover) -> None:
    assert delivered(operator, "a-------b-------c-------|") == [(0, "a"), (8, "b"), (16, "c"), (24, "|")]
    assert operator.dropped == 0


@pytest.mark.parametrize("make", [conflate, lambda: bounded(5)])
def test_an_error_comes_after_what_is_kept(make: Callable[[], Handover]) -> None:
    *values, (time, error) = delivered(make(), "a-b#")
    assert values == [(0, "a"), (6, "b")]
    assert time == 12
    assert isinstance(error, Exception)


def test_what_merge_raises_is_the_end_after_what_is_kept() -> None:
    *values, (_, error) = delivered(conflate(lambda kept, newest: kept / newest))
    assert values == [(0, "a"), (6, "b")]
    assert isinstance(error, TypeError)


# Between threads.


def test_the_subscriber_is_called_on_one_thread_that_is_not_the_sources() -> None:
    recorder: Recorder[int] = Recorder()
    reactivex.of(1, 2, 3).pipe(bounded(10)).subscribe(recorder)
    assert recorder.wait_for_end() is None
    assert recorder.values == [1, 2, 3]
    assert len(recorder.threads) == 1
    assert threading.current_thread() not in recorder.threads


def test_a_source_waits_for_room_and_nothing_is_lost() -> None:
    busy = Busy()
    numbers: Subject[int] = Subject()
    numbers.pipe(bounded(2)).subscribe(busy)
    for number in range(3):
        numbers.on_next(number)
        busy.wait_for(1)
    with ThreadPoolExecutor() as threads:
        fourth = threads.submit(numbers.on_next, 3)
        with pytest.raises(TimeoutError):
            fourth.result(0.1)
        busy.may_go_on.set()
        fourth.result(TIMEOUT)
    assert busy.wait_for(4) == [0, 1, 2, 3]
    numbers.on_completed()


def test_a_source_that_waits_goes_on_when_its_subscriber_leaves() -> None:
    busy = Busy()
    numbers: Subject[int] = Subject()
    subscription = numbers.pipe(bounded(1)).subscribe(busy)
    numbers.on_next(0)
    busy.wait_for(1)
    numbers.on_next(1)
    with ThreadPoolExecutor() as threads:
        third = threads.submit(numbers.on_next, 2)
        with pytest.raises(TimeoutError):
            third.result(0.1)
        subscription.dispose()
        third.result(TIMEOUT)
    busy.may_go_on.set()
    assert busy.values == [0]


def test_a_source_that_waits_inside_subscribe_goes_on_when_its_subscriber_leaves() -> None:
    got: Recorder[int] = Recorder()
    with ThreadPoolExecutor() as threads:
        endless = reactivex.generate(0, lambda _: True, lambda number: number + 1)
        done = threads.submit(lambda: endless.pipe(bounded(2), ops.take(5)).subscribe(got))
        done.result(TIMEOUT)
    assert got.wait_for(5) == [0, 1, 2, 3, 4]
    assert got.has_completed


def test_a_subscriber_that_feeds_its_own_source_is_told_that_waiting_would_never_end() -> None:
    numbers: Subject[int] = Subject()
    recorder: Recorder[int] = Recorder(then=lambda number: reactivex.of(*[number + 1] * 3).subscribe(numbers))
    numbers.pipe(bounded(1)).subscribe(recorder)
    numbers.on_next(0)
    assert isinstance(recorder.wait_for_end(), RuntimeError)


def test_it_delivers_on_the_scheduler_that_it_is_given() -> None:
    recorder: Recorder[int] = Recorder()
    threads: list[threading.Thread] = []

    def make(target: Callable[[], None]) -> threading.Thread:
        threads.append(threading.Thread(target=target, daemon=True))
        return threads[-1]

    scheduler = EventLoopScheduler(thread_factory=make, exit_if_empty=True)
    reactivex.of(1, 2, 3).pipe(conflate(max, scheduler=scheduler)).subscribe(recorder)
    assert recorder.wait_for_end() is None
    assert recorder.threads <= set(threads)


@pytest.mark.parametrize("end", ["completed", "left"])
def test_no_thread_is_left(end: str) -> None:
    recorder: Recorder[int] = Recorder()
    numbers: Subject[int] = Subject()
    subscription = numbers.pipe(conflate()).subscribe(recorder)
    numbers.on_next(1)
    recorder.wait_for(1)
    if end == "completed":
        numbers.on_completed()
    else:
        subscription.dispose()
    for thread in recorder.threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    assert numbers.observers == []


def test_what_a_subscriber_raises_is_told_and_ends_its_subscription(monkeypatch: pytest.MonkeyPatch) -> None:
    raised = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda args: raised.set())
    numbers: Subject[int] = Subject()
    numbers.pipe(conflate()).subscribe(Recorder(then=lambda _: 1 / 0))
    numbers.on_next(1)
    assert raised.wait(TIMEOUT)
    assert numbers.observers == []


def test_each_subscription_keeps_for_itself_and_the_counter_is_theirs_together() -> None:
    operator = bounded(1, "drop_newest")
    both = [Busy(), Busy()]
    numbers: Subject[int] = Subject()
    for busy in both:
        numbers.pipe(operator).subscribe(busy)
    numbers.on_next(0)
    for busy in both:
        busy.wait_for(1)
    numbers.on_next(1)
    numbers.on_next(2)
    assert operator.dropped == 2
    for busy in both:
        busy.may_go_on.set()
        assert busy.wait_for(2) == [0, 1]
    numbers.on_completed()


def test_a_slow_subscriber_of_a_fast_socket_sees_the_newest_message_and_slows_nobody() -> None:
    newest = conflate()
    busy = Busy()
    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        channel.stream.pipe(newest).subscribe(busy)
        quick: Recorder[str | bytes] = Recorder()
        channel.stream.subscribe(quick)
        for number in range(1000):
            channel.sink.add(str(number))
        quick.wait_for(1000)
        busy.may_go_on.set()
        while busy.wait_for(1)[-1] != "999":
            busy.wait_for(len(busy.values) + 1)
    assert newest.dropped + len(busy.values) == 1000


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_is_above_0(size: int) -> None:
    with pytest.raises(ValueError, match="size is a number of values above 0"):
        bounded(size)


def test_an_overflow_is_one_of_four() -> None:
    with pytest.raises(ValueError, match="overflow is one of 'block', 'drop_oldest', 'drop_newest', 'error'"):
        bounded(1, "drop")  # type: ignore[arg-type]


def test_the_source_is_subscribed_to_with_the_scheduler_of_the_subscription() -> None:
    passed: list[abc.SchedulerBase | None] = []

    def subscribe(observer: abc.ObserverBase[int], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        passed.append(scheduler)
        return reactivex.empty().subscribe(observer)

    scheduler = VirtualTimeScheduler()
    Observable(subscribe).pipe(conflate()).subscribe(scheduler=scheduler)
    assert passed == [scheduler]
