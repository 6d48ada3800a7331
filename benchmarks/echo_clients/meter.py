"""What all clients have in common: what they are to echo, and how the echoes are counted.

The other files here show how each of them is used, and run alone as well, as
`python picows_listener.py ws://127.0.0.1:9001/ --size 32 --in-flight 256`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from time import perf_counter, process_time

WARM_UP = 0.25
"""Seconds at full speed before anything counts."""

STEP = 0.02
"""Seconds between two looks at the clock, about: one for each message would cost more than some of them do."""

ACCELERATED = "--accelerated"
IS_ACCELERATED = ACCELERATED in sys.argv


@dataclass(frozen=True)
class Work:
    """Messages that go to a server and back, always the same one."""

    url: str
    tls: ssl.SSLContext | None
    size: int
    is_text: bool
    in_flight: int
    is_sent_by_main: bool
    """By the main thread, and not where the echo before it arrived."""

    @property
    def payload(self) -> bytes:
        pattern = b"0123456789abcdef" if self.is_text else bytes(range(256))
        return (pattern * (self.size // len(pattern) + 1))[: self.size]

    @property
    def message(self) -> str | bytes:
        return self.payload.decode() if self.is_text else self.payload


class Meter:
    """Counts echoes: for a moment to warm up, then for so many seconds."""

    def __init__(self, work: Work, seconds: float) -> None:
        self._size = work.size
        self._payload = work.payload
        self._seconds = seconds
        self._step = self._left = 1
        self._count = 0
        self._is_warm = False
        self._began, self._cpu_began = perf_counter(), process_time()
        self.report: dict[str, float] = {}
        """What was measured, as soon as it was."""

    def received(self, message: str | bytes | memoryview) -> bool:
        """Count an echo. Whether to send another."""
        if len(message) != self._size:
            raise ValueError(f"an echo of {len(message)} came, and not of {self._size}")
        self._left -= 1
        return self._left > 0 or self._look(message)

    def received_many(self, count: int, message: bytes | memoryview) -> bool:
        """Count echoes that were found to be whole, and of which this is one."""
        self._left -= count
        return self._left > 0 or self._look(message)

    def _look(self, message: str | bytes | memoryview) -> bool:
        """Look at the clock, and at a whole message."""
        if self.report:
            return False
        if (message.encode() if isinstance(message, str) else message) != self._payload:
            raise ValueError("an echo is not what was sent")
        took, cpu = perf_counter() - self._began, process_time() - self._cpu_began
        self._count += self._step - self._left
        # What comes in that time at this pace; never so much more that a fast start would deceive.
        self._step = self._left = max(1, min(2 * self._step, int(self._count / took * STEP)))
        if self._is_warm and took >= self._seconds:
            self.report = {"messages": self._count, "seconds": took, "cpu": cpu}
            self._left = 0
            return False
        if not self._is_warm and took >= WARM_UP:
            self._is_warm = True
            self._count = 0
            self._began, self._cpu_began = perf_counter(), process_time()
        return True


def run(client: Callable[[Work, Meter], object]) -> None:
    """Measure a client as the command line says, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("url")
    parser.add_argument("--size", type=int, required=True, help="bytes in a message")
    parser.add_argument("--binary", action="store_true", help="not text")
    parser.add_argument("--in-flight", type=int, required=True, help="messages on their way at any time")
    parser.add_argument("--main", action="store_true", help="send from the main thread, where that is another one")
    parser.add_argument("--ca", help="file with the certificate of who signed the server's")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument(ACCELERATED, action="store_true", help="with the package its documentation suggests for speed")
    options = parser.parse_args()
    tls = ssl.create_default_context(cafile=options.ca) if options.ca else None
    work = Work(options.url, tls, options.size, not options.binary, options.in_flight, options.main)
    meter = Meter(work, options.seconds)
    client(work, meter)
    if not meter.report:
        sys.exit("the connection ended before all was measured")
    print(json.dumps(meter.report))


def run_asyncio(client: Callable[[Work, Meter], Coroutine[object, object, None]]) -> None:
    """The same for a coroutine: on asyncio's own event loop, accelerated on uvloop."""

    def on_event_loop(work: Work, meter: Meter) -> None:
        factory: Callable[[], asyncio.AbstractEventLoop] | None = None
        if IS_ACCELERATED:
            import uvloop

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(client(work, meter))

    run(on_event_loop)
