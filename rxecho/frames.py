"""Bytes to frames and back: RFC 6455, section 5, from the client's side. No socket, no thread, no clock.

On a message's way this lies between the socket and everything else: `connection` feeds `FrameReader` what it
received and gets messages and control frames out; what it is to send, it takes from `encode`.
"""

from __future__ import annotations

import os
from codecs import utf_8_decode
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from rxecho import status
from rxecho.deflate import Inflater
from rxecho.errors import InvalidPayload, MessageTooBig, ProtocolError

__all__ = ["ControlFrame", "FrameReader", "Message", "Opcode", "encode", "encode_close", "parse_close"]

Message = str | bytes

MAX_CONTROL_PAYLOAD: Final = 125
"""Bytes in a ping, a pong or a close frame: RFC 6455, section 5.5."""


class Opcode(IntEnum):
    """What a frame is: RFC 6455, section 5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class ControlFrame(NamedTuple):
    """A ping, a pong or a close frame, which may stand between the fragments of a message."""

    opcode: Opcode
    payload: bytes


_FIN: Final = 0x80
_COMPRESSED: Final = 0x40
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
# As plain numbers, since Python 3.11 takes as long to find a member of an enum as to slice a short message.
_NOTHING: Final = int(Opcode.CONTINUATION)
_TEXT: Final = int(Opcode.TEXT)
_BINARY: Final = int(Opcode.BINARY)
_CLOSE: Final = int(Opcode.CLOSE)
_WHOLE_TEXT: Final = _FIN | _TEXT
_WHOLE_BINARY: Final = _FIN | _BINARY

_SMALL_PIECE: Final = 4096
"""Bytes below which a piece of a message is joined to the one before it: to keep it by itself takes more memory."""


_LARGE_TEXT: Final = 16 * 1024
"""Bytes in a text from which it is decoded where it stands, which spares a copy."""


class FrameReader:
    """What one peer sends, read frame by frame.

    A header is judged before a byte is stored on its behalf, and text is checked as it arrives, not when its
    message is complete.

    Args:
        max_message_size: The largest message that is let in, in bytes.
        inflater: For compressed messages, where permessage-deflate was agreed on.
    """

    def __init__(self, max_message_size: int, inflater: Inflater | None = None) -> None:
        self._max_message_size = max_message_size
        self._inflater = inflater
        # The largest payload whose length the second byte of a frame says by itself.
        self._max_short = min(125, max_message_size)
        # A header, or a control frame, that has not arrived whole.
        self._tail = b""
        # Of the fragmented or partly received message: its opcode, and what is here of it, inflated.
        self._opcode = _NOTHING
        self._is_compressed = False
        self._pieces: list[bytes | bytearray] = []
        self._size = 0
        self.missing = 0
        """Bytes still to come of the data frame that has begun to arrive."""
        # Whether that ends its message.
        self._is_final = False
        # The first bytes of a character that has not arrived whole.
        self._half_character = b""

    @property
    def unfinished_size(self) -> int:
        """Bytes of the message that has begun to arrive and is not complete."""
        return self._size

    def read(self, data: bytes) -> Iterator[Message | ControlFrame]:
        """Yield what `data` completes, in order. Exhaust it before reading on.

        Raises:
            ProtocolError: A frame breaks RFC 6455, or a message RFC 7692.
            InvalidPayload: A text message is not UTF-8; noticed at the first wrong byte.
            MessageTooBig: A message is, or says it will be, larger than `max_message_size`.
        """
        position = 0
        if self.missing:
            position = self._take(data, 0, self.missing)
            if self.missing:
                return
            if self._is_final:
                yield self._complete()
        elif self._tail:
            data = self._tail + data
            self._tail = b""

        end = len(data)
        max_short = self._max_short
        while end - position >= 2:
            first = data[position]
            length = data[position + 1]
            start = position + 2
            is_whole = _WHOLE_TEXT <= first <= _WHOLE_BINARY
            # Most frames are whole messages of up to 125 bytes, about which there is nothing more to ask.
            if length > max_short or not is_whole or self._opcode:
                opcode = first & 0x0F
                if first & _RESERVED:
                    self._judge_reserved(first, opcode)
                if length & _MASKED:
                    raise ProtocolError("a frame is masked, which only clients may do")

                if opcode >= _CLOSE:
                    control = _judge_control(first, opcode, length)
                    if start + length > end:
                        break
                    position = start + length
                    yield ControlFrame(control, data[start:position])
                    if control is Opcode.CLOSE:
                        return
                    continue

                if opcode > _BINARY or (opcode == 0) != (self._opcode != 0):
                    raise self._misplaced(opcode)
                if length == 126:
                    if start + 2 > end:
                        break
                    length = data[start] << 8 | data[start + 1]
                    start += 2
                    if length < 126:
                        raise ProtocolError("a length is not in its shortest form")
                elif length == 127:
                    if start + 8 > end:
                        break
                    length = int.from_bytes(data[start : start + 8])
                    start += 8
                    if length < 1 << 16:
                        raise ProtocolError("a length is not in its shortest form")
                    if length >= 1 << 63:
                        raise ProtocolError("a length has its highest bit set")
                if first & _COMPRESSED:
                    self._is_compressed = True
                elif self._size + length > self._max_message_size and not self._is_compressed:
                    raise MessageTooBig(
                        f"a message of {self._size + length:,} bytes or more was announced, "
                        f"and {self._max_message_size:,} are allowed"
                    )

            position = start + length
            if not is_whole or position > end:
                self._opcode = self._opcode or first & 0x0F
                self._is_final = bool(first & _FIN)
                position = self._take(data, start, length)
                if self.missing:
                    return
                if self._is_final:
                    yield self._complete()
            elif first == _WHOLE_TEXT:
                if length < _LARGE_TEXT:
                    yield _text(data[start:position])
                else:
                    yield _text_within(data, start, position)
            else:
                yield data[start:position]
        self._tail = data[position:]

    def _judge_reserved(self, first: int, opcode: int) -> None:
        if first & _RESERVED & ~_COMPRESSED or self._inflater is None:
            raise ProtocolError("reserved bits are set that no extension gives a meaning")
        if opcode not in (_TEXT, _BINARY):
            raise ProtocolError("a frame that begins no message is marked as compressed")

    def _misplaced(self, opcode: int) -> ProtocolError:
        if opcode > _BINARY:
            return ProtocolError(f"opcode {opcode:#x} is reserved")
        if opcode:
            return ProtocolError("a message begins before the one before it has ended")
        return ProtocolError("a continuation frame continues nothing")

    def _take(self, data: bytes, start: int, length: int) -> int:
        """Store the payload that is here of a frame's `length` bytes from `start`; return where it ends."""
        stop = min(start + length, len(data))
        self.missing = length - (stop - start)
        if start < stop:
            piece = data[start:stop]
            self._store(self._inflate(piece) if self._is_compressed else piece)
        return stop

    def _inflate(self, piece: bytes | None) -> bytes:
        """What a compressed piece is, or at the end of its message, what was still to come."""
        assert self._inflater
        # One byte more than is allowed tells that it is too much, however much there would be.
        limit = self._max_message_size - self._size + 1
        inflated = self._inflater.finish(limit) if piece is None else self._inflater.inflate(piece, limit)
        if len(inflated) == limit:
            raise MessageTooBig(f"a compressed message has more than the {self._max_message_size:,} bytes allowed")
        return inflated

    def _store(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._opcode == _TEXT:
            self._check_text(piece)
        pieces = self._pieces
        if len(piece) >= _SMALL_PIECE:
            pieces.append(piece)
        elif pieces and pieces[-1].__class__ is bytearray:
            pieces[-1] += piece
        else:
            pieces.append(bytearray(piece))

    def _check_text(self, piece: bytes) -> None:
        if not self._half_character and piece.isascii():
            return
        text = self._half_character + piece
        try:
            _, consumed = utf_8_decode(text, "strict", False)
        except UnicodeDecodeError as error:
            raise _not_utf8(error) from error
        self._half_character = half = text[consumed:]
        if half[:1] == b"\xed" and half[1:] >= b"\xa0":
            # The first two bytes of a surrogate, which the decoder takes for the beginning of something.
            raise InvalidPayload("a text message is not UTF-8 (surrogate)")

    def _complete(self) -> Message:
        if self._is_compressed:
            self._store(self._inflate(None))
            self._is_compressed = False
        payload = b"".join(self._pieces)
        opcode, self._opcode = self._opcode, _NOTHING
        self._pieces.clear()
        self._size = 0
        return _text(payload) if opcode == _TEXT else payload


def _judge_control(first: int, opcode: int, length: int) -> Opcode:
    if opcode > Opcode.PONG:
        raise ProtocolError(f"opcode {opcode:#x} is reserved")
    if not first & _FIN:
        raise ProtocolError("a control frame is fragmented")
    if length > MAX_CONTROL_PAYLOAD:
        raise ProtocolError(f"a control frame has more than {MAX_CONTROL_PAYLOAD} bytes")
    return Opcode(opcode)


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise _not_utf8(error) from error


def _text_within(data: bytes, start: int, end: int) -> str:
    try:
        return str(memoryview(data)[start:end], "utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(error) from error


def _not_utf8(error: UnicodeDecodeError) -> InvalidPayload:
    return InvalidPayload(f"a text message is not UTF-8 ({error.reason})")


def parse_close(payload: bytes) -> tuple[int, str]:
    """The code and the reason that a close frame carries: RFC 6455, section 5.5.1.

    Returns:
        1005 and `""` where it carries none.

    Raises:
        ProtocolError: The code is half a code, or not one that may be sent.
        InvalidPayload: The reason is not UTF-8.

    >>> parse_close(b"")
    (1005, '')
    """
    if not payload:
        return status.CloseCode.NO_STATUS_RECEIVED.value, ""
    if len(payload) == 1:
        raise ProtocolError("a close frame has half a code")
    code = int.from_bytes(payload[:2])
    if not status.is_valid(code):
        raise ProtocolError(f"{code} may not be sent as a close code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError as error:
        raise InvalidPayload(f"a close reason is not UTF-8 ({error.reason})") from error


def encode(opcode: int, payload: bytes, *, compressed: bool = False) -> bytes:
    """One whole frame, masked as RFC 6455, section 5.3, asks of a client."""
    key = _masking_key()
    return b"".join((_header(opcode, len(payload), compressed), key, _masking.apply(payload, key)))


def encode_apart(opcode: int, payload: bytes, *, compressed: bool = False) -> tuple[bytes, bytes]:
    """The same, header and payload apart: a large one is not copied once more."""
    key = _masking_key()
    return _header(opcode, len(payload), compressed) + key, _masking.apply(payload, key)


def _header(opcode: int, length: int, compressed: bool) -> bytes:
    first = (_FIN | _COMPRESSED if compressed else _FIN) | opcode
    if length < 126:
        return (first << 8 | _MASKED | length).to_bytes(2)
    if length < 1 << 16:
        return ((first << 8 | _MASKED | 126) << 16 | length).to_bytes(4)
    return ((first << 8 | _MASKED | 127) << 64 | length).to_bytes(10)


def encode_close(code: int | None, reason: str) -> bytes:
    """A close frame; empty without a code.

    Raises:
        ValueError: The code may not be sent, the reason is over 123 bytes of UTF-8, or there is a reason and
            no code.
    """
    if code is None:
        if reason:
            raise ValueError("a close reason needs a close code: pass one, for instance 1000")
        return encode(Opcode.CLOSE, b"")
    if not status.is_valid(code):
        raise ValueError(f"{code} cannot be sent as a close code: use 1000-1003, 1007-1014 or 3000-4999")
    payload = int(code).to_bytes(2) + reason.encode()
    if len(payload) > MAX_CONTROL_PAYLOAD:
        raise ValueError(f"a close reason may have 123 bytes of UTF-8, this one has {len(payload) - 2}")
    return encode(Opcode.CLOSE, payload)


# Masking keys drawn ahead, since asking the system for four bytes takes longer than masking a short message.
# Only whoever pops a key uses it; `list.pop` is atomic.
_keys: list[bytes] = []
if hasattr(os, "register_at_fork"):
    # A child must not use the keys of its parent again.
    os.register_at_fork(after_in_child=_keys.clear)


def _masking_key() -> bytes:
    try:
        return _keys.pop()
    except IndexError:
        pool = os.urandom(4096)
        _keys.extend(pool[i : i + 4] for i in range(4, 4096, 4))
        return pool[:4]


def _mask_in_python(payload: bytes, key: bytes) -> bytes:
    length = len(payload)
    keys = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(length)


_PYTHON_ENOUGH: Final = 16 * 1024
"""Bytes masked in Python before the C version is imported, which takes as long as masking a hundred times that."""


class _Masking:
    """XOR with the repeated key: in Python at first, in C as soon as enough is sent to be worth the import."""

    def __init__(self) -> None:
        self._masked = 0
        self.apply: Callable[[bytes, bytes], bytes] = self._count

    def _count(self, payload: bytes, key: bytes) -> bytes:
        self._masked += len(payload)
        if self._masked > _PYTHON_ENOUGH:
            self.apply = _mask_in_c()
            return self.apply(payload, key)
        return _mask_in_python(payload, key)


def _mask_in_c() -> Callable[[bytes, bytes], bytes]:
    try:
        from websockets.speedups import apply_mask
    except ImportError:  # websockets is installed without its C extension
        return _mask_in_python
    return apply_mask


_masking = _Masking()
