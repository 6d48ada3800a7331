"""Reaching a server: what is asked of it, how long it may take, and what is made of its answer."""

from __future__ import annotations

import math
import re
import socket
import threading
import time
import traceback
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat
from queue import Queue
from threading import Event
from typing import Any

import pytest
from connect_proxy import ConnectProxy
from raw_server import CLOSE, TIMEOUT, Peer, raw_server, refused_port
from websocket._handshake import CookieJar
from websockets.utils import accept_key

from rxecho import ChannelClosed, ChannelState, ConnectError, ConnectTimeout, WebSocketChannel, handshake
from rxecho.endpoint import Endpoint, without_password
from rxecho.printable import printable

Conduct = Callable[[Peer], object]


@pytest.fixture(autouse=True)
def _no_proxy_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Server:
    """A server that keeps each request, shakes hands, and answers the close frame."""

    def __init__(self, *headers: str) -> None:
        self.requests: list[bytes] = []
        self._headers = headers

    def __call__(self, peer: Peer) -> None:
        self.requests.append(peer.read_head())
        peer.open(*self._headers, head=self.requests[-1])
        while peer.receive()[0] != CLOSE:
            pass
        peer.send(CLOSE, b"")

    @property
    def target(self) -> str:
        return self.requests[0].decode("ascii").split(" ")[1]

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.requests[0].decode().split("\r\n")[1:-2]
        return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]

    def values(self, header: str) -> list[str]:
        return [value for name, value in self.headers if name.lower() == header.lower()]


def asked(target: str = "/", *, userinfo: str = "", **options: Any) -> Server:
    """What a server is asked by a channel that connects to `target`."""
    server = Server()
    with (
        raw_server(server) as port,
        WebSocketChannel.connect(f"ws://{userinfo}127.0.0.1:{port}{target}", **options) as channel,
    ):
        channel.ready.result(TIMEOUT)
    return server


def answer(peer: Peer, text: str) -> None:
    """Answer the request with `text`, in which ACCEPT is the right accept key."""
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", peer.read_head())
    assert key
    with suppress(ConnectionError):
        peer.sock.sendall(text.replace("ACCEPT", accept_key(key[1].decode())).encode("latin-1"))


def says(text: str) -> Conduct:
    """A server that answers with `text`, and waits for the client to leave."""

    def conduct(peer: Peer) -> None:
        answer(peer, text)
        peer.wait_for_end()

    return conduct


SWITCHING = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n"
)


def says_as_proxy(text: str) -> Conduct:
    """A proxy that answers with `text`."""

    def conduct(peer: Peer) -> None:
        peer.read_head()
        peer.sock.sendall(text.encode("latin-1"))
        peer.wait_for_end()

    return conduct


def switches(header: str) -> Conduct:
    """A server that answers as it should, but for one more header."""
    return says(f"{SWITCHING}{header}\r\n\r\n")


def failure(url: str, **options: Any) -> ConnectError:
    """The error of a channel that never opens, the same for `ready` and for `stream`."""
    errors: Queue[Exception] = Queue()
    with WebSocketChannel.connect(url, **options) as channel:
        channel.stream.subscribe(on_error=errors.put)
        error = channel.ready.exception(TIMEOUT)
        assert isinstance(error, ConnectError)
        assert errors.get(timeout=TIMEOUT) is error
        channel.sink.done.result(TIMEOUT)
        assert (channel.state, channel.close_code) == (ChannelState.CLOSED, 1006)
    return error


def failure_at(conduct: Conduct, **options: Any) -> ConnectError:
    with raw_server(conduct) as port:
        error = failure(f"ws://127.0.0.1:{port}/", **options)
    assert f"ws://127.0.0.1:{port}/" in str(error)
    return error


