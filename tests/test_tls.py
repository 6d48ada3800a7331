"""Channels over TLS: whom they trust, and that nothing is lost on the way."""

from __future__ import annotations

import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue
from threading import Event

import pytest
import trustme
from connect_proxy import ConnectProxy
from peer import frame
from raw_server import CLOSE, TEXT, TIMEOUT, Peer, raw_server
from websockets.sync.server import ServerConnection, serve
from websockets.utils import accept_key

from rxecho import ChannelClosed, ConnectError, ConnectionLost, ConnectTimeout, WebSocketChannel

CA = trustme.CA()


def server_context(*names: str, expired: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    not_after = datetime.now(UTC) - timedelta(days=1) if expired else None
    CA.issue_cert(*(names or ("127.0.0.1", "localhost")), not_after=not_after).configure_cert(context)
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


FORGED = b"\x17\x03\x03\x00\x20" + bytes(32)
"""A record that does not decrypt."""


def echo(peer: Peer) -> None:
    peer.open()
    opcode, payload = peer.receive()
    while opcode != CLOSE:
        peer.send(opcode, payload)
        opcode, payload = peer.receive()
    peer.send(CLOSE, payload)


def over_tls(context: ssl.SSLContext, conduct: Callable[[Peer], object] = echo) -> Callable[[Peer], None]:
    """A server whose clients may turn away in the middle of anything."""

    def over_tls_conduct(peer: Peer) -> None:
        with suppress(OSError, EOFError), context.wrap_socket(peer.sock, server_side=True) as secure:
            conduct(Peer(secure))

    return over_tls_conduct


def failure(url: str, context: ssl.SSLContext | None = None, *, proxy: str = "", timeout: float = 10.0) -> ConnectError:
    with WebSocketChannel.connect(url, ssl=context, proxy=proxy, connect_timeout=timeout) as channel:
        error = channel.ready.exception(TIMEOUT)
    assert isinstance(error, ConnectError)
    assert url in str(error)
    return error


def failure_at(conduct: Callable[[Peer], object], context: ssl.SSLContext | None = None, **options: float) -> str:
    with raw_server(conduct) as port:
        return str(failure(f"wss://127.0.0.1:{port}/", context, **options))  # type: ignore[arg-type]


def echoed(channel: WebSocketChannel, message: str | bytes) -> str | bytes:
    replies: Queue[str | bytes] = Queue()
    with channel.stream.subscribe(replies.put):
        channel.sink.add(message)
        return replies.get(timeout=TIMEOUT)


# Trust


def test_a_certificate_that_the_context_trusts_is_taken() -> None:
    with (
        raw_server(echo, tls=server_context()) as port,
        WebSocketChannel.connect(f"wss://127.0.0.1:{port}/", ssl=client_context()) as channel,
    ):
        assert echoed(channel, "über TLS") == "über TLS"
        channel.sink.close(4000).result(TIMEOUT)
        assert channel.close_code == 4000


def test_without_a_context_the_systems_authorities_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with (
        raw_server(echo, tls=server_context()) as port,
        WebSocketChannel.connect(f"wss://127.0.0.1:{port}/") as channel,
    ):
        channel.ready.result(TIMEOUT)


def test_by_default_an_unknown_authority_is_a_connect_error_that_says_so() -> None:
    error = failure_at(over_tls(server_context()))
    assert "certificate does not verify" in error
    assert "issuer" in error
    assert "trust the authority" in error


def test_an_unknown_authority_is_a_connect_error_with_a_context_too() -> None:
    assert "issuer" in failure_at(over_tls(server_context()), ssl.create_default_context())


@pytest.mark.parametrize("name", ["other.invalid", "127.0.0.2"])
def test_a_certificate_for_another_host_is_a_connect_error_that_says_so(name: str) -> None:
    error = failure_at(over_tls(server_context(name)), client_context())
    assert "mismatch" in error
    assert error.endswith("'127.0.0.1'); connect to a host that it names")


def test_a_certificate_that_has_expired_is_a_connect_error_that_says_so() -> None:
    error = failure_at(over_tls(server_context(expired=True)), client_context())
    assert "expired" in error
    assert "renew it" in error


def test_a_certificate_error_has_its_cause_chained() -> None:
    with raw_server(over_tls(server_context())) as port:
        assert isinstance(failure(f"wss://127.0.0.1:{port}/").__cause__, ssl.SSLCertVerificationError)


def test_only_a_context_that_says_so_does_not_verify() -> None:
    insecure = ssl.create_default_context()
    insecure.check_hostname = False
    insecure.verify_mode = ssl.CERT_NONE
    with (
        raw_server(echo, tls=server_context("other.invalid")) as port,
        WebSocketChannel.connect(f"wss://127.0.0.1:{port}/", ssl=insecure) as channel,
    ):
        channel.ready.result(TIMEOUT)


def test_the_server_is_told_which_host_name_is_wanted() -> None:
    wanted: Queue[str | None] = Queue()
    context = server_context()
    context.sni_callback = lambda _, name, __: wanted.put(name)
    with (
        raw_server(echo, tls=context) as port,
        WebSocketChannel.connect(f"wss://localhost:{port}/", ssl=client_context()) as channel,
    ):
        channel.ready.result(TIMEOUT)
    assert wanted.get(timeout=TIMEOUT) == "localhost"


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def demanding(request: pytest.FixtureRequest) -> ssl.SSLContext:
    """A server's context that demands a certificate of the client."""
    context = server_context()
    context.maximum_version = request.param
    CA.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_a_client_certificate_of_the_context_is_shown(demanding: ssl.SSLContext) -> None:
    context = client_context()
    CA.issue_cert("client@example.invalid").configure_cert(context)
    with (
        raw_server(echo, tls=demanding) as port,
        WebSocketChannel.connect(f"wss://127.0.0.1:{port}/", ssl=context) as channel,
    ):
        assert echoed(channel, "it is me") == "it is me"


def test_a_server_that_misses_a_client_certificate_is_a_connect_error_that_says_so(demanding: ssl.SSLContext) -> None:
    assert "client certificate" in failure_at(refusing(demanding), client_context())


def refusing(context: ssl.SSLContext) -> Callable[[Peer], None]:
    """A server that fails the handshake, by hand, so that its alert is not lost in a reset."""

    def refuse(peer: Peer) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        with suppress(ssl.SSLError):
            while True:
                with suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                peer.sock.sendall(outgoing.read())
                incoming.write(peer.sock.recv(65536))
        peer.sock.sendall(outgoing.read())
        peer.wait_for_end()

    return refuse


def test_a_server_that_does_not_know_the_host_is_a_connect_error_that_says_so() -> None:
    context = server_context()
    context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    with raw_server(refusing(context)) as port:
        assert "check the host name" in str(failure(f"wss://localhost:{port}/", client_context()))


def test_a_server_that_speaks_another_version_of_tls_is_a_connect_error_that_says_so() -> None:
    server, client = server_context(), client_context()
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert "version of TLS" in failure_at(refusing(server), client)


# Servers that speak something else, or nothing


def test_a_plain_server_behind_wss_is_a_connect_error_that_doubts_tls() -> None:
    def answer_in_plain_text(peer: Peer) -> None:
        peer.sock.recv(65536)
        peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with suppress(ConnectionError):
            peer.wait_for_end()

    error = failure_at(answer_in_plain_text)
    assert "TLS failed" in error
    assert "use ws://" in error


def test_a_tls_server_behind_ws_is_a_connect_error() -> None:
    with raw_server(over_tls(server_context())) as port:
        failure(f"ws://127.0.0.1:{port}/")


def test_a_context_for_servers_is_a_connect_error() -> None:
    with raw_server(over_tls(server_context())) as port:
        assert "TLS failed" in str(failure(f"wss://127.0.0.1:{port}/", server_context()))


def test_a_server_that_leaves_in_the_middle_of_the_tls_handshake_is_a_connect_error() -> None:
    failure_at(lambda peer: peer.sock.recv(65536))


def test_a_server_that_resets_the_connection_in_the_tls_handshake_is_a_connect_error() -> None:
    failure_at(Peer.reset)


def test_a_server_that_accepts_and_says_nothing_is_a_connect_timeout() -> None:
    with raw_server(Peer.wait_for_end) as port:
        error = failure(f"wss://127.0.0.1:{port}/", timeout=0.1)
    assert isinstance(error, ConnectTimeout)
    assert "TLS handshake" in str(error)


def test_a_tls_server_that_does_not_answer_the_opening_handshake_is_a_connect_timeout() -> None:
    def say_nothing(peer: Peer) -> None:
        peer.read_head()
        peer.wait_for_end()

    with raw_server(over_tls(server_context(), say_nothing)) as port:
        error = failure(f"wss://127.0.0.1:{port}/", client_context(), timeout=0.3)
    assert isinstance(error, ConnectTimeout)
    assert "opening handshake" in str(error)


def test_closing_during_the_tls_handshake_gives_up_at_once() -> None:
    has_asked = Event()

    def say_nothing(peer: Peer) -> None:
        assert peer.sock.recv(1)
        has_asked.set()
        peer.wait_for_end()

    with (
        raw_server(say_nothing) as port,
        WebSocketChannel.connect(f"wss://127.0.0.1:{port}/", connect_timeout=60) as channel,
    ):
        assert has_asked.wait(TIMEOUT)
        channel.sink.close(1000).result(TIMEOUT)
        assert isinstance(channel.ready.exception(), ChannelClosed)


def test_a_record_that_does_not_decrypt_is_a_lost_connection_and_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)

    def forge_a_record(peer: Peer) -> None:
        # Two owners of one connection: one speaks TLS on it, the other writes past that.
        with server_context().wrap_socket(peer.sock.dup(), server_side=True) as secure:
            Peer(secure).open()
            peer.sock.sendall(FORGED)
            peer.wait_for_end()

    with (
        raw_server(forge_a_record) as port,
        WebSocketChannel.connect(f"wss://127.0.0.1:{port}/", ssl=client_context()) as channel,
    ):
        with pytest.raises(ConnectionLost) as lost:
            channel.stream.run()
        assert "fault" not in str(lost.value)
    assert reported == []


