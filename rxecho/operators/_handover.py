"""Handing values over to a subscriber on another thread, with a limit on those that wait: backpressure.

On a message's way this lies between a fast source, such as the channel's thread, and a slow subscriber, such as a
screen, a file or a model. `conflate` and `bounded` say what happens when no more may wait.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from reactivex import Observable
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable
from reactivex.scheduler import CurrentThreadScheduler, TrampolineScheduler, VirtualTimeScheduler

if TYPE_CHECKING:
    from reactivex import abc

__all__ = ["Handover", "WhenFull"]

T = TypeVar("T")

WhenFull = Callable[[deque[Any], Any], int]
"""Is given what is kept and what has come; changes what is kept, and returns how many values were dropped. What it
raises ends the subscription, after what is kept."""


class Handover:
    """An operator that delivers on another thread, one notification at a time. Made by `conflate` and `bounded`."""

    def __init__(self, size: int, when_full: WhenFull | None, scheduler: abc.SchedulerBase | None) -> None:
        self._size = size
        self._when_full = when_full
        self._scheduler = scheduler
        self._lock = threading.Lock()
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Values that were lost because there was no room for them, over all subscriptions."""
        return self._dropped

    def _drop(self, number: int) -> None:
        with self._lock:
            self._dropped += number

    def __call__(self, source: Observable[T]) -> Observable[T]:
        """Apply the operator, as `pipe` does."""

        def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            def subscribe_to_source(*_: object) -> None:
                subscription.disposable = source.subscribe(
                    delivery.on_next, delivery.on_error, delivery.on_completed, scheduler=scheduler
                )

            subscription = SingleAssignmentDisposable()
            delivery = _Delivery(
                observer, self._size, self._when_full, self._drop, subscription, self._scheduler or scheduler
            )
            # Not before this subscription is the observer's to dispose of: that is what frees a source that waits
            # for room inside its own `subscribe`. And freed it has to be before it can be disposed of.
            return CompositeDisposable(
                Disposable(delivery.dispose),
                CurrentThreadScheduler.singleton().schedule(subscribe_to_source),
                subscription,
            )

        return Observable(subscribe)


class _Delivery(Generic[T]):
    """One subscriber, and what is kept for it on the way from the source's thread to its own."""

    def __init__(
        self,
        observer: abc.ObserverBase[T],
        size: int,
        when_full: WhenFull | None,
        drop: Callable[[int], None],
        source: abc.DisposableBase,
        scheduler: abc.SchedulerBase | None,
    ) -> None:
        self._observer = observer
        self._size = size
        self._when_full = when_full
        self._drop = drop
        self._source = source
        self._schedule: Callable[[Callable[..., None]], object]
        self._schedule, self._stop = (scheduler.schedule, _nothing) if scheduler else _own_thread()
        # In virtual time, and on a trampoline, the source's thread is the subscriber's, too.
        self._is_single_threaded = isinstance(scheduler, TrampolineScheduler | VirtualTimeScheduler)
        self._busy_thread: int | None = None
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        # All under the lock. What is kept waits while the subscriber is busy with another, or is about to be.
        self._kept: deque[T] = deque()
        self._is_busy = False
        self._end: Callable[[], None] | None = None
        self._is_over = False

    # On the source's thread.

    def on_next(self, value: T) -> None:
        try:
            with self._lock:
                self._keep(value)
                taken = self._take()
        except Exception as error:  # noqa: BLE001 - the subscriber is told
            self._drop(1)
            self._source.dispose()
            self.on_error(error)
        else:
            self._hand_over(taken)

    def on_error(self, error: Exception) -> None:
        self._finish(partial(self._observer.on_error, error))

    def on_completed(self) -> None:
        self._finish(self._observer.on_completed)

    def _keep(self, value: T) -> None:
        while not (self._end or self._is_over):  # a source that emits inside `subscribe` cannot be disposed of yet
            if len(self._kept) < self._size:
                self._kept.append(value)
                return
            if self._when_full:
                self._drop(self._when_full(self._kept, value))
                return
            if self._is_single_threaded or self._busy_thread == threading.get_ident():
                raise RuntimeError(
                    "waiting for room would never end, since the source is on the thread of its subscriber: give "
                    "bounded a scheduler with a thread of its own, or an overflow that does not wait"
                )
            self._room.wait()

    def _finish(self, end: Callable[[], None]) -> None:
        with self._lock:
            self._end = self._end or end
            taken = self._take()
        self._hand_over(taken)

    def _take(self) -> Callable[[], None] | None:
        """What the subscriber is to be busy with from now on, unless it is or there is nothing. Under the lock."""
        if self._is_busy or self._is_over or not (self._kept or self._end):
            return None
        self._is_busy = True
        if not self._kept:
            return self._end
        self._room.notify()
        return partial(self._observer.on_next, self._kept.popleft())

    def _hand_over(self, notify: Callable[[], None] | None) -> None:
        if notify:
            self._schedule(partial(self._deliver, notify))

    # On the subscriber's thread.

    def _deliver(self, notify: Callable[[], None], *_: object) -> None:
        if self._is_over:
            return
        self._busy_thread = threading.get_ident()
        try:
            notify()
        except BaseException:
            self.dispose()
            raise
        finally:
            self._busy_thread = None
        if not self._is_over:
            # In virtual time, what came while the subscriber was busy comes only now, before what is scheduled here.
            self._schedule(self._go_on)

    def _go_on(self, *_: object) -> None:
        with self._lock:
            self._is_busy = False
            taken = self._take()
        if taken:
            self._deliver(taken)

    # On any.

    def dispose(self) -> None:
        with self._lock:
            self._is_over = True
            self._kept.clear()
            self._room.notify_all()
        self._stop()
        self._source.dispose()


def _own_thread() -> tuple[Callable[[Callable[[], None]], object], Callable[[], None]]:
    """A thread, as two functions: one has it call something, the other ends it."""
    calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def run() -> None:
        for call in iter(calls.get, None):
            call()

    threading.Thread(target=run, name="rxecho handover", daemon=True).start()
    return calls.put, partial(calls.put, None)


def _nothing() -> None:
    pass
