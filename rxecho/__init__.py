"""rxecho: a WebSocket whose frames are an RxPY Observable and whose sink a Subject feeds.

>>> import reactivex.operators as ops
>>> import rxecho
>>> with rxecho.EchoServer() as server, rxecho.WebSocketChannel.connect(server.url) as channel:
...     channel.sink.add("Hello!")
...     channel.stream.pipe(ops.first()).run()
'Hello!'

Names are imported when they are first used, so that `import rxecho` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rxecho import errors, operators, status
    from rxecho.builder import StreamBuilder
    from rxecho.channel import WebSocketChannel, open_channel
    from rxecho.connection import ChannelState
    from rxecho.errors import (
        ChannelClosed,
        ChannelError,
        ConnectError,
        ConnectionLost,
        ConnectTimeout,
        InvalidPayload,
        MessageTooBig,
        ProtocolError,
    )
    from rxecho.live import Live
    from rxecho.server import EchoServer
    from rxecho.sink import WebSocketSink
    from rxecho.snapshot import AsyncSnapshot, ConnectionState

__version__ = "0.1.0"

__all__ = [
    "AsyncSnapshot",
    "ChannelClosed",
    "ChannelError",
    "ChannelState",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "ConnectionState",
    "EchoServer",
    "InvalidPayload",
    "Live",
    "MessageTooBig",
    "ProtocolError",
    "StreamBuilder",
    "WebSocketChannel",
    "WebSocketSink",
    "errors",
    "open_channel",
    "operators",
    "status",
]

_HOME = {
    "AsyncSnapshot": "snapshot",
    "ChannelState": "connection",
    "ConnectionState": "snapshot",
    "EchoServer": "server",
    "Live": "live",
    "StreamBuilder": "builder",
    "WebSocketChannel": "channel",
    "WebSocketSink": "sink",
    "open_channel": "channel",
}


if not TYPE_CHECKING:  # or a type checker would believe in every name

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'rxecho' has no attribute {name!r}")
        if name in ("errors", "operators", "status"):
            return import_module(f"rxecho.{name}")
        value: object = getattr(import_module(f"rxecho.{_HOME.get(name, 'errors')}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
