"""What a diagram holds: when two notifications, lanes and diagrams are equal, and how a diagram shows itself."""

from __future__ import annotations

import io
from dataclasses import FrozenInstanceError, replace

import pytest
from rich.console import Console

from rxecho.marbles import Kind, Lane, MarbleDiagram, Notification, Operator

A = Notification(1.0, Kind.NEXT, "a")


class Ambiguous:
    """Compares as an array does: to something that is neither true nor false."""

    def __eq__(self, other: object) -> Ambiguous:  # type: ignore[override]
        return self

    def __bool__(self) -> bool:
        raise ValueError("the truth value is ambiguous")

    __hash__ = None  # type: ignore[assignment]


def test_notifications_are_equal_within_a_microsecond() -> None:
    assert Notification(1.0000004, Kind.NEXT, "a") == A
    assert Notification(1.000001, Kind.NEXT, "a") != A


def test_notifications_differ_by_kind_and_value() -> None:
    assert Notification(1.0, Kind.MISSED, "a") != A
    assert Notification(1.0, Kind.NEXT, "b") != A


def test_equal_notifications_have_one_hash() -> None:
    assert len({A, Notification(1.0000001, Kind.NEXT, "a"), Notification(1.0, Kind.NEXT, ["a"])}) == 2


@pytest.mark.parametrize(
    ("error", "other", "equal"),
    [
        (ValueError("no"), ValueError("no"), True),
        (ValueError("no"), ValueError("yes"), False),
        (ValueError("no"), TypeError("no"), False),
        (ValueError("no"), "no", False),
    ],
)
def test_errors_are_equal_when_they_are_of_one_type_and_say_the_same(
    error: Exception, other: object, equal: bool
) -> None:
    assert (Notification(0, Kind.ERROR, error) == Notification(0, Kind.ERROR, other)) is equal


def test_a_value_that_cannot_be_compared_equals_itself_only() -> None:
    value = Ambiguous()
    assert Notification(0, Kind.NEXT, value) == Notification(0, Kind.NEXT, value)
    assert Notification(0, Kind.NEXT, value) != Notification(0, Kind.NEXT, Ambiguous())


@pytest.mark.parametrize(
    "change", [{"name": "b"}, {"notifications": ()}, {"depth": 1}, {"begins": 1e-5}, {"dropped": 1}]
)
def test_lanes_differ_by_any_of_their_attributes(change: dict[str, object]) -> None:
    lane = Lane("a", (A,))
    assert replace(lane, **change) != lane  # type: ignore[arg-type]


def test_lanes_and_diagrams_compare_their_times_by_the_microsecond() -> None:
    lane, later = Lane("a", (A,), 1, 0.1), Lane("a", (A,), 1, 0.1000001)
    assert lane == later
    assert hash(lane) == hash(later)
    diagram, wider = MarbleDiagram((lane,), end=0.3), MarbleDiagram((later,), start=1e-8, end=0.30000001)
    assert diagram == wider
    assert hash(diagram) == hash(wider)


@pytest.mark.parametrize("change", [{"rows": ()}, {"start": 0.5}, {"end": 2.0}, {"notes": ("note",)}])
def test_diagrams_differ_by_any_of_their_attributes(change: dict[str, object]) -> None:
    diagram = MarbleDiagram((Lane("a", (A,)),), end=1.0)
    assert replace(diagram, **change) != diagram  # type: ignore[arg-type]


def test_neither_is_equal_to_anything_else() -> None:
    assert Notification.__eq__(A, (1.0, Kind.NEXT, "a")) is NotImplemented
    assert Lane() != "lane"
    assert MarbleDiagram() != "diagram"


def test_a_diagram_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        MarbleDiagram().end = 1.0  # type: ignore[misc]


def test_the_lanes_are_the_rows_without_the_operators() -> None:
    first, second = Lane("a"), Lane("b")
    assert MarbleDiagram((first, Operator("map"), second)).lanes == (first, second)


def test_str_writes_it_rich_draws_it_and_a_notebook_shows_svg() -> None:
    diagram = MarbleDiagram.parse("-a-b-|")
    assert str(diagram) == "-a-b-|"
    console = Console(file=io.StringIO(), width=30)
    console.print(diagram)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines()[0].rstrip() == "├────a───────b───────┤"
    assert diagram._repr_mimebundle_()["image/svg+xml"] == diagram.to_svg()
    assert diagram.to_svg(300).startswith('<svg xmlns="http://www.w3.org/2000/svg" class="rxm" viewBox="0 0 300 ')
