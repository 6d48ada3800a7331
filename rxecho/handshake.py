"""Reaching the server: name look-up, TCP, proxy, TLS and the opening handshake, all by one deadline.

The work is websocket-client's. What is here holds it to the deadline, which websocket-client applies to every
operation anew, lets the attempt be given up at any moment, and asks for exactly what the caller asked for: no
invented `Origin`, no cookie jar, no redirect, the request target as it was written.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from math import inf
from threading import Thread
from time import monotonic
from typing import Any, Final

from websocket import WebSocketAddressException, WebSocketException, WebSocketProxyException
from websocket._handshake import _get_handshake_headers
from websocket._http import _get_addrinfo_list, _ssl_socket, _tunnel, proxy_info, read_headers
from websocket._socket import DEFAULT_SOCKET_OPTION

from rxecho.deflate import Deflate
from rxecho.endpoint import Endpoint, parse_proxy
from rxecho.errors import ConnectError, ConnectTimeout
from rxecho.printable import printable
from rxecho.readiness import Readiness, Waker

__all__ = ["GivenUp", "Opened", "open_connection"]

MAX_RESPONSE_HEAD: Final = 64 * 1024
"""Bytes of status line and headers that are read before the server is given up on."""

MAX_QUOTED: Final = 500
"""Characters of the server's or the proxy's own words in an error."""

_IN_PROGRESS = {errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK)}
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_ONCE: Final = ("Sec-WebSocket-Accept", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol")

# Linux calls a socket writable only when a third of its buffer of megabytes is free. A peer that drains slowly would
# seem to take nothing for seconds.
_SMALL_UNSENT_QUEUE = [
    (socket.IPPROTO_TCP, getattr(socket, name), 128 * 1024) for name in ["TCP_NOTSENT_LOWAT"] if hasattr(socket, name)
]

# What `socket.getaddrinfo` gives: family, type, protocol, canonical name, address.
_Address = tuple[int, int, int, str, Any]


class GivenUp(Exception):
    """The caller closed the channel while it was connecting."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection past its opening handshake."""

    sock: socket.socket
    """Non-blocking; an `ssl.SSLSocket` for `wss://`."""
    protocol: str | None
    deflate: Deflate | None
    """How messages may be compressed, if the server agreed to that."""
    received: bytes
    """What the server sent right behind its handshake."""


