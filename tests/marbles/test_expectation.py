"""What a stream should have done: quietly where it did, and drawn where it did not."""

from __future__ import annotations

import re
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler

from rxecho.marbles import Kind, Lane, MarbleDiagram, Mismatch, Notification, Timeline, cold, diagram, expect
from rxecho.marbles.virtual import record

N = Notification


def failure(actual: Any, marbles: str, *arguments: Any, **options: Any) -> str:
    with pytest.raises(AssertionError) as raised:
        expect(actual, marbles, *arguments, **options)
    return str(raised.value)


@pytest.mark.parametrize(
    ("actual", "marbles"),
    [
        (reactivex.timer(2), "--(0,|)"),
        (cold("-a--(b,c)-|"), "-a--(b,c)-|"),
        (cold("-a-#"), "-a-#"),
        (reactivex.never(), "---"),
        (reactivex.empty(), "|"),
    ],
)
def test_it_passes_quietly(actual: Observable[Any], marbles: str) -> None:
    expect(actual, marbles)


def test_marbles_stand_for_what_the_table_says() -> None:
    expect(cold("-a|", {"a": [1]}), "-b|", {"b": [1]})


def test_what_failed_is_drawn_with_the_first_difference_marked() -> None:
    said, nothing, expected, actual, mark, axis = failure(cold("-a--c-|"), "-a--b-|").splitlines()
    assert said == "at 4 s, expected 'b', but got 'c'"
    assert nothing == ""
    assert re.fullmatch("expected ├─+a─+b─+┤", expected)
    assert re.fullmatch("actual   ├─+a─+c─+┤", actual)
    assert mark.index("▲") == expected.rindex("b") == actual.rindex("c")
    assert axis.split()[0] == "╵0"


@pytest.mark.parametrize(
    ("actual", "marbles", "says"),
    [
        ("-a-|", "-b-|", "at 1 s, expected 'b', but got 'a'"),
        ("-a-|", "--a|", "at 1 s, expected nothing before 'a' at 2 s, but got 'a'"),
        ("--b|", "-a-|", "at 1 s, expected 'a', but the next to come was 'b' at 2 s"),
        ("-a-|", "-a--|", "at 3 s, expected nothing before completion at 4 s, but got completion"),
        ("-a-|", "-a--", "at 3 s, expected nothing more, but got completion"),
        ("-a-", "-a-|", "at 3 s, expected completion, but got nothing more"),
        ("-a-#", "-a-|", "at 3 s, expected completion, but got the error Exception('error')"),
        ("-a-1", "-a-#", "at 3 s, expected the error Exception('error'), but got 1"),
        ("", "|", "at 0 s, expected completion, but got nothing more"),
    ],
)
def test_it_says_what_was_expected_and_what_came(actual: str, marbles: str, says: str) -> None:
    for stream in (cold(actual), record(cold(actual), 20), record(cold(actual), 20).diagram()):
        assert failure(stream, marbles).splitlines()[0] == says


@pytest.mark.parametrize("marbles", ["-a-b-c--|", "-(a,b)--c|", "--a-b-c-|", "-a-b|"])
def test_the_mark_is_under_the_first_difference(marbles: str) -> None:
    _, _, expected, actual, mark, _ = failure(cold("-a-b-d--|"), marbles).splitlines()
    place = mark.index("▲")
    assert expected[9:place] == actual[9:place]
    assert expected[place:] != actual[place:]


def test_of_an_observable_what_comes_out_of_it_is_meant_and_not_what_goes_in() -> None:
    upper = cold("-a-|").pipe(ops.map(str.upper))
    expect(upper, "-A-|")
    assert failure(upper, "-a-|").startswith("at 1 s, expected 'a', but got 'A'\n")
    assert len(record(upper, 9).diagram().lanes) == 1


def test_the_failure_holds_the_difference_and_the_diagram_of_both() -> None:
    with pytest.raises(Mismatch) as raised:
        expect(cold("-a-c|"), "-a-b|")
    assert raised.value.what == "at 3 s, expected 'b', but got 'c'"
    assert raised.value.diagram.mark == 3
    assert str(raised.value.diagram.to_marbles(1)) == "expected: -a-b|\nactual:   -a-c|"


