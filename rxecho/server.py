"""The practice server: the peer at the far end of a message's way, for the demo, for lessons and for tests.

Each path shows one thing a server may do to its client: answer, push, answer late, hang up, close. They
are plain coroutines over `websockets`; `EchoServer` is the thread they run on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import logging
import math
import random
import sys
from collections import deque
from concurrent.futures import Future
from http import HTTPStatus
from socket import AF_INET, AF_INET6
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast
from urllib.parse import parse_qsl

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from rxecho.status import ABNORMAL_CLOSURE, GOING_AWAY, NORMAL_CLOSURE, is_valid

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
    from ssl import SSLContext
    from types import TracebackType

    from websockets.http11 import Request, Response
    from websockets.typing import Subprotocol

__all__ = ["EchoServer", "drop", "quietly"]

_MAX_MESSAGE = 64 * 2**20
_MAX_HELD = 16 * 2**20
"""Bytes of delayed messages after which `/slow` stops reading."""
_MAX_UNREAD = _MAX_MESSAGE + 16 * 2**20
"""Bytes a client may leave unread: the largest message and some more."""
_GRACE = 1.0
"""Seconds a client has to answer when the server ends, or drops it."""

_logger = logging.getLogger(__name__)
_logger.addHandler(logging.NullHandler())  # else a dropped connection would end up on standard error


class EchoServer:
    """A WebSocket server to practise on, in a thread of its own.

    >>> with EchoServer() as server:
    ...     server.url_for("/ticker?count=3&seed=1")
    'ws://127.0.0.1:.../ticker?count=3&seed=1'

    `/`, `/echo`
        echo text as text and binary as binary, each message in one frame, however it came.
    `/broadcast`
        sends each message to every client on this path, its sender too, in one order for all.
    `/ticker?interval=1&count=&seed=`
        pushes a JSON quote at once and then one every `interval` seconds, or with 0 as fast as the client
        reads. Closes with 1000 after `count` of them; without a count it goes on. The same `seed`, a whole
        number, gives the same quotes, byte for byte; without a seed they are others each time.
    `/slow?delay=0.25`
        echoes each message `delay` seconds after it came, unless the client has left by then.
    `/flaky?after=3`
        echoes `after` messages, then ends the TCP connection without a close frame.
    `/close?code=1000&reason=`
        closes at once.

    Any other path gets HTTP 404 and a list of these, an unknown or wrong parameter 400 and a sentence that
    names it. The first subprotocol that the client offers is chosen. Nothing is compressed and no keepalive
    pings are sent, so the frames are those that the path is about. Any `Origin` is welcome.

    A message may have 64 MiB (websockets allows it 4,096 fragments); a larger one is answered with 1009. A
    client that does not read its echoes is not read from either, and `/slow` reads no more while 16 MiB wait.
    Where that cannot help, because others broadcast to a client or it sends nothing but pings, it is dropped
    once it leaves more than 80 MiB unread; the others do not wait for it.

    What goes wrong with a client is logged as `rxecho.server`; nothing is printed.

    Args:
        host: The name or address to listen on; a name stands for its IPv4 address, `"::1"` is IPv6's loopback.
        port: The TCP port, 0 for a free one.
        ssl: The server's side of TLS, with its certificate loaded; `None` for plain `ws://`.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, ssl: SSLContext | None = None) -> None:
        self._host = host
        self._wanted_port = port
        self._ssl = ssl
        self._port: int | None = None
        self._thread: Thread | None = None
        self._ended: Event
        self._stop: Callable[[], object]

    @property
    def port(self) -> int:
        """The TCP port it listens on, or last listened on.

        Raises:
            RuntimeError: It was never started.
        """
        if self._port is None:
            raise RuntimeError(
                f"the server has no port yet: start it with `with {type(self).__name__}(...) as server:`"
            )
        return self._port

    @property
    def url(self) -> str:
        """Where it echoes, such as `ws://127.0.0.1:41233/`. Raises as `port` does."""
        scheme = "ws" if self._ssl is None else "wss"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self.port}/"

    def url_for(self, path: str) -> str:
        """The URL of a path with its query, such as `/ticker?interval=0.1`. Raises as `port` does."""
        return self.url + path.removeprefix("/")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'not started' if self._port is None else self.url}>"

    def __enter__(self) -> Self:
        """Start serving; clients can connect from here on.

        Raises:
            OSError: The port is in use or is none, or the host is unknown or not this machine's. Nothing is left
                behind.
            RuntimeError: It runs already.
        """
        if self._thread is not None:
            raise RuntimeError(f"this {type(self).__name__} is already running")
        if not self._host:
            raise OSError("cannot listen on no host: 0.0.0.0 stands for every address of this machine")
        started: Future[tuple[int, Callable[[], object]]] = Future()
        self._ended = Event()
        # A daemon, so that a server somebody forgot does not keep the interpreter alive.
        thread = Thread(target=self._run, args=(started,), name="rxecho-server", daemon=True)
        thread.start()
        try:
            self._port, self._stop = started.result()
        except (OverflowError, ValueError) as error:  # what Python says of a port or a name that cannot be one
            raise OSError(f"cannot listen on port {self._wanted_port} of {self._host}: {error}") from error
        finally:
            if started.exception() is not None:
                thread.join()
        self._thread = thread
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection with 1001 and stop; whoever has not answered within a second is dropped."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop()
            thread.join()

    def serve_forever(self) -> None:
        """Serve until Ctrl+C, then close the connections and return.

        A server that is already running is waited for, and its `with` block does the closing:

            with EchoServer(port=8765) as server:
                print(f"Listening on {server.url}")
                server.serve_forever()

        Raises:
            OSError: As on entering the context.
        """
        with contextlib.suppress(KeyboardInterrupt), self if self._thread is None else contextlib.nullcontext():
            # Not thread.join(): interrupted, Python before 3.13 takes a running thread for ended (gh-90882).
            # And not without a timeout: on Windows, nothing interrupts that.
            ended = self._ended
            while not ended.wait(1):
                pass

    # What a client gets.

    def _refuse(self, client: ServerConnection, request: Request) -> Response | None:
        try:
            _route(request.path)
        except LookupError as error:
            return client.respond(HTTPStatus.NOT_FOUND, f"{error}\n")
        except ValueError as error:
            return client.respond(HTTPStatus.BAD_REQUEST, f"{error}\n")
        return None

    def _choose(self, _: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return offered[0] if offered else None

    async def _handle(self, client: ServerConnection) -> None:
        await quietly(_route(_target(client))(client))

    # The thread.

    def _run(self, started: Future[tuple[int, Callable[[], object]]]) -> None:
        try:
            asyncio.run(self._serve(started))
        except Exception as error:  # noqa: BLE001  # raised where the server was started
            started.set_exception(error)
        finally:
            self._ended.set()

    async def _serve(self, started: Future[tuple[int, Callable[[], object]]]) -> None:
        connected: set[_Connection] = set()
        server = await serve(
            self._handle,
            self._host,
            self._wanted_port,
            # With several families, port 0 would become a different port for each.
            family=AF_INET6 if ":" in self._host else AF_INET,
            ssl=self._ssl,
            compression=None,
            select_subprotocol=self._choose,
            process_request=self._refuse,
            ping_interval=None,
            max_size=_MAX_MESSAGE,
            max_queue=1,  # whole messages, so every one of them may take _MAX_MESSAGE bytes
            logger=_logger,
            create_connection=cast("type[ServerConnection]", functools.partial(_Connection, connected)),
        )
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        port: int = next(iter(server.sockets)).getsockname()[1]
        started.set_result((port, functools.partial(loop.call_soon_threadsafe, stopped.set)))
        await stopped.wait()
        # Accept nobody more, and let in who has just been accepted: asyncio would lose the socket of a client whose
        # transport it comes to make after the server was closed.
        for listening in server.sockets:
            with contextlib.suppress(NotImplementedError):  # Windows' loop has no readers
                loop.remove_reader(listening)
        await asyncio.sleep(0)
        server.close(code=GOING_AWAY)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                await server.wait_closed()
        for connection in tuple(connected):
            connection.transport.abort()
            await connection.wait_closed()


class _Connection(ServerConnection):
    """A connection that the server can drop: at any stage, and when it fills the memory."""

    def __init__(self, connected: set[_Connection], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._connected = connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connected.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connected.discard(self)

    def send_data(self) -> None:
        # A burst of pings gets one write of pongs: asyncio warns about every write to a lost connection. What
        # is last may be the mark for the end of the stream.
        if len(self.protocol.writes) > 2:
            *frames, last = self.protocol.data_to_send()
            self.protocol.writes = [b"".join(frames), last]
        super().send_data()
        # Pongs and broadcasts are written without waiting for the client to read.
        if self.transport.get_write_buffer_size() > _MAX_UNREAD:
            self.transport.abort()


# The paths. Each coroutine ends by returning (the connection is then closed with 1000, if it still is
# open) or with the ConnectionClosed that its client caused.


async def _echo(client: ServerConnection) -> None:
    while True:
        await _echo_next(client)


async def _echo_next(client: ServerConnection) -> None:
    await client.send(await client.recv())
    await asyncio.sleep(0)  # others have their turn, and asyncio can say that the connection is lost


async def _broadcast(client: ServerConnection) -> None:
    async for message in client:
        broadcast(
            {
                other
                for other in client.server.connections - {client}
                if _path(other) == "/broadcast" and not other.transport.is_closing()
            },
            message,
        )
        # What a client had sent before it closed is for the others, too.
        if client.state is State.OPEN:
            await client.send(message)  # and wait, so that a sender goes no faster than it reads
        await asyncio.sleep(0)


async def _ticker(
    client: ServerConnection, interval: float = 1.0, count: int | None = None, seed: int | None = None
) -> None:
    async def push() -> None:
        pause = 0.0
        for quote in itertools.islice(_quotes(seed), count):
            await asyncio.sleep(pause)
            await client.send(quote)
            pause = interval
        await client.close(NORMAL_CLOSURE)

    await _read_beside(client, push())


async def _slow(client: ServerConnection, delay: float = 0.25) -> None:
    clock = asyncio.get_running_loop().time
    held: deque[tuple[float, str | bytes]] = deque()
    size = 0
    while True:
        if held and (size > _MAX_HELD or held[0][0] <= clock()):
            due, message = held.popleft()
            size -= sys.getsizeof(message)
            await asyncio.sleep(due - clock())
            await client.send(message)
            continue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(held[0][0] if held else None):
                message = await client.recv()
                held.append((clock() + delay, message))
                size += sys.getsizeof(message)


async def _flaky(client: ServerConnection, after: int = 3) -> None:
    client.transport.set_write_buffer_limits(1)  # each echo has left before the next, and before the end
    for _ in range(after):
        await _echo_next(client)
    await _read_beside(client, drop(client))


async def drop(client: ServerConnection) -> None:
    """End the stream without a close frame, behind all that was sent. For use beside reading.

    What the client has under way is still read, because closing a socket with unread data resets it, and a reset may
    overtake what was sent.
    """
    client.protocol.fail(ABNORMAL_CLOSURE)
    client.send_data()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            await client.wait_closed()
    client.transport.abort()
    await client.wait_closed()


async def _close(client: ServerConnection, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
    await _read_beside(client, client.close(code, reason))


async def _read_beside(client: ServerConnection, talking: Coroutine[Any, Any, None]) -> None:
    """Let go what the client says until the connection is closed; its answer to that comes behind the rest."""
    task = asyncio.create_task(quietly(talking))
    try:
        await _read(client)
    finally:
        task.cancel()


async def _read(client: ServerConnection) -> None:
    while True:
        await client.recv()


async def quietly(talking: Coroutine[Any, Any, None]) -> None:
    """Not a word about a client that leaves: that is its right at any time."""
    with contextlib.suppress(ConnectionClosed):
        await talking


def _quotes(seed: int | None) -> Iterator[str]:
    """A random walk of prices, in cents so that no platform rounds them differently."""
    chance = random.Random(seed).random  # noqa: S311  # not a secret
    symbols = ("DART", "ECHO", "RICH", "RXPY")
    cents = dict.fromkeys(symbols, 10_000)
    for sequence in itertools.count(1):
        symbol = symbols[int(chance() * len(symbols))]
        cents[symbol] = max(1, cents[symbol] + int(chance() * 201) - 100)
        yield json.dumps({"symbol": symbol, "price": cents[symbol] / 100, "sequence": sequence})


# From the request to its path.


class _Parameter(NamedTuple):
    """How a query parameter is read, raising ValueError unless it is what it must be."""

    read: Callable[[str], object]
    must: str


def _read_seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise ValueError
    return seconds


def _read_count(text: str) -> int:
    count = int(text)
    if not 0 <= count <= sys.maxsize:
        raise ValueError
    return count


def _read_code(text: str) -> int:
    code = int(text)
    if not is_valid(code):
        raise ValueError
    return code


def _read_reason(text: str) -> str:
    if len(text.encode()) > 123:
        raise ValueError
    return text


_SECONDS = _Parameter(_read_seconds, "be a number of seconds, 0 or more")
_COUNT = _Parameter(_read_count, "be a whole number, 0 or more")
_SEED = _Parameter(int, "be a whole number")
_CODE = _Parameter(_read_code, "be one that a close frame may carry: 1000-1003, 1007-1014 or 3000-4999")
_REASON = _Parameter(_read_reason, "have at most 123 bytes of UTF-8")

_PATHS: Mapping[str, tuple[Callable[..., Coroutine[Any, Any, None]], Mapping[str, _Parameter]]] = {
    "/": (_echo, {}),
    "/echo": (_echo, {}),
    "/broadcast": (_broadcast, {}),
    "/ticker": (_ticker, {"interval": _SECONDS, "count": _COUNT, "seed": _SEED}),
    "/slow": (_slow, {"delay": _SECONDS}),
    "/flaky": (_flaky, {"after": _COUNT}),
    "/close": (_close, {"code": _CODE, "reason": _REASON}),
}


def _route(target: str) -> Callable[[ServerConnection], Coroutine[Any, Any, None]]:
    """What to do with a client that asks for `target`.

    Raises:
        LookupError: There is no such path; the text says which there are.
        ValueError: Its query is wrong; the text says why.
    """
    path, _, query = target.partition("?")
    if path not in _PATHS:
        raise LookupError(f"There is nothing at this path. Try one of these:\n{_list_of_paths()}")
    coroutine, parameters = _PATHS[path]
    arguments: dict[str, object] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in parameters:
            raise ValueError(f"{path} has no parameter {name!a}: it takes {', '.join(parameters) or 'none'}.")
        if name in arguments:
            raise ValueError(f"The parameter {name} is given more than once.")
        try:
            arguments[name] = parameters[name].read(text)
        except ValueError:
            raise ValueError(f"The parameter {name} must {parameters[name].must}.") from None
    return functools.partial(coroutine, **arguments)


def _list_of_paths() -> str:
    queries = {path: "&".join(f"{name}=" for name in parameters) for path, (_, parameters) in _PATHS.items()}
    return "\n".join(f"{path}?{query}" if query else path for path, query in queries.items())


def _target(client: ServerConnection) -> str:
    return "" if client.request is None else client.request.path


def _path(client: ServerConnection) -> str:
    return _target(client).partition("?")[0]
