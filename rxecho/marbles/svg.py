"""A marble diagram as SVG: for notebooks and pages, light and dark.

One of the three painters. It has no script and no identifiers, so that any number of them can be on a page; the same
diagram gives the same bytes. What a marble has no room for is its tooltip, and the whole is told in words for those who
do not see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from rich.cells import cell_len

from rxecho.marbles.labels import Palette, full, label, says_something, shortened
from rxecho.marbles.layout import Line, Run, Scale, last_moment, line_before, line_behind, runs, seconds, ticks
from rxecho.marbles.model import Kind, Lane, MarbleDiagram, Notification, Operator
from rxecho.printable import printable

__all__ = ["draw"]

# Lengths in pixels.
CELL: Final = 8.4
"""Of a letter in a marble, about."""
RADIUS: Final = 14
LANE: Final = 56
LEVEL: Final = 31
"""From one marble to another that is under it."""
BOX: Final = 44
GAP: Final = 10
EDGE: Final = 16

LONGEST_LABEL: Final = 24
LONGEST_NAME: Final = 28
"""Letters."""
MOST_FANNED: Final = 4
"""Marbles that are drawn one under the other; more than that are counted."""
MOST_LISTED: Final = 20
"""Values in the tooltip of a count, and notifications of a lane in the words for the whole."""

STYLE: Final = """\
.rxm{--page:#fff;--ink:#1f2328;--dim:#59636e;--line:#818b98;--box:#f6f8fa;--bad:#c8102e;background:var(--page)}
@media (prefers-color-scheme:dark){.rxm{--page:#0d1117;--ink:#f0f6fc;--dim:#9198a1;--line:#656c76;--box:#151b23;\
--bad:#ff6a69}}
body[data-jp-theme-light=true] .rxm,body.vscode-light .rxm{--page:#fff;--ink:#1f2328;--dim:#59636e;--line:#818b98;\
--box:#f6f8fa;--bad:#c8102e}
body[data-jp-theme-light=false] .rxm,body.vscode-dark .rxm{--page:#0d1117;--ink:#f0f6fc;--dim:#9198a1;--line:#656c76;\
--box:#151b23;--bad:#ff6a69}
.rxm text{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:14px;fill:var(--ink)}
.rxm .page{fill:var(--page)}
.rxm .line,.rxm .end{stroke:var(--line);stroke-width:2;fill:none}
.rxm .missed{stroke-dasharray:1 6}
.rxm .dropped{stroke-dasharray:1 3}
.rxm .inner{stroke:var(--line);stroke-width:1.5;fill:none}
.rxm .waiting{stroke-dasharray:4 3}
.rxm .end{stroke:var(--ink);stroke-width:2.5}
.rxm .start{stroke:var(--line)}
.rxm .disposed{stroke-dasharray:4}
.rxm .clear{stroke:var(--page);stroke-width:8}
.rxm .error{stroke:var(--bad);stroke-width:3.5}
.rxm .arrow{fill:var(--line)}
.rxm .marble text{fill:#fff;font-weight:600;text-anchor:middle}
.rxm .ghost rect{fill:var(--page);stroke:var(--line);stroke-dasharray:2 3}
.rxm .ghost text,.rxm .count text{fill:var(--dim)}
.rxm .count rect{fill:var(--page);stroke:var(--dim);stroke-width:2}
.rxm .box{fill:var(--box);stroke:var(--line)}
.rxm .operator{text-anchor:middle;font-size:15px;font-weight:600}
.rxm .small{font-size:12px}
.rxm .name{font-weight:600}
.rxm .axis{fill:var(--dim);font-size:12px}
.rxm .tick{stroke:var(--line)}
.rxm .why{fill:var(--bad)}
"""


def draw(diagram: MarbleDiagram, width: int = 760) -> str:
    """The drawing, an `<svg>` element."""
    if width < 200:
        raise ValueError(f"an SVG of a marble diagram is at least 200 pixels wide, not {width}")
    return _Drawing(diagram, width).svg()


class _Drawing:
    def __init__(self, diagram: MarbleDiagram, width: int) -> None:
        self._diagram = diagram
        self._palette = Palette()
        self._width = width
        names = [cell_len(_name(lane)) for lane in diagram.lanes]
        letters = min(max(names, default=0), LONGEST_NAME, int(width / 3 / CELL))
        self._letters = letters
        self._left = EDGE + (round(letters * CELL) + GAP if letters else 0) + RADIUS + 6
        room = width - EDGE - self._left
        tail = min(max((_tail(lane, last_moment(diagram)) for lane in diagram.lanes), default=0), room // 3)
        self._room = room
        self._scale = Scale.fit(diagram.start, diagram.end, room - tail - RADIUS)

    def svg(self) -> str:
        lowest: list[str] = []
        below: list[str] = []
        above: list[str] = []
        y = EDGE
        lines: list[tuple[Lane, int]] = []
        for row in self._diagram.rows:
            if isinstance(row, Operator):
                below += self._box(row.label, y)
                y += BOX + 2 * GAP
                continue
            gathered = list(runs(row, self._scale, self._room, _least))
            levels = max((_levels(run) for run in gathered), default=1)
            height = LANE + LEVEL * (levels - 1)
            middle = y + height // 2
            while lines and lines[-1][0].depth >= max(row.depth, 1) and row.depth <= lines[-1][0].depth - 1:
                lines.pop()
            parent = next((at for lane, at in reversed(lines) if lane.depth == row.depth - 1), None)
            lines.append((row, middle))
            if parent is not None and row.begins >= self._diagram.start:
                lowest += self._joint(row, parent, middle)
            below += self._lines(row, gathered, middle)
            above += self._marbles(gathered, middle)
            above += self._name_of(row, middle)
            y += height
        above += self._axis(y)
        if (mark := self._diagram.mark) is not None:
            above.append(f'<path class="why" d="M{self._x(self._scale.place(mark))} {y - 12}l6 11h-12z"/>')
        y += 24
        for note in self._diagram.notes:
            above.append(f'<text class="axis" x="{EDGE}" y="{y + 14}">{_xml(printable(note))}</text>')
            y += 20
        height = y + EDGE // 2
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="rxm" viewBox="0 0 {self._width} {height}" '
            f'width="{self._width}" height="{height}" role="img" aria-label="{_xml(in_words(self._diagram))}">\n'
            f"<style>\n{STYLE}</style>\n"
            f'<rect class="page" width="{self._width}" height="{height}" rx="6"/>\n'
            + "\n".join([*lowest, *below, *above])
            + "\n</svg>\n"
        )

    def _x(self, place: int) -> int:
        return self._left + place

    # What is below the marbles.

    def _joint(self, lane: Lane, parent: int, y: int) -> Iterator[str]:
        """From the marble that brought an inner observable, and on to where that was subscribed to."""
        x = self._x(self._scale.place(lane.begins))
        yield f'<path class="inner" d="M{x} {parent}V{y}"/>'
        first = next(iter(lane.notifications), None)
        if first and first.kind is Kind.SUBSCRIBED and (until := self._x(self._scale.place(first.time))) > x:
            yield f'<path class="inner waiting" d="M{x} {y}H{until}"/>'

    def _lines(self, lane: Lane, gathered: Sequence[Run], y: int) -> Iterator[str]:
        line, x = line_before(lane, self._diagram.start), self._left - 6
        for run in gathered:
            yield from _line(line, x, self._x(run.place), y)
            yield from self._ends(run, y)
            x = max(self._x(run.place), x)
            line = line_behind(run.notifications[-1], lane)
        if line is Line.RUNNING:
            until = self._x(self._scale.place(self._diagram.end)) + RADIUS + 6
            if gathered and _is_value(gathered[-1].notifications[-1]):
                until = max(until, x + min(gathered[-1].room, RADIUS * 2 + 8))
            yield from _line(line, x, until, y)
            yield f'<path class="arrow" d="M{until} {y - 6}l11 6l-11 6z"/>'

    def _ends(self, run: Run, y: int) -> Iterator[str]:
        others = [one for one in run.notifications if not _is_value(one)]
        written = others if len(others) <= MOST_FANNED else others[-1:]
        beside = 0
        marbles = [self._x(self._scale.place(one.time)) for one in run.notifications if _is_value(one)]
        half = (RADIUS + 12 if marbles else 20) + LEVEL * (_levels(run) - 1) // 2
        for one in written:
            x = self._x(self._scale.place(one.time)) + beside
            if one.kind is Kind.SUBSCRIBED:
                yield f'<path class="end start" d="M{x} {y - 7}v14">{_title(one)}</path>'
                continue
            if one.kind is Kind.ERROR:
                x = max(x, self._right(run) + GAP)
                yield f'<path class="end error" d="M{x - 8} {y - 8}l16 16m0 -16l-16 16">{_title(one)}</path>'
                room = run.room - (x - self._x(run.place))
                if says_something(one.value) and room > 60:
                    text = shortened(label(one.value), min(LONGEST_LABEL, int((room - 30) / CELL)))
                    yield f'<text class="why" x="{x + 16}" y="{y + 5}">{_xml(text)}</text>'
            else:
                disposed = ""
                if one.kind is Kind.DISPOSED:
                    disposed = " disposed"
                    yield f'<path class="clear" d="M{x} {y - half}V{y + half}"/>'  # of what would fill its gaps
                yield f'<path class="end{disposed}" d="M{x} {y - half}V{y + half}">{_title(one)}</path>'
            beside = 12

    def _box(self, text: str, y: int) -> Iterator[str]:
        room = self._width - 4 * EDGE
        text = printable(text)
        small = " small" * (cell_len(text) * 9.1 > room)
        text = shortened(text, int(room / (7.3 if small else 9.1)))
        yield f'<rect class="box" x="{EDGE}" y="{y + GAP}" width="{self._width - 2 * EDGE}" height="{BOX}" rx="8"/>'
        yield f'<text class="operator{small}" x="{self._width // 2}" y="{y + GAP + BOX // 2 + 5}">{_xml(text)}</text>'

    # The marbles.

    def _marbles(self, gathered: Sequence[Run], y: int) -> Iterator[str]:
        for run in gathered:
            values = [one for one in run.notifications if _is_value(one)]
            if len(values) > MOST_FANNED:
                yield self._count(run, values, y)
                continue
            top = y - LEVEL * (len(values) - 1) / 2
            for level, one in enumerate(values):
                x = self._x(self._scale.place(one.time))
                yield self._marble(one, _longest(run), x, round(top + LEVEL * level))

    def _marble(self, one: Notification, longest: int, x: int, y: int) -> str:
        text = label(one.value)
        colour = self._palette(text)
        text = shortened(text, longest)
        if one.kind is Kind.MISSED:
            return _pill("marble ghost", text, _told(one), x, y)
        return _pill("marble", text, _told(one), x, y, f' fill="{colour}"')

    def _right(self, run: Run) -> int:
        """Where the marbles of one place end."""
        values = [one for one in run.notifications if _is_value(one)]
        if len(values) > MOST_FANNED:
            return self._x(run.place) - RADIUS + _width(f"x{len(values)}")
        ends = (
            self._x(self._scale.place(one.time)) - RADIUS + _width(shortened(label(one.value), _longest(run)))
            for one in values
        )
        return max(ends, default=0)

    def _count(self, run: Run, values: Sequence[Notification], y: int) -> str:
        told = [f"{len(values):,} values, {seconds(values[0].time)} to {seconds(values[-1].time)}:"]
        told += [shortened(full(one.value), 80) for one in values[:MOST_LISTED]]
        told += ["…"] * (len(values) > MOST_LISTED)
        return _pill("marble count", f"×{len(values)}", "\n".join(told), self._x(run.place), y)  # noqa: RUF001

    # What is beside and below the lanes.

    def _name_of(self, lane: Lane, y: int) -> Iterator[str]:
        if self._letters and lane.name:
            name = shortened(_name(lane), self._letters)
            inside = len(name) - len(name.lstrip())
            x = EDGE + round(inside * CELL)
            whole = f"<title>{_xml(printable(lane.name))}</title>"
            yield f'<text class="name" x="{x}" y="{y + 5}">{_xml(name.lstrip())}{whole}</text>'

    def _axis(self, y: int) -> Iterator[str]:
        for place, time in ticks(self._scale, self._diagram.end, 60):
            x = self._x(place)
            yield f'<path class="tick" d="M{x} {y}v5"/>'
            yield f'<text class="axis" x="{x - 4}" y="{y + 18}">{seconds(time)}</text>'


def _least(values: int, _others: int) -> int:
    """Pixels that the briefest form takes."""
    if not values:
        return 6
    if values <= 1:
        return 2 * RADIUS + 2
    return round(len(f"x{values}") * CELL) + 2 * RADIUS


def _longest(run: Run) -> int:
    """Letters that a marble has room for."""
    return max(min(LONGEST_LABEL, int((run.room - 2 * RADIUS) / CELL) + 2), 1)


def _width(text: str) -> int:
    """Pixels of a marble: a circle, as long as the text fits into one."""
    return max(2 * RADIUS, round(cell_len(text) * CELL) + RADIUS)


def _levels(run: Run) -> int:
    values = sum(_is_value(one) for one in run.notifications[: MOST_FANNED + 12])
    return values if 0 < values <= MOST_FANNED else 1


def _is_value(one: Notification) -> bool:
    return one.kind in (Kind.NEXT, Kind.MISSED)


def _tail(lane: Lane, since: float) -> int:
    """Pixels that the last marble of a lane takes, where it is at the right edge."""
    last = [one for one in lane.notifications[-MOST_FANNED - 1 :] if one.time >= since]
    cells = max((min(cell_len(label(one.value)), LONGEST_LABEL) for one in last if _is_value(one)), default=0)
    why = [one.value for one in last if one.kind is Kind.ERROR and says_something(one.value)]
    told = sum(min(cell_len(label(error)), LONGEST_LABEL) for error in why)
    between = GAP * bool(cells and why)
    return round(max(cells + told, 1) * CELL) + RADIUS + 30 * len(why) + between


def _line(line: Line, start: int, end: int, y: int) -> Iterator[str]:
    if line is not Line.NONE and end > start:
        extra = {Line.MISSED: " missed", Line.DROPPED: " dropped"}.get(line, "")
        yield f'<path class="line{extra}" d="M{start} {y}H{end}"/>'


def _pill(kind: str, text: str, told: str, x: int, y: int, fill: str = "") -> str:
    """A marble whose left end is centred on its time."""
    width = _width(text)
    return (
        f'<g class="{kind}"><title>{_xml(told)}</title>'
        f'<rect x="{x - RADIUS}" y="{y - RADIUS}" width="{width}" height="{2 * RADIUS}" rx="{RADIUS}"{fill}/>'
        f'<text x="{x - RADIUS + width / 2:g}" y="{y + 5}">{_xml(text)}</text></g>'
    )


def _title(one: Notification) -> str:
    return f"<title>{_xml(_told(one))}</title>"


def _told(one: Notification) -> str:
    """A notification in words."""
    what = {
        Kind.NEXT: "{value}",
        Kind.MISSED: "{value}, not emitted: disposed of before",
        Kind.COMPLETED: "completed",
        Kind.ERROR: "error {value}",
        Kind.SUBSCRIBED: "subscribed",
        Kind.DISPOSED: "disposed",
    }[one.kind]
    return f"{what.format(value=full(one.value))} at {seconds(one.time)}"


def in_words(diagram: MarbleDiagram) -> str:
    """The diagram for who cannot see it."""
    return "Marble diagram. " + " ".join(_in_words(diagram.rows))


def _in_words(rows: Iterable[Lane | Operator]) -> Iterator[str]:
    for number, row in enumerate(rows, 1):
        if isinstance(row, Operator):
            yield f"Operator {printable(row.label)}."
            continue
        kind = "inner observable" if row.depth else "observable"
        told = [shortened(_told(one), 80) for one in row.notifications[:MOST_LISTED] if one.kind is not Kind.SUBSCRIBED]
        if len(row.notifications) > MOST_LISTED:
            told.append(f"and {len(row.notifications) - MOST_LISTED:,} more")
        name = printable(row.name) or f"row {number}"
        yield f"{name}, {kind}: {', '.join(told) or 'nothing'}."


def _name(lane: Lane) -> str:
    return "  " * lane.depth + printable(lane.name) if lane.name else ""


def _xml(text: str) -> str:
    return escape(text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff"))
