"""Waiting for a socket, and being woken: both ways of doing it, with real sockets."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import inf

import pytest

from rxecho.readiness import Readiness, Waker, _Poll, _Select

TIMEOUT = 10.0
AT_ONCE = 0.0


@pytest.fixture
def waker() -> Iterator[Waker]:
    waker = Waker()
    yield waker
    waker.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and the peer's end of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours, theirs:
        ours.setblocking(False)
        theirs.settimeout(TIMEOUT)
        yield ours, theirs


@pytest.fixture(params=[_Poll, _Select])
def readiness(request: pytest.FixtureRequest, waker: Waker) -> _Poll | _Select:
    made: _Poll | _Select = request.param(waker)
    return made


def fill(sock: socket.socket) -> None:
    # The kernel may still move some of it to the other end, and so make room again.
    while select.select([], [sock], [], 0.05)[1]:
        with suppress(BlockingIOError):
            sock.send(bytes(1 << 20))


def test_poll_is_used_where_there_is_one() -> None:
    assert Readiness is (_Poll if hasattr(select, "poll") else _Select)


def test_a_quiet_socket_can_be_written_and_not_read(
    readiness: _Poll | _Select, pair: tuple[socket.socket, socket.socket]
) -> None:
    fd = pair[0].fileno()
    assert readiness.wait(fd, True, True, AT_ONCE) == (False, True)
    assert readiness.wait(fd, True, False, AT_ONCE) == (False, False)
    assert readiness.wait(fd, False, True, TIMEOUT) == (False, True)


def test_a_socket_with_something_to_read_and_no_room_to_write_can_be_read_only(
    readiness: _Poll | _Select, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    fill(ours)
    theirs.sendall(b"x")
    assert readiness.wait(ours.fileno(), True, False, TIMEOUT) == (True, False)
    assert readiness.wait(ours.fileno(), True, True, TIMEOUT) == (True, False)
    assert readiness.wait(ours.fileno(), False, True, AT_ONCE) == (False, False)


def test_a_full_socket_can_be_written_as_soon_as_the_peer_reads(
    readiness: _Poll | _Select, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    fill(ours)
    assert readiness.wait(ours.fileno(), True, True, AT_ONCE) == (False, False)

    def drain() -> None:
        with suppress(OSError):
            while theirs.recv(1 << 20):
                pass

    with ThreadPoolExecutor() as threads:
        drained = threads.submit(drain)
        assert readiness.wait(ours.fileno(), True, True, TIMEOUT) == (False, True)
        ours.shutdown(socket.SHUT_WR)
        drained.result(TIMEOUT)


def test_a_socket_is_not_looked_at_when_neither_is_asked_for(
    readiness: _Poll | _Select, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    theirs.sendall(b"x")
    assert readiness.wait(ours.fileno(), True, False, TIMEOUT) == (True, False)
    theirs.close()
    assert readiness.wait(ours.fileno(), False, False, AT_ONCE) == (False, False)
    assert readiness.wait(-1, False, False, AT_ONCE) == (False, False)
    assert readiness.wait(ours.fileno(), True, False, TIMEOUT) == (True, False)


@pytest.mark.parametrize("linger", ["FIN", "RST"])
def test_the_end_of_a_connection_can_be_read(
    readiness: _Poll | _Select, pair: tuple[socket.socket, socket.socket], linger: str
) -> None:
    ours, theirs = pair
    if linger == "RST":
        ours.send(b"never read, so that closing resets")
        select.select([theirs], [], [], TIMEOUT)
    theirs.close()
    assert readiness.wait(ours.fileno(), True, False, TIMEOUT) == (True, False)
    assert readiness.wait(ours.fileno(), True, True, TIMEOUT) == (True, True)
    assert readiness.wait(ours.fileno(), False, True, TIMEOUT) == (False, True)


def test_one_socket_may_follow_another_even_with_the_same_descriptor(
    readiness: _Poll | _Select, pair: tuple[socket.socket, socket.socket]
) -> None:
    first, _ = pair
    fd = first.fileno()
    assert readiness.wait(fd, True, True, TIMEOUT) == (False, True)
    first.close()
    left, right = socket.socketpair()
    with left, right:
        right.send(b"x")
        assert readiness.wait(left.fileno(), True, False, TIMEOUT) == (True, False)
        assert readiness.wait(right.fileno(), False, True, TIMEOUT) == (False, True)


def test_another_thread_wakes_the_wait(readiness: _Poll | _Select, waker: Waker) -> None:
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(readiness.wait, -1, False, False, inf)
        waker.wake()
        assert waiting.result(TIMEOUT) == (False, False)


def test_a_wake_before_the_wait_is_not_forgotten_and_wakes_once(readiness: _Poll | _Select, waker: Waker) -> None:
    waker.wake()
    waker.wake()
    assert readiness.wait(-1, False, False, TIMEOUT) == (False, False)
    assert select.select([waker.fileno()], [], [], AT_ONCE) == ([], [], [])


def test_being_woken_hides_nothing_of_the_socket(
    readiness: _Poll | _Select, waker: Waker, pair: tuple[socket.socket, socket.socket]
) -> None:
    pair[1].sendall(b"x")
    select.select([pair[0]], [], [], TIMEOUT)
    waker.wake()
    assert readiness.wait(pair[0].fileno(), True, True, TIMEOUT) == (True, True)


class _Interrupted:
    """A receiver that another thread runs in front of, wherever it may."""

    def __init__(self, receiver: socket.socket, waker: Waker) -> None:
        self._receiver = receiver
        self._waker = waker

    def recv(self, size: int) -> bytes:
        self._waker.wake()
        data = self._receiver.recv(size)
        self._waker.wake()
        return data


def test_a_wake_in_the_midst_of_a_drain_does_not_make_later_ones_vanish(waker: Waker) -> None:
    receiver = waker._receiver
    waker.wake()
    waker._receiver = _Interrupted(receiver, waker)  # type: ignore[assignment]
    waker.drain()
    waker._receiver = receiver
    waker.wake()
    assert select.select([receiver], [], [], TIMEOUT)[0] == [receiver]


def test_no_wake_is_lost_however_many_threads_wake(readiness: _Poll | _Select, waker: Waker) -> None:
    """Each thread tells its news before it wakes; who waits has to see all news, without any time-out."""
    told = [0] * 4
    seen = threading.Event()

    def tell(index: int) -> None:
        for _ in range(500):
            told[index] += 1
            waker.wake()

    def look() -> None:
        while sum(told) < 2000:
            readiness.wait(-1, False, False, inf)
        seen.set()

    with ThreadPoolExecutor() as threads:
        looking = threads.submit(look)
        for telling in [threads.submit(tell, index) for index in range(4)]:
            telling.result(TIMEOUT)
        try:
            assert seen.wait(TIMEOUT)
        finally:
            told[0] += 2000
            waker.wake()  # whatever was found, the thread has to end
        looking.result(TIMEOUT)


@pytest.mark.parametrize("timeout", [inf, 1e300, 2.0**31])
def test_no_time_is_too_long_to_wait(readiness: _Poll | _Select, waker: Waker, timeout: float) -> None:
    waker.wake()
    assert readiness.wait(-1, False, False, timeout) == (False, False)


def test_waking_what_is_closed_is_harmless(waker: Waker) -> None:
    waker.close()
    waker.wake()


def test_a_closed_waker_leaves_no_descriptor() -> None:
    waker = Waker()
    fds = [waker._receiver.fileno(), waker._sender.fileno()]
    waker.close()
    for fd in fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
