"""Marble diagrams of every kind, for hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from rxecho.marbles import Kind, Lane, MarbleDiagram, Notification, Operator

AWKWARD = [
    "", " ", "a", "ab", "a b", ",", "(", ")", "(a,b)", "|", "#", "-", "--", "^", "!", "1", "1.0", "-1", "1e5", "nan",
    "inf", "1_0", "\u0661", "&", "a:", "[a]", "\n", "\t", "\x00", "\x1b[31m", "\u202e", "\u200b", "\ud800", "\ufffe",
    "😀", "日本", "e\u0301", "👩\u200d👩\u200d👧", "]]>", "</svg>", "[bold]x[/bold]", "a" * 200,
]  # fmt: skip

texts = st.sampled_from([*AWKWARD, "\U00010eab0", "\u0301x", "\u200b\u200b"]) | st.text(max_size=12)
values: st.SearchStrategy[Any] = st.one_of(
    texts,
    st.integers(),
    st.floats(),
    st.sampled_from([None, True, False, 10**30, -0.0, (), (1, "a")]),
    st.lists(st.integers() | texts, max_size=3),
    st.binary(max_size=4),
)
errors = st.builds(ValueError, texts) | st.builds(OSError, texts) | st.just(Exception("error"))
# What is written as it is: no RxPY syntax, no number that is text.
plain_values = st.sampled_from(["a", "b", "xy", "é", "日", "😀", "true", 0, 1, 12, 2.5, 1e20])
plain_errors = st.builds(lambda: Exception("error"))
times = st.sampled_from([1e-6, 1e-3, 0.1, 0.25, 1.0, 7.0])


@st.composite
def subscriptions(
    draw: st.DrawFn, begin: int, values: st.SearchStrategy[Any], errors: st.SearchStrategy[Exception], *, last: bool
) -> list[Notification]:
    """One subscription, in frames."""
    frame = begin
    happened = [Notification(frame, Kind.SUBSCRIBED)]

    def later(least: int = 0) -> int:
        nonlocal frame
        frame += draw(st.integers(least, 8))
        return frame

    happened += [Notification(later(), Kind.NEXT, draw(values)) for _ in range(draw(st.integers(0, 5)))]
    end = draw(st.sampled_from([Kind.COMPLETED, Kind.ERROR, Kind.DISPOSED, *[Kind.NEXT] * last]))
    if end is not Kind.NEXT:
        happened.append(Notification(later(), end, draw(errors) if end is Kind.ERROR else None))
    if end is Kind.DISPOSED and last:
        happened += [Notification(later(1), Kind.MISSED, draw(values)) for _ in range(draw(st.integers(0, 3)))]
    return happened


@st.composite
def lanes(
    draw: st.DrawFn,
    begin: int,
    depth: int,
    values: st.SearchStrategy[Any],
    errors: st.SearchStrategy[Exception],
    names: st.SearchStrategy[str],
) -> Lane:
    """A lane whose times are in frames, with up to three subscriptions in a row."""
    happened: list[Notification] = []
    number = draw(st.integers(1, 3))
    for left in reversed(range(number)):
        start = (happened[-1].time if happened else begin) + draw(st.integers(0, 3))
        happened += draw(subscriptions(int(start), values, errors, last=not left))
    return Lane(draw(names), tuple(happened), depth, float(begin))


def _scaled(row: Lane | Operator, frame: float) -> Lane | Operator:
    if isinstance(row, Operator):
        return row
    happened = tuple(one._replace(time=one.time * frame) for one in row.notifications)
    return Lane(row.name, happened, row.depth, row.begins * frame, row.dropped)


@st.composite
def diagrams(
    draw: st.DrawFn,
    values: st.SearchStrategy[Any] = values,
    errors: st.SearchStrategy[Exception] = errors,
    names: st.SearchStrategy[str] = texts,
    labels: st.SearchStrategy[str] = texts,
    frames: st.SearchStrategy[float] = times,
    *,
    dropping: bool = True,
) -> MarbleDiagram:
    """Lanes, operators between them, and inner lanes three deep."""
    rows: list[Lane | Operator] = []

    def add(lane: Lane) -> None:
        dropped = dropping and draw(st.booleans())
        rows.append(Lane(lane.name, lane.notifications[1:], lane.depth, lane.begins, 7) if dropped else lane)
        values_of = [one.time for one in lane.notifications if one.kind is Kind.NEXT]
        if lane.depth < 3 and values_of:
            for begin in sorted(draw(st.lists(st.sampled_from(values_of), max_size=2))):
                add(draw(lanes(int(begin), lane.depth + 1, values, errors, names)))

    for number in range(draw(st.integers(1, 3))):
        if number and draw(st.booleans()):
            rows.append(Operator(draw(labels)))
        add(draw(lanes(0, 0, values, errors, names)))
    frame = draw(frames)
    scaled = tuple(_scaled(row, frame) for row in rows)
    moments = [one.time for row in scaled if isinstance(row, Lane) for one in row.notifications]
    return MarbleDiagram(scaled, end=max(moments, default=0.0) + draw(st.integers(0, 3)) * frame)


@st.composite
def plain_diagrams(draw: st.DrawFn) -> MarbleDiagram:
    """What can be written down without a table, so that it is clear which marble an inner lane hangs from."""
    drawn = draw(
        diagrams(
            plain_values,
            plain_errors,
            st.sampled_from(["", "a", "stream", "map(x: int)", "two words"]),
            st.sampled_from(["ops.map(str)", "x[0]", ""]),
            st.just(1.0),
            dropping=False,
        )
    )
    above: list[Lane] = []
    for row in drawn.rows:
        if isinstance(row, Operator):
            above = []
            continue
        parent = _parent(above, row.begins)
        assume(parent is not None and parent.depth == row.depth - 1 if row.depth else row.name or parent is None)
        above.append(row)
    return drawn


def _parent(above: list[Lane], begins: float) -> Lane | None:
    """Which lane an unnamed one would be taken to hang from."""
    for lane in reversed(above):
        if any(one.time == begins for one in lane.notifications if one.kind in (Kind.NEXT, Kind.MISSED)):
            return lane
        if not lane.depth:
            return None
    return None
