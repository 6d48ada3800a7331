"""Waiting for a socket, and being woken from that wait by another thread.

`connection` sleeps here between two frames. `select.poll` where there is one, since it costs a third of what
`selectors` does and knows no limit on descriptors; `select.select` elsewhere (Windows).
"""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from math import ceil
from typing import Final

__all__ = ["Readiness", "Waker"]

LONGEST_WAIT: Final = 86_400.0
"""Seconds after which a wait returns in any case: `poll` takes no more than 2**31 ms, and no infinity."""


class Waker:
    """Wakes the one thread that waits with it. `wake` may be called from any thread, at any time."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def wake(self) -> None:
        """Make the wait return, now or when it begins."""
        with suppress(OSError):  # full, so that it returns anyway; or closed, and nobody is left to wake
            self._sender.send(b"\0")

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._receiver.fileno()

    def drain(self) -> None:
        """Be ready to wake again."""
        with suppress(BlockingIOError):
            self._receiver.recv(4096)

    def close(self) -> None:
        """Release both ends."""
        self._sender.close()
        self._receiver.close()


class _Poll:
    """Wait with `poll`."""

    def __init__(self, waker: Waker) -> None:
        self._waker = waker
        self._waker_fd = waker.fileno()
        self._poll = select.poll()
        self._poll.register(self._waker_fd, select.POLLIN)
        self._watched = (-1, 0)

    def wait(self, fd: int, read: bool, write: bool, timeout: float) -> tuple[bool, bool]:
        """Wait until `fd` can be read or written as asked, the waker was woken, or `timeout` seconds passed.

        An error or a hang-up counts as both: reading or writing will tell what it is. When neither is asked for,
        `fd` is not looked at.

        Returns:
            Whether it can be read, and whether it can be written.
        """
        events = (select.POLLIN if read else 0) | (select.POLLOUT if write else 0)
        if (fd, events) != self._watched:
            self._watch(fd, events)
        readable = writable = False
        for ready_fd, ready in self._poll.poll(ceil(min(timeout, LONGEST_WAIT) * 1000)):
            if ready_fd == self._waker_fd:
                self._waker.drain()
            else:
                readable = read and bool(ready & ~select.POLLOUT)
                writable = write and bool(ready & ~select.POLLIN)
        return readable, writable

    def _watch(self, fd: int, events: int) -> None:
        old_fd, old_events = self._watched
        if old_events and (old_fd != fd or not events):
            self._poll.unregister(old_fd)
        if events:
            self._poll.register(fd, events)
        self._watched = (fd, events)


class _Select:
    """Wait with `select`, for systems without `poll`."""

    def __init__(self, waker: Waker) -> None:
        self._waker = waker

    def wait(self, fd: int, read: bool, write: bool, timeout: float) -> tuple[bool, bool]:
        """As `_Poll.wait`."""
        readers = [self._waker.fileno()] + [fd] * read
        writers = [fd] * write
        # Windows reports a refused connection as an exceptional condition only.
        readable, writable, broken = select.select(readers, writers, writers, min(timeout, LONGEST_WAIT))
        if self._waker.fileno() in readable:
            self._waker.drain()
        return fd in readable, bool(writable or broken)


Readiness = _Poll if hasattr(select, "poll") else _Select
