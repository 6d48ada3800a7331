"""Marbles as a whole: what is recorded, drawn, written down, read back and expected."""

from __future__ import annotations

import io
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex import GroupedObservable, Observable
from reactivex import operators as ops
from reactivex.subject import Subject
from rich.cells import cell_len
from rich.console import Console

from rxecho.marbles import Kind, Lane, MarbleDiagram, Notification, Operator, Timeline, cold, diagram, expect
from rxecho.marbles.timeline import LIMIT

ROOT = Path(__file__).parent.parent


def rows(drawn: object, width: int = 60, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(drawn)
    return [row.rstrip() for row in capture.get().splitlines()]


def kinds(lane: Lane) -> list[Kind]:
    return [one.kind for one in lane.notifications]


# Recording.


def test_trace_changes_nothing() -> None:
    received: list[object] = []
    error = ValueError("no")
    source = reactivex.concat(reactivex.of(1, 2), reactivex.throw(error))
    source.pipe(Timeline().trace("source")).subscribe(received.append, received.append)
    assert received == [1, 2, error]


def test_it_notes_both_ends_of_a_subscription() -> None:
    timeline = Timeline()
    subject: Subject[int] = Subject()
    with subject.pipe(timeline.trace("left")).subscribe():
        subject.on_next(1)
    reactivex.of(2).pipe(timeline.trace("completed")).run()
    left, completed = timeline.diagram().lanes
    assert kinds(left) == [Kind.SUBSCRIBED, Kind.NEXT, Kind.DISPOSED]
    assert kinds(completed) == [Kind.SUBSCRIBED, Kind.NEXT, Kind.COMPLETED]


def test_a_lane_keeps_the_newest_10_000_and_the_drawing_says_what_was_dropped() -> None:
    timeline = Timeline()
    reactivex.range(LIMIT + 5).pipe(timeline.trace("many")).subscribe()
    (lane,) = timeline.diagram().lanes
    assert len(lane.notifications) == LIMIT
    assert lane.dropped == 7
    assert rows(timeline)[-1] == "many: 7 earlier notifications are not kept"
    assert "many: 7 earlier notifications are not kept" in timeline.to_svg()


def test_threads_may_record_while_another_draws() -> None:
    timeline = Timeline()
    subjects: list[Subject[int]] = [Subject() for _ in range(4)]
    for number, subject in enumerate(subjects):
        subject.pipe(timeline.trace(f"lane {number}")).subscribe()
    threads = [Thread(target=lambda s=s: [s.on_next(n) for n in range(5_000)]) for s in subjects]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert len(rows(timeline)) == 5
    for thread in threads:
        thread.join()
    assert [len(lane.notifications) for lane in timeline.diagram().lanes] == [5_001] * 4


def test_subscriptions_at_the_same_time_have_a_lane_each() -> None:
    timeline = Timeline()
    subject: Subject[int] = Subject()
    traced = subject.pipe(timeline.trace("shared"))
    with traced.subscribe(), traced.subscribe():
        subject.on_next(1)
    assert [lane.name for lane in timeline.diagram().lanes] == ["shared", "shared"]


def test_a_group_keeps_its_key_and_becomes_an_inner_lane() -> None:
    timeline = Timeline()
    keys: list[object] = []

    def listen(group: Observable[int]) -> None:
        assert isinstance(group, GroupedObservable)
        keys.append(group.key)
        group.subscribe()

    groups: Observable[Any] = reactivex.of(1, 2, 3).pipe(ops.group_by(lambda n: n % 2))
    groups.pipe(timeline.trace("groups")).subscribe(listen)
    assert keys == [1, 0]
    assert [(lane.name, lane.depth) for lane in timeline.diagram().lanes] == [("groups", 0), ("1", 1), ("0", 1)]


def test_a_trace_inside_of_flat_map_is_an_inner_lane_of_who_emitted() -> None:
    timeline = Timeline()
    answers: Observable[Any] = reactivex.of("a", "b").pipe(
        timeline.trace("outer"), ops.flat_map(lambda x: reactivex.of(x).pipe(timeline.trace(x)))
    )
    answers.run()
    assert [(lane.name, lane.depth) for lane in timeline.diagram().lanes] == [("outer", 0), ("a", 1), ("b", 1)]


# Drawing.


def test_inner_streams_branch_where_they_begin() -> None:
    drawn = rows(diagram(ops.flat_map(lambda x: cold("x-x|", {"x": x})), "-a---b--|"), width=50)
    outer, first, second = drawn[:3]
    assert outer.index("a") == first.index("a") == first.index("╰") + 1
    assert outer.index("b") == second.index("b") == second.index("╰") + 1


@pytest.mark.parametrize("width", [60, 100, 160])
def test_what_is_under_each_other_happened_at_the_same_time(width: int) -> None:
    source, *_, result, _axis = rows(diagram(ops.map(str.upper), "-a--b-c---d|"), width)
    assert [source.index(letter) for letter in "abcd"] == [result.index(letter) for letter in "ABCD"]


def test_the_ends_are_told_apart_without_colour() -> None:
    completed = rows(MarbleDiagram.parse("-a|"))[0]
    failed = rows(MarbleDiagram.parse("-a#"))[0]
    disposed = rows(MarbleDiagram.parse("-a-b\n^-!"))[0]
    goes_on = rows(MarbleDiagram.parse("-a-"))[0]
    assert [row.rstrip()[-1] for row in (completed, failed, goes_on)] == ["┤", "✕", "▸"]
    assert "╎" in disposed


def test_what_would_overlap_is_counted() -> None:
    at_once = tuple(Notification(1.0, Kind.NEXT, number) for number in range(48))
    drawing = MarbleDiagram((Lane("many", at_once),), end=2.0)
    assert "×48" in rows(drawing, 40)[0]  # noqa: RUF001
    assert "×48" in drawing.to_svg()  # noqa: RUF001


@given(st.integers(1, 90), st.lists(st.tuples(st.integers(0, 60), st.text(max_size=8)), max_size=40))
def test_no_drawing_is_wider_than_its_terminal_and_none_reorders(width: int, marbles: list[tuple[int, str]]) -> None:
    times = sorted(time for time, _ in marbles)
    values = [text for _, text in marbles]
    happened = [Notification(time / 10, Kind.NEXT, value) for time, value in zip(times, values, strict=True)]
    drawn = rows(MarbleDiagram((Lane("lane", tuple(happened)),), end=6.0), width)
    assert all(cell_len(row) <= width for row in drawn)


def test_ascii_is_enough() -> None:
    drawn = "\n".join(rows(diagram(ops.group_by(len), "-a-bb-c-|"), encoding="ascii"))
    assert drawn.isascii()


def test_control_characters_and_markup_are_shown_and_obeyed_nowhere() -> None:
    timeline = Timeline()
    reactivex.of("\x1b[31m", "</svg><script>", "[bold]").pipe(timeline.trace("\x1b]0;x\x07")).subscribe()
    assert "\x1b" not in "\n".join(rows(timeline, 100)) + timeline.to_svg()
    assert "<script" not in timeline.to_svg()


def test_svg_is_well_formed_tells_every_value_and_has_no_script() -> None:
    drawn = MarbleDiagram.parse("-a-b-|", {"a": "x" * 500, "b": "<&\ufffe\x00]]>"}).to_svg()
    root = ET.fromstring(drawn)
    titles = [title.text or "" for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert any("x" * 500 in title for title in titles)
    assert root.get("role") == "img"
    assert "b" in (root.get("aria-label") or "")
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert "prefers-color-scheme:dark" in drawn


def test_the_same_diagram_gives_the_same_bytes_in_another_process() -> None:
    program = "from rxecho.marbles import MarbleDiagram; print(MarbleDiagram.parse('-a-(b,c)-#').to_svg(), end='')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == MarbleDiagram.parse("-a-(b,c)-#").to_svg()


def test_the_page_of_operators_is_what_its_script_makes_today() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import gallery
    finally:
        sys.path.remove(str(ROOT / "docs"))
    assert len(gallery.written()) > 40
    for name, text in gallery.written().items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, name


# Text, both ways.

VALUES = st.one_of(
    st.text(max_size=6),
    st.integers(),
    st.floats(allow_nan=False),
    st.none(),
    st.binary(max_size=4),
    st.lists(st.integers()),
)


@st.composite
def lanes(draw: st.DrawFn) -> Lane:
    """A lane of some subscriptions, one after the other."""
    time, happened = 0, []
    for _ in range(draw(st.integers(0, 3))):
        time += draw(st.integers(0, 9))
        happened.append(Notification(time / 10, Kind.SUBSCRIBED))
        for value in draw(st.lists(VALUES, max_size=4)):
            time += draw(st.integers(0, 9))
            happened.append(Notification(time / 10, Kind.NEXT, value))
        time += draw(st.integers(0, 9))
        end = draw(st.sampled_from([Kind.COMPLETED, Kind.ERROR, Kind.DISPOSED]))
        happened.append(Notification(time / 10, end, OSError("gone") if end is Kind.ERROR else None))
    return Lane(draw(st.sampled_from(["", "stream", "map(upper)"])), tuple(happened))


@given(st.lists(lanes(), max_size=4))
def test_what_is_written_reads_back_equal(written: list[Lane]) -> None:
    end = max((one.time for lane in written for one in lane.notifications), default=0.0)
    original = MarbleDiagram(tuple(written), end=end)
    assert original.to_marbles().diagram() == original


def test_a_written_diagram_is_read_and_written_the_same() -> None:
    text = "-a---b--|\n -1-2|\n     -3|\n[ flat_map ]\n--1-2-3-|"
    assert str(MarbleDiagram.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-a,b|", "line 1 of the diagram, '-a,b|': a comma separates what is in a group"),
        ("-(a|", "a group is opened by"),
        ("-a|\n   -b|", "line 2 of the diagram"),
        ("[ map ]", "the diagram has no observable"),
    ],
)
def test_a_mistake_in_a_diagram_is_told_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        MarbleDiagram.parse(text)
    assert said in str(raised.value)


# Running, and expecting.


def test_the_box_has_the_operators_own_source_text() -> None:
    drawn = diagram(
        [ops.map(str.upper), ops.take(1)],
        "-a-b|",
    )
    boxes = [row.label for row in drawn.rows if isinstance(row, Operator)]
    assert boxes == ["ops.map(str.upper)", "ops.take(1)"]


def test_what_a_source_was_not_asked_for_is_missed() -> None:
    source = diagram(ops.take(1), "-a-b|").lanes[0]
    assert kinds(source) == [Kind.SUBSCRIBED, Kind.NEXT, Kind.DISPOSED, Kind.MISSED]


def test_several_sources_go_to_a_function_of_them_or_to_what_makes_an_operator() -> None:
    one = diagram(ops.merge, "-a--|", "--b|").lanes[-1]
    other = diagram(reactivex.merge, "-a--|", "--b|").lanes[-1]
    assert one == other


@pytest.mark.parametrize(("operator", "sources"), [(3, ["-a|"]), (ops.map, ["-a|"]), (ops.take(1), [])])
def test_what_is_no_operator_is_a_type_error(operator: object, sources: list[str]) -> None:
    with pytest.raises(TypeError):
        diagram(operator, *sources)  # type: ignore[arg-type]


def test_an_operator_that_does_not_end_is_stopped() -> None:
    with pytest.raises(ValueError, match="more than 10,000"):
        diagram(lambda source: source.pipe(ops.flat_map(lambda _: reactivex.range(20_000))), "-a|")


def test_expect_passes_quietly_or_draws_both_with_the_first_difference_marked() -> None:
    timeline = Timeline()
    reactivex.of("a").pipe(timeline.trace("stream")).subscribe()
    expect(timeline, "(a,|)", timespan=10)
    expect(reactivex.timer(1, 2).pipe(ops.take(2)), "-0-(1,|)")
    expect(reactivex.throw(OSError("gone")), "#")
    with pytest.raises(AssertionError) as raised:
        expect(reactivex.timer(2), "--1|")
    said = str(raised.value).splitlines()
    assert said[0] == "at 2 s, expected 1, but got 0"
    expected, actual, mark = said[2:5]
    assert expected.index("1") == actual.index("0") == mark.index("▲")


def test_expect_wants_a_lane_that_is_there() -> None:
    timeline = Timeline()
    timeline.trace("stream")
    with pytest.raises(ValueError, match="there is no lane 'x'; there are: 'stream'"):
        expect(timeline, "-a|", lane="x")


def test_what_has_no_repr_of_its_own_is_not_told_by_its_address() -> None:
    assert str(diagram(ops.materialize(), "-a|")).splitlines()[-2:] == ["b = OnNext(a)", "c = OnCompleted()"]
    assert "<object>" in rows(diagram(ops.map(lambda _: object()), "-a|"))[-2]


def test_a_cold_observable_that_no_value_brought_is_beside_the_sources() -> None:
    drawn = diagram(ops.sample(cold("---x---x")), "-a-b---c-|").rows
    assert [isinstance(row, Operator) for row in drawn] == [False, False, True, False]
