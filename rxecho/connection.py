"""One thread, one socket: frames in, frames out, and the closing handshake. Knows nothing of Rx.

On a message's way this lies between the socket and `channel`: what arrives is handed to a `Listener` on the
connection's own thread; what is sent is written on the thread that sends it, as long as the socket takes it.
"""

from __future__ import annotations

import atexit
import os
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from math import inf
from threading import get_ident
from time import monotonic
from typing import Final, Never

from rxecho.deflate import Deflater
from rxecho.endpoint import Endpoint
from rxecho.errors import ChannelClosed, ChannelError, ConnectionLost, InvalidPayload, MessageTooBig, ProtocolError
from rxecho.flusher import flusher
from rxecho.frames import (
    MAX_CONTROL_PAYLOAD,
    ControlFrame,
    FrameReader,
    Message,
    Opcode,
    encode,
    encode_apart,
    encode_close,
    parse_close,
)
from rxecho.futures import ChannelFuture
from rxecho.handshake import GivenUp, Opened, open_connection
from rxecho.isolation import report
from rxecho.readiness import Readiness, Waker
from rxecho.status import CloseCode

__all__ = ["ChannelState", "Connection", "Listener", "Tap"]

HIGH_WATER: Final = 4 * 2**20
"""Bytes waiting to be sent beyond which `send` blocks."""

STALL: Final = 64 * 2**20
"""Bytes waiting to be sent beyond which nothing is read until the peer drains them."""

PIECE_COST: Final = 128
"""Bytes that a message counts for at least, since each takes memory: else any number of empty ones could wait."""

ROOM_TIMEOUT: Final = 0.1
"""Seconds that `send` leaves it to the connection's own thread to make room, before it tries by itself."""

LINGER: Final = 1.0
"""Seconds that are left to the peer to close TCP, after the last frame was exchanged."""

READ_SIZE: Final = 256 * 1024
LARGEST_READ: Final = 768 * 1024
"""Bytes received at once: so many are still in the processor's cache when they are handed over; more only where a
message misses more, and so many came the last time. It is then joined of fewer pieces."""

RECORD_SIZE: Final = 16 * 1024
RECORDS: Final = 256
"""Bytes in a record of TLS, and how many records are received at once, at most."""

# glibc hands large blocks back to the system as soon as they are free, and gets them anew page by page, which takes
# longer than to fill them. It does so only with blocks larger than any that it has seen come and go, as it does here.
bytes(4 * 2**20)

GATHER_SIZE: Final = 64 * 1024
GATHER_TIME: Final = 0.001
"""Frames sent while received ones are handed over are gathered into one write: so many bytes, so many seconds."""

APART_SIZE: Final = 16 * 1024
"""Bytes in a payload from which its frame is queued in two pieces, which spares a copy."""

LARGEST_SCATTER: Final = 64
"""Pieces that are handed to the system as they are; more, and small ones, are joined."""

DEFLATE_FROM: Final = 100
"""Bytes in a message from which it is deflated; below that there is nothing to gain."""

LARGEST_WRITE: Final = 1024 * 1024
LARGEST_TLS_WRITE: Final = 256 * 1024
"""Bytes in one write. TLS takes all of them or none: between two writes a slow peer is seen to make progress."""


class ChannelState(int, Enum):  # not an IntEnum, which would print as a mere number
    """How far a channel is; it only ever moves forward. Numbered as the `readyState` of browsers.

    >>> ChannelState.OPEN < ChannelState.CLOSING
    True
    """

    CONNECTING = 0
    """On the way to the server, or shaking hands with it."""
    OPEN = 1
    """Messages go both ways."""
    CLOSING = 2
    """Either side has begun the closing handshake, or the connection is being failed."""
    CLOSED = 3
    """Over, in order or not."""


# Since Python 3.11 takes as long to find a member of an enum as to call a function.
_OPEN: Final = ChannelState.OPEN
_BINARY: Final = Opcode.BINARY

_CAN_SCATTER: Final = hasattr(socket.socket, "sendmsg")  # not on Windows

_Piece = tuple[bytes | memoryview, int]
"""Bytes to be written, and how many of the payload's, as the application gave it, are done with once they are."""


