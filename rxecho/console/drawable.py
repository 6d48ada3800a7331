"""Messages, and our own symbols, made fit for the terminal at hand.

A message is cut before it is escaped, escaped before it is measured, and broken into rows of its own, so that
it never costs more and never reaches further than the place it is given.
"""

from __future__ import annotations

from itertools import accumulate
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import chop_cells
from rich.text import Text

from rxecho.console.json_text import COLOURS, NotJson, Reader, Token, could_go_on, in_a_row, laid_out
from rxecho.printable import printable

if TYPE_CHECKING:
    from rich.console import ConsoleOptions

__all__ = ["BriefJsonExcerpt", "Excerpt", "JsonExcerpt", "count", "spelled", "symbols"]

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
            rows[max(limit - 1, 0) :] = [self._summary(options)]
        return rows

    def lines(self, options: ConsoleOptions, *, limit: int) -> list[Text]:
        """The rows, ready to be drawn."""
        return [Text(row) for row in self.rows(options, limit=limit)]

    def _summary(self, options: ConsoleOptions) -> str:
        return symbols(f"… {count(self.size, 'character')} in all", options)


_HEAD = 4_000
_HEX = 64


class JsonExcerpt(Excerpt):
    """The beginning of a message that is drawn indented and coloured if it is JSON, and as it came otherwise."""

    __slots__ = ()
    layout = staticmethod(laid_out)

    def lines(self, options: ConsoleOptions, *, limit: int) -> list[Text]:
        """Each item and each member on rows of its own."""
        if (tokens := self._tokens()) is None:
            return super().lines(options, limit=limit)
        text = Text()
        rows = 1
        for kind, token in self.layout(tokens):
            text.append(spelled(token, options, keep="\n"), f"color({COLOURS[kind]})" if kind else None)
            rows += token.startswith("\n")
            if rows > limit:
                break
        drawn = [row for line in text.split("\n", allow_blank=True) for row in _chopped(line, options.max_width)]
        if self.size > len(self.head) or len(drawn) > limit:
            drawn[max(limit - 1, 0) :] = [Text(self._summary(options))]
        return drawn

    def _tokens(self) -> list[Token] | None:
        """What is here of it, where it is JSON as far as that goes."""
        if isinstance(self.head, bytes):
            return None
        reader = Reader()
        tokens: list[Token] = []
        try:
            tokens.extend(reader.read(self.head))
        except NotJson as error:
            rest = self.head[error.at :]
            if len(self.head) == self.size or not could_go_on(rest):
                return None
            return [*tokens, Token("string" if rest[0] == '"' else "", rest)]
        return tokens if reader.is_whole or len(self.head) < self.size else None


class BriefJsonExcerpt(JsonExcerpt):
    """The same without a line for each member, for where there is little room."""

    __slots__ = ()
    layout = staticmethod(in_a_row)


def _chopped(line: Text, width: int) -> list[Text]:
    """A line in pieces of so many cells."""
    ends = list(accumulate(len(piece) for piece in chop_cells(line.plain, max(width, 1))))
    return list(line.divide(ends[:-1]))


def _broken(text: str, width: int) -> list[str]:
    return [row for line in text.split("\n") for row in chop_cells(line, max(width, 1)) or [line]]


def count(number: int, unit: str) -> str:
    """So many of them, in words.

    >>> count(4812, "message")
    '4,812 messages'
    """
    return f"{number:,} {unit}{'s' if number != 1 else ''}"
