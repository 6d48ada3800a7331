"""The practice server, seen by clients that are not rxecho's: websockets' own and bare sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import trustme
from websockets.asyncio.client import connect as asyncio_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from rxecho.server import EchoServer

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 10.0
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@contextlib.contextmanager
def client(url: str, **options: Any) -> Iterator[ClientConnection]:
    # Without its own keepalive, whose thread outlives the connection by a moment.
    options = {"proxy": None, "max_size": None, "ping_interval": None, "open_timeout": TIMEOUT, **options}
    with connect(url, **options) as connection:
        yield connection


def until_closed(connection: ClientConnection) -> tuple[list[str | bytes], int | None, str | None]:
    """All that still comes, and the code and the reason that end it (1006: no close frame)."""
    messages = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            messages.append(connection.recv(timeout=TIMEOUT))
    return messages, connection.close_code, connection.close_reason


class RawClient:
    """A client that does, and leaves undone, exactly what a test says."""

    def __init__(
        self,
        server: EchoServer | int,
        path: str = "/",
        *,
        headers: str = "",
        context: ssl.SSLContext | None = None,
    ) -> None:
        port = server if isinstance(server, int) else server.port
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n".encode()
        )
        self.stream = self.socket.makefile("rb")
        self.response = b"".join(iter(self.stream.readline, b"\r\n"))

    def send(self, opcode: int, payload: bytes, *, fin: bool = True) -> None:
        self.socket.sendall(frame(opcode, payload, fin=fin))

    def receive(self) -> tuple[int, bytes]:
        """The next frame, or (-1, b"") at the end of the stream."""
        header = self.stream.read(2)
        if not header:
            return -1, b""
        length = header[1]
        if length >= 126:
            length = int.from_bytes(self.stream.read(2 if length == 126 else 8), "big")
        assert header[0] & 0x80, "the server fragments nothing"
        return header[0] & 0x0F, self.stream.read(length)

    def __enter__(self) -> Self:
        assert self.response.startswith(b"HTTP/1.1 101 "), self.response
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self.socket.close()


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """A client's frame, masked with zeros."""
    length = len(payload)
    if length < 126:
        size = struct.pack("!B", 0x80 | length)
    elif length < 2**16:
        size = struct.pack("!BH", 0x80 | 126, length)
    else:
        size = struct.pack("!BQ", 0x80 | 127, length)
    return bytes([fin << 7 | opcode]) + size + bytes(4) + payload


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer() as server:
        yield server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


# --- Starting and stopping ---


def test_it_accepts_from_the_moment_the_context_is_entered() -> None:
    with EchoServer() as server, socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT):
        pass


def test_port_and_url_say_where_it_listens(server: EchoServer) -> None:
    assert 0 < server.port < 65536
    assert server.url == f"ws://127.0.0.1:{server.port}/"


# Ports that no system gives out by itself, so that nobody else is there before or after.
PORTS = range(20_000, 30_000)


def test_it_listens_on_the_port_it_was_given() -> None:
    for port in random.sample(PORTS, 20):
        with contextlib.suppress(OSError), EchoServer(port=port) as server:
            assert server.port == port
            return
    pytest.fail("could not listen on any of 20 ports")


@pytest.mark.parametrize("path", ["/ticker?interval=0.1", "ticker?interval=0.1"])
def test_url_for_is_the_url_of_a_path(server: EchoServer, path: str) -> None:
    assert server.url_for(path) == f"ws://127.0.0.1:{server.port}/ticker?interval=0.1"


def test_port_before_the_start_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="start it with `with EchoServer"):
        _ = EchoServer(port=8765).url


def test_the_url_outlives_the_server_so_that_its_absence_can_be_tried() -> None:
    with EchoServer(port=random.choice(PORTS)) as server:
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)


def test_it_can_be_started_again() -> None:
    server = EchoServer()
    for _ in range(2):
        with server, client(server.url) as connection:
            connection.send("again")
            assert connection.recv(timeout=TIMEOUT) == "again"


def test_entering_it_twice_is_an_error_that_leaves_it_running(server: EchoServer) -> None:
    with pytest.raises(RuntimeError, match="already running"):
        server.__enter__()
    with client(server.url) as connection:
        connection.send("still here")
        assert connection.recv(timeout=TIMEOUT) == "still here"