@contextmanager
def black_hole() -> Iterator[int]:
    """A port where a TCP connection is neither accepted nor refused: its backlog is full."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        yield listener.getsockname()[1]


# What is asked: the request target


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("", "/"),
        ("?q=1", "/?q=1"),
        ("/a;v=1?x=%20&y=%23;z", "/a;v=1?x=%20&y=%23;z"),
        ("/a//b/./../c/", "/a//b/./../c/"),
        ("/%7Euser/~user/%7euser", "/%7Euser/~user/%7euser"),
        ("/a?b?c=//d@e:f", "/a?b?c=//d@e:f"),
        ("/a?", "/a?"),
        ("/a%2Fb+c", "/a%2Fb+c"),
        ("/!$&'()*+,;=:@-._|^`{}\"<>\\[]", "/!$&'()*+,;=:@-._|^`{}\"<>\\[]"),
        ("/100%", "/100%"),
        ("/grüße?größe=%C3%BC", "/gr%C3%BC%C3%9Fe?gr%C3%B6%C3%9Fe=%C3%BC"),
    ],
)
def test_the_request_target_goes_out_as_written_in_the_url(written: str, sent: str) -> None:
    assert asked(written).target == sent


@pytest.mark.parametrize(
    "url",
    [
        "http://h/",
        "h",
        "",
        "//h/",
        "ws:h",
        "ws:///path",
        "ws://:80/",
        "ws://h/#",
        "ws://h/a#b",
        "ws://h#",
        "ws://h:port/",
        "ws://h:65536/",
        "ws://h:0/",
        "ws://h:-1/",
        "ws://[::1/",
        "ws://[nonsense]/",
        "ws://h/a b",
        " ws://h/",
        "ws://h/\r\nX: y",
        "ws://h/\ta",
        "ws://h/\x00",
        "ws://h/\x7f",
        f"ws://{'ü' * 64}/",
    ],
)
def test_a_url_that_cannot_be_right_raises_value_error_right_there(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any text
        WebSocketChannel.connect(url)


@pytest.mark.parametrize("url", ["ws://me:secret@h/a b", "ws://me:secret@h/#x", "http://me:secret@h/"])
def test_the_password_of_a_refused_url_is_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match=re.escape("me:***@h")) as refused:
        WebSocketChannel.connect(url)
    assert "secret" not in str(refused.value)


# What is asked: the headers


def test_nothing_is_sent_that_the_caller_did_not_ask_for() -> None:
    server = asked("/")
    assert sorted(name for name, _ in server.headers) == [
        "Connection",
        "Host",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Upgrade",
    ]
    assert server.requests[0].startswith(b"GET / HTTP/1.1\r\n")
    assert server.values("Upgrade") == ["websocket"]
    assert server.values("Connection") == ["Upgrade"]
    assert server.values("Sec-WebSocket-Version") == ["13"]


def test_each_connection_draws_its_own_key_of_16_bytes() -> None:
    keys = {asked().values("Sec-WebSocket-Key")[0] for _ in range(3)}
    assert len(keys) == 3
    assert all(len(b64decode(key, validate=True)) == 16 for key in keys)


def test_the_origin_that_was_asked_for_is_sent_as_it_is() -> None:
    assert asked(origin="https://app.example").values("Origin") == ["https://app.example"]


def test_an_origin_among_the_headers_is_sent_but_not_a_second_one() -> None:
    assert asked(headers={"origin": "null"}).values("Origin") == ["null"]
    with pytest.raises(ValueError, match="twice"):
        asked(headers={"origin": "null"}, origin="null")


def test_headers_go_out_as_a_mapping_or_as_pairs_with_repetitions_in_their_order() -> None:
    assert asked(headers={"X-One": "1", "Cookie": "a=b; c=d"}).values("Cookie") == ["a=b; c=d"]
    pairs = [("X-One", "1"), ("x-two", ""), ("X-One", "tab\there, ümläut")]
    server = asked(headers=iter(pairs))
    assert [pair for pair in server.headers if pair[0].lower().startswith("x-")] == pairs


@pytest.mark.parametrize(
    "header",
    [
        ("X-One", "a\r\nX-Two: b"),
        ("X-One", "a\nX-Two: b"),
        ("X-One", "a\rX-Two: b"),
        ("X-One", "a\x00"),
        ("X-One", "a\x7f"),
        ("X-One: a\r\nX-Two", "b"),
        ("X One", "a"),
        ("X-One:", "a"),
        ("", "a"),
        ("Ünicode", "a"),
    ],
)
def test_a_header_that_would_smuggle_something_in_raises_value_error_right_there(header: tuple[str, str]) -> None:
    for headers in ([header], dict([header])):
        with pytest.raises(ValueError):  # noqa: PT011 - any text
            WebSocketChannel.connect("ws://127.0.0.1:1/", headers=headers)


def test_an_origin_with_a_line_break_raises_value_error_right_there() -> None:
    with pytest.raises(ValueError, match="line break"):
        WebSocketChannel.connect("ws://127.0.0.1:1/", origin="null\r\nX-Two: b")


@pytest.mark.parametrize(
    "name", ["Connection", "UPGRADE", "sec-websocket-key", "Sec-WebSocket-Version", "Sec-WebSocket-Extensions"]
)
def test_a_header_that_is_the_handshakes_own_raises_value_error_right_there(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        WebSocketChannel.connect("ws://127.0.0.1:1/", headers={name: "x"})


@pytest.mark.parametrize("headers", [{"X-One": 1}, {1: "a"}, {b"X-One": b"a"}])
def test_a_header_that_is_not_str_raises_type_error_right_there(headers: Any) -> None:
    with pytest.raises(TypeError, match="both str"):
        WebSocketChannel.connect("ws://127.0.0.1:1/", headers=headers)


def test_the_host_header_names_the_host_and_the_port_or_what_the_caller_says() -> None:
    server = Server()
    with raw_server(server) as port, WebSocketChannel.connect(f"ws://127.0.0.1:{port}/") as channel:
        channel.ready.result(TIMEOUT)
    assert server.values("Host") == [f"127.0.0.1:{port}"]
    assert asked(headers={"host": "virtual.example"}).values("Host") == ["virtual.example"]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("ws://Server.Invalid/", "server.invalid"),
        ("ws://server.invalid:80/", "server.invalid"),
        ("ws://server.invalid:443/", "server.invalid:443"),
        ("wss://server.invalid:443/", "server.invalid"),
        ("wss://server.invalid:80/", "server.invalid:80"),
        ("ws://[::1]:8000/", "[::1]:8000"),
        ("ws://me:secret@server.invalid/", "server.invalid"),
        ("ws://bücher.invalid/", "xn--bcher-kva.invalid"),
    ],
)
def test_the_host_header_leaves_out_the_schemes_own_port(url: str, host: str) -> None:
    assert Endpoint.parse(url).host_header == host


@pytest.mark.parametrize(
    ("userinfo", "credentials"),
    [
        ("me:secret@", "me:secret"),
        ("me:p%40ss%3Aw%C3%B6rd@", "me:p@ss:wörd"),
        ("me:p@ss@", "me:p@ss"),
        ("me@", "me:"),
        (":secret@", ":secret"),
    ],
)
def test_a_user_name_and_a_password_in_the_url_are_sent_as_basic_authorization(userinfo: str, credentials: str) -> None:
    server = asked(userinfo=userinfo)
    assert server.values("Authorization") == [f"Basic {b64encode(credentials.encode()).decode()}"]
    assert server.target == "/"


def test_the_callers_own_authorization_wins_over_the_urls() -> None:
    server = asked(userinfo="me:secret@", headers={"authorization": "Bearer token"})
    assert server.values("Authorization") == ["Bearer token"]


def test_a_password_is_hidden_whatever_is_in_it() -> None:
    for password in ("secret", "se@cret", "se:cret", "se%40cret"):
        assert without_password(f"ws://me:{password}@host/") == "ws://me:***@host/"


def test_the_password_in_the_url_is_shown_nowhere() -> None:
    with raw_server(says("HTTP/1.1 401 Unauthorized\r\n\r\n")) as port:
        error = failure(f"ws://me:secret@127.0.0.1:{port}/a:b@c")
        assert f"ws://me:***@127.0.0.1:{port}/a:b@c" in str(error)
    with black_hole() as port, WebSocketChannel.connect(f"ws://me:secret@127.0.0.1:{port}/") as channel:
        assert "secret" not in repr(channel)
        assert not any("secret" in thread.name for thread in threading.enumerate())


def test_a_cookie_that_one_server_sets_is_never_sent_later() -> None:
    first, second = Server("Set-Cookie: a=b; Domain=localhost; Path=/"), Server()
    for server in (first, second):
        with raw_server(server) as port, WebSocketChannel.connect(f"ws://localhost:{port}/") as channel:
            channel.ready.result(TIMEOUT)
    assert second.values("Cookie") == []
    assert CookieJar.get("localhost") == ""


def test_the_process_wide_cookie_jar_of_websocket_client_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CookieJar, "jar", {})
    CookieJar.add("a=b; Domain=localhost")
    assert CookieJar.get("localhost") == "a=b"
    server = Server()
    with raw_server(server) as port, WebSocketChannel.connect(f"ws://localhost:{port}/") as channel:
        channel.ready.result(TIMEOUT)
    assert server.values("Cookie") == []


# Subprotocols and extensions


def test_subprotocols_are_offered_as_spelled_and_in_their_order() -> None:
    assert asked(protocols=iter(["Chat.V2", "chat", "x~y"])).values("Sec-WebSocket-Protocol") == ["Chat.V2, chat, x~y"]


def test_the_protocol_is_the_one_that_the_server_chose_as_it_spelled_it() -> None:
    may_open = threading.Event()
    shake_hands = Server("Sec-WebSocket-Protocol: Chat.V2")

    def serve(peer: Peer) -> None:
        may_open.wait(TIMEOUT)
        shake_hands(peer)

    with (
        raw_server(serve) as port,
        WebSocketChannel.connect(f"ws://127.0.0.1:{port}/", protocols=["chat", "Chat.V2"]) as channel,
    ):
        assert channel.protocol is None
        may_open.set()
        channel.ready.result(TIMEOUT)
        assert channel.protocol == "Chat.V2"


def test_the_protocol_is_none_where_the_server_chose_none() -> None:
    with (
        raw_server(Server()) as port,
        WebSocketChannel.connect(f"ws://127.0.0.1:{port}/", protocols=["chat"]) as channel,
    ):
        channel.ready.result(TIMEOUT)
        assert channel.protocol is None


@pytest.mark.parametrize("offered", [[], ["chat"], ["other", "SUPERCHAT"]])
def test_a_subprotocol_that_was_not_offered_is_a_connect_error(offered: list[str]) -> None:
    error = failure_at(switches("Sec-WebSocket-Protocol: superchat"), protocols=offered)
    assert "superchat" in str(error)


@pytest.mark.parametrize(
    "protocols", [["a", "a"], [""], ["a b"], ["a,b"], ["a\r\nX: y"], ["ä"], ["a", "b", "a"], ["a/b"], ["(a)"]]
)
def test_a_malformed_or_repeated_subprotocol_raises_value_error_right_there(protocols: list[str]) -> None:
    with pytest.raises(ValueError, match="subprotocol"):
        WebSocketChannel.connect("ws://127.0.0.1:1/", protocols=protocols)


@pytest.mark.parametrize("protocols", ["chat", b"chat", [b"chat"], [None]])
def test_subprotocols_that_are_not_a_list_of_str_raise_type_error_right_there(protocols: Any) -> None:
    with pytest.raises(TypeError, match=r"protocol"):
        WebSocketChannel.connect("ws://127.0.0.1:1/", protocols=protocols)


def test_an_extension_that_was_not_offered_is_a_connect_error() -> None:
    error = failure_at(switches("Sec-WebSocket-Extensions: permessage-deflate"), compression=None)
    assert "permessage-deflate" in str(error)


# What is made of the answer


@pytest.mark.parametrize(
    ("status", "phrase"), [(200, "OK"), (401, "Unauthorized"), (403, "Forbidden"), (404, "Not Found"), (500, "Oh no")]
)
def test_an_http_status_instead_of_an_upgrade_is_a_connect_error_that_carries_it(status: int, phrase: str) -> None:
    error = failure_at(says(f"HTTP/1.1 {status} {phrase}\r\nContent-Length: 5\r\n\r\nhello"))
    assert error.status == status
    assert f"HTTP {status} {phrase}" in str(error)


def test_a_status_without_a_phrase_is_understood() -> None:
    assert failure_at(says("HTTP/1.1 503\r\n\r\n")).status == 503


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_connect_error_that_names_the_new_location_and_is_not_followed(status: int) -> None:
    elsewhere = Server()
    with raw_server(elsewhere) as port:
        location = f"ws://127.0.0.1:{port}/new"
        text = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\n\r\n"
        error = failure_at(says(text), headers={"Authorization": "Bearer token"})
    assert error.status == status
    assert location in str(error)
    assert elsewhere.requests == []


def test_what_the_server_says_cannot_command_the_terminal() -> None:
    for text in (
        "HTTP/1.1 404 \x1b[31mred\x07\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: ws://\x1b]0;title\x07/\r\n\r\n",
        "HTTP/1.1 \x1b[31m\r\n\r\n",
        "\x1b[31m\r\n\r\n",
    ):
        assert str(failure_at(says(text))).isprintable()
    for header in ("Sec-WebSocket-Protocol: \x1b[31m", "Sec-WebSocket-Extensions: \x1b[31m"):
        assert str(failure_at(switches(header))).isprintable()


@pytest.mark.parametrize(
    "line", ["HTTP/1.1 404 {}", "HTTP/1.1 302 Found\r\nLocation: {}", "HTTP/1.1 {}", "HTTP/1.1 \xff{}"]
)
def test_however_much_the_server_says_the_error_is_short(line: str) -> None:
    assert len(str(failure_at(says(line.format("x" * 60_000) + "\r\n\r\n")))) < 1000


@pytest.mark.parametrize("phrase", ["Zur\xfcck", "Nicht gefunden \xa7"])
def test_the_status_is_known_also_when_the_phrase_is_latin_1(phrase: str) -> None:
    error = failure_at(says(f"HTTP/1.1 404 {phrase}\r\n\r\n"))
    assert error.status == 404
    assert "the server answered HTTP 404" in str(error)


@pytest.mark.parametrize("line", ["this is no header", "X-Latin: \xfc", "\xfc"])
def test_the_status_is_known_also_when_a_header_line_is_odd(line: str) -> None:
    error = failure_at(says(f"HTTP/1.1 503 Busy\r\n{line}\r\nX: y\r\n\r\n"))
    assert error.status == 503
    assert "the server answered HTTP 503" in str(error)


@pytest.mark.parametrize("status", [300, 304, 305, 306, 399])
def test_every_3xx_with_a_location_names_it(status: int) -> None:
    error = failure_at(says(f"HTTP/1.1 {status} Elsewhere\r\nLocation: ws://elsewhere.invalid/\r\n\r\n"))
    assert error.status == status
    assert "which sends us to ws://elsewhere.invalid/; connect there if you trust it" in str(error)


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (304, "check the URL"),
        (400, "check the URL"),
        (401, "check the credentials"),
        (403, "check the credentials"),
        (404, "check the URL"),
        (429, "check the URL"),
        (500, "try again later"),
        (503, "try again later"),
        (599, "try again later"),
    ],
)
def test_a_refusal_says_what_to_try(status: int, advice: str) -> None:
    what, _, tried = str(failure_at(says(f"HTTP/1.1 {status} No\r\n\r\n"))).rpartition("; ")
    assert what.endswith(f"the server answered HTTP {status} No instead of opening a WebSocket")
    assert tried.startswith(advice)


def test_a_plain_text_that_came_along_with_a_refusal_is_quoted_escaped_and_cut() -> None:
    head = "HTTP/1.1 400 Bad Request\r\nContent-Type: {}\r\n\r\n"
    error = failure_at(says(head.format("text/plain; charset=utf-8") + "a token\n is  missing \x1b[31m.\n"))
    assert "HTTP 400 Bad Request instead of opening a WebSocket (a token is missing \\e[31m); check" in str(error)
    error = failure_at(says(head.format("text/plain") + "x" * 3000))
    assert f" ({'x' * 500}…); check" in str(error)
    error = failure_at(says(head.format("text/html") + "<p>hello</p>"))
    assert "hello" not in str(error)


CONTROLS = "\x1b[31m\x07\x9b31m".encode().decode("latin-1")
RIGHT_TO_LEFT = "\u202e".encode().decode("latin-1")


@pytest.mark.parametrize("evil", [CONTROLS, RIGHT_TO_LEFT, "\x9b31m"], ids=["controls", "bidi", "not UTF-8"])
@pytest.mark.parametrize(
    "text",
    [
        SWITCHING + "Sec-WebSocket-Extensions: {}\r\n",
        SWITCHING + "Sec-WebSocket-Protocol: {}\r\n",
        SWITCHING + "{}\r\n",
        SWITCHING + "X{}: {}\r\n{}\r\n",
        SWITCHING.replace("ACCEPT", "{}"),
        SWITCHING.replace("Upgrade: websocket", "Upgrade: {}"),
        "HTTP/1.1 404 {}\r\n",
        "HTTP/1.1 404 No\r\n{}\r\n",
        "HTTP/1.1 400 {}\r\nContent-Type: text/plain\r\n\r\n{}\r\n",
        "HTTP/1.1 302 {}\r\nLocation: {}\r\n",
        "HTTP/1.1 {}\r\n",
        "{}\r\n",
    ],
)
def test_no_control_character_of_the_server_is_in_the_whole_traceback(text: str, evil: str) -> None:
    error = failure_at(says(text.replace("{}", evil) + "\r\n"))
    whole = "".join(traceback.format_exception(error))
    assert printable(whole, keep="\n") == whole


def test_no_control_character_of_a_proxy_is_in_the_whole_traceback() -> None:
    for text in (f"HTTP/1.1 403 {CONTROLS}\r\n", f"HTTP/1.1 200 OK\r\n{CONTROLS}\r\n", "\x9b31m\r\n"):
        whole = "".join(traceback.format_exception(failure_through(says_as_proxy(text + "\r\n"))))
        assert printable(whole, keep="\n") == whole


@pytest.mark.parametrize(
    "options",
    [
        "connection: keep-alive, UPGRADE",
        "Connection: Upgrade \r\nConnection:keep-alive",
        "Connection: keep-alive\r\nCONNECTION: close ,\tupgrade",
    ],
)
def test_header_names_and_the_upgrade_are_read_regardless_of_case_of_spaces_and_of_lines(options: str) -> None:
    text = (
        "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUPGRADE:WebSocket  \r\n"
        f"{options}\r\nsec-websocket-accept:   ACCEPT\t\r\n\r\n"
    )
    with raw_server(says(text)) as port:
        channel = WebSocketChannel.connect(f"ws://127.0.0.1:{port}/", close_timeout=0.01)
        channel.ready.result(TIMEOUT)
        channel.sink.close().result(TIMEOUT)


@pytest.mark.parametrize(
    "text",
    [
        "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: xACCEPT\r\n\r\n",
        "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n",
        "HTTP/1.1 101 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n",
        "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n",
        "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: close\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n",
        "HTTP/1.0 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n",
        "NOPE/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n",
    ],
    ids=[
        "wrong accept key",
        "no accept key",
        "no Upgrade",
        "another Upgrade",
        "no Connection",
        "another Connection",
        "HTTP/1.0",
        "not HTTP",
    ],
)
def test_an_answer_that_is_not_a_websocket_servers_is_a_connect_error(text: str) -> None:
    error = failure_at(says(text))
    assert error.status is None
    assert "opening handshake" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "\r\n",
        "\x00\x01\x02\n\n",
        "HTTP/1.1 101 OK\r\nthis is no header\r\n\r\n",
        "HTTP/1.1 101 OK\r\nX-Latin: \xfc\r\n\r\n",
        "HTTP/1.1 twelve\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
    ],
)
def test_garbage_instead_of_http_is_a_connect_error(text: str) -> None:
    assert failure_at(says(text)).status is None


@pytest.mark.parametrize("said", ["", "HTTP/1.1 101 Swit", "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\n"])
def test_a_server_that_leaves_in_the_middle_of_the_handshake_is_a_connect_error(said: str) -> None:
    def leave(peer: Peer) -> None:
        peer.read_head()
        peer.sock.sendall(said.encode())

    assert failure_at(leave).status is None


def test_a_server_that_resets_the_connection_in_the_middle_of_the_handshake_is_a_connect_error() -> None:
    def reset(peer: Peer) -> None:
        peer.read_head()
        peer.reset()

    assert failure_at(reset).status is None


def test_frames_right_behind_the_answer_are_not_lost() -> None:
    def hurry(peer: Peer) -> None:
        frames = b"\x81\x05hello\x82\x7e\x01\x00" + bytes(256) + b"\x81\x03abc\x88\x04\x0f\xa0ok"
        answer(peer, f"{SWITCHING}\r\n{frames.decode('latin-1')}")
        assert peer.receive() == (CLOSE, b"\x0f\xa0")

    received: Queue[str | bytes] = Queue()
    with raw_server(hurry) as port, WebSocketChannel.connect(f"ws://127.0.0.1:{port}/") as channel:
        channel.stream.subscribe(received.put)
        channel.sink.done.result(TIMEOUT)
        assert (channel.close_code, channel.close_reason) == (4000, "ok")
    assert [received.get(timeout=TIMEOUT) for _ in range(3)] == ["hello", bytes(256), "abc"]


# How long it may take


def test_a_server_that_accepts_and_says_nothing_is_a_connect_timeout() -> None:
    error = failure_at(says(""), connect_timeout=0.1)
    assert isinstance(error, ConnectTimeout)
    assert isinstance(error, TimeoutError)
    assert "0.1 s" in str(error)
    assert "connect_timeout" in str(error)


def test_a_dripped_answer_has_one_deadline_for_all_its_drops() -> None:
    def drip(peer: Peer) -> None:
        peer.read_head()
        peer.sock.settimeout(0.01)
        drops = repeat(b"X-Drop: drip drop\r\n")
        with suppress(ConnectionError):
            peer.sock.sendall(b"HTTP/1.1 101 OK\r\n")
            for drop in (line[i : i + 1] for line in drops for i in range(len(line))):
                try:
                    assert peer.sock.recv(1) == b""
                    return
                except TimeoutError:
                    peer.sock.sendall(drop)

    assert isinstance(failure_at(drip, connect_timeout=0.2), ConnectTimeout)


def test_the_deadline_is_one_for_the_proxy_and_the_handshake_behind_it() -> None:
    def answer_late_and_then_never(peer: Peer) -> None:
        peer.read_head()
        assert not Event().wait(1.0)
        peer.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        peer.wait_for_end()

    with raw_server(answer_late_and_then_never) as port:
        began = time.monotonic()
        error = failure("ws://server.invalid/", proxy=f"http://127.0.0.1:{port}", connect_timeout=1.3)
        assert time.monotonic() - began < 2.2
    assert isinstance(error, ConnectTimeout)
    assert "handshake" in str(error)


def test_the_deadline_holds_for_a_request_that_the_server_does_not_read() -> None:
    may_leave = Event()
    with raw_server(lambda _: may_leave.wait(TIMEOUT)) as port:
        headers = [("X-Long", "x" * 2**25)]
        error = failure(f"ws://127.0.0.1:{port}/", headers=headers, connect_timeout=0.2)
        may_leave.set()
    assert isinstance(error, ConnectTimeout)


@pytest.mark.parametrize("line", [b"X-Endless: headers\r\n", b"x" * 1000])
def test_headers_without_an_end_are_a_connect_error_before_they_fill_the_memory(line: bytes) -> None:
    def flood(peer: Peer) -> None:
        peer.read_head()
        with suppress(ConnectionError):
            peer.sock.sendall(b"HTTP/1.1 101 OK\r\n")
            while True:
                peer.sock.sendall(line * 10)

    error = failure_at(flood)
    assert not isinstance(error, ConnectTimeout)
    assert "65,536 bytes of headers" in str(error)


@pytest.mark.parametrize("seconds", [0, -1, math.nan])
def test_a_connect_timeout_that_is_no_time_raises_value_error_right_there(seconds: float) -> None:
    with pytest.raises(ValueError, match="connect_timeout"):
        WebSocketChannel.connect("ws://127.0.0.1:1/", connect_timeout=seconds)


def test_a_connect_timeout_of_none_raises_type_error_right_there() -> None:
    with pytest.raises(TypeError):
        WebSocketChannel.connect("ws://127.0.0.1:1/", connect_timeout=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [1e9, math.inf])
def test_a_connect_timeout_may_be_as_long_as_one_likes(seconds: float) -> None:
    assert asked(connect_timeout=seconds, ping_interval=seconds, ping_timeout=seconds, close_timeout=seconds).requests


def test_a_server_that_does_not_take_the_tcp_connection_is_a_connect_timeout() -> None:
    with black_hole() as port:
        error = failure(f"ws://127.0.0.1:{port}/", connect_timeout=0.1)
    assert isinstance(error, ConnectTimeout)
    assert "the TCP connection" in str(error)


def test_closing_while_the_server_does_not_take_the_tcp_connection_gives_up_at_once() -> None:
    with black_hole() as port:
        channel = WebSocketChannel.connect(f"ws://127.0.0.1:{port}/", connect_timeout=60)
        channel.sink.close().result(TIMEOUT)
    assert isinstance(channel.ready.exception(), ChannelClosed)


def test_a_refused_port_is_a_connect_error() -> None:
    with refused_port() as port:
        error = failure(f"ws://127.0.0.1:{port}/")
    assert not isinstance(error, ConnectTimeout)
    assert "refused" in str(error)
    assert f"ws://127.0.0.1:{port}/" in str(error)
    assert isinstance(error.__cause__, ConnectionRefusedError)


# Name look-up and addresses


def test_an_unknown_host_is_a_connect_error() -> None:
    error = failure("ws://server.invalid:1/")
    assert "host name could not be resolved" in str(error)
    assert "ws://server.invalid:1/" in str(error)


class Resolver:
    """The system's resolver, slow: it answers when `may_answer` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
        self.was_asked = Event()
        self.may_answer = Event()
        self.threads: list[threading.Thread] = []
        self._ports = ports
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, *_: object) -> list[Any]:
        self.threads.append(threading.current_thread())
        self.was_asked.set()
        assert self.may_answer.wait(TIMEOUT)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port)) for port in self._ports
        ]


