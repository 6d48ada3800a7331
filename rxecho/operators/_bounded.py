"""The `bounded` operator: a queue before a slow subscriber, and what happens when it is full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from rxecho.operators._handover import Handover, WhenFull
from rxecho.operators._overflow import BufferOverflow, Overflow

if TYPE_CHECKING:
    from collections import deque

    from reactivex import abc

__all__ = ["bounded", "drop_oldest"]


def bounded(size: int, overflow: Overflow = "block", *, scheduler: abc.SchedulerBase | None = None) -> Handover:
    """Deliver on another thread, and keep up to `size` values while the subscriber is busy.

    For handing a fast socket to a slow screen, file or model. With `"block"` a channel's thread waits, so that TCP
    slows the peer down and nothing is lost. The subscriber is called on the scheduler, or on a thread of the
    subscription's own; an end comes after what is kept. RxJava's `onBackpressureBuffer`.

    Example:
        A subscriber that takes six seconds for each value, of which two may wait:

        >>> import reactivex
        >>> from reactivex import operators as ops
        >>> from reactivex.scheduler import VirtualTimeScheduler
        >>> from rxecho.marbles import Timeline
        >>> time = VirtualTimeScheduler()
        >>> timeline = Timeline(time)
        >>> slow = bounded(2, "drop_oldest")
        >>> subscription = reactivex.from_marbles("a---b-c-d-e------|", 1.0, scheduler=time).pipe(
        ...     timeline.trace("source"), slow, timeline.trace("slow"), ops.do_action(lambda _: time.sleep(6))
        ... ).subscribe(scheduler=time)
        >>> time.advance_to(30)
        >>> print(timeline.to_marbles())
        source: a----(b,c)(d,e)|
        slow:   a----b----d----e----|
        each character 1.2 s
        >>> slow.dropped
        1

    Args:
        size: Values that may wait, besides the one that the subscriber is busy with.
        overflow: When one more comes: `"block"`, its thread waits for room; `"drop_oldest"` or `"drop_newest"`, one
            is dropped; `"error"`, the source is disposed of, and `BufferOverflow` comes after what is kept.
        scheduler: Where the subscriber is called; the subscription's, or a thread of its own, unless given. To
            block, it has to be another thread than the source's: where it cannot be, that is a `RuntimeError`.

    Returns:
        An operator, which counts what it dropped in `dropped`.

    Raises:
        ValueError: An argument cannot be right.
    """
    if size < 1:
        raise ValueError(f"size is a number of values above 0, not {size!r}")
    if overflow not in get_args(Overflow):
        raise ValueError(f"overflow is one of {', '.join(map(repr, get_args(Overflow)))}, not {overflow!r}")
    return Handover(size, _WHEN_FULL[overflow], scheduler)


def drop_oldest(kept: deque[Any], newest: Any) -> int:
    kept.popleft()
    kept.append(newest)
    return 1


def _drop_newest(_kept: deque[Any], _newest: Any) -> int:
    return 1


def _refuse(kept: deque[Any], _newest: Any) -> int:
    raise BufferOverflow(
        f"{len(kept) + 1:,} values wait for a busy subscriber, one more than may: make it faster, give bounded a "
        "larger size, or an overflow that waits or drops"
    )


_WHEN_FULL: Final[dict[Overflow, WhenFull | None]] = {
    "block": None,
    "drop_oldest": drop_oldest,
    "drop_newest": _drop_newest,
    "error": _refuse,
}
