"""A thousand channels in one process: each is opened, echoes once, and is closed.

Run by echo.py; alone, as `python channels.py ws://127.0.0.1:9001/`.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from time import monotonic, perf_counter, sleep

from servers import allow_descriptors

from rxecho import ChannelState, WebSocketChannel

CHANNELS = 1_000
DESCRIPTORS = 5 * CHANNELS


def status(name: str) -> int:
    """A figure of this process, as the kernel has it: threads, or KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def echo_once(url: str, count: int) -> dict[str, float]:
    gc.collect()
    memory, threads = status("VmRSS"), status("Threads")
    most_threads = 0
    began = perf_counter()
    channels = [WebSocketChannel.connect(url) for _ in range(count)]
    echoes: SimpleQueue[str | bytes] = SimpleQueue()
    for number, channel in enumerate(channels):
        channel.stream.subscribe(echoes.put)
        channel.sink.add(str(number))
    missing = {str(number) for number in range(count)}
    while missing:
        missing.remove(str(echoes.get(timeout=60)))
        most_threads = max(most_threads, status("Threads"))
    echoed = perf_counter() - began
    gc.collect()
    report = {
        "seconds_to_echo": echoed,
        "kib_a_channel": (status("VmRSS") - memory) / count,
        "threads": most_threads - threads,
        "descriptors": descriptors(),
    }
    began = perf_counter()
    for channel in channels:
        channel.sink.close(1000)
    for channel in channels:
        channel.sink.done.result(60)
    report["seconds"] = echoed + perf_counter() - began
    assert all(channel.state is ChannelState.CLOSED and channel.close_code == 1000 for channel in channels)
    return report


def main(url: str) -> None:
    allow_descriptors(DESCRIPTORS)
    # What every program has once, is none of the channels'.
    echo_once(url, 1)
    before = threading.active_count(), descriptors()
    report = echo_once(url, CHANNELS)
    deadline = monotonic() + 10
    while (after := (threading.active_count(), descriptors())) != before:
        if monotonic() > deadline:
            sys.exit(f"of threads and descriptors there were {before}, and are {after}")
        sleep(0.01)
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1])
