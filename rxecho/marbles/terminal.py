"""A marble diagram in a terminal: a row a lane, in whatever width there is, in Unicode or in ASCII.

One of the three painters. A marble is its label, which begins in the cell of its time; what would overlap is written
side by side in brackets, or counted.
"""

from __future__ import annotations

import io
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.cells import cell_len, split_graphemes
from rich.console import Console
from rich.segment import Segment
from rich.style import Style

from rxecho.marbles.labels import Palette, label, says_something, shortened
from rxecho.marbles.layout import Line, Scale, last_moment, line_before, line_behind, runs, seconds, ticks
from rxecho.marbles.model import Kind, Lane, MarbleDiagram, Operator
from rxecho.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import ConsoleOptions

    from rxecho.marbles.layout import Run
    from rxecho.marbles.model import Notification

__all__ = ["draw"]

LONGEST_LABEL: Final = 24
"""Cells of a marble, where there is room."""
PLAIN_WIDTH: Final = 100
"""Cells of a drawing that nobody gave a width."""
LONGEST_NAME: Final = 28
"""Cells of a lane's name, at most; a third of the width where that is less."""

_NAME = Style(bold=True)
_DIM = Style(dim=True)
_LINE = Style(dim=True)
_COUNT = Style(bold=True)
_ENDS = {
    Kind.SUBSCRIBED: Style(dim=True),
    Kind.COMPLETED: Style(bold=True),
    Kind.ERROR: Style(color="red", bold=True),
    Kind.DISPOSED: Style(bold=True),
}


class _Signs(NamedTuple):
    """What a drawing is made of."""

    lines: dict[Line, str]
    goes_on: str
    ends: dict[Kind, str]
    inner: str
    crossed: dict[str, str]
    times: str
    marble: str
    ellipsis: str
    box: tuple[str, str, str, str, str, str]
    tick: str
    mark: str


_UNICODE = _Signs(
    lines={Line.NONE: " ", Line.RUNNING: "─", Line.MISSED: "┄", Line.DROPPED: "·"},
    goes_on="▸",
    ends={Kind.SUBSCRIBED: "├", Kind.COMPLETED: "┤", Kind.ERROR: "✕", Kind.DISPOSED: "╎"},
    inner="╰",
    crossed={" ": "│", "─": "┼", "┄": "┼"},
    times="×",  # noqa: RUF001
    marble="●",
    ellipsis="…",
    box=("╭", "─", "╮", "│", "╰", "╯"),
    tick="╵",
    mark="▲",
)
_ASCII = _Signs(
    lines={Line.NONE: " ", Line.RUNNING: "-", Line.MISSED: ".", Line.DROPPED: ":"},
    goes_on=">",
    ends={Kind.SUBSCRIBED: "^", Kind.COMPLETED: "|", Kind.ERROR: "#", Kind.DISPOSED: "!"},
    inner="`",
    crossed={" ": ":", "-": "+", ".": "+"},
    times="x",
    marble="*",
    ellipsis="~",
    box=("+", "-", "+", "|", "+", "+"),
    tick="'",
    mark="^",
)


def draw(
    diagram: MarbleDiagram,
    options: ConsoleOptions,
    *,
    palette: Palette | None = None,
    live: bool = False,
) -> Iterator[Segment]:
    """The rows of a drawing, each with its line break.

    Args:
        diagram: What to draw.
        options: Rich's: how wide, and in which encoding.
        palette: The colours; one that is kept from drawing to drawing has every label keep its colour.
        live: Whether the right edge is now, and times are told from there.
    """
    return _Drawing(diagram, options, palette or Palette(), live).segments()


def plain(diagram: MarbleDiagram) -> str:
    """The drawing as text without colours, where nobody says how wide or for which terminal."""
    console = Console(file=io.StringIO(), width=PLAIN_WIDTH, color_system=None, legacy_windows=False)
    drawn = "".join(segment.text for segment in draw(diagram, console.options))
    return "\n".join(row.rstrip() for row in drawn.splitlines())


_Cell = tuple[str, Style | None]
_Piece = tuple[str, Style | None]


