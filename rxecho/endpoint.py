"""Where to connect, what to say there and how to get there: a URL and its options, judged before anything is tried.

`handshake` goes where an `Endpoint` says.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ssl import SSLContext
from typing import Final, Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

from rxecho import deflate

__all__ = ["Endpoint", "parse_proxy", "without_password"]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_HANDSHAKE_OWN = {
    "connection": "the handshake says it itself",
    "sec-websocket-accept": "only servers send it",
    "sec-websocket-extensions": "rxecho says which extensions it speaks",
    "sec-websocket-key": "the handshake draws it itself",
    "sec-websocket-protocol": "subprotocols are asked for by themselves",
    "sec-websocket-version": "the handshake says it itself",
    "upgrade": "the handshake says it itself",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect and what to say there; what cannot be right is refused with `ValueError` or `TypeError`."""

    url: str
    """As it may be shown: without a password."""
    host: str
    """Its name or address as the look-up takes it: no brackets, and what is not ASCII in IDNA."""
    bracketed_host: str
    """As a proxy is told it: an IPv6 address in brackets."""
    port: int
    secure: bool
    """Whether by TLS: `wss://`."""
    target: str
    """Path and query for the request line, as written."""
    host_header: str
    request_headers: tuple[str, ...]
    """Lines for the opening handshake, beside those that it consists of."""
    protocols: tuple[str, ...]
    origin: str | None
    ssl: SSLContext | None
    proxy: str | None
    """As `WebSocketChannel.connect` takes it: a URL, `""` for none, `None` for the environment's."""
    compression: Literal["deflate"] | None
    """Which compression of messages is offered."""

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        protocols: Iterable[str] = (),
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        origin: str | None = None,
        ssl: SSLContext | None = None,
        proxy: str | None = None,
        compression: Literal["deflate"] | None = "deflate",
    ) -> Endpoint:
        """Read a `ws://` or `wss://` URL (RFC 6455, section 3) and the options that go with it."""
        if not isinstance(url, str):
            raise TypeError(f"a URL is a str, not {url!r}")
        shown = without_password(url)
        parts = _split(url, shown)
        secure = parts.scheme == "wss"
        # Everything after the authority, exactly as written; what is not ASCII goes out as a browser sends it.
        target = quote(url.split("//", 1)[1].removeprefix(parts.netloc), safe=_ASCII_IN_TARGET)
        if not target.startswith("/"):
            target = "/" + target
        assert parts.hostname
        try:
            host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
        except UnicodeError as error:
            raise ValueError(f"{shown!r} names a host that cannot exist: {error}") from error

        fields = list(_header_fields(headers))
        if origin is not None:
            _judge_header("Origin", origin)
        names = {name.lower() for name, _ in fields}
        if origin is not None and "origin" in names:
            raise ValueError("Origin is given twice: by itself and among the headers")
        if parts.username is not None and "authorization" not in names:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            fields.append(("Authorization", f"Basic {b64encode(credentials.encode()).decode()}"))
        bracketed = f"[{host}]" if ":" in host else host
        authority = bracketed if parts.port in (None, 443 if secure else 80) else f"{bracketed}:{parts.port}"
        host_header = next((value for name, value in fields if name.lower() == "host"), authority)
        chosen = _subprotocols(protocols)
        request_headers = [f"{name}: {value}" for name, value in fields if name.lower() != "host"]
        if chosen:
            request_headers.append(f"Sec-WebSocket-Protocol: {', '.join(chosen)}")
        if compression is not None:
            if compression != "deflate":
                raise ValueError(f'compression is "deflate" or None, not {compression!r}')
            request_headers.append(f"Sec-WebSocket-Extensions: {deflate.OFFER}")
        if proxy:
            parse_proxy(proxy)
        return cls(
            url=shown,
            host=host,
            port=parts.port or (443 if secure else 80),
            secure=secure,
            target=target,
            request_headers=tuple(request_headers),
            protocols=chosen,
            origin=origin,
            host_header=host_header,
            bracketed_host=bracketed,
            ssl=ssl,
            proxy=proxy,
            compression=compression,
        )

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine, where no proxy could reach it."""
        if f".{self.host}".removesuffix(".").endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        # Before Python 3.13 an IPv4 address written as an IPv6 one was never a loopback address.
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback


_ASCII_IN_TARGET: Final = "".join(map(chr, range(0x21, 0x7F)))


def _split(url: str, shown: str) -> SplitResult:
    """A URL in its parts. Each way to get one wrong has its own `ValueError`."""
    # urlsplit drops tabs and line breaks instead of refusing them.
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError(f"{shown!r} has a space or a control character in it: write it as %20 or the like")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{shown!r} is not a URL: {error}") from error
    if parts.scheme not in ("ws", "wss"):
        raise ValueError(f"{shown!r} is not a WebSocket URL: it must begin with ws:// or wss://")
    if "#" in url:
        raise ValueError(f"{shown!r} has a fragment, which a WebSocket URL may not have: write # as %23")
    if not parts.hostname:
        raise ValueError(f"{shown!r} names no host")
    if port == 0:
        raise ValueError(f"{shown!r} names port 0, where nobody can listen")
    return parts


def without_password(url: str) -> str:
    """The URL as it may be shown.

    >>> without_password("wss://me:secret@example.org/")
    'wss://me:***@example.org/'
    """
    return re.sub(r"^((?:[^/]*//)?[^/?#:@]*):[^/?#]*@", r"\1:***@", url)


def _header_fields(
    headers: Mapping[str, str] | Iterable[tuple[str, str]] | None,
) -> Iterable[tuple[str, str]]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"a header is a name and a value, both str, not {name!r}: {value!r}")
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        if why := _HANDSHAKE_OWN.get(name.lower()):
            raise ValueError(f"the header {name} cannot be set: {why}")
        _judge_header(name, value)
        yield name, value


def _judge_header(name: str, value: str) -> None:
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        raise ValueError(f"the value of the header {name} has a line break or a control character in it")


def _subprotocols(protocols: Iterable[str]) -> tuple[str, ...]:
    if isinstance(protocols, str):
        raise TypeError(f"protocols is a list of names, not one str: pass [{protocols!r}]")
    chosen = tuple(protocols)
    for name in chosen:
        if not isinstance(name, str):
            raise TypeError(f"a subprotocol is a str, not {name!r}")
        if not _TOKEN.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a subprotocol: it must be one word of letters, digits and !#$%&'*+-.^_`|~"
            )
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"a subprotocol is repeated in {', '.join(chosen)}")
    return chosen


def parse_proxy(proxy: str) -> tuple[str, int, tuple[str, str] | None]:
    """The host, the port and the credentials in the URL of a proxy.

    Raises:
        ValueError: It is no `http://` URL.
    """
    shown = without_password(proxy)
    try:
        parts = urlsplit(proxy)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"the proxy {shown!r} is not a URL: {error}") from error
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"the proxy {shown!r} is not an http:// URL, such as http://proxy.example:3128")
    auth = None
    if parts.username is not None:
        auth = unquote(parts.username), unquote(parts.password or "")
    return parts.hostname, port or 80, auth
