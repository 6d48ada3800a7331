"""The `snapshots` operator: a stream, with its waiting and its end, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from reactivex import Observable

from rxecho.snapshot import AsyncSnapshot, ConnectionState

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactivex import abc

__all__ = ["snapshots"]

T = TypeVar("T")


def snapshots(initial_data: T | None = None) -> Callable[[Observable[T]], Observable[AsyncSnapshot[T]]]:
    """Turn an observable into the snapshots that a Flutter `StreamBuilder` would build from it.

    The first, handed over on subscription, is `WAITING`; each value is `ACTIVE`; the end is `DONE`, with
    the last data or with the error. After that it completes: it never errors.

    Example:
        >>> import reactivex
        >>> reactivex.throw(OSError("gone")).pipe(snapshots("…")).run()
        AsyncSnapshot(ConnectionState.DONE, error=OSError('gone'))

    Args:
        initial_data: The data until the first value comes.

    Returns:
        An operator from an observable of values to an observable of their snapshots.
    """

    def of(source: Observable[T]) -> Observable[AsyncSnapshot[T]]:
        def subscribe(
            observer: abc.ObserverBase[AsyncSnapshot[T]], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            latest = AsyncSnapshot(ConnectionState.WAITING, initial_data)

            def on_next(value: T) -> None:
                nonlocal latest
                latest = AsyncSnapshot.with_data(ConnectionState.ACTIVE, value)
                observer.on_next(latest)

            def on_error(error: Exception) -> None:
                observer.on_next(AsyncSnapshot.with_error(ConnectionState.DONE, error))
                observer.on_completed()

            def on_completed() -> None:
                observer.on_next(latest.in_state(ConnectionState.DONE))
                observer.on_completed()

            observer.on_next(latest)
            return source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)

        return Observable(subscribe)

    return of
