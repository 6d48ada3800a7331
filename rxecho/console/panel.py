"""The panel: Flutter's `Scaffold` with its text field, the latest value and, beneath, how the connection is.

It holds the last of each and lays them out in whatever room the terminal has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from rxecho.connection import ChannelState
from rxecho.console.drawable import BriefJsonExcerpt, Excerpt, spelled, symbols
from rxecho.console.graphemes import next_grapheme, previous_grapheme
from rxecho.console.textfield import TextField
from rxecho.endpoint import without_password
from rxecho.errors import ChannelError
from rxecho.marbles.labels import label

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from rxecho.console.transcript import Transcript
    from rxecho.snapshot import AsyncSnapshot

__all__ = ["ConsolePanel", "Latest", "LatestJson", "duration"]

HINTS = (
    "Enter send · ↑↓ history · Ctrl+T marbles · Ctrl+C close",
    "Enter send · Ctrl+T marbles · Ctrl+C close",
    "Enter send · Ctrl+C close",
    "Ctrl+C close",
)
"""What to press; the first that the border has room for is shown."""
CLOSING_HINTS = ("Ctrl+C again to leave without an answer", "Ctrl+C leave")

_COLOURS = {
    ChannelState.CONNECTING: "yellow",
    ChannelState.OPEN: "green",
    ChannelState.CLOSING: "yellow",
    ChannelState.CLOSED: "red",
}


class ConsolePanel:
    """The console's panel, drawn from what it holds at that moment.

    Args:
        transcript: Where messages are counted.
        url: What the status line says we are connected to.
        verified: `False` where TLS takes any certificate, which the status line then says.

    Attributes:
        field: The text field.
        latest: What draws the latest value.
        state: The channel's.
        round_trip: The last ping's, in seconds; `None` before the first.
    """

    def __init__(self, transcript: Transcript, *, url: str, verified: bool = True) -> None:
        self.field = TextField()
        self.state = ChannelState.CONNECTING
        self.latest: RenderableType = ""
        self.round_trip: float | None = None
        self._transcript = transcript
        self._url = without_password(url)
        self._verified = verified

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        inside = options.update_width(max(options.max_width - 4, 1))
        gap = [Text()] if _is_roomy(options) else []
        rows = [Text("Send a message", "dim"), prompt(self.field, inside)]
        hints = CLOSING_HINTS if self.state is ChannelState.CLOSING else HINTS
        hint = next((hint for hint in hints if cell_len(hint) <= inside.max_width - 2), "")
        yield Panel(
            Group(*rows, *gap, self.latest, *gap, self._status(inside)),
            title=Text("WebSocket Demo", "bold"),
            title_align="left",
            subtitle=Text(symbols(hint, options), "dim"),
            subtitle_align="left",
            border_style="cyan",
        )

    def _status(self, options: ConsoleOptions) -> Text:
        colour = _COLOURS[self.state]
        state = Text.assemble((symbols("● ", options), colour), (self.state.name.lower(), f"bold {colour}"))
        if not self._verified:
            state.append("  TLS not verified", "bold yellow")
        traffic = f"↑ {self._transcript.sent:,}  ↓ {self._transcript.received:,}"
        if self.round_trip is not None:
            traffic += f"   rtt {duration(self.round_trip)}"
        figures = Text(symbols(traffic, options))
        url = spelled(self._url, options)
        room = options.max_width - state.cell_len - figures.cell_len - 5
        if room < min(cell_len(url), 16):
            return Text("\n").join(
                [Text("  ").join([state, figures]), Text(_shortened(url, options.max_width, options), "dim")]
            )
        url = _shortened(url, room, options)
        return Text.assemble(state, "  ", (url, "dim"), " " * (room - cell_len(url) + 3), figures)


class Latest:
    """What a snapshot holds, in a few rows: the builder of the panel's `StreamBuilder`."""

    excerpt = staticmethod(Excerpt.of)

    def __init__(self, snapshot: AsyncSnapshot[str | bytes]) -> None:
        self._snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._snapshot.data is not None:
            rows = self.excerpt(self._snapshot.data).lines(options, limit=3 if _is_roomy(options) else 1)
            yield Text("\n", no_wrap=True).join(rows)
        elif self._snapshot.error is not None:
            error = self._snapshot.error
            yield Text(spelled(str(error) if isinstance(error, ChannelError) else label(error), options), "red")
        else:
            yield Text("no message yet", "dim")


class LatestJson(Latest):
    """The same, where what comes is JSON."""

    excerpt = staticmethod(BriefJsonExcerpt.of)


def prompt(field: TextField, options: ConsoleOptions) -> Text:
    """The text field on one row: a block for a cursor, and as much around it as there is room for.

    A line break in it is drawn as a symbol.
    """
    behind = next_grapheme(field.text, field.cursor)
    sign = symbols("❯ ", options)  # noqa: RUF001
    room = max(options.max_width - cell_len(sign), 1)

    def drawn(start: int, end: int) -> str:
        lines = field.text[max(start, 0) : end].split("\n")
        return symbols("↵", options).join(spelled(line, options) for line in lines)

    # More characters than there are cells are never looked at, however long the text.
    before, after = drawn(field.cursor - room, field.cursor), drawn(behind, behind + room)
    cursor = _first_cells(drawn(field.cursor, behind), room) or " "
    room -= cell_len(cursor)
    before = _last_cells(before, room - min(cell_len(after), room // 3))
    after = _first_cells(after, room - cell_len(before))
    return Text.assemble((sign, "bold"), before, (cursor, "reverse"), after, no_wrap=True)


def _is_roomy(options: ConsoleOptions) -> bool:
    return options.size.height >= 14


def duration(seconds: float) -> str:
    """In the unit that suits it."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"


def _shortened(text: str, width: int, options: ConsoleOptions) -> str:
    """Leave out the middle, where it has to be shorter."""
    if cell_len(text) <= width:
        return text
    gap = symbols("…", options)
    room = max(width - len(gap), 0)
    return _first_cells(text, room - room // 2) + gap + _last_cells(text, room // 2)


def _first_cells(text: str, cells: int) -> str:
    """As much of the beginning as fits into so many cells."""
    end = 0
    while end < len(text):
        step = next_grapheme(text, end)
        cells -= cell_len(text[end:step])
        if cells < 0:
            break
        end = step
    return text[:end]


def _last_cells(text: str, cells: int) -> str:
    """As much of the end as fits into so many cells."""
    start = len(text)
    while start:
        step = previous_grapheme(text, start)
        cells -= cell_len(text[step:start])
        if cells < 0:
            break
        start = step
    return text[start:]
