"""Peers that misuse permessage-deflate: RFC 7692."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from bad_frames import (
    AT_ONCE,
    BYTE_BY_BYTE,
    GOOD,
    LIMIT,
    NAMES,
    NEVER_UTF8,
    UNFINISHED,
    Breach,
    repeats,
    repeats_and_closes,
    rows,
)
from misbehaviour import KIB, MIB, Misbehaviour
from peer import CONTINUATION, frame
from raw_server import BINARY, CLOSE, PING, PONG, TEXT

from rxecho import InvalidPayload, MessageTooBig

EXTENSION = "Sec-WebSocket-Extensions: permessage-deflate"
COMPRESSED = 4
"""The reserved bit of the first frame of a compressed message."""

EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"


def deflated(data: bytes, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """As it travels."""
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(data) + deflater.flush(flush)).removesuffix(EMPTY_BLOCK[1:])


def compressed(opcode: int, data: bytes, *, fin: bool = True, length: int | None = None, reserved: int = 0) -> bytes:
    return frame(opcode, data, fin=fin, length=length, reserved=COMPRESSED | reserved)


def breaches() -> Iterator[Breach]:
    """What no deflater makes, and marks where none may be: sections 6 and 7."""
    for opcode in (CONTINUATION, CLOSE, PING, PONG):
        before = UNFINISHED if opcode == CONTINUATION else b""
        yield Breach(
            f"marks a {NAMES[opcode]} frame as compressed", before + compressed(opcode, b""), "marked as compressed"
        )
    for reserved in (1, 2, 3):
        data = compressed(TEXT, deflated(b"x"), reserved=reserved)
        yield Breach(f"compresses and sets the reserved bits {reserved:02b}", data, "reserved bits")
    inflates = "cannot be inflated"
    yield Breach("compresses to garbage", compressed(BINARY, b"\xff" * 10), inflates)
    yield Breach("compresses to a stored block that lies", compressed(BINARY, b"\x00\x05\x00\x00\x00Hello"), inflates)
    yield Breach("compresses with a look back to nothing", compressed(BINARY, _looking_back()), inflates)
    yield Breach("compresses garbage after all", compressed(TEXT, deflated(b"x") + b"\xff" * 10), inflates)
    final = deflated(b"x", zlib.Z_FINISH)
    yield Breach("goes on behind a final block", compressed(TEXT, final + final), "behind its final block")
    data = compressed(TEXT, final, fin=False) + frame(CONTINUATION, final)
    yield Breach("goes on behind a final block in the next frame", data, "behind its final block")
    for what, bad in NEVER_UTF8.items():
        data = compressed(TEXT, deflated(GOOD + bad + GOOD))
        yield Breach(f"compresses {what} as text", data, "not UTF-8", InvalidPayload, 1007)
    data = compressed(TEXT, deflated(GOOD + b"\xff"), length=2**50)
    yield Breach("compresses bad text in a frame without an end", data, "not UTF-8", InvalidPayload, 1007)
    for size in (LIMIT + 1, 100 * LIMIT):
        data = compressed(BINARY, deflated(bytes(size)))
        says = "more than the 1,000 bytes allowed"
        yield Breach(f"compresses {size} bytes", data, says, MessageTooBig, 1009)


def _looking_back() -> bytes:
    """The second message of a sender whose first one was never sent."""
    deflater = zlib.compressobj(wbits=-15)
    deflater.compress(b"Hello, hello, hello!")
    deflater.flush(zlib.Z_SYNC_FLUSH)
    return deflater.compress(b"Hello, hello, hello!") + deflater.flush(zlib.Z_SYNC_FLUSH)


def _zeros() -> bytes:
    """A megabyte of them, in blocks that may be repeated at will."""
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(bytes(MIB)) + deflater.flush(zlib.Z_FULL_FLUSH)


ENDLESS = [
    Misbehaviour(
        "compresses zeros without an end",
        repeats(compressed(BINARY, _zeros(), fin=False), frame(CONTINUATION, _zeros(), fin=False), EXTENSION),
        MessageTooBig,
        "more than the 4,194,304 bytes allowed",
        sent=1009,
        messages=("before",),
        memory=12 * MIB,
        options={"max_message_size": 4 * MIB},
    ),
    Misbehaviour(
        "compresses nothing without an end",
        repeats_and_closes(
            compressed(TEXT, deflated(b"never") + EMPTY_BLOCK[1:], fin=False),
            frame(CONTINUATION, EMPTY_BLOCK * 10 * KIB, fin=False),
            20,
            frame(CONTINUATION, deflated(b"theless")),
            EXTENSION,
        ),
        sent=1000,
        close=(1000, ""),
        messages=("before", "nevertheless"),
    ),
]

COMPRESSIONS = [*rows(breaches(), AT_ONCE | BYTE_BY_BYTE, EXTENSION), *ENDLESS]
