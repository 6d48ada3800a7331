"""Where on a drawing a time is, and what has to share a place."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxecho.marbles import Kind, Lane, Notification
from rxecho.marbles.layout import Line, Scale, line_before, line_behind, runs, seconds, ticks

NEXT, COMPLETED, ERROR, SUBSCRIBED, DISPOSED, MISSED = Kind
N = Notification

spans = st.floats(1e-6, 1e6)
moments = st.floats(0, 1e5)


@given(moments, spans, st.integers(1, 2000), moments, moments)
def test_what_is_later_is_never_put_before_what_is_earlier(
    start: float, span: float, room: int, one: float, other: float
) -> None:
    scale = Scale.fit(start, start + span, room)
    earlier, later = sorted([one, other])
    assert scale.place(earlier) <= scale.place(later)


@given(moments, spans, st.integers(1, 2000))
def test_all_is_within_the_room(start: float, span: float, room: int) -> None:
    scale = Scale.fit(start, start + span, room)
    assert scale.place(start) == 0
    assert scale.place(start + span) <= room + 1  # where both are in the middle of a unit


@pytest.mark.parametrize(("span", "room", "density"), [(10, 60, 6), (10, 65, 6), (20, 10, 0.5), (0.1, 60, 600)])
def test_a_scale_has_whole_units_a_second_or_whole_seconds_a_unit(span: float, room: int, density: float) -> None:
    assert Scale.fit(0, span, room).density == density


@given(st.integers(0, 10**9), st.sampled_from([0.1, 1, 6, 10]), st.integers(1, 300), st.integers(0, 10**6))
def test_a_window_that_moves_on_keeps_its_scale(microseconds: int, last: float, room: int, later: int) -> None:
    ends = [microseconds / 1e6, (microseconds + later) / 1e6]
    one, other = (Scale.fit(end - last, end, room).density for end in ends)
    assert one == other


@given(st.lists(st.floats(0, 100), min_size=2, max_size=20), st.floats(0, 50), st.floats(0, 50), st.integers(1, 200))
def test_while_it_scrolls_all_places_move_by_the_same_whole_number(
    times: list[float], begin: float, later: float, room: int
) -> None:
    before, after = Scale.fit(begin, begin + 10, room), Scale.fit(begin + later, begin + later + 10, room)
    assert len({before.place(time) - after.place(time) for time in times}) == 1


@given(moments, spans, st.integers(1, 2000), st.integers(0, 2000))
def test_the_time_of_a_place_is_where_it_begins(start: float, span: float, room: int, place: int) -> None:
    scale = Scale.fit(start, start + span, room)
    width = 1 / scale.density
    assert scale.place(scale.time(place) + width / 2) == place


def lane(*times: float, kind: Kind = NEXT) -> Lane:
    return Lane(notifications=tuple(N(time, kind, time) for time in times))


def brief(values: int, others: int) -> int:
    return 2 * values + others


def gathered(lane: Lane, width: int = 100) -> list[tuple[int, int, int]]:
    return [(run.place, run.room, len(run.notifications)) for run in runs(lane, Scale(0, 1), width, brief)]


def test_what_has_room_is_a_run_of_its_own() -> None:
    assert gathered(lane(0, 2, 10), 20) == [(0, 2, 1), (2, 8, 1), (10, 10, 1)]


def test_what_is_too_close_shares_a_place_as_long_as_that_needs_more_room() -> None:
    assert gathered(lane(0, 1, 3, 5, 20)) == [(0, 20, 4), (20, 80, 1)]


def test_missed_values_take_as_much_room_as_others() -> None:
    assert gathered(lane(0, 1, 4, kind=MISSED)) == [(0, 4, 2), (4, 96, 1)]


def test_other_notifications_take_less() -> None:
    assert gathered(lane(0, 1, kind=SUBSCRIBED)) == [(0, 1, 1), (1, 99, 1)]


def test_what_is_outside_of_the_window_is_in_no_run() -> None:
    window = runs(lane(1, 5, 9), Scale(4, 1), 3, brief)
    assert [run.place for run in window] == [1]


@given(st.lists(st.floats(0, 50), max_size=60), st.integers(1, 60))
def test_every_notification_in_the_window_is_in_one_run_and_in_order(times: list[float], width: int) -> None:
    lane_ = lane(*sorted(times))
    shown = list(runs(lane_, Scale(0, 1), width, brief))
    told = [one for run in shown for one in run.notifications]
    assert told == [one for one in lane_.notifications if Scale(0, 1).place(one.time) < width]
    ends = [run.place + run.room for run in shown]
    assert ends == [*(run.place for run in shown[1:]), width][: len(ends)]
    assert all(run.room > 0 for run in shown)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (NEXT, Line.RUNNING),
        (SUBSCRIBED, Line.RUNNING),
        (COMPLETED, Line.NONE),
        (ERROR, Line.NONE),
        (DISPOSED, Line.NONE),
        (MISSED, Line.NONE),
    ],
)
def test_a_lane_goes_on_until_its_end(kind: Kind, line: Line) -> None:
    one = lane(1, kind=kind)
    assert line_behind(one.notifications[-1], one) is line
    assert line_before(one, 2) is line


def test_a_lane_is_missed_up_to_the_last_value_that_was() -> None:
    one = Lane(notifications=(N(1, DISPOSED), N(2, MISSED, "a"), N(3, MISSED, "b")))
    assert [line_behind(each, one) for each in one.notifications] == [Line.MISSED, Line.MISSED, Line.NONE]


def test_before_its_first_notification_a_lane_is_nothing_or_not_kept() -> None:
    assert line_before(lane(1), 0) is Line.NONE
    assert line_before(Lane(dropped=1), 0) is Line.DROPPED


@pytest.mark.parametrize(
    ("time", "told"), [(0, "0 s"), (1.5, "1.5 s"), (0.1 + 0.2, "0.3 s"), (1e-7, "0 s"), (123456.5, "123456.5 s")]
)
def test_a_time_is_told_to_the_microsecond(time: float, told: str) -> None:
    assert seconds(time) == told


def test_ticks_are_round_times() -> None:
    assert [place for place, _ in ticks(Scale(0, 6), 10, 10)] == [0, 12, 24, 36, 48, 60]
    assert [time for _, time in ticks(Scale(7, 0.5), 50, 10)] == [20, 40]


@given(moments, spans, st.integers(1, 2000), st.integers(1, 100))
def test_ticks_have_room_for_their_texts(start: float, span: float, room: int, least: int) -> None:
    places = [place for place, _ in ticks(Scale.fit(start, start + span, room), start + span, least)]
    assert all(then - place >= least - 1 for place, then in pairwise(places))
