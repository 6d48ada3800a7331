"""What happens when more has come than may be kept."""

from __future__ import annotations

from typing import Literal

__all__ = ["BufferOverflow", "Overflow"]

Overflow = Literal["block", "drop_oldest", "drop_newest", "error"]
"""Wait until there is room, let the oldest go or what has just come, or raise `BufferOverflow`."""


class BufferOverflow(Exception):
    """There is no room for what has come, and it was asked to be told of that.

    >>> from rxecho.operators import ReconnectingSink
    >>> sink = ReconnectingSink(size=1, overflow="error")
    >>> sink.add("one")
    >>> sink.add("two")
    Traceback (most recent call last):
    rxecho.operators._overflow.BufferOverflow: no more messages may wait for a connection than the 1 of 3 ...
    """
