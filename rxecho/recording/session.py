"""The format of a recording: what its lines are, how they are written, and how they are read.

`recorder` writes them while a stream runs, `player` and `server` play them back, and `har` changes them from and into
what browsers save. What the format is stands in the docstring of the package.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from rxecho.frames import Message

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

__all__ = [
    "Closed",
    "Completed",
    "Disposed",
    "Event",
    "Failed",
    "Header",
    "Opened",
    "Received",
    "Recording",
    "RecordingError",
    "Sent",
    "encode",
    "harmless_headers",
    "without_secrets",
]

VERSION: Final = 1

LONGEST_HEADER: Final = 2**20
LONGEST_LINE: Final = 2**30
"""Bytes: what has no end before that is not a recording, and is not read into memory."""


SLACK: Final = 0.01
"""Seconds by which a time may go back: a signal handler that sends is written before what it interrupts."""


class RecordingError(Exception):
    """A recording that cannot be written, or that is none. The text says which file, which line, and what to do."""


class _AnyHeader(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="rxecho recording"):
    version: int = msgspec.field(default_factory=lambda: VERSION)  # a plain default would not be written


class Header(_AnyHeader, frozen=True, kw_only=True, omit_defaults=True, tag_field="format", tag="rxecho recording"):
    """The first line.

    Attributes:
        version: Of the format.
        start: When the recording began. Times of the events count from here.
        url: Where the first connection went to, without its secrets; `None` where a mere stream was recorded.
        headers: Those of its opening handshake; each has a value only where that is no secret.
    """

    start: datetime
    url: str | None = None
    headers: tuple[tuple[str, str | None], ...] = ()


class _Event(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag_field="event", tag=str.lower):
    """What all events have.

    Attributes:
        time: Seconds since the start of the recording.
        connection: Which one it is of, from 1 on; 0 for the end of the stream of all of them.
    """

    time: float
    connection: int = 1


class Opened(_Event, frozen=True):
    """The opening handshake succeeded, with this subprotocol if with any."""

    protocol: str | None = None


class _Message(_Event, frozen=True):
    """What crossed the wire: exactly one of these is set.

    Attributes:
        text: A text message.
        binary: A binary message.
        ping: A ping with this payload.
        pong: A pong with this payload.
    """

    text: str | UnsetType = UNSET
    binary: bytes | UnsetType = UNSET
    ping: bytes | UnsetType = UNSET
    pong: bytes | UnsetType = UNSET

    @property
    def is_whole(self) -> bool:
        """Whether there is a payload."""
        return not (self.text is self.binary is self.ping is self.pong is UNSET)

    @property
    def message(self) -> Message | None:
        """The text or the binary message; `None` where it is neither."""
        if self.text is not UNSET:
            return self.text
        return None if self.binary is UNSET else self.binary


class Sent(_Message, frozen=True):
    """To the server."""


class Received(_Message, frozen=True):
    """From the server, or a value of a stream.

    Attributes:
        value: What a stream emitted that was neither `str` nor `bytes`, as JSON.
    """

    value: Any = UNSET

    @property
    def is_whole(self) -> bool:
        """Whether there is a payload, or a value."""
        return self.value is not UNSET or super().is_whole


class Closed(_Event, frozen=True):
    """A completed closing handshake; or our own close, which the server never answered (1006).

    Attributes:
        code: As `WebSocketChannel.close_code`: 1005 where the peer's close frame had none.
        reason: As `WebSocketChannel.close_reason`.
        by: Who began it.
    """

    code: int = 1005
    reason: str = ""
    by: Literal["peer", "us"] = "peer"


class Completed(_Event, frozen=True):
    """A stream completed."""


class Failed(_Event, frozen=True):
    """A connection or a stream ended with an error.

    Attributes:
        error: The name of its type.
        text: What it said, without secrets.
    """

    error: str = "Exception"
    text: str = ""


class Disposed(_Event, frozen=True):
    """Who had subscribed to a stream left it."""


Event: TypeAlias = Opened | Sent | Received | Closed | Completed | Failed | Disposed

encode: Final = msgspec.json.Encoder().encode
"""The JSON of a header or an event, without the line break behind it."""

_decode_version: Final = msgspec.json.Decoder(_AnyHeader).decode
_decode_header: Final = msgspec.json.Decoder(Header).decode
_decode_event: Final = msgspec.json.Decoder(Event).decode


class Recording:
    """A recording in a file: its header, and its events each time it is iterated over, one by one as they are read.

    Raises:
        RecordingError: The file cannot be read, or does not begin as a recording of this version does. While iterating:
            a line is none of a recording. What stands before it has been handed out by then.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import reactivex
    >>> from rxecho.recording import record
    >>> with TemporaryDirectory() as directory:
    ...     path = Path(directory) / "session.jsonl"
    ...     reactivex.of("a", b"b").pipe(record(path)).run()
    ...     [event.message for event in Recording(path) if isinstance(event, Received)]
    b'b'
    ['a', b'b']
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with self._open() as file:
            self.header: Header = self._read_header(file)

    def __iter__(self) -> Iterator[Event]:
        with self._open() as file:
            self._read_header(file)
            latest = 0.0
            number = 2
            while line := self._read_line(file, LONGEST_LINE, number):
                event = self._event(line, number)
                if event.time < latest - SLACK:
                    back = f"its time goes back to {event.time:g} s, from {latest:g} s"
                    raise self._error(number, f"{back}: these are several recordings in one file; separate them")
                latest = max(latest, event.time)
                yield event
                number += 1

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise self._unreadable(error) from error

    def _read_line(self, file: BinaryIO, longest: int, number: int) -> bytes:
        """The next line; empty at the end of the file, behind which a crash leaves zeros."""
        try:
            line = file.readline(longest + 1)
        except OSError as error:
            raise self._unreadable(error) from error
        if len(line) > longest:
            raise self._error(number, f"it is longer than {longest:,} bytes, which no line of a recording is")
        return line if line.endswith(b"\n") else line.rstrip(b"\0")

    def _read_header(self, file: BinaryIO) -> Header:
        line = self._read_line(file, LONGEST_HEADER, 1)
        try:
            version = _decode_version(line).version
            if version == VERSION:
                return _decode_header(line)
        except _UNDECODABLE as error:
            what = "is empty" if not line else f"does not begin as one: {error}"
            raise RecordingError(f"{self.path} is not a recording of rxecho, it {what}") from error
        raise RecordingError(
            f"{self.path} is a recording of version {version}, and this rxecho reads version {VERSION}: "
            "use the release that made it"
        )

    def _event(self, line: bytes, number: int) -> Event:
        try:
            event: Event = _decode_event(line)
        except _UNDECODABLE as error:
            if not line.endswith(b"\n"):
                raise self._error(number, "it was not written to its end; what stands before it is whole") from error
            if line.startswith(b'{"format"'):
                why = "a second recording begins here, in the same file; separate them"
            else:
                why = f"this is no event of a recording: {error}"
            raise self._error(number, why) from error
        if isinstance(event, _Message) and not event.is_whole:
            raise self._error(number, "this message has no payload")
        return event

    def _error(self, number: int, why: str) -> RecordingError:
        return RecordingError(f"{self.path}, line {number}: {why}")

    def _unreadable(self, error: OSError) -> RecordingError:
        return RecordingError(f"cannot read {self.path}: {error.strerror or error}")


