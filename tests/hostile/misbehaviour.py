"""A peer that misbehaves, what the channel promises about it, and both brought together on a real socket."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, Literal, Self

import trustme
from peer import BadPeer, Recorder
from raw_server import CLOSE, PONG, TIMEOUT
from websockets.utils import accept_key

from rxecho import ChannelError, ChannelState, WebSocketChannel
from rxecho.frames import Message

KIB = 1 << 10
MIB = 1 << 20

BLOCKED = 0.3
"""Seconds after which TCP is taken to be full."""

PATIENT: Mapping[str, Any] = {
    "connect_timeout": 60,
    "close_timeout": 60,
    "ping_interval": None,
    "ping_timeout": 60,
    "proxy": "",
}
"""So that no timeout ends a channel but the one that a misbehaviour names."""

# The lines of the right answer to the opening handshake.
STATUS = "HTTP/1.1 101 Switching Protocols\r\n"
UPGRADE = "Upgrade: websocket\r\n"
CONNECTION = "Connection: Upgrade\r\n"
ACCEPT = "Sec-WebSocket-Accept: ACCEPT\r\n"
SWITCHING = STATUS + UPGRADE + CONNECTION + ACCEPT


class HostilePeer(BadPeer):
    """The server's end of a connection to `channel`."""

    def __init__(self, sock: socket.socket, channel: WebSocketChannel, memory: Memory) -> None:
        sock.settimeout(TIMEOUT)
        # Each piece is to leave by itself.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock)
        self.channel = channel
        self.memory = memory
        self.spoke_at = 0.0
        """When this peer last said something to an open channel."""
        self.closes: list[bytes] = []
        """The payloads of the close frames that came."""
        self._tcp = sock
        self._is_open = False

    def start_tls(self, context: ssl.SSLContext) -> None:
        """From here on, speak TLS, or leave where the client does not."""
        self._tcp = self.sock.dup()
        try:
            self.sock = context.wrap_socket(self.sock, server_side=True)
        except OSError:
            self.leave()
            raise
        self._file = self.sock.makefile("rb")

    def read_accept_key(self) -> str:
        """What is to be answered to the request, which is read."""
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", self.read_head())
        assert key
        return accept_key(key[1].decode())

    def answer(self, text: str, behind: bytes = b"") -> None:
        """Answer the request with `text`, in which ACCEPT is the right accept key."""
        self.say(text.replace("ACCEPT", self.read_accept_key()).encode("latin-1") + behind)

    def open_with(self, behind: bytes, *headers: str) -> None:
        self.answer(SWITCHING + "".join(f"{header}\r\n" for header in headers) + "\r\n", behind)
        self._is_open = True

    def say(self, data: bytes) -> None:
        """Send it; the client may have left already."""
        if self._is_open:
            self.spoke_at = monotonic()
        with suppress(ConnectionError):
            self.sock.sendall(data)

    def say_past_tls(self, data: bytes) -> None:
        """Send it as it is."""
        self._tcp.sendall(data)

    def stop_sending(self) -> None:
        """FIN, and go on listening."""
        with suppress(OSError):  # the client has left already
            self._tcp.shutdown(socket.SHUT_WR)

    def receive(self) -> tuple[int, bytes]:
        opcode, payload = super().receive()
        assert not self.closes, f"behind a close frame came {opcode} {payload!r:.100}"
        if opcode == CLOSE:
            self.closes.append(payload)
        return opcode, payload

    def hear(self, last: int | None = None) -> None:
        """What the client has to say, up to a frame of the opcode `last`, or to its end."""
        with suppress(EOFError, ConnectionError, ssl.SSLError):
            if not self._is_open:
                self.wait_for_end()
            while self.receive()[0] != last:
                pass

    def part(self) -> None:
        """Leave the client in peace once it has closed, as a good server would."""
        self.hear(CLOSE)
        self.stop_sending()

    def stream_until(self, last: Message) -> Event:
        """Set when the channel has handed over this message, and so all that came before it."""
        has_come = Event()
        self.channel.stream.subscribe(lambda message: has_come.set() if message == last else None, lambda _: None)
        return has_come

    def settle(self) -> None:
        """Wait until the client has handed over all that was sent."""
        self.say(b"\x89\x00")
        self.hear(PONG)

    def flood(self, piece: bytes, size: int = 1 << 40) -> memoryview:
        """Send `piece` again and again: `size` bytes, or until the client takes no more, or has left.

        Returns what is missing of the last piece.
        """
        stop = monotonic() + TIMEOUT
        self.sock.settimeout(BLOCKED)
        left = memoryview(b"")
        try:
            while size > 0 and not self.is_left_within(0):
                assert monotonic() < stop, "the client takes this for ever"
                left = memoryview(piece)
                size -= len(piece)
                while left:
                    left = left[self.sock.send(left) :]
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self.sock.settimeout(TIMEOUT)
        return left

    def is_left_within(self, seconds: float) -> bool:
        """Whether the channel has ended by then."""
        return not wait([self.channel.sink.done], seconds).not_done

    def wait_until_left(self) -> None:
        """Until the channel has ended, which nothing that this peer does can hasten."""
        assert self.is_left_within(TIMEOUT)

    def leave(self) -> None:
        super().leave()
        self._tcp.close()