def open_connection(endpoint: Endpoint, *, timeout: float, waker: Waker, given_up: Callable[[], bool]) -> Opened:
    """Connect to `endpoint` on the calling thread.

    Args:
        endpoint: Where to.
        timeout: Seconds for everything together.
        waker: Wakes this thread, for it to ask `given_up()`.
        given_up: Whether to stop here.

    Raises:
        ConnectError: There is no WebSocket to be had there.
        ConnectTimeout: Not within `timeout` seconds.
        GivenUp: `given_up()` was true.
    """
    opening = _Opening(timeout, waker, given_up)
    url = endpoint.url
    try:
        try:
            return opening.run(endpoint)
        except BaseException:
            opening.close()
            raise
    except _DeadlinePassed as error:
        raise ConnectTimeout(
            f"could not connect to {url}: {opening.step} was not done within {timeout:g} s; "
            "check that the server is up, or allow more time with connect_timeout"
        ) from error
    except _HeadTooLong as error:
        raise ConnectError(
            f"could not connect to {url}: the server's answer has more than {MAX_RESPONSE_HEAD:,} bytes of headers; "
            "check that a WebSocket server listens there"
        ) from error
    except WebSocketAddressException as error:
        raise ConnectError(
            f"could not connect to {url}: the host name could not be resolved "
            f"({_said(str(error))}); check its spelling and the network"
        ) from error
    except WebSocketProxyException as error:
        raise ConnectError(
            f"could not connect to {url}: the proxy refused ({_said(str(error))}); "
            'check the proxy, or connect without one with proxy=""'
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise ConnectError(
            f"could not connect to {url}: its certificate does not verify ({error.verify_message.rstrip('.')}); "
            + _CERTIFICATE_ADVICE.get(error.verify_code, _TRUST)
        ) from error
    except ssl.SSLError as error:
        raise ConnectError(
            f"could not connect to {url}: TLS failed ({error.reason or error}); {_tls_advice(error)}"
        ) from error
    except ConnectionRefusedError as error:
        raise ConnectError(
            f"could not connect to {url}: {opening.step} was refused, since nobody listens there; "
            "check the host and the port, and that the server is running"
        ) from error
    except (OSError, WebSocketException, ValueError) as error:
        or_tls = "" if endpoint.secure else ", or use wss:// if it speaks TLS"
        raise ConnectError(
            f"could not connect to {url}: {opening.step} failed ({_said(str(error))}); "
            f"check that a WebSocket server listens there{or_tls}"
        ) from error


class _DeadlinePassed(Exception):
    pass


class _HeadTooLong(Exception):
    pass


class _Opening:
    """What websocket-client takes for a socket while the connection opens.

    Each wait inside ends at the one deadline, or as soon as the channel is given up. None of the exceptions for
    that is an `OSError`, which websocket-client would turn into something else. It asks for one byte at a time,
    so bytes are kept ahead here; those it did not ask for are the first frames.
    """

    def __init__(self, timeout: float, waker: Waker, given_up: Callable[[], bool]) -> None:
        self.step = "the name look-up"
        self._sock: socket.socket | None = None
        self._deadline = monotonic() + timeout
        self._waker = waker
        self._given_up = given_up
        self._readiness = Readiness(waker)
        self._ahead = b""
        self._head = bytearray()

    def run(self, endpoint: Endpoint) -> Opened:
        addresses, is_proxy, proxy_auth = self._look_up(endpoint)
        self.step = "the TCP connection to the proxy" if is_proxy else "the TCP connection"
        sock = self._connect(addresses)
        if is_proxy:
            self.step = "the proxy's answer"
            _tunnel(self.as_socket, endpoint.bracketed_host, endpoint.port, proxy_auth)
            if self._ahead:
                raise WebSocketProxyException("it sent more than its answer")
            self._head.clear()
        if endpoint.secure:
            self.step = "the TLS handshake"
            sock = self._wrap_tls(sock, endpoint)
        self.step = "the opening handshake"
        protocol, deflate = self._shake_hands(endpoint)
        return Opened(sock, protocol, deflate, self._ahead)

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()

    def _look_up(self, endpoint: Endpoint) -> tuple[list[_Address], bool, tuple[str, str] | None]:
        answer: Future[tuple[list[_Address], bool, tuple[str, str] | None]] = Future()

        def look_up() -> None:
            try:
                proxy = _proxy_for(endpoint)
                answer.set_result(_get_addrinfo_list(endpoint.host, endpoint.port, endpoint.secure, proxy))
            except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
                answer.set_exception(error)
            self._waker.wake()

        if endpoint.is_loopback and not endpoint.host.endswith((".", ".localhost")) and not endpoint.proxy:
            look_up()  # for these nobody is asked, and so nobody keeps us waiting
        else:
            # Nothing can interrupt the system's resolver. This thread can be left behind: it ends as soon as
            # the resolver answers, and nobody listens.
            Thread(target=look_up, name=f"rxecho look-up of {endpoint.host}", daemon=True).start()
        while not answer.done():
            self._wait()
        return answer.result()

    def _connect(self, addresses: list[_Address]) -> socket.socket:
        """The first of the addresses that answers; each gets its share of the time that is left."""
        # websocket-client's own loop can be neither given up nor held to the deadline.
        failure: OSError = OSError("the host name has no address")
        for index, (family, kind, proto, _, address) in enumerate(addresses):
            others = len(addresses) - index - 1
            until = monotonic() + (self._deadline - monotonic()) / (others + 1) if others else inf
            try:
                self._sock = sock = socket.socket(family, kind, proto)
                for option in (*DEFAULT_SOCKET_OPTION, *_SMALL_UNSENT_QUEUE):
                    sock.setsockopt(*option)
                sock.setblocking(False)
                code = sock.connect_ex(address)
                if code in _IN_PROGRESS:
                    while not self._wait(write=True, until=until):
                        if monotonic() >= until:
                            raise TimeoutError(errno.ETIMEDOUT, "the server did not answer")
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not code:
                    return sock
                raise OSError(code, os.strerror(code))
            except OSError as error:
                failure = error
                self.close()
        raise failure

    def _wrap_tls(self, sock: socket.socket, endpoint: Endpoint) -> socket.socket:
        context = endpoint.ssl or ssl.create_default_context()
        options = {"context": context, "do_handshake_on_connect": False}
        # Raises where the peer has gone already: in Python 3.11 `wrap_socket` would lose the descriptor then.
        sock.getpeername()
        self._sock = tls = _ssl_socket(sock, options, endpoint.host)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._wait(read=True)
            except ssl.SSLWantWriteError:
                self._wait(write=True)
            else:
                return self._sock

    def _shake_hands(self, endpoint: Endpoint) -> tuple[str | None, Deflate | None]:
        """The opening handshake: RFC 6455, section 4.1. Returns the subprotocol and the compression."""
        request, key = _get_handshake_headers(
            endpoint.target,
            endpoint.url,
            "",  # no host: its process-wide cookie jar has nothing to add then
            endpoint.port,
            {
                "header": list(endpoint.request_headers),
                "host": endpoint.host_header,
                "origin": endpoint.origin,
                "suppress_origin": endpoint.origin is None,
            },
        )
        self.send("\r\n".join(request).encode())
        http_status, headers, phrase = self._read_answer()
        if http_status != HTTPStatus.SWITCHING_PROTOCOLS:
            is_text = headers.get("content-type", "").startswith("text/plain")
            # As far as it is here already: what else there may be to say is not worth a wait.
            said = self._ahead.decode(errors="replace") if is_text else ""
            raise _refused(endpoint, http_status, phrase, headers.get("location"), said)
        self._judge_answer(headers, key)
        deflate = None
        if extensions := headers.get("sec-websocket-extensions"):
            try:
                if endpoint.compression is None:
                    raise ValueError("none was offered")
                deflate = Deflate.parse(extensions)
            except ValueError as error:
                raise WebSocketException(f"the server uses the extension {extensions!r}: {error}") from error
        protocol: str | None = headers.get("sec-websocket-protocol")
        if protocol is not None and protocol not in endpoint.protocols:
            offered = ", ".join(endpoint.protocols) or "none"
            raise WebSocketException(f"the server chose the subprotocol {protocol!r}, offered was {offered}")
        return protocol, deflate

    def _read_answer(self) -> tuple[int | None, dict[str, str], str | None]:
        try:
            return read_headers(self.as_socket)
        except (WebSocketException, ValueError, LookupError) as error:
            # Something is odd about its headers. Where it refused anyway, that is what there is to say.
            status = re.match(rb"HTTP/\d\.\d ([1-5]\d\d)", self._head)
            if status is None or int(status[1]) == HTTPStatus.SWITCHING_PROTOCOLS:
                # websocket-client 1.9.0 leaves some of its errors to Python.
                raise error if isinstance(error, WebSocketException) else WebSocketException(repr(error)) from error
            return int(status[1]), {}, None

    def _judge_answer(self, headers: dict[str, str], key: str) -> None:
        """RFC 6455, section 4.1, to the letter: websocket-client ignores the case of the key, and repeated headers."""
        accept = b64encode(sha1(f"{key}{_GUID}".encode()).digest()).decode()  # noqa: S324 - not for security
        # Its lines are one list, of which websocket-client knows the last.
        connection = b",".join(re.findall(rb"^connection:([^\r\n]*)", self._head.lower(), re.MULTILINE))
        if not (
            re.match(rb"HTTP/1\.1 101[ \r\n]", self._head)
            and headers.get("upgrade", "").lower() == "websocket"
            and b"upgrade" in map(bytes.strip, connection.split(b","))
            and headers.get("sec-websocket-accept") == accept
        ):
            raise WebSocketException("its answer is not the one that a WebSocket server gives")
        for name in _ONCE:
            if len(re.findall(rf"^{name}\s*:".encode(), self._head, re.MULTILINE | re.IGNORECASE)) > 1:
                raise WebSocketException(f"its answer has the header {name} twice")

    # What websocket-client calls of a socket.

    @property
    def as_socket(self) -> Any:
        """This object, for functions typed to take a `socket.socket`."""
        return self

    def gettimeout(self) -> None:
        """None: waiting is this object's affair."""

    def send(self, data: bytes) -> int:
        assert self._sock is not None
        left = memoryview(data)
        while left:
            try:
                left = left[self._sock.send(left) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(write=True)
            except ssl.SSLWantReadError:
                self._wait(read=True)
        return len(data)

    def recv(self, size: int) -> bytes:
        while not self._ahead:
            self._ahead = self._receive()
            if not self._ahead:
                return b""
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        self._head += data
        if len(self._head) > MAX_RESPONSE_HEAD:
            raise _HeadTooLong
        return data

    def _receive(self) -> bytes:
        assert self._sock is not None
        while True:
            try:
                return self._sock.recv(4096)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(read=True)
            except ssl.SSLWantWriteError:
                self._wait(write=True)

    def _wait(self, *, read: bool = False, write: bool = False, until: float = inf) -> bool:
        """Wait for the socket, until the deadline or `until`. False when the time was up or something else woke us."""
        if self._given_up():
            raise GivenUp
        now = monotonic()
        if now >= self._deadline:
            raise _DeadlinePassed
        fd = -1 if self._sock is None else self._sock.fileno()
        timeout = max(0.0, min(self._deadline, until) - now)
        return any(self._readiness.wait(fd, read, write, timeout))


def _proxy_for(endpoint: Endpoint) -> proxy_info:
    """Which proxy to use, as websocket-client wants to be told."""
    url = endpoint.proxy
    if url is None and not endpoint.is_loopback:
        url = _environments_proxy(endpoint)
    if not url:
        nobodys = proxy_info()
        nobodys.no_proxy = ["*"]
        return nobodys
    host, port, auth = parse_proxy(url)
    # A list of hosts that no host is on: who is exempt is known by now.
    return proxy_info(http_proxy_host=host, http_proxy_port=port, http_proxy_auth=auth, http_no_proxy=["\0"])


def _environments_proxy(endpoint: Endpoint) -> str | None:
    """The URL of the proxy that the environment has for `endpoint`.

    websocket-client goes past a proxy written without a scheme, speaks HTTP to any other kind of proxy, and for a
    `no_proxy` of `.example.org` goes past it to evilexample.org, too.

    Raises:
        ConnectError: It is not a proxy that can be used.
    """
    from urllib.request import getproxies_environment  # takes longer to import than a loopback connection to open

    variable = "https_proxy" if endpoint.secure else "http_proxy"
    proxies = getproxies_environment()
    url = proxies.get(variable.removesuffix("_proxy"))
    if not url or _is_exempt(endpoint, proxies):
        return None
    if "://" not in url:
        url = f"http://{url}"
    try:
        parse_proxy(url)
    except ValueError as error:
        raise ConnectError(
            f"could not connect to {endpoint.url}: the environment variable {variable} cannot be used, since {error}; "
            'correct it, or connect without a proxy with proxy=""'
        ) from error
    return url


def _is_exempt(endpoint: Endpoint, proxies: dict[str, str]) -> bool:
    """Whether `no_proxy` has the host in it, with or without its port, a domain it is in, or a network."""
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    host = endpoint.host.removesuffix(".")
    if any(proxy_bypass_environment(name, proxies) for name in (host, f"{host}:{endpoint.port}")):
        return True
    for entry in proxies.get("no", "").split(","):
        # An IPv6 address may be in brackets, and only then have a port.
        named, _, port = entry.strip().removeprefix("[").partition("]")
        if named == "*":
            return True
        with suppress(ValueError):
            if ip_address(host) in ip_network(named, strict=False) and port in ("", f":{endpoint.port}"):
                return True
    return False


_TRUST: Final = "trust the authority that signed it, with an ssl.SSLContext that loads it"
_RENAME: Final = "connect to a host that it names"
# By OpenSSL's X509_V_ERR_... numbers.
_CERTIFICATE_ADVICE: Final = {
    9: "check the clock of this machine",  # CERT_NOT_YET_VALID
    10: "ask whoever runs the server to renew it, and check the clock of this machine",  # CERT_HAS_EXPIRED
    62: _RENAME,  # HOSTNAME_MISMATCH
    64: _RENAME,  # IP_ADDRESS_MISMATCH
}


def _tls_advice(error: ssl.SSLError) -> str:
    reason = error.reason or ""
    if "UNRECOGNIZED_NAME" in reason:
        return "check the host name, which the server does not know"
    if "PROTOCOL_VERSION" in reason:
        return "use an ssl.SSLContext that allows a version of TLS which the server speaks"
    if "ALERT" in reason:
        # What OpenSSL names depends on the version of TLS more than on what the server has against us.
        return "if the server wants a client certificate, show it one, with an ssl.SSLContext that has loaded one"
    return "check that the server speaks TLS on this port, or use ws://"


def _said(text: str) -> str:
    """What somebody else said, made fit to be quoted inside a sentence."""
    quoted = printable(text.strip().rstrip("."))
    return quoted if len(quoted) <= MAX_QUOTED else f"{quoted[:MAX_QUOTED]}…"


def _refused(
    endpoint: Endpoint, http_status: int | None, phrase: str | None, location: str | None, body: str
) -> ConnectError:
    if http_status is None:
        return ConnectError(
            f"could not connect to {endpoint.url}: the server's answer is not HTTP; "
            "check that a WebSocket server listens there"
        )
    answer = _said(f"HTTP {http_status} {phrase or ''}")
    said = f"could not connect to {endpoint.url}: the server answered {answer}"
    if 300 <= http_status < 400 and location:
        return ConnectError(
            f"{said}, which sends us to {_said(location)}; connect there if you trust it", status=http_status
        )
    said += " instead of opening a WebSocket"
    if body.strip():
        said += f" ({_said(' '.join(body.split()))})"
    if http_status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        said += "; check the credentials, such as an Authorization header"
    elif http_status >= 500:
        said += "; try again later, or ask whoever runs it"
    else:
        said += "; check the URL"
    return ConnectError(said, status=http_status)