def test_closing_during_the_name_look_up_gives_up_at_once_and_the_look_up_is_abandoned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver = Resolver(monkeypatch, 1)
    with WebSocketChannel.connect("ws://server.invalid/", connect_timeout=60) as channel:
        assert resolver.was_asked.wait(TIMEOUT)
        channel.sink.close().result(TIMEOUT)
        assert isinstance(channel.ready.exception(), ChannelClosed)
    assert resolver.threads[0].daemon
    resolver.may_answer.set()
    resolver.threads[0].join(TIMEOUT)
    assert not resolver.threads[0].is_alive()


def test_the_deadline_holds_for_the_name_look_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch, 1)
    error = failure("ws://server.invalid/", connect_timeout=0.1)
    assert isinstance(error, ConnectTimeout)
    assert "name look-up" in str(error)
    resolver.may_answer.set()
    resolver.threads[0].join(TIMEOUT)


def test_an_address_that_does_not_answer_leaves_time_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    with refused_port() as refused, black_hole() as hole, raw_server(server) as port:
        resolver = Resolver(monkeypatch, refused, hole, port)
        resolver.may_answer.set()
        with WebSocketChannel.connect("ws://server.invalid/", connect_timeout=0.3) as channel:
            channel.ready.result(TIMEOUT)
    assert server.values("Host") == ["server.invalid"]


