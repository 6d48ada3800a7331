"""Messages made smaller on the wire: permessage-deflate, RFC 7692. No socket, no frame.

Beside a message's way: `handshake` agrees on it with the server, `frames` inflates what arrives as it arrives,
`connection` deflates what is worth it.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any, Final, Self

from rxecho.errors import ProtocolError

__all__ = ["OFFER", "Deflate", "Deflater", "Inflater"]

OFFER: Final = "permessage-deflate; client_max_window_bits"
"""What a client says in `Sec-WebSocket-Extensions`: the server may choose all the rest."""

_TAIL: Final = b"\x00\x00\xff\xff"
"""The empty block that ends a flush, and that the sender leaves out: RFC 7692, section 7.2.1."""

_PARAMETER: Final = re.compile(r'\s*;\s*([!#$%&\'*+.^_`|~\w-]+)\s*(?:=\s*("?)([!#$%&\'*+.^_`|~\w-]+)\2\s*)?', re.ASCII)


@dataclass(frozen=True, slots=True)
class Deflate:
    """What the server agreed to: RFC 7692, section 7.1."""

    server_no_context_takeover: bool = False
    """Each message of the server is inflated without looking back at those before it."""
    client_no_context_takeover: bool = False
    """Each message of the client is deflated so."""
    server_max_window_bits: int = 15
    """The server looks back no further than 2 to the power of this, in bytes."""
    client_max_window_bits: int = 15
    """And so does the client."""

    @classmethod
    def parse(cls, answer: str) -> Self:
        """Read the `Sec-WebSocket-Extensions` of a server's answer to `OFFER`.

        Raises:
            ValueError: It is not an answer to that; says why.

        >>> Deflate.parse("permessage-deflate; server_no_context_takeover").server_no_context_takeover
        True
        """
        name = re.match(r"[^;,\s]*", answer.strip())
        assert name
        if name[0] != "permessage-deflate":
            raise ValueError("it was not offered")
        parameters: dict[str, Any] = {}
        rest = answer.strip()[name.end() :]
        while rest.strip():
            parameter = _PARAMETER.match(rest)
            if parameter is None:
                raise ValueError(f"{rest.strip()!r} is not a parameter, and one extension was offered")
            key, _, value = parameter.groups()
            if key in parameters:
                raise ValueError(f"{key} is given twice")
            if key in ("server_no_context_takeover", "client_no_context_takeover"):
                if value is not None:
                    raise ValueError(f"{key} has no value")
                parameters[key] = True
            elif key in ("server_max_window_bits", "client_max_window_bits"):
                if not re.fullmatch(r"[89]|1[0-5]", value or ""):
                    raise ValueError(f"{key} is a number from 8 to 15")
                parameters[key] = int(value)
            else:
                raise ValueError(f"there is no parameter {key}")
            rest = rest[parameter.end() :]
        return cls(**parameters)

    def inflater(self) -> Inflater:
        """For what the server sends."""
        return Inflater(self.server_max_window_bits, takes_over=not self.server_no_context_takeover)

    def deflater(self) -> Deflater | None:
        """For what the client sends; `None` where that has to go as it is, since zlib knows no window of 2 ** 8."""
        if self.client_max_window_bits == 8:
            return None
        return Deflater(self.client_max_window_bits, takes_over=not self.client_no_context_takeover)


class Inflater:
    """Makes messages large again, piece by piece.

    Args:
        window_bits: How far the sender looks back.
        takes_over: Whether it does so across messages.
    """

    def __init__(self, window_bits: int, *, takes_over: bool) -> None:
        self._window_bits = window_bits
        self._takes_over = takes_over
        self._start()

    def _start(self) -> None:
        self._zlib = zlib.decompressobj(wbits=-self._window_bits)

    def inflate(self, piece: bytes, limit: int) -> bytes:
        """What `piece` adds to the message, or the first `limit` bytes of it, of which there must be at least one.

        Raises:
            ProtocolError: It is not what a deflater makes.
        """
        try:
            inflated = self._zlib.decompress(piece, limit)
        except zlib.error as error:
            raise ProtocolError(f"a compressed message cannot be inflated ({error})") from error
        # A sender without a flush marks its last block as final, and has an empty one follow: section 7.2.3.4.
        if len(self._zlib.unused_data) > 1:
            raise ProtocolError("a compressed message goes on behind its final block")
        return inflated

    def finish(self, limit: int) -> bytes:
        """The rest of the message, after its last piece; as `inflate`."""
        inflated = b"" if self._zlib.eof else self.inflate(_TAIL, limit)
        if self._zlib.eof or not self._takes_over:
            self._start()
        return inflated


class Deflater:
    """Makes whole messages small.

    Args:
        window_bits: How far to look back.
        takes_over: Whether to do so across messages.
    """

    def __init__(self, window_bits: int, *, takes_over: bool) -> None:
        self._window_bits = window_bits
        self._takes_over = takes_over
        # Made when first needed, since it takes a quarter of a megabyte.
        self._zlib: Any = None

    def deflate(self, message: bytes) -> bytes:
        """`message` as it travels; what is deflated must be sent, in this order, or be followed by `reset`."""
        if self._zlib is None:
            self._zlib = zlib.compressobj(wbits=-self._window_bits)
        deflated: bytes = self._zlib.compress(message) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
        if not self._takes_over:
            self.reset()
        return deflated[: -len(_TAIL)]

    def reset(self) -> None:
        """Look back no further than the next message."""
        self._zlib = None
