"""A server in a process of its own that says numbered messages and checks those it hears, while it misbehaves.

How, each client says by itself: its `Plan` is the path of its URL. How it went, the server says in a `Report`, as soon
as the connection is over. `python numbered_peer.py DIRECTORY`, where the certificate is, runs it until its standard
input ends; `numbered_peer` runs that. Sabotage is a lie of the server's own, which has to be found out.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import count
from math import inf
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final
from urllib.parse import quote, unquote

import trustme
from numbered import Ledger, Message, Mismatch, numbered
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.speedups import apply_mask

PEER: Final = 9
"""The peer, as a speaker; those of the client are numbered from 0."""

CLOSE_CODE: Final = 4000
"""The peer's own; the client's is 1000."""

BATCH: Final = 64 * 1024
FRAGMENTED: Final = 7
"""One of so many messages of the peer comes in fragments."""

PATIENCE: Final = 30.0
"""Seconds without any event after which a client is given up."""

SPOILED: Final[dict[str, dict[int, list[int]]]] = {
    "lose": {20: []},
    "double": {20: [20, 20]},
    "swap": {20: [21], 21: [20]},
}
"""Kinds of sabotage: which messages are said instead of some."""

SABOTAGE: Final = [*SPOILED, "forget", "boast"]
"""The others: report one message less than was heard, or one more than was said."""


class Ending(StrEnum):
    """How a connection ends."""

    BY_CLIENT = "closed by client"
    BY_PEER = "closed by peer"
    CLOSE_AND_LEAVE = "close frame and FIN"
    FIN = "FIN"
    HALF_FRAME = "half a frame and FIN"
    RST = "RST"
    HALF_ANSWER = "half a handshake and FIN"


@dataclass(frozen=True)
class Plan:
    """What the peer does on one connection."""

    name: str
    ending: Ending
    seconds: float
    """How long it takes until it ends, unless the client does."""
    speakers: int = 1
    """How many the client has."""
    is_echo: bool = False
    """Say what is heard, instead of something of its own."""
    is_compressed: bool = False
    """Compress messages."""
    stalls: float = 0.0
    """Stop reading, writing, or both, about so many times a second, for a moment."""
    rekeys: bool = False
    """Over TLS 1.3: have both sides change their keys, again and again."""

    def path(self) -> str:
        return f"/{quote(json.dumps(asdict(self)))}"

    @classmethod
    def parse(cls, path: str) -> Plan:
        fields = json.loads(unquote(path.removeprefix("/")))
        return cls(**{**fields, "ending": Ending(fields["ending"])})


@dataclass
class Report:
    """What the peer did on one connection."""

    name: str = ""
    ending: str = "the client left"
    said: int = 0
    """Messages that were written, as far as they could be."""
    heard: list[int] = field(default_factory=list)
    """Messages that came, in order and whole, by speaker."""
    heard_close: bool = False
    stalls: int = 0
    rekeys: int = 0
    violation: str | None = None


class Conversation:
    """One connection, from its TLS handshake to its end: on one thread, so that no two calls of TLS ever meet."""

    def __init__(self, sock: socket.socket, sabotage: str) -> None:
        self.report = Report()
        self._sock = sock
        self._sabotage = sabotage
        deflate = ServerPerMessageDeflateFactory(compress_settings={"level": 1})
        self._protocol = ServerProtocol(extensions=[deflate], max_size=None)
        self._incoming = b""
        self._outgoing = bytearray()
        self._is_ending = False

    def run(self) -> None:
        try:
            if self._open():
                self._converse()
            self.report.ending = self._ending
        except OSError as error:
            self.report.ending = f"the client left: {error!r}"
        except Exception as error:  # noqa: BLE001 - whatever it is, the client's side has to hear of it
            self.report.violation = repr(error)
        if self.report.name:
            self.report.heard = self._ledger.counts
            self.report.heard[0] -= self._sabotage == "forget"
            self.report.said += self._sabotage == "boast"

    def _open(self) -> bool:
        """Shake hands; false when that was all."""
        while not (events := self._protocol.events_received()):
            self._protocol.receive_data(self._sock.recv(BATCH))
        assert isinstance(events[0], Request)
        self._plan = plan = Plan.parse(events[0].path)
        self.report.name = plan.name
        self._ending = plan.ending
        self._ledger = Ledger(plan.name, range(plan.speakers))
        self._numbers = (spoiled for n in count() for spoiled in SPOILED.get(self._sabotage, {}).get(n, [n]))
        self._random = Random(plan.name)
        self._protocol.send_response(self._protocol.accept(events[0]))
        answer = b"".join(self._protocol.data_to_send())
        if plan.ending is Ending.HALF_ANSWER:
            answer = answer[: len(answer) // 2]
        self._sock.sendall(answer)
        return plan.ending is not Ending.HALF_ANSWER

    def _converse(self) -> None:
        self._sock.setblocking(False)
        poll = select.poll()
        poll.register(self._sock)
        now = monotonic()
        ends_at = now + self._plan.seconds if self._ending is not Ending.BY_CLIENT else inf
        stalls_at = now + self._seconds_until_stall()
        deaf_until = mute_until = now
        while True:
            now = monotonic()
            if now >= ends_at and not self._is_ending:
                self._begin_to_end()
            if now >= stalls_at:
                until = now + self._random.uniform(0.0, 1 / self._plan.stalls)
                deaf_until, mute_until = self._random.choice([(until, now), (now, until), (until, until)])
                stalls_at = until + self._seconds_until_stall()
                self.report.stalls += 1
            is_mute, is_deaf = now < mute_until, now < deaf_until
            if not self._outgoing and not is_mute:
                if self._is_ending and self._is_done:
                    return
                if not self._is_ending and not self._plan.is_echo:
                    self._speak()
            wanted = (0 if is_deaf else select.POLLIN) | (select.POLLOUT if self._outgoing and not is_mute else 0)
            poll.modify(self._sock, wanted)
            gives_up_at = now + PATIENCE
            next_at = min(at for at in (ends_at, stalls_at, deaf_until, mute_until, gives_up_at) if at > now)
            ready = poll.poll((next_at - now) * 1000 + 1)
            if not ready and next_at == gives_up_at:
                raise Mismatch(f"nothing happened for {PATIENCE} s")
            for _, events in ready:
                if events & ~select.POLLOUT:
                    self._read()
                if events & select.POLLOUT:
                    self._write()

    def _seconds_until_stall(self) -> float:
        return self._random.expovariate(self._plan.stalls) if self._plan.stalls else inf

    @property
    def _is_done(self) -> bool:
        return self._ending not in (Ending.BY_CLIENT, Ending.BY_PEER) or self.report.heard_close

    def _begin_to_end(self) -> None:
        self._is_ending = True
        match self._ending:
            case Ending.RST:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._outgoing.clear()
            case Ending.HALF_FRAME:
                half = self._encoded(numbered(self._plan.name, PEER, self.report.said))
                self._outgoing += half[: len(half) // 2]
            case Ending.BY_PEER | Ending.CLOSE_AND_LEAVE:
                self._outgoing += self._frame(Opcode.CLOSE, struct.pack("!H", CLOSE_CODE))

    def _speak(self) -> None:
        if self._plan.rekeys:
            self._rekey()
        while len(self._outgoing) < BATCH:
            self._say(numbered(self._plan.name, PEER, next(self._numbers)))

    def _say(self, message: Message) -> None:
        self._outgoing += self._encoded(message)
        self.report.said += 1

    def _encoded(self, message: Message) -> bytes:
        opcode, payload = (Opcode.TEXT, message.encode()) if isinstance(message, str) else (Opcode.BINARY, message)
        if self.report.said % FRAGMENTED:
            return self._frame(opcode, payload)
        third = len(payload) // 3
        return (
            self._frame(opcode, payload[:third], fin=False)
            + self._frame(Opcode.PING, b"between fragments")
            + self._frame(Opcode.CONT, payload[third:-third], fin=False)
            + self._frame(Opcode.CONT, payload[-third:])
        )

    def _frame(self, opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
        return Frame(opcode, payload, fin).serialize(mask=False, extensions=self._protocol.extensions)

    def _rekey(self) -> None:
        """Have both sides change their keys, as soon as they have done that the last time."""
        assert isinstance(self._sock, _SSLSocket)
        if self._sock.key_updates == self.report.rekeys:
            update_keys(self._sock)
            self.report.rekeys += 1

    def _write(self) -> None:
        with suppress(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            while self._outgoing:
                del self._outgoing[: self._sock.send(self._outgoing)]

    def _read(self) -> None:
        with suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            for _ in range(8):  # as much as is written at once, more or less: neither side shall starve
                data = self._sock.recv(4 * BATCH)  # more than a TLS record has, so that none is left behind unseen
                if not data:
                    if self.report.heard_close:
                        return  # it may, when we take long to leave
                    raise ConnectionError("the client left")
                for opcode, payload in self._frames(data):
                    self._hear(opcode, payload)

    def _frames(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        data = self._incoming + data
        position, end = 0, len(data)
        while end - position >= 6:
            first, size, start = data[position], data[position + 1] & 0x7F, position + 2
            if size >= 126:
                width = 2 if size == 126 else 8
                size = int.from_bytes(data[start : start + width])
                start += width
            stop = start + 4 + size
            if stop > end:
                break
            frame = Frame(Opcode(first & 0x0F), apply_mask(data[start + 4 : stop], data[start : start + 4]))
            if not first & 0x80:
                raise Mismatch("a frame came in fragments")
            if first & 0x40:
                frame.rsv1 = True
                frame = self._protocol.extensions[0].decode(frame)
            yield frame.opcode, bytes(frame.data)
            position = stop
        self._incoming = data[position:]

    def _hear(self, opcode: int, payload: bytes) -> None:
        if self.report.heard_close:
            raise Mismatch(f"a frame came after the close frame, with opcode {opcode}: {payload[:40]!r}")
        match opcode:
            case Opcode.TEXT | Opcode.BINARY:
                message = payload.decode() if opcode == Opcode.TEXT else payload
                self._ledger.take(message)
                if self._plan.is_echo and not self._is_ending:
                    self._say(message)
            case Opcode.PING:
                if not self._is_ending:
                    self._outgoing += self._frame(Opcode.PONG, payload)
            case Opcode.CLOSE:
                self.report.heard_close = True
                if not self._is_ending:
                    self._is_ending = True
                    self._ending = Ending.BY_CLIENT
                    self._outgoing += self._frame(Opcode.CLOSE, payload)


class _SSLSocket(ssl.SSLSocket):
    key_updates = 0
    """That the client has sent."""


def count_key_updates(sock: _SSLSocket, direction: str, _version: int, _content: int, kind: int, _data: bytes) -> None:
    if direction == "read" and kind == 24:
        sock.key_updates += 1


def update_keys(sock: ssl.SSLSocket) -> None:
    """Send a KeyUpdate that asks for one in return: RFC 8446, 4.6.3. OpenSSL does that, `ssl` has no word for it."""
    import _ssl

    class SSLSocketObject(ctypes.Structure):
        """How the object in `_ssl` begins."""

        _fields_ = (
            ("head", ctypes.c_byte * object.__basicsize__),
            ("owner", ctypes.c_void_p),
            ("ssl", ctypes.c_void_p),
        )

    openssl = ctypes.CDLL(_ssl.__file__)
    pointer = SSLSocketObject.from_address(id(sock._sslobj)).ssl  # type: ignore[attr-defined]
    if not openssl.SSL_key_update(ctypes.c_void_p(pointer), 1):
        raise ssl.SSLError("no KeyUpdate now")


def leave(sock: socket.socket) -> None:
    """End the TCP connection with FIN: whatever was sent before arrives, whatever the client still sends."""
    with suppress(OSError):
        sock.settimeout(PATIENCE)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(BATCH):
            pass


def attend(sock: socket.socket, context: ssl.SSLContext | None, sabotage: str) -> None:
    sock.settimeout(PATIENCE)
    with context.wrap_socket(sock, server_side=True) if context else sock as plain:
        conversation = Conversation(plain, sabotage)
        conversation.run()
        if conversation.report.ending != Ending.RST:
            leave(plain)
    sys.stdout.write(json.dumps(asdict(conversation.report)) + "\n")
    sys.stdout.flush()


def listen(listener: socket.socket, context: ssl.SSLContext | None, sabotage: str) -> None:
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=attend, args=(sock, context, sabotage), daemon=True).start()


def narrow(sock: socket.socket) -> None:
    """Let TCP hold a few kilobytes either way, and send them in many segments."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, buffer, 8000)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--sabotage", default="")
    parser.add_argument("--narrow", action="store_true", help="small segments and buffers of TCP")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the client, which comes to an end then
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.directory / "server.pem")
    context.sslsocket_class = _SSLSocket
    context._msg_callback = count_key_updates  # type: ignore[attr-defined]
    ports = []
    for tls in (None, context):
        listener = socket.create_server(("127.0.0.1", 0))
        if options.narrow:
            narrow(listener)
        threading.Thread(target=listen, args=(listener, tls, options.sabotage), daemon=True).start()
        ports.append(listener.getsockname()[1])
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


