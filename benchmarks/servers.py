"""The servers that the benchmarks talk to, each in a process of its own.

The echo is picows', which costs least, so that the client is what is measured. What pushes messages does it by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path

BACKLOG = 1000
MAX_FRAME_SIZE = 64 * 2**20
MESSAGE = "x" * 32


def serve_echo(listening: socket.socket, certificate: str | None) -> None:
    """Whatever a client sends comes back."""
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

    class Echo(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()
            else:
                transport.send(frame.msg_type, frame.get_payload_as_memoryview())

        def pause_writing(self) -> None:
            pass  # it would be logged

        def resume_writing(self) -> None:
            pass

    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)

    async def serve() -> None:
        server = await ws_create_server(
            lambda _: Echo(), sock=listening, ssl=tls, backlog=BACKLOG, max_frame_size=MAX_FRAME_SIZE
        )
        await server.serve_forever()

    asyncio.run(serve())


def serve_push(listening: socket.socket, certificate: str | None) -> None:  # noqa: ARG001
    """Whoever connects and says something gets text as fast as TCP takes it.

    The path says what: `/MESSAGES/FRAGMENTS/SIZE`, so many messages, of so many fragments, of so many bytes.
    """
    while True:
        client, _ = listening.accept()
        with client, client.makefile("rb") as requests:
            messages, fragments, size = map(int, requests.readline().split()[1].split(b"/")[1:])
            key = next(line.split()[1] for line in requests if line.lower().startswith(b"sec-websocket-key"))
            while requests.readline() != b"\r\n":
                pass
            accept = b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            client.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            frame = bytes([0x00, size]) + b"x" * size
            message = bytearray(frame * fragments)
            message[0] |= 0x01
            message[-len(frame)] |= 0x80
            # A write costs a message more than it is long, if that is not long.
            together = max(1, min(messages, 64 * 1024 // len(message)))
            block = bytes(message) * together
            requests.read(1)
            for _ in range(messages // together):
                client.sendall(block)
            client.sendall(message * (messages % together) + b"\x88\x02\x03\xe8")
            client.shutdown(socket.SHUT_WR)
            while requests.read(65536):
                pass


SERVERS = {"echo": serve_echo, "push": serve_push}


@contextmanager
def running(kind: str, *arguments: str, scheme: str = "ws") -> Iterator[str]:
    """A server of ours in a process of its own; yields its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        port = listening.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, __file__, kind, str(listening.fileno()), *arguments],
            pass_fds=[listening.fileno()],
            # picows says there, a line each, what it can no longer send to a client that is gone.
            stderr=subprocess.DEVNULL,
        )
        try:
            yield f"{scheme}://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


@contextmanager
def running_tls_echo() -> Iterator[tuple[str, str]]:
    """The echo over TLS; yields its URL, and a file with the certificate of who signed the server's."""
    import trustme

    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as directory:
        ca, certificate = str(Path(directory, "ca.pem")), str(Path(directory, "server.pem"))
        authority.cert_pem.write_to_path(ca)
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
        with running("echo", "--certificate", certificate, scheme="wss") as url:
            yield url, ca


def allow_descriptors(count: int) -> None:
    """Let this process have so many open files, and connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        sys.exit(f"{count} descriptors are needed, and the system allows {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=SERVERS)
    parser.add_argument("listening", type=int, help="descriptor of a socket that listens")
    parser.add_argument("--certificate", help="file with the server's private key and certificate")
    options = parser.parse_args()
    allow_descriptors(2000)
    with socket.socket(fileno=options.listening) as inherited:
        SERVERS[options.kind](inherited, options.certificate)
