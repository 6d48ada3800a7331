"""Messages, and our own symbols, made fit for the terminal at hand.

A message is cut before it is escaped, escaped before it is measured, and broken into rows of its own, so that
it never costs more and never reaches further than the place it is given.
"""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import chop_cells

from rxecho.printable import printable

if TYPE_CHECKING:
    from rich.console import ConsoleOptions

__all__ = ["Excerpt", "count", "spelled", "symbols"]

_ASCII = str.maketrans(
    {"→": ">", "←": "<", "↑": "^", "↓": "v", "❯": ">", "●": "*", "…": "...", "·": "-", "↵": "\\n"}  # noqa: RUF001
)


def symbols(text: str, options: ConsoleOptions) -> str:
    """Our own text, in ASCII where the terminal's encoding is not Unicode."""
    return text.translate(_ASCII) if options.ascii_only else text


def spelled(text: str, options: ConsoleOptions, *, keep: str = "") -> str:
    """Somebody's text, with all of it escaped that would act on the terminal or that its encoding lacks."""
    text = printable(text, keep=keep)
    if options.ascii_only:
        text = text.encode(options.encoding, "backslashreplace").decode(options.encoding)
    return text


class Excerpt(NamedTuple):
    """The beginning of a message and how long all of it is, in characters or bytes.

    >>> Excerpt.of("x" * 1_000_000).size
    1000000
    """

    head: str | bytes
    size: int

    @classmethod
    def of(cls, message: str | bytes) -> Excerpt:
        """Keep what could be shown. It takes the same time and space whatever the message's length."""
        return cls(message[:_HEAD], len(message))

    def rows(self, options: ConsoleOptions, *, limit: int) -> list[str]:
        """Break it into rows of `options.max_width` cells; where `limit` rows do not hold it, the last says so."""
        if isinstance(self.head, bytes):
            rest = " …" if self.size > _HEX else ""
            text = f"{count(self.size, 'byte')} {self.head[:_HEX].hex(' ')}{symbols(rest, options)}".rstrip()
            return wrap(text, max(options.max_width, 1))[:limit]
        head = self.head[: limit * options.max_width]
        rows = _broken(spelled(head.replace("\r\n", "\n"), options, keep="\n\t").expandtabs(4), options.max_width)
        if len(head) < self.size or len(rows) > limit:
            rows[max(limit - 1, 0) :] = [symbols(f"… {count(self.size, 'character')} in all", options)]
        return rows


_HEAD = 4_000
_HEX = 64


def _broken(text: str, width: int) -> list[str]:
    return [row for line in text.split("\n") for row in chop_cells(line, max(width, 1)) or [line]]


def count(number: int, unit: str) -> str:
    """So many of them, in words.

    >>> count(4812, "message")
    '4,812 messages'
    """
    return f"{number:,} {unit}{'s' if number != 1 else ''}"
