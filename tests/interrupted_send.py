"""A program that sends while signals interrupt it; it fails where a frame does.

`python interrupted_send.py add|raise|deflate`

In a process of its own, because signals come anywhere: also where a tool that measures coverage holds a lock.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from peer import BadPeer, connected
from raw_server import BINARY, CLOSE, TEXT, TIMEOUT
from test_deflate import LONG, Receiver, agreed, sent

from rxecho import ChannelClosed, connection

MEGABYTE = bytes(1 << 20)


def interrupt_with(handler: Callable[[], object]) -> None:
    """Call `handler` on the main thread, between any two of its steps, every millisecond."""
    signal.signal(signal.SIGALRM, lambda *_: handler())
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)


def leave_alone() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)


def add_in_the_midst() -> None:
    """The handler sends, too: what is received is whole, and in order for each of the two."""
    count = 100
    ticks = 0
    is_ticking = False

    def tick() -> None:
        nonlocal ticks, is_ticking
        if is_ticking:
            return
        is_ticking = True
        with suppress(ChannelClosed):  # a last signal may come after the close
            channel.sink.add(f"tick {ticks + 1}")
            ticks += 1
        is_ticking = False

    def receive_all() -> tuple[int, int]:
        megabytes = received_ticks = 0
        while True:
            opcode, payload = peer.receive()
            if opcode == CLOSE:
                return megabytes, received_ticks
            if opcode == TEXT:
                received_ticks += 1
                assert payload == b"tick %d" % received_ticks
            else:
                megabytes += 1
                assert payload == MEGABYTE

    with connected() as (channel, peer), ThreadPoolExecutor() as threads:
        received = threads.submit(receive_all)
        received.add_done_callback(lambda _: peer.leave())
        interrupt_with(tick)
        for _ in range(count):
            channel.sink.add(MEGABYTE)
        leave_alone()
        channel.sink.close(1000)
        assert received.result(TIMEOUT) == (count, ticks)
        assert ticks > 0


def raise_in_the_midst() -> None:
    """The handler raises, as Ctrl+C does: half a frame may be received, but then nothing more."""
    connection.LINGER = 0.01  # type: ignore[misc]
    is_armed = False

    class Interrupt(BaseException):
        pass

    def interrupt() -> None:
        nonlocal is_armed
        if is_armed:
            is_armed = False
            raise Interrupt

    def receive_all(peer: BadPeer) -> None:
        with suppress(EOFError):
            while True:
                opcode, payload = peer.receive()
                if opcode == CLOSE:
                    return
                assert (opcode, payload) == (BINARY, MEGABYTE)

    for _ in range(20):
        with connected() as (channel, peer), ThreadPoolExecutor() as threads:
            received = threads.submit(receive_all, peer)
            with suppress(Interrupt):
                is_armed = True
                interrupt_with(interrupt)
                while True:
                    channel.sink.add(MEGABYTE)
            leave_alone()
            with suppress(ChannelClosed):
                channel.sink.add(MEGABYTE)
                channel.sink.add(MEGABYTE)
            channel.sink.close(1011)
            received.result(TIMEOUT)


def add_while_a_message_is_deflated() -> None:
    """The handler sends, too: both are inflated to what was added, in order for each of the two."""
    inflater = Receiver()
    signals = 0

    def add() -> None:
        nonlocal signals
        signals += 1
        channel.sink.add(f"signal {LONG}")

    def receive_all() -> list[str]:
        received: list[str] = []
        while True:
            first, payload = sent(peer)
            if first & 0xF == CLOSE:
                return received
            received.append((inflater.inflate(payload) if first & 0x40 else payload).decode())

    with agreed() as (channel, peer), ThreadPoolExecutor() as threads:
        received = threads.submit(receive_all)
        received.add_done_callback(lambda _: peer.leave())
        count = 0
        interrupt_with(add)
        while signals < 200:
            channel.sink.add(f"{count} {LONG}")
            count += 1
        leave_alone()
        expected = signals
        channel.sink.close()
        names = [name for name, text in (message.split(" ", 1) for message in received.result(TIMEOUT)) if text == LONG]
        assert names.count("signal") == expected
        assert [name for name in names if name != "signal"] == [str(number) for number in range(count)]


if __name__ == "__main__":
    {"add": add_in_the_midst, "raise": raise_in_the_midst, "deflate": add_while_a_message_is_deflated}[sys.argv[1]]()
