"""The observables of a channel: hot, multicast, and each with a beginning of its own.

On a message's way this lies between `connection`, whose thread calls `on_next` and `end`, and whatever the
subscribers of `channel.stream` are.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

from reactivex import Observable, Observer, abc
from reactivex.disposable import Disposable

from rxecho.connection import ChannelState, Connection
from rxecho.frames import Message
from rxecho.isolation import isolate, report

__all__ = ["MessageStream", "Multicast", "StateStream"]

MAX_KEPT: Final = 1024
"""Messages kept for the first subscriber, at most, before reading pauses."""

_T = TypeVar("_T")


class Multicast(Observable[_T]):
    """Hands each notification to all who are subscribed at that time, and the end to whoever comes after it.

    RxPY's `Subject` calls its observers in a plain loop, where one that raises hides the message from those
    behind it. Here its exception goes to `threading.excepthook`, its subscription ends, and nobody else notices.

    `on_next` and `end` are for one thread, the channel's own; subscribing and disposing are for any.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()
        # Written under the lock, and replaced instead of changed, so that `on_next` may walk through it without.
        self._observers: tuple[abc.ObserverBase[_T], ...] = ()
        self._has_ended = False
        self._error: Exception | None = None

    def on_next(self, value: _T) -> None:
        """Hand `value` to every observer."""
        for observer in self._observers:
            try:
                observer.on_next(value)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is this subscriber's own
                self._remove(observer)
                report(error)

    def end(self, error: Exception | None) -> None:
        """End with `on_error(error)`, or with `on_completed()` when there is none."""
        with self._lock:
            self._has_ended = True
            self._error = error
            observers, self._observers = self._observers, ()
        for observer in observers:
            self._tell_end(observer)

    def _tell_end(self, observer: abc.ObserverBase[_T]) -> None:
        if self._error is None:
            isolate(observer.on_completed)
        else:
            isolate(observer.on_error, self._error)

    def _subscribe_core(
        self,
        observer: abc.ObserverBase[_T],
        scheduler: abc.SchedulerBase | None = None,  # noqa: ARG002 - it is the connection that schedules
    ) -> abc.DisposableBase:
        with self._lock:
            if not self._has_ended:
                return self._add(observer)
        self._tell_end(observer)
        return Disposable()

    def _add(self, observer: abc.ObserverBase[_T]) -> abc.DisposableBase:
        self._observers += (observer,)
        return Disposable(lambda: self._remove(observer))

    def _remove(self, observer: abc.ObserverBase[_T]) -> None:
        with self._lock:
            self._observers = tuple(other for other in self._observers if other is not observer)


class MessageStream(Multicast[Message]):
    """What arrives. What does so before anybody listens is kept for the first who does.

    Args:
        connection: Paused while `MAX_KEPT` messages or `max_message_size` bytes are kept, so that TCP slows the
            peer down.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        # What is kept, until it has been handed over, and for whom as soon as that is known. Under the lock.
        self._kept: deque[Message] | None = deque()
        self._kept_bytes = 0
        self._first: abc.ObserverBase[Message] | None = None

    def on_next(self, value: Message) -> None:
        """Hand `value` to every observer, or keep it for the first."""
        if self._kept is not None:
            with self._lock:
                if self._first is None:
                    Multicast.on_next(self, value)  # to those who are only told
                    self._keep(value)
                    return
            self.catch_up()
        Multicast.on_next(self, value)  # as super() would, in half the time

    def _keep(self, message: Message) -> None:
        assert self._kept is not None
        self._kept.append(message)
        self._kept_bytes += len(message) if isinstance(message, bytes) else len(message.encode())
        if len(self._kept) >= MAX_KEPT or self._kept_bytes >= self._connection.max_message_size:
            self._connection.pause()

    def catch_up(self) -> None:
        """Hand what was kept to the first subscriber, as soon as there is one."""
        if self._first is None:
            return
        with self._lock:
            first, self._first = self._first, None
            kept, self._kept = self._kept, None
        # Once the first has left, nobody is waiting for the rest: from here on the stream is hot.
        while kept and first in self._observers:
            if not isolate(first.on_next, kept.popleft()):
                self._remove(first)

    def tap(self, tell: Callable[[Message], None]) -> abc.DisposableBase:
        """Tell of each message, of those that are still kept, too, before its subscribers get it.

        Who is told is no subscriber: the first of those still gets what was kept. `tell` must be quick, and may not
        raise.
        """
        observer = Observer(tell, lambda _: None)  # how it ends, others are told
        with self._lock:
            for message in self._kept or ():
                tell(message)
            if not self._has_ended:
                self._observers = (observer, *self._observers)
        return Disposable(lambda: self._remove(observer))

    def end(self, error: Exception | None) -> None:
        """End, for the first subscriber after what was kept."""
        with self._lock:
            # Before that: who comes as the first from here on hands what was kept to itself, and the end.
            self._has_ended, self._error = True, error
        self.catch_up()
        super().end(error)

    def _subscribe_core(
        self, observer: abc.ObserverBase[Message], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        kept: deque[Message] | None = None
        with self._lock:
            is_first = self._kept is not None and self._first is None
            if is_first and self._has_ended:
                kept, self._kept = self._kept, None
            elif is_first:
                subscription = self._add(observer)
                self._first = observer
        if not is_first:
            return super()._subscribe_core(observer, scheduler)
        if kept is None:
            self._connection.resume()
            return subscription
        # The channel's thread is gone: this one hands over what it left.
        if all(isolate(observer.on_next, message) for message in kept):
            self._tell_end(observer)
        return Disposable()


class StateStream(Multicast[ChannelState]):
    """How far the channel is: now, and whenever it moves on.

    States are announced on the channel's thread, a little after whichever thread moved it. Since a channel only
    moves forward, a subscriber that has begun with the current state knows by its number what is news to it.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._announced: list[ChannelState] = []

    def on_next(self, value: ChannelState) -> None:
        """Announce that the channel has moved on."""
        with self._lock:
            self._announced.append(value)
        super().on_next(value)

    def _subscribe_core(
        self,
        observer: abc.ObserverBase[ChannelState],
        scheduler: abc.SchedulerBase | None = None,  # noqa: ARG002 - as in Multicast
    ) -> abc.DisposableBase:
        newest = self._connection.state
        news = [newest]
        while news:
            for state in news:
                newest = state
                if not isolate(observer.on_next, state):
                    return Disposable()
            # While the observer was busy with those, there may have been more; only when there is none may the
            # channel's thread take over, or the two would overlap.
            with self._lock:
                news = [state for state in self._announced if state > newest]
                if not news and not self._has_ended:
                    return self._add(_only_news(observer, newest))
        self._tell_end(observer)
        return Disposable()


def _only_news(observer: abc.ObserverBase[ChannelState], newest: ChannelState) -> Observer[ChannelState]:
    def on_next(state: ChannelState) -> None:
        if state > newest:
            observer.on_next(state)

    return Observer(on_next, observer.on_error, observer.on_completed)
