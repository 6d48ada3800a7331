"""A timeline: what it notes, and that nobody notices that it does."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import reactivex
from reactivex import ConnectableObservable, GroupedObservable, Observable, Subject, abc
from reactivex import operators as ops
from reactivex.disposable import Disposable
from reactivex.scheduler import CurrentThreadScheduler, VirtualTimeScheduler
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.subscription import Subscription

from rxecho.marbles import Kind, Lane, Notification, Timeline
from rxecho.marbles.timeline import LIMIT, MOST_LANES

NEXT, COMPLETED, ERROR, SUBSCRIBED, DISPOSED, MISSED = Kind
N = Notification
on_next, on_completed, on_error = ReactiveTest.on_next, ReactiveTest.on_completed, ReactiveTest.on_error
SECONDS = 10.0


def kinds(lane: Lane) -> list[Kind]:
    return [one.kind for one in lane.notifications]


def emitted(lane: Lane) -> list[Any]:
    return [one.value for one in lane.notifications if one.kind is NEXT]


def shape(timeline: Timeline) -> list[tuple[str, int, list[Any]]]:
    """Each lane's name, depth and values, where these are no observables."""
    return [
        (lane.name, lane.depth, [value for value in emitted(lane) if not isinstance(value, Observable)])
        for lane in timeline.diagram().lanes
    ]


# It changes nothing.


@pytest.mark.parametrize(
    ("messages", "until"),
    [
        ([on_next(210, 1), on_next(220, None), on_completed(230)], 230),
        ([on_next(210, 1), on_error(220, OSError("gone"))], 220),
        ([on_next(210, 1)], 1000),
        ([on_completed(210)], 210),
        ([], 1000),
    ],
)
def test_trace_changes_nothing(messages: list[Any], until: int) -> None:
    scheduler = TestScheduler()
    source: Observable[Any] = scheduler.create_hot_observable(messages)
    traced = scheduler.start(lambda: source.pipe(Timeline(scheduler).trace()))
    assert traced.messages == messages
    assert source.subscriptions == [Subscription(200, until)]  # type: ignore[attr-defined]


