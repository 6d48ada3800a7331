"""Pings and pongs, told of as they pass: the frames that keep a connection alive and are no messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rxecho.frames import Opcode

if TYPE_CHECKING:
    from collections.abc import Callable

    from rxecho.console.lasting import Channel

__all__ = ["payload_text", "tell_of_pings"]


def tell_of_pings(channel: Channel, tell: Callable[[str], None]) -> Callable[[], None]:
    """Tell of each ping and pong of a channel, our own and the keepalive's, too; return what ends it.

    `tell` is called where the frame passes, with a lock held: whoever makes it wait makes the connection wait.
    """

    def on_frame(sent: bool, opcode: Opcode, payload: str | bytes) -> None:
        if isinstance(payload, bytes) and opcode in (Opcode.PING, Opcode.PONG):
            tell(f"{opcode.name.lower()} {'sent' if sent else 'received'}{payload_text(payload)}")

    return channel._tap(on_frame)


def payload_text(payload: bytes) -> str:
    r"""A payload behind what it belongs to: as text if it is one that can be printed, otherwise as hex.

    >>> payload_text(b"Hello"), payload_text(b"\xff\x00"), payload_text(b"")
    (': Hello', ': ff 00', '')
    """
    if not payload:
        return ""
    text = payload.decode(errors="replace")
    return f": {text}" if text.isprintable() and "\ufffd" not in text else f": {payload.hex(' ')}"
