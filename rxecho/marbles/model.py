"""What a marble diagram holds before anybody draws it: lanes of timed notifications, and operators between them.

Plain, immutable values. `timeline` records them, `text` reads them, and the painters draw them: `terminal`, `svg`
and `text`, of which none knows another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from rxecho.marbles.labels import same

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console, ConsoleOptions, RenderResult

    from rxecho.marbles.text import MarbleText

__all__ = ["Kind", "Lane", "MarbleDiagram", "Notification", "Operator"]


class Kind(IntEnum):
    """What a notification tells: Rx's own three, the ends of a subscription, and what nobody was there to hear."""

    NEXT = 0
    COMPLETED = 1
    ERROR = 2
    SUBSCRIBED = 3
    DISPOSED = 4
    MISSED = 5
    """A value that a written source had still to emit when it was disposed of."""


class Notification(NamedTuple):
    """Something that happened on a lane.

    Two are equal when they are of one kind, in the same microsecond, with equal values; errors are equal when they
    are of one type and say the same.

    Attributes:
        time: In seconds since the beginning.
        kind: What it was.
        value: What was emitted, or the error; `None` for the other kinds.

    >>> Notification(1.5, Kind.NEXT, "a")
    Notification(time=1.5, kind=<Kind.NEXT: 0>, value='a')
    """

    time: float
    kind: Kind
    value: Any = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Notification):
            return NotImplemented
        return self.kind is other.kind and _at_once(self.time, other.time) and same(self.value, other.value)

    def __ne__(self, other: object) -> bool:  # a tuple has its own
        return not self == other

    def __hash__(self) -> int:
        return hash(self.kind)


def _at_once(one: float, other: float) -> bool:
    """Whether two times are the same microsecond."""
    return round((one - other) * 1e6) == 0


@dataclass(frozen=True)
class Lane:
    """One observable over time. Its times, too, are compared by the microsecond.

    Attributes:
        name: What stands in front of it.
        notifications: In the order in which they came.
        depth: 0, or how many streams it is inside of. The parent of an inner lane is the nearest one above it that
            is one less deep.
        begins: When its parent emitted it, in seconds.
        dropped: How many notifications before these were not kept.
    """

    name: str = ""
    notifications: tuple[Notification, ...] = ()
    depth: int = 0
    begins: float = 0.0
    dropped: int = 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Lane):
            return NotImplemented
        return (
            (self.name, self.depth, self.dropped) == (other.name, other.depth, other.dropped)
            and _at_once(self.begins, other.begins)
            and self.notifications == other.notifications
        )

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True)
class Operator:
    """The box between what goes into an operator and what comes out of it."""

    label: str


@dataclass(frozen=True)
class MarbleDiagram:
    """A marble diagram. Rich draws it in a terminal, a notebook shows it as SVG, `str` writes it down.

    Attributes:
        rows: From top to bottom.
        start: What is at the left edge, in seconds.
        end: What is at the right edge.
        notes: What the drawing does not show, in sentences.
        mark: A moment that the drawing points at from below, in seconds, if any; of no account where two are compared.

    >>> diagram = MarbleDiagram.parse('''
    ...     -a-b-c-|
    ...     [ map(str.upper) ]
    ...     -A-B-C-|
    ... ''')
    >>> print(diagram)
    -a-b-c-|
    [ map(str.upper) ]
    -A-B-C-|
    """

    rows: tuple[Lane | Operator, ...] = ()
    start: float = field(default=0.0, kw_only=True)
    end: float = field(default=0.0, kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    mark: float | None = field(default=None, kw_only=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MarbleDiagram):
            return NotImplemented
        return (
            (self.rows, self.notes) == (other.rows, other.notes)
            and _at_once(self.start, other.start)
            and _at_once(self.end, other.end)
        )

    def __hash__(self) -> int:
        return hash(self.rows)

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The observables, without the operators between them."""
        return tuple(row for row in self.rows if isinstance(row, Lane))

    @classmethod
    def parse(
        cls,
        text: str,
        lookup: Mapping[str | float, Any] | None = None,
        *,
        error: Exception | None = None,
        timespan: float = 1.0,
    ) -> MarbleDiagram:
        """Read a written diagram: a line an observable, in RxPY's marble syntax, and `[ label ]` an operator's box.

        A line that is indented is an inner observable: it begins where it stands, under a marble of a line above it.
        A line may have a name in front of it, as in `stream: -a-b-|`, a colon and a space behind it.

        Args:
            text: The lines. What all of them are indented by does not count.
            lookup: What a marble stands for, where that is not the text or the number itself.
            error: What `#` stands for; `Exception("error")` unless given.
            timespan: Seconds that a character takes.

        Raises:
            ValueError: A line is not in RxPY's syntax, or an inner observable begins under no marble. The text says
                which line.

        >>> MarbleDiagram.parse("-1--2|").lanes[0].notifications[1]
        Notification(time=1.0, kind=<Kind.NEXT: 0>, value=1)
        """
        from rxecho.marbles.text import parse

        return parse(text, lookup, error=error, timespan=timespan)

    def to_marbles(self, timespan: float | None = None) -> MarbleText:
        """Write it in RxPY's marble syntax, with a table of what the marbles stand for.

        Args:
            timespan: Seconds that a character takes at most; times are rounded to it. Unless given, every time is
                written exactly, to the microsecond.

        Raises:
            ValueError: That would take more than 100,000 characters a line.

        >>> MarbleDiagram.parse("-1--2|").to_marbles().lines[0].marbles
        '-1--2|'
        """
        from rxecho.marbles.text import write

        return write(self, timespan)

    def to_svg(self, width: int = 760) -> str:
        """Draw it as SVG, `width` pixels wide: for a light and a dark page, with every value as a tooltip.

        >>> MarbleDiagram.parse("-a-b-|").to_svg()[:4]
        '<svg'
        """
        from rxecho.marbles.svg import draw

        return draw(self, width)

    def __str__(self) -> str:
        return str(self.to_marbles())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rxecho.marbles.terminal import draw

        return draw(self, options)

    def _repr_mimebundle_(self, **_include_exclude: object) -> dict[str, str]:
        """IPython's name for what a notebook shows: a picture, and text where there are no pictures."""
        from rxecho.marbles.terminal import plain

        return {"image/svg+xml": self.to_svg(), "text/plain": plain(self)}
