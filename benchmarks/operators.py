"""What the operators cost a message, beside RxPY's `map`, and what a hundred reconnects leave behind.

Run as `uv run --group bench python benchmarks/operators.py`. Every figure is the median of several runs, taken in turn
with all the others. A message goes from a subject through the operator to a subscriber that does nothing; the time is
over when the last has come there, on whichever thread, and that without an operator is taken off.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from threading import Event
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import reactivex
from console import median_in_turn
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler import EventLoopScheduler
from reactivex.subject import Subject
from servers import MESSAGE

from rxecho import WebSocketChannel, open_channel, operators
from rxecho.recording import record

MESSAGES = 200_000
RECONNECTS = 100
WARM = 10
"""Reconnects before those that count."""
JSON = '{"symbol":"RXE","price":101.25}'
VALUE = {"symbol": "RXE", "price": 101.25}

Step = Callable[[Observable[Any]], Observable[Any]]
Cost = tuple[str, object, Callable[[], Step]]
"""What is measured: its name, the message, and what makes the operator for a run."""


def microseconds_a_message(message: object, make: Callable[[], Step]) -> float:
    """From a subject through what `make` makes to a subscriber that does nothing."""
    source: Subject[Any] = Subject()
    over = Event()
    came = 0

    def on_next(_: object) -> None:
        nonlocal came
        came += 1

    source.pipe(make()).subscribe(on_next, on_completed=over.set)
    push = source.on_next
    began = perf_counter()
    for _ in range(MESSAGES):
        push(message)
    source.on_completed()
    if not over.wait(60) or not came:
        raise SystemExit(f"{came:,} of {MESSAGES:,} messages came, and no end")
    return (perf_counter() - began) / MESSAGES * 1e6


def channel(stream: Observable[Any], add: Callable[[Any], None] = lambda _: None) -> Any:
    """What an operator needs of a channel: no socket, whose cost would hide its own."""
    return SimpleNamespace(stream=stream, sink=SimpleNamespace(add=add))


def over_a_channel(step: Step) -> Step:
    """The messages of one channel that is there from the beginning."""
    return lambda source: reactivex.of(channel(source)).pipe(step)


def asking() -> Step:
    """A request for each message, and its reply, which comes at once."""
    wire: Subject[Any] = Subject()
    ask = operators.request(
        channel(wire, wire.on_next), encode=lambda _, number: number, decode=lambda number: (number, number)
    )
    return ops.flat_map(ask)


def on_an_event_loop() -> Step:
    """What RxPY hands values to another thread with; it keeps all of them."""
    return ops.observe_on(EventLoopScheduler(exit_if_empty=True))


def recording(directory: str) -> Step:
    return record(Path(mkdtemp(dir=directory)) / "session.jsonl")


COSTS: Sequence[Cost] = (
    ("ops.map(identity)", MESSAGE, lambda: ops.map(lambda message: message)),
    ("text()", MESSAGE, operators.text),
    ("binary()", MESSAGE.encode(), operators.binary),
    ("from_json()", JSON, operators.from_json),
    ("ops.map(json.loads)", JSON, lambda: ops.map(json.loads)),
    ("to_json()", VALUE, operators.to_json),
    ("ops.map(json.dumps)", VALUE, lambda: ops.map(json.dumps)),
    ("conflate()", MESSAGE, operators.conflate),
    ("conflate(merge)", MESSAGE, lambda: operators.conflate(lambda _, newest: newest)),
    ("bounded(1000)", MESSAGE, lambda: operators.bounded(1000)),
    ('bounded(1000, "drop_oldest")', MESSAGE, lambda: operators.bounded(1000, "drop_oldest")),
    ("ops.observe_on(EventLoopScheduler())", MESSAGE, on_an_event_loop),
    ("latency(sent), sent and echoed", MESSAGE, lambda: lambda source: source.pipe(operators.latency(source))),
    ("rate(1)", MESSAGE, lambda: operators.rate(1)),
    ("heartbeat(60)", MESSAGE, lambda: operators.heartbeat(60)),
    ("messages()", MESSAGE, lambda: over_a_channel(operators.messages())),
    ("multiplex(...)", MESSAGE, lambda: over_a_channel(operators.multiplex("on", "off", lambda _: True))),
    ("request(...), asked and answered", MESSAGE, asking),
    ("snapshots()", MESSAGE, operators.snapshots),
)


def main(runs: int) -> None:
    print(f"Medians of {runs}, Python {sys.version.split()[0]}, {os.cpu_count()} processors\n")
    with TemporaryDirectory() as directory:
        report_costs(runs, (*COSTS, ("record(path)", MESSAGE, partial(recording, directory))))
    report_reconnects()


def report_costs(runs: int, costs: Sequence[Cost]) -> None:
    measures = [partial(microseconds_a_message, message, make) for _, message, make in costs]
    bare, *taken = median_in_turn(
        runs, partial(microseconds_a_message, MESSAGE, lambda: lambda source: source), *measures
    )
    mapped = taken[0] - bare
    print(f"a message, beyond the {bare:.2f} µs without an operator:")
    for (name, _, _), microseconds in zip(costs, taken, strict=True):
        cost = microseconds - bare
        print(f"    {name:<40} {cost:6.2f} µs  {cost / mapped:6.1f} x")


def report_reconnects() -> None:
    """Connections that a server drops after one message, one after the other, in one subscription."""
    serving = [sys.executable, "-m", "rxecho", "serve", "--port", "0"]
    with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        url = server.stdout.readline().split()[-1] + "flaky?after=1"
        try:
            reconnected(url, WARM)
            tracemalloc.start()
            before = left_behind()
            began = perf_counter()
            reconnected(url, RECONNECTS)
            took = perf_counter() - began
            after = left_behind()
        finally:
            server.terminate()
    print(f"{RECONNECTS} reconnects in {took:.1f} s:")
    for what, one, other in zip(("threads", "descriptors", "KiB of memory"), before, after, strict=True):
        print(f"    {what:<40} {one:,} before, {other:,} after")


def reconnected(url: str, number: int) -> None:
    def greet(channel: WebSocketChannel) -> None:
        channel.sink.add(MESSAGE)

    open_channel(url).pipe(
        operators.reconnect(min_delay=0.001, max_delay=0.002),
        ops.do_action(greet),
        operators.messages(),
        ops.take(number),
    ).run()


def left_behind() -> tuple[int, int, int]:
    """Threads, descriptors and KiB, once those of the last connection have gone."""
    for thread in threading.enumerate():
        if thread.name.startswith("rxecho "):
            thread.join(10)
    gc.collect()
    return (
        threading.active_count(),
        sum(1 for _ in Path("/proc/self/fd").iterdir()),
        tracemalloc.get_traced_memory()[0] // 1024,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each, after one that is not")
    main(parser.parse_args().runs)
