"""`replay` and `to_marbles`: what was recorded comes again, when it came, and ends as it ended."""

from __future__ import annotations

import gc
import math
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.testing import ReactiveTest, TestScheduler

from rxecho import ConnectionLost, EchoServer, WebSocketChannel, errors, open_channel
from rxecho.marbles import expect
from rxecho.operators import messages
from rxecho.recording import Header, RecordingError, record, replay, to_marbles
from rxecho.recording.session import (
    Closed,
    Completed,
    Disposed,
    Event,
    Failed,
    Opened,
    Received,
    Sent,
    encode,
)

# For RxPY times are whole numbers.
on_next: Any = ReactiveTest.on_next
on_completed: Any = ReactiveTest.on_completed
CHROMIUM = Path(__file__).with_name("chromium.har")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


def write(path: Path, *events: Event) -> Path:
    header = Header(start=datetime(2026, 11, 25, tzinfo=UTC))
    path.write_bytes(b"".join(encode(line) + b"\n" for line in (header, *events)))
    return path


SESSION = (
    Sent(0.05, text="a"),
    Opened(0.1),
    Received(0.25, text="A"),
    Received(0.3, ping=b"x"),
    Sent(0.3, pong=b"x"),
    Received(0.5, binary=b"B"),
    Received(0.5, text=""),
    Closed(1.75, 1, 1000, "", "us"),
)


def test_what_was_received_comes_at_its_times(path: Path) -> None:
    write(path, *SESSION)
    result = TestScheduler().start(lambda: replay(path))
    assert result.messages == [
        on_next(200.25, "A"),
        on_next(200.5, b"B"),
        on_next(200.5, ""),
        on_completed(201.75),
    ]


def test_what_was_sent_comes_if_asked_for(path: Path) -> None:
    write(path, *SESSION)
    result = TestScheduler().start(lambda: replay(path, sent=True))
    assert result.messages == [on_next(200.05, "a"), on_completed(201.75)]


@pytest.mark.parametrize(("speed", "times"), [(2.0, (200.125, 200.25, 200.875)), (0.5, (200.5, 201, 203.5))])
def test_speed_divides_the_times(path: Path, speed: float, times: tuple[float, float, float]) -> None:
    write(path, *SESSION)
    first, second, end = times
    result = TestScheduler().start(lambda: replay(path, speed))
    assert result.messages == [on_next(first, "A"), on_next(second, b"B"), on_next(second, ""), on_completed(end)]


def test_at_infinite_speed_all_comes_at_once(path: Path) -> None:
    write(path, Received(3600.0, text="A"), Completed(7200.0))
    assert replay(path, math.inf).run() == "A"


@pytest.mark.parametrize("speed", [0, -1, math.nan])
def test_a_speed_that_is_none_is_refused(path: Path, speed: float) -> None:
    with pytest.raises(ValueError, match="speed is a number above 0"):
        replay(path, speed)


def test_each_subscription_begins_anew(path: Path) -> None:
    replayed = replay(write(path, *SESSION), math.inf)
    assert replayed.pipe(ops.to_list()).run() == replayed.pipe(ops.to_list()).run() == ["A", b"B", ""]


def test_the_given_scheduler_counts_before_that_of_the_subscription(path: Path) -> None:
    write(path, *SESSION)
    ours, theirs = VirtualTimeScheduler(), VirtualTimeScheduler()
    values: list[Any] = []
    replay(path, scheduler=ours).subscribe(values.append, scheduler=theirs)
    theirs.start()
    assert values == []
    ours.start()
    assert values == ["A", b"B", ""]


def test_without_a_scheduler_it_takes_its_time_on_another_thread(path: Path) -> None:
    write(path, Received(0.01, text="A"), Completed(0.02))
    threads: list[threading.Thread] = []
    done = threading.Event()
    replay(path).subscribe(lambda _: threads.append(threading.current_thread()), on_completed=done.set)
    assert done.wait(10)
    assert threads != [threading.current_thread()]


@pytest.mark.parametrize("name", list(errors.__all__))
def test_it_fails_as_it_failed(path: Path, name: str) -> None:
    write(path, Received(1.0, text="A"), Failed(2.0, 1, name, "what happened"))
    failures: list[Exception] = []
    scheduler = VirtualTimeScheduler()
    replay(path).subscribe(on_error=failures.append, scheduler=scheduler)
    scheduler.start()
    (error,) = failures
    assert scheduler.clock == 2
    assert type(error) is getattr(errors, name)
    assert str(error) == "what happened"


@pytest.mark.parametrize("name", ["OSError", "annotations", "__all__"])
def test_an_error_that_is_none_of_ours_says_its_type(path: Path, name: str) -> None:
    write(path, Failed(2.0, 1, name, "what happened"))
    with pytest.raises(RecordingError, match=f"^{name}: what happened$"):
        replay(path, math.inf).run()


def test_a_stream_that_was_left_completes_then(path: Path) -> None:
    write(path, Received(1.0, text="A"), Disposed(2.0))
    assert TestScheduler().start(lambda: replay(path)).messages == [on_next(201, "A"), on_completed(202)]


def test_other_values_are_as_json_has_them(path: Path) -> None:
    reactivex.of(None, (1, 2), {"a": 10**30}).pipe(record(path)).run()
    assert replay(path, math.inf).pipe(ops.to_list()).run() == [None, [1, 2], {"a": 10**30}]


