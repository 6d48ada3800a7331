"""The `snapshots` operator: a stream, with its waiting and its end, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from reactivex import Observable
from reactivex.disposable import CompositeDisposable, SingleAssignmentDisposable
from reactivex.scheduler import CurrentThreadScheduler

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

        With `W` for waiting, `A` for active and `D` for done:

        >>> from reactivex import operators as ops
        >>> from rxecho.marbles import diagram
        >>> def states(source):
        ...     return source.pipe(snapshots(), ops.map(lambda snapshot: snapshot.connection_state.name[0]))
        >>> print(diagram(states, "-a--b---|", label="snapshots()"))
        --a-----b-------|
        [ snapshots() ]
        W-A-----A-------(D,|)
        each character 0.5 s

    Args:
        initial_data: The data until the first value comes.

    Returns:
        An operator from an observable of values to an observable of their snapshots.
    """

    def snapshots_of(source: Observable[T]) -> Observable[AsyncSnapshot[T]]:
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

            def subscribe_to_source(*_: object) -> None:
                subscription.disposable = source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)

            subscription = SingleAssignmentDisposable()
            observer.on_next(latest)
            # Not before this subscription is the observer's to dispose of: where the first snapshot was enough, a
            # channel's stream must not take it for somebody who listens.
            return CompositeDisposable(CurrentThreadScheduler.singleton().schedule(subscribe_to_source), subscription)

        return Observable(subscribe)

    return snapshots_of
