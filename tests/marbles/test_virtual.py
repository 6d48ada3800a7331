"""Operators run over marbles in virtual time: what the diagram shows, and what is written into its boxes."""

from __future__ import annotations

import linecache
import subprocess
import sys
from collections.abc import Callable
from operator import add
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler

from rxecho.marbles import Kind, Lane, MarbleDiagram, Operator, Timeline, cold, diagram
from rxecho.marbles.virtual import parts, record

NEXT, COMPLETED, ERROR, SUBSCRIBED, DISPOSED, MISSED = Kind


def labels(drawn: MarbleDiagram) -> list[str]:
    return [row.label for row in drawn.rows if isinstance(row, Operator)]


def rows(drawn: MarbleDiagram) -> list[str]:
    return str(drawn).splitlines()


def kinds(lane: Lane) -> list[Kind]:
    return [one.kind for one in lane.notifications]


def upper(source: Observable[str]) -> Observable[str]:
    return source.pipe(ops.map(str.upper))


# What it shows.


@pytest.mark.parametrize(
    ("operator", "sources", "result"),
    [
        (ops.map(str.upper), ["-a-b-|"], "-A-B-|"),
        (ops.debounce(2), ["-a--b----c-|"], "---a--b----(c,|)"),
        (ops.delay(2), ["-a-b-|"], "---a-b-|"),
        (ops.take_until(reactivex.timer(2)), ["-a-b-|"], "-a|"),
        (ops.merge, ["-a---|", "---b-|"], "-a-b-|"),
        (reactivex.merge, ["-a---|", "---b-|"], "-a-b-|"),
        (ops.zip, ["-a-b-c-|", "-b-b-c-|"], None),
        (reactivex.concat, ["-a|", "-b|"], "-a-b|"),
        (ops.scan(add), ["-1-2-3-|"], "-1-3-6-|"),
        (upper, ["-a-b-|"], "-A-B-|"),
        (reactivex.timer(2), [], "--(0,|)"),
        (reactivex.never(), [], "-"),
        (lambda: reactivex.of("a", "b"), [], "(a,b,|)"),
        (lambda *sources: reactivex.merge(*sources), ["-a|", "b-|", "--c|"], "b-a--c|"),
    ],
)
def test_the_result_is_what_the_operator_makes_of_its_sources(
    operator: Any, sources: list[str], result: str | None
) -> None:
    drawn = diagram(operator, *sources, label="box")
    assert [type(row) for row in drawn.rows] == [*[Lane] * len(sources), Operator, Lane]
    if result:
        whole = MarbleDiagram.parse(result).lanes[-1]
        assert [one[1:] for one in drawn.lanes[-1].notifications] == [one[1:] for one in whole.notifications]


def test_it_is_the_diagram_that_somebody_would_write() -> None:
    assert rows(diagram(ops.filter(lambda x: x > 1), "-1-2-3-|", label="x > 1")) == [
        "-1-2-3-|",
        "[ x > 1 ]",
        "---2-3-|",
    ]


def test_several_operators_have_a_box_and_a_lane_each() -> None:
    drawn = diagram([ops.map(str.upper), ops.take(1)], "-a-b-|")
    assert labels(drawn) == ["ops.map(str.upper)", "ops.take(1)"]
    assert [kinds(lane) for lane in drawn.lanes] == [
        [SUBSCRIBED, NEXT, DISPOSED, MISSED],
        [SUBSCRIBED, NEXT, DISPOSED],
        [SUBSCRIBED, NEXT, COMPLETED],
    ]


def test_values_that_a_source_still_had_were_missed() -> None:
    drawn = diagram(ops.take(1), "-a-b-c|", label="take")
    assert rows(drawn) == ["-a-b-c", "^!", "[ take ]", "-(a,|)"]
    assert [(one.time, one.value) for one in drawn.lanes[0].notifications if one.kind is MISSED] == [(3, "b"), (5, "c")]


def test_a_source_that_is_never_subscribed_to_missed_all() -> None:
    (first, second, _) = diagram(reactivex.concat, "-a-", "b-c|").lanes
    assert kinds(first) == [SUBSCRIBED, NEXT]
    assert kinds(second) == [MISSED, MISSED]


def test_a_source_subscribed_to_later_misses_from_there() -> None:
    second = diagram(lambda a, b: reactivex.concat(a, b.pipe(ops.take(1))), "--|", "-b-c|").lanes[1]
    assert [(one.time, one.kind) for one in second.notifications] == [
        (2, SUBSCRIBED),
        (3, NEXT),
        (3, DISPOSED),
        (5, MISSED),
    ]


def test_a_source_subscribed_to_twice_at_once_has_two_lanes_above_the_box() -> None:
    drawn = diagram(lambda s: reactivex.merge(s, s.pipe(ops.take(1))), "-a-b-|")
    assert [type(row) for row in drawn.rows] == [Lane, Lane, Operator, Lane]
    assert [kinds(lane)[-1] for lane in drawn.lanes] == [COMPLETED, MISSED, COMPLETED]


