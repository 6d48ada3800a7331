"""The `snapshots` operator, in virtual time."""

from __future__ import annotations

import reactivex
from reactivex import Observable, abc
from reactivex import operators as ops
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.subscription import Subscription

from rxecho import AsyncSnapshot, ConnectionState, operators

NONE, WAITING, ACTIVE, DONE = ConnectionState
on_next, on_completed, on_error = ReactiveTest.on_next, ReactiveTest.on_completed, ReactiveTest.on_error
with_data = AsyncSnapshot.with_data


def test_it_starts_waiting_is_active_per_value_and_ends_done_with_the_last_data() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(
        on_next(180, "too early"), on_next(210, "a"), on_next(220, "b"), on_completed(230)
    )
    result = scheduler.start(lambda: source.pipe(operators.snapshots()))
    assert result.messages == [
        on_next(200, AsyncSnapshot[str].waiting()),
        on_next(210, with_data(ACTIVE, "a")),
        on_next(220, with_data(ACTIVE, "b")),
        on_next(230, with_data(DONE, "b")),
        on_completed(230),
    ]
    assert source.subscriptions == [Subscription(200, 230)]


def test_an_error_is_a_done_snapshot_and_then_it_completes() -> None:
    error = OSError("gone")
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(on_next(210, "a"), on_error(220, error))
    result = scheduler.start(lambda: source.pipe(operators.snapshots()))
    assert result.messages == [
        on_next(200, AsyncSnapshot[str].waiting()),
        on_next(210, with_data(ACTIVE, "a")),
        on_next(220, AsyncSnapshot[str].with_error(DONE, error)),
        on_completed(220),
    ]
    assert source.subscriptions == [Subscription(200, 220)]


def test_it_waits_with_the_initial_data() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(on_next(210, "a"))
    result = scheduler.start(lambda: source.pipe(operators.snapshots("first")))
    assert result.messages == [on_next(200, with_data(WAITING, "first")), on_next(210, with_data(ACTIVE, "a"))]


def test_an_empty_source_is_done_with_the_initial_data() -> None:
    scheduler = TestScheduler()
    source: Observable[str] = scheduler.create_hot_observable(on_completed(210))
    result = scheduler.start(lambda: source.pipe(operators.snapshots("first")))
    assert result.messages == [
        on_next(200, with_data(WAITING, "first")),
        on_next(210, with_data(DONE, "first")),
        on_completed(210),
    ]


def test_a_source_that_says_nothing_waits() -> None:
    result = TestScheduler().start(lambda: reactivex.never().pipe(operators.snapshots()))
    assert result.messages == [on_next(200, AsyncSnapshot[str].waiting())]


def test_none_is_an_active_value_without_data() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(on_next(210, "a"), on_next(220, None), on_completed(230))
    result = scheduler.start(lambda: source.pipe(operators.snapshots()))
    assert result.messages[2:] == [
        on_next(220, with_data(ACTIVE, None)),
        on_next(230, with_data(DONE, None)),
        on_completed(230),
    ]


def test_each_subscription_starts_afresh() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_cold_observable(on_next(10, "a"), on_completed(20))
    result = scheduler.start(lambda: source.pipe(operators.snapshots(), ops.repeat(2)))
    assert result.messages == [
        on_next(200, AsyncSnapshot[str].waiting()),
        on_next(210, with_data(ACTIVE, "a")),
        on_next(220, with_data(DONE, "a")),
        on_next(220, AsyncSnapshot[str].waiting()),
        on_next(230, with_data(ACTIVE, "a")),
        on_next(240, with_data(DONE, "a")),
        on_completed(240),
    ]


def test_disposing_unsubscribes_from_the_source() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(on_next(210, "a"), on_next(230, "b"))
    result = scheduler.start(lambda: source.pipe(operators.snapshots()), disposed=220)
    assert result.messages == [on_next(200, AsyncSnapshot[str].waiting()), on_next(210, with_data(ACTIVE, "a"))]
    assert source.subscriptions == [Subscription(200, 220)]


def test_who_takes_only_the_first_snapshot_never_subscribes_to_the_source() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(on_next(210, "a"))
    result = scheduler.start(lambda: source.pipe(operators.snapshots(), ops.take(1)))
    assert result.messages == [on_next(200, AsyncSnapshot[str].waiting()), on_completed(200)]
    assert source.subscriptions == []


def test_the_scheduler_is_passed_down() -> None:
    passed: list[abc.SchedulerBase | None] = []

    def subscribe(observer: abc.ObserverBase[str], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        passed.append(scheduler)
        return reactivex.empty().subscribe(observer)

    scheduler = TestScheduler()
    reactivex.create(subscribe).pipe(operators.snapshots()).subscribe(scheduler=scheduler)
    assert passed == [scheduler]
