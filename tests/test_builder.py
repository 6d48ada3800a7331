"""StreamBuilder: its snapshots in virtual time, its swaps across threads, its drawing on a terminal."""

from __future__ import annotations

import io
import os
import select
import sys
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar, assert_type

import pyte
import pyte.modes
import pytest
import reactivex
from reactivex import Observable, Subject, abc
from reactivex import operators as ops
from reactivex.disposable import CompositeDisposable, Disposable
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.subscription import Subscription
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel

from rxecho import AsyncSnapshot, ConnectionState, StreamBuilder, operators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reactivex.testing.hotobservable import HotObservable
    from reactivex.testing.recorded import Recorded

NONE, WAITING, ACTIVE, DONE = ConnectionState
on_next, on_completed, on_error = ReactiveTest.on_next, ReactiveTest.on_completed, ReactiveTest.on_error
with_data = AsyncSnapshot.with_data
SECONDS = 10.0

T = TypeVar("T")


def data(snapshot: AsyncSnapshot[Any]) -> str:
    return str(snapshot.data)


def unexpected(snapshot: AsyncSnapshot[Any]) -> str:
    raise AssertionError(f"nobody draws, but {snapshot} was built")


def sampled(scheduler: TestScheduler, builder: StreamBuilder[T], *times: float) -> list[AsyncSnapshot[T]]:
    """What the builder's snapshot is at each of the times."""
    samples: list[AsyncSnapshot[T]] = []
    for moment in times:
        scheduler.schedule_absolute(moment, lambda *_: samples.append(builder.snapshot))
    scheduler.start()
    return samples


class Careless(Observable[T]):
    """A stream on its way to emit when it is unsubscribed from: it emits all the same."""

    observer: abc.ObserverBase[T]

    def subscribe(self, on_next: Any = None, *_: Any, **__: Any) -> abc.DisposableBase:
        self.observer = on_next
        return Disposable()


# The snapshot


def test_it_is_none_while_there_is_no_stream() -> None:
    assert StreamBuilder(None, unexpected).snapshot == AsyncSnapshot.nothing()
    assert StreamBuilder(None, unexpected, initial_data="first").snapshot == with_data(NONE, "first")


def test_it_subscribes_when_constructed_and_waits() -> None:
    scheduler = TestScheduler()
    source: HotObservable[str] = scheduler.create_hot_observable(on_next(210, "a"))
    builder = StreamBuilder(source, unexpected)
    assert source.subscriptions == [Subscription(0)]
    assert builder.snapshot == AsyncSnapshot.waiting()
    assert builder.stream is source


def test_it_waits_with_the_initial_data() -> None:
    builder = StreamBuilder(reactivex.never(), unexpected, initial_data="first")
    assert builder.snapshot == with_data(WAITING, "first")


def test_it_is_active_with_the_latest_value_and_done_with_the_last() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(on_next(210, "a"), on_next(220, "b"), on_completed(230))
    samples = sampled(scheduler, StreamBuilder(source, unexpected), 205, 215, 225, 235)
    assert samples == [
        AsyncSnapshot.waiting(),
        with_data(ACTIVE, "a"),
        with_data(ACTIVE, "b"),
        with_data(DONE, "b"),
    ]
    assert source.subscriptions == [Subscription(0, 230)]


def test_a_stream_that_fails_is_done_with_the_error() -> None:
    error = OSError("gone")
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(on_next(210, "a"), on_error(220, error))
    samples = sampled(scheduler, StreamBuilder(source, unexpected), 215, 225)
    assert samples == [with_data(ACTIVE, "a"), AsyncSnapshot.with_error(DONE, error)]


def test_a_stream_that_cannot_be_subscribed_to_is_done_with_the_error() -> None:
    gone = Subject[str]()
    gone.dispose()
    snapshot = StreamBuilder(gone, unexpected).snapshot
    assert (snapshot.connection_state, snapshot.has_error) == (DONE, True)


