"""What the console costs: until the first echo is on the screen, for one message in a script, and for drawing.

Run as `uv run --group bench python benchmarks/console.py`. Every figure is the median of several runs, each in a
fresh process and in turn with what it is compared to.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from servers import MESSAGE, running

IN_FLIGHT = 256
ECHOES = 200_000
PUSHED = 1_000_000

BARE_SCRIPT = """
import sys, websocket
client = websocket.create_connection(sys.argv[1])
client.send("hello")
print(client.recv())
client.close()
"""


def median_in_turn(runs: int, *measures: Callable[[], float]) -> list[float]:
    """The median of each measure, taken A B A B … after one warm-up."""
    taken: list[list[float]] = [[] for _ in measures]
    for run in range(runs + 1):
        for index, measure in enumerate(measures):
            figure = measure()
            if run:
                taken[index].append(figure)
    return [statistics.median(figures) for figures in taken]


def seconds_of(*command: str) -> float:
    began = monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return monotonic() - began


@contextmanager
def in_terminal(*command: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a command in a terminal of 80 x 24; yields its process and our end of the terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with TemporaryDirectory() as config:  # where it keeps its history
        process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "XDG_CONFIG_HOME": config},
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield process, ours
        finally:
            process.kill()
            process.wait()
            os.close(ours)


def read_until(terminal: int, wanted: str) -> None:
    seen = b""
    deadline = monotonic() + 30
    # Colours may change anywhere between two characters.
    while wanted not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode(errors="replace")):
        if not select.select([terminal], [], [], deadline - monotonic())[0]:
            raise TimeoutError(f"waited for {wanted!r} and saw {seen!r}")
        seen += os.read(terminal, 65536)


def read_to_end(terminal: int) -> None:
    # Linux says EIO, and not the end of the file, once the process has closed its side.
    with suppress(OSError):
        while os.read(terminal, 65536):
            pass


def first_echo() -> float:
    """Seconds from starting `rxecho` to its first echo on the screen."""
    began = monotonic()
    with in_terminal(sys.executable, "-m", "rxecho") as (process, terminal):
        read_until(terminal, "Send a message")
        os.write(terminal, b"hello\r")
        read_until(terminal, "← hello")
        took = monotonic() - began
        os.write(terminal, b"\x03")
        read_to_end(terminal)
        process.wait(10)
    return took


# The display: one process receives, in a terminal that is read as fast as it is written.


def throughput(kind: str, url: str, display: bool) -> float:
    """Messages a second in a fresh process, with or without a StreamBuilder in a Live at 20 frames a second."""
    with tempfile.NamedTemporaryFile() as report:
        arguments = [sys.executable, __file__, "--worker", kind, url, report.name, "shown" if display else "bare"]
        with in_terminal(*arguments) as (process, terminal):
            read_to_end(terminal)
            process.wait(60)
        return float(json.loads(Path(report.name).read_text())["messages_a_second"])


def worker(kind: str, url: str, report: str, shown: str) -> None:
    from contextlib import nullcontext

    from rich.live import Live

    from rxecho import StreamBuilder, WebSocketChannel

    total = ECHOES if kind == "echo" else PUSHED
    received = 0
    done = threading.Event()
    channel = WebSocketChannel.connect(url)
    add = channel.sink.add

    def on_next(message: str | bytes) -> None:
        nonlocal received
        received += 1
        if kind == "echo" and received + IN_FLIGHT <= total:
            add(message)
        if received == total:
            done.set()

    def draw(snapshot: object) -> str:
        return f"{received:,} messages, the latest {snapshot}"

    channel.stream.subscribe(on_next)
    display = Live(StreamBuilder(channel.stream, draw), refresh_per_second=20) if shown == "shown" else nullcontext()
    with display:
        channel.ready.result()
        began = monotonic()
        for _ in range(IN_FLIGHT if kind == "echo" else 1):
            add(MESSAGE)
        if not done.wait(120):
            raise SystemExit(f"only {received} of {total} messages came")
        took = monotonic() - began
    channel.sink.close().result()
    Path(report).write_text(json.dumps({"messages_a_second": total / took}))


def main(runs: int) -> None:
    # As an installed program has it: compiled by the run that is not counted.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    python = sys.executable
    print(f"Medians of {runs}, Python {sys.version.split()[0]}, {os.cpu_count()} processors\n")

    (echoed,) = median_in_turn(runs, first_echo)
    print(f"start to the first echo on the screen        {echoed:6.2f} s      (to reach: at most 1.2)")

    nothing, version = median_in_turn(
        runs, lambda: seconds_of(python, "-c", "pass"), lambda: seconds_of(python, "-m", "rxecho", "--version")
    )
    print(f"rxecho --version, beyond python -c pass      {(version - nothing) * 1000:6.0f} ms     (at most 150)")

    with running("echo") as url:
        bare, ours = median_in_turn(
            runs,
            lambda: seconds_of(python, "-c", BARE_SCRIPT, url),
            lambda: seconds_of(python, "-m", "rxecho", "connect", url, "-x", "hello", "-n", "1"),
        )
        print(
            f"one message and its echo in a script         {ours / bare:6.2f} x      (at most 2 x websocket-client: "
            f"{ours * 1000:.0f} ms to {bare * 1000:.0f} ms)"
        )
    report_display(runs, "echo", "echoing, with a display to without  ", 0.9)
    report_display(runs, "push", "receiving, with a display to without", 0.7)


def report_display(runs: int, kind: str, title: str, least: float) -> None:
    with running(kind) as server:
        url = f"{server}/{PUSHED}/1/{len(MESSAGE)}" if kind == "push" else server
        alone, shown = median_in_turn(runs, lambda: throughput(kind, url, False), lambda: throughput(kind, url, True))
    print(f"{title}         {shown / alone:6.2f} x      (at least {least}: {shown:,.0f} to {alone:,.0f} messages/s)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each, after one that is not")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(*options.worker)
    else:
        main(options.runs)