# UnicodeDecodeError and what msgspec raises are both ValueErrors.
_UNDECODABLE: Final = (ValueError, RecursionError)

_HARMLESS: Final = frozenset(
    {"accept-language", "host", "origin", "sec-websocket-extensions", "sec-websocket-version", "user-agent"}
)


def harmless_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str | None], ...]:
    """The headers with the values of those alone that never hold a secret; subprotocols, for one, sometimes do.

    >>> harmless_headers([("Origin", "https://example.org"), ("Cookie", "session=secret")])
    (('Origin', 'https://example.org'), ('Cookie', None))
    """
    return tuple((name, value if name.lower() in _HARMLESS else None) for name, value in headers)


def without_secrets(text: str) -> str:
    """A URL, or a sentence with URLs in it, without user names, passwords, and the values in queries.

    >>> without_secrets("could not connect to wss://me:pw@example.org/feed?token=1a2b&depth=3: refused")
    'could not connect to wss://example.org/feed?token=***&depth=***: refused'
    """
    return _URL.sub(lambda url: _PARAMETER.sub(r"\1***", url[1] + url[2]), text)


_URL: Final = re.compile(r"""((?:ws|http)s?://)(?:[^/?#\s]*@)?(\S*?)(?=[,;:.)'"]*(?:\s|$))""")
_PARAMETER: Final = re.compile(r"([?&](?:[^=&#]*=)?)[^&#]*")
