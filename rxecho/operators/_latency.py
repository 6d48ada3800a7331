"""The `latency` operator: how long messages take to come back from a server that echoes them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from reactivex import Observable
from reactivex.disposable import CompositeDisposable

from rxecho.clock import clock_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactivex import abc

    from rxecho.frames import Message
    from rxecho.sink import WebSocketSink

__all__ = ["latency"]

WAITING: Final = 10_000
"""Messages whose echo is waited for, at most; the newest."""


def latency(
    sent: WebSocketSink | Observable[Message], *, scheduler: abc.SchedulerBase | None = None
) -> Callable[[Observable[Message]], Observable[float]]:
    """Emit the round trip of each message that comes back as it was sent, in seconds.

    A message that comes is the echo of the first equal one that was sent and has none yet. What was not sent is no
    echo, and nothing is emitted for it. Of what has not come back, the newest 10,000 messages are waited for.

    Example:
        >>> from concurrent.futures import Future
        >>> from reactivex import operators as ops
        >>> from rxecho import EchoServer, WebSocketChannel
        >>> with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ...     seconds = channel.stream.pipe(latency(channel.sink), ops.first(), ops.to_future(Future))
        ...     channel.sink.add("Hello!")  # not before somebody listens
        ...     0 < seconds.result(timeout=10) < 10
        True

        In virtual time:

        >>> from rxecho.marbles import diagram
        >>> print(diagram(lambda sent, received: received.pipe(latency(sent), ops.map(int)), "a-b-c", "--a-bx--c-|"))
        a-b-c
        ^---------!
        --a-bx--c-|
        [ lambda sent, received: received.pipe(latency(sent), ops.map(int)) ]
        --2-----4-|

    Args:
        sent: A channel's sink, or an observable of what is sent, such as the `Subject` that feeds it.
        scheduler: Whose time counts; the subscription's, or the system's, unless given.

    Returns:
        An operator from an observable of messages that are received to an observable of seconds.
    """
    outgoing: Observable[Message] = sent if isinstance(sent, Observable) else sent._sent

    def latency_of(source: Observable[Message]) -> Observable[float]:
        def subscribe(
            observer: abc.ObserverBase[float], subscribe_scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            now = clock_of(scheduler or subscribe_scheduler)
            lock = threading.Lock()  # who sends and who receives are two threads
            # When each was sent, by its number, and the numbers of those that are equal. It is an ordered dictionary
            # that tells its first at once, however many were before that one.
            departures: OrderedDict[int, tuple[int, float]] = OrderedDict()
            numbers: dict[int, list[int]] = {}
            number = 0

            def on_sent(message: Message) -> None:
                nonlocal number
                likeness = _likeness(message)
                with lock:
                    number += 1
                    departures[number] = likeness, now()
                    numbers.setdefault(likeness, []).append(number)
                    if len(departures) > WAITING:
                        take(departures[next(iter(departures))][0])

            def take(likeness: int) -> float | None:
                """When the first that is equal was sent; none is waited for any more."""
                equal = numbers.get(likeness)
                if equal is None:
                    return None
                _, departure = departures.pop(equal.pop(0))
                if not equal:
                    del numbers[likeness]
                return departure

            def on_next(message: Message) -> None:
                with lock:
                    departure = take(_likeness(message))
                if departure is not None:
                    observer.on_next(now() - departure)

            return CompositeDisposable(
                outgoing.subscribe(on_sent, _pass_over, scheduler=subscribe_scheduler),
                source.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=subscribe_scheduler),
            )

        return Observable(subscribe)

    return latency_of


def _likeness(message: Message) -> int:
    """What only equal messages have in common, so that large ones need not be kept: a hash of 64 bits."""
    return hash((str, message) if isinstance(message, str) else (bytes, bytes(message)))


def _pass_over(_error: Exception) -> None:
    """How the sending ends is for whoever sends to know."""
