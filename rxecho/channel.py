"""A WebSocket as a stream and a sink: the interface of Dart's `web_socket_channel`, in Rx.

Joins `connection`, which moves frames, `streams`, where they come out, and `sink`, where they go in.
"""

from __future__ import annotations

import ssl as tls
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from inspect import signature
from math import inf
from types import TracebackType
from typing import Any, Literal, Never, Self, TypedDict, Unpack

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from rxecho.connection import ChannelState, Connection, Listener, Tap
from rxecho.endpoint import Endpoint
from rxecho.errors import ChannelError
from rxecho.frames import Message, Opcode
from rxecho.sink import WebSocketSink
from rxecho.status import CloseCode
from rxecho.streams import MessageStream, Multicast, StateStream

__all__ = ["ConnectOptions", "WebSocketChannel", "connector", "open_channel"]


class WebSocketChannel:
    """A WebSocket client: listen to `stream`, speak into `sink`.

    Made by `WebSocketChannel.connect`. As a context manager it does not wait on entry; on the way out it closes
    with 1000, or with 1011 when an exception leaves the block, and waits until it is closed. A channel that nobody
    closes lasts as long as the program, and does not make that last any longer.

    None of its futures can be cancelled. Inside a subscriber, where waiting for one would never end, `result` and
    `exception` raise `RuntimeError`: use `add_done_callback` there.

    >>> from reactivex import operators as ops
    >>> from rxecho import EchoServer, WebSocketChannel
    >>> with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
    ...     channel.sink.add("Hello!")
    ...     channel.stream.pipe(ops.first()).run()
    'Hello!'
    """

    def __init__(self, connection: Connection, before: Callable[[Any], object] | None = None) -> None:
        """Take over a connection that was not started; use `WebSocketChannel.connect` instead.

        Args:
            connection: What `connection.start` starts.
            before: Called with the channel before that: whoever wants to miss nothing of what comes first.
        """
        if not isinstance(connection, Connection):
            raise TypeError("a channel is made by WebSocketChannel.connect(url)")
        self._connection = connection
        self._stream = MessageStream(connection)
        self._states = StateStream(connection)
        self._end: Multicast[Never] = Multicast()
        self._sink = WebSocketSink(connection)
        if before:
            before(self)
        connection.start(
            Listener(
                on_message=self._stream.on_next,
                on_state=self._states.on_next,
                on_wake=self._stream.catch_up,
                on_end=self._on_end,
            )
        )

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        protocols: Iterable[str] = (),
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        origin: str | None = None,
        ssl: tls.SSLContext | None = None,
        proxy: str | None = None,
        compression: Literal["deflate"] | None = "deflate",
        connect_timeout: float = 10.0,
        close_timeout: float = 5.0,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        max_message_size: int = 16 * 2**20,
    ) -> Self:
        """Connect to a WebSocket server, in the background: this returns at once. Dart's `WebSocketChannel.connect`.

        Args:
            url: Begins with `ws://` or `wss://`. A user name and a password in it are sent as Basic authorization.
            protocols: The subprotocols that are offered, the preferred one first.
            headers: More headers for the opening handshake: a mapping, or pairs where one is repeated.
            origin: The `Origin` header, as a browser would send it; none is sent otherwise.
            ssl: How to verify the server, for `wss://`. By default by the system's certificate authorities.
            proxy: The URL of an HTTP proxy; `""` for none; `None` for the environment's (`http_proxy`,
                `https_proxy`, `no_proxy`), which is never used to reach this machine itself.
            compression: `"deflate"` to offer the server to compress messages (permessage-deflate, RFC 7692), which
                then happens to those of 100 bytes and more; `None` to do without.
            connect_timeout: Seconds until the channel is open: name look-up, TCP, proxy, TLS and handshake together.
            close_timeout: Seconds that the peer may take to answer a close frame.
            ping_interval: Seconds between two pings that keep the connection alive, or `None` for none.
            ping_timeout: Seconds to listen for the pong before the connection counts as lost, or `None` for ever.
            max_message_size: Bytes in the largest message to receive, also when it arrives compressed.

        Raises:
            ValueError: The URL, or an option, cannot be right. Whatever else goes wrong ends the stream.
            TypeError: The URL, a header or a subprotocol is not a `str`.
            OSError: The system has no descriptor left.
            RuntimeError: It has no thread left.

        >>> from rxecho import EchoServer, WebSocketChannel
        >>> with EchoServer() as server, WebSocketChannel.connect(server.url, protocols=["chat"]) as channel:
        ...     channel.ready.result(timeout=10)
        ...     channel.protocol
        'chat'
        """
        connect = cls._prepare(
            url,
            protocols=protocols,
            headers=headers,
            origin=origin,
            ssl=ssl,
            proxy=proxy,
            compression=compression,
            connect_timeout=connect_timeout,
            close_timeout=close_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            max_message_size=max_message_size,
        )
        return connect(None)

    @classmethod
    def _prepare(
        cls,
        url: str,
        *,
        connect_timeout: float,
        close_timeout: float,
        ping_interval: float | None,
        ping_timeout: float | None,
        max_message_size: int,
        **handshake: Any,
    ) -> Callable[[Callable[[Any], object] | None], Self]:
        """Judge the URL and the options, once for any number of channels; what is returned takes a `before`."""
        endpoint = Endpoint.parse(url, **handshake)
        seconds = {
            "connect_timeout": connect_timeout,
            "close_timeout": close_timeout,
            "ping_interval": inf if ping_interval is None else ping_interval,
            "ping_timeout": inf if ping_timeout is None else ping_timeout,
        }
        for name, value in seconds.items():
            if not value > 0:
                raise ValueError(f"{name} is a number of seconds above 0, not {value!r}")
        if max_message_size < 1:
            raise ValueError(f"max_message_size is a number of bytes above 0, not {max_message_size!r}")
        return lambda before: cls(Connection(endpoint, **seconds, max_message_size=max_message_size), before)

    @property
    def stream(self) -> Observable[Message]:
        """What the peer sends: `str` for text, `bytes` for binary. Hot and multicast, on the channel's own thread.

        What arrives before the first subscription is kept for the first subscriber, up to 1,024 messages or
        `max_message_size` bytes; beyond that nothing is read, so that TCP slows the peer down. Whoever only wants
        to send says `stream.subscribe()` and lets messages go.

        It completes after a closing handshake, whoever began it and whatever the code, and after our own close in
        any case. It fails with `ConnectError`, `ConnectionLost`, `ProtocolError`, `InvalidPayload` or
        `MessageTooBig`.
        """
        return self._stream

    @property
    def sink(self) -> WebSocketSink:
        """Where messages to the peer go in."""
        return self._sink

    @property
    def ready(self) -> Future[None]:
        """Done when the channel is open. Fails with `ConnectError`, or `ChannelClosed` when it is closed first.

        Dart's `WebSocketChannel.ready`. Nobody has to wait for it: what is added before that is sent then.

        >>> from rxecho import WebSocketChannel
        >>> WebSocketChannel.connect("ws://127.0.0.1:1/").ready.exception(timeout=10)
        ConnectError('could not connect to ws://127.0.0.1:1/: the TCP connection was refused, ...
        """
        return self._connection.ready

    @property
    def state(self) -> ChannelState:
        """How far the channel is."""
        return self._connection.state

    @property
    def states(self) -> Observable[ChannelState]:
        """How far the channel is: now, and whenever it moves on; completes after `CLOSED`.

        Each subscriber gets the current state inside `subscribe`, and what comes later on the channel's own thread.

        >>> from reactivex import operators as ops
        >>> from rxecho import ChannelState, EchoServer, WebSocketChannel
        >>> with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ...     channel.states.pipe(ops.first(lambda state: state is ChannelState.OPEN)).run()
        <ChannelState.OPEN: 1>
        >>> channel.states.run()
        <ChannelState.CLOSED: 3>
        """
        return self._states

    @property
    def protocol(self) -> str | None:
        """The subprotocol that the server chose, as it spelled it; `None` if it chose none, or has not yet."""
        return self._connection.protocol

    @property
    def close_code(self) -> int | None:
        """`None` before the channel is closed. Then what the peer's close frame said, 1005 where it said nothing.

        1006 where none came, also when it was we who failed the connection: the stream's error says why.

        >>> from rxecho import EchoServer, WebSocketChannel
        >>> with EchoServer() as server:
        ...     channel = WebSocketChannel.connect(server.url_for("/close?code=4000&reason=Enough"))
        ...     channel.sink.done.result(timeout=10)
        >>> channel.close_code, channel.close_reason
        (4000, 'Enough')
        """
        return self._connection.close_code

    @property
    def close_reason(self) -> str | None:
        """`None` before the channel is closed. Then what the peer's close frame said, or `""`."""
        return self._connection.close_reason

    @property
    def closed_by_us(self) -> bool:
        """Whether it was this side that began to close the channel: the stream then completes in any case.

        >>> from rxecho import EchoServer, WebSocketChannel
        >>> with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ...     pass
        >>> channel.closed_by_us
        True
        """
        return self._connection.is_closed_by_us

    @property
    def arriving_amount(self) -> int:
        """Bytes that are here of a message which has not arrived whole; `sink.buffered_amount` is its counterpart."""
        return self._connection.arriving_amount

    def ping(self, payload: bytes = b"") -> Future[float]:
        """Send a ping, with up to 125 bytes of payload: RFC 6455, section 5.5.2.

        Returns:
            The round trip in seconds, once the pong came. Fails when the channel ends before that.

        Raises:
            TypeError: The payload is not bytes.
            ValueError: It is larger.
            ChannelClosed: Either side has closed the channel.

        >>> from rxecho import EchoServer, WebSocketChannel
        >>> with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ...     channel.ping().result(timeout=10) < 10
        True
        """
        return self._connection.ping(payload)

    def pong(self, payload: bytes = b"") -> None:
        """Send a pong that no ping has asked for, with up to 125 bytes of payload: RFC 6455, section 5.5.3.

        A heartbeat in one direction, which the peer need not answer. Pings are answered without it.

        Raises:
            TypeError: The payload is not bytes.
            ValueError: It is larger.
            ChannelClosed: Either side has closed the channel.

        >>> from rxecho import EchoServer, WebSocketChannel
        >>> with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ...     channel.pong(b"still here")
        """
        self._connection.pong(payload)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.sink.close(CloseCode.NORMAL_CLOSURE if kind is None else CloseCode.INTERNAL_ERROR).result()
        if not self._connection.is_on_own_thread:
            self._connection.thread.join()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._connection.url} {self.state.name}>"

    def _tap(self, tap: Tap) -> Callable[[], None]:
        """Tell of each message, ping and pong from now on, and of the messages that are still kept.

        See `Connection.tap` and `MessageStream.tap`; each is told of before anybody else gets it.
        """

        def tell(message: Message) -> None:
            tap(False, Opcode.TEXT if isinstance(message, str) else Opcode.BINARY, message)

        end = self._connection.tap(tap)
        heard = self._stream.tap(tell)

        def end_both() -> None:
            end()
            heard.dispose()

        return end_both

    def _on_end(self, error: ChannelError | None) -> None:
        self._stream.end(error)
        self._states.end(None)
        self._end.end(error)
        self._sink._end()