class NumberedPeer:
    """That process, as its clients see it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self._output = process.stdout
        self._plain_port, self._secure_port = json.loads(self._output.readline())
        self._reports: dict[str, Future[Report]] = {}

    def url(self, plan: Plan, *, is_secure: bool) -> str:
        if is_secure:
            return f"wss://127.0.0.1:{self._secure_port}{plan.path()}"
        return f"ws://127.0.0.1:{self._plain_port}{plan.path()}"

    def expect(self, plan: Plan) -> Future[Report]:
        """How it went, in the end: ask before connecting."""
        report = self._reports[plan.name] = Future()
        return report

    def listen(self) -> None:
        """Take the reports, until the process has ended."""
        for line in self._output:
            report = Report(**json.loads(line))
            if report.name:
                self._reports.pop(report.name).set_result(report)


@contextmanager
def numbered_peer(authority: trustme.CA, *options: str) -> Iterator[NumberedPeer]:
    """Run it, with a certificate of that authority; the options are those of `main`."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
        command = [sys.executable, __file__, name, *options]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin
            peer = NumberedPeer(process)
            listener = threading.Thread(target=peer.listen)
            listener.start()
            try:
                yield peer
            finally:
                process.stdin.close()
                listener.join()


if __name__ == "__main__":
    main()
