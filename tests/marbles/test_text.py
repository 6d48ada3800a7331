"""Marble text: what is written is read back, and RxPY reads it, too."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reactivex.notification import OnCompleted, OnNext
from reactivex.observable.marbles import parse as parse_by_rxpy
from reactivex.testing.marbles import marbles_testing
from strategies import diagrams, plain_diagrams, values

from rxecho.marbles import Kind, Lane, MarbleDiagram, MarbleLine, Notification, Operator, Timeline
from rxecho.marbles.text import LONGEST_LINE, notifications

NEXT, COMPLETED, ERROR, SUBSCRIBED, DISPOSED, MISSED = Kind
N = Notification


def lane(*happened: Notification, **attributes: Any) -> Lane:
    return Lane(notifications=happened, **attributes)


def written(*happened: Notification, timespan: float | None = None) -> list[MarbleLine]:
    end = max(one.time for one in happened)
    return list(MarbleDiagram((lane(*happened),), end=end).to_marbles(timespan).lines)


def only_lane(text: str, **options: Any) -> list[tuple[float, Kind, Any]]:
    (read,) = MarbleDiagram.parse(text, **options).lanes
    return [tuple(one) for one in read.notifications]


def same_text(text: str) -> bool:
    text = dedent(text).strip("\n").rstrip()
    return str(MarbleDiagram.parse(text)) == text


def fault(text: str) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        MarbleDiagram.parse(text)
    return str(raised.value)


# There and back.


@settings(max_examples=40)
@given(diagrams())
def test_what_is_written_reads_back_to_an_equal_diagram(diagram: MarbleDiagram) -> None:
    read = diagram.to_marbles().diagram()
    assert read == diagram
    kinds = [[type(one.value) for one in lane.notifications] for lane in diagram.lanes]
    assert [[type(one.value) for one in lane.notifications] for lane in read.lanes] == kinds


@given(st.lists(st.tuples(st.integers(0, 900), values), max_size=6))
def test_times_are_exact_to_the_microsecond(emitted: list[tuple[int, Any]]) -> None:
    happened = [N(time / 1e6, NEXT, value) for time, value in sorted(emitted, key=lambda one: one[0])]
    diagram = MarbleDiagram((lane(N(0, SUBSCRIBED), *happened),), end=0.001)
    assert diagram.to_marbles().diagram() == diagram


@settings(max_examples=60)
@given(plain_diagrams())
def test_what_needs_no_table_is_parsed_from_its_text(diagram: MarbleDiagram) -> None:
    text = diagram.to_marbles()
    assert not text.lookup
    lines = str(text).removesuffix(f"\neach character {text.timespan:g} s")
    assume(not all(line[0].isspace() for line in lines.splitlines()))  # which would not count
    assert MarbleDiagram.parse(lines, timespan=text.timespan).rows == diagram.rows


@settings(max_examples=40)
@given(diagrams())
def test_rxpy_reads_the_same_from_each_line(diagram: MarbleDiagram) -> None:
    text = diagram.to_marbles()
    read: list[Notification] = []
    for line in text.lines:
        for time, what in parse_by_rxpy(line.marbles, text.timespan, lookup=text.lookup, error=line.error):
            assert isinstance(time, float | int)
            kind = NEXT if isinstance(what, OnNext) else COMPLETED if isinstance(what, OnCompleted) else ERROR
            read.append(
                N(time, kind, getattr(what, "value", None) if kind is NEXT else getattr(what, "exception", None))
            )
    kinds = {MISSED: NEXT}
    assert read == [
        one._replace(kind=kinds.get(one.kind, one.kind))
        for row in diagram.lanes
        for one in row.notifications
        if one.kind not in (SUBSCRIBED, DISPOSED)
    ]


def test_marbles_testing_runs_a_line_with_its_table() -> None:
    text = MarbleDiagram.parse("-a--b-(b,c)-|", {"a": [1], "b": "x y"}).to_marbles()
    (line,) = text.lines
    lookup = dict(text.lookup)
    with marbles_testing(timespan=text.timespan) as (start, cold, _, exp):
        came = start(cold(line.marbles, lookup, None))
        assert came == exp(line.marbles, lookup, None)
    assert [str(one.value) for one in came[:2]] == ["OnNext([1])", "OnNext(x y)"]


@settings(max_examples=40)
@given(diagrams())
def test_nothing_in_the_text_commands_a_terminal(diagram: MarbleDiagram) -> None:
    assert not set(str(diagram)) & set("\x00\x1b\t\r\u202e\ufeff\ud800\x85\u2028")


def test_a_window_and_its_notes_are_kept() -> None:
    diagram = MarbleDiagram((lane(N(6, NEXT, "a"), dropped=3),), start=5.5, end=7.5, notes=("a: 3 are not kept\x1b",))
    text = diagram.to_marbles()
    assert text.diagram() == diagram
    assert str(text).endswith("\na: 3 are not kept\\e")


def test_a_timeline_reads_back_to_its_diagram() -> None:
    timeline = Timeline()
    assert timeline.to_marbles().diagram() == timeline.diagram()


# Writing.


def test_values_that_are_marbles_stand_for_themselves() -> None:
    assert written(N(0, NEXT, "a"), N(1, NEXT, 2), N(2, COMPLETED))[0].marbles == "a-2-|"


def test_without_anything_between_neighbours_need_no_gap() -> None:
    assert written(N(0, SUBSCRIBED), N(1, NEXT, "a"), N(2, COMPLETED))[0] == MarbleLine("-a|")


def test_other_values_get_a_letter_that_no_value_has() -> None:
    text = MarbleDiagram((lane(N(0, NEXT, "a"), N(1, NEXT, [1]), N(2, NEXT, "b b"), N(3, NEXT, "b b")),)).to_marbles()
    assert text.lines[0].marbles == "a-b-c-c"
    assert text.lookup == {"b": [1], "c": "b b"}


def test_a_text_that_is_a_number_is_not_the_number() -> None:
    text = MarbleDiagram((lane(N(0, NEXT, "1"), N(2, NEXT, 1), N(4, NEXT, True)),)).to_marbles()
    assert (text.lines[0].marbles, text.lookup) == ("a-1-b", {"a": "1", "b": True})


@pytest.mark.parametrize("awkward", ["__eq__", "__hash__"])
def test_values_that_cannot_be_compared_are_told_apart(awkward: str) -> None:
    def refuse(*_: object) -> bool:
        raise RuntimeError("ambiguous")

    kind = type("Awkward", (), {"__hash__": lambda _: 1, awkward: refuse})
    one, other = kind(), kind()
    diagram = MarbleDiagram((lane(N(0, NEXT, one), N(1, NEXT, other), N(2, NEXT, one)),), end=2)
    text = diagram.to_marbles()
    assert [id(value) for value in text.lookup.values()] == ([id(one), id(other)])
    assert text.diagram() == diagram


def test_more_values_than_letters_have_names_too() -> None:
    diagram = MarbleDiagram((lane(*(N(n, NEXT, [n]) for n in range(100))),), end=99)
    text = diagram.to_marbles()
    assert list(text.lookup)[50:54] == ["Y", "Z", "a0", "b0"]
    assert text.diagram() == diagram


def test_what_takes_more_room_than_there_is_makes_all_characters_shorter() -> None:
    text = MarbleDiagram((lane(N(0, SUBSCRIBED), N(1, NEXT, "abc"), N(2, NEXT, "d")),), end=2).to_marbles()
    assert str(text) == "----abc-d\neach character 0.25 s"


def test_what_falls_into_one_character_is_a_group() -> None:
    assert written(N(0.11, NEXT, "a"), N(0.12, NEXT, "b"), timespan=0.1)[0].marbles == "-(a,b)"


def test_a_group_needs_no_gap_either() -> None:
    happened = (N(0, NEXT, "a"), N(0, NEXT, "b"), N(5, NEXT, "c"), N(6, NEXT, "d"), N(6, COMPLETED))
    assert written(*happened)[0].marbles == "(a,b)c(d,|)"


def test_times_are_rounded_to_a_timespan_that_is_given() -> None:
    assert written(N(0.01, NEXT, "a"), N(0.19, NEXT, "b"), timespan=0.1)[0].marbles == "a-b"


def test_times_that_take_too_many_characters_need_a_timespan() -> None:
    happened = (N(0.123457, NEXT, "a"), N(1, COMPLETED))
    with pytest.raises(ValueError, match=r"takes 1,000,000 characters a line; give a timespan, such as 0\.01$"):
        written(*happened)
    with pytest.raises(ValueError, match=r"with 1e-06 s a character this takes 1,000,000 .*; give a longer timespan"):
        written(*happened, timespan=1e-6)
    assert written(*happened, timespan=0.01)[0].marbles == "-" * 12 + "a" + "-" * 87 + "|"
    assert LONGEST_LINE == 100_000


@pytest.mark.parametrize("timespan", [0, -1.0, float("nan")])
def test_a_timespan_is_positive(timespan: float) -> None:
    with pytest.raises(ValueError, match="a timespan is more than 0 seconds, not"):
        MarbleDiagram.parse("-a-", timespan=timespan)
    with pytest.raises(ValueError, match="a timespan is more than 0 seconds, not"):
        MarbleDiagram.parse("-a-").to_marbles(timespan)


def test_each_subscription_is_a_line() -> None:
    error = OSError("gone")
    lines = written(
        N(0, SUBSCRIBED), N(1, NEXT, "a"), N(2, ERROR, error),
        N(2, SUBSCRIBED), N(3, NEXT, "a"), N(5, DISPOSED), N(6, MISSED, "b"),
        N(6, SUBSCRIBED), N(6, DISPOSED),
        N(7, SUBSCRIBED),
    )  # fmt: skip
    assert lines == [
        MarbleLine("-a#", "^", error),
        MarbleLine("---a--b", "--^--!"),
        MarbleLine("-------", "------(^!)"),
        MarbleLine("--------", "-------^"),
    ]


def test_a_subscription_whose_beginning_is_not_kept_has_none() -> None:
    assert written(N(1, NEXT, "a"), N(2, COMPLETED)) == [MarbleLine("-a|", "")]
    assert written(N(1, NEXT, "a"), N(2, DISPOSED)) == [MarbleLine("-a", "--!")]


def test_an_empty_diagram_is_an_empty_text() -> None:
    assert str(MarbleDiagram()) == ""
    assert MarbleDiagram((Lane("a"),)).to_marbles().lines == ()


def test_the_text_lists_what_marbles_stand_for() -> None:
    assert str(MarbleDiagram.parse("-a-|", {"a": "x\x1b"})) == "-a-|\na = 'x\\x1b'"


def test_names_stand_in_one_column() -> None:
    assert same_text("""
        stream: -a-b-|
        upper:  -A-B-|
    """)


def test_control_characters_in_names_and_labels_are_escaped() -> None:
    assert str(MarbleDiagram((Operator("a\x1b"), lane(N(0, COMPLETED), name="b\x1b")))) == "[ a\\e ]\nb\\e: |"


# Reading.


@pytest.mark.parametrize(
    "text",
    [
        "-a-b-|",
        "-a-b-#",
        "-a-b--\n[ map(str) ]\n-c-d--",
        "-a---b-|\n -x|\n     -y|",
        "-a\n -b\n  -c|",
        "-a|\n -----b|\n      -c|",
        "-a---b-|\n^--!",
        "-a---b-|\n(^!)",
        "-a---b-#\n& -----a|\n  ----^",
        "  a-b|\n  c-|",
        "  -a-|\ns: -b-|",
        "a:   -b-c-|\n  b:  -b-|",
    ],
)
def test_a_written_diagram_is_written_the_same_again(text: str) -> None:
    read = MarbleDiagram.parse(text)
    again = read.to_marbles()
    assert again.diagram() == MarbleDiagram(read.rows, end=read.end)


def test_a_line_is_an_observable() -> None:
    assert only_lane("-a-(b,2)-|") == [
        (0, SUBSCRIBED, None), (1, NEXT, "a"), (3, NEXT, "b"), (3, NEXT, 2), (9, COMPLETED, None),
    ]  # fmt: skip


def test_spaces_take_no_time_and_the_last_character_is_the_end() -> None:
    diagram = MarbleDiagram.parse("-a  -b-", timespan=0.5)
    assert [one.time for one in diagram.lanes[0].notifications] == [0, 0.5, 1.5]
    assert diagram.end == 2.5


def test_marbles_stand_for_what_the_table_says() -> None:
    error = OSError("gone")
    read = only_lane("a-1-#", lookup={"a": None, 1: "one"}, error=error)
    assert read == [(0, SUBSCRIBED, None), (0, NEXT, None), (2, NEXT, "one"), (4, ERROR, error)]


def test_an_error_is_called_error() -> None:
    assert MarbleDiagram.parse("#").lanes[0].notifications[1] == N(0, ERROR, Exception("error"))


def test_a_name_may_have_spaces_and_colons() -> None:
    assert [lane.name for lane in MarbleDiagram.parse("a stream: -a-|\nmap(x: int): -b-|").lanes] == [
        "a stream",
        "map(x: int)",
    ]


def test_what_all_lines_are_indented_by_does_not_count() -> None:
    diagram = MarbleDiagram.parse("""

        -a-b-|

        [  map(str.upper)  ]
        -A-B-|
    """)
    assert diagram == MarbleDiagram.parse("-a-b-|\n[ map(str.upper) ]\n-A-B-|")
    assert diagram.rows[1] == Operator("map(str.upper)")


def test_an_inner_observable_begins_under_a_marble() -> None:
    outer, first, second, inside = MarbleDiagram.parse("""
        -a---b-----|
         -1-2|
             -3|
              -4|
    """).lanes
    assert [one.depth for one in (outer, first, second, inside)] == [0, 1, 1, 2]
    assert [one.begins for one in (first, second, inside)] == [1, 5, 6]
    assert first.notifications == (N(1, SUBSCRIBED), N(2, NEXT, 1), N(4, NEXT, 2), N(5, COMPLETED))


def test_a_space_in_the_line_above_takes_no_time_below() -> None:
    outer, inner = MarbleDiagram.parse("-a  -b-|\n     -c|").lanes
    assert inner.begins == outer.notifications[2].time == 3


def test_an_inner_observable_may_begin_at_the_very_left() -> None:
    outer, inner = lane(N(0, SUBSCRIBED), N(0, NEXT, "a")), lane(N(0, SUBSCRIBED), N(1, COMPLETED), depth=1)
    diagram = MarbleDiagram((Operator("window"), outer, inner))
    assert str(diagram) == "[ window ]\n  a\n  -|"
    assert MarbleDiagram.parse(str(diagram)).rows == diagram.rows


def test_an_inner_observable_may_begin_behind_the_end_of_the_outermost() -> None:
    assert [(one.depth, one.begins) for one in MarbleDiagram.parse("-a|\n -----b|\n      -c|").lanes] == [
        (0, 0),
        (1, 1),
        (2, 6),
    ]


def test_a_subscription_stands_under_its_line() -> None:
    assert only_lane("---b---|\n  ^") == [(2, SUBSCRIBED, None), (3, NEXT, "b"), (7, COMPLETED, None)]


def test_what_is_behind_the_disposal_was_missed() -> None:
    assert only_lane("-a-b-c-|\n^--!") == [
        (0, SUBSCRIBED, None), (1, NEXT, "a"), (3, NEXT, "b"), (3, DISPOSED, None), (5, MISSED, "c"),
    ]  # fmt: skip


def test_a_disposal_may_have_no_beginning() -> None:
    assert only_lane("-a-b\n---!") == [(1, NEXT, "a"), (3, NEXT, "b"), (3, DISPOSED, None)]


def test_another_subscription_stands_behind_an_ampersand() -> None:
    (again,) = MarbleDiagram.parse("  -a#\n& --a|\n  --^", error=OSError("gone")).lanes
    assert again.notifications == (
        N(0, SUBSCRIBED), N(1, NEXT, "a"), N(2, ERROR, OSError("gone")),
        N(2, SUBSCRIBED), N(2, NEXT, "a"), N(3, COMPLETED),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the diagram has no observable: write one a line, such as -a-b-|"),
        ("[ map ]", "the diagram has no observable: write one a line, such as -a-b-|"),
        ("-a-|\n-(a", "line 2 of the diagram, '-(a': a group is opened by ( and closed by ), and has no other inside"),
        ("-a)", "line 1 of the diagram, '-a)': a group is opened by ( and closed by ), and has no other inside"),
        ("((a))", "line 1 of the diagram, '((a))': a group is opened by ( and closed by ), and has no other inside"),
        ("-a,b", "line 1 of the diagram, '-a,b': a comma separates what is in a group, such as (a,b)"),
        ("-|-a", "line 1 of the diagram, '-|-a': Elements cannot be declared after a # or | symbol."),
        ("^--!", "line 1 of the diagram, '^--!': a subscription stands under the line that it is of"),
        ("[ a ]\n^--!", "line 2 of the diagram, '^--!': a subscription stands under the line that it is of"),
        ("& -a|", "line 1 of the diagram, '& -a|': a line behind & is one more subscription to the line above it"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(text: str, says: str) -> None:
    assert fault(text) == says


@pytest.mark.parametrize("text", ["-a-|\n  -b|", "-a-|\n[ map ]\n -b|", "-a-|\n    -b|"])
def test_an_inner_observable_under_no_marble_is_a_mistake(text: str) -> None:
    assert fault(text).endswith("what is indented is an inner observable, and begins under a marble of a line above it")


def test_notifications_may_leave_the_subscription_out() -> None:
    assert [one.kind for one in notifications("-a|", subscription="")] == [NEXT, COMPLETED]
