"""A diagram in a terminal: in any width, in Unicode and ASCII, and while it scrolls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import pytest
import snapshots
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import Color
from snapshots import console, drawn
from strategies import diagrams, texts, values

from rxecho.marbles import Kind, Lane, MarbleDiagram, Notification, Operator
from rxecho.marbles.labels import Palette
from rxecho.marbles.terminal import draw

NEXT, COMPLETED, ERROR, SUBSCRIBED, DISPOSED, MISSED = Kind
N = Notification

DIAGRAMS = snapshots.diagrams()
widths = st.integers(1, 200)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def lane(*happened: Notification, **attributes: Any) -> Lane:
    return Lane(notifications=(N(0, SUBSCRIBED), *happened), **attributes)


def rows(*lanes: Lane, end: float = 10, width: int = 60, encoding: str = "utf-8", **options: Any) -> list[str]:
    return drawn(MarbleDiagram(lanes, end=end, **options), width, encoding).splitlines()


def segments(diagram: MarbleDiagram, width: int = 60, **options: Any) -> list[str]:
    """Its rows as they are, before Rich cuts what is too wide."""
    text = "".join(segment.text for segment in draw(diagram, console(width).options, **options))
    return text.splitlines()


def colours(diagram: MarbleDiagram, palette: Palette | None = None, width: int = 60) -> dict[str, set[str]]:
    """Which colours each text has."""
    found: dict[str, set[str]] = {}
    for segment in draw(diagram, console(width).options, palette=palette):
        if segment.style and isinstance(segment.style.color, Color):
            found.setdefault(segment.text, set()).add(segment.style.color.name)
    return found


@st.composite
def letters(draw: st.DrawFn) -> MarbleDiagram:
    """A lane of values a, b, c and so on, with its end."""
    times = sorted(draw(st.lists(st.floats(0, 10), max_size=len(LETTERS))))
    end = draw(st.sampled_from([COMPLETED, ERROR, DISPOSED, NEXT]))
    ended = [N(10, end, Exception("error") if end is ERROR else None)] if end is not NEXT else []
    happened = [N(time, NEXT, letter) for time, letter in zip(times, LETTERS, strict=False)]
    missed = [N(time, MISSED, letter) for time, letter in zip(times, LETTERS.upper(), strict=False)]
    kept = draw(st.integers(0, len(times)))
    if end is DISPOSED and kept:
        moment = happened[kept - 1].time
        behind = [one for one in missed[kept:] if one.time > moment]
        return MarbleDiagram((lane(*happened[:kept], N(moment, DISPOSED), *behind),), end=10)
    return MarbleDiagram((lane(*happened, *ended),), end=10)


def told(row: str, times: str = "\N{MULTIPLICATION SIGN}") -> list[str | int]:
    """The marbles and counts of a row, in their order."""
    found = re.findall(rf"[A-Za-z]|{times}\d+", row)
    return [int(one[1:]) if one[0] == times else one for one in found]


# The looks.


@pytest.mark.parametrize("name", DIAGRAMS)
def test_it_looks_as_it_did(name: str) -> None:
    kept = (snapshots.DIRECTORY / f"{name}.txt").read_text(encoding="utf-8")
    assert dict(snapshots.files())[f"{name}.txt"] == kept


def test_a_marble_begins_in_the_column_of_its_time() -> None:
    shown = rows(lane(N(1, NEXT, "a"), N(5, NEXT, "long one"), N(10, COMPLETED)), end=10, width=45)
    assert shown == [
        "├────a───────────────long one────────────┤",
        " ╵0 s                ╵5 s",
    ]


@pytest.mark.parametrize(
    ("kind", "unicode", "ascii_"), [(COMPLETED, "┤", "|"), (ERROR, "✕", "#"), (DISPOSED, "╎", "!"), (NEXT, "▸", ">")]
)
def test_ends_are_told_apart_without_colour(kind: Kind, unicode: str, ascii_: str) -> None:
    ended = [N(9, kind, Exception("error") if kind is ERROR else None)] if kind is not NEXT else []
    one = lane(N(1, NEXT, "a"), *ended)
    assert rows(one)[0].endswith(unicode)
    assert rows(one, encoding="ascii")[0].endswith(ascii_)
    assert rows(one)[0].startswith("├")
    assert rows(one, encoding="ascii")[0].startswith("^")


def test_an_error_says_what_it_is_where_that_is_known() -> None:
    assert rows(lane(N(1, ERROR, ValueError("no"))))[0].endswith("✕ ValueError: no")
    assert rows(lane(N(1, ERROR, Exception("error"))))[0].endswith("✕")


def test_values_of_one_time_are_in_brackets_or_counted() -> None:
    together = [N(5, NEXT, letter) for letter in LETTERS]
    assert "(a,b,c,d)" in rows(lane(*together[:4]))[0]
    assert "\N{MULTIPLICATION SIGN}26" in rows(lane(*together))[0]
    assert "x26" in rows(lane(*together), encoding="ascii")[0]


def test_a_count_of_missed_values_still_shows_the_disposal() -> None:
    values = [N(0.5, NEXT, "a")] * 30
    crowded = lane(*values, N(0.5, DISPOSED), *(N(1, MISSED, "b") for _ in values))
    assert rows(crowded, width=20)[0].startswith("\N{MULTIPLICATION SIGN}60╎")


def test_long_labels_and_names_are_cut() -> None:
    (row, *_) = rows(lane(N(1, NEXT, "a" * 90), name="n" * 90), width=160)
    assert row.startswith("n" * 27 + "… ├")
    assert re.search(r"─a{23}…─", row)
    assert rows(lane(N(1, NEXT, "a" * 90)), width=160, encoding="ascii")[0].count("~") == 1


def test_a_marble_without_room_for_its_label_is_a_dot() -> None:
    close = lane(*(N(n / 2, NEXT, "long") for n in range(5)))
    assert rows(close, width=20, end=2)[0].startswith("├●──●──●──●──")
    assert rows(close, width=20, end=2, encoding="ascii")[0].startswith("^*--*--*--*--")


def test_a_missed_value_beside_another_has_a_place_of_its_own_or_is_counted() -> None:
    happened = (N(0, DISPOSED), *(N(n, MISSED, letter) for n, letter in enumerate("abcdefgh", 1)))
    for width in range(4, 40):
        marbles = told(rows(lane(*happened), end=9, width=width)[0])
        assert sum(one if isinstance(one, int) else 1 for one in marbles) == 8


def test_an_error_beside_a_new_subscription_stays_a_cross() -> None:
    again = lane(N(1, ERROR, ValueError("no")), N(1.2, SUBSCRIBED), N(1.2, ERROR, ValueError("no")))
    for width in range(4, 80):
        assert "\N{MULTIPLICATION SIGN}1" not in rows(again, width=width)[0]


def test_an_inner_lane_hangs_from_the_marble_that_brought_it() -> None:
    outer, inner = rows(lane(N(2, NEXT, "a")), Lane("", (N(2, SUBSCRIBED), N(4, NEXT, "b")), 1, 2.0), width=40)[:2]
    assert inner.index("╰") == outer.index("a") - 1
    later = rows(lane(N(2, NEXT, "a")), Lane("", (N(4, SUBSCRIBED),), 1, 2.0), width=40)
    assert later[1].index("╰") == later[0].index("a") - 1


def test_an_inner_lane_without_an_outer_one_is_drawn_by_itself() -> None:
    assert rows(Lane("", (N(2, SUBSCRIBED), N(4, COMPLETED)), 1, 2.0))[0].strip() == "╰──────────┤"


def test_the_line_to_an_inner_lane_crosses_those_between() -> None:
    outer = lane(N(1, NEXT, "a"), N(4, NEXT, "b"))
    running, ended = (Lane("", (N(1, SUBSCRIBED), *more), 1, 1.0) for more in ([], [N(2, COMPLETED)]))
    last = Lane("", (N(5, SUBSCRIBED),), 1, 4.0)
    assert "┼" in rows(outer, running, last)[1]
    assert "│" in rows(outer, ended, last)[1]
    assert "+" in rows(outer, running, last, encoding="ascii")[1]


def test_the_window_may_begin_in_the_middle_of_a_lane() -> None:
    ended = Lane("", (N(0, SUBSCRIBED), N(1, COMPLETED)))
    shown = rows(lane(N(1, NEXT, "a")), ended, Lane("", (N(8, NEXT, "b"),), dropped=1), start=5, end=10)
    assert shown[0].startswith("──")
    assert shown[1].strip() == ""
    assert shown[2].startswith("··")


def test_a_mark_points_at_its_time() -> None:
    diagram = MarbleDiagram((lane(N(3, NEXT, "a")),), end=10, mark=3)
    row, mark, _ = segments(diagram)
    assert row.index("a") == mark.index("▲")


def test_what_came_just_before_the_end_has_its_whole_label() -> None:
    row = rows(lane(N(0.3, NEXT, "tick"), N(0.9, NEXT, "tack"), N(0.9004, COMPLETED)), end=0.9004)[0]
    assert "tick" in row
    assert row.endswith("tack┤")


def test_notes_are_below() -> None:
    assert rows(lane(), notes=("one \x1b[31m", "two"))[-2:] == ["one \\e[31m", "two"]


# Any diagram in any width.


@settings(max_examples=60)
@given(diagrams(), widths, st.booleans(), st.booleans(), st.floats(0, 20))
def test_nothing_is_wider_than_the_terminal(
    diagram: MarbleDiagram, width: int, ascii_: bool, live: bool, start: float
) -> None:
    moved = MarbleDiagram(diagram.rows, start=start, end=max(diagram.end, start), notes=("note",) * live)
    shown = list(draw(moved, console(width, "ascii" if ascii_ else "utf-8").options, live=live))
    assert all(cell_len(row) <= width for row in "".join(one.text for one in shown).splitlines())


@settings(max_examples=60)
@given(diagrams(), widths)
def test_a_terminal_without_unicode_gets_ascii(diagram: MarbleDiagram, width: int) -> None:
    noted = MarbleDiagram((*diagram.rows, Operator("ä")), end=diagram.end, notes=("ü",))
    assert drawn(noted, width, "ascii").isascii()


@settings(max_examples=60)
@given(diagrams(), widths)
def test_nothing_that_is_drawn_commands_the_terminal(diagram: MarbleDiagram, width: int) -> None:
    text = drawn(diagram, width).replace("\n", "")
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\u2028\ud800-\udfff]", text)


def test_markup_is_not_interpreted() -> None:
    shown = rows(lane(N(1, NEXT, "[red]x[/red]"), name="[b]n[/b]"), notes=("[i]note[/i]",), width=100)
    assert "[red]x[/red]" in shown[0]
    assert shown[0].startswith("[b]n[/b] ")
    assert shown[-1] == "[i]note[/i]"


@given(letters(), st.integers(4, 120))  # with 3 cells, a count of two digits has no room beside its beginning
def test_marbles_are_never_reordered_and_counts_add_up(diagram: MarbleDiagram, width: int) -> None:
    emitted = [one.value for one in diagram.lanes[0].notifications if one.kind in (NEXT, MISSED)]
    (row, *_) = segments(diagram, width)
    place = 0
    for one in told(row):
        if isinstance(one, int):
            place += one
        else:
            assert one == emitted[place]
            place += 1
    # A marble without room for its letter cannot be: a letter takes no more than a dot.
    assert place == len(emitted)


@given(
    st.dictionaries(st.integers(0, 10), st.sampled_from(["a", "日", "😀", "e\u0301", "\u200b", "x\x1b"]), min_size=1),
    st.data(),
)
def test_the_same_time_is_the_same_column_on_all_lanes(emitted: dict[int, str], data: st.DataObject) -> None:
    def of(times: Sequence[int]) -> Lane:
        return lane(*(N(time, NEXT, emitted[time]) for time in sorted(times)))

    lanes = [of(data.draw(st.lists(st.sampled_from(sorted(emitted)), unique=True))) for _ in range(3)]
    diagram = MarbleDiagram(tuple(lanes), end=10)
    columns: dict[float, set[int]] = {}
    for one, row in zip(lanes, segments(diagram, 140), strict=False):
        cells = [cell_len(row[: match.start()]) for match in re.finditer(r"[^─├▸ ]+", row)]
        for notification, cell in zip(one.notifications[1:], cells, strict=True):
            columns.setdefault(notification.time, set()).add(cell)
    assert all(len(found) == 1 for found in columns.values())
    assert all(one < other for one, other in pairwise(min(columns[time]) for time in sorted(columns)))


@given(st.lists(values, min_size=1, max_size=3), st.lists(texts, min_size=1, max_size=2), st.integers(100, 180))
def test_rows_are_as_wide_as_each_other_whatever_is_in_them(emitted: list[Any], names: list[str], width: int) -> None:
    lanes = [lane(*(N(3 * n, NEXT, value) for n, value in enumerate(emitted)), name=name) for name in names]
    shown = segments(MarbleDiagram((*lanes, lane(name="x")), end=60), width)
    ends = [cell_len(row.rstrip()) for row in shown[:-1]]
    assert len(set(ends)) == 1


# Colours.


def test_a_label_has_one_colour_on_all_lanes() -> None:
    found = colours(MarbleDiagram.parse("-a-b-|\n[ map ]\n-b-a-|"))
    assert len(found["a"]) == len(found["b"]) == 1
    assert found["a"] != found["b"]


def test_a_palette_that_is_kept_has_each_label_keep_its_colour() -> None:
    palette = Palette()
    before = colours(MarbleDiagram.parse("-a-b-|"), palette)
    after = colours(MarbleDiagram.parse("-z-b-a-|"), palette)
    assert (after["a"], after["b"]) == (before["a"], before["b"])
    assert after["z"] not in (after["a"], after["b"])


# While it scrolls.


def window(lanes: Sequence[Lane], end: float, width: int = 60) -> list[str]:
    return segments(MarbleDiagram(tuple(lanes), start=end - 10, end=end), width, live=True)


@given(
    st.lists(st.tuples(st.integers(900, 3000), st.sampled_from(LETTERS)), max_size=8),  # far enough not to share a cell
    st.integers(0, 1000),
    st.integers(20, 120),
)
def test_marbles_move_by_whole_cells_and_in_lockstep(waits: list[tuple[int, str]], later: int, width: int) -> None:
    times = accumulate(wait for wait, _ in waits)
    happened = [N(time / 1000, NEXT, letter) for time, (_, letter) in zip(times, waits, strict=True) if time <= 9000]
    lanes = [Lane("", tuple(happened)), Lane("", tuple(happened[::2]))]
    before, after = window(lanes, 9.5, width), window(lanes, 9.5 + later / 1000, width)
    moved = set()
    for one, other in zip(before[:2], after[:2], strict=True):
        places, then = ([match.start() for match in re.finditer("[a-z]", row)] for row in (one, other))
        moved |= {place - now for place, now in zip(reversed(places), reversed(then), strict=False)}
    assert len(moved) <= 1
    assert all(cells >= 0 for cells in moved)


def test_what_shared_a_cell_goes_on_sharing_it() -> None:
    happened = tuple(N(5 + n / 1000, NEXT, "a") for n in range(48))
    for end in range(6000, 14_000, 37):
        assert told(window([Lane("", happened)], end / 1000)[0]) == [48]


def test_times_are_told_from_now() -> None:
    (axis,) = window([], 12.3)
    assert re.fullmatch(r" +╵-10 s +╵-8 s +╵-6 s +╵-4 s +╵-2 s +╵now", axis)


def test_an_inner_lane_that_began_before_the_window_hangs_from_nothing() -> None:
    lanes = [Lane("", (N(1, NEXT, "a"),)), Lane("", (N(1, SUBSCRIBED), N(8, NEXT, "b")), 1, 1.0)]
    assert "╰" not in "".join(window(lanes, 12))
    assert "╰" in "".join(window(lanes, 10))


def test_a_diagram_that_ends_before_its_lanes_do_is_drawn_as_far_as_it_goes() -> None:
    inner = Lane("", (N(3, SUBSCRIBED),), 1, 3.0)
    assert rows(lane(N(3, NEXT, "a")), inner, end=0)
