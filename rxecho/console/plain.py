"""Plain mode: the recipe over standard input and output, for pipes, scripts and dumb terminals.

Lines of standard input are an `Observable` that feeds `channel.sink`; `channel.stream` is observed by standard
output. Everything that is not a message is left to the caller to say.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from contextlib import suppress
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import reactivex
from reactivex import Observable
from reactivex.scheduler import NewThreadScheduler

from rxecho import status
from rxecho.connection import ChannelState
from rxecho.console.ending import demand_normal_closure
from rxecho.console.json_text import COLOURS, NotJson, Reader, Token, indented
from rxecho.console.lasting import LastingChannel
from rxecho.console.lines import Mistake
from rxecho.console.manner import TEXT, Manner
from rxecho.errors import ChannelError
from rxecho.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rxecho.console.lasting import Channel

__all__ = ["PipeError", "StandardStreamError", "run"]

LONGEST_LINE: Final = 64 * 2**20
"""Bytes of input that are read in search of a line's end."""

GATHERED: Final = 64 * 1024
"""Bytes of output that are held, at most, for one write."""

_PATIENCE = 2.0  # seconds for the closing handshake once Ctrl+C was pressed
_SLICE = 1.0  # seconds; on Windows, Ctrl+C does not interrupt a wait, it is noticed between two


class StandardStreamError(Exception):
    """Standard input or output cannot be read or written; the text is one sentence."""


class PipeError(Exception):
    """What `-p` put into the stream has failed; the text is one sentence."""


def run(
    channel: Channel,
    *,
    messages: Sequence[str | bytes] | Observable[str | bytes] = (),
    wait: float = 0.5,
    count: int | None = None,
    manner: Manner = TEXT,
    tell: Callable[[str], None] = print,
) -> int:
    r"""Send lines, print messages, close: `printf 'a\nb\n' | rxecho` prints a and b.

    Each line of standard input is a text message, without its line break and also when it is empty; or what else a
    line is in that manner, where JSON may have several. Each message is a line of standard output: text as it is
    (escaped where that is a terminal), binary as hex, JSON indented on several if so asked. A slow reader of the output
    slows the connection, and a slow connection the reading of the input.

    Args:
        channel: Connecting, or open. It is closed on the way out.
        messages: Sent instead of standard input, which is then not read.
        wait: Once the input has ended and been sent, seconds in which nothing arrives before the channel is
            closed with 1000. `inf` leaves the end to the peer.
        count: End as soon as so many messages were printed.
        manner: What lines are as messages, and what becomes of messages before they are printed. What comes out of its
            pipes as neither text nor binary is printed as Python writes it.
        tell: Told of pings and pongs, in a manner that shows them, and of what becomes of a channel that lasts.

    Returns:
        0 for a normal end, which a reader of the output that has had enough (`| head`) is too; 130 when
        interrupted by Ctrl+C.

    Raises:
        ChannelError: The connection could not be made or was lost, or the peer closed it with a code other than
            1000 and 1001.
        StandardStreamError: Standard input or output failed. What was read before that has been sent, and its
            answers printed.
        PipeError: A pipe failed.
    """
    try:
        return _converse(channel, messages, wait, count, manner, tell)
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt):  # once more: it has waited enough
            done = channel.sink.close(status.NORMAL_CLOSURE)
            # In short waits: a signal that comes just before one does not interrupt it.
            until = monotonic() + _PATIENCE
            while not done.done() and monotonic() < until:
                wait_for([done], timeout=_PATIENCE / 20)
        return 130


