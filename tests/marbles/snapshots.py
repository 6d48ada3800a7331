"""Diagrams whose drawings are kept beside this file, in `snapshots/`, and compared byte for byte.

After a change to the drawings, look at what this writes and commit it:

    uv run python tests/marbles/snapshots.py
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import reactivex
from reactivex import operators as ops
from rich.console import Console

from rxecho.marbles import Kind, Lane, MarbleDiagram, Notification, Operator, cold, diagram

DIRECTORY = Path(__file__).with_name("snapshots")
WIDTHS = (60, 100, 160)


def console(width: int = 60, encoding: str = "utf-8", color_system: Any = None) -> Console:
    """A terminal in which nothing is shown."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(file=file, force_terminal=True, color_system=color_system, width=width, legacy_windows=False)


def drawn(diagram: MarbleDiagram, width: int = 60, encoding: str = "utf-8") -> str:
    """What a terminal shows of it."""
    terminal = console(width, encoding)
    with terminal.capture() as capture:
        terminal.print(diagram)
    return "".join(f"{row.rstrip()}\n" for row in capture.get().splitlines())


def _crowded() -> MarbleDiagram:
    happened = [Notification(n / 50, Kind.NEXT, n) for n in range(300)]
    begin, end = Notification(0, Kind.SUBSCRIBED), Notification(9, Kind.COMPLETED)
    sparse = [Notification(n, Kind.NEXT, n) for n in range(9)]
    lanes = (Lane("fast", (begin, *happened, end)), Operator("ops.sample(1)"), Lane("slow", (begin, *sparse, end)))
    return MarbleDiagram(lanes, end=9.0)


def _dropped() -> MarbleDiagram:
    happened = (Notification(6, Kind.NEXT, "a"), Notification(8, Kind.NEXT, "b"))
    lanes = (
        Lane("kept in part", happened, dropped=12_345),
        Lane("ended before", (Notification(1, Kind.COMPLETED),), dropped=1),
        Lane("empty"),
    )
    return MarbleDiagram(lanes, end=10.0, notes=("kept in part: 12,345 earlier notifications are not kept",))


def diagrams() -> dict[str, MarbleDiagram]:
    """By the names of their files."""
    awkward: dict[str | float, Any] = {
        "a": "\x1b[31m\n",
        "b": "[bold]b[/bold]",
        "c": "日本語",
        "d": "👩\u200d👩\u200d👧",
        "e": "\u202eabc",
        "f": "</svg>",
    }
    return {
        "debounce": diagram(ops.debounce(2), "-a--b-c---d-|", label="ops.debounce(2)"),
        "merge": diagram(reactivex.merge, "-a---b---|", "--1-2-3-4-5-|", label="reactivex.merge"),
        "group_by": diagram(ops.group_by(lambda x: x % 2), "-1-2-3-4-|", label="ops.group_by(odd)"),
        "window": diagram(ops.window_with_count(2), "-a-b--c-d-e-|", label="ops.window_with_count(2)"),
        "flat_map": diagram(
            ops.flat_map(lambda x: cold("-x-x-|", {"x": x})), "-a---b-|", label="ops.flat_map(twice)"
        ),
        "switch_latest": diagram(
            [ops.map(lambda x: cold("-x-x-x|", {"x": x})), ops.switch_latest()],
            "-a---b------|",
            label=["ops.map(thrice)", "ops.switch_latest()"],
        ),
        "retry": diagram(ops.retry(3), "-a-b-#", error=OSError("the line is gone"), label="ops.retry(3)"),
        "take": diagram(ops.take(2), "-a-b-c-(d,e)--f|", label="ops.take(2)"),
        "at_once": diagram(ops.concat(cold("(c,d,e,f,g)|")), "(a,b)|", label="ops.concat(five)"),
        "counts": _crowded(),
        "dropped": _dropped(),
        "long": diagram(
            ops.map(lambda x: f"{x} and more than a marble has room for"), "--a------b-------|", label="x" * 200
        ),
        "awkward": MarbleDiagram.parse(
            "na\x1bme: -a---b---c---d---e---f---|\n[ \x1b[31m[bold] ]\n\u202e: --c-|", awkward
        ),
    }  # fmt: skip


def files() -> Iterator[tuple[str, str]]:
    """Each file's name, and what is in it."""
    for name, diagram_ in diagrams().items():
        yield f"{name}.svg", diagram_.to_svg()
        parts = [f"{width} columns\n\n{drawn(diagram_, width)}" for width in WIDTHS]
        parts.append(f"ASCII\n\n{drawn(diagram_, 60, 'ascii')}")
        yield f"{name}.txt", "\n".join(parts)


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    for kept in DIRECTORY.iterdir():
        kept.unlink()
    for name, text in files():
        (DIRECTORY / name).write_text(text, encoding="utf-8", newline="\n")
