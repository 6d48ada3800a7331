"""What a line of input is as a message: text, JSON, or hex for binary. No I/O.

On a message's way this lies between a line, of the text field or of standard input, and the sink.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rxecho.console.json_text import NotJson, Reader

if TYPE_CHECKING:
    from collections.abc import Callable

    AsMessage = Callable[[str], str | bytes]
    """From a line to a message; raises `Mistake` or `Unfinished`."""

__all__ = ["Mistake", "Unfinished", "as_hex", "as_json", "as_text"]


class Mistake(ValueError):
    """A line cannot be what it is meant to be; the text says why, without a full stop."""


class Unfinished(ValueError):
    """A line is the beginning of a message: more lines have to follow."""


def as_text(line: str) -> str:
    """The line itself."""
    return line


def as_hex(line: str) -> bytes:
    r"""The bytes that the line has in hex, with spaces between them or without.

    >>> as_hex("00 ff")
    b'\x00\xff'
    >>> as_hex("00 f")
    Traceback (most recent call last):
    rxecho.console.lines.Mistake: it is not hex at character 4: each byte has two digits, as in 00 ff
    """
    pairs = _PAIRS.match(line)
    assert pairs
    if pairs.end() < len(line):
        raise Mistake(f"it is not hex at character {pairs.end() + 1}: each byte has two digits, as in 00 ff")
    return bytes.fromhex(line)


_PAIRS: Final = re.compile(r"\s*+(?:[0-9A-Fa-f]{2}\s*+)*+", re.ASCII)


def as_json(line: str) -> str:
    """The line itself, if it is JSON.

    >>> as_json("{a: 1}")
    Traceback (most recent call last):
    rxecho.console.lines.Mistake: it is not JSON at line 1, column 2: expected a key in quotes or '}'
    """
    reader = Reader()
    try:
        reader.skim(line)
    except NotJson as error:
        row, column = line.count("\n", 0, error.at) + 1, error.at - line.rfind("\n", 0, error.at)
        raise Mistake(f"it is not JSON at line {row}, column {column}: {error}") from error
    if not reader.is_whole:
        raise Unfinished("it is the beginning of JSON")
    return line