def test_of_several_connections_the_last_end_counts(path: Path) -> None:
    write(
        path,
        Opened(0.0),
        Received(1.0, text="A"),
        Failed(2.0, 1, "ConnectionLost", "first"),
        Opened(3.0, 2),
        Received(4.0, 2, text="B"),
        Closed(5.0, 2, 1000),
        Completed(5.0, 0),
    )
    result = TestScheduler().start(lambda: replay(path))
    assert result.messages == [on_next(201, "A"), on_next(204, "B"), on_completed(205)]


def test_a_disposed_replay_says_no_more_and_closes_its_file(path: Path) -> None:
    write(path, Received(0.25, text="A"), Completed(3.0))
    before = len(list(Path("/proc/self/fd").iterdir()))
    result = TestScheduler().start(lambda: replay(path), disposed=201)
    assert result.messages == [on_next(200.25, "A")]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_subscriber_may_leave_inside_of_what_it_is_told(path: Path) -> None:
    write(path, *SESSION)
    assert replay(path, math.inf).pipe(ops.take(2), ops.to_list()).run() == ["A", b"B"]
    gc.collect()  # what was left open would be told now


def test_a_subscriber_may_leave_from_another_thread(path: Path) -> None:
    write(path, *(Received(number / 1e4, text="A") for number in range(10_000)), Completed(1.0))
    begun = threading.Event()
    subscription = replay(path).subscribe(lambda _: begun.set())
    assert begun.wait(10)
    subscription.dispose()


def test_a_session_of_a_real_channel_is_replayed(path: Path) -> None:
    with EchoServer() as server:
        channel = record(path)(WebSocketChannel.connect(server.url_for("/ticker?interval=0.01&count=5&seed=1")))
        quotes = channel.stream.pipe(ops.to_list()).run()
    assert replay(path, math.inf).pipe(ops.to_list()).run() == quotes


def greet(channel: WebSocketChannel) -> None:
    channel.sink.add("a")


def test_a_session_that_reconnected_is_replayed(path: Path) -> None:
    with EchoServer() as server:
        recorded = record(path)(open_channel(server.url_for("/flaky?after=1")).pipe(ops.retry(3)))
        with pytest.raises(ConnectionLost) as caught:
            recorded.pipe(ops.do_action(greet), messages()).run()
    values: list[str] = []
    with pytest.raises(ConnectionLost) as again:
        replay(path, math.inf).pipe(ops.do_action(values.append)).run()
    assert values == ["a", "a", "a"]
    assert str(again.value).replace("***", "1") == str(caught.value)


@given(st.lists(st.text() | st.binary(), min_size=1))
def test_whatever_is_recorded_is_replayed(tmp_path_factory: pytest.TempPathFactory, values: list[str | bytes]) -> None:
    path = tmp_path_factory.mktemp("session") / "session.jsonl"
    reactivex.from_iterable(values).pipe(record(path)).run()
    assert replay(path, math.inf).pipe(ops.to_list()).run() == values


def test_what_a_browser_saved_is_replayed() -> None:
    with pytest.raises(RecordingError, match="more than one WebSocket"):
        replay(CHROMIUM, math.inf).run()


def test_many_notifications_are_replayed_one_at_a_time(path: Path) -> None:
    write(path, *(Received(number / 1000, text="A") for number in range(10_000)), Completed(10.0))
    scheduler = VirtualTimeScheduler()
    longest = 0

    def look(_: object) -> None:
        nonlocal longest
        longest = max(longest, len(scheduler._queue))

    replay(path).subscribe(look, scheduler=scheduler)
    scheduler.start()
    assert longest <= 1


# Marbles.


def marbles_of(path: Path, *events: Event, timespan: float | None = None) -> str:
    return str(to_marbles(write(path, *events), timespan))


def test_a_session_is_drawn_in_two_lanes(path: Path) -> None:
    drawn = marbles_of(
        path, Sent(1.0, text="a"), Received(2.0, text="A"), Sent(4.0, text="b"), Received(5.0, text="B"),
        Closed(9.0), timespan=1,
    )  # fmt: skip
    assert drawn == "sent:     -a--b----|\nreceived: --A--B---|"


def test_an_error_is_drawn(path: Path) -> None:
    drawn = marbles_of(path, Received(1.0, text="A"), Failed(3.0, 1, "ConnectionLost", "gone"), timespan=1)
    assert drawn == "sent:     ---#\nreceived: -A-#"


@pytest.mark.parametrize(
    "events",
    [
        SESSION,
        (Completed(0.0),),
        (Received(0.000001, text="A"), Received(0.01, text="a longer text"), Failed(0.7, 1, "ConnectionLost", "gone")),
        (Received(1.0, value={"a": 1}), Received(2.0, value=None), Received(2.0, binary=b"\0"), Completed(3600.0)),
    ],
)
def test_the_marbles_of_a_session_pass_as_its_test(path: Path, events: tuple[Event, ...]) -> None:
    write(path, *events)
    text = to_marbles(path)
    for line, sent in zip(text.lines, (True, False), strict=True):
        expect(replay(path, sent=sent), line.marbles, text.lookup, error=line.error, timespan=text.timespan)


def test_a_whole_session_takes_ten_to_a_hundred_characters(path: Path) -> None:
    for seconds in (0.011, 0.09, 1.2, 3600.0):
        assert 10 <= len(to_marbles(write(path, Completed(seconds))).lines[0].marbles) <= 101


@pytest.mark.parametrize(
    "events", [(Received(1.0, text="A"),), (Received(1.0, text="A"), Completed(0.5))], ids=["cut off", "damaged"]
)
def test_what_is_no_whole_session_has_no_marbles(path: Path, events: tuple[Event, ...]) -> None:
    with pytest.raises(RecordingError):
        to_marbles(write(path, *events))