def test_the_scheduler_is_passed_on() -> None:
    given: list[object] = []
    scheduler = CurrentThreadScheduler()

    def subscribe(_: abc.ObserverBase[int], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        given.append(scheduler)
        return Disposable()

    reactivex.create(subscribe).pipe(Timeline().trace()).subscribe(scheduler=scheduler)
    assert given == [scheduler]


def test_the_same_error_comes_through() -> None:
    error, came = OSError("gone"), list[Exception]()
    reactivex.throw(error).pipe(Timeline().trace()).subscribe(on_error=came.append)
    assert came[0] is error


def test_what_a_subscriber_raises_comes_through_and_ends_nothing() -> None:
    timeline, source, came = Timeline(), Subject[int](), list[int]()

    def refuse_the_first(value: int) -> None:
        came.append(value)
        if len(came) == 1:
            raise OSError("no")

    source.pipe(timeline.trace()).subscribe(refuse_the_first)
    with pytest.raises(OSError, match="no"):
        source.on_next(1)
    source.on_next(2)
    assert came == [1, 2]
    assert kinds(timeline.diagram().lanes[0]) == [SUBSCRIBED, NEXT, NEXT]


def test_what_keep_raises_comes_through() -> None:
    source = Subject[int]()
    source.pipe(Timeline().trace(keep=(1).__floordiv__)).subscribe()
    with pytest.raises(ZeroDivisionError):
        source.on_next(0)


def test_a_source_that_cannot_be_subscribed_to_fails_as_before() -> None:
    gone, timeline, came = Subject[int](), Timeline(), list[Exception]()
    gone.dispose()
    gone.pipe(timeline.trace()).subscribe(on_error=came.append)
    assert [type(error).__name__ for error in came] == ["DisposedException"]
    assert kinds(timeline.diagram().lanes[0])[-1] is ERROR


def test_disposing_reaches_the_source_and_is_noted_once() -> None:
    timeline, source = Timeline(), Subject[int]()
    subscription = source.pipe(timeline.trace()).subscribe()
    subscription.dispose()
    subscription.dispose()
    assert source.observers == []
    assert kinds(timeline.diagram().lanes[0]) == [SUBSCRIBED, DISPOSED]


def test_a_value_that_raises_when_shown_or_compared_is_noted_and_drawn() -> None:
    def refuse(*_: object) -> Any:
        raise RuntimeError("no")

    value = type("Refusing", (), {"__repr__": refuse, "__eq__": refuse, "__hash__": refuse, "__bool__": refuse})()
    timeline = Timeline()
    assert reactivex.of(value).pipe(timeline.trace()).run() is value
    assert "Refusing" in timeline.to_svg()
    assert timeline.to_marbles().diagram() == timeline.diagram()
    assert "Refusing" in str(timeline.to_marbles())


# What it notes.


def test_it_notes_what_happened_and_when() -> None:
    scheduler = TestScheduler()
    timeline = Timeline(scheduler)
    source = scheduler.create_hot_observable(on_next(210, "a"), on_error(220, OSError("gone")))
    scheduler.start(lambda: source.pipe(timeline.trace("source")))
    (lane,) = timeline.diagram().lanes
    assert lane == Lane("source", (N(200, SUBSCRIBED), N(210, NEXT, "a"), N(220, ERROR, OSError("gone"))))
    assert timeline.diagram().end == 220


def test_the_value_itself_is_kept_unless_told_otherwise() -> None:
    timeline, value = Timeline(), [1, 2]
    reactivex.of(value).pipe(timeline.trace(), timeline.trace(keep=len)).run()
    whole, size = timeline.diagram().lanes
    assert emitted(whole)[0] is value
    assert emitted(size) == [2]


def test_lanes_are_in_the_order_of_their_traces() -> None:
    timeline = Timeline()
    reactivex.of(1).pipe(timeline.trace("first"), ops.map(str), timeline.trace("second")).run()  # type: ignore[misc]
    assert shape(timeline) == [("first", 0, [1]), ("second", 0, ["1"])]


def test_a_trace_that_nobody_subscribed_to_is_an_empty_lane() -> None:
    timeline = Timeline()
    timeline.trace("idle")
    assert timeline.diagram().lanes == (Lane("idle"),)
    assert timeline.diagram().end == 0


def test_subscriptions_one_after_the_other_share_a_lane() -> None:
    timeline = Timeline()
    reactivex.of("a").pipe(timeline.trace(), ops.repeat(3)).run()
    (lane,) = timeline.diagram().lanes
    assert kinds(lane) == [SUBSCRIBED, NEXT, COMPLETED] * 3


def test_retry_shares_a_lane() -> None:
    timeline = Timeline()
    reactivex.throw(OSError()).pipe(timeline.trace(), ops.retry(2)).subscribe(on_error=lambda _: None)
    assert [kinds(lane) for lane in timeline.diagram().lanes] == [[SUBSCRIBED, ERROR] * 2]


def test_subscriptions_at_the_same_time_have_a_lane_each() -> None:
    timeline, source = Timeline(), Subject[int]()
    traced = source.pipe(timeline.trace("source"))
    first = traced.subscribe()
    traced.subscribe()
    source.on_next(1)
    first.dispose()
    traced.subscribe()
    source.on_next(2)
    assert shape(timeline) == [("source", 0, [1, 2]), ("source", 0, [1, 2])]
    assert [kinds(lane).count(SUBSCRIBED) for lane in timeline.diagram().lanes] == [2, 1]


# Streams of streams.


def test_a_group_keeps_its_key_and_its_type_and_is_an_inner_lane() -> None:
    timeline, keys = Timeline(), list[Any]()

    def key(group: GroupedObservable[int, int]) -> Observable[int]:
        assert type(group) is GroupedObservable
        keys.append(group.key)
        return group

    reactivex.of(1, 2, 3).pipe(ops.group_by(lambda x: x % 2), timeline.trace("groups"), ops.flat_map(key)).run()  # type: ignore[misc]
    assert keys == [1, 0]
    assert shape(timeline) == [("groups", 0, []), ("1", 1, [1, 3]), ("0", 1, [2])]


def test_groups_are_in_the_order_in_which_they_came_and_not_in_that_of_their_subscriptions() -> None:
    timeline, groups = Timeline(), list[Observable[int]]()
    source = Subject[int]()
    source.pipe(ops.group_by(lambda x: x), timeline.trace()).subscribe(groups.append)  # type: ignore[misc]
    source.on_next(1)
    source.on_next(2)
    groups[1].subscribe()
    groups[0].subscribe()
    assert [lane.name for lane in timeline.diagram().lanes] == ["", "1", "2"]


def test_windows_are_inner_lanes_that_begin_where_they_open() -> None:
    scheduler = VirtualTimeScheduler()
    timeline = Timeline(scheduler)
    reactivex.interval(1).pipe(ops.take(4), ops.window_with_count(2), timeline.trace(), ops.merge_all()).subscribe(  # type: ignore[misc]
        scheduler=scheduler
    )
    scheduler.advance_to(10)
    assert [(lane.depth, lane.begins, emitted(lane)) for lane in timeline.diagram().lanes[1:]] == [
        (1, 0, [0, 1]),
        (1, 2, [2, 3]),
        (1, 4, []),
    ]


def test_what_flat_map_subscribes_to_is_an_inner_lane_of_the_value_that_caused_it() -> None:
    timeline = Timeline()
    reactivex.of("a", "b").pipe(  # type: ignore[misc]
        timeline.trace("outer"),
        ops.flat_map(lambda x: reactivex.of(x + "1").pipe(timeline.trace(f"inner {x}"))),  # type: ignore[arg-type, return-value]
    ).run()
    assert shape(timeline) == [("outer", 0, ["a", "b"]), ("inner a", 1, ["a1"]), ("inner b", 1, ["b1"])]


def test_a_trace_made_before_has_an_inner_lane_for_each_value_that_has_it_subscribed_to() -> None:
    scheduler = VirtualTimeScheduler()
    timeline = Timeline(scheduler)
    inner = reactivex.of("x").pipe(timeline.trace("inner"))
    reactivex.interval(1).pipe(ops.take(2), timeline.trace("outer"), ops.flat_map(lambda _: inner)).subscribe(  # type: ignore[misc]
        scheduler=scheduler
    )
    scheduler.advance_to(5)
    assert [(lane.name, lane.depth, lane.begins) for lane in timeline.diagram().lanes] == [
        ("outer", 0, 0),
        ("inner", 1, 1),
        ("inner", 1, 2),
    ]


def test_switch_latest_disposes_of_the_inner_lane_before() -> None:
    timeline, outer = Timeline(), Subject[Observable[int]]()
    first, second = reactivex.never(), reactivex.of(1)
    outer.pipe(timeline.trace("outer"), ops.switch_latest()).subscribe()
    outer.on_next(first)
    outer.on_next(second)
    assert [kinds(lane) for lane in timeline.diagram().lanes[1:]] == [
        [SUBSCRIBED, DISPOSED],
        [SUBSCRIBED, NEXT, COMPLETED],
    ]


def test_streams_may_be_inside_of_streams_inside_of_streams() -> None:
    timeline = Timeline()
    reactivex.of(reactivex.of(reactivex.of(1))).pipe(timeline.trace(), ops.merge_all(), ops.merge_all()).run()
    assert [(lane.depth, len(lane.notifications)) for lane in timeline.diagram().lanes] == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("of", [Subject, lambda: reactivex.of(1).pipe(ops.publish())])
def test_an_observable_with_another_side_is_handed_on_untouched(of: Callable[[], Observable[int]]) -> None:
    value, came = of(), list[Any]()
    assert isinstance(value, abc.ObserverBase | ConnectableObservable)
    reactivex.of(value).pipe(Timeline().trace()).subscribe(came.append)
    assert came == [value]


# Limits.


def test_a_lane_keeps_the_newest_10_000_notifications_and_tells_what_it_dropped() -> None:
    timeline = Timeline()
    reactivex.range(LIMIT + 48).pipe(timeline.trace("numbers")).run()
    (lane,) = timeline.diagram().lanes
    assert (len(lane.notifications), lane.dropped) == (LIMIT, 50)
    assert emitted(lane)[-1] == LIMIT + 47
    assert timeline.diagram().notes == ("numbers: 50 earlier notifications are not kept",)
    assert repr(timeline) == "<Timeline numbers: 10,050 notifications>"


def test_of_lanes_that_have_ended_the_newest_200_are_kept() -> None:
    timeline = Timeline()
    for number in range(MOST_LANES + 48):
        reactivex.of(number).pipe(timeline.trace(str(number))).run()
    lanes = timeline.diagram().lanes
    assert [lane.name for lane in lanes] == [str(number) for number in range(48, MOST_LANES + 48)]
    assert timeline.diagram().notes == ("48 earlier lanes are not kept",)


def test_lanes_that_are_being_written_are_kept_however_many_there_are() -> None:
    timeline, source = Timeline(), Subject[int]()
    for number in range(MOST_LANES + 48):
        source.pipe(timeline.trace(str(number))).subscribe()
    assert len(timeline.diagram().lanes) == MOST_LANES + 48


def test_a_lane_with_inner_ones_is_kept() -> None:
    timeline = Timeline()
    reactivex.range(1000).pipe(  # type: ignore[misc]
        timeline.trace("outer"), ops.flat_map(lambda x: reactivex.of(x).pipe(timeline.trace(str(x))))
    ).run()
    lanes = timeline.diagram().lanes
    assert len(lanes) == MOST_LANES
    assert lanes[0].name == "outer"
    assert lanes[-1].name == "999"


def test_a_trace_whose_lane_is_not_kept_begins_a_new_one_in_its_place() -> None:
    timeline = Timeline()
    old = reactivex.of("old").pipe(timeline.trace("old"))
    old.run()
    for number in range(MOST_LANES):
        reactivex.of(number).pipe(timeline.trace(str(number))).run()
    assert timeline.diagram().lanes[0].name == "0"
    assert old.run() == "old"
    assert timeline.diagram().lanes[0].name == "old"


def test_a_trace_may_lose_some_of_its_lanes_and_keep_others() -> None:
    timeline, source = Timeline(), Subject[int]()
    traced = source.pipe(timeline.trace("source"))
    ended, _ = traced.subscribe(), traced.subscribe()
    ended.dispose()
    for number in range(MOST_LANES - 1):
        reactivex.of(number).pipe(timeline.trace(str(number))).run()
    assert [kinds(lane) for lane in timeline.diagram().lanes if lane.name == "source"] == [[SUBSCRIBED]]


def test_groups_that_nobody_listens_to_are_not_kept() -> None:
    timeline = Timeline()
    reactivex.range(1000).pipe(ops.group_by(lambda x: x), timeline.trace()).run()  # type: ignore[misc]
    assert len(timeline.diagram().lanes) == len(timeline._traces) == 1


# Clocks.


class Shaky(VirtualTimeScheduler):
    """A scheduler whose clock somebody sets back."""

    moment = datetime(2024, 1, 1, tzinfo=UTC)

    @property
    def now(self) -> datetime:
        return self.moment


def test_a_clock_that_is_set_back_stands_still_until_it_has_caught_up() -> None:
    clock = Shaky()
    timeline, source = Timeline(clock), Subject[int]()
    source.pipe(timeline.trace()).subscribe()
    begin = clock.moment
    for offset in (5, -60, 4, 7):
        clock.moment = begin + timedelta(seconds=offset)
        source.on_next(offset)
    assert [one.time for one in timeline.diagram().lanes[0].notifications] == [0, 5, 5, 5, 7]
    assert timeline.now == 7


def test_the_systems_clock_counts_from_when_it_was_made() -> None:
    timeline = Timeline()
    reactivex.of(1).pipe(timeline.trace()).run()
    times = [one.time for one in timeline.diagram().lanes[0].notifications]
    assert 0 <= times[0] <= times[1] <= times[2] <= timeline.now < 60


def test_while_a_lane_is_written_the_diagram_ends_now() -> None:
    scheduler = VirtualTimeScheduler()
    timeline = Timeline(scheduler)
    subscription = reactivex.never().pipe(timeline.trace()).subscribe()
    scheduler.advance_to(7)
    assert timeline.diagram().end == 7
    subscription.dispose()
    scheduler.advance_to(9)
    assert timeline.diagram().end == 7


def test_the_last_seconds_are_a_window_up_to_now() -> None:
    scheduler = VirtualTimeScheduler()
    timeline = Timeline(scheduler)
    scheduler.advance_to(42)
    window = timeline.diagram(last=10)
    assert (window.start, window.end) == (32, 42)


def test_times_are_rounded_to_the_resolution() -> None:
    scheduler = VirtualTimeScheduler()
    timeline = Timeline(scheduler, resolution=0.5)
    reactivex.interval(0.45).pipe(timeline.trace(), ops.take(3)).subscribe(scheduler=scheduler)
    scheduler.advance_to(2)
    assert [one.time for one in timeline.diagram().lanes[0].notifications] == [0, 0.5, 1, 1.5, 1.5]
    assert timeline.now == 2


@pytest.mark.parametrize("resolution", [-1, float("nan")])
def test_a_resolution_is_not_negative(resolution: float) -> None:
    with pytest.raises(ValueError, match="a resolution is 0 seconds or more, not "):
        Timeline(resolution=resolution)


# Showing itself.


def test_it_shows_itself_as_its_diagram_does() -> None:
    timeline = Timeline(VirtualTimeScheduler())
    reactivex.of("a").pipe(timeline.trace("one"), timeline.trace("two")).run()  # type: ignore[misc]
    assert list(timeline.__rich_console__(None, None)) == [timeline.diagram()]  # type: ignore[arg-type]
    assert timeline._repr_mimebundle_()["image/svg+xml"] == timeline.to_svg() == timeline.diagram().to_svg()
    assert timeline._repr_mimebundle_()["text/plain"].splitlines()[0].startswith("one ├a┤")
    assert timeline.to_svg(300) == timeline.diagram().to_svg(300)
    assert str(timeline.to_marbles()) == "one: (a,|)\ntwo: (a,|)"
    assert repr(timeline) == "<Timeline one: 3 notifications, two: 3 notifications>"
    assert repr(Timeline()) == "<Timeline without a lane>"


# Threads, and what else comes in between.


@pytest.fixture
def eager_collector() -> Iterator[None]:
    """Garbage that is collected as often as possible."""
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("eager_collector")
def test_a_finalizer_may_record_while_a_diagram_is_made() -> None:
    timeline = Timeline()
    source: Subject[int] = Subject()

    class Emitting:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            source.on_next(1)
            if goes_on:
                Emitting()

    goes_on = True
    with source.pipe(timeline.trace("source")).subscribe():
        Emitting()
        for _ in range(500):
            timeline.diagram()
        goes_on = False
        assert timeline.diagram().lanes[0].notifications


@pytest.fixture
def impatient_threads() -> Iterator[None]:
    """Threads that take turns as often as they can, to find each other's seams."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("impatient_threads")
def test_threads_may_record_while_another_draws() -> None:
    timeline = Timeline()
    mistakes: list[BaseException] = []

    def record(name: int) -> None:
        try:
            inner = reactivex.range(5).pipe(timeline.trace())
            reactivex.range(30).pipe(timeline.trace(str(name)), ops.flat_map(lambda _: inner)).run()
        except BaseException as mistake:  # noqa: BLE001 - told in the test's own thread
            mistakes.append(mistake)

    threads = [threading.Thread(target=record, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    drawings = 0
    while drawings < 10 or any(thread.is_alive() for thread in threads):
        diagram = timeline.diagram()
        drawings += 1
        for lane in diagram.lanes:
            times = [one.time for one in lane.notifications]
            assert times == sorted(times)
            assert lane.dropped == 0
    for thread in threads:
        thread.join(SECONDS)
    assert mistakes == []
    whole = [lane for lane in timeline.diagram().lanes if not lane.depth]
    assert sorted(lane.name for lane in whole) == ["0", "1", "2", "3"]
    assert all(emitted(lane) == list(range(30)) for lane in whole)