def _converse(
    channel: Channel,
    messages: Sequence[str | bytes] | Observable[str | bytes],
    wait: float,
    count: int | None,
    manner: Manner,
    tell: Callable[[str], None],
) -> int:
    try:
        if not isinstance(messages, Observable):
            source = messages or _messages(_lines(_input()), manner)
            messages = reactivex.from_iterable(source, scheduler=NewThreadScheduler())
        output = _Output(count, is_json=manner.is_json)
    except StandardStreamError:
        channel.sink.close()
        raise

    # Connect, listen, send ...
    if manner.pings:
        manner.pings.subscribe(tell)
    if isinstance(channel, LastingChannel):
        channel.news.subscribe(tell)
    operators = [pipe.operator for pipe in manner.pipes]
    channel.stream.pipe(*operators).subscribe(output.on_next, output.on_error, output.on_completed)
    _first_of(channel.ready)
    channel.ready.result()
    sent = channel.sink.add_stream(messages)
    _first_of(sent, output.ended)
    if sent.done() and isinstance(sent.exception(), ChannelError):
        _first_of(output.ended)  # its last messages, then why
    _until_quiet(channel, output, wait)

    # ... and close, which comes too late where the peer was first.
    too_late = channel.state is not ChannelState.OPEN
    _first_of(channel.sink.close(status.NORMAL_CLOSURE))
    if sent.done() and (error := sent.exception()) and not isinstance(error, ChannelError):
        raise error
    enough = output.ended.result()
    if too_late and not enough:
        demand_normal_closure(channel)
    return 0


class _Output:
    """Standard output as the observer of a channel's messages.

    What comes close together is gathered into one write: a thread writes as soon as it gets its turn, which is
    at once when the channel's own thread has nothing more to hand over. Behind a reader who is slower than that,
    it is the channel's thread that writes, and waits.
    """

    def __init__(self, count: int | None, *, is_json: bool) -> None:
        if sys.stdout is None:
            raise StandardStreamError("standard output is closed; redirect it, to /dev/null if it does not matter")
        self._descriptor = sys.stdout.fileno()
        self._terminal = sys.stdout.isatty()
        self._encoding = sys.stdout.encoding if self._terminal else "utf-8"
        self._is_json = is_json
        self._has_colours = self._terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.quiet_since = monotonic()
        """When the last message came; `inf` while it is dealt with."""
        self.ended: Future[bool] = Future()
        """Done when everything is printed: whether that is because it was enough, and not because it was all."""
        self._arrived = threading.Event()
        self._lock = threading.Lock()
        # Under the lock; so is the end.
        self._missing = inf if count is None else count
        self._unwritten: list[bytes] = []
        self._size = 0
        threading.Thread(target=self._write_what_arrives, name="rxecho standard output", daemon=True).start()

    def on_next(self, message: object) -> None:
        self.quiet_since = inf
        line = f"{self._text(message)}\n".encode(self._encoding, "backslashreplace")
        with self._lock:
            if not self.ended.done():
                self._unwritten.append(line)
                self._size += len(line)
                self._missing -= 1
                if not self._missing:
                    self._end(True)
                elif self._size >= GATHERED:
                    self._write()
                elif self._size == len(line):
                    self._arrived.set()
        self.quiet_since = monotonic()

    def _text(self, message: object) -> str:
        if self._is_json and isinstance(message, str):
            text = indented(message, self._drawn) if self._terminal else indented(message)
            if text is not None:
                return text
        text = message if isinstance(message, str) else message.hex() if isinstance(message, bytes) else repr(message)
        return printable(text) if self._terminal else text

    def _drawn(self, token: Token) -> str:
        text = printable(token.text, keep="\n")
        return f"\x1b[3{COLOURS[token.kind]}m{text}\x1b[39m" if token.kind and self._has_colours else text

    def on_error(self, error: Exception) -> None:
        if not isinstance(error, ChannelError):
            from rxecho.marbles.labels import label  # with all of Rich behind it, which nothing else here needs

            failure = PipeError(f"a pipe failed: {label(error)}")
            failure.__cause__ = error
            error = failure
        with self._lock:
            self._end(error)

    def on_completed(self) -> None:
        with self._lock:
            self._end(False)

    def _write_what_arrives(self) -> None:
        while not self.ended.done():
            self._arrived.wait()
            self._arrived.clear()
            with self._lock:
                self._write()

    # Below here: with the lock held.

    def _end(self, how: bool | Exception) -> None:
        self._write()
        if self.ended.done():
            return
        if isinstance(how, Exception):
            self.ended.set_exception(how)
        else:
            self.ended.set_result(how)
        self._arrived.set()

    def _write(self) -> None:
        # Past sys.stdout's buffer, which the interpreter would try to write once more on its way out.
        left = memoryview(b"".join(self._unwritten))
        self._unwritten.clear()
        self._size = 0
        try:
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:  # somebody who shares it does not want to wait; we have nothing else to do
                    select.select([], [self._descriptor], [])
        except BrokenPipeError:
            self._end(True)
        except OSError as error:
            problem = StandardStreamError(f"standard output cannot be written: {error.strerror}")
            problem.__cause__ = error
            self._end(problem)


