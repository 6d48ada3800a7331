"""Whether what a message costs stays what it is: over millions of messages, and with thousands of fragments.

Run by echo.py; alone, as `python growth.py messages ws://127.0.0.1:9001/`.
"""

from __future__ import annotations

import json
import sys
from queue import SimpleQueue
from time import process_time

from channels import status

from rxecho import WebSocketChannel

IN_FLIGHT = 256
WARM_UP = 100_000
MESSAGES = (10_000, 100_000, 1_000_000, 10_000_000)
FRAGMENTS = (1_000, 10_000, 100_000, 1_000_000)
FRAGMENT_SIZE = 16


def echo_messages(url: str) -> dict[str, dict[int, float]]:
    """CPU microseconds a message, and KiB of resident memory, after so many."""
    message = "x" * 32
    microseconds: dict[int, float] = {}
    resident: dict[int, float] = {}
    marks = iter(MESSAGES)
    count, mark, began = -WARM_UP, 0, 0.0
    end: SimpleQueue[Exception | None] = SimpleQueue()

    with WebSocketChannel.connect(url) as channel:
        add = channel.sink.add

        def on_next(echo: str | bytes) -> None:
            nonlocal count, mark, began
            count += 1
            if count == mark:
                assert echo == message
                if mark:
                    microseconds[mark] = (process_time() - began) / mark * 1e6
                    resident[mark] = status("VmRSS")
                else:
                    began = process_time()
                mark = next(marks, -1)
                if mark < 0:
                    end.put(None)
            if mark >= 0:
                add(message)

        channel.stream.subscribe(on_next, end.put)
        channel.ready.result()
        for _ in range(IN_FLIGHT):
            add(message)
        error = end.get()
        if error:
            raise error
    return {"microseconds_a_message": microseconds, "resident_kib": resident}


def receive_fragments(url: str) -> dict[str, dict[int, float]]:
    """CPU microseconds a fragment, in messages of so many."""
    return {"microseconds_a_fragment": {number: receive_messages_of(number, url) for number in FRAGMENTS}}


def receive_messages_of(fragments: int, url: str) -> float:
    """As many messages as have a million fragments together, after one that warms up."""
    messages = max(FRAGMENTS) // fragments
    count, began = -1, 0.0
    end: SimpleQueue[Exception | None] = SimpleQueue()

    def on_next(message: str | bytes) -> None:
        nonlocal count, began
        assert len(message) == fragments * FRAGMENT_SIZE
        count += 1
        if count == 0:
            began = process_time()
        if count == messages:
            end.put(None)

    with WebSocketChannel.connect(f"{url}/{messages + 1}/{fragments}/{FRAGMENT_SIZE}") as channel:
        channel.stream.subscribe(on_next, end.put)
        channel.sink.add("go on")
        error = end.get()
        if error:
            raise error
        return (process_time() - began) / max(FRAGMENTS) * 1e6


if __name__ == "__main__":
    print(json.dumps({"messages": echo_messages, "fragments": receive_fragments}[sys.argv[1]](sys.argv[2])))