def test_a_connection_that_is_cut_is_lost() -> None:
    def cut(peer: Peer) -> None:
        peer.open()

    errors: Queue[Exception] = Queue()
    with (
        raw_server(cut, tls=server_context()) as port,
        WebSocketChannel.connect(f"wss://127.0.0.1:{port}/", ssl=client_context()) as channel,
    ):
        channel.stream.subscribe(on_error=errors.put)
        assert isinstance(errors.get(timeout=TIMEOUT), ConnectionLost)


@pytest.mark.parametrize("end", ["in order", "forged"])
def test_an_end_that_comes_together_with_a_message_is_noticed_though_tcp_stays_open(end: str) -> None:
    entered, has_ended = threading.Event(), threading.Event()

    def end_tls(peer: Peer) -> None:
        peer.open()
        peer.send(TEXT, b"first")
        assert entered.wait(TIMEOUT)
        peer.send(TEXT, b"second")
        with socket.socket(fileno=os.dup(peer.sock.fileno())) as tcp:
            if end == "in order":
                peer.sock.settimeout(0.1)
                with suppress(OSError):
                    peer.sock.unwrap()  # type: ignore[attr-defined]  # says so, and is not answered
            else:
                tcp.sendall(FORGED)
            has_ended.set()
            tcp.settimeout(TIMEOUT)
            with suppress(ConnectionError):
                while tcp.recv(65536):
                    pass

    def on_next(message: str | bytes) -> None:
        received.append(message)
        entered.set()
        has_ended.wait(TIMEOUT)

    received: list[str | bytes] = []
    errors: Queue[Exception] = Queue()
    with (
        raw_server(end_tls, tls=server_context()) as port,
        WebSocketChannel.connect(f"wss://127.0.0.1:{port}/", ssl=client_context()) as channel,
    ):
        channel.stream.subscribe(on_next, errors.put)
        error = errors.get(timeout=TIMEOUT / 2)
        assert isinstance(error, ConnectionLost)
        assert isinstance(error.__cause__, ssl.SSLError) == (end == "forged")
    assert received == ["first", "second"]