@dataclass(frozen=True, slots=True)
class Listener:
    """What a connection calls, always on its own thread. None of it may raise."""

    on_message: Callable[[Message], None]
    """A message arrived while the connection was open."""
    on_state: Callable[[ChannelState], None]
    """The connection has moved on."""
    on_wake: Callable[[], object]
    """The thread comes by: between two reads, and after `Connection.resume`."""
    on_end: Callable[[ChannelError | None], None]
    """All is over: in order, or with an error."""


Tap = Callable[[bool, Opcode, Message], None]
"""What is told of messages, pings and pongs: whether it was sent, what it is, and its payload."""


class _Ended(Exception):
    """The connection is no more; the text says what happened."""


@dataclass(slots=True)
class _Ping:
    payload: bytes
    sent_at: float
    answered: ChannelFuture[float] | None
    """None for a ping of the keepalive."""


class Connection:
    """A WebSocket connection to `endpoint`, from `start` to `done`.

    Args:
        endpoint: Where to connect.
        connect_timeout: Seconds until open.
        close_timeout: Seconds without progress that the closing handshake may take.
        ping_interval: Seconds between a pong and the next ping; `inf` for no pings.
        ping_timeout: Seconds of listening without a pong after which the peer is gone; `inf` for never.
        max_message_size: Bytes in the largest message that is received.
    """

    _is_exiting = False

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        connect_timeout: float,
        close_timeout: float,
        ping_interval: float,
        ping_timeout: float,
        max_message_size: int,
    ) -> None:
        self.url = endpoint.url
        """As it may be shown: without a password."""
        self.max_message_size = max_message_size
        self.state = ChannelState.CONNECTING
        self.protocol: str | None = None
        """The subprotocol that the server chose, if it did."""
        self.close_code: int | None = None
        self.close_reason: str | None = None
        """Both `None` until closed. Then what the peer's close frame said, or 1006 and `""`."""
        self.thread = threading.Thread(target=self._run, name=f"rxecho {endpoint.url}", daemon=True)
        """Where everything is read and handed over, from name look-up to the end."""
        self.ready: ChannelFuture[None] = ChannelFuture(self.thread)
        """Done when open; fails with what prevented that."""
        self.done: ChannelFuture[None] = ChannelFuture(self.thread)
        """Done when closed, however it came to that."""
        self.buffered_amount = 0
        """Payload bytes that were accepted and not yet handed to the operating system."""

        self._endpoint = endpoint
        self._connect_timeout = connect_timeout
        self._close_timeout = close_timeout
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._thread_id = 0
        self._reader = FrameReader(max_message_size)
        self._deflater: Deflater | None = None
        self._waker = Waker()
        self._readiness = Readiness(self._waker)

        # One lock for the state, for all that is sent, and around every call of TLS, which no two threads may
        # enter at once. It is re-entrant because a signal handler may send, too. Never held while user code runs.
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        self._waiting_for_room = 0
        self._sock: socket.socket | None = None
        self._is_tls = False
        self._largest_write = LARGEST_WRITE
        # What is to be written; the payload bytes in it are, together, `buffered_amount`.
        self._outgoing: deque[_Piece] = deque()
        # Of that, bytes added since the last write, and whether they are held back, to be one write; and when that was.
        self._gathered = 0
        self._is_holding = False
        self._flushed_at = 0.0
        # The socket takes nothing more for now; and so much waits for it that nothing is read meanwhile.
        self._is_blocked = False
        self._is_stalled = False
        # Nothing more can be written, ever; there may still be something to read.
        self._is_broken = False
        self._is_flushing = False
        # Another thread has sent something, and nothing was received since.
        self._is_stretch = False
        self._transitions: deque[ChannelState] = deque()
        self.is_closed_by_us = False
        """Whether it was we who began to close it."""
        self._is_given_up = False
        self._peer_close: tuple[int, str] | None = None
        self._failure: ChannelError | None = None
        # The peer has said its last: what comes now is not looked at.
        self._is_over = False
        self._close_by = inf
        self._pings: deque[_Ping] = deque()
        self._last_pong: tuple[bytes, int] | None = None
        # Seconds that we listened, and heard no pong. Time that passes in subscribers does not count.
        self._silence = 0.0

        # Written by the connection's own thread alone.
        self._is_watched = False
        self._is_flowing = False
        self._is_tls_over = False
        self._tls_error: OSError | None = None
        self._is_waiting = False
        self._is_handing_over = False
        self._next_ping_at = inf
        self._is_awaiting_pong = False

        # Replaced instead of changed, so that it can be walked through without the lock.
        self._taps: tuple[Tap, ...] = ()

        # Set by the connection's own thread, and cleared by any other, which is the last to write it: the stream
        # pauses only while nobody has subscribed.
        self._is_paused = False

    # Called from any thread.

    def start(self, listener: Listener) -> None:
        """Begin to connect, in the background, and tell `listener` what happens."""
        self._listener = listener
        try:
            self.thread.start()
        except RuntimeError:  # the system has no thread left
            self._waker.close()
            raise

    @property
    def is_on_own_thread(self) -> bool:
        """Whether the caller is the connection's own thread."""
        return get_ident() == self._thread_id

    @property
    def arriving_amount(self) -> int:
        """Bytes that are here of a message which has not arrived whole."""
        return self._reader.unfinished_size

    def send(self, opcode: Opcode, payload: bytes) -> None:
        """Send a message, or queue it until the connection is open.

        Blocks while more than `HIGH_WATER` bytes wait, but not on the connection's own thread: that one has to
        read, or the peer might never drain.

        Raises:
            ChannelClosed: The connection is closing or closed.
        """
        is_own = get_ident() == self._thread_id
        with self._lock:
            # A signal handler that interrupted a write must not wait for what that would write.
            if not is_own and not self._is_flushing:
                self._wait_for_room()
            if self.state > _OPEN or self._is_broken:
                raise self.closed_error("is closed")
            if self._taps:
                self._tell(True, opcode, payload if opcode is _BINARY else payload.decode())
            size = len(payload)
            if self._deflater is not None and size >= DEFLATE_FROM:
                self._queue_deflated(opcode, payload)
            else:
                self._queue(opcode, payload, size)
            # A reply may wait for those behind it, and so may what another thread sends at a stretch, while our own is
            # free to write it. That is asked after it was queued, as `_wait` looks at the queue after it has waited.
            is_reply = is_own and self._is_handing_over
            is_own_free = self._is_waiting and not self._is_blocked and not self._is_exiting
            may_wait = is_reply or (self._is_stretch and is_own_free)
            if not may_wait or self._gathered >= GATHER_SIZE or monotonic() - self._flushed_at >= GATHER_TIME:
                self._is_stretch = not is_own
                self._flush()
            if may_wait and not self._is_holding and self._outgoing:
                self._hold(by_flusher=is_reply)

    def ping(self, payload: bytes) -> ChannelFuture[float]:
        """Send a ping; the future is the round trip in seconds.

        Raises:
            TypeError: The payload is not bytes.
            ValueError: It has more than 125 of them.
            ChannelClosed: The connection is closing or closed.
        """
        payload = _control_payload("ping", payload)
        answered: ChannelFuture[float] = ChannelFuture(self.thread)
        with self._lock:
            self._demand_sendable()
            self._send_ping(payload, answered)
        return answered

    def pong(self, payload: bytes) -> None:
        """Send a pong that no ping has asked for: RFC 6455, section 5.5.3.

        Raises:
            TypeError: The payload is not bytes.
            ValueError: It has more than 125 of them.
            ChannelClosed: The connection is closing or closed.
        """
        payload = _control_payload("pong", payload)
        with self._lock:
            self._demand_sendable()
            self._tell(True, Opcode.PONG, payload)
            self._outgoing.append((encode(Opcode.PONG, payload), 0))
            self._flush()

    def close(self, code: int | None, reason: str) -> ChannelFuture[None]:
        """Begin the closing handshake, behind everything that was sent; `done` tells when it is over.

        Raises:
            ValueError: `code` or `reason` cannot be sent.
        """
        frame = encode_close(code, reason)
        with self._lock:
            was_connecting = self.state is ChannelState.CONNECTING
            if self.state <= ChannelState.OPEN:
                self.is_closed_by_us = True
                # A ping alone is nothing that anybody waits to have delivered.
                self._is_given_up = was_connecting and len(self._outgoing) == len(self._pings)
                self._begin_closing(frame)
        if was_connecting:
            self.ready.fail(self.closed_error("was closed before it was open"))
        self._waker.wake()
        return self.done

    def closed_error(self, how: str) -> ChannelClosed:
        """The error for what can no longer be had of this connection."""
        return ChannelClosed(f"the channel to {self.url} {how}; connect a new one to go on")

    def tap(self, tap: Tap) -> Callable[[], None]:
        """Tell of each message that is sent, and of each ping and pong, from now on, in the order of the wire.

        Of what is received on the connection's own thread; of what is sent before it leaves, with a lock held: `tap`
        must be quick, and may neither send nor raise. Messages that are received have a `Listener`.

        Returns:
            What ends it.
        """

        def end() -> None:
            with self._lock:
                self._taps = tuple(other for other in self._taps if other is not tap)

        with self._lock:
            self._taps += (tap,)
        return end

    def _tell(self, sent: bool, opcode: Opcode, payload: Message) -> None:
        for tap in self._taps:
            tap(sent, opcode, payload)

    def pause(self) -> None:
        """Stop reading, as soon as the message that is being handed over has been."""
        self._is_paused = True

    def resume(self) -> None:
        """Read again, and have `Listener.on_wake` called."""
        self._is_paused = False
        self._waker.wake()

    # Below here: with the lock held.

    def _queue(self, opcode: Opcode, payload: bytes, size: int, *, compressed: bool = False) -> None:
        if len(payload) < APART_SIZE:
            frame = encode(opcode, payload, compressed=compressed)
            self._outgoing.append((frame, size))
            self._gathered += len(frame)
        else:
            header, masked = encode_apart(opcode, payload, compressed=compressed)
            # In one step, since a signal handler may send, too.
            self._outgoing.extend(((header, 0), (masked, size)))
            self._gathered += len(masked)
        self.buffered_amount += size
        if self._is_blocked:
            self._is_stalled = self._is_over_limit(STALL)

    def _queue_deflated(self, opcode: Opcode, payload: bytes) -> None:
        deflater, self._deflater = self._deflater, None  # what a signal handler sends meanwhile goes as it is
        assert deflater
        try:
            self._queue(opcode, deflater.deflate(payload), len(payload), compressed=True)
        except BaseException:
            deflater.reset()  # a signal handler raised, and the peer may never see what was deflated
            raise
        finally:
            self._deflater = deflater

    def _wait_for_room(self) -> None:
        while self._is_over_limit(HIGH_WATER) and self._is_sendable:
            self._waiting_for_room += 1
            try:
                has_changed = self._room.wait(ROOM_TIMEOUT)
            except BaseException:
                # A signal handler may raise when Python's `wait` has let the lock go, and would not yet take it back.
                if not self._lock._is_owned():  # type: ignore[attr-defined]
                    self._lock.acquire()
                raise
            finally:
                self._waiting_for_room -= 1
            if not has_changed:
                # The connection's own thread may be busy in a subscriber, or wait there for room in another
                # channel, whose thread waits here. Then nobody but us is left to write.
                self._is_blocked = False
                self._flush()

    def _is_over_limit(self, limit: int) -> bool:
        return self.buffered_amount > limit or len(self._outgoing) * PIECE_COST > limit

    def _tell_of_room(self) -> None:
        if self._waiting_for_room:
            self._room.notify_all()

    @property
    def _patience(self) -> float:
        """Seconds that a peer has which makes no progress: to close TCP, or to take and answer what is before that."""
        return LINGER if self._is_over and not self._outgoing else self._close_timeout

    @property
    def _is_sendable(self) -> bool:
        return self.state <= ChannelState.OPEN and not self._is_broken

    def _demand_sendable(self) -> None:
        if not self._is_sendable:
            raise self.closed_error("is closed")

    def _send_ping(self, payload: bytes, answered: ChannelFuture[float] | None) -> None:
        self._tell(True, Opcode.PING, payload)
        self._pings.append(_Ping(payload, monotonic(), answered))
        self._outgoing.append((encode(Opcode.PING, payload), 0))
        self._flush()

    def _move_to(self, state: ChannelState) -> None:
        self.state = state
        self._transitions.append(state)
        # Whoever waits for room will find that there is nothing to wait for.
        self._tell_of_room()

    def _begin_closing(self, frame: bytes) -> None:
        self._close_by = monotonic() + (LINGER if self._is_broken else self._close_timeout)
        self._outgoing.append((frame, 0))
        self._move_to(ChannelState.CLOSING)
        self._flush()

    def _flush(self) -> None:
        """Write what is queued, as far as the socket takes it."""
        # A signal handler may come here in the middle of a write, which will see to what it has queued.
        if self._is_blocked or self._is_broken or self._is_flushing or self._sock is None:
            return
        try:
            self._is_flushing = True
            has_written = self._write(self._sock)
        except OSError:
            self._break()
            return
        except BaseException:
            # A signal handler raised, and nobody knows how much was written. Nothing may follow half a frame.
            self._break()
            self._close_by = min(self._close_by, monotonic() + LINGER)
            raise
        finally:
            self._is_flushing = False
        self._gathered = 0
        self._is_holding = False
        if has_written:
            self._flushed_at = monotonic()
            # A peer that drains is alive.
            if self._is_blocked:
                self._silence = 0.0
            if self.state is not _OPEN:
                self._close_by = self._flushed_at + self._patience
        self._is_stalled = self._is_blocked and self._is_over_limit(STALL)
        if self._waiting_for_room and not self._is_over_limit(HIGH_WATER):
            self._tell_of_room()
        if self._outgoing:
            if not self._is_blocked:  # a signal handler sent something, right after the last write
                self._flush()
            elif not self.is_on_own_thread:
                self._waker.wake()

    def _hold(self, *, by_flusher: bool) -> None:
        """Leave what is queued to the connection's own thread, or to the flusher while that is in a subscriber."""
        self._is_holding = True
        if not by_flusher:
            self._waker.wake()
            return
        try:
            if not self._is_watched:
                flusher.join(self._flush_what_is_held)
                self._is_watched = True
        except RuntimeError:  # the system has no thread left
            self._flush()
        else:
            flusher.hold()

    def _write(self, sock: socket.socket) -> bool:
        """Write until nothing is left, or the socket is blocked; true when it took anything at all."""
        has_written = False
        while self._outgoing:
            batch, length = self._take_batch()
            try:
                written = self._write_batch(sock, batch, length)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                written = 0
            has_written = has_written or written > 0
            if written < length:
                self._put_back(batch, written)
            if written < min(length, self._largest_write):
                self._is_blocked = True
                break
        return has_written

    def _take_batch(self) -> tuple[list[_Piece], int]:
        """Take the next pieces off the queue, to be one write, with the bytes in them."""
        outgoing = self._outgoing
        batch: list[_Piece] = []
        length = taken = 0
        while outgoing and length < GATHER_SIZE:
            piece = outgoing.popleft()
            batch.append(piece)
            data, size = piece
            length += len(data)
            taken += size
        self.buffered_amount -= taken
        return batch, length

    def _write_batch(self, sock: socket.socket, batch: list[_Piece], length: int) -> int:
        pieces = [data for data, _ in batch]
        if length > self._largest_write:
            pieces[-1] = memoryview(pieces[-1])[: self._largest_write - length]
        if len(pieces) == 1:
            return sock.send(pieces[0])
        if length > GATHER_SIZE and len(pieces) <= LARGEST_SCATTER and not self._is_tls and _CAN_SCATTER:
            return sock.sendmsg(pieces)
        return sock.send(b"".join(pieces))

    def _put_back(self, batch: list[_Piece], written: int) -> None:
        """Leave what was not written to the next attempt."""
        unsent = deque(batch)
        while unsent and written >= len(unsent[0][0]):
            written -= len(unsent.popleft()[0])
        if written:
            data, size = unsent.popleft()
            rest = memoryview(data)[written:]
            unsent.appendleft((rest, min(size, len(rest))))
        self.buffered_amount += sum(size for _, size in unsent)
        self._outgoing.extendleft(reversed(unsent))

    def _break(self) -> None:
        """Write nothing more. What the peer said before is still to be read, and then that it is gone."""
        self._is_broken = True
        self._outgoing.clear()
        self.buffered_amount = 0
        self._is_stalled = False
        if self.state is not ChannelState.OPEN:
            self._close_by = min(self._close_by, monotonic() + LINGER)
        self._tell_of_room()
        self._waker.wake()

    def _flush_what_is_held(self) -> None:
        """The same, for the flusher, which holds no lock."""
        if not (self._outgoing and self._is_handing_over):
            return
        with self._lock:
            # Who would hear that the socket takes more is in a subscriber.
            self._is_blocked = False
            self._flush()
            if self._outgoing:
                flusher.hold()

    # Below here: on the connection's own thread.

    def _run(self) -> None:
        self._thread_id = get_ident()
        error: ChannelError | None = None
        try:
            opened = open_connection(
                self._endpoint,
                timeout=self._connect_timeout,
                waker=self._waker,
                given_up=lambda: self._is_given_up,
            )
            self._serve(opened)
        except GivenUp:
            pass
        except _Ended as end:
            error = self._outcome(str(end), end.__cause__)
        except ChannelError as reason:
            error = reason
        except Exception as fault:  # noqa: BLE001 - a fault of ours must not leave anybody waiting
            error = ConnectionLost(f"the connection to {self.url} failed with {fault!r}, which is a fault in rxecho")
            error.__cause__ = fault
            report(fault)
        self._finish(error)

    def _serve(self, opened: Opened) -> Never:
        """Read and hand over until the end.

        Raises:
            _Ended: That is now.
        """
        self._open(opened)
        arrived: Iterator[Message | ControlFrame] | None = self._reader.read(opened.received)
        while True:
            self._announce()
            self._listener.on_wake()
            if arrived is not None and not self._is_held and self._hand_over(arrived):
                arrived = None
                self._announce()  # the peer may have closed, and be in no hurry to leave
            if self._wait(opened.sock, may_read=arrived is None):
                arrived = self._read(opened.sock)

    def _open(self, opened: Opened) -> None:
        self.protocol = opened.protocol
        with self._lock:
            if opened.deflate is not None:
                self._reader = FrameReader(self.max_message_size, opened.deflate.inflater())
                self._deflater = opened.deflate.deflater()
            self._sock = opened.sock
            _with_sockets.add(self)
            if isinstance(opened.sock, ssl.SSLSocket):
                self._is_tls = True
                self._largest_write = LARGEST_TLS_WRITE
            now = monotonic()
            self._next_ping_at = now + self._ping_interval
            for ping in self._pings:
                ping.sent_at = now
            is_first = self.state is ChannelState.CONNECTING
            if is_first:
                self._move_to(ChannelState.OPEN)
            else:  # it was closed already, but what was queued before that still has to leave
                self._close_by = now + self._close_timeout
            self._flush()
        if is_first:
            self.ready.succeed(None)

    def _wait(self, sock: socket.socket, *, may_read: bool) -> bool:
        """Wait for something to do, write what could not be written before, and say whether there is something to read.

        Raises:
            _Ended: The peer has not closed, or not answered a ping, in time.
        """
        began = monotonic()
        is_paused = self._is_paused
        timeout = max(0.0, min(self._close_by - began, self._keep_alive(began)))
        is_ahead = may_read and self._is_tls and self._is_ahead(sock)
        self._is_waiting = True
        readable, writable = self._readiness.wait(sock.fileno(), may_read, self._is_blocked, 0 if is_ahead else timeout)
        self._is_waiting = False
        if self._is_awaiting_pong and not is_paused:
            with self._lock:
                self._silence += monotonic() - began
        if self._outgoing and not self._is_blocked:
            with self._lock:
                self._flush()
        # Over TLS, what blocks a write may be something to read.
        if writable or (readable and self._is_blocked and self._is_tls):
            with self._lock:
                self._is_blocked = False
                self._flush()
        readable = readable or is_ahead
        if began >= self._close_by:
            raise _Ended("a write was interrupted" if self._is_broken else "the peer did not close it")
        if self._is_awaiting_pong and not (readable or is_paused) and self._silence >= self._ping_timeout:
            asked = f"the peer did not answer a ping for {self._ping_timeout:g} s"
            raise _Ended("a write failed" if self._is_broken else asked)
        return readable

    def _read(self, sock: socket.socket) -> Iterator[Message | ControlFrame] | None:
        """What has arrived, or `None`.

        Raises:
            _Ended: The peer is gone.
        """
        self._is_stretch = False
        try:
            data = self._receive(sock)
        except OSError as error:
            raise _Ended("it was cut") from error
        if data == b"":
            raise _Ended("the peer went away without a close frame")
        return self._reader.read(data) if data and not self._is_over else None

    def _is_ahead(self, sock: socket.socket) -> bool:
        """Whether TLS has received more than was read of it, or its end: of that, the socket does not tell."""
        assert isinstance(sock, ssl.SSLSocket)
        with self._lock:
            return self._is_tls_over or sock.pending() > 0

    def _receive(self, sock: socket.socket) -> bytes | None:
        """What has arrived; empty at the end, `None` when there is nothing yet."""
        try:
            if not self._is_tls:
                size = READ_SIZE
                if self._is_flowing:
                    size = min(max(size, self._reader.missing), LARGEST_READ)
                data = sock.recv(size)
                self._is_flowing = len(data) >= READ_SIZE
                return data
            with self._lock:
                return self._receive_records(sock)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def _receive_records(self, sock: socket.socket) -> bytes:
        """The same over TLS, which gives out one record at a time, and a peer may make one of each message."""
        if self._tls_error is not None:
            raise self._tls_error
        record = sock.recv(RECORD_SIZE)
        records = [record]
        size = len(record)
        try:
            while record and size < READ_SIZE and len(records) < RECORDS:
                record = sock.recv(RECORD_SIZE)
                records.append(record)
                size += len(record)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self._tls_error = error
            record = b""
        # The end comes up again, as soon as this was handed over; but nothing that could be waited for tells of it.
        self._is_tls_over = not record
        return b"".join(records)

    @property
    def _is_held(self) -> bool:
        """Whether to leave what has arrived for later. Once we are closing, nobody waits for it any more."""
        return self.state is ChannelState.OPEN and (self._is_paused or self._is_stalled)

    def _hand_over(self, arrived: Iterator[Message | ControlFrame]) -> bool:
        """Hand over what has arrived; true when that was all, false when the rest has to wait."""
        on_message = self._listener.on_message
        self._is_handing_over = True
        # What a blocked socket kept held back was not the flusher's to write.
        self._is_holding = False
        try:
            for event in arrived:
                if event.__class__ is ControlFrame:
                    self._on_control(event)
                elif self.state is _OPEN:
                    on_message(event)  # type: ignore[arg-type]
                if self._outgoing and not self._is_blocked and monotonic() - self._flushed_at >= GATHER_TIME:
                    with self._lock:
                        self._flush()
                if (self._is_paused or self._is_stalled) and self._is_held:
                    return False
        except (ProtocolError, InvalidPayload, MessageTooBig) as error:
            self._fail(error)
        finally:
            self._is_handing_over = False
            if self._outgoing:
                with self._lock:
                    self._flush()
        return True

    def _on_control(self, frame: ControlFrame) -> None:
        if frame.opcode is not Opcode.CLOSE:
            self._tell(False, frame.opcode, frame.payload)
        if frame.opcode is Opcode.PING:
            self._on_ping(frame.payload)
        elif frame.opcode is Opcode.PONG:
            self._on_pong(frame.payload)
        else:
            self._on_close(*parse_close(frame.payload))

    def _on_ping(self, payload: bytes) -> None:
        with self._lock:
            if not self._is_sendable:
                return
            # Every ping gets its pong, but while the socket is blocked only the latest does: RFC 6455, 5.5.3.
            if self._is_blocked and self._outgoing[-1] is self._last_pong:
                self._outgoing.pop()
            self._tell(True, Opcode.PONG, payload)
            self._last_pong = encode(Opcode.PONG, payload), 0
            self._outgoing.append(self._last_pong)
            self._gathered += len(self._last_pong[0])
            if self._gathered >= GATHER_SIZE or monotonic() - self._flushed_at >= GATHER_TIME:
                self._flush()
            if self._outgoing and not self._is_holding:
                self._hold(by_flusher=True)

    def _on_pong(self, payload: bytes) -> None:
        """A pong answers its ping, and those before it, which the peer may have skipped: RFC 6455, 5.5.3."""
        with self._lock:
            if all(ping.payload != payload for ping in self._pings):
                return
            answered: list[_Ping] = []
            while not answered or answered[-1].payload != payload:
                answered.append(self._pings.popleft())
        now = monotonic()
        for ping in answered:
            if ping.answered is None:
                self._is_awaiting_pong = False
                self._next_ping_at = now + self._ping_interval
            else:
                ping.answered.succeed(now - ping.sent_at)

    def _on_close(self, code: int, reason: str) -> None:
        with self._lock:
            self._peer_close = code, reason
            if self.state is ChannelState.OPEN:
                self._begin_closing(encode_close(None if code == CloseCode.NO_STATUS_RECEIVED else code, ""))
            self._read_no_more()

    def _fail(self, error: ProtocolError | InvalidPayload | MessageTooBig) -> None:
        """Fail the connection: RFC 6455, section 7.1.7."""
        close_code, what, advice = _FAILURES[type(error)]
        with self._lock:
            if self.state is ChannelState.OPEN:
                self._failure = type(error)(f"the peer at {self.url} {what}: {error}; {advice}")
                self._failure.__cause__ = error
                self._begin_closing(encode_close(close_code, ""))
            self._read_no_more()

    def _read_no_more(self) -> None:
        self._is_over = True
        self._close_by = min(self._close_by, monotonic() + self._patience)

    def _keep_alive(self, now: float) -> float:
        """Ping when it is time to; return the seconds until there is something to do."""
        if self.state is not ChannelState.OPEN or self._is_paused:
            return inf
        if self._is_awaiting_pong:
            return max(0.0, self._ping_timeout - self._silence)
        if now < self._next_ping_at:
            return self._next_ping_at - now
        with self._lock:
            if self.state is not ChannelState.OPEN:  # since a moment ago, and nothing may follow a close frame
                return inf
            self._is_awaiting_pong = True
            self._silence = 0.0
            if not self._is_broken:  # else there is no pong to come, and the silence will end it
                self._send_ping(os.urandom(8), None)
        return self._ping_timeout

    def _announce(self) -> None:
        while self._transitions:
            self._listener.on_state(self._transitions.popleft())

    def _outcome(self, what: str, cause: BaseException | None) -> ChannelError | None:
        """What went wrong, if anything did, now that it has ended in that way."""
        if self._peer_close or self.is_closed_by_us:
            return None
        if self._failure:
            return self._failure
        why = f" ({cause.strerror or cause})" if isinstance(cause, OSError) else ""
        lost = ConnectionLost(
            f"the connection to {self.url} was lost: {what}{why}; check the server and the network, then connect anew"
        )
        lost.__cause__ = cause
        return lost

    def _finish(self, error: ChannelError | None) -> None:
        if self.is_closed_by_us:
            error = None
        with self._lock:
            if self._sock is not None:
                self._sock.close()
                _with_sockets.discard(self)
            self.close_code, self.close_reason = self._peer_close or (CloseCode.ABNORMAL_CLOSURE.value, "")
            self._outgoing.clear()
            self.buffered_amount = 0
            self._move_to(ChannelState.CLOSED)
        self.ready.fail(error or self.closed_error("was closed before it was open"))
        self._announce()
        self._listener.on_end(error)
        for ping in self._pings:
            if ping.answered:
                ping.answered.fail(error or self.closed_error("closed before the pong came"))
        self._waker.close()
        if self._is_watched:
            flusher.leave(self._flush_what_is_held)
        self.done.succeed(None)