Conduct = Callable[[HostilePeer], object]


@dataclass(frozen=True)
class Misbehaviour:
    """What a peer does, and what the channel promises to make of it: DESIGN.md, section 2."""

    name: str
    conduct: Conduct
    """From the moment TCP is connected. What the client says behind it is read to the end in any case."""
    error: type[ChannelError] | None = None
    """How the stream ends: with exactly this, or in order."""
    says: str = ""
    """A regular expression that the error's text matches."""
    sent: int | None = None
    """The code in our close frame, 1005 where it carries none; None where there is no close frame."""
    close: tuple[int, str] = (1006, "")
    """`close_code` and `close_reason`."""
    after: float = 0.0
    """Seconds until the end: no fewer, and as few more as a busy machine allows."""
    memory: int = MIB
    """Bytes that may be allocated at any one time, those of this test among them."""
    messages: tuple[Message, ...] | None = ()
    """What is handed over; None where that depends on what TCP takes."""
    status: int | None = None
    """Of a `ConnectError`."""
    reach: Literal["ws", "wss", "proxy"] = "ws"
    """Whether the peer is the server behind such a URL, or a proxy on the way to one."""
    is_narrow: bool = False
    """Whether the peer's system takes no more than 64 KiB that the peer has not read, instead of megabytes."""
    is_heard: bool = True
    """Whether somebody subscribes at once, and not only after the end."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """As for `WebSocketChannel.connect`; timeouts that are not named are a minute."""


@dataclass(frozen=True)
class Outcome:
    """What became of it."""

    channel: WebSocketChannel
    url: str
    stream: Recorder[Message]
    states: list[ChannelState]
    closes: list[bytes]
    seconds: float
    peak: int


def play(misbehaviour: Misbehaviour) -> Outcome:
    """Let a channel meet the peer, until both have left."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Memory() as memory:
        if misbehaviour.is_narrow:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
        listener.settimeout(TIMEOUT)
        url, options = address(misbehaviour.reach, listener.getsockname()[1])
        began = monotonic()
        channel = WebSocketChannel.connect(url, **{**PATIENT, **options, **misbehaviour.options})
        moments: list[float] = []
        states: Recorder[ChannelState] = Recorder(lambda _: moments.append(monotonic()))
        channel.states.subscribe(states)
        stream: Recorder[Message] = Recorder()
        if misbehaviour.messages is None:
            stream = Recorder(lambda _: stream.values.clear())
        if misbehaviour.is_heard:
            channel.stream.subscribe(stream)
        peer = HostilePeer(listener.accept()[0], channel, memory)
        try:
            misbehaviour.conduct(peer)
            if peer.sock.fileno() >= 0:
                peer.hear()
            channel.sink.done.result(TIMEOUT)
            if not misbehaviour.is_heard:
                channel.stream.subscribe(stream)
            stream.wait_for_end()
            states.wait_for_end()
        finally:
            done = channel.sink.close()
            peer.leave()
            done.result(TIMEOUT)
    # It may have gone on speaking to somebody who had left.
    seconds = max(0.0, moments[-1] - max(began, peer.spoke_at))
    return Outcome(channel, url, stream, states.values, peer.closes, seconds, memory.peak)


def address(reach: str, port: int) -> tuple[str, dict[str, Any]]:
    """The URL, and the options, that lead to the peer."""
    if reach == "proxy":
        return "ws://server.invalid/", {"proxy": f"http://127.0.0.1:{port}"}
    return f"{reach}://127.0.0.1:{port}/", {"ssl": trusting()} if reach == "wss" else {}


class Memory:
    """What Python has allocated, at most, at any one time within this context."""

    def __init__(self) -> None:
        self.peak = 0

    def __enter__(self) -> Self:
        tracemalloc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.peak = max(self.peak, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    @contextmanager
    def looks_away(self) -> Iterator[None]:
        """Not within this one: counting takes ten times as long, and what keeps growing is seen to grow later."""
        self.__exit__()
        yield
        self.__enter__()


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def trusting() -> ssl.SSLContext:
    """For a client that trusts our authority."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


@cache
def certified(name: str = "127.0.0.1") -> ssl.SSLContext:
    """For a server that our authority has certified to be `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(name).configure_cert(context)
    return context


FDS = Path("/proc/self/fd")


def descriptors() -> set[tuple[str, str]]:
    """What this process has open, by number and by what it is; sockets are never the same again."""
    is_open = set()
    for entry in FDS.iterdir():
        with suppress(FileNotFoundError):  # the one that lists them
            is_open.add((entry.name, str(entry.readlink())))
    return is_open


def threads_beside(before: list[threading.Thread]) -> list[threading.Thread]:
    """Those that were not there before, and do not end."""
    others = [thread for thread in threading.enumerate() if thread not in before]
    for thread in others:
        thread.join(TIMEOUT)
    return [thread for thread in others if thread.is_alive()]
