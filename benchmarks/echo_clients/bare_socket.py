"""Frames that were encoded beforehand, on a bare socket; of the echoes only the size is looked at."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from meter import Meter, Work, run
from websockets.frames import Frame, Opcode


def open_socket(work: Work) -> socket.socket:
    parts = urlsplit(work.url)
    host, _, port = parts.netloc.rpartition(":")
    client = socket.create_connection((host, int(port)))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if work.tls:
        client = work.tls.wrap_socket(client, server_hostname=host)
    client.sendall(
        f"GET / HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return client


def echo(work: Work, meter: Meter) -> None:
    frame = Frame(Opcode.TEXT if work.is_text else Opcode.BINARY, work.payload)
    ours, theirs = frame.serialize(mask=True), frame.serialize(mask=False)
    # As many as may be in flight, so that any number of them is one write.
    all_of_ours = memoryview(ours * work.in_flight)
    # Room for so many whole ones that each begins where another began before: nothing has to be moved.
    buffer = memoryview(bytearray(len(theirs) * max(1, 256 * 1024 // len(theirs))))
    first = buffer[len(theirs) - work.size : len(theirs)]
    filled = 0
    client = open_socket(work)
    client.sendall(all_of_ours)
    while True:
        began = filled
        filled += client.recv_into(buffer[began:])
        count = filled // len(theirs) - began // len(theirs)
        if count:
            if not meter.received_many(count, first):
                return
            client.sendall(all_of_ours[: count * len(ours)])
        filled %= len(buffer)


if __name__ == "__main__":
    run(echo)