# Proxies


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_tls_goes_through_the_tunnel_of_a_proxy_and_verifies_the_server_behind_it(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with raw_server(echo, tls=server_context("server.invalid")) as port:
        proxy = ConnectProxy(port, f"HTTP/{version} 200 Connection established\r\n\r\n".encode())
        with raw_server(proxy) as proxy_port:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy_port}")
            with WebSocketChannel.connect("wss://server.invalid/", ssl=client_context()) as channel:
                assert echoed(channel, "through the tunnel") == "through the tunnel"
    assert proxy.requests[0].startswith(b"CONNECT server.invalid:443 HTTP/1.1\r\n")


def test_a_wrong_certificate_behind_a_proxy_is_a_connect_error() -> None:
    with raw_server(over_tls(server_context("other.invalid"))) as port, raw_server(ConnectProxy(port)) as proxy_port:
        error = failure("wss://server.invalid/", client_context(), proxy=f"http://127.0.0.1:{proxy_port}")
    assert "mismatch" in str(error)


# Nothing is lost


def test_frames_in_the_same_tls_record_as_the_answer_are_not_lost() -> None:
    def hurry(peer: Peer) -> None:
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", peer.read_head())
        assert key
        answer = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(key[1].decode())}\r\n\r\n"
        )
        frames = (frame(TEXT, f"{number} ".encode() + b"x" * 100) for number in range(100))
        peer.sock.sendall(answer.encode() + b"".join(frames))
        assert peer.receive()[0] == CLOSE

    received: Queue[str | bytes] = Queue()
    with (
        raw_server(hurry, tls=server_context()) as port,
        WebSocketChannel.connect(f"wss://127.0.0.1:{port}/", ssl=client_context()) as channel,
    ):
        channel.stream.subscribe(received.put)
        texts = [str(received.get(timeout=TIMEOUT)) for _ in range(100)]
    assert [int(text.split(" ")[0]) for text in texts] == list(range(100))


