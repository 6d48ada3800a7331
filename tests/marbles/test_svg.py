"""A diagram as SVG: well-formed whatever is in it, the same bytes each time, and told in words."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import snapshots
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import operators as ops
from strategies import diagrams

from rxecho.marbles import Kind, Lane, MarbleDiagram, Notification, Operator, diagram
from rxecho.marbles.labels import full

NEXT, COMPLETED, ERROR, SUBSCRIBED, DISPOSED, MISSED = Kind
N = Notification

DIAGRAMS = snapshots.diagrams()
SVG = "{http://www.w3.org/2000/svg}"
NASTY = [
    "\ufffe",
    "\uffff",
    "\ud800",
    "\x00\x08\x1b\x7f\x85",
    "]]>",
    "</svg>",
    "<script>x</script>",
    "&amp;\"'",
    "<!--",
]


def lane(*happened: Notification, **attributes: Any) -> Lane:
    return Lane(notifications=(N(0, SUBSCRIBED), *happened), **attributes)


def root(diagram: MarbleDiagram, width: int = 760) -> ET.Element:
    return ET.fromstring(diagram.to_svg(width))


def titles(diagram: MarbleDiagram) -> list[str]:
    return [title.text or "" for title in root(diagram).iter(f"{SVG}title")]


def written(diagram: MarbleDiagram) -> list[str]:
    return [text.text or "" for text in root(diagram).iter(f"{SVG}text")]


def classes(diagram: MarbleDiagram) -> set[str]:
    return {name for element in root(diagram).iter() for name in element.get("class", "").split()}


@pytest.mark.parametrize("name", DIAGRAMS)
def test_it_looks_as_it_did(name: str) -> None:
    kept = (snapshots.DIRECTORY / f"{name}.svg").read_text(encoding="utf-8")
    assert DIAGRAMS[name].to_svg() == kept


def test_no_snapshot_is_left_over() -> None:
    assert sorted(path.name for path in snapshots.DIRECTORY.iterdir()) == sorted(name for name, _ in snapshots.files())


@settings(max_examples=60)
@given(diagrams(), st.integers(200, 2000))
def test_it_is_xml_without_script_and_without_identifiers(diagram: MarbleDiagram, width: int) -> None:
    for element in root(diagram, width).iter():
        assert element.tag != f"{SVG}script"
        assert not [name for name in element.attrib if name == "id" or name.startswith("on") or "href" in name]


@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_it_shows_is_taken_for_a_part_of_it(text: str) -> None:
    nasty = MarbleDiagram(
        (
            lane(N(1, NEXT, text), N(2, NEXT, [text]), N(3, ERROR, ValueError(text)), name=text),
            Operator(text),
            lane(*(N(1, NEXT, text),) * 9, name=text),
        ),
        end=3,
        notes=(text,),
    )
    drawing = nasty.to_svg()
    plain = MarbleDiagram.parse("-a-|").to_svg()
    assert {element.tag for element in root(nasty).iter()} == {element.tag for element in ET.fromstring(plain).iter()}
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", drawing)
    assert drawing.encode("utf-8")


def test_the_same_diagram_gives_the_same_bytes_in_any_process() -> None:
    code = (
        "from rxecho.marbles import MarbleDiagram; import sys;"
        "sys.stdout.write(MarbleDiagram.parse('-a-(b,c)-|\\n[ x ]\\n-d-#', {'b': {'k', 'l'}, 'c': object}).to_svg())"
    )
    drawings = {
        subprocess.run(
            [sys.executable, "-X", "utf8", "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(drawings) == 1


def test_a_tooltip_holds_the_full_value() -> None:
    value = "a long value " * 20
    assert f"{full(value)} at 1 s" in titles(MarbleDiagram((lane(N(1, NEXT, value)),), end=2))


def test_tooltips_tell_what_happened_and_when() -> None:
    happened = (N(1, NEXT, "a"), N(2.5, DISPOSED), N(3, MISSED, "b"))
    assert titles(MarbleDiagram((lane(*happened),), end=3)) == [
        "subscribed at 0 s",
        "disposed at 2.5 s",
        "'a' at 1 s",
        "'b', not emitted: disposed of before at 3 s",
    ]
    failed = MarbleDiagram((lane(N(1, ERROR, ValueError("no"))),), end=2)
    assert titles(failed)[1] == "error ValueError('no') at 1 s"
    assert "ValueError: no" in written(failed)


def test_values_of_one_time_are_fanned_and_more_than_four_are_counted() -> None:
    together = [N(1, NEXT, letter) for letter in "abcde"]
    assert set("abcd") <= set(written(MarbleDiagram((lane(*together[:4]),), end=2)))
    counted = MarbleDiagram((lane(*together),), end=2)
    assert "\N{MULTIPLICATION SIGN}5" in written(counted)
    assert "5 values, 1 s to 1 s:\n'a'\n'b'\n'c'\n'd'\n'e'" in titles(counted)


def test_a_count_lists_the_first_twenty_values() -> None:
    (told,) = (
        title for title in titles(MarbleDiagram((lane(*(N(1, NEXT, n) for n in range(48))),), end=2)) if "val" in title
    )
    assert told.splitlines() == ["48 values, 1 s to 1 s:", *map(str, range(20)), "…"]


def test_fanned_marbles_are_from_top_to_bottom_and_as_high_as_there_are() -> None:
    drawing = MarbleDiagram((lane(*(N(1, NEXT, letter) for letter in "abc")),), end=2)
    heights = [int(each.get("y", "0")) for group in root(drawing).iter(f"{SVG}g") for each in group.iter(f"{SVG}rect")]
    assert len(heights) == 3
    assert heights == sorted(set(heights))


@pytest.mark.parametrize(
    ("kind", "name"), [(ERROR, "error"), (DISPOSED, "disposed"), (COMPLETED, "end"), (NEXT, "arrow")]
)
def test_ends_are_told_apart_without_colour(kind: Kind, name: str) -> None:
    shapes = classes(MarbleDiagram((lane(N(1, kind, Exception("error"))),), end=2))
    assert name in shapes
    assert len(shapes & {"error", "disposed", "arrow"}) == (kind is not COMPLETED)


def test_an_inner_lane_hangs_from_its_marble_and_waits_for_its_subscription() -> None:
    at_once = MarbleDiagram.parse("-a---b-|\n -x-|")
    waiting = MarbleDiagram.parse("-a---b-|\n -x-|\n   ^")
    assert "inner" in classes(at_once)
    assert "waiting" not in classes(at_once)
    assert "waiting" in classes(waiting)


def test_an_inner_lane_that_began_before_the_window_hangs_from_nothing() -> None:
    inner = MarbleDiagram((lane(N(1, NEXT, "a")), Lane("", (N(1, SUBSCRIBED),), 1, 1.0)), start=2, end=3)
    assert "inner" not in classes(inner)


def test_what_is_missing_is_dotted() -> None:
    assert "dropped" in classes(MarbleDiagram((Lane("", (N(1, NEXT, "a"),), dropped=1),), end=2))
    assert "missed" in classes(MarbleDiagram.parse("-a-b-c|\n^-!"))


def test_missed_values_side_by_side_do_not_overlap() -> None:
    happened = [N(n / 1000, MISSED, "b") for n in range(20)]
    assert "\N{MULTIPLICATION SIGN}20" in written(MarbleDiagram((lane(N(0, DISPOSED), *happened),), end=2))


def test_the_whole_is_told_in_words() -> None:
    shown = diagram(ops.as_observable(), "-a-b|", label="ops.as_observable()")
    assert root(shown).get("role") == "img"
    assert root(shown).get("aria-label") == (
        "Marble diagram. row 1, observable: 'a' at 1 s, 'b' at 3 s, completed at 4 s. Operator ops.as_observable(). "
        "row 3, observable: 'a' at 1 s, 'b' at 3 s, completed at 4 s."
    )
    inner = MarbleDiagram((lane(name="a"), Lane("b", (N(0, NEXT, 1),), 1)), end=1)
    assert root(inner).get("aria-label") == "Marble diagram. a, observable: nothing. b, inner observable: 1 at 0 s."


def test_of_a_long_lane_only_the_beginning_is_told_in_words() -> None:
    told = root(MarbleDiagram((lane(*(N(n, NEXT, n) for n in range(100))),), end=100)).get("aria-label", "")
    assert told.endswith("18 at 18 s, and 81 more.")


def test_it_is_for_light_and_dark_pages() -> None:
    drawing = MarbleDiagram.parse("-a-|").to_svg()
    assert "@media (prefers-color-scheme:dark){.rxm{--page:#0d1117" in drawing
    assert "body[data-jp-theme-light=true] .rxm" in drawing
    assert "body[data-jp-theme-light=false] .rxm" in drawing


def test_a_label_has_one_colour_on_all_lanes() -> None:
    fills: dict[str, set[str]] = {}
    for group in root(MarbleDiagram.parse("-a-b-|\n[ map ]\n-b-a-|")).iter(f"{SVG}g"):
        rectangle, text = group.find(f"{SVG}rect"), group.find(f"{SVG}text")
        assert rectangle is not None
        assert text is not None
        fills.setdefault(str(text.text), set()).add(str(rectangle.get("fill")))
    assert [len(colours) for colours in fills.values()] == [1, 1]
    assert fills["a"] != fills["b"]


def test_the_same_time_is_the_same_place_on_all_lanes() -> None:
    places: dict[str, set[str]] = {}
    for group in root(MarbleDiagram.parse("one: -a---b-|\n[ map ]\nother: -a-c-b-|")).iter(f"{SVG}g"):
        rectangle, text = group.find(f"{SVG}rect"), group.find(f"{SVG}text")
        assert rectangle is not None
        assert text is not None
        places.setdefault(str(text.text), set()).add(str(rectangle.get("x")))
    assert [len(found) for found in places.values()] == [1, 1, 1]


def test_a_mark_points_at_its_time() -> None:
    pointing = MarbleDiagram((lane(N(3, NEXT, "a")), lane()), end=10, mark=3)
    [rect] = [element for element in root(pointing).iter(f"{SVG}rect") if element.get("fill")]
    [mark] = [element for element in root(pointing).iter(f"{SVG}path") if element.get("class") == "why"]
    x, y = re.findall(r"\d+", mark.get("d", ""))[:2]
    assert int(x) == int(rect.get("x", "")) + 14
    assert int(y) > int(rect.get("y", "")) + 2 * 28


def test_what_came_just_before_the_end_has_its_whole_label() -> None:
    live = MarbleDiagram((lane(N(0.3, NEXT, "tick"), N(0.9, NEXT, "tack"), N(0.9004, COMPLETED)),), end=0.9004)
    assert [text for text in root(live).itertext() if text in ("tick", "tack")] == ["tick", "tack"]


def test_an_error_stands_behind_the_marble_that_came_with_it() -> None:
    both = MarbleDiagram((lane(N(1, NEXT, "a label"), N(1, ERROR, OSError("gone"))),), end=1)
    [pill] = [element for element in root(both).iter(f"{SVG}rect") if element.get("fill")]
    [why] = [element for element in root(both).iter(f"{SVG}text") if element.get("class") == "why"]
    assert int(why.get("x", "")) > int(pill.get("x", "")) + int(pill.get("width", ""))
    assert why.text == "OSError: gone"


def test_names_labels_and_notes_are_written() -> None:
    shown = MarbleDiagram((lane(name="n" * 90), Operator("o" * 200)), notes=("note",))
    assert [text[-1] for text in written(shown)[:2]] == ["…", "…"]
    assert "note" in written(shown)
    assert "n" * 90 in titles(shown)


@pytest.mark.parametrize("width", [200, 400, 1600])
def test_it_is_as_wide_as_it_is_asked_to_be(width: int) -> None:
    shown = root(DIAGRAMS["group_by"], width)
    assert shown.get("width") == str(width)
    assert str(shown.get("viewBox")).startswith(f"0 0 {width} ")


def test_it_cannot_be_too_narrow() -> None:
    with pytest.raises(ValueError, match="at least 200 pixels wide, not 199"):
        MarbleDiagram().to_svg(199)


def test_many_ends_in_one_place_show_the_last() -> None:
    ends = [N(1, kind) for _ in range(6) for kind in (SUBSCRIBED, COMPLETED)]
    assert titles(MarbleDiagram((Lane("", tuple(ends)),), end=10)) == ["completed at 1 s"]
