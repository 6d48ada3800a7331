"""A sink of messages: an `Observer` that can be fed by observables, one after the other or several at once.

What the sink of one channel has in common with one that outlives channels; where a message goes is theirs to say.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from concurrent.futures import Future
from typing import TYPE_CHECKING

from reactivex import Observer
from reactivex.disposable import SingleAssignmentDisposable

from rxecho.errors import ChannelClosed
from rxecho.futures import ChannelFuture
from rxecho.isolation import report
from rxecho.status import CloseCode

if TYPE_CHECKING:
    from reactivex import Observable

    from rxecho.frames import Message

__all__ = ["StreamSink"]


class StreamSink(Observer["Message"]):
    """Where messages go in: Dart's `StreamSink`, and an RxPY `Observer`.

    As an observer it closes: `on_completed()` with 1000, `on_error(error)` with 1011 and without a word of the error.

    Args:
        thread: The one on which waiting for a future of this sink would never end, if there is one.
    """

    def __init__(self, thread: threading.Thread | None = None) -> None:
        super().__init__()
        self._thread = thread
        self._lock = threading.RLock()  # re-entrant, since a signal handler may send, too
        # All under the lock.
        self._dropped = 0
        self._feeds: set[_Feed] = set()
        self._has_ended = False

    @abstractmethod
    def add(self, message: str | bytes | bytearray | memoryview) -> None:
        """Take a message: `str` as text, anything else as binary.

        Raises:
            TypeError: It is neither text nor bytes.
            UnicodeEncodeError: It is text with a lone surrogate, which UTF-8 cannot say.
            ChannelClosed: No message is taken any more.
        """

    @abstractmethod
    def close(self, code: int | None = None, reason: str = "") -> Future[None]:
        """Take no more messages, and close what they go to: RFC 6455, section 7."""

    @abstractmethod
    def _closed_error(self, how: str) -> ChannelClosed: ...

    def add_stream(self, observable: Observable[Message]) -> Future[None]:
        """Send everything that an observable emits. Dart's `sink.addStream`.

        The sink stays open afterwards.

        Returns:
            Done when `observable` has completed and all of it was accepted. Fails with its error, with that of
            `add` for a message that cannot be sent, or with `ChannelClosed` when the sink closes first. The
            subscription is disposed of in each case.

        Raises:
            TypeError: It is no observable.

        >>> import reactivex
        >>> from reactivex import operators as ops
        >>> from rxecho import EchoServer, WebSocketChannel
        >>> with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ...     channel.sink.add_stream(reactivex.of("one", "two")).result(timeout=10)
        ...     channel.stream.pipe(ops.take(2), ops.to_list()).run()
        ['one', 'two']
        """
        if not callable(getattr(observable, "subscribe", None)):
            raise TypeError(f"not an Observable: {observable!r}; reactivex.from_iterable makes one of a list")
        feed = _Feed(self, ChannelFuture(self._thread))
        with self._lock:
            self._feeds.add(feed)
            has_ended = self._has_ended
        if has_ended:
            self._end()
        else:
            feed.subscribe_to(observable)
        return feed.sent

    def on_next(self, value: Message) -> None:
        """Send a message, as `add` does; but by Rx's grammar it is ignored after the end, and counted in `dropped`."""
        try:
            if not self.is_stopped:
                self.add(value)
                return
        except ChannelClosed:
            pass
        with self._lock:
            self._dropped += 1

    def _on_completed_core(self) -> None:
        self.close(CloseCode.NORMAL_CLOSURE)

    def _on_error_core(self, error: Exception) -> None:  # noqa: ARG002 - it is none of the peer's business
        self.close(CloseCode.INTERNAL_ERROR)

    @property
    def dropped(self) -> int:
        """Messages that came to `on_next` after the end."""
        return self._dropped

    def _end(self) -> None:
        """No message is taken any more, and no observable feeds it."""
        with self._lock:
            self._has_ended = True
            feeds = list(self._feeds)
        for feed in feeds:
            feed.end(self._closed_error("closed before the stream had ended"))

    def _forget(self, feed: _Feed) -> None:
        with self._lock:
            self._feeds.discard(feed)


class _Stop(BaseException):
    """Raised through a source that has to stop. No `Exception`, lest an operator such as `retry` resumes it."""


class _Feed:
    """One observable on its way into the sink."""

    def __init__(self, sink: StreamSink, sent: ChannelFuture[None]) -> None:
        self.sent = sent
        self._sink = sink
        self._subscription = SingleAssignmentDisposable()
        # The thread that is inside `subscribe_to`.
        self._subscriber: int | None = None

    def subscribe_to(self, observable: Observable[Message]) -> None:
        self._subscriber = threading.get_ident()
        try:
            self._subscription.disposable = observable.subscribe(self._on_next, self.end, self.end)
        except _Stop:
            pass
        except Exception as error:  # noqa: BLE001 - the future carries it
            self.end(error)
        finally:
            self._subscriber = None

    def _on_next(self, message: Message) -> None:
        try:
            self._sink.add(message)
        except Exception as error:
            self.end(error)
            # A source that emits everything inside `subscribe` cannot be disposed of yet. This stops it, even
            # when it is endless.
            if self._subscriber == threading.get_ident():
                raise _Stop from error

    def end(self, error: Exception | None = None) -> None:
        self._sink._forget(self)
        try:
            self._subscription.dispose()
        except Exception as fault:  # noqa: BLE001 - the source's own: the other feeds have to end all the same
            report(fault)
        if error is None:
            self.sent.succeed(None)
        else:
            self.sent.fail(error)
