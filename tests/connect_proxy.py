"""An HTTP proxy by hand: it tunnels whatever it is asked for to one port of this machine."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Thread

from raw_server import TIMEOUT, Peer

__all__ = ["ConnectProxy"]


class ConnectProxy:
    """A `conduct` for `raw_server`: RFC 9110, section 9.3.6.

    Args:
        port: Where every tunnel leads, whatever host was asked for.
        answer: What the proxy says.

    Attributes:
        requests: What it was asked.
    """

    def __init__(self, port: int, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.requests: list[bytes] = []
        self._port = port
        self._answer = answer

    def __call__(self, peer: Peer) -> None:
        """Serve one connection."""
        self.requests.append(peer.read_head())
        with socket.create_connection(("127.0.0.1", self._port), TIMEOUT) as target:
            peer.sock.sendall(self._answer)
            back = Thread(target=_pump, args=(target, peer.sock))
            back.start()
            _pump(peer.sock, target)
            back.join(TIMEOUT)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while received := source.recv(65536):
            sink.sendall(received)
        sink.shutdown(socket.SHUT_WR)