def test_leaving_it_twice_is_harmless(server: EchoServer) -> None:
    server.__exit__(None, None, None)
    server.__exit__(None, None, None)


def open_files() -> int:
    descriptors = Path("/proc/self/fd")
    return len(list(descriptors.iterdir())) if descriptors.exists() else 0


def test_it_leaves_no_thread_and_no_socket_behind() -> None:
    threads, files = threading.active_count(), open_files()
    with EchoServer() as server:
        for path in ("/", "/broadcast", "/ticker?interval=3600", "/slow?delay=3600"):
            with client(server.url_for(path)) as connection:
                connection.send("x")
        assert threading.active_count() > threads
    assert threading.active_count() == threads
    assert open_files() == files


def test_clients_that_connect_while_it_is_left_are_lost_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    files = open_files()
    for _ in range(3):
        with EchoServer() as server, socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT):
            crowd = threading.Thread(target=connect_until_refused, args=(server.port,))
            crowd.start()
        crowd.join()
    assert caplog.messages == []
    assert open_files() == files


def connect_until_refused(port: int) -> None:
    with contextlib.suppress(OSError):
        for _ in range(20_000):
            socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT).close()


@pytest.mark.parametrize("path", ["/", "/broadcast", "/ticker?interval=3600", "/slow?delay=3600"])
def test_leaving_it_closes_the_connections_with_1001(path: str) -> None:
    with contextlib.ExitStack() as stack:
        with EchoServer() as server:
            connection = stack.enter_context(client(server.url_for(path)))
            connection.send("x")
        assert until_closed(connection)[1] == 1001


def test_clients_that_never_answer_hold_the_exit_up_for_about_a_second() -> None:
    with contextlib.ExitStack() as stack:
        with EchoServer() as server:
            mute = [stack.enter_context(RawClient(server, path)) for path in ("/", "/slow", "/ticker?interval=0")]
            half_open = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), TIMEOUT))
            with RawClient(server) as flooded:
                sent = flood(flooded, frame(BINARY, bytes(2**20)))
                started = time.monotonic()
                server.__exit__(None, None, None)
                assert time.monotonic() - started < 5
        assert sent
        assert mute[0].receive() == (CLOSE, struct.pack("!H", 1001))
        with contextlib.suppress(ConnectionResetError):
            assert half_open.recv(1) == b""


def test_a_tls_handshake_that_never_ends_does_not_hold_the_exit_up(server_tls: ssl.SSLContext) -> None:
    files = open_files()
    with EchoServer(ssl=server_tls) as server:
        silent = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
        with silent:
            started = time.monotonic()
            server.__exit__(None, None, None)
            assert time.monotonic() - started < 5
            with contextlib.suppress(ConnectionResetError):
                assert silent.recv(1) == b""
    assert open_files() == files


def test_a_port_in_use_raises_oserror_and_leaves_nothing_behind(server: EchoServer) -> None:
    threads, files = threading.active_count(), open_files()
    second = EchoServer(port=server.port)
    with pytest.raises(OSError, match="address already in use"):
        second.__enter__()
    assert threading.active_count() == threads
    assert open_files() == files
    with pytest.raises(RuntimeError, match="no port yet"):
        _ = second.port


def test_an_address_of_another_machine_raises_oserror() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1"), EchoServer("192.0.2.1"):
        pass


@pytest.mark.parametrize(("host", "port"), [("x" * 64, 0), ("127.0.0.1", 65536)])
def test_a_host_or_port_that_cannot_exist_raises_oserror(host: str, port: int) -> None:
    threads = threading.active_count()
    with pytest.raises(OSError, match=f"cannot listen on port {port} of {host}: "), EchoServer(host, port):
        pass
    assert threading.active_count() == threads


def test_a_name_stands_for_its_address_and_stays_in_the_url() -> None:
    with EchoServer("localhost") as server:
        assert server.url == f"ws://localhost:{server.port}/"
        with client(server.url) as connection:
            connection.send("by name")
            assert connection.recv(timeout=TIMEOUT) == "by name"


