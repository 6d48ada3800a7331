"""What marbles cost: a `trace` on a message's way, a drawing of a hundred thousand notifications, lanes in the console.

Run as `uv run --group bench python benchmarks/marbles.py`. Every figure is the median of several runs, taken in turn
with what it is compared to; the console's in a fresh process each.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable
from functools import partial
from time import monotonic, perf_counter

from console import in_terminal, median_in_turn, read_to_end, read_until
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.subject import Subject
from rich.console import Console
from servers import MESSAGE, running

from rxecho.marbles import Timeline

MESSAGES = 200_000
LANES = 10
NOTIFICATIONS = 10_000
PUSHED = 1_000_000


def microseconds_a_message(*steps: Callable[[Observable[str]], Observable[str]]) -> float:
    """From a subject through `steps` to a subscriber that does nothing."""
    source: Subject[str] = Subject()
    source.pipe(*steps).subscribe(lambda _: None)
    on_next = source.on_next
    began = perf_counter()
    for _ in range(MESSAGES):
        on_next(MESSAGE)
    return (perf_counter() - began) / MESSAGES * 1e6


def filled(values: Callable[[int], object]) -> Timeline:
    """Ten full lanes, over a hundred seconds."""
    scheduler = VirtualTimeScheduler()
    timeline = Timeline(scheduler)
    subjects: list[Subject[object]] = [Subject() for _ in range(LANES)]
    for number, subject in enumerate(subjects):
        subject.pipe(timeline.trace(f"lane {number}")).subscribe()
    for number in range(NOTIFICATIONS - 1):
        scheduler.advance_by(0.01)
        for subject in subjects:
            subject.on_next(values(number))
    return timeline


def milliseconds(draw: Callable[[], object]) -> float:
    began = perf_counter()
    draw()
    return (perf_counter() - began) * 1e3


def in_a_terminal(timeline: Timeline, width: int) -> None:
    Console(file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor").print(timeline)


def received(url: str, *, keys: bytes) -> float:
    """Messages a second that the console takes from a server that pushes them."""
    with in_terminal(sys.executable, "-m", "rxecho", "connect", url) as (process, terminal):
        read_until(terminal, "open")
        os.write(terminal, keys)
        began = monotonic()
        os.write(terminal, b"go\r")
        read_to_end(terminal)
        took = monotonic() - began
        if process.wait(30):
            raise SystemExit(f"the console ended with status {process.returncode}")
    return PUSHED / took


def main(runs: int) -> None:
    # As an installed program has it: compiled by the run that is not counted.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    print(f"Medians of {runs}, Python {sys.version.split()[0]}, {os.cpu_count()} processors\n")

    bare, traced, mapped = median_in_turn(
        runs,
        microseconds_a_message,
        lambda: microseconds_a_message(Timeline().trace("stream")),
        lambda: microseconds_a_message(ops.map(lambda message: message)),
    )
    print(
        f"trace, a message                             {traced - bare:6.2f} µs     (at most 2; "
        f"ops.map(identity): {mapped - bare:.2f})"
    )

    report_drawing(runs, "the same few values", filled(lambda number: "abc"[number % 3]))
    report_drawing(runs, "other values each", filled(lambda number: {"number": number}))

    with running("push") as server:
        url = f"{server}/{PUSHED}/1/{len(MESSAGE)}"
        hidden, shown = median_in_turn(runs, lambda: received(url, keys=b""), lambda: received(url, keys=b"\x14"))
    print(
        f"the console, with lanes shown to without     {shown / hidden:6.2f} x      (at least 0.9: {shown:,.0f} to "
        f"{hidden:,.0f} messages/s)"
    )


def report_drawing(runs: int, kind: str, timeline: Timeline) -> None:
    widths = (60, 100, 160)
    *terminals, svg = median_in_turn(
        runs,
        *(partial(milliseconds, partial(in_a_terminal, timeline, width)) for width in widths),
        lambda: milliseconds(timeline.to_svg),
    )
    print(f"{LANES} x {NOTIFICATIONS:,} notifications, {kind}:")
    for width, took in zip(widths, terminals, strict=True):
        print(f"    in a terminal, {width:3} columns               {took:6.1f} ms     (at most 50)")
    size = len(timeline.to_svg()) / 1024
    print(f"    as SVG, {size:5.0f} KiB                        {svg:6.1f} ms     (at most 200)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each, after one that is not")
    main(parser.parse_args().runs)
