"""`replay`: a recorded session as an observable, and `to_marbles`, the same as a marble test.

Reads what `recorder` wrote, or a browser saved, line by line as time goes on.
"""

from __future__ import annotations

import math
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msgspec import UNSET
from reactivex import Observable
from reactivex.disposable import CompositeDisposable, Disposable, SerialDisposable
from reactivex.notification import Notification, OnCompleted, OnError, OnNext
from reactivex.scheduler import TimeoutScheduler

from rxecho import errors
from rxecho.recording.har import HarRecording, is_har
from rxecho.recording.session import (
    Closed,
    Completed,
    Disposed,
    Event,
    Failed,
    Received,
    Recording,
    RecordingError,
    Sent,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Generator

    from reactivex import abc

    from rxecho.marbles import MarbleText

__all__ = ["ending", "read", "replay", "to_marbles"]


def read(path: str | os.PathLike[str], *, url: str | None = None) -> Recording | HarRecording:
    """The header and the events in a file, whichever kind of recording it is.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import reactivex
    >>> from rxecho.recording import record
    >>> with TemporaryDirectory() as directory:
    ...     path = Path(directory) / "session.jsonl"
    ...     reactivex.of("a").pipe(record(path)).run()
    ...     [type(event).__name__ for event in read(path)]
    'a'
    ['Received', 'Completed']

    Args:
        path: What `record` wrote, or a HAR.
        url: Of several WebSockets in a HAR, the one whose URL has this in it.

    Raises:
        RecordingError: It cannot be read, or is neither a recording nor a HAR. While iterating: it is damaged.
    """
    return HarRecording(path, url=url) if is_har(path) else Recording(path)


def replay(
    path: str | os.PathLike[str],
    speed: float = 1.0,
    scheduler: abc.SchedulerBase | None = None,
    *,
    sent: bool = False,
    url: str | None = None,
) -> Observable[Any]:
    """What a recorded session received, at the same times after the subscription, ending as it ended.

    Cold: each subscription reads the file from its beginning. Text is `str`, binary `bytes`, other values of a stream
    are what JSON makes of them. Of several connections the messages come as they came, and the end is the last.
    An error is of the same type where that is one of rxecho's, else a `RecordingError`, and says the same. A session
    that its subscriber left completes. One that was cut off by a crash, or is damaged, ends in a `RecordingError`
    that says where, after everything that stands before.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import reactivex
        >>> from reactivex.scheduler import VirtualTimeScheduler
        >>> from rxecho.marbles import expect
        >>> from rxecho.recording import record
        >>> with TemporaryDirectory() as directory:
        ...     path, virtual = Path(directory) / "session.jsonl", VirtualTimeScheduler()
        ...     reactivex.from_marbles("-a--b-|", timespan=1.0).pipe(record(path)).subscribe(scheduler=virtual)
        ...     virtual.start()
        ...     expect(replay(path), "-a--b-|")
        <...>

    Args:
        path: What `record` wrote, or a HAR.
        speed: How many times as fast; `math.inf` for at once.
        scheduler: Whose time it takes: that of the subscription, and threads of its own unless there is one.
        sent: Whether to replay what was sent instead.
        url: As for `read`.

    Raises:
        ValueError: `speed` is not above 0.
    """
    if not speed > 0:
        raise ValueError(f"speed is a number above 0, not {speed!r}")

    def subscribe(
        observer: abc.ObserverBase[Any], subscribed_on: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        clock = scheduler or subscribed_on or TimeoutScheduler.singleton()
        start = clock.now
        lock = threading.Lock()  # the file is closed by whoever disposes, but not while it is being read
        notifications = _notifications(path, sent=sent, url=url)
        due, notification = next(notifications)
        is_disposed = False

        def on_due(*_: object) -> None:
            nonlocal due, notification
            now = (clock.now - start).total_seconds()
            while due / speed <= now:
                notification.accept(observer)
                with lock:
                    if is_disposed or (following := next(notifications, None)) is None:
                        return
                due, notification = following
            schedule()

        def schedule() -> None:
            # Absolute, so that what it takes to hand over does not add up.
            waiting.disposable = clock.schedule_absolute(start + timedelta(seconds=due / speed), on_due)

        def dispose() -> None:
            nonlocal is_disposed
            with lock:
                is_disposed = True
                notifications.close()

        waiting = SerialDisposable()
        schedule()
        return CompositeDisposable(waiting, Disposable(dispose))

    return Observable(subscribe)


def to_marbles(path: str | os.PathLike[str], timespan: float | None = None) -> MarbleText:
    """A recorded session as marbles, in two lanes, `sent` and `received`: a test to paste.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import reactivex
    >>> from reactivex.scheduler import VirtualTimeScheduler
    >>> from rxecho.recording import record
    >>> with TemporaryDirectory() as directory:
    ...     path, virtual = Path(directory) / "session.jsonl", VirtualTimeScheduler()
    ...     reactivex.from_marbles("-a--b----|", timespan=1.0).pipe(record(path)).subscribe(scheduler=virtual)
    ...     virtual.start()
    ...     print(to_marbles(path, timespan=1))
    <...>
    sent:     ---------|
    received: -a--b----|

    What stands in such a line passes `expect(replay(path), marbles, lookup, timespan=timespan)`, with the lookup and
    the timespan of the result.

    Args:
        path: What `record` wrote, or a HAR.
        timespan: Seconds that a character takes at most: 1, 0.1, 0.01, ..., so that the whole session takes some ten
            to a hundred, unless given.

    Raises:
        RecordingError: It cannot be read, or is damaged, or was cut off.
        ValueError: That would take more than 100,000 characters a line.
    """
    from rxecho.marbles import Kind, Lane, MarbleDiagram
    from rxecho.marbles import Notification as Marble

    def lane(name: str, *, sent: bool) -> Lane:
        happened = [Marble(0.0, Kind.SUBSCRIBED)]
        for time, notification in _notifications(path, sent=sent):
            match notification:
                case OnNext(value=value):
                    happened.append(Marble(time, Kind.NEXT, value))
                case OnError(exception=RecordingError() as error):
                    raise error
                case OnError(exception=error):
                    happened.append(Marble(time, Kind.ERROR, error))
                case _:
                    happened.append(Marble(time, Kind.COMPLETED))
        return Lane(name, tuple(happened))

    lanes = lane("sent", sent=True), lane("received", sent=False)
    end = lanes[0].notifications[-1].time
    if timespan is None:
        timespan = 10.0 ** math.ceil(math.log10(end / 100)) if end else 1.0
    return MarbleDiagram(lanes, end=end).to_marbles(timespan)


def _notifications(
    path: str | os.PathLike[str], *, sent: bool, url: str | None = None
) -> Generator[tuple[float, Notification[Any]], None, None]:
    """Each notification with its time; the last one is the end, and the file is closed then."""
    direction = Sent if sent else Received
    event: Event | None = None
    time = 0.0
    try:
        for event in read(path, url=url):
            time = event.time
            if isinstance(event, direction):
                value = _value(event)
                if value is not UNSET:
                    yield time, OnNext(value)
        end = ending(path, event)
    except RecordingError as error:
        end = OnError(error)
    yield time, end


def _value(event: Sent | Received) -> object:
    """What a subscriber gets; `UNSET` for pings and pongs."""
    if event.text is not UNSET:
        return event.text
    return event.value if event.binary is UNSET and isinstance(event, Received) else event.binary


def ending(path: str | os.PathLike[str], event: Event | None) -> Notification[Any]:
    """How a session ends of which this is the last event; it raises `RecordingError` where that is no end."""
    match event:
        case Closed() | Completed() | Disposed():
            return OnCompleted()
        case Failed(error=name, text=text):
            kind = getattr(errors, name) if name in errors.__all__ else None
            return OnError(RecordingError(f"{name}: {text}") if kind is None else kind(text))
    raise RecordingError(f"{path} was cut off: it has no end, because its recorder crashed or is still at work")
