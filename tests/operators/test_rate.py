"""The `rate` operator, before a subscriber that takes longer than a window."""

from __future__ import annotations

import reactivex
from reactivex.scheduler import VirtualTimeScheduler

from rxecho.operators import Rate, rate


def test_windows_that_a_slow_subscriber_has_missed_are_one_with_the_next() -> None:
    time = VirtualTimeScheduler()
    got: list[tuple[float, Rate]] = []

    def on_next(value: Rate) -> None:
        got.append((time.clock, value))
        if len(got) == 1:
            time.sleep(2.5)

    reactivex.from_marbles("a-b-c-d-|", 1.0, scheduler=time).pipe(rate(1)).subscribe(on_next, scheduler=time)
    time.advance_to(6.5)
    # All messages are counted once, each in a window that is told as long as it was.
    assert got == [(1, Rate(1, 1)), (5, Rate(0.5, 0.5)), (6, Rate(1, 1))]
