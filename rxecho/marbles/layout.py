"""Where on a drawing a time is, and which notifications have to share a place.

Between a diagram and its painters. Lengths are in the painter's own units: a terminal's cells, an SVG's pixels.
Every lane of a drawing has the same scale, so what is under each other happened at the same time; and nothing here
is ever put before something that came earlier.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from enum import Enum
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from rxecho.marbles.model import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rxecho.marbles.model import Lane, MarbleDiagram, Notification

__all__ = ["Line", "Run", "Scale", "last_moment", "line_before", "line_behind", "runs", "seconds", "ticks"]

_EPSILON: Final = 1e-6  # so that 0.3 s at 10 units a second is 3 units, which in floats it is not
_time = itemgetter(0)


class Scale(NamedTuple):
    """From times to places.

    A place is counted from time 0, and the window moves by whole units: while a drawing scrolls, what shared a place
    goes on sharing it.

    Attributes:
        start: The time at place 0.
        density: Units a second.

    >>> Scale.fit(0, 20, 60).place(2)
    6
    """

    start: float
    density: float

    @classmethod
    def fit(cls, start: float, end: float, room: int) -> Scale:
        """The largest at which all is within `room` units: a whole number of them a second, or of seconds each."""
        density = room / max(end - start, 1e-9)
        if density >= 1 - _EPSILON:
            return cls(start, math.floor(density + _EPSILON))
        return cls(start, 1 / math.ceil(1 / density - _EPSILON))

    def place(self, time: float) -> int:
        """How far from the start `time` is."""
        return math.floor(time * self.density + _EPSILON) - self._offset

    def time(self, place: int) -> float:
        """From when on something is at `place`."""
        return (place + self._offset - _EPSILON) / self.density

    @property
    def _offset(self) -> int:
        return math.floor(self.start * self.density + _EPSILON)


class Run(NamedTuple):
    """Notifications of one lane that are too close to each other to have a place each.

    Attributes:
        place: Where the first of them is.
        room: Units from there to whatever comes next.
        notifications: In their order, at least one.
    """

    place: int
    room: int
    notifications: tuple[Notification, ...]


def runs(lane: Lane, scale: Scale, width: int, least: Callable[[int, int], int]) -> Iterator[Run]:
    """Gather what is too close together.

    Args:
        lane: Its notifications are found by bisection: what a drawing has no room for costs next to nothing.
        scale: Where they are.
        width: Units from place 0 to the right edge.
        least: How many units so many values and so many other notifications take when drawn as briefly as can be.
    """
    records, is_next, is_missed = lane.notifications, Kind.NEXT, Kind.MISSED
    index = bisect_left(records, scale.time(0), key=_time)
    end = bisect_left(records, scale.time(width), lo=index, key=_time)
    while index < end:
        place = scale.place(records[index].time)
        behind, values, others = index, 0, 0
        reached = index + 1
        while reached > behind:
            for record in records[behind:reached]:
                if record[1] is is_next or record[1] is is_missed:
                    values += 1
                else:
                    others += 1
            behind = reached
            reached = bisect_left(records, scale.time(place + least(values, others)), lo=behind, hi=end, key=_time)
        following = scale.place(records[behind].time) if behind < end else width
        yield Run(place, following - place, records[index:behind])
        index = behind


class Line(Enum):
    """What a lane is between two notifications."""

    NONE = "nothing that anybody is subscribed to"
    RUNNING = "subscribed to"
    MISSED = "disposed of, with values still to come"
    DROPPED = "not kept"


def line_before(lane: Lane, start: float) -> Line:
    """What the lane is at the left edge."""
    index = bisect_left(lane.notifications, start, key=_time)
    if not index:
        return Line.DROPPED if lane.dropped else Line.NONE
    return line_behind(lane.notifications[index - 1], lane)


def line_behind(notification: Notification, lane: Lane) -> Line:
    """What the lane is from one of its notifications to the next."""
    if notification.kind in (Kind.NEXT, Kind.SUBSCRIBED):
        return Line.RUNNING
    last = lane.notifications[-1]
    return Line.MISSED if last.kind is Kind.MISSED and last is not notification else Line.NONE


def last_moment(diagram: MarbleDiagram) -> float:
    """Since when what happened is at the right edge, and needs room beyond it: a hundredth before the end."""
    return diagram.end - max(diagram.end - diagram.start, 0.0) / 100


def seconds(time: float) -> str:
    """A time as an axis tells it.

    >>> seconds(1.50)
    '1.5 s'
    """
    return f"{round(time, 6):.10g} s"


def ticks(scale: Scale, end: float, least: int) -> Iterator[tuple[int, float]]:
    """Round times, each with its place, `least` units from each other."""
    step = 10 ** math.floor(math.log10(least / scale.density))
    step *= next(factor for factor in (1, 2, 5, 10, 20) if step * factor * scale.density >= least - _EPSILON)
    number = math.ceil(scale.start / step - _EPSILON)
    while number * step <= end + step * _EPSILON:
        yield scale.place(number * step), number * step
        number += 1
