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
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_WHOLE_TEXT: Final = _FIN | Opcode.TEXT
_WHOLE_BINARY: Final = _FIN | Opcode.BINARY


class FrameReader:
    """What one peer sends, read frame by frame.

    A header is judged before a byte is stored on its behalf, and text is checked as it arrives, not when its
    message is complete.

    Args:
        max_message_size: The largest message that is let in, in bytes.
    """

    def __init__(self, max_message_size: int) -> None:
        self._max_message_size = max_message_size
        # The largest payload whose length the second byte of a frame says by itself.
        self._max_short = min(125, max_message_size)
        # A header, or a control frame, that has not arrived whole.
        self._tail = b""
        # The opcode of the fragmented or partly received message, CONTINUATION when there is none, and what is
        # here of it. One growing buffer: any number of fragments, also empty ones, takes no more than its bytes.
        self._opcode: int = Opcode.CONTINUATION
        self._payload = bytearray()
        # Of the data frame that is arriving: how many bytes are still to come, and whether it ends its message.
        self.missing = 0
        self._is_final = False
        # The first bytes of a character that has not arrived whole.
        self._half_character = b""

    @property
    def unfinished_size(self) -> int:
        """Bytes of the message that has begun to arrive and is not complete."""
        return len(self._payload)

    def read(self, data: bytes) -> Iterator[Message | ControlFrame]:
        """Yield what `data` completes, in order. Exhaust it before reading on.

        Raises:
            ProtocolError: A frame breaks RFC 6455.
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
        while end - position >= 2:
            first = data[position]
            length = data[position + 1]
            start = position + 2
            # Most frames are whole messages of up to 125 bytes: take those before asking anything else.
            if length <= self._max_short and not self._opcode and start + length <= end:
                if first == _WHOLE_TEXT:
                    position = start + length
                    try:
                        text = data[start:position].decode()
                    except UnicodeDecodeError as error:
                        raise _not_utf8(error) from error
                    yield text
                    continue
                if first == _WHOLE_BINARY:
                    position = start + length
                    yield data[start:position]
                    continue

            opcode = first & 0x0F
            if first & _RESERVED:
                raise ProtocolError("reserved bits are set, but no extension was negotiated")
            if length & _MASKED:
                raise ProtocolError("a frame is masked, which only clients may do")

            if opcode >= Opcode.CLOSE:
                control = _judge_control(first, opcode, length)
                if start + length > end:
                    break
                position = start + length
                yield ControlFrame(control, data[start:position])
                if control is Opcode.CLOSE:
                    return
                continue

            self._judge_data(opcode)
            if length >= 126:
                width = 2 if length == 126 else 8
                if start + width > end:
                    break
                length = int.from_bytes(data[start : start + width])
                start += width
                if length < (126 if width == 2 else 1 << 16):
                    raise ProtocolError("a length is not in its shortest form")
                if length >= 1 << 63:
                    raise ProtocolError("a length has its highest bit set")
            if len(self._payload) + length > self._max_message_size:
                raise MessageTooBig(
                    f"a message of {len(self._payload) + length:,} bytes or more was announced, "
                    f"and {self._max_message_size:,} are allowed"
                )

            self._opcode = self._opcode or opcode
            self._is_final = bool(first & _FIN)
            position = self._take(data, start, length)
            if self.missing:
                return
            if self._is_final:
                yield self._complete()
        self._tail = data[position:]

    def _judge_data(self, opcode: int) -> None:
        if opcode > Opcode.BINARY:
            raise ProtocolError(f"opcode {opcode:#x} is reserved")
        if self._opcode and opcode:
            raise ProtocolError("a message begins before the one before it has ended")
        if not self._opcode and not opcode:
            raise ProtocolError("a continuation frame continues nothing")

    def _take(self, data: bytes, start: int, length: int) -> int:
        """Store the payload that is here of a frame's `length` bytes from `start`; return where it ends."""
        stop = min(start + length, len(data))
        self.missing = length - (stop - start)
        if start < stop:
            piece = data[start:stop]
            self._payload += piece
            if self._opcode == Opcode.TEXT:
                self._check_text(piece)
        return stop

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
        payload, self._payload = self._payload, bytearray()
        opcode, self._opcode = self._opcode, Opcode.CONTINUATION
        if opcode == Opcode.BINARY:
            return bytes(payload)
        if self._half_character:
            raise InvalidPayload("a text message ends in the middle of a character")
        return payload.decode()


def _judge_control(first: int, opcode: int, length: int) -> Opcode:
    if opcode > Opcode.PONG:
        raise ProtocolError(f"opcode {opcode:#x} is reserved")
    if not first & _FIN:
        raise ProtocolError("a control frame is fragmented")
    if length > MAX_CONTROL_PAYLOAD:
        raise ProtocolError(f"a control frame has more than {MAX_CONTROL_PAYLOAD} bytes")
    return Opcode(opcode)


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


def encode(opcode: Opcode, payload: bytes) -> bytes:
    """One whole frame, masked as RFC 6455, section 5.3, asks of a client."""
    length = len(payload)
    key = _masking_key()
    if length < 126:
        header = bytes((_FIN | opcode, _MASKED | length))
    elif length < 1 << 16:
        header = bytes((_FIN | opcode, _MASKED | 126)) + length.to_bytes(2)
    else:
        header = bytes((_FIN | opcode, _MASKED | 127)) + length.to_bytes(8)
    return b"".join((header, key, _mask(payload, key)))


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


class _Mask:
    """XOR with the repeated key: in Python at first, in C as soon as enough is sent to be worth the import."""

    def __init__(self) -> None:
        self._masked = 0
        self._apply: Callable[[bytes, bytes], bytes] = self._count

    def __call__(self, payload: bytes, key: bytes) -> bytes:
        return self._apply(payload, key)

    def _count(self, payload: bytes, key: bytes) -> bytes:
        self._masked += len(payload)
        if self._masked > _PYTHON_ENOUGH:
            self._apply = _mask_in_c()
            return self._apply(payload, key)
        return _mask_in_python(payload, key)


def _mask_in_c() -> Callable[[bytes, bytes], bytes]:
    try:
        from websockets.speedups import apply_mask
    except ImportError:  # websockets is installed without its C extension
        return _mask_in_python
    return apply_mask


_mask = _Mask()
