"""What a stream should have done, beside what it did: for tests and exercises."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from reactivex import Observable

from rxecho.marbles.labels import full, same
from rxecho.marbles.layout import seconds
from rxecho.marbles.model import Kind, Lane, MarbleDiagram, Notification
from rxecho.marbles.terminal import plain
from rxecho.marbles.text import notifications
from rxecho.marbles.timeline import Timeline
from rxecho.marbles.virtual import SLACK, record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Mismatch", "expect"]


class Mismatch(AssertionError):
    r"""A stream did something else than its marbles say.

    >>> import reactivex
    >>> try:
    ...     expect(reactivex.timer(2), "--(1,|)")
    ... except Mismatch as mismatch:
    ...     print(mismatch.what)
    ...     print(mismatch.diagram.to_marbles(1))
    at 2 s, expected 1, but got 0
    expected: --(1,|)
    actual:   --(0,|)

    Attributes:
        what: The first difference, in a sentence.
        diagram: What should have happened, and under it what did, with a mark at the first difference.
    """

    def __init__(self, what: str, diagram: MarbleDiagram) -> None:
        super().__init__(what, diagram)
        self.what = what
        self.diagram = diagram

    def __str__(self) -> str:
        return f"{self.what}\n\n{plain(self.diagram)}\n"


def expect(
    actual: Timeline | MarbleDiagram | Observable[Any],
    marbles: str,
    lookup: Mapping[str | float, Any] | None = None,
    *,
    error: Exception | None = None,
    timespan: float = 1.0,
    lane: str | None = None,
) -> None:
    r"""Pass quietly when a stream did what the marbles say, or fail with both of them drawn under each other.

    Times count from the subscription, and are rounded to the character.

    >>> import reactivex
    >>> expect(reactivex.timer(2), "--(0,|)")
    >>> expect(reactivex.timer(2), "--(1,|)")
    Traceback (most recent call last):
        ...
    rxecho.marbles.expectation.Mismatch: at 2 s, expected 1, but got 0
    ...

    Args:
        actual: A timeline or its diagram; an observable, which is run in virtual time.
        marbles: In RxPY's syntax. In a group, commas separate: `(b,c)`, where `(bc)` is one value.
        lookup: What a marble stands for, where that is not the text or the number itself.
        error: What `#` stands for; without it, `#` is any error.
        timespan: Seconds that a character takes.
        lane: Which lane of a timeline is meant, by name; the last one that is no inner lane, unless given.

    Raises:
        Mismatch: It did something else; an `AssertionError`, whose text shows what, and where.
        ValueError: The marbles are not in RxPY's syntax, or there is no such lane.
        TypeError: There is nothing to compare, but an operator, for example.
    """
    __tracebackhide__ = True  # pytest shows the line that expected

    expected = list(notifications(marbles, lookup, "", error=error, timespan=timespan))
    if isinstance(actual, Observable):
        actual = record(actual, (2 * len(marbles) + SLACK) * timespan)
    if isinstance(actual, Timeline):
        actual = actual.diagram()
    if not isinstance(actual, MarbleDiagram):
        kind = "a function: is cold(…).pipe(…) missing around it?" if callable(actual) else type(actual).__name__
        raise TypeError(f"what is expected of is an observable, a Timeline or a MarbleDiagram, not {kind}")
    came = _of(actual, lane)
    pairs = zip_longest(expected, (one for one in came if one.kind <= Kind.ERROR))
    for wanted, got in pairs:
        if not _agree(wanted, got, timespan, any_error=error is None):
            raise _mismatch(wanted, got, expected, came)


def _of(diagram: MarbleDiagram, name: str | None) -> list[Notification]:
    """What happened on the lane that is meant, from its subscription on."""
    lanes = [lane for lane in diagram.lanes if lane.name == name or (name is None and not lane.depth)]
    if not lanes:
        names = ", ".join(repr(lane.name) for lane in diagram.lanes)
        raise ValueError(f"there is no lane {name!r}; there are: {names}" if names else "there is no lane")
    happened = lanes[-1].notifications
    start = happened[0].time if happened else 0.0
    return [one._replace(time=one.time - start) for one in happened]


def _agree(wanted: Notification | None, got: Notification | None, timespan: float, *, any_error: bool) -> bool:
    if wanted is None or got is None or wanted.kind is not got.kind:
        return False
    if round(wanted.time / timespan) != round(got.time / timespan):
        return False
    return same(wanted.value, got.value) or (any_error and wanted.kind is Kind.ERROR)


def _mismatch(
    wanted: Notification | None,
    got: Notification | None,
    expected: Iterable[Notification],
    came: Iterable[Notification],
) -> Mismatch:
    first = min(one.time for one in (wanted, got) if one is not None)
    begin = Notification(0.0, Kind.SUBSCRIBED)
    lanes = (Lane("expected", (begin, *expected)), Lane("actual", tuple(came)))
    end = max(lane.notifications[-1].time for lane in lanes if lane.notifications)
    return Mismatch(_told(wanted, got, first), MarbleDiagram(lanes, end=end, mark=first))


def _told(wanted: Notification | None, got: Notification | None, first: float) -> str:
    at = f"at {seconds(first)}, expected"
    if wanted and wanted.time > first + 1e-7:
        return f"{at} nothing before {_name(wanted)} at {seconds(wanted.time)}, but got {_name(got)}"
    if got and got.time > first + 1e-7:
        return f"{at} {_name(wanted)}, but the next to come was {_name(got)} at {seconds(got.time)}"
    return f"{at} {_name(wanted)}, but got {_name(got)}"


def _name(one: Notification | None) -> str:
    if one is None:
        return "nothing more"
    return {Kind.NEXT: full(one.value), Kind.ERROR: f"the error {full(one.value)}"}.get(one.kind, "completion")