A, B, NO_DATA = (on_next(210, "a"), on_next(220, "b"), on_next(230, None))
COMPLETED, FAILED = on_completed(240), on_error(240, OSError("gone"))


@pytest.mark.parametrize(
    "messages",
    [[], [A], [A, B], [A, NO_DATA], [COMPLETED], [FAILED], [A, COMPLETED], [A, NO_DATA, COMPLETED], [A, FAILED]],
)
@pytest.mark.parametrize("initial_data", [None, "first"])
def test_its_snapshot_is_the_latest_of_operators_snapshots(
    messages: list[Recorded[Any]], initial_data: str | None
) -> None:
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(messages)
    expected: list[AsyncSnapshot[str]] = []
    source.pipe(operators.snapshots(initial_data)).subscribe(expected.append)
    builder = StreamBuilder(source, unexpected, initial_data=initial_data)
    assert sampled(scheduler, builder, 200, *(message.time + 5 for message in messages)) == expected


def test_a_stream_that_emits_while_it_is_subscribed_to_works() -> None:
    assert StreamBuilder(reactivex.of("a", "b"), unexpected).snapshot == with_data(DONE, "b")
    assert StreamBuilder(reactivex.empty(), unexpected, initial_data="first").snapshot == with_data(DONE, "first")
    at_once: Observable[str] = reactivex.never().pipe(ops.start_with("a"))
    assert StreamBuilder(at_once, unexpected).snapshot == with_data(ACTIVE, "a")


def test_the_types_follow_the_stream() -> None:
    builder = StreamBuilder(reactivex.of("a"), lambda snapshot: assert_type(snapshot, AsyncSnapshot[str]).require_data)
    assert_type(builder, StreamBuilder[str])
    assert_type(builder.snapshot, AsyncSnapshot[str])
    assert_type(builder.stream, Observable[str] | None)


# Setting the stream


def test_setting_the_stream_passes_through_none_to_waiting_and_keeps_the_data() -> None:
    seen: list[AsyncSnapshot[str]] = []

    def see() -> None:
        seen.append(builder.snapshot)

    old, new = Subject[str](), Subject[str]()
    builder = StreamBuilder(old.pipe(ops.finally_action(see)), unexpected)
    old.on_next("a")
    builder.stream = reactivex.defer(lambda _: see() or new)  # type: ignore[func-returns-value]
    see()
    new.on_next("b")
    see()
    assert seen == [with_data(NONE, "a"), with_data(WAITING, "a"), with_data(WAITING, "a"), with_data(ACTIVE, "b")]


def test_setting_the_stream_unsubscribes_from_the_old_one_and_subscribes_to_the_new() -> None:
    scheduler = TestScheduler()
    old = scheduler.create_hot_observable(on_next(210, "a"), on_next(230, "ignored"))
    new = scheduler.create_hot_observable(on_next(215, "too early"), on_next(225, "b"))
    builder = StreamBuilder(old, unexpected)
    scheduler.schedule_absolute(220, lambda *_: setattr(builder, "stream", new))
    samples = sampled(scheduler, builder, 215, 222, 226, 235)
    assert samples == [with_data(ACTIVE, "a"), with_data(WAITING, "a"), with_data(ACTIVE, "b"), with_data(ACTIVE, "b")]
    assert (old.subscriptions, new.subscriptions) == ([Subscription(0, 220)], [Subscription(220)])
    assert builder.stream is new


def test_setting_no_stream_is_none_and_keeps_the_data() -> None:
    source = Subject[str]()
    builder = StreamBuilder(source, unexpected)
    source.on_next("a")
    builder.stream = None
    source.on_next("ignored")
    assert builder.snapshot == with_data(NONE, "a")
    assert (builder.stream, source.observers) == (None, [])


def test_a_stream_can_be_set_later() -> None:
    builder = StreamBuilder[str](None, unexpected, initial_data="first")
    builder.stream = source = Subject[str]()
    assert builder.snapshot == with_data(WAITING, "first")
    source.on_next("a")
    assert builder.snapshot == with_data(ACTIVE, "a")