def test_a_name_without_an_address_is_a_connect_error(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch).may_answer.set()
    assert "no address" in str(failure("ws://server.invalid/"))


def test_a_host_name_that_no_resolver_takes_is_a_connect_error() -> None:
    failure(f"ws://{'a' * 64}.invalid/")
    failure("ws://a..invalid/")


def test_an_ipv6_literal_connects() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    with listener:
        port = listener.getsockname()[1]
        channel = WebSocketChannel.connect(f"ws://[::1]:{port}/", close_timeout=0.01)
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(TIMEOUT)
            peer = Peer(sock)
            assert peer.open()["host"] == f"[::1]:{port}"
            channel.ready.result(TIMEOUT)
            channel.sink.close().result(TIMEOUT)


# Proxies


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set variables of the environment."""

    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_variables


def test_the_environments_proxy_is_used(environment: Callable[..., None]) -> None:
    server = Server()
    with raw_server(server) as port:
        proxy = ConnectProxy(port)
        with raw_server(proxy) as proxy_port:
            environment(http_proxy=f"http://me:p%40ss@127.0.0.1:{proxy_port}", https_proxy="http://127.0.0.1:1")
            with WebSocketChannel.connect("ws://server.invalid/a?b") as channel:
                channel.ready.result(TIMEOUT)
    credentials = b64encode(b"me:p@ss")
    assert proxy.requests == [
        b"CONNECT server.invalid:80 HTTP/1.1\r\nHost: server.invalid:80\r\n"
        b"Proxy-Authorization: Basic " + credentials + b"\r\n\r\n"
    ]
    assert server.target == "/a?b"
    assert server.values("Host") == ["server.invalid"]
    assert server.values("Proxy-Authorization") == []


def test_no_proxy_exempts_a_host_from_the_environments_proxy(environment: Callable[..., None]) -> None:
    proxy = ConnectProxy(1)
    with raw_server(proxy) as proxy_port:
        environment(http_proxy=f"http://127.0.0.1:{proxy_port}", no_proxy="example.com,.invalid")
        assert "host name" in str(failure("ws://server.invalid/"))
    assert proxy.requests == []


@pytest.mark.parametrize(
    ("no_proxy", "is_exempt"),
    [
        ("server.invalid", True),
        ("SERVER.invalid", True),
        ("invalid", True),
        (".invalid", True),
        ("server.invalid:80", True),
        ("server.invalid:81", False),
        (".rver.invalid", False),
        ("other.invalid", False),
        ("other.invalid, *", True),
        ("10.0.0.0/8", False),
        ("nonsense/8", False),
    ],
)
def test_no_proxy_names_hosts_with_or_without_a_port_and_domains(
    no_proxy: str, is_exempt: bool, environment: Callable[..., None]
) -> None:
    environment(http_proxy="http://127.0.0.1:1", no_proxy=no_proxy)
    is_direct = handshake._proxy_for(Endpoint.parse("ws://server.invalid/")).proxy_host is None
    assert is_direct is is_exempt


@pytest.mark.parametrize(
    ("url", "no_proxy", "is_exempt"),
    [
        ("ws://[2001:db8::1]/", "2001:db8::1", True),
        ("ws://[2001:DB8:0::1]/", "2001:db8::1", True),
        ("ws://[2001:db8::1]/", "[2001:db8::1]", True),
        ("ws://[2001:db8::1]:8080/", "[2001:db8::1]:8080", True),
        ("ws://[2001:db8::1]:8080/", "[2001:db8::1]:8081", False),
        ("ws://[2001:db8::1]/", "2001:db8::/32", True),
        ("ws://[2001:db8::1]/", "2001:db9::/32, 10.0.0.0/8", False),
        ("ws://server.invalid./", "server.invalid", True),
    ],
)
def test_no_proxy_may_name_an_ipv6_address_and_a_host_may_end_with_a_dot(
    url: str, no_proxy: str, is_exempt: bool, environment: Callable[..., None]
) -> None:
    environment(http_proxy="http://127.0.0.1:1", no_proxy=no_proxy)
    assert (handshake._proxy_for(Endpoint.parse(url)).proxy_host is None) is is_exempt


@pytest.mark.parametrize("no_proxy", ["192.0.2.0/24", "192.0.2.7", "192.0.2.7:80"])
def test_no_proxy_may_name_an_address_or_a_network(no_proxy: str, environment: Callable[..., None]) -> None:
    environment(http_proxy="http://127.0.0.1:1", no_proxy=no_proxy)
    assert not handshake._proxy_for(Endpoint.parse("ws://192.0.2.7/")).proxy_host
    assert handshake._proxy_for(Endpoint.parse("ws://192.0.3.7/")).proxy_host == "127.0.0.1"


def test_an_environments_proxy_may_be_written_without_a_scheme(environment: Callable[..., None]) -> None:
    with raw_server(Server()) as port, raw_server(proxy := ConnectProxy(port)) as proxy_port:
        environment(http_proxy=f"127.0.0.1:{proxy_port}")
        with WebSocketChannel.connect("ws://server.invalid/") as channel:
            channel.ready.result(TIMEOUT)
    assert proxy.requests


@pytest.mark.parametrize("scheme", ["socks5", "https"])
def test_an_environments_proxy_that_is_none_for_http_is_not_spoken_to(
    scheme: str, environment: Callable[..., None]
) -> None:
    proxy = ConnectProxy(1)
    with raw_server(proxy) as proxy_port:
        environment(http_proxy=f"{scheme}://me:secret@127.0.0.1:{proxy_port}")
        error = failure("ws://server.invalid/")
    assert "http_proxy cannot be used" in str(error)
    assert "not an http:// URL" in str(error)
    assert "secret" not in str(error)
    assert proxy.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST"])
def test_the_environments_proxy_is_never_used_for_loopback(host: str, environment: Callable[..., None]) -> None:
    environment(http_proxy="http://127.0.0.1:1")
    with raw_server(Server()) as port, WebSocketChannel.connect(f"ws://{host}:{port}/") as channel:
        channel.ready.result(TIMEOUT)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.255.0.3", True),
        ("[::1]", True),
        ("[::ffff:127.0.0.1]", True),
        ("localhost", True),
        ("localhost.", True),
        ("app.localhost", True),
        ("app.localhost.", True),
        ("notlocalhost", False),
        ("localhost.example", False),
        ("128.0.0.1", False),
        ("[::2]", False),
        ("[::ffff:128.0.0.1]", False),
    ],
)
def test_loopback_is_known_however_it_is_spelled(host: str, is_loopback: bool) -> None:
    assert Endpoint.parse(f"ws://{host}:8000/").is_loopback is is_loopback


def test_an_empty_proxy_means_none_whatever_the_environment_says(environment: Callable[..., None]) -> None:
    proxy = ConnectProxy(1)
    with raw_server(proxy) as proxy_port:
        environment(http_proxy=f"http://127.0.0.1:{proxy_port}")
        assert "host name" in str(failure("ws://server.invalid/", proxy=""))
    assert proxy.requests == []


def test_the_proxy_that_was_asked_for_is_used_in_any_case(environment: Callable[..., None]) -> None:
    environment(http_proxy="http://127.0.0.1:1", no_proxy="*")
    server = Server()
    with raw_server(server) as port:
        proxy = ConnectProxy(port)
        with raw_server(proxy) as proxy_port:
            url, proxy_url = f"ws://localhost:{port}/", f"http://me:p%40ss@127.0.0.1:{proxy_port}/"
            with WebSocketChannel.connect(url, proxy=proxy_url) as channel:
                channel.ready.result(TIMEOUT)
    assert proxy.requests[0].startswith(b"CONNECT localhost:%d HTTP/1.1\r\n" % port)
    assert b"Proxy-Authorization: Basic " + b64encode(b"me:p@ss") in proxy.requests[0]
    assert len(server.requests) == 1


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_proxy_may_answer_in_http_1_0_or_1_1(version: str) -> None:
    with raw_server(Server()) as port:
        proxy = ConnectProxy(port, f"HTTP/{version} 200 OK\r\nProxy-Agent: {'x' * 60_000}\r\n\r\n".encode())
        with (
            raw_server(proxy) as proxy_port,
            WebSocketChannel.connect("ws://server.invalid/", proxy=f"http://127.0.0.1:{proxy_port}") as channel,
        ):
            channel.ready.result(TIMEOUT)


def test_an_ipv6_literal_and_an_international_name_are_asked_of_the_proxy_as_it_can_read_them() -> None:
    with raw_server(Server()) as port:
        proxy = ConnectProxy(port)
        with raw_server(proxy) as proxy_port:
            for url in ("ws://[2001:db8::1]:8000/", "ws://bücher.invalid/"):
                with WebSocketChannel.connect(url, proxy=f"http://127.0.0.1:{proxy_port}") as channel:
                    channel.ready.result(TIMEOUT)
    asked_for = [request.split(b" ")[1] for request in proxy.requests]
    assert asked_for == [b"[2001:db8::1]:8000", b"xn--bcher-kva.invalid:80"]


def failure_through(conduct: Conduct, **options: Any) -> ConnectError:
    with raw_server(conduct) as proxy_port:
        return failure("ws://server.invalid/", proxy=f"http://me:secret@127.0.0.1:{proxy_port}", **options)


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_refuses_is_a_connect_error_that_says_so(status: int) -> None:
    def refuse(peer: Peer) -> None:
        peer.read_head()
        peer.sock.sendall(f"HTTP/1.1 {status} No\r\n\r\n".encode())
        peer.wait_for_end()

    error = failure_through(refuse)
    assert "the proxy refused" in str(error)
    assert str(status) in str(error)
    assert "secret" not in str(error)


def test_a_proxy_that_leaves_is_a_connect_error() -> None:
    assert "proxy" in str(failure_through(Peer.read_head))


def test_a_proxy_that_resets_the_connection_is_a_connect_error() -> None:
    def reset(peer: Peer) -> None:
        peer.read_head()
        peer.reset()

    assert "proxy" in str(failure_through(reset))


def test_a_proxy_that_says_nothing_is_a_connect_timeout() -> None:
    def say_nothing(peer: Peer) -> None:
        peer.read_head()
        peer.wait_for_end()

    error = failure_through(say_nothing, connect_timeout=0.1)
    assert isinstance(error, ConnectTimeout)
    assert "the proxy" in str(error)


def test_a_proxy_that_speaks_for_the_server_is_a_connect_error() -> None:
    def speak(peer: Peer) -> None:
        peer.read_head()
        peer.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nmore")
        peer.wait_for_end()

    assert "proxy" in str(failure_through(speak))


def test_a_proxy_whose_port_is_refused_is_named_in_the_error() -> None:
    with refused_port() as port:
        error = failure("ws://server.invalid/", proxy=f"http://127.0.0.1:{port}")
    assert "to the proxy was refused" in str(error)


@pytest.mark.parametrize(
    "proxy", ["https://p:1", "socks5://me:secret@p:1", "p:3128", "http://", "http://p:port", "http://[p", "me:secret@p"]
)
def test_a_proxy_that_is_no_http_url_raises_value_error_right_there(proxy: str) -> None:
    with pytest.raises(ValueError, match="proxy") as refused:
        WebSocketChannel.connect("ws://127.0.0.1:1/", proxy=proxy)
    assert "secret" not in str(refused.value)


def test_an_environments_proxy_that_makes_no_sense_is_a_connect_error(environment: Callable[..., None]) -> None:
    environment(http_proxy="http://127.0.0.1:port")
    failure("ws://server.invalid/")
