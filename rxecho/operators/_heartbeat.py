"""The `heartbeat` operator: says that nothing has come for a while."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reactivex import Observable
from reactivex.disposable import CompositeDisposable, SerialDisposable
from reactivex.scheduler import TimeoutScheduler

from rxecho.clock import clock_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactivex import abc

__all__ = ["Quiet", "heartbeat"]

T = TypeVar("T")
_FAIL: Any = object()
_TICK: Final = 1e-6
"""Seconds that are the least a scheduler waits: what is left of the silence beyond that is a float's inexactness."""


class Quiet(TimeoutError):
    """Nothing came for as long as `heartbeat` was told to wait."""


def heartbeat(
    quiet: float, value: Any = _FAIL, *, scheduler: abc.SchedulerBase | None = None
) -> Callable[[Observable[T]], Observable[T]]:
    """Emit a value, again and again, when nothing has come for a while, or fail.

    For a peer that ought to say something now and then. `reactivex.operators.timeout` takes a timer, and so a thread,
    for each message; this has one for all of them.

    Example:
        >>> from rxecho.marbles import diagram
        >>> print(diagram(heartbeat(3, "…"), "-a-b-------c-|"))
        -a-b-------c-|
        [ heartbeat(3, "…") ]
        -a-b--…--…-c-|
        >>> print(diagram(heartbeat(3), "-a-b--------|", label="heartbeat(3)"))
        -a-b
        ^-----!
        [ heartbeat(3) ]
        -a-b--#

    Args:
        quiet: Seconds without a value, from the subscription or the last one on.
        value: What is then emitted, after so many seconds each. Unless given, the stream fails with `Quiet`.
        scheduler: Whose time counts; the subscription's, or a timer's thread, unless given.

    Raises:
        ValueError: `quiet` is no number of seconds above 0.
    """
    if not quiet > 0:
        raise ValueError(f"quiet is a number of seconds above 0, not {quiet!r}")

    def heartbeat_of(source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], subscribe_scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            given = scheduler or subscribe_scheduler
            timer = given or TimeoutScheduler.singleton()
            now = clock_of(given)
            lock = threading.RLock()  # one notification at a time: the timer has a thread of its own
            waiting = SerialDisposable()
            since = 0.0  # when the last came, or was made up

            def on_next(message: T) -> None:
                nonlocal since
                with lock:
                    since = now()
                    observer.on_next(message)

            def on_error(error: Exception) -> None:
                with lock:
                    waiting.dispose()
                    observer.on_error(error)

            def on_completed() -> None:
                with lock:
                    waiting.dispose()
                    observer.on_completed()

            def look(*_: object) -> None:
                nonlocal since
                with lock:
                    if waiting.is_disposed:
                        return
                    left = since + quiet - now()
                    if left < _TICK:
                        if value is _FAIL:
                            on_error(Quiet(f"nothing came for {quiet:g} s; check the peer, and what is before this"))
                            subscription.dispose()
                            return
                        since, left = now(), quiet
                        observer.on_next(value)
                wait(left)

            def wait(seconds: float) -> None:
                waiting.disposable = timer.schedule_relative(seconds, look)

            subscription = CompositeDisposable(waiting)
            wait(quiet)
            subscription.add(source.subscribe(on_next, on_error, on_completed, scheduler=subscribe_scheduler))
            return subscription

        return Observable(subscribe)

    return heartbeat_of