def test_setting_the_same_stream_changes_nothing() -> None:
    scheduler = TestScheduler()
    source: HotObservable[str] = scheduler.create_hot_observable(on_next(210, "a"), on_completed(220))
    builder = StreamBuilder(source, unexpected)
    for moment in (205, 215, 225):
        scheduler.schedule_absolute(moment, lambda *_: setattr(builder, "stream", source))
    samples = sampled(scheduler, builder, 206, 216, 226)
    assert samples == [AsyncSnapshot.waiting(), with_data(ACTIVE, "a"), with_data(DONE, "a")]
    assert source.subscriptions == [Subscription(0, 220)]


def test_an_error_too_is_kept_until_the_new_stream_brings_something() -> None:
    error = OSError("gone")
    builder: StreamBuilder[str] = StreamBuilder(reactivex.throw(error), unexpected)
    builder.stream = source = Subject[str]()
    assert builder.snapshot == AsyncSnapshot.with_error(WAITING, error)
    source.on_next("a")
    assert builder.snapshot == with_data(ACTIVE, "a")


@pytest.mark.parametrize(
    "late",
    [
        lambda observer: observer.on_next("late"),
        lambda observer: observer.on_completed(),
        lambda observer: observer.on_error(OSError("late")),
    ],
)
def test_a_notification_already_under_way_from_the_old_stream_is_ignored(
    late: Callable[[abc.ObserverBase[str]], None],
) -> None:
    old, new = Careless[str](), Subject[str]()
    builder = StreamBuilder(old, unexpected, initial_data="first")
    builder.stream = new
    late(old.observer)
    assert builder.snapshot == with_data(WAITING, "first")
    new.on_next("a")
    late(old.observer)
    assert builder.snapshot == with_data(ACTIVE, "a")


def test_a_stream_may_set_another_one_while_it_is_subscribed_to() -> None:
    left, right = Subject[str](), Subject[str]()

    def swap(_: abc.SchedulerBase) -> Observable[str]:
        builder.stream = right
        return left

    builder = StreamBuilder[str](None, unexpected)
    builder.stream = reactivex.defer(swap)
    assert (len(left.observers), len(right.observers)) == (0, 1)
    right.on_next("a")
    assert builder.snapshot == with_data(ACTIVE, "a")


