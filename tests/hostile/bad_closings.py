"""Peers that misbehave in the closing handshake: their own, ours, and the one that answers a breach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bad_frames import AT_ONCE, BYTE_BY_BYTE, IN_HASTE, Breach, rows
from misbehaviour import MIB, Conduct, HostilePeer, Misbehaviour
from peer import CONTINUATION, frame
from raw_server import BINARY, CLOSE, PING, TEXT, TIMEOUT

from rxecho import ProtocolError

SOON = 0.2
"""Seconds for a `close_timeout` that is to pass."""

LINGER = 1.0
"""Seconds that a peer may keep TCP open after the last frame."""

TEXT_AND_PING = frame(TEXT, b"late") + frame(PING, b"late") + frame(BINARY, b"late")
UNREADABLE = b"\xff" * 100


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2) + reason)


# Close frames that nobody may send


def bad_closes() -> Iterator[Breach]:
    """RFC 6455, section 7.4."""
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 65_535):
        yield Breach(f"closes with {code}", close_frame(code), f"{code} may not be sent as a close code")
    yield Breach("closes with 1006 and a reason", close_frame(1006, b"gone"), "1006 may not be sent")
    yield Breach("closes with half a code", frame(CLOSE, b"\x03"), "half a code")


# What such a peer does


def closes(data: bytes, then: Conduct = HostilePeer.part) -> Conduct:
    """Says something proper and `data`, a close frame and more, in one piece."""

    def conduct(peer: HostilePeer) -> None:
        peer.open_with(b"")
        peer.say(frame(TEXT, b"before") + data)
        then(peer)

    return conduct


def is_closed(then: Conduct) -> Conduct:
    """Hears that we close."""

    def conduct(peer: HostilePeer) -> None:
        peer.open_with(b"")
        peer.channel.ready.result(TIMEOUT)
        peer.channel.sink.close(1000)
        peer.hear(CLOSE)
        then(peer)

    return conduct


def says(data: bytes) -> Conduct:
    """Says so much, and leaves with FIN."""

    def conduct(peer: HostilePeer) -> None:
        peer.say(data)
        peer.stop_sending()

    return conduct


def says_and_stays(data: bytes) -> Conduct:
    """Says so much, and keeps TCP open."""

    def conduct(peer: HostilePeer) -> None:
        peer.say(data)
        peer.wait_until_left()

    return conduct


def stays(peer: HostilePeer) -> None:
    """Hears our close frame, and keeps TCP open."""
    peer.hear(CLOSE)
    peer.wait_until_left()


def floods(data: bytes) -> Conduct:
    """Hears our close frame, and goes on and on."""

    def conduct(peer: HostilePeer) -> None:
        if not peer.closes:
            peer.hear(CLOSE)
        peer.flood(data * 100)

    return conduct


def drips(data: bytes) -> Conduct:
    """Says a byte every 10 ms."""

    def conduct(peer: HostilePeer) -> None:
        for byte in data:
            if peer.is_left_within(0.01):
                return
            peer.sock.sendall(bytes([byte]))

    return conduct


def never_reads(then: Conduct) -> Conduct:
    """Reads nothing, while more waits to be sent than TCP holds."""

    def conduct(peer: HostilePeer) -> None:
        peer.open_with(b"")
        peer.channel.ready.result(TIMEOUT)
        peer.channel.sink.add(bytes(8 * MIB))
        assert peer.channel.sink.buffered_amount
        then(peer)
        peer.wait_until_left()

    return conduct


def is_closed_unread(peer: HostilePeer) -> None:
    peer.channel.sink.close(1000)


# The rows

MESSAGES = frame(TEXT, b"late") + frame(PING, b"late") + frame(BINARY, b"late")
GARBAGE = b"\xff" * 100
BREACH = frame(3)
BLOCKED: dict[str, Any] = {"is_narrow": True, "memory": 32 * MIB, "after": SOON, "options": {"close_timeout": SOON}}


def it_closed(name: str, conduct: Conduct, code: int, reason: str = "", **more: Any) -> Misbehaviour:
    """Its close frame is answered, and what comes with it is not looked at."""
    return Misbehaviour(name, conduct, **{"messages": ("before",), "sent": code, "close": (code, reason), **more})


def we_closed(name: str, conduct: Conduct, code: int = 1006, **more: Any) -> Misbehaviour:
    """We have closed, and the stream completes whatever it does."""
    return Misbehaviour(name, is_closed(conduct), sent=1000, close=(code, ""), **more)


def we_failed(name: str, conduct: Conduct, **more: Any) -> Misbehaviour:
    """It broke the protocol, and nothing that it says then changes that."""
    return Misbehaviour(name, conduct, ProtocolError, "opcode 0x3 is reserved", **{"sent": 1002, **more})


ITS_CLOSE = [
    *[
        it_closed(f"closes with {code}", closes(close_frame(code, b"why")), code, "why")
        for code in (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999)
    ],
    it_closed("closes without a code", closes(frame(CLOSE)), 1005),
    it_closed("closes with terminal commands", closes(close_frame(1000, b"\x1b[2J")), 1000, "\x1b[2J"),
    it_closed("closes within a message", closes(frame(TEXT, b"un", fin=False) + close_frame(1001)), 1001),
    it_closed("closes and sends messages", closes(close_frame(1001) + MESSAGES), 1001),
    it_closed("closes and sends garbage", closes(close_frame(1001) + GARBAGE), 1001),
    it_closed("closes twice", closes(close_frame(1001, b"first") + close_frame(1011, b"second")), 1001, "first"),
    it_closed("closes and breaks the protocol", closes(close_frame(1001) + BREACH), 1001),
    it_closed("closes and stays", closes(close_frame(1001), stays), 1001, after=LINGER),
    it_closed("closes and floods messages", closes(close_frame(1001), floods(MESSAGES)), 1001, after=LINGER),
    it_closed("closes and resets", closes(close_frame(1001), HostilePeer.reset), 1001, sent=None),
    it_closed(
        "closes and never reads",
        never_reads(says_and_stays(close_frame(1001))),
        1001,
        messages=(),
        sent=None,
        **BLOCKED,
    ),
]

OUR_CLOSE = [
    we_closed("never answers our close", HostilePeer.wait_until_left, after=SOON, options={"close_timeout": SOON}),
    *[
        we_closed(f"answers our close with {what} without an end", conduct, after=SOON, options={"close_timeout": SOON})
        for what, conduct in {
            "messages": floods(MESSAGES),
            "pings": floods(frame(PING, b"?")),
            "fragments": floods(frame(TEXT, fin=False) + frame(CONTINUATION, b"x", fin=False)),
            "dripped messages": drips(frame(TEXT, b"late") * 1000),
            "a dripped message": drips(frame(BINARY, bytes(9999))),
            "half a close frame": says_and_stays(close_frame(1000, b"why")[:3]),
        }.items()
    ],
    *[
        we_closed(f"answers our close with {what}", says(data))
        for what, data in {
            "garbage": GARBAGE,
            "a reserved opcode": BREACH,
            "a masked close frame": frame(CLOSE, b"\x03\xe8", mask=b"abcd"),
            "an illegal code": close_frame(1006),
            "half a code": frame(CLOSE, b"\x03"),
            "half a close frame, and leaves": close_frame(1000)[:3],
            "a reason that is not UTF-8": close_frame(1000, b"\xff"),
            "bad text": frame(TEXT, b"\xff"),
            "a message of 2**63 - 1 bytes": frame(BINARY, length=2**63 - 1),
            "messages, and leaves": MESSAGES,
        }.items()
    ],
    we_closed("answers our close with a breach, and stays", says_and_stays(BREACH), after=LINGER),
    we_closed("answers our close with FIN", HostilePeer.stop_sending),
    we_closed("answers our close with RST", HostilePeer.reset),
    we_closed("answers our close with another code", says(close_frame(4321)), 4321),
    we_closed("answers our close with no code", says(frame(CLOSE)), 1005),
    we_closed("answers our close after messages", says(MESSAGES + close_frame(1000)), 1000),
    we_closed("answers our close and sends garbage", says(close_frame(1000) + GARBAGE), 1000),
    we_closed("answers our close and stays", says_and_stays(close_frame(1000)), 1000, after=LINGER),
    Misbehaviour("never reads our close", never_reads(is_closed_unread), **BLOCKED),
]

OUR_FAILURE = [
    we_failed("breaks the protocol and closes", closes(BREACH + close_frame(1000)), messages=("before",)),
    we_failed("breaks the protocol and resets", closes(BREACH, HostilePeer.reset), messages=("before",), sent=None),
    we_failed("breaks the protocol for ever", closes(BREACH, floods(BREACH)), messages=("before",), after=LINGER),
    we_failed("breaks the protocol and never reads", never_reads(says_and_stays(BREACH)), sent=None, **BLOCKED),
]

CLOSINGS = [*rows(bad_closes(), AT_ONCE | BYTE_BY_BYTE | IN_HASTE), *ITS_CLOSE, *OUR_CLOSE, *OUR_FAILURE]
