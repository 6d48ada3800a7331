"""What `raw_server` leaves out: frames that nobody should send, and both ends of one connection in one test."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from raw_server import CLOSE, TIMEOUT, Peer
from reactivex import abc
from websockets.utils import accept_key

from rxecho import WebSocketChannel
from rxecho.frames import Message

CONTINUATION = 0

_T = TypeVar("_T")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes = b"",
    length: int | None = None,
    width: int | None = None,
) -> bytes:
    """A frame as a server sends it, or as it should not.

    Args:
        opcode: 0 to 15.
        payload: What follows the header.
        fin: Whether it ends its message.
        reserved: The three reserved bits: 0 to 7.
        mask: Mask it, as only clients do.
        length: What the header claims, when it is not what there is.
        width: Bytes in the extended length (0, 2 or 8), when that is not the shortest.
    """
    length = len(payload) if length is None else length
    if width is None:
        width = 0 if length < 126 else 2 if length < 1 << 16 else 8
    short = {0: length, 2: 126, 8: 127}[width]
    first = fin << 7 | reserved << 4 | opcode
    header = bytes([first, bool(mask) << 7 | short]) + (length.to_bytes(width) if width else b"") + mask
    return header + (unmask(payload, mask) if mask else payload)


def unmask(payload: bytes, key: bytes) -> bytes:
    """XOR with the repeated key."""
    size = len(payload)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


class BadPeer(Peer):
    """A peer that a test conducts byte by byte."""

    def open_with(self, behind: bytes) -> None:
        """Shake hands, and send `behind` in the same piece."""
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", self.read_head())
        assert key
        answer = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_key(key[1].decode())}",
        ]
        self.sock.sendall("\r\n".join([*answer, "", ""]).encode() + behind)

    def receive(self) -> tuple[int, bytes]:
        """As `Peer.receive`, fast also for megabytes, and strict: what a client sends is whole, plain and masked."""
        start = self.read(2)
        assert start[0] & 0xF0 == 0x80, f"fragmented, or with reserved bits: {start!r}"
        assert start[1] & 0x80, f"not masked: {start!r}"
        size = start[1] & 0x7F
        if size == 126:
            size = int.from_bytes(self.read(2))
            assert size >= 126
        elif size == 127:
            size = int.from_bytes(self.read(8))
            assert size >= 1 << 16
        key = self.read(4)
        return start[0] & 0x0F, unmask(self.read(size), key)

    def read(self, size: int) -> bytes:
        """So many bytes, or an `EOFError`."""
        data = self._file.read(size)
        if len(data) < size:
            raise EOFError(f"the client left after {data!r:.100}")
        return data

    def receive_close(self) -> bytes:
        """The payload of the close frame, whatever comes before it."""
        while True:
            opcode, payload = self.receive()
            if opcode == CLOSE:
                return payload

    def leave(self) -> None:
        """End the TCP connection, with FIN when everything was read and with RST otherwise."""
        self._file.close()
        self.sock.close()

    def is_silent_for(self, seconds: float) -> bool:
        """Whether nothing comes in all that time."""
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(TIMEOUT)
        return not data


class Recorder(abc.ObserverBase[_T]):
    """An observer that keeps all it is told, and on which thread."""

    def __init__(self, then: Callable[[_T], object] = lambda _: None) -> None:
        self.values: list[_T] = []
        self.error: Exception | None = None
        self.has_completed = False
        self.threads: set[threading.Thread] = set()
        self._then = then
        self._has_changed = threading.Condition()

    def on_next(self, value: _T) -> None:
        self.threads.add(threading.current_thread())
        with self._has_changed:
            self.values.append(value)
            self._has_changed.notify_all()
        self._then(value)

    def on_error(self, error: Exception) -> None:
        self.threads.add(threading.current_thread())
        with self._has_changed:
            self.error = error
            self._has_changed.notify_all()

    def on_completed(self) -> None:
        self.threads.add(threading.current_thread())
        with self._has_changed:
            self.has_completed = True
            self._has_changed.notify_all()

    def wait_for(self, count: int) -> list[_T]:
        """What has come, as soon as it is so much."""
        with self._has_changed:
            assert self._has_changed.wait_for(lambda: len(self.values) >= count, TIMEOUT), self.values[-3:]
            return list(self.values)

    def wait_for_end(self) -> Exception | None:
        """The error that ended it, `None` when it completed."""
        with self._has_changed:
            assert self._has_changed.wait_for(lambda: self.has_completed or self.error is not None, TIMEOUT)
        assert not (self.has_completed and self.error)
        return self.error


@contextmanager
def connecting(*, is_narrow: bool = False, **options: Any) -> Iterator[tuple[WebSocketChannel, BadPeer]]:
    """A channel that has just begun to connect, and the peer, which has accepted TCP and read nothing yet.

    Args:
        is_narrow: Let the peer's system take no more than 64 KiB that the peer has not read; it may be many
            megabytes otherwise.
        options: As for `WebSocketChannel.connect`.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if is_narrow:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        listener.settimeout(TIMEOUT)
        channel = WebSocketChannel.connect(f"ws://127.0.0.1:{listener.getsockname()[1]}/", **options)
        sock, _ = listener.accept()
    sock.settimeout(TIMEOUT)
    peer = BadPeer(sock)
    try:
        yield channel, peer
    finally:
        done = channel.sink.close()
        peer.leave()
        done.result(TIMEOUT)
        channel._connection.thread.join(TIMEOUT)


@contextmanager
def connected(behind: bytes = b"", **options: Any) -> Iterator[tuple[WebSocketChannel, BadPeer]]:
    """An open channel, and the peer at its other end.

    Args:
        behind: What the peer sends in one piece with its opening handshake.
        options: As for `connecting`.
    """
    with connecting(**options) as (channel, peer):
        peer.open_with(behind)
        channel.ready.result(TIMEOUT)
        yield channel, peer


def listen(channel: WebSocketChannel) -> Recorder[Message]:
    """Subscribe to the stream, and record it."""
    recorder: Recorder[Message] = Recorder()
    channel.stream.subscribe(recorder)
    return recorder


def send_until_full(peer: BadPeer, data: bytes) -> memoryview:
    """Send as much as TCP takes; return what it does not, which is some of it in any case."""
    left = memoryview(data)
    peer.sock.settimeout(0.3)
    with suppress(TimeoutError):
        while left:
            left = left[peer.sock.send(left) :]
    peer.sock.settimeout(TIMEOUT)
    assert left
    return left
