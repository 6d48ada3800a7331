"""What can go wrong with a channel, from its first name look-up to its last frame.

Every error says what happened, to which URL, and what to try; the cause is chained.
"""

from __future__ import annotations

__all__ = [
    "ChannelClosed",
    "ChannelError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "InvalidPayload",
    "MessageTooBig",
    "ProtocolError",
]


class ChannelError(Exception):
    """Whatever ends a channel, or is asked of one that has ended."""


class ConnectError(ChannelError):
    """The channel never opened: no such host, nobody listening, no WebSocket behind the URL.

    >>> from rxecho import EchoServer, WebSocketChannel
    >>> with EchoServer() as server:
    ...     WebSocketChannel.connect(server.url_for("/nowhere")).ready.exception(timeout=10).status
    404

    Attributes:
        status: The HTTP status the server answered with instead of 101, or `None` where it came to no
            answer.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ConnectTimeout(ConnectError, TimeoutError):
    """The channel was not open within `connect_timeout` seconds."""


class ChannelClosed(ChannelError):
    """Something was asked of a channel that is closing or closed.

    >>> from rxecho import EchoServer, WebSocketChannel
    >>> with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
    ...     pass
    >>> channel.sink.add("too late")
    Traceback (most recent call last):
    rxecho.errors.ChannelClosed: the channel to ws://127.0.0.1:.../ is closed; connect a new one to go on
    """


class ConnectionLost(ChannelError):
    """The connection went away without a close frame, or the peer stopped answering pings.

    >>> from rxecho import EchoServer, WebSocketChannel
    >>> with EchoServer() as server:
    ...     WebSocketChannel.connect(server.url_for("/flaky?after=0")).stream.run()
    Traceback (most recent call last):
    rxecho.errors.ConnectionLost: the connection to ws://...: the peer went away without a close frame; ...
    """


class ProtocolError(ChannelError):
    """The peer sent what RFC 6455 does not allow. Close code 1002."""


class InvalidPayload(ChannelError):
    """The peer sent text that is not UTF-8. RFC 6455, section 8.1. Close code 1007."""


class MessageTooBig(ChannelError):
    """The peer sent, or announced, a message of more than `max_message_size` bytes. Close code 1009.

    >>> from rxecho import EchoServer, WebSocketChannel
    >>> with EchoServer() as server, WebSocketChannel.connect(server.url, max_message_size=4) as channel:
    ...     channel.sink.add("Hello!")
    ...     channel.stream.run()
    Traceback (most recent call last):
    rxecho.errors.MessageTooBig: the peer at ws://... sent too much: ...; pass a larger max_message_size to take it
    """
