"""HAR 1.2 files, as browsers save them: a WebSocket session out of one, and a recording into one.

Chromium's DevTools add `_webSocketMessages` to what the format has of its own, and show them again when such a file is
imported. What is read and written here was checked against that very importer and exporter (Chromium 156).
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from codecs import BOM_UTF8
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec

from rxecho import __version__
from rxecho.frames import Opcode
from rxecho.recording.session import (
    Closed,
    Event,
    Failed,
    Header,
    Opened,
    Received,
    Recording,
    RecordingError,
    Sent,
    encode,
    harmless_headers,
    without_secrets,
)
from rxecho.status import NO_STATUS_RECEIVED

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

__all__ = ["HarRecording", "from_har", "is_har", "to_har"]

_LARGEST: Final = 2**30
"""Bytes: a HAR is read at once, so a larger one is not."""

_MILLISECONDS: Final = 1e11
"""No time in seconds is later than that: the year 5138."""

_PROTOCOL: Final = "sec-websocket-protocol"

_SAVE_ONE: Final = "save one in Chromium's DevTools: Network panel, Export HAR"


class _Named(msgspec.Struct):
    """A header."""

    name: str
    value: str


class _Request(msgspec.Struct):
    url: str
    headers: list[_Named] = []


class _Response(msgspec.Struct):
    status: int = 0
    headers: list[_Named] = []


class _Message(msgspec.Struct, omit_defaults=True):
    """One of `_webSocketMessages`.

    Attributes:
        time: Seconds since 1970, or milliseconds where Playwright wrote it.
        opcode: As in RFC 6455; DevTools save 1 and 2, and show 8, 9 and 10 as well. -1 with an error.
        data: Text where the opcode is 1 or -1, else base64.
        error: The name of an error's type, where we wrote it.
    """

    type: Literal["send", "receive", "error"]
    time: float
    opcode: int
    data: str
    error: str = msgspec.field(default="", name="_error")


class _Entry(msgspec.Struct):
    """A request; one that became a WebSocket has messages, though that may be none.

    Attributes:
        started: When it began.
        time: Milliseconds until it ended.
    """

    request: _Request
    response: _Response
    started: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="startedDateTime")
    time: float = 0.0
    messages: list[_Message] | None = msgspec.field(default=None, name="_webSocketMessages")


class _Log(msgspec.Struct):
    entries: list[_Entry]


class _Har(msgspec.Struct):
    log: _Log


def is_har(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as a HAR does.

    Raises:
        RecordingError: It cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            begin = file.read(1024)
    except OSError as error:
        raise _unreadable(path, error) from error
    return re.match(rb'\s*{\s*"log"\s*:', begin.removeprefix(BOM_UTF8)) is not None


class HarRecording:
    """The WebSocket session in a HAR: its header and its events, as `Recording` has them.

    A connection that the page made again, to the same URL, is one more connection of the session. Those that never
    opened are passed over. DevTools save no close frame: a session then ends when its entry does, as if closed without
    a code (1005). Cookies, authorization and whatever else may be a secret stay behind, as in `record`.

    Args:
        path: The HAR.
        url: Part of the URL of the WebSocket that is meant; needed where the HAR has several.

    Raises:
        RecordingError: The file cannot be read, is no HAR, or has no such session, or several; the text lists them.
    """

    def __init__(self, path: str | os.PathLike[str], *, url: str | None = None) -> None:
        self.path = Path(path)
        entries = _chosen(self.path, _entries(self.path), url)
        first = min(entries, key=lambda entry: entry.started)
        self.header = Header(
            start=first.started.astimezone(UTC),
            url=without_secrets(first.request.url),
            headers=harmless_headers((header.name, header.value) for header in first.request.headers),
        )
        try:
            start = first.started.timestamp()
            events = [event for number, entry in enumerate(entries, 1) for event in _events(entry, number, start)]
        except ValueError as error:
            raise RecordingError(f"{self.path} has a damaged WebSocket message: {error}; {_SAVE_ONE}") from error
        self._events = sorted(events, key=lambda event: event.time)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)


def from_har(har_path: str | os.PathLike[str], path: str | os.PathLike[str], *, url: str | None = None) -> None:
    """Write a recording of the WebSocket session in a HAR: a browser's session, to be replayed here.

    `HarRecording` says what of it is taken over.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     page = Path(directory) / "page.har"
    ...     _ = page.write_text('''{"log": {"entries": [{
    ...         "startedDateTime": "2026-11-25T23:07:37.000Z", "time": 1000, "request": {"url": "ws://127.0.0.1:8765/"},
    ...         "response": {"status": 101}, "_webSocketMessages": [
    ...             {"type": "send", "time": 1795648057.5, "opcode": 1, "data": "Hello!"}]}]}}''')
    ...     from_har(page, Path(directory) / "session.jsonl")
    ...     print((Path(directory) / "session.jsonl").read_text())
    {"format":"rxecho recording",..."start":"2026-11-25T23:07:37Z","url":"ws://127.0.0.1:8765/"}
    {"event":"opened","time":0.0}
    {"event":"sent","time":0.5,"text":"Hello!"}
    {"event":"closed","time":1.0}
    <BLANKLINE>

    Args:
        har_path: What a browser has saved.
        path: The recording, a new file.
        url: Part of the URL of the WebSocket that is meant; needed where the HAR has several.

    Raises:
        RecordingError: As `HarRecording`; or the recording exists already, or cannot be written.
    """
    session = HarRecording(har_path, url=url)
    _write_new(path, b"".join(encode(line) + b"\n" for line in (session.header, *session)))


def to_har(path: str | os.PathLike[str], har_path: str | os.PathLike[str]) -> None:
    """Write a recording as a HAR, which Chromium's DevTools open with all its messages: Network panel, Import HAR.

    Each connection is an entry of its own. Pings, pongs and the close frame are messages there, too. Of a damaged
    recording the HAR has what stands before the damage, which is then raised.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from rxecho import EchoServer, WebSocketChannel
    >>> from rxecho.recording import record
    >>> with TemporaryDirectory() as directory:
    ...     session, page = Path(directory) / "session.jsonl", Path(directory) / "session.har"
    ...     with EchoServer() as server, record(session)(WebSocketChannel.connect(server.url)) as channel:
    ...         channel.sink.add("Hello!")
    ...     to_har(session, page)
    ...     "Hello!" in page.read_text()
    True

    Args:
        path: The recording of a channel.
        har_path: The HAR, a new file.

    Raises:
        RecordingError: The recording is damaged, or that of a mere stream; or the HAR exists already, or cannot be
            written.
    """
    recording = Recording(path)
    if recording.header.url is None:
        raise RecordingError(f"{path} is of a stream without a URL, which a HAR needs: record the channel itself")
    connections: dict[int, list[Event]] = {}
    try:
        for event in recording:
            if event.connection:  # else it is the end of the stream of all connections
                connections.setdefault(event.connection, []).append(event)
    finally:
        log = {
            "version": "1.2",
            "creator": {"name": "rxecho", "version": __version__},
            "pages": [],
            "entries": [_entry(recording.header, events) for events in connections.values()],
        }
        _write_new(har_path, msgspec.json.format(msgspec.json.encode({"log": log})))


def _entries(path: Path) -> list[_Entry]:
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise RecordingError(f"{path} has {size:,} bytes, and at most {_LARGEST:,} are read; save less of the page")
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        return msgspec.json.decode(content.removeprefix(BOM_UTF8), type=_Har).log.entries
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{path} is not a HAR: {error}; {_SAVE_ONE}") from error


def _chosen(path: Path, entries: list[_Entry], url: str | None) -> list[_Entry]:
    """The connections of the one session that is meant."""
    # 200 is the answer that opens a WebSocket over HTTP/2: RFC 8441, section 5.
    sessions = [entry for entry in entries if entry.messages is not None and entry.response.status in (101, 200)]
    if not sessions:
        if not any(entry.messages is not None or entry.request.url.startswith(("ws:", "wss:")) for entry in entries):
            raise RecordingError(f"{path} has no WebSocket among its {len(entries):,} requests; {_SAVE_ONE}")
        raise RecordingError(f"{path} has no WebSocket that was opened and saved with its messages; {_SAVE_ONE}")
    # Whole URLs, though they may hold secrets: without those they could not be told apart.
    urls = dict.fromkeys(entry.request.url for entry in sessions)
    meant = [each for each in urls if url is None or url in each]
    if url in meant:
        meant = [url]
    if len(meant) != 1:
        which = "more than one WebSocket" if url is None else f"{len(meant)} WebSockets with {url!r} in their URL"
        raise RecordingError(f"{path} has {which}; give a part of the URL that only one has: {', '.join(urls)}")
    return [entry for entry in sessions if entry.request.url == meant[0]]


def _events(entry: _Entry, number: int, start: float) -> Iterator[Event]:
    """What happened on one connection of a session that began `start` seconds after 1970."""
    time = round(entry.started.timestamp() - start, 6)
    end = round(time + entry.time / 1000, 6)
    protocol = next((each.value for each in entry.response.headers if each.name.lower() == _PROTOCOL), None)
    yield Opened(time, number, protocol)
    for message in entry.messages or ():
        seconds = message.time / 1000 if message.time > _MILLISECONDS else message.time
        time = max(time, round(seconds - start, 6))
        if message.type == "error":
            yield Failed(time, number, message.error or "ConnectionLost", message.data)
            return
        event = Sent if message.type == "send" else Received
        match message.opcode:
            case Opcode.TEXT:
                yield event(time, number, text=message.data)
            case Opcode.BINARY:
                yield event(time, number, binary=b64decode(message.data, validate=True))
            case Opcode.PING:
                yield event(time, number, ping=b64decode(message.data, validate=True))
            case Opcode.PONG:
                yield event(time, number, pong=b64decode(message.data, validate=True))
            case Opcode.CLOSE:
                payload = b64decode(message.data, validate=True)
                code = int.from_bytes(payload[:2]) if payload else NO_STATUS_RECEIVED.value
                yield Closed(time, number, code, payload[2:].decode(), "us" if message.type == "send" else "peer")
                return
    yield Closed(max(time, end), number)


def _entry(header: Header, events: list[Event]) -> dict[str, Any]:
    """One connection, with all that HAR 1.2 asks of an entry."""
    url = header.url or ""
    begin = 0.0 if events[0].connection == 1 else events[0].time
    end = events[-1].time
    opened = next((event for event in events if isinstance(event, Opened)), None)
    wait = ((opened or events[-1]).time - begin) * 1000
    duration = (end - begin) * 1000
    return {
        "startedDateTime": (header.start + timedelta(seconds=begin)).isoformat(),
        "time": duration,
        "_resourceType": "websocket",
        "request": {
            "method": "GET",
            "url": url,
            "httpVersion": "HTTP/1.1",
            "headers": [{"name": name, "value": value or ""} for name, value in header.headers],
            "queryString": [
                {"name": name, "value": value} for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True)
            ],
            "cookies": [],
            "headersSize": -1,
            "bodySize": 0,
        },
        "response": {
            "status": 101 if opened else 0,
            "statusText": "Switching Protocols" if opened else "",
            "httpVersion": "HTTP/1.1",
            "headers": [{"name": _PROTOCOL, "value": opened.protocol}] if opened and opened.protocol else [],
            "cookies": [],
            "content": {"size": 0, "mimeType": "x-unknown"},
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": -1,
        },
        "cache": {},
        "timings": {"send": 0, "wait": wait, "receive": duration - wait},
        "_webSocketMessages": list(_messages(header.start.timestamp(), events)),
    }


def _messages(start: float, events: Iterable[Event]) -> Iterator[_Message]:
    for event in events:
        time = start + event.time
        match event:
            case Sent() | Received():
                direction: Literal["send", "receive"] = "send" if isinstance(event, Sent) else "receive"
                if isinstance(event.text, str):
                    yield _Message(direction, time, Opcode.TEXT, event.text)
                for opcode, payload in (
                    (Opcode.BINARY, event.binary),
                    (Opcode.PING, event.ping),
                    (Opcode.PONG, event.pong),
                ):
                    if isinstance(payload, bytes):
                        yield _Message(direction, time, opcode, b64encode(payload).decode())
            case Closed(code=code, reason=reason, by=by):
                payload = b"" if code == NO_STATUS_RECEIVED else code.to_bytes(2) + reason.encode()
                yield _Message("send" if by == "us" else "receive", time, Opcode.CLOSE, b64encode(payload).decode())
            case Failed(error=name, text=text):
                yield _Message("error", time, -1, text, name)


def _write_new(path: str | os.PathLike[str], content: bytes) -> None:
    try:
        with Path(path).open("xb") as file:
            file.write(content)
    except FileExistsError as error:
        raise RecordingError(f"{path} exists already, and nothing is overwritten: choose another name") from error
    except OSError as error:
        raise RecordingError(f"cannot write {path}: {error.strerror or error}") from error


def _unreadable(path: str | os.PathLike[str], error: OSError) -> RecordingError:
    return RecordingError(f"cannot read {path}: {error.strerror or error}")
