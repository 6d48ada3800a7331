"""The sink of a channel: an `Observer` whose notifications become frames.

On a message's way this lies between whoever speaks, often a `Subject` of user input, and `connection`.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Final

from reactivex import Observable, Observer, abc
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from rxecho.connection import Connection
from rxecho.errors import ChannelClosed
from rxecho.frames import Message, Opcode
from rxecho.futures import ChannelFuture
from rxecho.isolation import report
from rxecho.status import CloseCode

__all__ = ["WebSocketSink"]

# Since Python 3.11 takes as long to find a member of an enum as to call a function.
_TEXT: Final = Opcode.TEXT
_BINARY: Final = Opcode.BINARY


class WebSocketSink(Observer[Message]):
    """Where messages to the peer go in: Dart's `WebSocketSink`, and an RxPY `Observer`.

    It is `channel.sink`, safe to use from any thread; messages leave whole and in the order of the calls. As an
    observer it closes the channel: `on_completed()` with 1000, `on_error(error)` with 1011 and without a word of
    the error. `dispose()` stops the observer and leaves the channel open.

    >>> import reactivex
    >>> from reactivex import operators as ops
    >>> from rxecho import EchoServer, WebSocketChannel
    >>> with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
    ...     lines = reactivex.Subject()
    ...     subscription = lines.subscribe(channel.sink)
    ...     lines.on_next("Hello!")
    ...     channel.stream.pipe(ops.first()).run()
    'Hello!'
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._lock = threading.RLock()  # re-entrant, since a signal handler may send, too
        # All under the lock.
        self._dropped = 0
        self._feeds: set[_Feed] = set()
        self._has_ended = False

    def add(self, message: str | bytes | bytearray | memoryview) -> None:
        """Send a message: `str` as text, anything else as binary. Dart's `sink.add`.

        Before the channel is open it is queued. While more than 4 MiB (or 32,768 messages) wait to be sent, this
        blocks until there is room; on the channel's own thread, that is inside a subscriber, it queues instead,
        however much that is.

        Many messages may become one write. A reply made there is held back for some 20 ms at most; what another
        thread adds in quick succession for about 1 ms, or until that thread lets others run
        (`sys.setswitchinterval`). All of it leaves before the interpreter ends. A process that ends without exit
        handlers, by `os._exit`, a signal, or as a forked child of multiprocessing on Python 3.11, has to close the
        channel and wait for `done` before.

        Raises:
            TypeError: It is neither text nor bytes.
            UnicodeEncodeError: It is text with a lone surrogate, which UTF-8 cannot say.
            ChannelClosed: Either side has closed the channel.

        >>> from reactivex import operators as ops
        >>> from rxecho import EchoServer, WebSocketChannel
        >>> with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ...     channel.sink.add("text")
        ...     channel.sink.add(b"binary")
        ...     channel.stream.pipe(ops.take(2), ops.to_list()).run()
        ['text', b'binary']
        """
        if isinstance(message, str):
            self._connection.send(_TEXT, message.encode())
        elif isinstance(message, bytes):
            self._connection.send(_BINARY, message)
        elif isinstance(message, bytearray | memoryview):
            self._connection.send(_BINARY, bytes(message))
        else:
            raise TypeError(f"a message is str, bytes, bytearray or memoryview, not {type(message).__name__}")

    def add_stream(self, observable: Observable[Message]) -> Future[None]:
        """Send everything that an observable emits. Dart's `sink.addStream`.

        The channel stays open afterwards.

        Returns:
            Done when `observable` has completed and all of it was accepted. Fails with its error, with that of
            `add` for a message that cannot be sent, or with `ChannelClosed` when the channel closes first. The
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
        feed = _Feed(self, ChannelFuture(self._connection.thread))
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

    def close(self, code: int | None = None, reason: str = "") -> Future[None]:
        """Close the channel: RFC 6455, section 7. What was added before leaves first. Dart's `sink.close`.

        Closing again is harmless, and changes nothing. Closing a channel that is connecting, with nothing queued,
        gives the attempt up.

        Args:
            code: 1000-1003, 1007-1014 or 3000-4999; without one the peer sees 1005.
            reason: For people to read, up to 123 bytes of UTF-8.

        Returns:
            `done`: the closing handshake is over, or `close_timeout` seconds have passed without an answer.

        Raises:
            ValueError: Code or reason cannot be sent; the channel stays open.

        >>> from rxecho import EchoServer, WebSocketChannel
        >>> with EchoServer() as server:
        ...     channel = WebSocketChannel.connect(server.url)
        ...     channel.ready.result(timeout=10)
        ...     channel.sink.close(4001, "Seen enough").result(timeout=10)
        >>> channel
        <WebSocketChannel ws://127.0.0.1:.../ CLOSED>
        >>> channel.close_code  # what the server answered
        4001
        """
        return self._connection.close(code, reason)

    @property
    def done(self) -> Future[None]:
        """Done when the channel is closed, whoever closed it. It never fails: the stream says what went wrong."""
        return self._connection.done

    @property
    def buffered_amount(self) -> int:
        """Payload bytes that were accepted and not yet handed to the operating system."""
        return self._connection.buffered_amount

    @property
    def dropped(self) -> int:
        """Messages that came to `on_next` after the channel was closed."""
        return self._dropped

    @property
    def _sent(self) -> Observable[Message]:
        """What is sent, before it leaves. Its observers must be quick, and may neither send nor raise."""

        def subscribe(
            observer: abc.ObserverBase[Message], _scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            def tell(sent: bool, opcode: Opcode, message: Message) -> None:
                if sent and (opcode is _TEXT or opcode is _BINARY):
                    observer.on_next(message)

            return Disposable(self._connection.tap(tell))

        return Observable(subscribe)

    def _end(self) -> None:
        """The channel is closed: no observable feeds it any more."""
        with self._lock:
            self._has_ended = True
            feeds = list(self._feeds)
        for feed in feeds:
            feed.end(self._connection.closed_error("closed before the stream had ended"))

    def _forget(self, feed: _Feed) -> None:
        with self._lock:
            self._feeds.discard(feed)


class _Stop(BaseException):
    """Raised through a source that has to stop. No `Exception`, lest an operator such as `retry` resumes it."""


class _Feed:
    """One observable on its way into the sink."""

    def __init__(self, sink: WebSocketSink, sent: ChannelFuture[None]) -> None:
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
