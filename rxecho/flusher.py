"""Writing on time what is held back: one thread for all the channels of a process, as long as one of them needs it.

On a message's way out, `connection` holds a reply back while it hands over what arrived, so that many replies become
one write. That is worth a moment. Where a subscriber takes longer than that, it is this thread that writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Final

from rxecho.isolation import report

__all__ = ["flusher"]

PATIENCE: Final = 0.01
"""Seconds that something may be held back before it is seen to, or twice that; half of it, beside a thread that draws,
costs five percent of the throughput."""

Flush = Callable[[], None]


class _Flusher:
    """Calls those who have joined, a moment after one of them has held something back."""

    def __init__(self) -> None:
        self._lock = Lock()
        # Under the lock, and replaced instead of changed, so that the clock may walk through it without.
        self._flushes: tuple[Flush, ...] = ()
        self._clock: _Clock | None = None

    def join(self, flush: Flush) -> None:
        """Have `flush` called, on another thread, from now on.

        Raises:
            RuntimeError: The system has no thread left.
        """
        with self._lock:
            if self._clock is None:
                clock = _Clock(self._flush)
                clock.start()
                self._clock = clock
            self._flushes += (flush,)

    def leave(self, flush: Flush) -> None:
        """Have it called no more. Who leaves as the last takes the thread along."""
        with self._lock:
            self._flushes = tuple(other for other in self._flushes if other != flush)
            if self._flushes or self._clock is None:
                return
            clock, self._clock = self._clock, None
        clock.stop()

    def hold(self) -> None:
        """Say that something is held back. For those who have joined."""
        clock = self._clock
        if clock and not clock.is_wanted.is_set():  # which costs a tenth of setting it
            clock.is_wanted.set()

    def _flush(self) -> None:
        for flush in self._flushes:
            try:
                flush()
            except Exception as fault:  # noqa: BLE001 - one channel's fault must not keep the others waiting
                report(fault)


class _Clock(Thread):
    """Ticks a moment after it is wanted."""

    def __init__(self, tick: Flush) -> None:
        super().__init__(name="rxecho flusher", daemon=True)
        self.is_wanted = Event()
        self._is_over = Event()
        self._tick = tick

    def run(self) -> None:
        while not self._is_over.is_set():
            self.is_wanted.wait()
            self._is_over.wait(PATIENCE)
            self.is_wanted.clear()
            self._tick()

    def stop(self) -> None:
        # In this order, since `run` looks for the one after it has cleared the other.
        self._is_over.set()
        self.is_wanted.set()
        self.join()


flusher = _Flusher()
if hasattr(os, "register_at_fork"):
    # Neither the thread nor the channels of the parent are there in a child.
    os.register_at_fork(after_in_child=flusher.__init__)  # type: ignore[misc]
