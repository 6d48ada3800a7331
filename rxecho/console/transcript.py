"""The transcript: which messages and notices are shown above the panel, and which are only counted.

On a message's way it stands beside the panel. Whoever sends or receives notes it here, in constant time
and space; the display takes what was noted, at its own pace, and draws it.
"""

from __future__ import annotations

from itertools import chain, repeat
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from rich.segment import Segment
from rich.style import Style

from rxecho.console.drawable import Excerpt, symbols
from rxecho.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Entry", "More", "Notice", "Transcript"]

BURST = 100
"""Messages each way, and notices, that are shown at a time,"""
FLOOD = 10
"""and after more than that came at a time, as long as it goes on."""
ROWS = 50
"""Rows that one message may take."""


class Entry(NamedTuple):
    """A message as the transcript shows it: marked where it begins, indented where it goes on."""

    sent: bool
    message: Excerpt

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        arrow, style = ("→ ", _SENT) if self.sent else ("← ", _RECEIVED)
        marks = chain([Segment(symbols(arrow, options), style)], repeat(Segment("  ")))
        rows = self.message.lines(options.update_width(max(options.max_width - 2, 1)), limit=ROWS)
        for mark, row in zip(marks, rows, strict=False):
            yield from (mark, *row.render(console), Segment.line())


class Notice(NamedTuple):
    """What is to be said about the conversation and is no message: without an arrow, and indented where it goes on."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        marks = chain([Segment("")], repeat(Segment("  ")))
        rows = Excerpt.of(printable(self.text)).rows(options.update_width(max(options.max_width - 2, 1)), limit=ROWS)
        for mark, row in zip(marks, rows, strict=False):
            yield from (mark, Segment(row, _DIM), Segment.line())


class More(NamedTuple):
    """Messages, sent or received, and notices that are not shown."""

    number: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from (Segment(symbols(f"… {self.number:,} more", options), _DIM), Segment.line())


_SENT = Style(color="cyan", bold=True)
_RECEIVED = Style(color="green", bold=True)
_DIM = Style(dim=True)


class Transcript:
    """What was sent and received since it was last taken, in order.

    However much that is, it holds no more than is shown at a time; the rest is counted where it came.
    Safe from any thread.

    Args:
        changed: Called when there is something to take where there was nothing.
        excerpt: What is kept of a message that came.

    Attributes:
        sent: Messages sent in all.
        received: Messages received in all.
    """

    def __init__(self, changed: Callable[[], None], *, excerpt: Callable[[str | bytes], Excerpt] = Excerpt.of) -> None:
        self._changed = changed
        self._excerpt = excerpt
        # Guards everything below: lines are noted by the loop's thread, messages by the channel's.
        self._lock = Lock()
        self.sent = 0
        self.received = 0
        self._notices = 0
        self._taken = 0
        # Of what is sent, of what is received, and of notices.
        self._room: dict[bool | None, int] = dict.fromkeys((True, False, None), BURST)
        self._noted: list[Entry | Notice | More] = []
        self._more = 0

    def note_sent(self, message: str | bytes) -> None:
        """Note a message on its way out."""
        with self._lock:
            self.sent += 1
            if not self._room[True]:
                self._more += 1
                return
            first = self._keep(True, Entry(True, Excerpt.of(message)))
        if first:
            self._changed()

    def note_received(self, message: str | bytes) -> None:
        """Note a message that came."""
        with self._lock:
            self.received += 1
            if not self._room[False]:
                self._more += 1
                return
            first = self._keep(False, Entry(False, self._excerpt(message)))
        if first:
            self._changed()

    def note(self, text: str) -> None:
        """Note what is no message."""
        with self._lock:
            self._notices += 1
            if not self._room[None]:
                self._more += 1
                return
            first = self._keep(None, Notice(text))
        if first:
            self._changed()

    def take(self) -> list[Entry | Notice | More]:
        """What was noted since the last time, each either shown or summarised, in order."""
        with self._lock:
            came = self.sent + self.received + self._notices - self._taken
            self._taken += came
            self._room = dict.fromkeys((True, False, None), BURST if came <= BURST else FLOOD)
            self._summarise()
            noted, self._noted = self._noted, []
            return noted

    def _keep(self, kind: bool | None, entry: Entry | Notice) -> bool:
        """Keep it, after what was only counted; say whether it is the first since the last `take`."""
        first = not self._noted
        self._room[kind] -= 1
        self._summarise()
        self._noted.append(entry)
        return first

    def _summarise(self) -> None:
        if self._more:
            self._noted.append(More(self._more))
            self._more = 0
