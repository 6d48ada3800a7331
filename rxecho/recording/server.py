"""`ReplayServer`: the server's side of a recorded session, played to whoever connects."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from rxecho import status
from rxecho.recording.player import ending, read
from rxecho.recording.session import Closed, Completed, Disposed, Event, Failed, Opened, Received, RecordingError, Sent
from rxecho.server import EchoServer, drop, quietly

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence
    from ssl import SSLContext

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response
    from websockets.typing import Subprotocol

__all__ = ["ReplayServer"]

PATIENCE: Final = 5.0
"""Seconds to wait for a client to say what the recorded one had said by then."""


class ReplayServer(EchoServer):
    """Plays the server's side of a recorded session, to each client from the beginning. Used like `EchoServer`.

    A client gets what was received, at the recorded times after it connected. What the recorded client had to say
    first is waited for, up to 5 seconds; after that it is taken for one that only listens, until it says something.
    Then comes the recorded end: the close code and reason, or no more than the end of the TCP connection where the
    recorded one failed or is cut off. Where it was the client that closed, this one is waited for in the same way.

    Of a recording with several connections the first client gets the first, and so on; further clients get the last.
    The path does not matter, and the subprotocol is the recorded one if the client offers it. Values of a stream that
    are neither `str` nor `bytes` are sent as JSON text.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import reactivex
    >>> from rxecho import WebSocketChannel
    >>> from rxecho.recording import record
    >>> with TemporaryDirectory() as directory:
    ...     path = Path(directory) / "session.jsonl"
    ...     reactivex.of("a", "b").pipe(record(path)).run()
    ...     with ReplayServer(path) as server:
    ...         WebSocketChannel.connect(server.url).stream.run()
    'b'
    'b'

    Args:
        path: What `record` wrote, or a HAR.
        host: As for `EchoServer`.
        port: As for `EchoServer`.
        ssl: As for `EchoServer`.
        speed: How many times as fast; `math.inf` for at once.
        url: Of several WebSockets in a HAR, the one whose URL has this in it.
        whole: Play each client all connections, as if they were one: the ends of all but the last are passed over.

    Attributes:
        damage: What is wrong with a recording that was cut off, or is damaged: up to there it is played.

    Raises:
        ValueError: `speed` is not above 0.
        RecordingError: The recording cannot be read, or is none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        ssl: SSLContext | None = None,
        speed: float = 1.0,
        url: str | None = None,
        whole: bool = False,
    ) -> None:
        super().__init__(host, port, ssl=ssl)
        if not speed > 0:
            raise ValueError(f"speed is a number above 0, not {speed!r}")
        self._speed = speed
        self._recording = read(path, url=url)
        self._whole = whole
        self._clients = itertools.count()
        # When each connection began, by its number.
        self._begins: dict[int, float] = {}
        self._protocols: set[str | None] = set()
        self.damage: RecordingError | None = None
        event: Event | None = None
        try:
            for event in self._recording:
                if isinstance(event, Opened):
                    self._begins[event.connection] = event.time
                    self._protocols.add(event.protocol)
                elif event.connection:
                    self._begins.setdefault(event.connection, event.time)
            ending(path, event)
        except RecordingError as error:  # it ends there for the clients, too
            self.damage = error

    def _refuse(self, client: ServerConnection, request: Request) -> Response | None:  # noqa: ARG002
        return None

    def _choose(self, _: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return next((protocol for protocol in offered if protocol in self._protocols), None)

    async def _handle(self, client: ServerConnection) -> None:
        if self._whole:
            await quietly(_Play(client, self._all_events(), 0.0, self._speed).run())
            return
        numbers = list(self._begins) or [0]
        number = numbers[min(next(self._clients), len(numbers) - 1)]
        await quietly(_Play(client, self._events(number), self._begins.get(number, 0.0), self._speed).run())

    def _events(self, number: int) -> Iterator[Event]:
        with suppress(RecordingError):
            yield from (event for event in self._recording if event.connection == number)

    def _all_events(self) -> Iterator[Event]:
        latest: Event | None = None  # of the ends
        with suppress(RecordingError):
            for event in self._recording:
                if isinstance(event, Closed | Completed | Disposed | Failed):
                    latest = event
                else:
                    yield event
            if latest is not None:
                yield latest


class _Play:
    """What one client gets."""

    def __init__(self, client: ServerConnection, events: Iterator[Event], begin: float, speed: float) -> None:
        self._client = client
        self._events = events
        self._speed = speed
        self._clock = asyncio.get_running_loop().time
        self._begin = self._clock() - begin / speed
        self._heard = 0
        self._awaited: float = 0
        """Messages that the client has sent, and that the recorded one had sent by then."""
        self._gave_up_at = -1
        """How many it had sent when it sent no more in time."""
        self._news = asyncio.Event()

    async def run(self) -> None:
        playing = asyncio.create_task(quietly(self._play()))
        try:
            while True:
                await self._client.recv()
                self._heard += 1
                self._news.set()
        finally:
            playing.cancel()

    async def _play(self) -> None:
        for event in self._events:
            match event:
                case Opened():
                    continue
                case Sent():
                    self._awaited += event.message is not None
                    continue
                case Closed(by="us"):
                    self._awaited = math.inf
            await self._wait_until(event.time)
            match event:
                case Received():
                    await self._send(event)
                case Completed() | Disposed():
                    await self._client.close(status.NORMAL_CLOSURE)
                case Closed(code=code, reason=reason) if status.is_valid(code):
                    await self._client.close(code, reason)
                case Closed(code=status.NO_STATUS_RECEIVED):
                    await self._client.close(None)  # type: ignore[arg-type]  # as its protocol takes it
        await drop(self._client)

    async def _wait_until(self, time: float) -> None:
        await asyncio.sleep(self._begin + time / self._speed - self._clock())
        if self._heard >= self._awaited or self._heard == self._gave_up_at:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                while self._heard < self._awaited:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            self._gave_up_at = self._heard
        self._begin = self._clock() - time / self._speed  # what follows keeps its distance

    async def _send(self, event: Received) -> None:
        if event.message is not None:
            await self._client.send(event.message)
        elif event.value is not UNSET:
            await self._client.send(json.dumps(event.value, ensure_ascii=False))