def test_any_error_will_do_unless_one_is_given() -> None:
    failed: Observable[str] = reactivex.throw(OSError("gone"))
    expect(failed, "#")
    expect(failed, "#", error=OSError("gone"))
    assert failure(failed, "#", error=OSError("other")).startswith(
        "at 0 s, expected the error OSError('other'), but got the error OSError('gone')\n"
    )


def test_an_endless_observable_is_run_for_a_while() -> None:
    assert failure(reactivex.interval(1), "-0").startswith("at 2 s, expected nothing more, but got 1\n")


def test_times_count_from_the_subscription_and_are_rounded_to_the_character() -> None:
    happened = [N(0.513, Kind.SUBSCRIBED), N(0.618, Kind.NEXT, "a"), N(0.806, Kind.COMPLETED)]
    slow = MarbleDiagram((Lane("", tuple(happened)),), end=1)
    expect(slow, "-a-|", timespan=0.1)
    assert failure(slow, "--a|", timespan=0.1).startswith(
        "at 0.105 s, expected nothing before 'a' at 0.2 s, but got 'a'\n"
    )


def test_the_last_lane_that_is_no_inner_one_is_meant() -> None:
    expect(diagram(ops.map(str.upper), "-a|"), "-A|")
    outer = diagram(ops.map(lambda x: cold("-x|")), "-a|")
    assert outer.lanes[-1].depth == 1
    assert "an observable" in failure(outer, "--|")


def test_a_lane_may_be_meant_by_its_name() -> None:
    scheduler = VirtualTimeScheduler()
    timeline = Timeline(scheduler)
    cold("-a|").pipe(timeline.trace("source"), ops.map(str.upper), timeline.trace("result")).subscribe(  # type: ignore[misc]
        scheduler=scheduler
    )
    scheduler.advance_to(9)
    expect(timeline, "-a|", lane="source")
    expect(timeline, "-A|", lane="result")
    expect(timeline, "-A|")
    with pytest.raises(ValueError, match="there is no lane 'other'; there are: 'source', 'result'"):
        expect(timeline, "-A|", lane="other")


@pytest.mark.parametrize(
    ("wrong", "kind"), [(ops.map(str), "a function: is cold"), (["a"], "list"), (None, "NoneType"), ("-a-|", "str")]
)
def test_what_is_no_observable_is_refused(wrong: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=f"an observable, a Timeline or a MarbleDiagram, not {kind}"):
        expect(wrong, "-a-|")


def test_a_timeline_without_a_lane_cannot_be_meant() -> None:
    with pytest.raises(ValueError, match=r"^there is no lane$"):
        expect(Timeline(), "-a|")


def test_a_lane_on_which_nothing_happened_did_nothing() -> None:
    timeline = Timeline()
    timeline.trace()
    expect(timeline, "---")
    assert failure(timeline, "-a").startswith("at 1 s, expected 'a', but got nothing more\n")


def test_missed_values_did_not_come() -> None:
    source = diagram(ops.take(1), "-a-b|").lanes[0]
    assert source.notifications[-1].kind is Kind.MISSED
    expect(MarbleDiagram((source,), end=4), "-a")


def test_marbles_that_are_none_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="a comma separates"):
        expect(reactivex.never(), "-a,b")


def test_values_that_command_a_terminal_are_escaped() -> None:
    told = failure(cold("-a|", {"a": "\x1b[31m"}), "-b|")
    assert "'\\x1b[31m'" in told
    assert "\x1b" not in told


def test_a_comparison_that_raises_is_a_difference() -> None:
    def refuse(*_: object) -> bool:
        raise RuntimeError("ambiguous")

    value = type("Array", (), {"__eq__": refuse, "__hash__": None, "__repr__": lambda _: "array"})()
    expect(cold("-a|", {"a": value}), "-a|", {"a": value})
    assert failure(cold("-a|", {"a": value}), "-a|").startswith("at 1 s, expected 'a', but got array\n")