class ConnectOptions(TypedDict, total=False):
    """What `WebSocketChannel.connect` takes beside the URL."""

    protocols: Iterable[str]
    headers: Mapping[str, str] | Iterable[tuple[str, str]] | None
    origin: str | None
    ssl: tls.SSLContext | None
    proxy: str | None
    compression: Literal["deflate"] | None
    connect_timeout: float
    close_timeout: float
    ping_interval: float | None
    ping_timeout: float | None
    max_message_size: int


def open_channel(url: str, **options: Unpack[ConnectOptions]) -> Observable[WebSocketChannel]:
    """An observable that opens a channel for each subscription, and emits it once it is open.

    It ends as the channel's stream ends, without listening to it; disposing of the subscription closes the channel
    with 1000. That makes RxPY's `retry` and `repeat` reconnect. They do so at full speed, a thousand attempts a
    second where nobody listens: put a delay in between.

    Args:
        url: As for `WebSocketChannel.connect`.
        options: As for `WebSocketChannel.connect`.

    Raises:
        ValueError: The URL, or an option, cannot be right.
        TypeError: There is no such option, or it is of a wrong type.

    >>> from reactivex import operators as ops
    >>> from rxecho import EchoServer, open_channel
    >>> with EchoServer() as server:
    ...     open_channel(server.url).pipe(
    ...         ops.do_action(lambda channel: channel.sink.add("Hello!")),
    ...         ops.flat_map(lambda channel: channel.stream),
    ...         ops.retry(3),
    ...         ops.first(),
    ...     ).run()
    'Hello!'
    """
    connect = connector(url, **options)

    def subscribe(
        observer: abc.ObserverBase[WebSocketChannel], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        end = SingleAssignmentDisposable()

        def listen(channel: WebSocketChannel) -> None:
            # Not by operators such as `merge`, which may subscribe later, on the trampoline of this thread.
            channel.ready.add_done_callback(lambda ready: emit(channel, ready))
            end.disposable = channel._end.subscribe(
                on_error=observer.on_error, on_completed=observer.on_completed, scheduler=scheduler
            )

        def emit(channel: WebSocketChannel, ready: Future[None]) -> None:
            if ready.exception() is not None:
                return  # its end says why
            try:
                observer.on_next(channel)
            except BaseException:
                # Who was to have it does not want it, and nobody else could ever close it.
                channel.sink.close(CloseCode.INTERNAL_ERROR)
                raise

        def close() -> None:
            channel.sink.close(CloseCode.NORMAL_CLOSURE)

        # Before it connects, so that it is emitted on its own thread, before anything is read.
        channel = connect(listen)
        return CompositeDisposable(end, Disposable(close))

    return Observable(subscribe)


def connector(
    url: str, **options: Unpack[ConnectOptions]
) -> Callable[[Callable[[WebSocketChannel], object] | None], WebSocketChannel]:
    """Judge a URL and options, now, with the defaults of `connect`; what is returned connects, each time."""
    arguments = signature(WebSocketChannel.connect).bind(url, **options)
    arguments.apply_defaults()
    return WebSocketChannel._prepare(**arguments.arguments)
