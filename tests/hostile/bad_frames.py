"""Peers that break the protocol once the channel is open: frames that are none, text that is none, and too much."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from misbehaviour import KIB, MIB, Conduct, HostilePeer, Misbehaviour
from peer import CONTINUATION, frame
from raw_server import BINARY, CLOSE, PING, PONG, TEXT

from rxecho import ChannelError, InvalidPayload, MessageTooBig, ProtocolError

LIMIT = 1000
"""Bytes, for a `max_message_size` that is to be passed."""

BEFORE = frame(TEXT, b"before")


# What such a peer does: something proper, which is handed over in any case, and then its `data`


def says(data: bytes, *headers: str) -> Conduct:
    """In one piece."""

    def conduct(peer: HostilePeer) -> None:
        peer.open_with(b"", *headers)
        peer.say(BEFORE + data)
        peer.part()

    return conduct


def says_byte_by_byte(data: bytes, *headers: str) -> Conduct:
    """In as many pieces as there are bytes."""

    def conduct(peer: HostilePeer) -> None:
        peer.open_with(BEFORE, *headers)
        for byte in data:
            peer.say(bytes([byte]))
        peer.part()

    return conduct


def hurries(data: bytes, *headers: str) -> Conduct:
    """In one piece with the answer to the opening handshake."""

    def conduct(peer: HostilePeer) -> None:
        peer.open_with(BEFORE + data, *headers)
        peer.part()

    return conduct


def repeats_and_closes(beginning: bytes, piece: bytes, times: int, end: bytes, *headers: str) -> Conduct:
    """A `piece` of it again and again, and then closes in order. Memory is counted over the last twentieth."""

    def conduct(peer: HostilePeer) -> None:
        peer.open_with(BEFORE + beginning, *headers)
        portion = len(piece) * times // 20
        with peer.memory.looks_away():
            for _ in range(19):
                peer.flood(piece, portion)
                peer.settle()
        peer.flood(piece, portion)
        peer.settle()
        peer.say(end + frame(CLOSE, b"\x03\xe8"))
        peer.part()

    return conduct


def repeats(beginning: bytes, piece: bytes, *headers: str) -> Conduct:
    """A `piece` of it again and again, until the client has enough of it."""

    def conduct(peer: HostilePeer) -> None:
        peer.open_with(BEFORE + beginning, *headers)
        peer.flood(piece)
        peer.part()

    return conduct


# What it says


class Breach(NamedTuple):
    """What no peer may say, and what we say to it."""

    name: str
    data: bytes
    says: str
    error: type[ChannelError] = ProtocolError
    sent: int = 1002


NAMES = {CONTINUATION: "continuation", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}
DATA = (TEXT, BINARY)
CONTROL = (CLOSE, PING, PONG)
UNFINISHED = frame(TEXT, b"un", fin=False)


def breaches() -> Iterator[Breach]:
    """Frames that break RFC 6455, section 5."""
    for opcode, name in NAMES.items():
        before = UNFINISHED if opcode == CONTINUATION else b""
        for reserved in (1, 2, 4, 7):
            data = before + frame(opcode, reserved=reserved)
            yield Breach(f"sets the reserved bits {reserved:03b} of a {name} frame", data, "reserved bits")
        yield Breach(f"masks a {name} frame", before + frame(opcode, b"x", mask=b"abcd"), "masked")
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield Breach(f"uses the opcode {opcode:#x}", frame(opcode), f"opcode {opcode:#x} is reserved")
    for opcode in CONTROL:
        yield Breach(f"fragments a {NAMES[opcode]}", frame(opcode, fin=False), "fragmented")
        yield Breach(f"fragments a {NAMES[opcode]} in a message", UNFINISHED + frame(opcode, fin=False), "fragmented")
        for length in (126, 65_536, 2**63 - 1):
            data = frame(opcode, length=length)
            yield Breach(f"sends a {NAMES[opcode]} of {length} bytes", data, "more than 125 bytes")
    for opcode in (CONTINUATION, *DATA):
        before = UNFINISHED if opcode == CONTINUATION else b""
        for length, width in ((0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65_535, 8)):
            name = f"says the length {length} of a {NAMES[opcode]} frame in {width} bytes"
            yield Breach(name, before + frame(opcode, length=length, width=width), "shortest form")
        for length in (2**63, 2**64 - 1):
            name = f"says that a {NAMES[opcode]} frame has {length} bytes"
            yield Breach(name, before + frame(opcode, length=length), "highest bit")
    for opcode in DATA:
        for inner in DATA:
            data = frame(opcode, b"un", fin=False) + frame(inner, b"x")
            yield Breach(f"begins a {NAMES[inner]} within a {NAMES[opcode]}", data, "before the one before it")
    yield Breach("continues nothing", frame(CONTINUATION, b"x", fin=False), "continues nothing")
    yield Breach("ends nothing", frame(CONTINUATION, b"x"), "continues nothing")
    yield Breach("continues what was whole", frame(CONTINUATION), "continues nothing")


GOOD = "κόσμε 🌍".encode()
NEVER_UTF8 = {
    "a byte that continues nothing": b"\x80",
    "bytes of Latin-1": b"Gr\xfc\xdfe",
    "a byte order mark of UTF-16": b"\xff\xfe",
    "0xFF": b"\xff",
    "0xFE": b"\xfe",
    "an overlong NUL": b"\xc0\x80",
    "an overlong slash in 2 bytes": b"\xc0\xaf",
    "an overlong slash in 3 bytes": b"\xe0\x80\xaf",
    "an overlong slash in 4 bytes": b"\xf0\x80\x80\xaf",
    "a character in 5 bytes": b"\xf8\x88\x80\x80\x80",
    "a character in 6 bytes": b"\xfc\x84\x80\x80\x80\x80",
    "half an overlong character": b"\xe0\x80",
    "half a surrogate": b"\xed\xa0",
    "half of U+110000": b"\xf4\x90",
    "the first surrogate": b"\xed\xa0\x80",
    "the last surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "U+110000": b"\xf4\x90\x80\x80",
    "U+1FFFFF": b"\xf7\xbf\xbf\xbf",
    "a character that another interrupts": b"\xe2\x82\xce\xba",
}
CUT = {2: b"\xce", 3: b"\xe2\x82", 4: b"\xf0\x9f\x8c"}


def bad_texts() -> Iterator[Breach]:
    """Text that is not UTF-8, wherever it stands: RFC 6455, section 8.1."""
    for what, bad in NEVER_UTF8.items():
        half = len(bad) // 2
        for where, data in {
            "at the start of a text": frame(TEXT, bad + GOOD),
            "in the middle of a text": frame(TEXT, GOOD + bad + GOOD),
            "at the end of a text": frame(TEXT, GOOD + bad),
            "far inside a text": frame(TEXT, GOOD * 100 + bad + GOOD * 100),
            "over two frames": frame(TEXT, GOOD + bad[:half], fin=False) + frame(CONTINUATION, bad[half:] + GOOD),
            "in a frame without an end": frame(TEXT, GOOD + bad, length=LIMIT),
            "in a message without an end": frame(TEXT, GOOD + bad, fin=False),
            "as the reason of a close": frame(CLOSE, b"\x03\xe8" + bad),
        }.items():
            yield _bad_text(f"sends {what} {where}", data)
    for size, bad in CUT.items():
        fragments = frame(TEXT, GOOD, fin=False) + frame(CONTINUATION, bad, fin=False) + frame(CONTINUATION)
        yield _bad_text(f"ends a text within a character of {size} bytes", frame(TEXT, GOOD + bad))
        yield _bad_text(f"ends fragments within a character of {size} bytes", fragments)
        yield _bad_text(f"ends a reason within a character of {size} bytes", frame(CLOSE, b"\x03\xe8" + GOOD + bad))


def _bad_text(name: str, data: bytes) -> Breach:
    return Breach(name, data, "not UTF-8|middle of a character", InvalidPayload, 1007)


def too_big() -> Iterator[Breach]:
    """Messages of more than `max_message_size` bytes, whoever adds them up."""
    for opcode in DATA:
        for length in (LIMIT + 1, 65_536, 2**63 - 1):
            yield _too_big(f"announces a {NAMES[opcode]} of {length} bytes", frame(opcode, length=length))
        fragments = frame(opcode, b"x" * LIMIT, fin=False) + frame(CONTINUATION, b"x")
        yield _too_big(f"adds up fragments of a {NAMES[opcode]} to a byte too much", fragments)
        fragments = frame(opcode, b"x", fin=False) + frame(CONTINUATION, length=LIMIT)
        yield _too_big(f"announces a fragment of a {NAMES[opcode]} that is a byte too much", fragments)


def _too_big(name: str, data: bytes) -> Breach:
    return Breach(name, data, "1,000 are allowed.*larger max_message_size", MessageTooBig, 1009)


AT_ONCE = {"": says}
BYTE_BY_BYTE = {", byte by byte": says_byte_by_byte}
IN_HASTE = {", along with its handshake": hurries}


def rows(breaches: Iterable[Breach], ways: Mapping[str, Callable[..., Conduct]], *headers: str) -> list[Misbehaviour]:
    """Each breach in each of these ways, behind an answer to the opening handshake with these headers, too."""
    return [
        Misbehaviour(
            name + way,
            conduct(data, *headers),
            error,
            says,
            sent=sent,
            messages=("before",),
            options={"max_message_size": LIMIT} if error is MessageTooBig else {},
        )
        for name, data, says, error, sent in breaches
        for way, conduct in ways.items()
    ]


ENDLESS = [
    Misbehaviour(
        "sends a million empty fragments",
        repeats_and_closes(
            frame(TEXT, b"never", fin=False),
            frame(CONTINUATION, fin=False) * 10_000,
            100,
            frame(CONTINUATION, b"theless"),
        ),
        sent=1000,
        close=(1000, ""),
        messages=("before", "nevertheless"),
    ),
    Misbehaviour(
        "sends fragments of one byte without an end",
        repeats(frame(BINARY, fin=False), frame(CONTINUATION, b"x", fin=False) * 1000),
        MessageTooBig,
        "20,481 bytes or more was announced, and 20,480 are allowed",
        sent=1009,
        messages=("before",),
        options={"max_message_size": 20 * KIB},
    ),
    Misbehaviour(
        "sends large fragments without an end",
        repeats(frame(TEXT, fin=False), frame(CONTINUATION, b"x" * 64 * KIB, fin=False)),
        MessageTooBig,
        "4,259,840 bytes or more was announced, and 4,194,304 are allowed",
        sent=1009,
        messages=("before",),
        memory=12 * MIB,
        options={"max_message_size": 4 * MIB},
    ),
]

FRAMES = [
    *rows(breaches(), AT_ONCE | BYTE_BY_BYTE),
    *rows(bad_texts(), AT_ONCE),
    *rows((text for text in bad_texts() if "over two" in text.name or "in the middle" in text.name), BYTE_BY_BYTE),
    *rows(too_big(), AT_ONCE | BYTE_BY_BYTE | IN_HASTE),
    *ENDLESS,
]
