"""What `rxecho connect` does with its options, seen by the server: TLS, proxies, headers, subprotocols."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from aiohttp import WSMsgType, web
from connect_proxy import ConnectProxy
from cryptography.hazmat.primitives import serialization
from raw_server import PING, TIMEOUT, Peer, raw_server
from test_cli import is_one_sentence, on_terminal, started

from rxecho.channel import WebSocketChannel
from rxecho.cli import main
from rxecho.server import EchoServer

ECHOED = ["-x", "hello", "-n", "1", "-w", "5"]


def headers_of(*options: str) -> dict[str, str]:
    """The headers of the opening handshake that these options lead to."""
    received: dict[str, str] = {}

    def conduct(peer: Peer) -> None:
        received.update(peer.open())
        peer.close()

    with raw_server(conduct) as port:
        assert main(["connect", f"ws://127.0.0.1:{port}/", "--plain", "-x", "hello", "-w", "inf", *options]) == 0
    return received


def test_a_header_goes_out_as_it_was_given_and_may_be_given_again_and_again() -> None:
    headers = headers_of("-H", "X-Token:  a: b ", "--header", "Cookie: session=1", "-H", "X-Empty:")
    assert (headers["x-token"], headers["cookie"], headers["x-empty"]) == ("a: b", "session=1", "")


def test_without_options_there_is_no_origin_no_cookie_and_no_authorization() -> None:
    assert not {"origin", "cookie", "authorization", "sec-websocket-protocol"} & set(headers_of())


def test_the_origin_is_the_one_given() -> None:
    assert headers_of("-o", "https://example.com")["origin"] == "https://example.com"


def test_auth_is_http_basic_authentication_in_utf_8() -> None:
    expected = b64encode("Jürgen:a:b".encode()).decode()
    assert headers_of("--auth", "Jürgen:a:b")["authorization"] == f"Basic {expected}"


def test_compression_is_offered_unless_it_is_turned_off() -> None:
    assert headers_of()["sec-websocket-extensions"].startswith("permessage-deflate")
    assert "sec-websocket-extensions" not in headers_of("--no-compression")


def test_subprotocols_are_offered_in_the_order_given() -> None:
    assert headers_of("-s", "two", "--subprotocol", "one")["sec-websocket-protocol"] == "two, one"


def test_a_server_that_chooses_no_subprotocol_will_do(capfd: pytest.CaptureFixture[str]) -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        peer.send(*peer.receive())
        peer.send(*peer.receive())  # a text message, and then the close frame

    with raw_server(conduct) as port:
        assert main(["connect", f"ws://127.0.0.1:{port}/", "-s", "one", "-x", "hello", "-n", "1", "-w", "5"]) == 0
    assert capfd.readouterr() == ("hello\n", "")


def test_pings_are_sent_at_the_interval_given() -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        assert peer.receive()[0] == PING
        peer.close()

    with (
        raw_server(conduct) as port,
        started("connect", f"ws://127.0.0.1:{port}/", "--ping-interval", "0.05") as client,
    ):
        assert client.wait(TIMEOUT) == 0


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        ([], "ping_interval", 20.0),
        (["--ping-interval", "0"], "ping_interval", None),
        (["--ping-interval", "inf"], "ping_interval", None),
        (["--ping-interval", "2.5"], "ping_interval", 2.5),
        ([], "connect_timeout", 10.0),
        ([], "max_message_size", 16 * 2**20),
    ],
)
def test_timings_and_sizes_are_those_given_or_the_librarys_own(
    args: list[str], name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []
    connect = WebSocketChannel.connect

    def overheard(url: str, **options: Any) -> WebSocketChannel:
        asked.append(options)
        return connect(url, **options)

    monkeypatch.setattr(WebSocketChannel, "connect", overheard)
    with EchoServer() as server:
        assert main(["connect", server.url, *args, *ECHOED]) == 0
    assert asked[0][name] == value


def test_it_talks_to_a_server_that_somebody_else_wrote(capfd: pytest.CaptureFixture[str]) -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        client = web.WebSocketResponse(protocols=("chat",))
        await client.prepare(request)
        async for message in client:
            if message.type is WSMsgType.TEXT:
                await client.send_str(f"{request.headers['X-Name']}: {message.data}")
        return client

    async def serve() -> None:
        application = web.Application()
        application.router.add_get("/chat", echo)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        done = asyncio.Event()
        serving.set_result((asyncio.get_running_loop(), done, runner.addresses[0][1]))
        await done.wait()
        await runner.cleanup()

    serving: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Future()
    with ThreadPoolExecutor() as thread:
        thread.submit(asyncio.run, serve())
        loop, done, port = serving.result(TIMEOUT)
        args = ["-H", "X-Name: me", "-s", "chat", "-x", "one", "-x", "two", "-n", "2", "-w", "5"]
        assert main(["connect", f"ws://127.0.0.1:{port}/chat", *args]) == 0
        loop.call_soon_threadsafe(done.set)
    assert capfd.readouterr() == ("me: one\nme: two\n", "")


# Proxies.


def test_a_proxy_is_asked_for_a_tunnel_even_to_this_machine_when_it_is_given(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with EchoServer() as server, raw_server(proxy := ConnectProxy(server.port)) as port:
        url = f"http://me:secret@127.0.0.1:{port}"
        assert main(["connect", server.url, "--proxy", url, *ECHOED]) == 0
    assert capfd.readouterr() == ("hello\n", "")
    assert proxy.requests[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.".encode())
    assert b64encode(b"me:secret") in proxy.requests[0]


def test_a_proxy_that_refuses_is_said_in_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    with EchoServer() as server, raw_server(ConnectProxy(server.port, refusal)) as port:
        assert main(["connect", "ws://nowhere.invalid/", "--proxy", f"http://127.0.0.1:{port}", *ECHOED]) == 1
    err = capfd.readouterr().err
    assert is_one_sentence(err)
    assert "407" in err
    assert "--proxy" in err


def test_the_environments_proxy_is_used_unless_an_empty_one_is_given_but_not_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with EchoServer() as server, raw_server(proxy := ConnectProxy(server.port)) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        assert main(["connect", "ws://nowhere.invalid/", *ECHOED]) == 0
        assert main(["connect", server.url, *ECHOED]) == 0
        assert main(["connect", "ws://nowhere.invalid/", "--proxy", "", *ECHOED]) == 1
    assert capfd.readouterr().out == "hello\nhello\n"
    assert [request.split()[1] for request in proxy.requests] == [b"nowhere.invalid:80"]


# TLS.


class Certificate(NamedTuple):
    cert: str
    key: str
    both: str


def issue(ca: trustme.CA, directory: Path, name: str) -> Certificate:
    leaf = ca.issue_cert(name)
    paths = Certificate(*(str(directory / f"{name}-{part}.pem") for part in ("cert", "key", "both")))
    leaf.cert_chain_pems[0].write_to_path(paths.cert)
    leaf.private_key_pem.write_to_path(paths.key)
    leaf.private_key_and_cert_chain_pem.write_to_path(paths.both)
    return paths


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return issue(authority, tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture(scope="module")
def ca(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="module")
def server_tls(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.both)
    return context


@pytest.fixture(scope="module")
def secure_server(server_tls: ssl.SSLContext) -> Iterator[EchoServer]:
    with EchoServer(ssl=server_tls) as server:
        yield server


def test_a_certificate_that_the_given_authority_signed_verifies(
    secure_server: EchoServer, ca: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["connect", secure_server.url, "--ca", ca, *ECHOED]) == 0
    assert capfd.readouterr() == ("hello\n", "")


def test_a_certificate_that_does_not_verify_ends_with_1_and_names_the_option_that_would_help(
    secure_server: EchoServer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["connect", secure_server.url, *ECHOED]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert is_one_sentence(err)
    assert "certificate" in err
    assert "--ca" in err


def test_a_certificate_for_another_host_does_not_verify(
    secure_server: EchoServer, ca: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["connect", f"wss://localhost:{secure_server.port}/", "--ca", ca, *ECHOED]) == 1
    assert is_one_sentence(capfd.readouterr().err)


def test_insecure_takes_any_certificate_and_says_so(
    secure_server: EchoServer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["connect", secure_server.url, "-k", *ECHOED]) == 0
    out, err = capfd.readouterr()
    assert out == "hello\n"
    assert is_one_sentence(err)
    assert "not verified" in err


def test_insecure_is_said_in_the_console_too(secure_server: EchoServer) -> None:
    with on_terminal("connect", secure_server.url, "-k") as terminal:
        terminal.read_until("not verified")
        terminal.write("\x03")
        assert terminal.status == 0


def test_options_for_tls_mean_nothing_to_ws(ca: str, capfd: pytest.CaptureFixture[str]) -> None:
    with EchoServer() as server:
        assert main(["connect", server.url, "-k", *ECHOED]) == 0
        assert main(["connect", server.url, "--ca", ca, *ECHOED]) == 0
    assert capfd.readouterr() == ("hello\nhello\n", "")


@pytest.mark.parametrize("in_one_file", [False, True])
def test_a_client_certificate_is_shown_to_the_server(
    in_one_file: bool,
    authority: trustme.CA,
    certificate: Certificate,
    ca: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.both)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    mine = issue(authority, tmp_path, "client.example")
    args = ["--cert", mine.both] if in_one_file else ["--cert", mine.cert, "--key", mine.key]
    with EchoServer(ssl=context) as server:
        assert main(["connect", server.url, "--ca", ca, *args, *ECHOED]) == 0
        assert capfd.readouterr() == ("hello\n", "")
        assert main(["connect", server.url, "--ca", ca, *ECHOED]) == 1
        assert is_one_sentence(capfd.readouterr().err)


def test_a_key_that_is_not_the_certificates_is_wrong_usage(
    authority: trustme.CA, certificate: Certificate, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = issue(authority, tmp_path, "other.example")
    assert main(["connect", "wss://127.0.0.1/", "--cert", certificate.cert, "--key", other.key]) == 2
    err = capfd.readouterr().err
    assert is_one_sentence(err)
    assert other.key in err


def test_an_encrypted_key_is_wrong_usage_and_nobody_is_asked_for_a_password(
    certificate: Certificate, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    key = serialization.load_pem_private_key(Path(certificate.key).read_bytes(), None)
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    assert main(["serve", "--cert", certificate.cert, "--key", str(encrypted)]) == 2
    err = capfd.readouterr().err
    assert is_one_sentence(err)
    assert "encrypted" in err


def test_serve_with_a_certificate_serves_wss(
    certificate: Certificate, ca: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with started("serve", "--port", "0", "--cert", certificate.both) as process:
        assert process.stdout is not None
        said = process.stdout.readline().decode()
        assert said.startswith("Listening on wss://127.0.0.1:")
        assert main(["connect", said.split()[-1], "--ca", ca, *ECHOED]) == 0
    assert capfd.readouterr() == ("hello\n", "")
