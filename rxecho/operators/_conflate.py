"""The `conflate` operator: what a busy subscriber has no time for becomes one value, the newest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rxecho.operators._bounded import drop_oldest
from rxecho.operators._handover import Handover

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from reactivex import abc

__all__ = ["conflate"]


def conflate(merge: Callable[[Any, Any], Any] | None = None, *, scheduler: abc.SchedulerBase | None = None) -> Handover:
    """Deliver on another thread, and while the subscriber is busy keep only the newest value, or a merge.

    For a screen, which has no use for what is out of date. The subscriber is called on the scheduler, or on a thread of
    the subscription's own; an end comes after what is kept. RxJava's `onBackpressureLatest` and `onBackpressureReduce`.

    Example:
        A subscriber that takes six seconds for each value:

        >>> import reactivex
        >>> from reactivex import operators as ops
        >>> from reactivex.scheduler import VirtualTimeScheduler
        >>> from rxecho.marbles import Timeline
        >>> time = VirtualTimeScheduler()
        >>> timeline = Timeline(time)
        >>> slow = conflate()
        >>> subscription = reactivex.from_marbles("a---b-c-d----|", 1.0, scheduler=time).pipe(
        ...     timeline.trace("source"), slow, timeline.trace("slow"), ops.do_action(lambda _: time.sleep(6))
        ... ).subscribe(scheduler=time)
        >>> time.advance_to(30)
        >>> print(timeline.to_marbles())
        source: a----(b,c)d----|
        slow:   a----c----d----|
        each character 1.2 s
        >>> slow.dropped
        1

    Args:
        merge: Makes one value of the one that waits and the one that has come, such as the sum of two amounts; the
            latter unless given. What it raises is the error of the subscription, after what is kept.
        scheduler: Where the subscriber is called; the subscription's, or a thread of its own, unless given.

    Returns:
        An operator, which counts in `dropped` the values that a newer one replaced; what was merged was not dropped.
    """
    if merge is None:
        return Handover(1, drop_oldest, scheduler)

    def merge_kept(kept: deque[Any], newest: Any) -> int:
        kept[-1] = merge(kept[-1], newest)
        return 0

    return Handover(1, merge_kept, scheduler)
