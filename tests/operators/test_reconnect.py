"""The `reconnect` operator: its waits in virtual time, and real servers that go away and come back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf, nan
from time import monotonic
from typing import Any

import pytest
import reactivex
from peer import Recorder
from raw_server import TIMEOUT, Peer, raw_server, refused_port
from reactivex import Observable, abc
from reactivex import operators as ops
from reactivex.disposable import Disposable
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler

from rxecho import (
    ChannelState,
    ConnectError,
    ConnectionLost,
    EchoServer,
    ProtocolError,
    WebSocketChannel,
    open_channel,
)
from rxecho.operators import ReconnectPhase, ReconnectState, reconnect

on_next, on_completed, on_error = ReactiveTest.on_next, ReactiveTest.on_completed, ReactiveTest.on_error
CONNECTING, OPEN, WAITING, ENDED = ReconnectPhase
LOST = ConnectionLost("gone")


class Ended:
    """Of a channel that has ended, what `reconnect` asks."""

    def __init__(self, close_code: int = 1006, *, by_us: bool = False) -> None:
        self.close_code = close_code
        self.closed_by_us = by_us


def failing(error: Exception = LOST, *, after: float = 0.0) -> Observable[Any]:
    """Channels that never open."""
    return reactivex.timer(after).pipe(ops.flat_map(lambda _: reactivex.throw(error)))


def living(seconds: float, end: Exception | None = LOST, channel: Ended | None = None) -> Observable[Any]:
    """Channels that open at once, and end after so many seconds."""
    last: Observable[Any] = reactivex.empty() if end is None else reactivex.throw(end)
    return reactivex.concat(
        reactivex.of(channel or Ended()), reactivex.timer(seconds).pipe(ops.ignore_elements()), last
    )


def steps(source: Observable[Any], until: float = 1000, **options: Any) -> list[tuple[float, ReconnectState]]:
    """What `reconnect` tells, and when, in virtual time."""
    scheduler = VirtualTimeScheduler()
    told: list[tuple[float, ReconnectState]] = []
    states: Subject[ReconnectState] = Subject()
    states.subscribe(lambda state: told.append((scheduler.clock, state)))
    source.pipe(reconnect(states=states, **options)).subscribe(on_error=lambda _: None, scheduler=scheduler)
    scheduler.advance_to(until)
    return told


def begins(source: Observable[Any], until: float = 1000, **options: Any) -> list[float]:
    """When attempts begin."""
    return [at for at, state in steps(source, until, **options) if state.phase is CONNECTING]


def end_of(source: Observable[Any], **options: Any) -> Exception | None:
    """How it ended, in virtual time."""
    scheduler = VirtualTimeScheduler()
    recorder: Recorder[Any] = Recorder()
    source.pipe(reconnect(**options)).subscribe(recorder, scheduler=scheduler)
    scheduler.advance_to(1000)
    return recorder.wait_for_end()


# The waits.


def test_the_longest_wait_doubles_up_to_the_largest() -> None:
    told = steps(failing(), 100, min_delay=1, max_delay=8, random=lambda: 1.0)
    assert [state.delay for _, state in told if state.phase is WAITING][:5] == [2, 4, 8, 8, 8]


def test_a_wait_is_never_shorter_than_the_least() -> None:
    told = steps(failing(), 10, min_delay=1, max_delay=8, random=lambda: 0.0)
    assert {state.delay for _, state in told if state.phase is WAITING} == {1.0}


@pytest.mark.parametrize(("drawn", "delay"), [(0.0, 1.0), (0.5, 1.5), (0.75, 1.75)])
def test_jitter_is_full_from_the_least_to_the_longest_wait(drawn: float, delay: float) -> None:
    told = steps(failing(), 5, min_delay=1, max_delay=60, random=lambda: drawn)
    assert next(state.delay for _, state in told if state.phase is WAITING) == delay


def test_attempts_begin_after_the_waits() -> None:
    assert begins(failing(after=0.5), 12, min_delay=1, max_delay=60, random=lambda: 1.0) == [0, 2.5, 7]


def test_a_connection_that_lived_begins_a_new_row() -> None:
    told = steps(living(5), 30, min_delay=1, max_delay=60, reset_after=5, random=lambda: 1.0)
    waits = [(state.attempt, state.delay) for _, state in told if state.phase is WAITING]
    assert set(waits) == {(1, 2.0)}


def test_a_connection_that_ended_too_soon_has_failed() -> None:
    told = steps(living(4.9), 30, min_delay=1, max_delay=60, reset_after=5, random=lambda: 1.0)
    waits = [(state.attempt, state.delay) for _, state in told if state.phase is WAITING]
    assert waits[:3] == [(2, 2.0), (3, 4.0), (4, 8.0)]


def test_twenty_thousand_attempts_are_none_too_many() -> None:
    told = steps(failing(), 200, min_delay=0.01, max_delay=0.01)
    assert sum(state.phase is CONNECTING for _, state in told) >= 19_900


def test_a_wait_is_on_the_scheduler_that_is_given() -> None:
    scheduler = TestScheduler()
    result = scheduler.start(
        lambda: living(50).pipe(
            reconnect(min_delay=10, max_delay=10, scheduler=scheduler, max_attempts=2, reset_after=60)
        ),
        disposed=1000,
    )
    assert [message.time for message in result.messages] == [200, 260, 310]


# The limits.


def test_it_gives_up_after_so_many_attempts_with_the_last_end() -> None:
    errors = [ConnectError("one"), ConnectError("two"), ConnectError("three")]
    left = iter(errors)
    source = reactivex.defer(lambda _: failing(next(left)))
    assert end_of(source, max_attempts=3) is errors[2]


def test_a_row_that_a_living_connection_began_has_so_many_attempts_again() -> None:
    ends = iter([failing(), failing(), living(10), failing(), failing(), failing(), living(10)])
    source = reactivex.defer(lambda _: next(ends))
    told = steps(source, max_attempts=3, min_delay=1, max_delay=1)
    assert [state.attempt for _, state in told if state.phase is CONNECTING] == [1, 2, 3, 1, 2, 3]
    assert told[-1][1] == ReconnectState(ENDED, 3, error=LOST)


def test_no_attempt_begins_later_than_max_time_after_the_first() -> None:
    assert begins(failing(), max_time=10, min_delay=4, max_delay=4) == [0, 4, 8]


def test_it_gives_up_as_soon_as_it_is_known_that_the_next_attempt_would_be_too_late() -> None:
    told = steps(failing(), max_time=10, min_delay=4, max_delay=4)
    assert told[-1] == (8, ReconnectState(ENDED, 3, error=LOST))


# Which ends count.


@pytest.mark.parametrize(
    ("error", "when", "is_retried"),
    [
        (ConnectionLost("gone"), ["lost", "failed"], True),
        (ConnectError("refused"), ["lost", "failed"], True),
        (ConnectError("busy", status=503), ["lost", "failed"], True),
        (ProtocolError("no"), ["lost", "failed"], True),
        (OSError("no descriptor left"), ["lost", "failed"], True),
        (ConnectionLost("gone"), ["failed"], False),
        (ConnectError("refused"), ["lost"], False),
        (ConnectError("who?", status=401), ["lost", "failed"], False),
        (ConnectError("no", status=403), ["lost", "failed"], False),
        (ConnectError("proxy", status=407), ["lost", "failed"], False),
        (ZeroDivisionError("a fault above"), ["lost", "failed", "closed"], False),
    ],
)
def test_an_end_with_an_error_counts_where_it_was_asked_for(
    error: Exception, when: list[Any], is_retried: bool
) -> None:
    told = steps(failing(error), 100, when=when, max_attempts=2)
    assert sum(state.phase is CONNECTING for _, state in told) == 1 + is_retried
    assert told[-1][1].error is error


@pytest.mark.parametrize(
    ("channel", "when", "is_retried"),
    [
        (Ended(1000), ["lost", "failed"], False),
        (Ended(1000), ["closed"], True),
        (Ended(1012), [1001, 1012], True),
        (Ended(1000), [1001, 1012], False),
        (Ended(1005), [1005], True),
        (Ended(1000, by_us=True), ["closed", 1000], False),
    ],
)
def test_a_close_counts_where_it_was_asked_for_and_not_by_us(channel: Ended, when: list[Any], is_retried: bool) -> None:
    told = steps(living(1, None, channel), 100, when=when, max_attempts=2)
    assert sum(state.phase is CONNECTING for _, state in told) == 1 + is_retried
    assert told[-1][1] == ReconnectState(ENDED, 1 + is_retried)


@pytest.mark.parametrize(
    "options",
    [
        {"min_delay": 0},
        {"min_delay": nan},
        {"min_delay": 2, "max_delay": 1},
        {"max_delay": inf},
        {"max_attempts": 0},
        {"max_time": 0},
        {"reset_after": -1},
        {"reset_after": nan},
        {"when": ["lots"]},
        {"when": [999]},
        {"when": "lost"},
    ],
)
def test_an_option_that_cannot_be_right_raises_right_there(options: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=next(iter(options)).replace("max_delay", "delay").replace("min_delay", "delay")
    ):
        reconnect(**options)


# What it tells.


def test_each_step_is_told_before_it_is_taken() -> None:
    scheduler = VirtualTimeScheduler()
    told: list[object] = []
    states: Subject[ReconnectState] = Subject()
    states.subscribe(lambda state: told.append((state.phase, state.attempt)))
    ends = iter([failing(), living(10), failing(ConnectError("no", status=403))])
    source = reactivex.defer(lambda _: next(ends))
    source.pipe(reconnect(states=states)).subscribe(
        lambda _: told.append("channel"), lambda _: told.append("error"), scheduler=scheduler
    )
    scheduler.advance_to(100)
    assert told == [
        (CONNECTING, 1),
        (WAITING, 2),
        (CONNECTING, 2),
        (OPEN, 2),
        "channel",
        (WAITING, 1),
        (CONNECTING, 1),
        (ENDED, 1),
        "error",
    ]


def test_a_wait_says_how_long_and_why() -> None:
    state = steps(failing(), 1, min_delay=1, max_delay=1)[1][1]
    assert state == ReconnectState(WAITING, 2, 1.0, LOST)


def test_an_observer_of_states_that_raises_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))
    states: Recorder[ReconnectState] = Recorder(then=lambda _: 1 / 0)
    scheduler = VirtualTimeScheduler()
    recorder: Recorder[Any] = Recorder()
    living(1).pipe(reconnect(states=states)).subscribe(recorder, scheduler=scheduler)
    scheduler.advance_to(0.5)
    assert len(recorder.values) == 1
    assert len(reported) == 2


def test_what_random_raises_is_the_end() -> None:
    fault = RuntimeError("no randomness left")

    def draw() -> float:
        raise fault

    assert end_of(failing(), random=draw) is fault


# Leaving it.


def test_disposing_of_it_while_it_waits_ends_the_wait() -> None:
    scheduler = VirtualTimeScheduler()
    attempts: list[float] = []

    def source(*_: object) -> Observable[Any]:
        attempts.append(scheduler.clock)
        return failing()

    subscription = reactivex.defer(source).pipe(reconnect(min_delay=5, max_delay=5)).subscribe(scheduler=scheduler)
    scheduler.advance_to(2)
    subscription.dispose()
    scheduler.advance_to(100)
    assert attempts == [0]


def test_disposing_of_it_inside_on_next_disposes_of_the_source() -> None:
    disposed: list[bool] = []

    def subscribe(observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        observer.on_next(Ended())
        return Disposable(lambda: disposed.append(True))

    Observable(subscribe).pipe(reconnect(), ops.take(1)).run()
    assert disposed == [True]


def test_each_subscription_begins_anew() -> None:
    source = failing().pipe(reconnect(max_attempts=2, min_delay=1, max_delay=1))
    for _ in range(2):
        scheduler = VirtualTimeScheduler()
        recorder: Recorder[Any] = Recorder()
        source.subscribe(recorder, scheduler=scheduler)
        scheduler.advance_to(0.5)
        assert recorder.error is None
        scheduler.advance_to(2)
        assert recorder.error is LOST


# Real servers.

QUICK: dict[str, Any] = {"min_delay": 0.01, "max_delay": 0.02}


@contextmanager
def recorded(channels: Observable[WebSocketChannel]) -> Iterator[Recorder[WebSocketChannel]]:
    recorder: Recorder[WebSocketChannel] = Recorder()
    with channels.subscribe(recorder):
        yield recorder
    for channel in recorder.values:
        channel.sink.done.result(TIMEOUT)
        channel._connection.thread.join(TIMEOUT)


def test_a_server_that_drops_the_connection_is_connected_to_again() -> None:
    with EchoServer() as server, recorded(open_channel(server.url).pipe(reconnect(**QUICK))) as channels:
        for number in range(1, 4):
            latest = channels.wait_for(number)[-1]
            assert latest._connection._sock
            latest._connection._sock.shutdown(2)
        assert channels.wait_for(4)[-1].state is ChannelState.OPEN


def test_a_server_that_is_gone_is_waited_for_until_it_is_back() -> None:
    states: Recorder[ReconnectState] = Recorder()
    with EchoServer() as server:
        port = server.port
    url = f"ws://127.0.0.1:{port}/"
    with recorded(open_channel(url).pipe(reconnect(states=states, **QUICK))) as channels:
        states.wait_for(4)  # refused, and refused again
        with EchoServer(port=port):
            assert channels.wait_for(1)[0].state is ChannelState.OPEN
    assert isinstance(states.values[1].error, ConnectError)


def test_a_server_that_closes_as_it_restarts_is_connected_to_again_where_that_was_asked_for() -> None:
    with EchoServer() as server:
        port = server.port
    channels = open_channel(f"ws://127.0.0.1:{port}/").pipe(reconnect(when=["lost", "failed", 1001], **QUICK))
    with recorded(channels) as opened:
        with EchoServer(port=port):
            opened.wait_for(1)
        with EchoServer(port=port):
            assert opened.wait_for(2)[-1].state is ChannelState.OPEN
    assert opened.values[0].close_code == 1001


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_refuses_us_is_not_asked_again(status: int) -> None:
    asked: list[bytes] = []

    def refuse(peer: Peer) -> None:
        asked.append(peer.read_head())
        peer.sock.sendall(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())

    recorder: Recorder[WebSocketChannel] = Recorder()
    with raw_server(refuse) as port:
        open_channel(f"ws://127.0.0.1:{port}/").pipe(reconnect(**QUICK)).subscribe(recorder)
        error = recorder.wait_for_end()
    assert isinstance(error, ConnectError)
    assert error.status == status
    assert len(asked) == 1


def test_our_own_close_is_the_end() -> None:
    recorder: Recorder[WebSocketChannel] = Recorder(then=lambda channel: channel.sink.close(1000))
    with EchoServer() as server:
        open_channel(server.url).pipe(reconnect(when=["lost", "failed", "closed"], **QUICK)).subscribe(recorder)
        assert recorder.wait_for_end() is None
        assert len(recorder.values) == 1


def test_disposing_of_it_closes_the_channel_with_1000() -> None:
    with EchoServer() as server, recorded(open_channel(server.url).pipe(reconnect(**QUICK))) as channels:
        channels.wait_for(1)
    assert channels.values[0].close_code == 1000


def test_nothing_is_left_of_a_wait_on_a_timer_that_was_given_up() -> None:
    states: Recorder[ReconnectState] = Recorder()
    before = set(threading.enumerate())
    with refused_port() as port:
        channels = open_channel(f"ws://127.0.0.1:{port}/").pipe(reconnect(states=states, min_delay=60, max_delay=60))
        with channels.subscribe(on_error=lambda _: None):
            states.wait_for(2)
    # The channel's thread may start the timer only now, to give it up at once.
    deadline = monotonic() + TIMEOUT
    while left := set(threading.enumerate()) - before:
        assert monotonic() < deadline, left
        for thread in left:
            if thread.ident is not None:  # it has started
                thread.join(TIMEOUT)