def _control_payload(kind: str, payload: bytes) -> bytes:
    if not isinstance(payload, bytes | bytearray | memoryview):
        raise TypeError(f"the payload of a {kind} is bytes, not {type(payload).__name__}")
    payload = bytes(payload)
    if len(payload) > MAX_CONTROL_PAYLOAD:
        raise ValueError(f"a {kind} may have {MAX_CONTROL_PAYLOAD} bytes, this one has {len(payload)}")
    return payload


# At its end the interpreter stops the threads where they are. What was added leaves before.
_with_sockets: Final[set[Connection]] = set()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_with_sockets.clear)  # those are the parent's


@atexit.register
def _flush_at_exit() -> None:
    Connection._is_exiting = True  # who is called later may send, too
    for connection in _with_sockets.copy():  # in one step, unlike an iteration
        with connection._lock:
            connection._flush()


_FAILURES: Final = {
    ProtocolError: (CloseCode.PROTOCOL_ERROR, "broke the WebSocket protocol", "its author should know"),
    InvalidPayload: (CloseCode.INVALID_PAYLOAD, "sent invalid text", "it should send binary, or encode as UTF-8"),
    MessageTooBig: (CloseCode.MESSAGE_TOO_BIG, "sent too much", "pass a larger max_message_size to take it"),
}
