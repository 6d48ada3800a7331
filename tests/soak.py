"""A soak, run by hand: `python tests/soak.py --minutes 60`. Channels at full speed, to a peer that ends them at random.

Several lines, one of them on the main thread, connect, talk as fast as they can, plainly or over TLS, and connect anew
whenever it is over. The peer sees to that: in order, with a close frame and no patience, with FIN or RST, between two
frames or within one. In between it stops reading, writing, or both, for a moment. Every message is numbered. What is
proved: on each connection both ends have got a prefix of what the other said, and all of it wherever that is promised;
it ended as it had to; threads, descriptors and memory do not grow; and in the end there is nothing left of them.

Ctrl+C ends it earlier, with the verdict so far. The status is 1 when anything was found.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import os
import signal
import ssl
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import wait
from itertools import count
from math import inf
from pathlib import Path
from random import Random
from statistics import median
from time import monotonic, sleep
from typing import Final, NamedTuple

import trustme
from numbered_client import NumberedClient
from numbered_peer import SABOTAGE, Ending, NumberedPeer, Plan, numbered_peer

from rxecho import ChannelState

LINES: Final = 4

LONGEST: Final = 20.0
"""Seconds that a connection lasts at most, if all goes well."""

HANGING: Final = LONGEST + 60.0
"""Seconds after which it hangs."""

WARM_UP: Final = 120.0
"""Seconds before growth is looked at, and how long it is looked at, at least."""


M_ARENA_MAX: Final = -8
"""From malloc.h."""


class Sample(NamedTuple):
    """What the process has at one moment."""

    threads: int
    descriptors: int
    mebibytes: float

    @classmethod
    def take(cls) -> Sample:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        mebibytes = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        return cls(threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), mebibytes)

    def __str__(self) -> str:
        return f"{self.threads} threads, {self.descriptors} descriptors, {self.mebibytes:.1f} MiB"


ALLOWED: Final = Sample(threads=2, descriptors=4, mebibytes=4.0)
"""By how much the median of the last quarter after the warm-up may exceed that of the first one."""


def growth(samples: list[Sample]) -> Iterator[str]:
    """What has grown from the first quarter of the samples to the last one, and by more than is allowed."""
    quarter = len(samples) // 4
    first, last = zip(*samples[:quarter], strict=True), zip(*samples[-quarter:], strict=True)
    for what, allowed, before, after in zip(Sample._fields, ALLOWED, first, last, strict=True):
        if median(after) - median(before) > allowed:
            yield f"{what} grew from {median(before):.1f} to {median(after):.1f}"


class Connection:
    """One connection of a line; its name says all about it."""

    def __init__(self, name: str) -> None:
        self._random = random = Random(name)
        is_echo = random.random() < 0.4
        self.plan = Plan(
            name=name,
            ending=random.choice(list(Ending)),
            seconds=min(0.05 * random.paretovariate(1.0), LONGEST),
            speakers=1 if is_echo else random.randint(1, 3),
            is_echo=is_echo,
            is_compressed=random.random() < 0.25,
            stalls=random.choice([0.0, 2.0]),
        )
        self.is_secure = random.random() < 0.5
        self._is_slow = random.random() < 0.3
        self.began = monotonic()

    def run(self, soak: Soak, peer: NumberedPeer, context: ssl.SSLContext) -> None:
        """Go through with it; how it went goes to `soak`."""
        plan = self.plan
        client = NumberedClient(peer, plan, tls=context if self.is_secure else None, react=self._react)
        others = [threading.Thread(target=client.say, args=(speaker,)) for speaker in range(1, plan.speakers)]
        for thread in others:
            thread.start()
        client.channel.ready.exception()
        closes_at = self.began + plan.seconds if plan.ending is Ending.BY_CLIENT else inf
        done = client.channel.sink.done
        while not (done.done() or soak.is_over or monotonic() >= closes_at):
            if plan.is_echo or client.channel.state > ChannelState.OPEN:
                wait([done], 0.05)
            else:
                client.say(0, 100)
        client.close()
        for thread in others:
            thread.join()
        soak.add(self, client)

    def _react(self) -> None:
        if self._is_slow and self._random.random() < 0.0002:
            sleep(0.05)  # this is the slowness, and waits for nothing


class Soak:
    """All connections of one run, and what it has come to so far."""

    def __init__(self, seed: int, minutes: float) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._running: dict[int, Connection] = {}
        self._ends: Counter[str] = Counter()
        self._secure = self._stalls = self._sent = self._received = 0
        self._faults: list[str] = []
        self._samples: list[Sample] = []
        self._began = monotonic()
        self._until = self._began + minutes * 60
        self._is_stopped = False
        self._has_ended = threading.Event()

    def stop(self) -> None:
        """Let all connections be closed, and come to an end."""
        self._is_stopped = True

    @property
    def is_over(self) -> bool:
        return self._is_stopped or monotonic() >= self._until

    def fail(self, fault: str) -> None:
        """Something is wrong."""
        self._faults.append(fault)
        self.stop()

    def add(self, connection: Connection, client: NumberedClient) -> None:
        """Judge and count a connection."""
        for fault in client.faults():
            self.fail(f"{connection.plan}: {fault}")
        report = client.reported.result()
        with self._lock:
            self._ends[report.ending] += 1
            self._secure += connection.is_secure
            self._stalls += report.stalls
            self._sent += sum(report.heard)
            self._received += client.heard

    def run(self, peer: NumberedPeer, context: ssl.SSLContext) -> bool:
        """Whether all is well."""
        before = Sample.take()
        lines = [threading.Thread(target=self._run_line, args=(line, peer, context)) for line in range(1, LINES)]
        watch = threading.Thread(target=self._watch)
        for thread in (*lines, watch):
            thread.start()
        self._run_line(0, peer, context)
        for thread in lines:
            thread.join()
        self._has_ended.set()
        watch.join()
        self._look_for_leaks(before)
        self._print_verdict()
        return not self._faults

    def _run_line(self, line: int, peer: NumberedPeer, context: ssl.SSLContext) -> None:
        for attempt in count():
            if self.is_over:
                break
            self._running[line] = connection = Connection(f"{self._seed}.{line}.{attempt}")
            connection.run(self, peer, context)
        self._running.pop(line, None)

    def _watch(self) -> None:
        prints_at = self._began
        while not self._has_ended.wait(min(2.0, (self._until - self._began) / 50)):
            sample = Sample.take()
            now = monotonic()
            if now >= self._began + WARM_UP:
                self._samples.append(sample)
            if now >= prints_at:
                prints_at += 10
                print(f"{self._figures()}; {sample}", flush=True)
            for connection in list(self._running.values()):
                if now > connection.began + HANGING:
                    self.fail(f"{connection.plan}: it hangs")
                    faulthandler.dump_traceback()
                    self._print_verdict()
                    os._exit(1)

    def _look_for_leaks(self, before: Sample) -> None:
        gives_up_at = monotonic() + 10
        while (after := Sample.take())[:2] != before[:2] and monotonic() < gives_up_at:
            sleep(0.01)  # the last thread of all has nobody to tell that it is over
        if after[:2] != before[:2]:
            self.fail(f"there were {before} before, and afterwards {after}: {threading.enumerate()}")
        print(f"before: {before}; afterwards: {after}")
        if monotonic() < self._began + 2 * WARM_UP:
            print("too short to judge growth")
            return
        for fault in growth(self._samples):
            self.fail(fault)

    def _figures(self) -> str:
        minutes = (monotonic() - self._began) / 60
        with self._lock:
            ends = ", ".join(f"{ending}: {self._ends[ending]}" for ending in Ending)
            return (
                f"{minutes:.2f} min: {self._sent:,} sent, {self._received:,} received; "
                f"{self._ends.total():,} connections, {self._secure:,} over TLS, {self._stalls:,} stalls ({ends})"
            )

    def _print_verdict(self) -> None:
        print(self._figures())
        for fault in self._faults:
            print(f"FAULT: {fault}")
        print(f"seed {self._seed}: {'FAILED' if self._faults else 'PASSED'}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Channels at full speed, to a peer that ends them at random.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sabotage", choices=SABOTAGE, default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    soak = Soak(options.seed, options.minutes)
    report = threading.excepthook

    def on_fault(fault: threading.ExceptHookArgs) -> None:
        report(fault)
        soak.fail(repr(fault.exc_value))

    threading.excepthook = on_fault
    # glibc gives up to 16 threads an arena each, and it takes long until each of those is as large as it will ever be:
    # that would hide what grows.
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    signal.signal(signal.SIGINT, lambda *_: soak.stop())
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with numbered_peer(authority, "--sabotage", options.sabotage) as peer:
        return 0 if soak.run(peer, context) else 1


if __name__ == "__main__":
    sys.exit(main())
