"""Writing on time what is held back: one thread for all the channels of a process, as long as one of them needs it.

On a message's way out, `connection` holds a reply back while it hands over what arrived, so that many replies become
one write. That is worth a moment. Where a subscriber takes longer than that, it is this thread that writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Event, Lock, Thread, current_thread
from time import sleep
from typing import Final

__all__ = ["flusher"]

PATIENCE: Final = 0.01
"""Seconds that something may be held back before it is seen to, or twice that; half of it, beside a thread that draws,
costs five percent of the throughput."""

Flush = Callable[[], None]


class _Flusher:
    """Calls those who have joined, a moment after one of them has held something back."""

    def __init__(self) -> None:
        self._lock = Lock()
        # Under the lock, and replaced instead of changed, so that the thread may walk through it without.
        self._flushes: tuple[Flush, ...] = ()
        self._thread: Thread | None = None
        self._is_held = Event()

    def join(self, flush: Flush) -> None:
        """Have `flush` called, on another thread, from now on.

        Raises:
            RuntimeError: The system has no thread left.
        """
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="rxecho flusher", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:
                    self._thread = None
                    raise
            self._flushes += (flush,)

    def leave(self, flush: Flush) -> None:
        """Have it called no more. Who leaves as the last takes the thread along."""
        with self._lock:
            self._flushes = tuple(other for other in self._flushes if other != flush)
            if self._flushes or self._thread is None:
                return
            thread, self._thread = self._thread, None
        self._is_held.set()
        thread.join()

    def hold(self) -> None:
        """Say that something is held back."""
        if not self._is_held.is_set():  # which costs a tenth of setting it
            self._is_held.set()

    def _run(self) -> None:
        # Asked behind `clear`, which may have hidden the word of the last who left.
        while self._thread is current_thread():
            self._is_held.wait()
            sleep(PATIENCE)
            self._is_held.clear()
            for flush in self._flushes:
                flush()


flusher = _Flusher()
if hasattr(os, "register_at_fork"):
    # Neither the thread nor the channels of the parent are there in a child.
    os.register_at_fork(after_in_child=flusher.__init__)  # type: ignore[misc]
