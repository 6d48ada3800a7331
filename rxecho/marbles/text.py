"""Marble diagrams as text, both ways: RxPY's marble syntax, a line an observable.

`write` and `MarbleText.diagram` are each other's inverse. `parse` reads what people write: the same lines, with
operators between them and inner observables indented.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, pairwise, product
from string import ascii_letters
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Final

from reactivex.notification import OnCompleted, OnNext
from reactivex.observable.marbles import parse as parse_marbles
from rich.cells import cell_len

from rxecho.marbles.labels import full
from rxecho.marbles.model import Kind, Lane, MarbleDiagram, Notification, Operator
from rxecho.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["MarbleLane", "MarbleLine", "MarbleText", "notifications", "parse", "write"]

LONGEST_LINE: Final = 100_000
"""Characters that a line may take."""

_VALUES = (Kind.NEXT, Kind.MISSED)


@dataclass(frozen=True)
class MarbleLine:
    """One subscription to an observable, in marbles.

    Attributes:
        marbles: In RxPY's syntax: `-a-(b,c)-|`.
        subscription: Where it was subscribed to and, unless it ended by itself, disposed of, as RxJS writes it:
            `^---!`. Marbles behind the `!` were never emitted. Without the `^` where its beginning was not kept.
        error: What `#` stands for.
    """

    marbles: str
    subscription: str = "^"
    error: Exception | None = None


@dataclass(frozen=True)
class MarbleLane:
    """An observable in marbles, a line a subscription. The other attributes are as `Lane` has them."""

    lines: tuple[MarbleLine, ...]
    name: str = ""
    depth: int = 0
    begins: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class MarbleText:
    """A marble diagram in RxPY's syntax, for `marbles_testing` and for people.

    Attributes:
        rows: From top to bottom; an operator is its label.
        lookup: What the marbles stand for that do not stand for themselves.
        timespan: Seconds that a character takes.
        start: The left edge, in characters.
        end: The right edge, in characters.
        notes: What is not written here, in sentences.

    >>> from rxecho.marbles.model import MarbleDiagram
    >>> text = MarbleDiagram.parse("-a-b|", {"b": [1, 2]}).to_marbles()
    >>> text.lines[0].marbles, text.lookup, text.timespan
    ('-a-b|', {'b': [1, 2]}, 1.0)
    """

    rows: tuple[MarbleLane | str, ...] = ()
    lookup: Mapping[str | float, Any] = field(default_factory=dict)
    timespan: float = 1.0
    start: float = 0.0
    end: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[MarbleLine, ...]:
        """The lines of all lanes."""
        return tuple(line for row in self.rows if isinstance(row, MarbleLane) for line in row.lines)

    def diagram(self) -> MarbleDiagram:
        """Read it back."""
        rows = [Operator(row) if isinstance(row, str) else self._read(row) for row in self.rows]
        start, end = self.start * self.timespan, self.end * self.timespan
        return MarbleDiagram(tuple(rows), start=start, end=end, notes=self.notes)

    def _read(self, lane: MarbleLane) -> Lane:
        happened = [
            notification
            for line in lane.lines
            for notification in notifications(
                line.marbles, self.lookup, line.subscription, error=line.error, timespan=self.timespan
            )
        ]
        return Lane(lane.name, tuple(happened), lane.depth, lane.begins * self.timespan, lane.dropped)

    def __str__(self) -> str:
        written = [line for row in self.rows for line in _written(row)]
        column = max((len(name) for name, _ in written if name), default=0)
        lines = [marbles if name is None else f"{name:{column}}{marbles}" for name, marbles in written]
        if self.timespan != 1:
            lines.append(f"each character {self.timespan:g} s")
        lines += [f"{symbol} = {full(value)}" for symbol, value in self.lookup.items()]
        lines += map(printable, self.notes)
        return "\n".join(lines)


def _written(row: MarbleLane | str) -> Iterator[tuple[str | None, str]]:
    """What stands in front, and the line; `None` where it begins at the very left."""
    if isinstance(row, str):
        yield None, f"[ {printable(row)} ]"
        return
    indent = "  " * row.depth  # all that tells an inner observable that begins at the very left
    for again, line in enumerate(row.lines):
        name = f"{indent}& " if again else f"{indent}{printable(row.name)}: " if row.name else indent * (not row.begins)
        yield name, _later(line.marbles, row.begins)
        if line.subscription not in ("", "-" * row.begins + "^"):
            yield "", _later(line.subscription, row.begins)


def _later(marbles: str, begins: int) -> str:
    return " " * begins + marbles[begins:]


# Reading.


def parse(
    text: str, lookup: Mapping[str | float, Any] | None, *, error: Exception | None, timespan: float
) -> MarbleDiagram:
    """As `MarbleDiagram.parse`."""
    if not timespan > 0:
        raise ValueError(f"a timespan is more than 0 seconds, not {timespan!r}")
    rows: list[Lane | Operator] = []
    base: tuple[int, str] | None = None
    longest = 0
    for number, line in enumerate(dedent(text.expandtabs()).splitlines(), 1):
        if not line.strip():
            continue
        if operator := _OPERATOR.fullmatch(line):
            rows.append(Operator(operator["label"]))
            continue
        matched = _LINE.fullmatch(line)
        assert matched
        marbles, column, name = matched["marbles"], matched.start("marbles"), matched["name"] or ""
        previous = rows[-1] if rows else None
        try:
            frame = _frame(base, column)
            if _SUBSCRIPTION.fullmatch(marbles):
                rows[-1] = _with_subscription(previous, "-" * frame + marbles, timespan)
                continue
            happened = tuple(notifications(marbles, lookup, error=error, timespan=timespan))
            if matched["again"]:
                lane = rows[-1] = _again(previous, happened)
                longest = max(longest, _length(marbles) + round(lane.begins / timespan))
                continue
            inner = _inner(rows, name, happened, frame * timespan) if line[0].isspace() else None
            if inner is None and line[0].isspace() and base is not None and column != base[0]:
                raise ValueError(
                    "what is indented is an inner observable, and begins under a marble of a line above it"
                )
            if inner is None:
                base = (column, marbles)  # flush left, or indented by as much as the names of others take
            lane = inner or Lane(name, happened)
        except ValueError as fault:
            raise ValueError(f"line {number} of the diagram, {line.strip()!r}: {fault}") from None
        longest = max(longest, _length(marbles) + round(lane.begins / timespan))
        rows.append(lane)
    if not any(isinstance(row, Lane) for row in rows):
        raise ValueError("the diagram has no observable: write one a line, such as -a-b-|")
    return MarbleDiagram(tuple(rows), end=longest * timespan)


_OPERATOR = re.compile(r"\s*\[\s*(?P<label>.*?)\s*\]\s*")
_LINE = re.compile(r"\s*(?:(?P<name>\S(?:.*\S)?):\s+|(?P<again>&)\s+)?(?P<marbles>\S.*?)\s*")
_SUBSCRIPTION = re.compile(r"[-( ]*(?:\^[-!) ]*|!)")
_GROUP = re.compile(r"\([^()]*\)")


def _frame(base: tuple[int, str] | None, column: int) -> int:
    """Which character of the outermost line above stands over a column; spaces in that do not count."""
    if base is None or column <= base[0]:
        return 0
    left, marbles = base
    beyond = max(column - left - len(marbles), 0)
    return _length(marbles[: column - left]) + beyond


def _with_subscription(row: Lane | Operator | None, subscription: str, timespan: float) -> Lane:
    if not isinstance(row, Lane):
        raise ValueError("a subscription stands under the line that it is of")
    *earlier, happened = _by_subscription(row.notifications)
    now = _subscribed(happened[1:], subscription, timespan)
    return replace(row, notifications=(*chain.from_iterable(earlier), *now))


def _again(row: Lane | Operator | None, happened: Sequence[Notification]) -> Lane:
    if not isinstance(row, Lane):
        raise ValueError("a line behind & is one more subscription to the line above it")
    later = (one._replace(time=one.time + row.begins) for one in happened)
    return replace(row, notifications=(*row.notifications, *later))


def _inner(
    rows: Sequence[Lane | Operator], name: str, happened: tuple[Notification, ...], begins: float
) -> Lane | None:
    """The lane under a marble, if there is one above."""
    for row in reversed(rows):
        if not isinstance(row, Lane):
            break
        moments = (moment for moment, kind, _ in row.notifications if kind in _VALUES)
        if any(round((moment - begins) * 1e6) == 0 for moment in moments):
            later = tuple(Notification(moment + begins, kind, value) for moment, kind, value in happened)
            return Lane(name, later, row.depth + 1, begins)
        if not row.depth:
            break
    return None


def notifications(
    marbles: str,
    lookup: Mapping[str | float, Any] | None = None,
    subscription: str = "^",
    *,
    error: Exception | None = None,
    timespan: float = 1.0,
) -> Iterator[Notification]:
    """What a line in RxPY's syntax says.

    Raises:
        ValueError: It is not in that syntax; the text says why.

    >>> [tuple(notification)[1:] for notification in notifications("-(1,2)|", subscription="")]
    [(<Kind.NEXT: 0>, 1), (<Kind.NEXT: 0>, 2), (<Kind.COMPLETED: 1>, None)]
    """
    rest = _GROUP.sub("", marbles)
    if "(" in rest or ")" in rest:
        raise ValueError("a group is opened by ( and closed by ), and has no other inside")
    if "," in rest:
        raise ValueError("a comma separates what is in a group, such as (a,b)")
    happened = []
    for moment, notification in parse_marbles(marbles, timespan, lookup=lookup, error=error, raise_stopped=True):
        assert isinstance(moment, float | int)
        if isinstance(notification, OnNext):
            happened.append(Notification(moment, Kind.NEXT, notification.value))
        elif isinstance(notification, OnCompleted):
            happened.append(Notification(moment, Kind.COMPLETED))
        else:
            happened.append(Notification(moment, Kind.ERROR, getattr(notification, "exception", None)))
    return _subscribed(happened, subscription, timespan)


def _subscribed(happened: Sequence[Notification], subscription: str, timespan: float) -> Iterator[Notification]:
    """What happened, with the two ends of its subscription among it."""
    if not subscription:
        yield from happened
        return
    plain = subscription.replace(" ", "").replace("(", "").replace(")", "")
    at_once = "(^!)" in subscription
    if "^" in plain:
        yield Notification(plain.index("^") * timespan, Kind.SUBSCRIBED)
    if "!" not in plain:
        yield from happened
        return
    disposed = (plain.index("!") - at_once) * timespan
    yield from (one for one in happened if one.time - disposed < 1e-7)
    yield Notification(disposed, Kind.DISPOSED)
    for moment, kind, value in happened:
        if moment - disposed >= 1e-7 and kind is Kind.NEXT:
            yield Notification(moment, Kind.MISSED, value)


def _length(marbles: str) -> int:
    return len(marbles.replace(" ", ""))


# Writing.


def write(diagram: MarbleDiagram, timespan: float | None) -> MarbleText:
    """As `MarbleDiagram.to_marbles`."""
    if timespan is not None and not timespan > 0:
        raise ValueError(f"a timespan is more than 0 seconds, not {timespan!r}")
    moments = {round(one.time * 1e6) for lane in diagram.lanes for one in lane.notifications}
    moments |= {round(lane.begins * 1e6) for lane in diagram.lanes if lane.depth}
    step = math.gcd(*moments, round(diagram.end * 1e6)) or 10**6 if timespan is None else timespan * 1e6
    symbols = _Symbols(diagram)
    lanes = {
        id(lane): [_tokens(part, symbols, step) for part in _by_subscription(lane.notifications)]
        for lane in diagram.lanes
    }
    # A token that takes more characters than there are until the next one makes all of them finer.
    finer = max((_finer(tokens) for parts in lanes.values() for tokens in parts), default=1)
    length = max((moment / step for moment in moments), default=0) * finer
    if length > LONGEST_LINE:
        raise ValueError(
            f"to write these times exactly takes {length:,.0f} characters a line; "
            f"give a timespan, such as {max(moments) / 1e6 / 100:.2g}"
            if timespan is None
            else f"with {timespan:g} s a character this takes {length:,.0f} characters a line; give a longer timespan"
        )
    rows: list[MarbleLane | str] = []
    for row in diagram.rows:
        if isinstance(row, Operator):
            rows.append(row.label)
            continue
        parts = zip(_by_subscription(row.notifications), lanes[id(row)], strict=True)
        lines = tuple(_line(part, tokens, step, finer) for part, tokens in parts)
        rows.append(MarbleLane(lines, row.name, row.depth, round(row.begins * 1e6 / step) * finer, row.dropped))
    a_second = 1e6 / step * finer
    return MarbleText(
        tuple(rows), symbols.lookup, 1 / a_second, diagram.start * a_second, diagram.end * a_second, diagram.notes
    )


def _by_subscription(happened: Sequence[Notification]) -> list[Sequence[Notification]]:
    begins = [index for index, one in enumerate(happened) if one.kind is Kind.SUBSCRIBED]
    edges = sorted({0, *begins, len(happened)})
    return [happened[start:end] for start, end in pairwise(edges)]


_Token = tuple[int, str]


def _tokens(happened: Sequence[Notification], symbols: _Symbols, step: float) -> list[_Token]:
    """Each frame in which something is emitted, with what is written there."""
    written = [
        (round(one.time * 1e6 / step), symbols.of(one))
        for one in happened
        if one.kind not in (Kind.SUBSCRIBED, Kind.DISPOSED)
    ]
    tokens = []
    for frame, together in groupby(written, lambda each: each[0]):
        elements = [symbol for _, symbol in together]
        tokens.append((frame, elements[0] if len(elements) == 1 else f"({','.join(elements)})"))
    return tokens


def _finer(tokens: Sequence[_Token]) -> int:
    gaps = pairwise(tokens)
    return max((math.ceil(_needed(token, after) / (then - frame)) for (frame, token), (then, after) in gaps), default=1)


def _needed(token: str, following: str) -> int:
    """Two plain elements in a row would be read as one."""
    return len(token) + (token[-1] != ")" and following[0] not in "(|#")


def _line(happened: Sequence[Notification], tokens: Sequence[_Token], step: float, finer: int) -> MarbleLine:
    marbles = ""
    for frame, token in tokens:
        marbles += "-" * (frame * finer - len(marbles)) + token
    ends = {one.kind: round(one.time * 1e6 / step) * finer for one in happened if one.kind >= Kind.SUBSCRIBED}
    error = next((one.value for one in happened if one.kind is Kind.ERROR), None)
    subscribed, disposed = ends.get(Kind.SUBSCRIBED), ends.get(Kind.DISPOSED)
    if not tokens:  # a line that is there all the same
        marbles = "-" * ((subscribed or 0) + 1)
    return MarbleLine(marbles, _subscription(subscribed, disposed), error)


def _subscription(subscribed: int | None, disposed: int | None) -> str:
    if subscribed is None:
        return "" if disposed is None else "-" * disposed + "!"
    if disposed is None:
        return "-" * subscribed + "^"
    if disposed == subscribed:
        return "-" * subscribed + "(^!)"
    return "-" * subscribed + "^" + "-" * (disposed - subscribed - 1) + "!"


class _Symbols:
    """A short name for each value that cannot be written as itself."""

    def __init__(self, diagram: MarbleDiagram) -> None:
        self.lookup: dict[str | float, Any] = {}
        self._known: dict[object, str] = {}
        values = [one.value for lane in diagram.lanes for one in lane.notifications if one.kind in _VALUES]
        taken = {value for value in values if _stands_for_itself(value) and isinstance(value, str)}
        # a, b, ... Z, and then a0, b0, ...
        names = (letter + tail for tail, letter in product(("", *map(str, range(100_000))), ascii_letters))
        self._free = (name for name in names if name not in taken)

    def of(self, notification: Notification) -> str:
        """The element that stands for a notification."""
        if notification.kind is Kind.COMPLETED:
            return "|"
        if notification.kind is Kind.ERROR:
            return "#"
        value = notification.value
        if _stands_for_itself(value):
            return str(value)
        key: object = (type(value), value)
        try:
            known = key in self._known
        except Exception:  # noqa: BLE001 - a list, which has no hash, or somebody else's __hash__ or __eq__
            key = id(value)
            known = key in self._known
        if not known:
            self._known[key] = name = next(self._free)
            self.lookup[name] = value
        return self._known[key]


def _stands_for_itself(value: object) -> bool:
    if type(value) is int or type(value) is float:
        return bool(_PLAIN.fullmatch(str(value))) and math.isfinite(value)
    return (
        type(value) is str
        and bool(_PLAIN.fullmatch(value))
        and printable(value) == value
        and cell_len(value) > 0
        and not _is_number(value)
    )


_PLAIN = re.compile(r"[^-,()#|\s^!:\[\]\x00-\x20\x7f-\xa0\ud800-\udfff]{1,8}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
