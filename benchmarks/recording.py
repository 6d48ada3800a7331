"""What recordings cost: echoes while they are recorded, beside the same without, and a million notifications replayed.

Run as `uv run --group bench python benchmarks/recording.py`. A run is a fresh process, as in `echo.py`: a quarter of a
second to warm up, then one second that counts. Runs with and without take turns, and the median of each counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from reactivex.scheduler import VirtualTimeScheduler
from servers import MESSAGE, running

from rxecho.recording import Header, replay
from rxecho.recording.session import Completed, Received, encode

CLIENTS = Path(__file__).parent / "echo_clients"
WORKS = {"32 B, one in flight": (32, 1), "32 B": (32, 256), "1 kB": (1024, 256), "100 kB": (100 * 1024, 8)}
"""Bytes in a message, and how many are in flight."""
NOTIFICATIONS = 1_000_000


def echoes(client: str, url: str, size: int, in_flight: int) -> tuple[float, float]:
    """Messages a second, and microseconds of CPU for each."""
    options = ["--size", str(size), "--in-flight", str(in_flight)]
    run = subprocess.run([sys.executable, CLIENTS / client, url, *options], check=True, capture_output=True)
    measured = json.loads(run.stdout)
    return measured["messages"] / measured["seconds"], measured["cpu"] / measured["messages"] * 1e6


def seconds_to_replay(path: Path) -> float:
    """In virtual time, which takes none."""
    count = 0

    def on_next(_: object) -> None:
        nonlocal count
        count += 1

    scheduler = VirtualTimeScheduler()
    began = perf_counter()
    replay(path).subscribe(on_next, scheduler=scheduler)
    scheduler.start()
    took = perf_counter() - began
    if count != NOTIFICATIONS:
        raise SystemExit(f"{count:,} of {NOTIFICATIONS:,} notifications were replayed")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with TemporaryDirectory() as directory, running("echo") as url:
        for work, (size, in_flight) in WORKS.items():
            clients = "rxecho_channel.py", "rxecho_recorded.py"
            taken = [[echoes(client, url, size, in_flight) for client in clients] for _ in range(runs)]
            (plain, plain_cpu), (recorded, recorded_cpu) = (
                [median(figures) for figures in zip(*each, strict=True)] for each in zip(*taken, strict=True)
            )
            print(
                f"{work}: {plain:,.0f} messages/s without, {recorded:,.0f} recorded, {recorded / plain:.2f} x; "
                f"CPU {plain_cpu:.2f} µs and {recorded_cpu:.2f} µs a message"
            )
        path = Path(directory) / "session.jsonl"
        events = (Received(number / 1000, text=MESSAGE) for number in range(NOTIFICATIONS))
        lines = (Header(start=datetime.now(UTC)), *events, Completed(NOTIFICATIONS / 1000))
        path.write_bytes(b"".join(encode(line) + b"\n" for line in lines))
        print(f"{NOTIFICATIONS:,} notifications replayed in virtual time in {seconds_to_replay(path):.1f} s")


if __name__ == "__main__":
    main()
