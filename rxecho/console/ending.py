"""How a conversation ended, for the person who held it: the same words in the console and in plain mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rxecho.errors import ChannelClosed
from rxecho.status import GOING_AWAY, NO_STATUS_RECEIVED, NORMAL_CLOSURE, describe

if TYPE_CHECKING:
    from rxecho.console.lasting import Channel

__all__ = ["demand_normal_closure", "ending"]

_NORMAL = frozenset({NORMAL_CLOSURE, GOING_AWAY, NO_STATUS_RECEIVED})


def ending(channel: Channel) -> str:
    """What the close frame of a closed channel said, such as `1001 (going away): good night`."""
    assert channel.close_code is not None
    return describe(channel.close_code) + (f": {channel.close_reason}" if channel.close_reason else "")


def demand_normal_closure(channel: Channel) -> None:
    """Judge a channel that the peer has closed.

    Raises:
        ChannelClosed: With a code that means something went wrong: any but 1000, 1001 and none.
    """
    if channel.close_code not in _NORMAL:
        raise ChannelClosed(f"the server closed the connection with {ending(channel)}")