def test_ipv6_addresses_are_listened_on_and_bracketed_in_the_url() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 loopback on this machine: {error}")
    with EchoServer("::1") as server:
        assert server.url == f"ws://[::1]:{server.port}/"
        with client(server.url) as connection:
            connection.send("six")
            assert connection.recv(timeout=TIMEOUT) == "six"


def test_with_an_ssl_context_it_speaks_wss(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    # Not by the threaded client: two threads on one SSLSocket lose a handshake in some hundreds.
    async def echoed(url: str) -> str | bytes:
        async with asyncio.timeout(TIMEOUT), asyncio_connect(url, ssl=client_tls, proxy=None) as connection:
            await connection.send("secret")
            return await connection.recv()

    with EchoServer(ssl=server_tls) as server:
        assert server.url == f"wss://127.0.0.1:{server.port}/"
        assert asyncio.run(echoed(server.url)) == "secret"


# --- In a process of its own ---


@contextlib.contextmanager
def python(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-W", "always", "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


needs_sigint = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl+C to one subprocess only")


@needs_sigint
@pytest.mark.parametrize(
    "code",
    [
        """
from contextlib import suppress
# Around all of it: Ctrl+C may come before serve_forever() is reached.
with suppress(KeyboardInterrupt), EchoServer() as server:
    print(server.url, flush=True)
    server.serve_forever()
""",
        """
class Announcing(EchoServer):
    def __enter__(self):
        super().__enter__()
        print(self.url, flush=True)
        return self

Announcing().serve_forever()
""",
    ],
    ids=["in its context", "alone"],
)
def test_serve_forever_serves_until_ctrl_c_and_then_closes_with_1001(code: str) -> None:
    with python(f"from rxecho import EchoServer\n{code}\nprint('goodbye')") as process:
        assert process.stdout is not None
        with client(process.stdout.readline().strip()) as connection:
            connection.send("hello")
            assert connection.recv(timeout=TIMEOUT) == "hello"
            process.send_signal(signal.SIGINT)
            assert until_closed(connection) == ([], 1001, "")
        output, errors = process.communicate(timeout=TIMEOUT)
        assert (output, errors, process.returncode) == ("goodbye\n", "", 0)


def test_serve_forever_raises_oserror_when_the_port_is_in_use(server: EchoServer) -> None:
    with pytest.raises(OSError, match="address already in use"):
        EchoServer(port=server.port).serve_forever()


def test_serve_forever_returns_when_another_thread_ends_the_server() -> None:
    with EchoServer() as server:
        waiting = threading.Thread(target=server.serve_forever)
        waiting.start()
    waiting.join(TIMEOUT)
    assert not waiting.is_alive()


def test_a_forgotten_server_does_not_keep_the_interpreter_alive() -> None:
    code = """
import socket
from rxecho import EchoServer
server = EchoServer().__enter__()
connection = socket.create_connection(("127.0.0.1", server.port))
"""
    with python(code) as process:
        _, errors = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0
        assert "Traceback" not in errors


@needs_sigint
def test_misbehaving_clients_leave_nothing_on_standard_error(
    tmp_path: Path, authority: trustme.CA, client_tls: ssl.SSLContext
) -> None:
    certificate = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    code = """
import ssl, sys
from rxecho import EchoServer
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(sys.argv[1])
with EchoServer() as plain, EchoServer(ssl=context) as secure:
    print(plain.port, secure.port, flush=True)
    plain.serve_forever()
"""
    with python(code, str(certificate)) as process:
        assert process.stdout is not None
        plain, secure = map(int, process.stdout.readline().split())
        for port in (plain, secure):
            for said in (b"", b"\x16", b"GET / HTTP/1.1\r\nHost", b"\0garbage\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
                with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
                    connection.sendall(said)
                    reset(connection)
        for port, context in ((plain, None), (secure, client_tls)):
            for path in ("/", "/broadcast", "/ticker?interval=0", "/slow?delay=0", "/flaky", "/close"):
                for said in (
                    b"",
                    b"\xff" * 20,
                    frame(TEXT, b"\xff"),
                    frame(TEXT, bytes(9))[:9],
                    frame(TEXT, b"x") * 999,
                    frame(PING, b"x") * 999,
                ):
                    with RawClient(port, path, context=context) as raw:
                        raw.socket.sendall(said)
                        reset(raw.socket)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT)
        assert (errors, process.returncode) == ("", 0)


def reset(connection: socket.socket) -> None:
    """Have the kernel drop the connection at once when the socket is closed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# --- The opening handshake ---


def test_an_unknown_path_gets_404_and_a_list_of_the_paths(server: EchoServer) -> None:
    with pytest.raises(InvalidStatus) as refused, client(server.url_for("/nowhere?x=1")):
        pass
    assert refused.value.response.status_code == 404
    assert refused.value.response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert refused.value.response.body.decode().splitlines()[1:] == [
        "/",
        "/echo",
        "/broadcast",
        "/ticker?interval=&count=&seed=",
        "/slow?delay=",
        "/flaky?after=",
        "/close?code=&reason=",
    ]


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/ticker?count=abc", "count"),
        ("/ticker?count=-1", "count"),
        ("/ticker?count=1.5", "count"),
        ("/ticker?count=", "count"),
        ("/ticker?count", "count"),
        (f"/ticker?count={10**30}", "count"),
        ("/ticker?interval=-1", "interval"),
        ("/ticker?interval=nan", "interval"),
        ("/ticker?interval=inf", "interval"),
        ("/ticker?interval=soon", "interval"),
        ("/ticker?seed=lucky", "seed"),
        ("/ticker?count=1&count=2", "count"),
        ("/ticker?tempo=1", "tempo"),
        ("/slow?delay=-0.1", "delay"),
        ("/flaky?after=-1", "after"),
        ("/flaky?after=x", "after"),
        ("/close?code=999", "code"),
        ("/close?code=1005", "code"),
        ("/close?code=5000", "code"),
        ("/close?code=", "code"),
        (f"/close?reason={'x' * 124}", "reason"),
        (f"/close?reason={'%C3%A9' * 62}", "reason"),
        ("/?loud=1", "loud"),
        ("/echo?loud=%1B%0A", "loud"),
        ("/broadcast?room=1", "room"),
    ],
)
def test_a_wrong_query_gets_400_and_one_sentence_that_names_the_parameter(
    server: EchoServer, path: str, parameter: str
) -> None:
    with pytest.raises(InvalidStatus) as refused, client(server.url_for(path)):
        pass
    assert refused.value.response.status_code == 400
    sentence = refused.value.response.body.decode()
    assert parameter in sentence
    assert sentence.endswith(".\n")
    assert sentence.count("\n") == 1


def test_a_browser_that_asks_for_a_page_gets_426(server: EchoServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert browser.recv(99).startswith(b"HTTP/1.1 426 ")


@pytest.mark.parametrize(("offered", "chosen"), [(["a.v2", "b"], "a.v2"), (["b", "a.v2"], "b"), (None, None)])
def test_the_first_subprotocol_offered_is_chosen(
    server: EchoServer, offered: list[Subprotocol] | None, chosen: str | None
) -> None:
    with client(server.url, subprotocols=offered) as connection:
        assert connection.subprotocol == chosen


def test_nothing_is_compressed_so_that_the_frames_are_what_was_sent(server: EchoServer) -> None:
    with RawClient(server, headers="Sec-WebSocket-Extensions: permessage-deflate\r\n") as raw:
        assert b"extensions" not in raw.response.lower()
        raw.send(TEXT, b"x" * 100)
        assert raw.receive() == (TEXT, b"x" * 100)


# --- /, /echo ---


@pytest.mark.parametrize("path", ["/", "/echo"])
@pytest.mark.parametrize("message", ["Hello!", "", "zwölf Boxkämpfer 🥊\0\x1b[31m", b"\x00\xff", b""])
def test_text_is_echoed_as_text_and_binary_as_binary(server: EchoServer, path: str, message: str | bytes) -> None:
    with client(server.url_for(path)) as connection:
        connection.send(message)
        assert connection.recv(timeout=TIMEOUT) == message


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_fragmented_message_is_echoed_in_one_frame(server: EchoServer, opcode: int) -> None:
    with RawClient(server) as raw:
        raw.send(opcode, b"caf\xc3", fin=False)
        raw.send(PING, b"between")
        raw.send(CONT, b"", fin=False)
        raw.send(CONT, b"\xa9")
        assert raw.receive() == (PONG, b"between")
        assert raw.receive() == (opcode, "café".encode())


def test_messages_are_echoed_in_order(server: EchoServer) -> None:
    with RawClient(server) as raw:
        raw.socket.sendall(b"".join(frame(TEXT, b"%d" % number) for number in range(5000)))
        assert [raw.receive() for _ in range(5000)] == [(TEXT, b"%d" % number) for number in range(5000)]


def test_a_message_of_64_mib_is_echoed(server: EchoServer) -> None:
    message = os.urandom(2**20) * 64
    with client(server.url, compression=None) as connection:
        connection.send(message)
        assert connection.recv(timeout=30) == message


def test_a_message_of_more_than_64_mib_is_answered_with_1009(server: EchoServer) -> None:
    with RawClient(server) as raw:
        raw.socket.sendall(struct.pack("!BBQ", 0x80 | BINARY, 0x80 | 127, 2**26 + 1) + bytes(4))
        opcode, payload = raw.receive()
        assert (opcode, payload[:2]) == (CLOSE, struct.pack("!H", 1009))


def test_text_that_is_not_utf_8_is_answered_with_1007(server: EchoServer) -> None:
    with RawClient(server) as raw:
        raw.send(TEXT, b"caf\xc3")
        opcode, payload = raw.receive()
        assert (opcode, payload[:2]) == (CLOSE, struct.pack("!H", 1007))


def flood(raw: RawClient, block: bytes, *, most: int = 512 * 2**20) -> int:
    """Send without reading until the server takes no more, and say how many bytes it took."""
    raw.socket.setblocking(False)
    sent = 0
    view = memoryview(block)
    while sent < most and select.select([], [raw.socket], [], 0.2)[1]:
        sent += raw.socket.send(view[sent % len(block) :])
    raw.socket.settimeout(TIMEOUT)
    return sent


@pytest.mark.parametrize("path", ["/", "/broadcast", "/slow?delay=3600"])
def test_a_client_that_sends_without_reading_is_not_read_from_for_ever(server: EchoServer, path: str) -> None:
    with RawClient(server, path) as raw:
        assert flood(raw, frame(BINARY, bytes(2**20))) < 100 * 2**20


def test_a_client_that_reads_late_still_gets_every_echo(server: EchoServer) -> None:
    block = frame(BINARY, bytes(2**16))
    with RawClient(server) as raw:
        sent = flood(raw, block)
        rest = block[sent % len(block) :] if sent % len(block) else b""
        sending = threading.Thread(target=raw.socket.sendall, args=(rest + frame(TEXT, b"the end"),))
        sending.start()
        for _ in range((sent + len(rest)) // len(block)):
            assert raw.receive() == (BINARY, bytes(2**16))
        assert raw.receive() == (TEXT, b"the end")
        sending.join(TIMEOUT)


# --- /broadcast ---


def test_fifty_clients_each_get_every_message_and_its_sender_too(server: EchoServer) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server, "/broadcast")) for _ in range(50)]
        for number, sender in enumerate(clients):
            sender.send(TEXT, b"%d" % number)
        got = [[raw.receive() for _ in clients] for raw in clients]
        assert sorted(got[0]) == sorted((TEXT, b"%d" % number) for number in range(50))
        assert all(messages == got[0] for messages in got), "one order for all"


def test_what_was_sent_before_a_close_is_broadcast(server: EchoServer) -> None:
    with RawClient(server, "/broadcast") as sender, client(server.url_for("/broadcast")) as receiver:
        burst = b"".join(frame(TEXT, str(number).encode()) for number in range(8))
        sender.socket.sendall(burst + frame(CLOSE, struct.pack("!H", 4000)))
        assert [receiver.recv(timeout=TIMEOUT) for _ in range(8)] == [str(number) for number in range(8)]


def test_binary_is_broadcast_as_binary_and_only_on_its_path(server: EchoServer) -> None:
    with (
        client(server.url_for("/broadcast")) as sender,
        client(server.url_for("/broadcast")) as receiver,
        client(server.url) as stranger,
    ):
        sender.send(b"\x00")
        assert receiver.recv(timeout=TIMEOUT) == b"\x00"
        assert sender.recv(timeout=TIMEOUT) == b"\x00"
        stranger.send("own")
        assert stranger.recv(timeout=TIMEOUT) == "own"


def test_a_client_that_left_does_not_trouble_the_others(server: EchoServer) -> None:
    with client(server.url_for("/broadcast")) as sender:
        with RawClient(server, "/broadcast") as dropped:
            reset(dropped.socket)
        with client(server.url_for("/broadcast")):
            pass
        for number in range(100):
            sender.send(str(number))
            assert sender.recv(timeout=TIMEOUT) == str(number)


def test_a_client_too_slow_for_the_others_is_dropped_and_stalls_nobody(server: EchoServer) -> None:
    block = bytes(8 * 2**20)
    with (
        RawClient(server, "/broadcast") as slow,
        RawClient(server, "/broadcast") as sender,
        RawClient(server, "/broadcast") as receiver,
    ):
        for _ in range(16):
            sender.send(BINARY, block)
            assert sender.receive() == receiver.receive() == (BINARY, block)
        with contextlib.suppress(ConnectionResetError):
            while slow.socket.recv(2**20):
                pass
        sender.send(TEXT, b"just us")
        assert sender.receive() == receiver.receive() == (TEXT, b"just us")


# --- /ticker ---


def quotes(server: EchoServer, query: str) -> list[str | bytes]:
    with client(server.url_for(f"/ticker?interval=0&{query}")) as connection:
        messages, code, _ = until_closed(connection)
        assert code == 1000
        return messages


def test_quotes_are_json_numbered_from_one_and_end_with_1000(server: EchoServer) -> None:
    parsed = [json.loads(quote) for quote in quotes(server, "count=50")]
    assert [quote["sequence"] for quote in parsed] == list(range(1, 51))
    for quote in parsed:
        assert set(quote) == {"symbol", "price", "sequence"}
        assert isinstance(quote["symbol"], str)
        assert quote["price"] > 0


def test_the_same_seed_gives_the_same_quotes_byte_for_byte(server: EchoServer) -> None:
    first = quotes(server, "count=200&seed=7")
    assert quotes(server, "count=200&seed=7") == first
    assert quotes(server, "count=100&seed=7") == first[:100]
    assert quotes(server, "count=200&seed=8") != first
    assert first[:2] == [
        '{"symbol": "ECHO", "price": 99.3, "sequence": 1}',
        '{"symbol": "RICH", "price": 99.14, "sequence": 2}',
    ], "the same in every version: lessons print them"


def test_without_a_seed_the_quotes_are_others_each_time(server: EchoServer) -> None:
    assert quotes(server, "count=50") != quotes(server, "count=50")


def test_a_count_of_zero_closes_at_once(server: EchoServer) -> None:
    assert quotes(server, "count=0") == []


def test_without_a_count_the_quotes_go_on(server: EchoServer) -> None:
    with client(server.url_for("/ticker?interval=0"), max_queue=None) as connection:
        for number in range(1, 1001):
            assert json.loads(connection.recv(timeout=TIMEOUT))["sequence"] == number


def test_the_first_quote_comes_at_once_and_the_next_after_the_interval(server: EchoServer) -> None:
    with client(server.url_for("/ticker?interval=3600")) as connection:
        assert json.loads(connection.recv(timeout=TIMEOUT))["sequence"] == 1
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0)
    started = time.monotonic()
    with client(server.url_for("/ticker?interval=0.05&count=3")) as connection:
        assert len(until_closed(connection)[0]) == 3
    assert time.monotonic() - started >= 0.1


def test_after_the_last_quote_nothing_is_waited_for(server: EchoServer) -> None:
    with client(server.url_for("/ticker?interval=3600&count=1")) as connection:
        assert until_closed(connection)[1] == 1000


def test_a_client_of_the_ticker_may_talk_and_close_whenever_it_likes(server: EchoServer) -> None:
    with RawClient(server, "/ticker?interval=3600&seed=7") as raw:
        assert raw.receive()[0] == TEXT
        raw.socket.sendall(frame(TEXT, b"ignored") * 1000 + frame(CLOSE, struct.pack("!H", 4001)))
        assert raw.receive() == (CLOSE, struct.pack("!H", 4001))
        assert raw.receive() == (-1, b"")


# --- /slow ---


def test_each_message_is_echoed_late_in_order_and_not_later_than_that(server: EchoServer) -> None:
    messages: list[str | bytes] = [str(number) for number in range(20)]
    with client(server.url_for("/slow?delay=0.3")) as connection:
        started = time.monotonic()
        for message in messages:
            connection.send(message)
        assert connection.recv(timeout=TIMEOUT) == messages[0]
        assert time.monotonic() - started >= 0.3
        assert [connection.recv(timeout=TIMEOUT) for _ in messages[1:]] == messages[1:]
        assert time.monotonic() - started < 0.3 * len(messages)


def test_a_delay_of_zero_is_none(server: EchoServer) -> None:
    with client(server.url_for("/slow?delay=0")) as connection:
        for message in ("a", b"b"):
            connection.send(message)
            assert connection.recv(timeout=TIMEOUT) == message


def test_past_16_mib_of_waiting_messages_slow_reads_on_when_they_have_left(server: EchoServer) -> None:
    block = frame(BINARY, bytes(2**20))
    with RawClient(server, "/slow?delay=0.1") as raw:
        sending = threading.Thread(target=raw.socket.sendall, args=(block * 40,))
        sending.start()
        for _ in range(40):
            assert raw.receive() == (BINARY, bytes(2**20))
        sending.join(TIMEOUT)


# --- /flaky ---


@pytest.mark.parametrize(("query", "echoes"), [("?after=5", 5), ("?after=1", 1), ("?after=0", 0), ("", 3)])
def test_flaky_drops_the_connection_without_a_close_frame_once_the_echoes_are_through(
    server: EchoServer, query: str, echoes: int
) -> None:
    with RawClient(server, f"/flaky{query}") as raw:
        raw.socket.sendall(frame(TEXT, b"x" * 1000) * 100)
        assert [raw.receive() for _ in range(echoes)] == [(TEXT, b"x" * 1000)] * echoes
        assert raw.receive() == (-1, b"")


def test_flaky_is_flaky_over_tls_too(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    with EchoServer(ssl=server_tls) as server, RawClient(server, "/flaky?after=2", context=client_tls) as raw:
        raw.send(TEXT, b"a")
        raw.send(TEXT, b"b")
        assert [raw.receive() for _ in range(3)] == [(TEXT, b"a"), (TEXT, b"b"), (-1, b"")]


def test_flaky_delivers_large_echoes_before_it_drops_the_connection(server: EchoServer) -> None:
    with client(server.url_for("/flaky?after=1"), compression=None) as connection:
        connection.send(bytes(2**24))
        assert until_closed(connection) == ([bytes(2**24)], 1006, "")


@pytest.mark.skipif(not hasattr(select, "poll"), reason="waiting for a reset takes poll()")
def test_flaky_drops_a_client_that_does_not_hang_up(server: EchoServer) -> None:
    with RawClient(server, "/flaky?after=0") as raw:
        assert raw.receive() == (-1, b"")
        broken = select.poll()
        broken.register(raw.socket, 0)  # errors and hang-ups only
        deadline = time.monotonic() + TIMEOUT
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while not broken.poll(20):
                assert time.monotonic() < deadline
                raw.send(TEXT, b"are you there?")


# --- /close ---


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ("", 1000, ""),
        ("?code=1001", 1001, ""),
        ("?code=4999&reason=go+away,+please", 4999, "go away, please"),
        ("?reason=%E2%9C%8B", 1000, "✋"),
        (f"?code=1011&reason={'x' * 123}", 1011, "x" * 123),
    ],
)
def test_close_closes_at_once_with_that_code_and_reason(server: EchoServer, query: str, code: int, reason: str) -> None:
    with client(server.url_for(f"/close{query}")) as connection:
        assert until_closed(connection) == ([], code, reason)


def test_close_completes_the_handshake_however_much_the_client_has_said(server: EchoServer) -> None:
    with RawClient(server, "/close?code=4000") as raw:
        raw.socket.sendall(frame(TEXT, b"x") * 1000)
        assert raw.receive() == (CLOSE, struct.pack("!H", 4000))
        raw.send(CLOSE, struct.pack("!H", 4000))
        assert raw.receive() == (-1, b"")
