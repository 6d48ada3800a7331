"""The `rate` operator: how many messages come, and how many bytes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from reactivex import Observable
from reactivex.disposable import CompositeDisposable, SerialDisposable
from reactivex.scheduler import TimeoutScheduler

from rxecho.clock import clock_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactivex import abc

__all__ = ["Rate", "rate"]


class Rate(NamedTuple):
    """What came in a while, by the second.

    Attributes:
        messages: Messages a second.
        bytes: Bytes a second: those of text in UTF-8; a value that is neither text nor binary has none.
    """

    messages: float
    bytes: float


def rate(window: float, *, scheduler: abc.SchedulerBase | None = None) -> Callable[[Observable[Any]], Observable[Rate]]:
    """Emit every so many seconds how much came in them, by the second; zeros when nothing did.

    At the end comes the rate of the window that was not full, unless it was empty. Windows that a slow subscriber has
    missed are one with the next.

    Example:
        >>> from rxecho.marbles import diagram
        >>> from reactivex import operators as ops
        >>> print(diagram(lambda source: source.pipe(rate(4), ops.map(lambda rate: rate.messages)), "-a-b--c--------|"))
        --a---b-----c-----------------|
        [ lambda source: source.pipe(rate(4), ops.map(lambda rate: rate.messages)) ]
        --------0.5-----0.25----0.0---|
        each character 0.5 s

    Args:
        window: Seconds.
        scheduler: Whose time counts; the subscription's, or a timer's thread, unless given.

    Returns:
        An operator from an observable of messages to an observable of rates.

    Raises:
        ValueError: `window` is no number of seconds above 0.
    """
    if not window > 0:
        raise ValueError(f"a window is a number of seconds above 0, not {window!r}")

    def rate_of(source: Observable[Any]) -> Observable[Rate]:
        def subscribe(
            observer: abc.ObserverBase[Rate], subscribe_scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            given = scheduler or subscribe_scheduler
            timer = given or TimeoutScheduler.singleton()
            now = clock_of(given)
            lock = threading.RLock()  # one notification at a time: the timer has a thread of its own
            waiting = SerialDisposable()
            windows = 0
            since = 0.0
            messages = size = 0

            def on_next(message: object) -> None:
                nonlocal messages, size
                with lock:
                    messages += 1
                    size += _size(message)

            def on_error(error: Exception) -> None:
                with lock:
                    emit_the_rest()
                    observer.on_error(error)

            def on_completed() -> None:
                with lock:
                    emit_the_rest()
                    observer.on_completed()

            def emit_the_rest() -> None:
                waiting.dispose()
                if messages:
                    emit(max(now() - since, _INSTANT))

            def emit(seconds: float) -> None:
                nonlocal messages, size
                came = Rate(messages / seconds, size / seconds)
                messages = size = 0
                observer.on_next(came)

            def turn(*_: object) -> None:
                nonlocal since
                with lock:
                    if waiting.is_disposed:
                        return
                    until = now()
                    length, since = until - since, until
                    emit(length)
                wait()

            def wait() -> None:
                nonlocal windows
                # Each from the beginning, so that what is late once does not make all others late; those that a slow
                # subscriber has missed are one with the next.
                windows = max(windows, round(now() / window)) + 1
                waiting.disposable = timer.schedule_relative(max(windows * window - now(), 0.0), turn)

            wait()
            return CompositeDisposable(
                waiting, source.subscribe(on_next, on_error, on_completed, scheduler=subscribe_scheduler)
            )

        return Observable(subscribe)

    return rate_of


_INSTANT = 1e-6
"""Seconds that a window has lasted at least."""


def _size(message: object) -> int:
    if isinstance(message, str):
        return len(message) if message.isascii() else len(message.encode())
    return len(message) if isinstance(message, bytes) else 0
