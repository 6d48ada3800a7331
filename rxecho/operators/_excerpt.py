"""A message as an error quotes it: short, and fit to print."""

from __future__ import annotations

from rxecho.printable import printable

__all__ = ["excerpt"]

_WIDTH = 60


def excerpt(message: str | bytes, position: int = 0) -> str:
    r"""Some 60 bytes of a message around a position in it.

    Args:
        message: Anything a peer may have sent.
        position: What has to be among them, as an index into its bytes.

    >>> excerpt("Hello\x07")
    'Hello\\x07'
    >>> excerpt(b"-" * 1000 + b"\xff" + b"+" * 1000, 1000)
    '…------------------------------\\xff+++++++++++++++++++++++++++++…'
    """
    data = message.encode(errors="backslashreplace") if isinstance(message, str) else message
    start = max(position - _WIDTH // 2, 0)
    stop = start + _WIDTH
    shown = printable(data[start:stop].decode(errors="backslashreplace"))
    return "…" * (start > 0) + shown + "…" * (stop < len(data))