@pytest.fixture
def impatient_threads() -> Iterator[None]:
    """Threads that take turns as often as they can, to find each other's seams."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("impatient_threads")
def test_an_old_stream_that_keeps_emitting_in_another_thread_is_never_seen_after_a_swap() -> None:
    streams = [Careless[tuple[int, int]]() for _ in range(200)]
    builder = StreamBuilder(streams[0], unexpected)
    current, stop = [0], threading.Event()
    backwards: list[object] = []

    def emit() -> None:
        for n in count():
            newest = current[0]
            for i in (newest - 1, newest):  # the old one, too
                if i >= 0:
                    streams[i].observer.on_next((i, n))
            if stop.is_set():
                return

    def read() -> None:
        before = (0, 0)
        while not stop.is_set():
            latest = builder.snapshot.data or before
            if latest < before:
                backwards.append((before, latest))
            before = latest

    threads = [threading.Thread(target=emit), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    try:
        for i, stream in enumerate(streams[1:], 1):
            deadline = time.monotonic() + SECONDS
            builder.stream = stream
            kept = builder.snapshot
            current[0] = i
            assert kept.connection_state is WAITING
            while (snapshot := builder.snapshot).connection_state is WAITING:
                assert snapshot == kept
                assert time.monotonic() < deadline
            assert snapshot.require_data[0] == i
    finally:
        stop.set()
        for thread in threads:
            thread.join(SECONDS)
    assert backwards == []


@pytest.mark.usefixtures("impatient_threads")
def test_streams_set_by_several_threads_at_once_leave_one_subscription() -> None:
    for _ in range(50):
        builder = StreamBuilder[str](None, unexpected)
        streams = [Subject[str]() for _ in range(4)]
        start = threading.Barrier(len(streams))

        def swap(stream: Subject[str], start: threading.Barrier = start, builder: Any = builder) -> None:
            start.wait(SECONDS)
            builder.stream = stream

        threads = [threading.Thread(target=swap, args=(stream,)) for stream in streams]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert [stream for stream in streams if stream.observers] == [builder.stream]


# Disposing


def test_dispose_unsubscribes_and_keeps_the_latest() -> None:
    source = Subject[str]()
    builder = StreamBuilder(source, unexpected)
    source.on_next("a")
    builder.dispose()
    builder.dispose()
    source.on_next("ignored")
    source.on_completed()
    assert builder.snapshot == with_data(ACTIVE, "a")
    assert (builder.stream, source.observers) == (None, [])


def test_a_notification_already_under_way_is_ignored_once_disposed() -> None:
    source = Careless[str]()
    builder = StreamBuilder(source, unexpected, initial_data="first")
    builder.dispose()
    source.observer.on_next("late")
    assert builder.snapshot == with_data(WAITING, "first")


def test_a_stream_set_once_disposed_is_not_subscribed_to() -> None:
    source = Subject[str]()
    builder = StreamBuilder[str](None, unexpected)
    builder.dispose()
    builder.stream = source
    assert builder.stream is not source
    assert source.observers == []


def test_a_stream_may_dispose_of_it_while_it_is_subscribed_to() -> None:
    source = Subject[str]()
    builder = StreamBuilder[str](None, unexpected)
    builder.stream = reactivex.defer(lambda _: builder.dispose() or source)  # type: ignore[func-returns-value]
    assert source.observers == []


def test_it_composes_with_other_disposables() -> None:
    source = Subject[str]()
    CompositeDisposable(StreamBuilder(source, unexpected)).dispose()
    assert source.observers == []


# Drawing


def drawn(renderable: object, width: int = 40) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=width)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class Terminal:
    """A real terminal device, and the screen that whoever looks at it sees."""

    def __init__(self, columns: int = 40, lines: int = 10) -> None:
        self._master, slave = os.openpty()
        self._file = os.fdopen(slave, "w", encoding="utf-8")
        self.console = Console(
            file=self._file, width=columns, height=lines, _environ={"TERM": "xterm-256color"}, force_jupyter=False
        )
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def shown(self) -> list[str]:
        lines = [line.rstrip() for line in self._screen.display]
        return lines[: max((n for n, line in enumerate(lines, 1) if line), default=0)]

    def until(self, condition: Callable[[list[str]], bool]) -> list[str]:
        deadline = time.monotonic() + SECONDS
        while not condition(self.shown):
            readable, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
            assert readable, f"still {self.shown} after {SECONDS} s"
            self._stream.feed(os.read(self._master, 65536))
        return self.shown

    def close(self) -> None:
        self._file.close()
        os.close(self._master)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    if not hasattr(os, "openpty"):
        pytest.skip("this platform has no pseudo-terminals")
    terminal = Terminal()
    yield terminal
    terminal.close()


def live(renderable: StreamBuilder[Any], terminal: Terminal, **options: Any) -> Live:
    return Live(renderable, console=terminal.console, redirect_stdout=False, redirect_stderr=False, **options)


def test_the_builder_runs_only_when_it_is_drawn_with_the_latest_snapshot() -> None:
    built: list[AsyncSnapshot[int]] = []

    def build(snapshot: AsyncSnapshot[int]) -> str:
        built.append(snapshot)
        return data(snapshot)

    source = Subject[int]()
    builder = StreamBuilder(source, build)
    for n in range(1000):
        source.on_next(n)
    assert built == []
    assert drawn(builder) == "999\n"
    assert built == [with_data(ACTIVE, 999)]


def test_a_str_is_shown_literally_and_never_as_markup() -> None:
    text = "[bold]1[/bold] [link=x]y :smile: 'quoted' https://example.org/"
    assert drawn(StreamBuilder(reactivex.of(text), data), width=80) == text + "\n"


def test_a_str_is_escaped_but_for_its_line_breaks_and_tabs() -> None:
    text = "\x1b]0;title\x07one\n\ttwo\r\nü\tthree\u202e"
    shown = drawn(StreamBuilder(reactivex.of(text), data))
    assert shown == "\\e]0;title\\x07one\n        two\\r\nü       three\\u202e\n"


def test_a_renderable_is_drawn_as_it_is() -> None:
    builder = StreamBuilder(reactivex.of("a"), lambda snapshot: Panel(data(snapshot), title="[bold]latest[/]"))
    assert drawn(builder) == drawn(Panel("a", title="[bold]latest[/]"))


def test_it_is_as_wide_as_what_it_draws() -> None:
    assert (
        drawn(Panel.fit(StreamBuilder(reactivex.of("a\tb"), data))) == "╭───────────╮\n│ a       b │\n╰───────────╯\n"
    )


def test_print_shows_the_latest_snapshot_each_time() -> None:
    source = Subject[str]()
    builder = StreamBuilder(source, lambda snapshot: f"{snapshot.connection_state.value}: {snapshot.data}")
    shown = [drawn(builder)]
    source.on_next("a")
    shown.append(drawn(builder))
    source.on_completed()
    shown.append(drawn(Group(builder, builder)))
    assert shown == ["waiting: None\n", "active: a\n", "done: a\ndone: a\n"]


def test_a_live_display_shows_the_latest_value_while_the_stream_floods(terminal: Terminal) -> None:
    drawings = count()

    def build(snapshot: AsyncSnapshot[int]) -> Panel:
        next(drawings)
        return Panel(f"{snapshot.connection_state.value} {snapshot.data}")

    source = Subject[int]()
    builder = StreamBuilder(source, build)
    started = time.monotonic()
    with live(builder, terminal, refresh_per_second=20):
        terminal.until(lambda shown: shown[1:2] == ["│ waiting None                         │"])
        flood = threading.Thread(target=lambda: reactivex.range(50_000).subscribe(source))
        flood.start()
        terminal.until(lambda shown: shown[1:2] == ["│ done 49999                           │"])
        flood.join(SECONDS)
    # One frame when it starts, one when it stops, and at most 20 a second in between.
    assert next(drawings) <= 20 * (time.monotonic() - started) + 2


def test_a_live_display_shows_how_the_stream_failed(terminal: Terminal) -> None:
    source = Subject[str]()
    with live(StreamBuilder(source, lambda snapshot: f"{snapshot.error!r}"), terminal, refresh_per_second=20):
        source.on_error(OSError("gone"))
        terminal.until(lambda shown: shown == ["OSError('gone')"])


def test_no_message_takes_over_the_terminal_of_a_live_display(terminal: Terminal) -> None:
    source = Subject[str]()
    with live(StreamBuilder(source, data), terminal, refresh_per_second=20):
        source.on_next("\x1b[2J\x1b[5;5Hhere\n\x9b31m[red]\x07")
        terminal.until(lambda shown: shown == ["\\e[2J\\e[5;5Hhere", "\\x9b31m[red]\\x07"])


def test_a_notebook_shows_it() -> None:
    builder = StreamBuilder(reactivex.of("<b>[bold]\x1b"), data)
    shown = builder._repr_mimebundle_(include=[], exclude=[])
    assert shown["text/plain"] == "<b>[bold]\\e\n"
    assert "&lt;b&gt;[bold]\\e\n" in shown["text/html"]


def test_the_repr_shows_the_snapshot() -> None:
    builder = StreamBuilder(reactivex.of("a"), unexpected)
    assert repr(builder) == "<StreamBuilder AsyncSnapshot(ConnectionState.DONE, data='a')>"
