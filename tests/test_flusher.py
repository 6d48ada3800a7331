"""What is held back leaves on time, by one thread that is there only as long as a channel needs it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from peer import Recorder, connected, frame
from raw_server import BINARY, CLOSE, PING, PONG, TEXT, TIMEOUT

from rxecho import WebSocketChannel, flusher
from rxecho.frames import Message


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not flushers()


def flushers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "rxecho flusher"]


def busy(channel: WebSocketChannel, until: threading.Event) -> Recorder[Message]:
    """A subscriber that answers the last message that came, and is then busy for as long as it can be."""

    def answer(message: Message) -> None:
        channel.sink.add(f"re: {message!s}")
        if message == "last":
            assert until.wait(TIMEOUT)

    recorder = Recorder(answer)
    channel.stream.subscribe(recorder)
    return recorder


def test_a_reply_leaves_while_the_subscriber_that_made_it_is_busy() -> None:
    has_come = threading.Event()
    with connected() as (channel, peer):
        recorder = busy(channel, has_come)
        peer.sock.sendall(frame(TEXT, b"first") + frame(TEXT, b"last"))
        assert peer.receive() == (TEXT, b"re: first")
        assert peer.receive() == (TEXT, b"re: last")
        assert not has_come.is_set()
        has_come.set()
        recorder.wait_for(2)


def test_a_pong_leaves_while_a_subscriber_is_busy() -> None:
    has_come = threading.Event()
    with connected() as (channel, peer):
        recorder = busy(channel, has_come)
        peer.sock.sendall(frame(TEXT, b"first") + frame(PING, b"?") + frame(TEXT, b"last"))
        assert [peer.receive() for _ in range(3)] == [(TEXT, b"re: first"), (PONG, b"?"), (TEXT, b"re: last")]
        has_come.set()
        recorder.wait_for(2)


def test_a_large_reply_goes_on_leaving_while_the_subscriber_that_made_it_is_busy() -> None:
    has_come = threading.Event()
    large = b"x" * 20_000_000

    def answer(_: Message) -> None:
        channel.sink.add(large)
        assert has_come.wait(TIMEOUT)

    with connected(ping_interval=None) as (channel, peer):
        recorder = Recorder(answer)
        channel.stream.subscribe(recorder)
        peer.send(TEXT, b"go")
        assert peer.receive() == (BINARY, large)
        has_come.set()
        recorder.wait_for(1)


def test_a_closed_channel_does_not_wait_for_the_next_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher, "PATIENCE", 600.0)
    has_come = threading.Event()
    with connected() as (channel, peer):
        busy(channel, has_come)
        has_come.set()
        peer.sock.sendall(frame(TEXT, b"first") + frame(TEXT, b"last"))
        assert [peer.receive() for _ in range(2)] == [(TEXT, b"re: first"), (TEXT, b"re: last")]
        assert flushers()
        peer.send(CLOSE, b"")
        peer.receive_close()
        peer.leave()
        channel.sink.done.result(TIMEOUT)


def test_one_thread_serves_all_channels_and_ends_with_the_last() -> None:
    has_come = threading.Event()
    with connected() as (outer, outer_peer):
        with connected() as (inner, inner_peer):
            for channel, peer in ((outer, outer_peer), (inner, inner_peer)):
                busy(channel, has_come)
                peer.sock.sendall(frame(TEXT, b"first") + frame(TEXT, b"last"))
                assert [peer.receive() for _ in range(2)] == [(TEXT, b"re: first"), (TEXT, b"re: last")]
            assert len(flushers()) == 1
            has_come.set()
        assert len(flushers()) == 1


def test_a_channel_that_holds_nothing_back_starts_no_thread() -> None:
    with connected() as (channel, peer):
        channel.sink.add("asked by the main thread")
        assert peer.receive() == (TEXT, b"asked by the main thread")
        assert not flushers()


def test_where_the_system_has_no_thread_left_nothing_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    has_come = threading.Event()
    with connected() as (channel, peer):
        monkeypatch.setattr(threading.Thread, "start", refuse)
        recorder = busy(channel, has_come)
        peer.sock.sendall(frame(TEXT, b"first") + frame(TEXT, b"last"))
        assert [peer.receive() for _ in range(2)] == [(TEXT, b"re: first"), (TEXT, b"re: last")]
        has_come.set()
        recorder.wait_for(2)
        monkeypatch.undo()


def test_who_leaves_is_called_no_more_and_who_stays_still_is() -> None:
    clock = flusher._Flusher()
    left, stayed = threading.Event(), threading.Event()
    clock.join(left.set)
    clock.join(stayed.set)
    clock.leave(left.set)
    clock.hold()
    assert stayed.wait(TIMEOUT)
    assert not left.is_set()
    clock.leave(stayed.set)


def test_one_that_raises_is_reported_and_keeps_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_type))

    def fail() -> None:
        raise MemoryError

    clock = flusher._Flusher()
    called = threading.Event()
    clock.join(fail)
    clock.join(called.set)
    for _ in range(2):
        called.clear()
        clock.hold()
        assert called.wait(TIMEOUT)
    clock.leave(fail)
    clock.leave(called.set)
    assert reported[:2] == [MemoryError, MemoryError]


def test_a_clock_that_is_slow_to_wait_is_not_left_behind_by_the_next_one() -> None:
    """The first is stopped between looking and waiting; meanwhile a second one comes, ticks, and waits again."""
    is_looking, may_wait = threading.Event(), threading.Event()

    class Slow(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            is_looking.set()
            assert may_wait.wait(TIMEOUT)
            return super().wait(timeout)

    clock = flusher._Flusher()
    ticked = threading.Event()
    first = flusher._Clock(clock._flush)
    first.is_wanted = Slow()
    first.start()
    clock._clock = first
    clock._flushes = (ticked.clear,)
    assert is_looking.wait(TIMEOUT)
    is_leaving, stop = threading.Event(), first.stop

    def overheard() -> None:
        is_leaving.set()
        stop()

    first.stop = overheard  # type: ignore[method-assign]
    leaving = threading.Thread(target=clock.leave, args=(ticked.clear,))
    leaving.start()
    assert is_leaving.wait(TIMEOUT)
    clock.join(ticked.set)
    clock.hold()
    assert ticked.wait(TIMEOUT)
    may_wait.set()
    leaving.join(TIMEOUT)
    assert not leaving.is_alive()
    clock.leave(ticked.set)


def test_who_leaves_in_the_middle_of_a_tick_takes_the_thread_along_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher, "PATIENCE", 600.0)
    is_ticking = threading.Event()

    class Overheard(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            is_ticking.set()
            return super().wait(timeout)

    clock = flusher._Flusher()
    clock.join(print)
    assert clock._clock
    clock._clock._is_over = Overheard()
    clock.hold()
    assert is_ticking.wait(TIMEOUT)
    clock.leave(print)
    assert not flushers()


def test_it_can_be_joined_again_after_the_last_has_left() -> None:
    clock = flusher._Flusher()
    for _ in range(2):
        called = threading.Event()
        clock.join(called.set)
        clock.hold()
        assert called.wait(TIMEOUT)
        clock.leave(called.set)
        assert not flushers()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_process_gets_a_thread_of_its_own() -> None:
    script = """
import os, threading, warnings
from rxecho.flusher import flusher
warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what this is about
flusher.join(print)
if child := os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
called = threading.Event()
flusher.join(called.set)
flusher.hold()
os._exit(0 if called.wait(20) else 1)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