@contextmanager
def websockets_echo_server(context: ssl.SSLContext) -> Iterator[int]:
    """An echo server that somebody else wrote."""

    def echo_all(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(echo_all, "127.0.0.1", 0, ssl=context, max_size=None, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join(TIMEOUT)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def test_large_messages_of_several_threads_both_ways_at_once_lose_no_byte(version: ssl.TLSVersion) -> None:
    context = client_context()
    context.maximum_version = version
    block = os.urandom(2**20)

    def message(speaker: int, number: int) -> bytes:
        return bytes((speaker, number)) + block[: 2**20 - speaker * 100_003 - number * 7]

    def speak(speaker: int) -> None:
        for number in range(6):
            channel.sink.add(message(speaker, number))
            channel.sink.add(f"{speaker} {number}")

    received: Queue[str | bytes] = Queue()
    with (
        websockets_echo_server(server_context()) as port,
        WebSocketChannel.connect(f"wss://127.0.0.1:{port}/", ssl=context, ping_interval=0.005) as channel,
        ThreadPoolExecutor(4) as threads,
    ):
        channel.stream.subscribe(received.put)
        speaking = [threads.submit(speak, speaker) for speaker in range(4)]
        echoes = [received.get(timeout=TIMEOUT) for _ in range(4 * 6 * 2)]
        for future in speaking:
            future.result(TIMEOUT)
    large = [echo for echo in echoes if isinstance(echo, bytes)]
    for speaker in range(4):
        assert [echo for echo in large if echo[0] == speaker] == [message(speaker, number) for number in range(6)]
        texts = [echo for echo in echoes if isinstance(echo, str) and echo.startswith(f"{speaker} ")]
        assert texts == [f"{speaker} {number}" for number in range(6)]
