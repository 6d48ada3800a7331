"""Peers that misbehave before the channel is open: as a server, behind TLS, and as a proxy."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from itertools import chain, repeat
from typing import Any

from misbehaviour import (
    ACCEPT,
    CONNECTION,
    KIB,
    MIB,
    STATUS,
    SWITCHING,
    UPGRADE,
    Conduct,
    HostilePeer,
    Misbehaviour,
    certified,
)
from peer import frame
from raw_server import TEXT
from websockets.utils import accept_key

from rxecho import ConnectError, ConnectTimeout

SOON = 0.2
"""Seconds, for a `connect_timeout` that is to pass."""


# What such a peer does


def answers(text: str) -> Conduct:
    """Answers the request with `text`, in which ACCEPT is the right accept key, and stays."""
    return lambda peer: peer.answer(text)


def says(data: bytes) -> Conduct:
    """Says so much, whatever it is asked, and stays."""
    return lambda peer: peer.say(data)


def says_and_leaves(data: bytes) -> Conduct:
    """Reads the request, says so much, and leaves with FIN."""

    def conduct(peer: HostilePeer) -> None:
        peer.read_head()
        peer.say(data)
        peer.stop_sending()

    return conduct


def says_and_resets(data: bytes) -> Conduct:
    """Reads the request, says so much, and leaves with RST."""

    def conduct(peer: HostilePeer) -> None:
        peer.read_head()
        peer.say(data)
        peer.reset()

    return conduct


def drips(beginning: bytes, drops: Iterable[bytes]) -> Conduct:
    """Says `beginning`, and then a drop every 10 ms."""

    def conduct(peer: HostilePeer) -> None:
        with suppress(ConnectionError):
            for drop in chain([beginning], drops):
                peer.sock.sendall(drop)
                if peer.is_left_within(0.01):
                    return

    return conduct


def single_bytes(line: bytes) -> Iterable[bytes]:
    """Of the line, and of the line again, without an end."""
    return (line[index : index + 1] for line in repeat(line) for index in range(len(line)))


def pours(beginning: bytes, piece: bytes) -> Conduct:
    """Reads the request, says `beginning`, and then `piece` until the client has left."""

    def conduct(peer: HostilePeer) -> None:
        peer.read_head()
        peer.say(beginning)
        peer.flood(piece)

    return conduct


def is_left(then: Conduct, *, queued: bool = False) -> Conduct:
    """Has read the request when the program closes the channel, perhaps with a message queued."""

    def conduct(peer: HostilePeer) -> None:
        peer.read_head()
        if queued:
            peer.channel.sink.add("queued")
        peer.channel.sink.close(1000)
        then(peer)

    return conduct


# As a server


def refused(name: str, conduct: Conduct, says: str, **more: Any) -> Misbehaviour:
    return Misbehaviour(name, conduct, ConnectError, says, **more)


def too_slow(name: str, conduct: Conduct, step: str = "the opening handshake", **more: Any) -> Misbehaviour:
    says = f"{step} was not done within 0.2 s"
    more["options"] = {"connect_timeout": SOON, **more.get("options", {})}
    return Misbehaviour(name, conduct, ConnectTimeout, says, after=SOON, **more)


FAILED = "the opening handshake failed"
NO_WEBSOCKET = "its answer is not the one that a WebSocket server gives"
TOO_LONG = "the server's answer has more than 65,536 bytes of headers"

TOO_SLOW = [
    too_slow("accepts and never answers", HostilePeer.wait_until_left),
    too_slow("answers half a status line and no more", says(b"HTTP/1.1 1")),
    too_slow("answers all but the last line", answers(SWITCHING)),
    too_slow("answers garbage without a line end", says(b"\x00" * 1000)),
    too_slow("drips a status line", drips(b"HTTP/1.1 101 ", single_bytes(b"Switching "))),
    too_slow("drips headers byte by byte", drips(STATUS.encode(), single_bytes(b"X-Drop: drip\r\n"))),
    too_slow("drips headers line by line", drips(STATUS.encode(), repeat(b"X-Drop: drip\r\n"))),
    too_slow(
        "never reads the request",
        HostilePeer.wait_until_left,
        is_narrow=True,
        memory=64 * MIB,
        options={"headers": {"X-Large": "x" * 8 * MIB}},
    ),
]

TOO_MUCH = [
    refused("answers headers without an end", pours(STATUS.encode(), b"X-Endless: headers\r\n" * 50), TOO_LONG),
    refused("answers a status line without an end", pours(b"HTTP/1.1 101 ", b"x" * KIB), TOO_LONG),
    refused(
        "refuses with a body without an end",
        pours(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\n", b"x" * KIB),
        "HTTP 404 Not Found",
        status=404,
    ),
    refused(
        "refuses with a body that lies about its length",
        answers("HTTP/1.1 404 Not Found\r\nContent-Length: 9223372036854775807\r\n\r\n"),
        "HTTP 404 Not Found",
        status=404,
    ),
    refused(
        "refuses at great length",
        answers(f"HTTP/1.1 404 {'no' * 2000}\r\n\r\n"),
        "HTTP 404 nonono",
        status=404,
    ),
]

NO_HTTP = [
    refused(f"speaks {what}", says_and_leaves(data), "could not connect")
    for what, data in {
        "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
        "SMTP": b"220 mail.example ESMTP\r\n",
        "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
        "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
        "zeros": bytes(100),
        "0xFF": b"\xff" * 100,
        "an empty line": b"\r\n",
        "only line ends": b"\n" * 100,
        "a WebSocket frame": frame(TEXT, b"Hello!"),
        "JSON": b'{"error": "no"}\r\n',
        "HTML": b"<!doctype html>\r\n<title>no</title>\r\n",
        "terminal commands": b"\x1b]0;owned\x07\x1b[2J\r\n\r\n",
        "of a status in words": b"HTTP/1.1 one-hundred-and-one\r\n\r\n",
        "of no status": b"HTTP/1.1\r\n\r\n",
    }.items()
]

GONE = [
    refused("leaves with FIN before it was asked", HostilePeer.leave, "could not connect"),
    refused("leaves with RST before it was asked", HostilePeer.reset, "could not connect"),
    *[
        refused(f"leaves with {how} {when}", leaves(said.encode()), FAILED)
        for how, leaves in (("FIN", says_and_leaves), ("RST", says_and_resets))
        for when, said in {
            "before it answers": "",
            "within the status line": "HTTP/1.1 10",
            "within a header": STATUS + "Upgr",
            "before the last line": STATUS + UPGRADE,
        }.items()
    ],
]

WRONG = [
    refused(name, answers(text + "\r\n"), says)
    for name, text, says in [
        ("answers without an accept key", STATUS + UPGRADE + CONNECTION, NO_WEBSOCKET),
        ("answers an empty accept key", SWITCHING.replace("ACCEPT", ""), NO_WEBSOCKET),
        ("answers another accept key", SWITCHING.replace("ACCEPT", accept_key("another")), NO_WEBSOCKET),
        ("answers something before the accept key", SWITCHING.replace("ACCEPT", "xACCEPT"), NO_WEBSOCKET),
        ("answers something behind the accept key", SWITCHING.replace("ACCEPT", "ACCEPTx"), NO_WEBSOCKET),
        ("upgrades to nothing", STATUS + CONNECTION + ACCEPT, NO_WEBSOCKET),
        ("upgrades to something else", SWITCHING.replace("websocket", "h2c"), NO_WEBSOCKET),
        ("does not upgrade the connection", STATUS + UPGRADE + ACCEPT, NO_WEBSOCKET),
        ("closes the connection that it upgrades", SWITCHING.replace("n: Upgrade", "n: close"), NO_WEBSOCKET),
        ("answers in HTTP/1.0", SWITCHING.replace("1.1", "1.0"), NO_WEBSOCKET),
        ("answers in HTTP/2", SWITCHING.replace("1.1", "2"), NO_WEBSOCKET),
        ("answers in small letters", SWITCHING.replace("HTTP", "http"), NO_WEBSOCKET),
        ("answers a header without a colon", SWITCHING + "no header\r\n", FAILED),
        ("answers a header that is not UTF-8", SWITCHING + "X: \xfc\r\n", FAILED),
        ("answers a frame first", frame(TEXT, b"Hello!").decode("latin-1") + SWITCHING, FAILED),
        ("chooses a subprotocol that was not asked for", SWITCHING + "Sec-WebSocket-Protocol: chat\r\n", "'chat'"),
        ("chooses an empty subprotocol", SWITCHING + "Sec-WebSocket-Protocol: \r\n", "subprotocol ''"),
        ("uses an extension that nobody offered", SWITCHING + "Sec-WebSocket-Extensions: x\r\n", "extension"),
    ]
] + [
    refused("answers before it was asked", says(SWITCHING.encode() + b"\r\n"), NO_WEBSOCKET),
    *[
        refused(
            f"chooses the subprotocol {chosen!r} of chat and superchat",
            answers(f"{SWITCHING}Sec-WebSocket-Protocol: {chosen}\r\n\r\n"),
            "offered was chat, superchat",
            options={"protocols": ["chat", "superchat"]},
        )
        for chosen in ("other", "CHAT", "chat, superchat", "chat superchat")
    ],
]

REFUSED = [
    refused(f"answers {status}", answers(f"HTTP/1.1 {status} So\r\n{UPGRADE}\r\n"), f"HTTP {status} So", status=status)
    for status in (100, 103, 200, 204, 301, 304, 400, 401, 403, 404, 407, 426, 429, 500, 503, 599)
] + [
    refused(
        f"sends us {where} with {status}",
        answers(f"HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\n\r\n"),
        rf"HTTP {status} Elsewhere, which sends us to {location:.20}",
        status=status,
    )
    for status in (302, 308)
    for where, location in {
        "back to itself": "/",
        "to another server": "ws://evil.example/",
        "to a file": "file:///etc/passwd",
        "to a script": "javascript:alert",
        "a long way": "/" + "x" * 4000,
    }.items()
]

COMMANDS = [
    refused(
        "refuses with terminal commands", answers("HTTP/1.1 404 \x1b[2J\x07\r\n\r\n"), r"404 \\e\[2J\\x07", status=404
    ),
    refused(
        "sends us to terminal commands",
        answers("HTTP/1.1 302 So\r\nLocation: /\x1b[2J\r\n\r\n"),
        r"sends us to /\\e\[2J",
        status=302,
    ),
]

LEFT = [
    Misbehaviour("says nothing while we give up", is_left(HostilePeer.wait_until_left)),
    Misbehaviour("is in the midst of its answer while we give up", is_left(says(b"HTTP/1.1 101 Switching"))),
    Misbehaviour("floods headers while we give up", is_left(lambda peer: peer.flood(b"X-Endless: x\r\n" * 10))),
    Misbehaviour(
        "says nothing while a message waits and we close",
        is_left(HostilePeer.wait_until_left, queued=True),
        after=SOON,
        options={"connect_timeout": SOON},
    ),
    Misbehaviour("refuses while a message waits and we close", is_left(says(b"HTTP/1.1 404 No\r\n\r\n"), queued=True)),
]


# Behind TLS


def over_tls(then: Conduct, name: str = "127.0.0.1") -> Conduct:
    """Speaks TLS, as far as the client goes along."""

    def conduct(peer: HostilePeer) -> None:
        with suppress(ssl.SSLError, ConnectionError):
            peer.start_tls(certified(name))
            then(peer)

    return conduct


def upon_hello(then: Conduct) -> Conduct:
    """Has read what the client says first in TLS."""

    def conduct(peer: HostilePeer) -> None:
        _, _, _, high, low = peer.read(5)
        peer.read(high << 8 | low)
        then(peer)

    return conduct


RECORD_OF_16_KIB = b"\x16\x03\x03\x40\x00"
refused_wss = partial(refused, reach="wss")
too_slow_wss = partial(too_slow, reach="wss")

TLS = [
    refused("speaks TLS behind ws://", over_tls(HostilePeer.hear), "use wss:// if it speaks TLS"),
    refused_wss("speaks HTTP behind wss://", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "TLS failed.*use ws://"),
    refused_wss("speaks garbage behind wss://", upon_hello(says(b"\xff" * 100)), "TLS failed"),
    refused_wss("alerts us in the TLS handshake", upon_hello(says(b"\x15\x03\x03\x00\x02\x02\x28")), "TLS failed"),
    refused_wss("leaves with FIN in the TLS handshake", upon_hello(HostilePeer.stop_sending), "TLS failed"),
    refused_wss("leaves with RST in the TLS handshake", upon_hello(HostilePeer.reset), "the TLS handshake failed"),
    refused_wss("is certified by nobody we know", over_tls(HostilePeer.hear), "issuer", options={"ssl": None}),
    refused_wss("is certified to be another", over_tls(HostilePeer.hear, "other.invalid"), "mismatch"),
    refused_wss("answers 404 over TLS", over_tls(answers("HTTP/1.1 404 No\r\n\r\n")), "HTTP 404 No", status=404),
    refused_wss("leaves with FIN over TLS before it answers", over_tls(says_and_leaves(b"")), FAILED),
    refused_wss("leaves with RST over TLS before it answers", over_tls(says_and_resets(b"")), FAILED),
    too_slow_wss("never says anything in TLS", HostilePeer.wait_until_left, "the TLS handshake"),
    too_slow_wss("drips a TLS record", drips(RECORD_OF_16_KIB, repeat(b"\x02")), "the TLS handshake"),
    too_slow_wss("never answers over TLS", over_tls(HostilePeer.wait_until_left)),
    Misbehaviour(
        "never says anything in TLS while we give up",
        upon_hello(lambda peer: peer.channel.sink.close()),
        reach="wss",
    ),
]


# As a proxy

refused_by_proxy = partial(refused, reach="proxy")
too_slow_proxy = partial(too_slow, step="the proxy's answer", reach="proxy")

PROXIES = [
    *[
        refused_by_proxy(f"refuses with {status} as a proxy", says(f"HTTP/1.1 {status} No\r\n\r\n".encode()), "refused")
        for status in (302, 403, 407, 502)
    ],
    refused_by_proxy("speaks garbage as a proxy", says_and_leaves(b"\xff\r\n\r\n"), "the proxy"),
    refused_by_proxy("leaves with FIN as a proxy", says_and_leaves(b""), "the proxy"),
    refused_by_proxy("leaves with RST as a proxy", says_and_resets(b""), "the proxy"),
    refused_by_proxy(
        "answers headers without an end as a proxy", pours(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n" * 99), TOO_LONG
    ),
    refused_by_proxy(
        "answers for the server", says(b"HTTP/1.1 200 OK\r\n\r\n" + SWITCHING.encode()), "the proxy refused"
    ),
    too_slow_proxy("never answers as a proxy", HostilePeer.wait_until_left),
    too_slow_proxy("drips as a proxy", drips(b"HTTP/1.1 200 ", single_bytes(b"OK "))),
]

# What websocket-client by itself would let pass


def answers_and_leaves(text: str) -> Conduct:
    """As `answers`; TPECCA is the right accept key with each letter in the other case."""

    def conduct(peer: HostilePeer) -> None:
        accept = peer.read_accept_key()
        peer.say(f"{text}\r\n".replace("ACCEPT", accept).replace("TPECCA", accept.swapcase()).encode())
        peer.stop_sending()

    return conduct


NOT_TO_THE_LETTER = [
    refused(name, answers_and_leaves(text), "could not connect")
    for name, text in {
        "answers the accept key in the other case": SWITCHING.replace("ACCEPT", "TPECCA"),
        "answers another accept key and then the right one": STATUS
        + UPGRADE
        + CONNECTION
        + ACCEPT.replace(": A", ": B")
        + ACCEPT,
        "answers a status with a sign": SWITCHING.replace("101", "+101"),
        "answers a status of four digits": SWITCHING.replace("101", "0101"),
        "answers a status with an underscore": SWITCHING.replace("101", "1_01"),
        "upgrades to something else, too": SWITCHING.replace("websocket", "h2c, websocket"),
        "uses an extension, and then none": SWITCHING + "Sec-WebSocket-Extensions: x\r\nSec-WebSocket-Extensions: \r\n",
        "uses an extension, and one that was offered": SWITCHING
        + "Sec-WebSocket-Extensions: x\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
    }.items()
] + [
    refused(
        "chooses two subprotocols in two lines",
        answers_and_leaves(f"{SWITCHING}Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: chat\r\n"),
        "could not connect",
        options={"protocols": ["chat"]},
    )
]

HANDSHAKES = [
    *TOO_SLOW,
    *TOO_MUCH,
    *NO_HTTP,
    *GONE,
    *WRONG,
    *REFUSED,
    *COMMANDS,
    *LEFT,
    *TLS,
    *PROXIES,
    *NOT_TO_THE_LETTER,
]
