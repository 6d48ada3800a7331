"""The sink of a channel: an `Observer` whose notifications become frames.

On a message's way this lies between whoever speaks, often a `Subject` of user input, and `connection`.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Final

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from rxecho.connection import Connection
from rxecho.errors import ChannelClosed
from rxecho.frames import Message, Opcode
from rxecho.streamsink import StreamSink

__all__ = ["WebSocketSink"]

# Since Python 3.11 takes as long to find a member of an enum as to call a function.
_TEXT: Final = Opcode.TEXT
_BINARY: Final = Opcode.BINARY


class WebSocketSink(StreamSink):
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
        super().__init__(connection.thread)
        self._connection = connection

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

    def _closed_error(self, how: str) -> ChannelClosed:
        return self._connection.closed_error(how)
