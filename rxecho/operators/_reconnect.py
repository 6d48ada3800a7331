"""The `reconnect` operator: channels, one after the other, for as long as the network and the server allow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf
from random import random
from typing import TYPE_CHECKING, Final, Literal

from reactivex import Observable
from reactivex.disposable import SerialDisposable, SingleAssignmentDisposable
from reactivex.scheduler import TimeoutScheduler

from rxecho.clock import clock_of
from rxecho.errors import ChannelError, ConnectError, ConnectionLost
from rxecho.isolation import isolate
from rxecho.status import CloseCode, is_valid

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from reactivex import abc

    from rxecho.channel import WebSocketChannel

__all__ = ["ReconnectPhase", "ReconnectState", "reconnect"]

REFUSED_FOR_GOOD: Final = {401, 403, 407}
"""HTTP statuses that another attempt would get again: unauthorized, forbidden, unauthorized by the proxy."""


class ReconnectPhase(Enum):
    """What `reconnect` is at."""

    CONNECTING = "connecting"
    """An attempt has begun."""
    OPEN = "open"
    """It led to an open channel."""
    WAITING = "waiting"
    """Before the next attempt."""
    ENDED = "ended"
    """There is no next one."""


@dataclass(frozen=True, slots=True)
class ReconnectState:
    """How far `reconnect` is, for people to see.

    Attributes:
        phase: What it is at.
        attempt: Which one it is at, or waits for; 1 is the first, and the first after a connection that lived.
        delay: Seconds until that attempt begins, where it is `WAITING`; 0 otherwise.
        error: What ended the attempt before, where it is `WAITING`, or the last one, where it has `ENDED`; `None`
            where that was a close.
    """

    phase: ReconnectPhase
    attempt: int
    delay: float = 0.0
    error: Exception | None = None


def reconnect(
    *,
    min_delay: float = 0.5,
    max_delay: float = 30.0,
    max_attempts: int | None = None,
    max_time: float | None = None,
    reset_after: float = 5.0,
    when: Collection[Literal["lost", "failed", "closed"] | int] = ("lost", "failed"),
    states: abc.ObserverBase[ReconnectState] | None = None,
    scheduler: abc.SchedulerBase | None = None,
    random: Callable[[], float] = random,
) -> Callable[[Observable[WebSocketChannel]], Observable[WebSocketChannel]]:
    """Subscribe to the source of a channel again when the channel has ended, after a while that grows.

    For `open_channel(url)`; RxPY's `retry`, but it waits, and it knows what can be hoped for. The wait before the
    n-th attempt in a row is drawn at random from between `min_delay` and twice as much, four times as much and so on
    up to `max_delay` ("full jitter"), so that the clients of a server that went down do not come back all at once.

    Never tried again: what the server refuses with 401 or 403, or the proxy with 407, and a channel that this side
    has closed. Whatever is not an end of a channel, such as a fault in an operator above, is passed on at once.

    Example:
        A channel `c` that is lost after three seconds, three times; the waits are of 3 and 5 seconds, half-way up to
        the longest:

        >>> from rxecho import ConnectionLost
        >>> from rxecho.marbles import diagram
        >>> print(diagram(
        ...     reconnect(min_delay=2, max_delay=8, max_attempts=3, random=lambda: 0.5),
        ...     "c--#", error=ConnectionLost("gone"), label="reconnect()",
        ... ))
          c--#
        & ------c--#
          ------^
        & --------------c--#
          --------------^
        [ reconnect() ]
          c-----c-------c--#

        >>> from reactivex import operators as ops
        >>> from rxecho import EchoServer, open_channel
        >>> from rxecho.operators import messages
        >>> with EchoServer() as server:
        ...     open_channel(server.url_for("/flaky?after=1")).pipe(
        ...         reconnect(min_delay=0.01),
        ...         ops.do_action(lambda channel: channel.sink.add("Hello!")),
        ...         messages(),
        ...         ops.take(2),
        ...         ops.to_list(),
        ...     ).run()
        ['Hello!', 'Hello!']

    Args:
        min_delay: Seconds to wait, at least.
        max_delay: Seconds to wait, at most.
        max_attempts: How many attempts in a row, the first included, may fail before it gives up: the last one's
            end is then passed on. Any number unless given.
        max_time: Seconds since the first attempt of a row began, after which no other begins. For ever unless given.
        reset_after: Seconds that a channel must have been open for its end to begin a new row. One that ends sooner
            has failed, too.
        when: Which ends count. `"lost"`: `ConnectionLost`. `"failed"`: any other `ChannelError`, and `OSError`.
            `"closed"`: the peer closed the channel, whatever the code. A number: it did so with this close code,
            for instance 1001 or 1012, which servers send that restart (1005 stands for none).
        states: Told of each step: `CONNECTING`, then `OPEN` before the channel is emitted, `WAITING`, and `ENDED`
            before the end is passed on. It is never completed, so that subscriptions may share it. A `Subject`, as
            RxJS's `openObserver` and `closeObserver`.
        scheduler: Where to wait; on the subscription's, or on a timer's thread, unless given.
        random: A number from 0 up to 1, for each wait.

    Returns:
        An operator from an observable that emits a channel once it is open, and ends as it does, to an observable of
        such channels.

    Raises:
        ValueError: An argument cannot be right.
    """
    if not 0 < min_delay <= max_delay < inf:
        raise ValueError(f"the delays are seconds, 0 < min_delay <= max_delay, not {min_delay!r} and {max_delay!r}")
    if max_attempts is not None and max_attempts < 1:
        raise ValueError(f"max_attempts is 1 or more, or None for any number, not {max_attempts!r}")
    if max_time is not None and not max_time > 0:
        raise ValueError(f"max_time is a number of seconds above 0, or None for ever, not {max_time!r}")
    if not reset_after >= 0:
        raise ValueError(f"reset_after is a number of seconds, 0 or more, not {reset_after!r}")
    counted = frozenset(when)
    for end in counted:
        if not (_is_received(end) if isinstance(end, int) else end in ("lost", "failed", "closed")):
            raise ValueError(f'when has "lost", "failed", "closed" and close codes from 1000 to 4999, not {end!r}')
    time_limit = inf if max_time is None else max_time

    def counts(error: Exception | None, channel: WebSocketChannel | None) -> bool:
        if error is None:
            if channel is None or channel.closed_by_us:
                return False
            return not counted.isdisjoint({"closed", channel.close_code})
        if isinstance(error, ConnectError) and error.status in REFUSED_FOR_GOOD:
            return False
        if isinstance(error, ConnectionLost):
            return "lost" in counted
        return "failed" in counted and isinstance(error, ChannelError | OSError)

    def reconnecting(source: Observable[WebSocketChannel]) -> Observable[WebSocketChannel]:
        def subscribe(
            observer: abc.ObserverBase[WebSocketChannel], subscribe_scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            given = scheduler or subscribe_scheduler
            timer = given or TimeoutScheduler.singleton()
            clock = clock_of(given)
            current = SerialDisposable()  # the attempt, or the wait, that is under way
            # What follows is written where that one is: an attempt begins after a wait, which begins after an attempt.
            attempt = 0
            began = 0.0
            longest = min_delay
            channel: WebSocketChannel | None = None
            opened = 0.0

            def tell(phase: ReconnectPhase, attempt: int, delay: float = 0.0, error: Exception | None = None) -> None:
                if states is not None and not current.is_disposed:
                    isolate(states.on_next, ReconnectState(phase, attempt, delay, error))

            def connect(*_: object) -> None:
                nonlocal attempt, began, channel
                attempt += 1
                if attempt == 1:
                    began = clock()
                channel = None
                # Known before it is filled in: the source may end, and the next wait take its place, before that.
                current.disposable = subscription = SingleAssignmentDisposable()
                tell(ReconnectPhase.CONNECTING, attempt)
                if not current.is_disposed:
                    subscription.disposable = source.subscribe(on_next, on_end, on_end, scheduler=subscribe_scheduler)

            def on_next(value: WebSocketChannel) -> None:
                nonlocal channel, opened
                channel, opened = value, clock()
                tell(ReconnectPhase.OPEN, attempt)
                observer.on_next(value)

            def on_end(error: Exception | None = None) -> None:
                try:
                    is_over = not (counts(error, channel) and wait(error))
                except Exception as fault:  # noqa: BLE001 - of `random`, or the system has no thread left
                    error, is_over = fault, True
                if is_over:
                    end(error)

            def wait(error: Exception | None) -> bool:
                """Wait for the next attempt, if there may be one."""
                nonlocal attempt, longest
                if channel is not None and clock() - opened >= reset_after:
                    attempt, longest = 0, min_delay
                longest = min(2 * longest, max_delay)
                delay = min_delay + (longest - min_delay) * random()
                if attempt and (attempt == max_attempts or clock() + delay - began > time_limit):
                    return False
                tell(ReconnectPhase.WAITING, attempt + 1, delay, error)
                # Known before it is filled in, as above.
                current.disposable = waiting = SingleAssignmentDisposable()
                waiting.disposable = timer.schedule_relative(delay, connect)
                return True

            def end(error: Exception | None) -> None:
                tell(ReconnectPhase.ENDED, attempt, error=error)
                if error is None:
                    observer.on_completed()
                else:
                    observer.on_error(error)

            connect()
            return current

        return Observable(subscribe)

    return reconnecting


def _is_received(code: int) -> bool:
    return is_valid(code) or code == CloseCode.NO_STATUS_RECEIVED