def _input() -> int:
    if sys.stdin is None:
        raise StandardStreamError("standard input is closed; redirect it, from /dev/null to send nothing")
    return sys.stdin.fileno()


def _messages(lines: Iterable[str], manner: Manner) -> Iterator[str | bytes]:
    """What the lines are as messages."""
    if manner.is_json:
        yield from _json(lines)
        return
    for number, line in enumerate(lines, 1):
        try:
            yield manner.as_message(line)
        except Mistake as error:
            raise StandardStreamError(f"line {number} of standard input cannot be sent: {error}") from error


def _json(lines: Iterable[str]) -> Iterator[str]:
    """Lines put together until they are JSON, without those in between that are blank."""
    reader, gathered, size, first = Reader(), list[str](), 0, 0
    for number, line in enumerate(lines, 1):
        if not gathered:
            if not line.strip():
                continue
            first = number
        gathered.append(line)
        size += len(line) + 1
        try:
            reader.skim(line)
        except NotJson as error:
            where = f"line {number} of standard input, column {error.at + 1}"
            raise StandardStreamError(f"{where}: this is not JSON: {error}") from error
        if reader.is_whole:
            yield "\n".join(gathered)
            reader, gathered, size = Reader(), [], 0
        elif size > LONGEST_LINE:
            raise StandardStreamError(f"the JSON from line {first} on has more than {LONGEST_LINE:,} characters")
    if gathered:
        raise StandardStreamError(f"standard input ends within the JSON that begins at line {first}")


def _lines(descriptor: int) -> Iterator[str]:
    """The lines of a file without their line breaks, each as soon as it is there."""
    # Not through sys.stdin: the interpreter cannot shut down while a thread waits inside it.
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        number = 0
        while line := _read(file):
            number += 1
            if len(line) > LONGEST_LINE:
                raise StandardStreamError(f"line {number} of standard input has more than {LONGEST_LINE:,} bytes")
            try:
                text = line.removesuffix(b"\r\n" if line.endswith(b"\r\n") else b"\n").decode()
            except UnicodeDecodeError as error:
                raise StandardStreamError(
                    f"line {number} of standard input is not UTF-8, as a text message must be"
                ) from error
            yield text


def _read(file: BinaryIO) -> bytes:
    try:
        return file.readline(LONGEST_LINE + 1)
    except OSError as error:
        raise StandardStreamError(f"standard input cannot be read: {error.strerror}") from error


def _first_of(*futures: Future[Any]) -> None:
    while not wait_for(futures, timeout=_SLICE, return_when=FIRST_COMPLETED).done:
        pass


def _until_quiet(channel: Channel, output: _Output, wait: float) -> None:
    """Wait until everything has left and then, for `wait` seconds, nothing came, or until the output ended."""
    since = monotonic()
    was_arriving = 0
    while not output.ended.done():
        # A message that is on its way, out or in, is no silence, also when it has just become whole.
        arriving = channel.arriving_amount
        if channel.sink.buffered_amount or arriving or was_arriving:
            since = monotonic()
        was_arriving = arriving
        left = max(since, output.quiet_since) + wait - monotonic()
        if left <= 0:
            return
        wait_for([output.ended], timeout=min(left, _SLICE))
