"""`record`: channels and streams, written into a file while they run.

A recorder taps a channel beside its stream and its sink, so it takes no message from anybody: `session` says what it
writes, `journal` how that gets into the file.
"""

from __future__ import annotations

import atexit
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

import msgspec
from msgspec import UNSET
from reactivex import Observable
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from rxecho.channel import WebSocketChannel
from rxecho.clock import clock_of
from rxecho.frames import Message, Opcode
from rxecho.isolation import report
from rxecho.recording.journal import Journal
from rxecho.recording.session import (
    Closed,
    Completed,
    Disposed,
    Event,
    Failed,
    Header,
    Opened,
    Received,
    RecordingError,
    Sent,
    encode,
    harmless_headers,
    without_secrets,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from concurrent.futures import Future

    from reactivex import abc

__all__ = ["Recorder", "record"]

_T = TypeVar("_T")

# Since Python 3.11 takes as long to find a member of an enum as to call a function.
_BINARY: Final = Opcode.BINARY
_PING: Final = Opcode.PING


def record(path: str | os.PathLike[str], *, scheduler: abc.SchedulerBase | None = None) -> Recorder:
    """Record a session into a new file, one JSON line a notification, to be replayed, drawn and compared.

    What it returns takes a channel and returns it, from then on recorded in both directions to its end. Or it is put
    into a `pipe`, as an operator that hands everything on: channels, as `open_channel` and `reconnect` emit them, are
    recorded one by one, and nothing that they receive is missed, however early; other values are written as what was
    received, with how the stream ended. Values that are neither `str` nor `bytes` are written as JSON; one that is not
    to be had as JSON is an error of that stream.

    Each line outlives the process as soon as it was written: a crash loses at most the one being written. A disk that
    fills up ends the recording, not what is recorded: the error goes to `threading.excepthook`, once.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from reactivex import operators as ops
        >>> from rxecho import EchoServer, WebSocketChannel
        >>> with TemporaryDirectory() as directory:
        ...     path = Path(directory) / "session.jsonl"
        ...     with EchoServer() as server, record(path)(WebSocketChannel.connect(server.url)) as channel:
        ...         channel.sink.add("Hello!")
        ...         channel.stream.pipe(ops.first()).run()
        ...     print(path.read_text())
        'Hello!'
        {"format":"rxecho recording","version":1,"start":"...","url":"ws://127.0.0.1:.../",...}
        {"event":"...","time":...}
        {"event":"received","time":...,"text":"Hello!"}
        {"event":"closed","time":...,"code":1000,"by":"us"}
        <BLANKLINE>

    Args:
        path: The file, which must not exist; what is there is never overwritten.
        scheduler: Whose clock tells the times; for an operator that of the subscription, and the system's monotonic
            clock unless there is one.

    Raises:
        RecordingError: The file exists already, or cannot be written.
    """
    return Recorder(path, scheduler)


class Recorder:
    """What `record` returns. Used more than once, it numbers the connections, and goes on in the same file."""

    def __init__(self, path: str | os.PathLike[str], scheduler: abc.SchedulerBase | None = None) -> None:
        self._path = Path(path)
        self._scheduler = scheduler
        # Around all that follows, and the time of each line: they are written in the order of their times.
        self._lock = threading.RLock()
        self._clock: Callable[[], float] | None = None
        self._header: Header | None = None  # as long as it is to be written
        self._journal: Journal | None = None
        self._recorded = 0  # channels and streams that are being recorded
        self._connections = 0
        try:
            self._path.open("xb").close()
            # Already now, so that little time goes by between connecting and recording.
            self._journal = Journal(self._path)
        except FileExistsError as error:
            raise RecordingError(f"{path} exists already, and nothing is overwritten: choose another name") from error
        except OSError as error:
            raise self._unwritable(error) from error

    def __del__(self) -> None:
        self._close()  # unless it was used

    @overload  # the first, for type checkers that look no further in a `pipe`
    def __call__(self, source: Observable[_T]) -> Observable[_T]: ...
    @overload
    def __call__(self, source: WebSocketChannel) -> WebSocketChannel: ...
    def __call__(self, source: WebSocketChannel | Observable[Any]) -> WebSocketChannel | Observable[Any]:
        """Record a channel from now on, or an observable whenever it is subscribed to.

        Raises:
            RecordingError: The file was there, and is no more. For an observable this is its error.
        """
        if isinstance(source, WebSocketChannel):
            self._begin(self._scheduler)
            self._record_channel(source)
            return source
        return self._recorded_stream(source)

    def _record_channel(self, channel: WebSocketChannel) -> None:
        connection = channel._connection
        endpoint = connection._endpoint
        lines = [line.partition(": ") for line in endpoint.request_headers]
        headers = [(name, value) for name, _, value in lines]
        if endpoint.origin is not None:
            headers.append(("Origin", endpoint.origin))
        with self._lock:
            if self._header is not None:
                url = without_secrets(endpoint.url)
                self._header = Header(start=self._header.start, url=url, headers=harmless_headers(headers))
            number = self._number()
            clock = self._clock
        assert clock is not None

        def on_frame(sent: bool, opcode: Opcode, payload: Message) -> None:
            event = Sent if sent else Received
            with self._lock:
                time = int(clock() * 1e6) / 1e6  # as `_now`, but for the call
                if isinstance(payload, str):
                    self._append(encode(event(time, number, payload)) + b"\n")
                elif opcode is _BINARY:
                    self._append(encode(event(time, number, UNSET, payload)) + b"\n")
                elif opcode is _PING:
                    self._append(encode(event(time, number, ping=payload)) + b"\n")
                else:
                    self._append(encode(event(time, number, pong=payload)) + b"\n")

        def on_ready(ready: Future[None]) -> None:
            if ready.exception() is None:
                with self._lock:
                    self._write(Opened(self._now(), number, channel.protocol))

        def on_error(error: Exception) -> None:
            with self._lock:
                self._write(self._failed(number, error))
            end()

        def on_completed() -> None:
            code, reason = channel.close_code, channel.close_reason
            assert code is not None
            assert reason is not None
            with self._lock:
                self._write(Closed(self._now(), number, code, reason, "us" if channel.closed_by_us else "peer"))
            end()

        def end() -> None:
            untap()
            self._end()

        # Without the lock: the connection's own is held where it tells of what is sent.
        channel.ready.add_done_callback(on_ready)
        untap = channel._tap(on_frame)
        channel._end.subscribe(on_error=on_error, on_completed=on_completed)

    def _recorded_stream(self, source: Observable[_T]) -> Observable[_T]:
        def subscribe(observer: abc.ObserverBase[_T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            number = 0  # until there is a value that is no channel
            is_over = False
            subscription = SingleAssignmentDisposable()

            def on_next(value: _T) -> None:
                nonlocal number
                try:
                    if isinstance(value, WebSocketChannel):
                        self(value)
                    else:
                        with self._lock:
                            number = number or self._number()
                            self._write_value(number, value)
                except RecordingError as error:
                    subscription.dispose()
                    on_error(error)
                else:
                    observer.on_next(value)

            def on_error(error: Exception) -> None:
                with self._lock:
                    end(self._failed(number, error))
                observer.on_error(error)

            def on_completed() -> None:
                with self._lock:
                    end(Completed(self._now(), number))
                observer.on_completed()

            def dispose() -> None:
                with self._lock:
                    end(Disposed(self._now(), number))

            def end(event: Event) -> None:
                nonlocal is_over
                if not is_over:
                    is_over = True
                    self._write(event)
                    self._end()

            try:
                self._begin(self._scheduler or scheduler)
            except RecordingError as error:
                observer.on_error(error)
                return Disposable()
            subscription.disposable = source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)
            return CompositeDisposable(subscription, Disposable(dispose))

        return Observable(subscribe)

    # What is written.

    def _write_value(self, number: int, value: object) -> None:
        with self._lock:
            time = self._now()
            try:
                if isinstance(value, str):
                    self._write(Received(time, number, value))
                elif isinstance(value, bytes):
                    self._write(Received(time, number, binary=value))
                else:
                    # Not by msgspec, for which NaN is null.
                    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
                    self._write(Received(time, number, value=msgspec.Raw(text.encode())))
            except (TypeError, ValueError, RecursionError) as error:
                raise RecordingError(
                    f"cannot record a value of type {type(value).__name__}: {error}; map it before"
                ) from error

    def _failed(self, number: int, error: Exception) -> Failed:
        text = str(error).encode(errors="replace").decode()  # without what is no Unicode
        return Failed(self._now(), number, type(error).__name__, without_secrets(text))

    def _write(self, event: Event) -> None:
        """With the lock held."""
        self._append(encode(event) + b"\n")

    def _append(self, line: bytes) -> None:
        """With the lock held."""
        if self._journal is not None:
            if self._header is not None:
                line = encode(self._header) + b"\n" + line
                self._header = None
            try:
                self._journal.append(line)
            except OSError as error:
                self._journal = None
                report(self._unwritable(error))

    def _number(self) -> int:
        self._connections += 1
        return self._connections

    def _now(self) -> float:
        """To the microsecond, in which the format counts."""
        assert self._clock is not None
        return int(self._clock() * 1e6) / 1e6

    # When the file is open.

    def _begin(self, scheduler: abc.SchedulerBase | None) -> None:
        """Before anything is recorded; `_end` is for after it."""
        with self._lock:
            if self._clock is None:
                self._clock = clock_of(scheduler)
                self._header = Header(start=datetime.now(UTC) if scheduler is None else scheduler.now)
            if not self._recorded:
                if self._journal is None:  # since what was recorded before has ended
                    try:
                        self._journal = Journal(self._path)
                    except OSError as error:
                        raise self._unwritable(error) from error
                atexit.register(self._close)
            self._recorded += 1

    def _end(self) -> None:
        with self._lock:
            self._recorded -= 1
            if not self._recorded:
                self._close()

    def _close(self) -> None:
        with self._lock:
            journal, self._journal = self._journal, None
            if journal is not None:
                journal.close()
            # Not before: the interpreter, on its way out, waits for the lock and so for this.
            atexit.unregister(self._close)

    def _unwritable(self, error: OSError) -> RecordingError:
        unwritable = RecordingError(f"cannot record to {self._path}: {error.strerror or error}")
        unwritable.__cause__ = error
        return unwritable