def test_a_source_subscribed_to_again_has_one_lane() -> None:
    drawn = diagram(ops.repeat(2), "-a|")
    assert kinds(drawn.lanes[0]) == [SUBSCRIBED, NEXT, COMPLETED] * 2


def test_an_error_in_an_operator_is_its_result() -> None:
    drawn = diagram(ops.map(lambda x: 1 // x), "-1-0-1|")
    assert kinds(drawn.lanes[0]) == [SUBSCRIBED, NEXT, NEXT, DISPOSED, MISSED]
    assert isinstance(drawn.lanes[1].notifications[-1].value, ZeroDivisionError)


def test_an_error_of_a_source_is_the_one_that_is_given() -> None:
    error = OSError("gone")
    drawn = diagram(ops.retry(2), "-a#", error=error)
    assert [one.value for one in drawn.lanes[0].notifications if one.kind is ERROR] == [error, error]


def test_marbles_stand_for_what_the_table_says() -> None:
    assert diagram(ops.map(len), "-a|", lookup={"a": [1, 2]}).lanes[1].notifications[1].value == 2


def test_a_character_takes_the_timespan() -> None:
    drawn = diagram(ops.delay(0.5), "-a|", timespan=0.5)
    assert [one.time for one in drawn.lanes[1].notifications] == [0, 1, 1.5]
    assert diagram(ops.map(str), "---", timespan=0.5).end == 1


def test_an_endless_result_stops_at_twice_its_source_and_ten_characters() -> None:
    assert diagram(lambda s: reactivex.interval(1), "--|").lanes[1].notifications[-1].time == 16
    assert diagram(reactivex.interval(1)).lanes[0].notifications[-1].time == 10


def test_it_stops_when_it_is_told_to() -> None:
    assert diagram(reactivex.interval(1), until=3).end == 3


@pytest.mark.parametrize(
    "endless",
    [
        reactivex.repeat_value(1),
        reactivex.range(20_000),
        reactivex.interval(0.0001),
        reactivex.of(1).pipe(ops.repeat()),
    ],
)
def test_more_than_10_000_values_are_too_many(endless: Observable[int]) -> None:
    with pytest.raises(ValueError, match=r"emitted more than 10,000 values; end it earlier, with ops\.take or until="):
        diagram(endless)


def test_observables_that_come_out_are_subscribed_to_and_are_inner_lanes() -> None:
    drawn = diagram(ops.group_by(lambda x: x % 2), "-1-2-3|")
    assert [(lane.name, lane.depth, lane.begins) for lane in drawn.lanes] == [
        ("", 0, 0),
        ("", 0, 0),
        ("1", 1, 1),
        ("0", 1, 3),
    ]
    assert [(one.time, one.value) for one in drawn.lanes[2].notifications if one.kind is NEXT] == [(1, 1), (5, 3)]


# cold.


def test_a_cold_observable_is_an_inner_lane_under_the_value_that_caused_it() -> None:
    outer, first, second, _ = diagram(ops.flat_map(lambda x: cold("-x|", {"x": x})), "-a---b|").lanes
    assert [(lane.depth, lane.begins) for lane in (outer, first, second)] == [(0, 0), (1, 1), (1, 5)]
    assert [one.value for one in second.notifications] == [None, "b", None]


def test_a_cold_observable_that_comes_out_has_one_lane() -> None:
    drawn = diagram(ops.map(lambda x: cold("-x|")), "-a|")
    assert [lane.depth for lane in drawn.lanes] == [0, 0, 1]


def test_a_cold_observable_that_no_value_brought_is_beside_the_sources() -> None:
    drawn = diagram(ops.concat(cold("-b|")), "-a|")
    assert [type(row) for row in drawn.rows] == [Lane, Lane, Operator, Lane]


def test_outside_of_a_diagram_it_is_an_observable_as_any_other() -> None:
    came: list[str] = []
    cold("(a,b,|)").subscribe(came.append, scheduler=VirtualTimeScheduler())
    assert came == []  # until the time has come
    cold("(a,b,|)").subscribe(came.append, scheduler=(scheduler := VirtualTimeScheduler()))
    scheduler.start()
    assert came == ["a", "b"]


def test_a_cold_observable_has_a_timespan_of_its_own() -> None:
    (lane,) = record(cold("-a|", timespan=0.5), 10).diagram().lanes[:1]
    assert [one.time for one in lane.notifications] == [0, 0.5, 1]


def test_cold_marbles_that_are_none_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="a group is opened by"):
        cold("-(a")


def test_a_recording_ends_where_it_is_told_to() -> None:
    timeline = record(reactivex.interval(1), 3)
    assert isinstance(timeline, Timeline)
    assert [one.time for one in timeline.diagram().lanes[0].notifications] == [0, 1, 2, 3]


# The boxes.


def test_the_box_has_the_operators_text() -> None:
    assert labels(diagram(ops.map(str.upper), "-a|")) == ["ops.map(str.upper)"]


def test_a_text_over_several_lines_is_one_line() -> None:
    drawn = diagram(
        ops.filter(
            lambda x: x != "é",  # not this one
        ),
        "-a|",
    )
    assert labels(drawn) == ["ops.filter(lambda x: x != 'é')"]


def test_what_is_before_and_behind_it_may_be_wide() -> None:
    both = ("é日本", diagram(ops.map(lambda x: x + "日本"), "-a|"), "é")
    assert labels(both[1]) == ['ops.map(lambda x: x + "日本")']


def test_the_spaces_inside_of_a_text_are_kept() -> None:
    assert labels(diagram(ops.map(lambda x: x + "a  b"), "-a|")) == ["ops.map(lambda x: x + 'a  b')"]


def test_an_argument_may_go_on_in_the_next_line() -> None:
    drawn = diagram(
        ops.map(str)
        if SUBSCRIBED
        else ops.map(len),
        "-a|",
    )  # fmt: skip
    assert labels(drawn) == ["ops.map(str) if SUBSCRIBED else ops.map(len)"]


def test_a_call_inside_of_others_is_found() -> None:
    def nested() -> list[str]:
        return (lambda: labels(diagram(ops.map(str), "-a|", until=len(str(ops.map(len))))))()

    assert nested() == ["ops.map(str)"]


def test_a_list_that_is_in_a_variable_has_its_name_in_the_first_box() -> None:
    steps = [ops.map(str), ops.take(1)]
    assert labels(diagram(steps, "-a|"))[0] == "steps"
    assert len(diagram(steps, "-a|").lanes) == 3


def test_what_is_given_by_keyword_or_unpacked_has_its_own_name() -> None:
    case: list[Any] = [ops.map(str), "-a|"]
    assert labels(diagram(*case)) == ["map"]
    assert labels(diagram(operator=reactivex.never())) == ["operator"]
    assert labels(diagram(operator=lambda: reactivex.never())) == ["<lambda>"]


def test_where_there_is_no_source_it_has_its_own_name() -> None:
    found: dict[str, Any] = {"diagram": diagram, "ops": ops, "upper": upper}
    exec("shown = diagram(upper, '-a|'), diagram([ops.map(str), ops.take(1)], '-a|')", found)
    assert [labels(each) for each in found["shown"]] == [["upper"], ["map", "take"]]


@pytest.mark.parametrize(
    ("label", "written"), [("mine", ["mine"]), (["one", "two"], ["one", "two"]), (["one"], ["one"])]
)
def test_a_label_may_be_given(label: Any, written: list[str]) -> None:
    steps: list[Callable[..., Any]] = [ops.map(str), ops.take(1)]
    assert labels(diagram(steps, "-a|", label=label)) == written


@pytest.mark.parametrize("now", ["shown = other(\n", "é" * 40 + "\n"])
def test_where_the_source_has_changed_it_has_its_own_name(now: str) -> None:
    found: dict[str, Any] = {"diagram": diagram, "upper": upper}
    linecache.cache["changed.py"] = (len(now), None, [now], "changed.py")
    exec(compile("_shown_ = diagram(upper, '-a|')", "changed.py", "exec"), found)
    assert labels(found["_shown_"]) == ["upper"]


def test_where_python_keeps_no_columns_it_has_its_own_name() -> None:
    code = "from rxecho.marbles import diagram; from reactivex import operators as o; print(diagram(o.first(), '-a|'))"
    command = [sys.executable, "-X", "no_debug_ranges", "-c", code]
    assert "[ first ]" in subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_parts_of_what_is_written_out() -> None:
    assert parts("(ops.first(),)", [ops.first()]) == ["ops.first()"]
    assert parts("ops.first(), ops.last()", [1, 2]) == ["ops.first()", "ops.last()"]
    assert parts("[a, *b]", [1, 2, 3]) == ["[a, *b]"]
    with pytest.raises(SyntaxError):
        parts("ops.", 1)


# Mistakes.


@pytest.mark.parametrize(
    ("operator", "sources", "says"),
    [
        (1, ["-a|"], "an operator is a function from an observable to an observable, not a int"),
        (ops.map, ["-a|"], "called with 1 source, the operator returned a function instead of an observable"),
        (lambda *_: 1, ["-a|", "-b|"], "called with 2 sources, the operator returned a int instead of an observable"),
        (ops.map(str), [], "the operator takes a source, and none is given: write one such as '-a-b-|'"),
    ],
)
def test_what_is_no_operator_is_a_type_error(operator: Any, sources: list[str], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        diagram(operator, *sources)


def test_marbles_that_are_none_are_told_with_their_number() -> None:
    with pytest.raises(ValueError, match=r"^source 2, '-\(a': a group is opened by"):
        diagram(reactivex.merge, "-a|", "-(a")


@pytest.mark.parametrize("timespan", [0, -1])
def test_a_timespan_is_positive(timespan: float) -> None:
    with pytest.raises(ValueError, match="a timespan is more than 0 seconds, not"):
        diagram(ops.map(str), "-a|", timespan=timespan)


def test_what_raises_in_a_function_of_the_sources_comes_through() -> None:
    def refuse(_: Observable[str]) -> Observable[str]:
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        diagram(refuse, "-a|")
