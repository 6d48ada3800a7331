"""A WebSocket server by hand, on a raw socket: for peers that no library would let misbehave so."""

from __future__ import annotations

import socket
import ssl
import struct
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha1

TIMEOUT = 10.0
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._file = sock.makefile("rb")

    def read_head(self) -> bytes:
        """Whatever comes up to an empty line."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self._file.readline()
            if not line:
                raise EOFError(f"the client left after {head!r}")
            head += line
        return head

    def open(self, *headers: str, head: bytes = b"") -> dict[str, str]:
        """Shake hands, as RFC 6455, section 4.2 says, and return the request's headers by lower-case name."""
        lines = (head or self.read_head()).decode().split("\r\n")
        received = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        key = received["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = b64encode(sha1(key.encode()).digest()).decode()
        answer = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept}",
            *headers,
        ]
        self.sock.sendall("\r\n".join([*answer, "", ""]).encode())
        return received

    def send(self, opcode: int, payload: bytes) -> None:
        """One whole frame of at most 65,535 bytes."""
        size = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + struct.pack("!H", len(payload))
        self.sock.sendall(bytes([0x80 | opcode]) + size + payload)

    def receive(self) -> tuple[int, bytes]:
        """The opcode and payload of the next whole frame; an `EOFError` where there is none."""
        start = self._file.read(2)
        if len(start) < 2:
            raise EOFError("the client left")
        size = start[1] & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._file.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._file.read(8))
        mask = self._file.read(4)
        payload = self._file.read(size)
        return start[0] & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))

    def receive_until(self, opcode: int) -> bytes:
        """The payload of the next frame with that opcode."""
        while True:
            received, payload = self.receive()
            if received == opcode:
                return payload

    def close(self, payload: bytes = b"\x03\xe8") -> None:
        """The closing handshake from this side."""
        self.send(CLOSE, payload)
        self.receive_until(CLOSE)

    def reset(self) -> None:
        """End the TCP connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.leave()

    def leave(self) -> None:
        """End the TCP connection: with FIN when everything that came was read, with RST otherwise."""
        self._file.close()
        self.sock.close()

    def wait_for_end(self) -> None:
        """Until the client ends the TCP connection."""
        with suppress(ConnectionError):
            while self._file.read(65536):
                pass


@contextmanager
def raw_server(conduct: Callable[[Peer], object], *, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve each connection with `conduct`, and yield the port; an exception in one is raised at the end."""
    connections: list[Future[None]] = []

    def serve(sock: socket.socket) -> None:
        with sock:
            sock.settimeout(TIMEOUT)
            with tls.wrap_socket(sock, server_side=True) if tls else sock as plain:
                peer = Peer(plain)
                try:
                    conduct(peer)
                finally:
                    peer.leave()

    def listen() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                connections.append(threads.submit(serve, sock))

    with ThreadPoolExecutor() as threads, socket.create_server(("127.0.0.1", 0)) as listener:
        listening = threads.submit(listen)
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listening.result(TIMEOUT)  # whom it has accepted last is served, too
    for connection in connections:
        connection.result()


@contextmanager
def refused_port() -> Iterator[int]:
    """A port that is taken, and where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