class _Drawing:
    """What all rows of a drawing have in common, and how each is made."""

    def __init__(self, diagram: MarbleDiagram, options: ConsoleOptions, palette: Palette, live: bool) -> None:
        self._diagram = diagram
        self._signs = _ASCII if options.ascii_only else _UNICODE
        self._encoding = options.encoding if options.ascii_only else ""
        self._palette = palette
        self._live = live
        names = [cell_len(self._name(lane)) for lane in diagram.lanes]
        self._margin = min(max(names, default=0), LONGEST_NAME, options.max_width // 3)
        gutter = 1  # where the sign of a subscription is, so that what is emitted at once has its own place
        self._indent = self._margin + (self._margin > 0) + gutter
        self._width = max(options.max_width - self._indent, 1)
        self._all = options.max_width
        behind = 1 if live else min(max(map(self._tail, diagram.lanes), default=2), self._width // 3)
        self._scale = Scale.fit(diagram.start, diagram.end, max(self._width - max(behind, 1) - 1, 1))

    def segments(self) -> Iterator[Segment]:
        rows = self._diagram.rows
        drawn = [self._lane(row) if isinstance(row, Lane) else [] for row in rows]
        self._connect(drawn)
        for row, cells in zip(rows, drawn, strict=True):
            if isinstance(row, Operator):
                yield from self._box(row.label)
                continue
            if self._margin:
                name = shortened(self._name(row), self._margin, self._signs.ellipsis)
                yield Segment(name + " " * (self._margin - cell_len(name) + 1), _NAME)
            yield from _joined(_cut(cells, self._all - self._indent + 1))
            yield Segment.line()
        if (mark := self._diagram.mark) is not None:
            yield Segment(" " * (self._indent + self._scale.place(mark)) + self._signs.mark, _COUNT)
            yield Segment.line()
        yield from self._axis()
        for note in self._diagram.notes:
            text = shortened(self._spelled(printable(note)), self._all, self._signs.ellipsis)
            yield Segment(text, _DIM)
            yield Segment.line()

    # A lane.

    def _lane(self, lane: Lane) -> list[_Cell]:
        """Its cells, from the gutter on."""
        row: list[_Cell] = []
        scale, width = self._scale, self._width
        line = line_before(lane, self._diagram.start)
        for run in runs(lane, scale, width, _least):
            pieces, at = self._pieces(run), run.place
            if run.notifications[0].kind is Kind.SUBSCRIBED and len(row) <= at:
                at -= 1
                if lane.depth and scale.place(lane.begins) == run.place:
                    pieces[0] = (self._signs.inner, _LINE)
            self._fill(row, at + 1, line)
            for text, style in pieces:
                for start, end, cells in split_graphemes(text)[0]:
                    row.extend([(text[start:end], style), *[("", style)] * (cells - 1)])
            line = line_behind(run.notifications[-1], lane)
        if line is Line.RUNNING:
            self._fill(row, scale.place(self._diagram.end) + 2, line)
            row.append((self._signs.goes_on, _LINE))
        self._fill(row, width + 1, Line.NONE)
        if lane.depth and lane.begins >= self._diagram.start:
            at = scale.place(lane.begins)
            if at <= width and row[at][0] == " ":  # it was not subscribed to at once
                row[at] = (self._signs.inner, _LINE)
        return row

    def _fill(self, row: list[_Cell], until: int, line: Line) -> None:
        row.extend([(self._signs.lines[line], _LINE)] * (until - len(row)))

    # What is in one place.

    def _pieces(self, run: Run) -> list[_Piece]:
        """As much of it as there is room for, in the fullest of the forms that fit."""
        happened = run.notifications
        if len(happened) <= _MOST_WRITTEN_OUT:
            values = sum(one.kind in _VALUES for one in happened)
            share = (run.room - len(happened) - 2) // max(values, 1)
            for longest in (LONGEST_LABEL, max(share, 1), 2, 1):
                pieces = self._written_out(happened, longest)
                if pieces and _length(pieces) + (happened[-1].kind in _VALUES) <= run.room:
                    return pieces
            pieces = self._written_out(happened, 0)
            if _length(pieces) + (happened[-1].kind in _VALUES) <= run.room:
                return pieces
        emitted = [one for one in happened if one.kind in _VALUES]
        count = (f"{self._signs.times}{len(emitted) or len(happened)}", _COUNT)
        told = self._marble(emitted[0], 1) if len(emitted) == 1 else count
        last = next((one.kind for one in reversed(happened) if one.kind is not Kind.MISSED), Kind.MISSED)
        ending = [(self._signs.ends[last], _ENDS[last])] if last in _ENDS else []
        # Very narrow terminals have no room for both.
        return [told, *ending] if _length([told, *ending]) <= run.room else [told]

    def _written_out(self, happened: Sequence[Notification], longest: int) -> list[_Piece]:
        """One after the other, no label longer than so many cells; with 0, values next to each other are counted.

        Nothing where that cannot be done.
        """
        pieces: list[_Piece] = []
        for is_value, together in groupby(happened, lambda one: one.kind in _VALUES):
            group = list(together)
            if not is_value:
                for one in group:
                    pieces.append((self._signs.ends[one.kind], _ENDS[one.kind]))
                    if one.kind is Kind.ERROR and longest and says_something(one.value):
                        pieces.append((" " + self._label(one.value, longest), _ENDS[one.kind]))
            elif len(group) == 1:
                pieces.append(self._marble(group[0], longest or 1))
            elif not longest:
                pieces.append((f"{self._signs.times}{len(group)}", _COUNT))
            else:
                marbles = [self._marble(one, longest) for one in group]
                if longest == 1 and any(text == self._signs.marble for text, _ in marbles):
                    return []
                commas: list[_Piece] = [(",", _LINE)] * len(marbles)
                separated = [piece for pair in zip(commas, marbles, strict=True) for piece in pair][1:]
                pieces += [("(", _LINE), *separated, (")", _LINE)]
        return pieces

    def _marble(self, notification: Notification, longest: int) -> _Piece:
        text = self._spelled(label(notification.value))
        style = _DIM if notification.kind is Kind.MISSED else _style(self._palette(text))
        if longest == 1 and cell_len(text) > 1:
            return self._signs.marble, style
        return shortened(text, longest, self._signs.ellipsis), style

    def _label(self, value: object, longest: int) -> str:
        return shortened(self._spelled(label(value)), longest, self._signs.ellipsis)

    def _spelled(self, text: str) -> str:
        """Our text or somebody's, with nothing that the terminal's encoding lacks."""
        if not self._encoding:
            return text
        return text.translate(_IN_ASCII).encode(self._encoding, "backslashreplace").decode(self._encoding)

    def _name(self, lane: Lane) -> str:
        return "  " * lane.depth + self._spelled(printable(lane.name)) if lane.name else ""

    def _tail(self, lane: Lane) -> int:
        """How many cells the last of it takes, where that is at the right edge."""
        last = lane.notifications[-_MOST_WRITTEN_OUT:]
        since = last_moment(self._diagram)
        if not last or last[-1].time < since:
            return 2
        return 1 + _length(self._written_out([one for one in last if one.time >= since], LONGEST_LABEL))

    # What is between and below the lanes.

    def _connect(self, drawn: Sequence[list[_Cell]]) -> None:
        """From each inner lane's beginning up to its parent."""
        rows = self._diagram.rows
        for number, row in enumerate(rows):
            if not isinstance(row, Lane) or not row.depth or row.begins < self._diagram.start:
                continue
            at = self._scale.place(row.begins)
            for above, cells in zip(reversed(rows[:number]), reversed(drawn[:number]), strict=True):
                if not isinstance(above, Lane) or above.depth < row.depth:
                    break
                sign, style = cells[at] if at < len(cells) else ("", None)
                if style is _LINE and sign in self._signs.crossed:
                    cells[at] = (self._signs.crossed[sign], _LINE)

    def _box(self, text: str) -> Iterator[Segment]:
        top_left, across, top_right, side, bottom_left, bottom_right = self._signs.box
        inside = max(self._width - 1, 1)
        text = shortened(self._spelled(printable(text)), max(inside - 2, 1), self._signs.ellipsis)
        before = (inside - cell_len(text)) // 2
        behind = inside - cell_len(text) - before
        indent = " " * (self._indent - 1)
        for row in (
            f"{top_left}{across * inside}{top_right}",
            f"{side}{' ' * before}{text}{' ' * behind}{side}",
            f"{bottom_left}{across * inside}{bottom_right}",
        ):
            yield Segment((indent + row)[: self._all + len(text) - cell_len(text)])
            yield Segment.line()

    def _axis(self) -> Iterator[Segment]:
        text = ""
        scale = self._scale
        if self._live:
            behind = Scale(0.0, scale.density)
            end = scale.place(self._diagram.end)
            marks = [
                (end - place, "now" if not time else f"-{seconds(time)}")
                for place, time in ticks(behind, self._diagram.end - self._diagram.start, 10)
            ]
            marks.reverse()
        else:
            marks = [(place, seconds(time)) for place, time in ticks(scale, self._diagram.end, 10)]
        for place, time in marks:
            if place >= 0 and len(text) <= place + self._indent and place + len(time) + 1 <= self._width:
                text += " " * (place + self._indent - len(text)) + self._signs.tick + time
        yield Segment(text, _DIM)
        yield Segment.line()


_VALUES = (Kind.NEXT, Kind.MISSED)
_MOST_WRITTEN_OUT: Final = 40
_IN_ASCII = str.maketrans({"…": "~", "○": "o"})


def _least(values: int, others: int) -> int:
    """How many cells the briefest form takes, with a cell behind a value to tell it from the next."""
    if values <= 1 and others <= 3:
        return 2 * values + others
    return 1 + len(str(values or others)) + (others > 0) + 1


def _cut(row: list[_Cell], cells: int) -> list[_Cell]:
    """As much of it as there is room for in a terminal that is too narrow for a count."""
    if len(row) <= cells:
        return row
    halved = row[cells][0] == ""
    return [*row[: cells - halved], *[(" ", None)] * halved]


def _length(pieces: Iterable[_Piece]) -> int:
    return sum(cell_len(text) for text, _ in pieces)


@lru_cache
def _style(colour: str) -> Style:
    return Style(color=colour, bold=True)


def _joined(cells: Iterable[_Cell]) -> Iterator[Segment]:
    for style, together in groupby(cells, lambda cell: cell[1]):
        yield Segment("".join(text for text, _ in together), style)
