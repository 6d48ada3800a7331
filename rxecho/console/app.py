"""The console: the recipe connect, listen, send, close, between a keyboard and a screen.

Here a message's way can be seen whole: key → text field → `Subject` → sink, and stream → `StreamBuilder` →
screen. What each of them does is said in its own module.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import ExitStack, suppress
from errno import EIO
from functools import partial
from typing import TYPE_CHECKING, Any

from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys
from reactivex import Observable
from reactivex import operators as ops
from reactivex.disposable import CompositeDisposable
from reactivex.scheduler import EventLoopScheduler
from reactivex.subject import Subject
from rich.console import Console
from rich.text import Text

from rxecho.builder import StreamBuilder
from rxecho.connection import ChannelState
from rxecho.console.drawable import count
from rxecho.console.ending import demand_normal_closure, ending
from rxecho.console.keyboard import keyboard
from rxecho.console.lanes import beginning, brief, key_label
from rxecho.console.panel import Latest
from rxecho.console.screen import Screen
from rxecho.console.textfield import TextField, press
from rxecho.errors import ChannelClosed, ChannelError
from rxecho.marbles import Timeline
from rxecho.marbles.labels import label
from rxecho.printable import printable
from rxecho.status import ABNORMAL_CLOSURE, NORMAL_CLOSURE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reactivex import ConnectableObservable, abc

    from rxecho.channel import WebSocketChannel
    from rxecho.expression import Pipe

__all__ = ["run"]

PING_EVERY = 5.0
"""Seconds from one round trip to the next ping."""
PATIENCE = 1.0
"""Seconds that the last lines have to get past a peer that is slow to read, before it is closed anyway; and the last
messages through the pipes."""


def run(
    channel: WebSocketChannel,
    *,
    url: str,
    verified: bool = True,
    pings: bool = True,
    pipes: Sequence[Pipe] = (),
    console: Console | None = None,
) -> int:
    """Talk over a channel in the terminal until either side closes it, and say in one line how it ended.

    Whatever happens, the terminal is given back as it was, and the channel is closed.

    Args:
        channel: Open, or still connecting.
        url: What the status line shows; a password in it is hidden.
        verified: `False` where TLS takes any certificate; the status line says so.
        pings: `False` to send no pings, and to show no round trip.
        pipes: Operators that the messages go through before they are shown, each with a lane of its own.
        console: Where to draw; standard output unless given.

    Returns:
        The exit status: 0, or 128 and its number after a signal; a terminal that has gone away is a `SIGHUP`.

    Raises:
        ChannelError: The channel could not be opened, or failed, or the peer closed it with a code that means
            something went wrong.
        OSError: The terminal cannot be used.
    """
    console = console or Console()
    conversation = _Conversation(channel, pipes)
    try:
        how = asyncio.run(conversation.hold(console, url, verified, pings))
    except ChannelError:
        raise
    except OSError as error:
        if error.errno != EIO:
            raise
        # The terminal has hung up. What is still buffered for it shall not fail when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), console.file.fileno())
        return 128 + (conversation.signal or _SIGHUP)
    finally:
        channel.sink.close(NORMAL_CLOSURE)
    console.print(Text(printable(how)))
    return conversation.signal and 128 + conversation.signal


class _Conversation:
    """From connecting to the end. The channel calls it on its own thread, all the rest is on the loop's."""

    def __init__(self, channel: WebSocketChannel, pipes: Sequence[Pipe]) -> None:
        self.signal = 0
        """The number of the signal that ended it, if one did."""
        self._channel = channel
        self._pipes = pipes
        self._is_drained = False
        self._last_act: Callable[[], None] | None = None
        self._timeline = Timeline()
        self._is_leaving = False

    async def hold(self, console: Console, url: str, verified: bool, pings: bool) -> str:
        """Return how it ended, in one line, or raise what ended it."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._on_fault)
        self._over: asyncio.Future[str] = self._loop.create_future()
        self._screen = Screen(console, self._timeline, url=url, verified=verified)
        self._keys: Subject[KeyPress] = Subject()
        self._keyboard = keyboard(output=console.file)
        self._obey_signals()
        with ExitStack() as self._terminal, self._send(self._keys), self._listen():
            self._take_terminal()
            return await self._until_over(pings)

    def _take_terminal(self) -> None:
        self._terminal.enter_context(self._keyboard.subscribe(self._keys))
        self._terminal.enter_context(self._screen)

    def _send(self, keys: Observable[KeyPress]) -> abc.DisposableBase:
        """Key → text field → `Subject` of lines → sink."""
        fields: Observable[TextField] = keys.pipe(
            ops.filter(self._is_listened_to),
            self._timeline.trace("keys", keep=key_label),
            ops.scan(press, TextField()),
            ops.share(),
        )
        lines: Subject[str] = Subject()
        # The sink makes whoever is faster than the peer wait, which must not be this thread.
        writer = EventLoopScheduler(exit_if_empty=True)
        return CompositeDisposable(
            lines.subscribe(self._screen.transcript.note_sent, on_completed=self._leave),
            lines.pipe(self._timeline.trace("sink", keep=beginning), ops.observe_on(writer)).subscribe(
                self._channel.sink
            ),  # its end closes with 1000
            fields.subscribe(self._show_field),
            fields.pipe(ops.take_while(_goes_on), ops.filter(_sends), ops.map(_submitted)).subscribe(lines),
            fields.pipe(ops.filter(_is_done), ops.skip(1)).subscribe(self._leave_at_once),
            keys.pipe(ops.filter(_toggles_lanes)).subscribe(lambda _: self._toggle_lanes()),
            keys.pipe(ops.filter(_suspends)).subscribe(lambda _: self._soon(self._suspend)),
        )

    def _listen(self) -> abc.DisposableBase:
        """Stream → pipes → `StreamBuilder`, and → transcript."""
        lanes, transcript = self._timeline, self._screen.transcript
        steps: list[Any] = [lanes.trace("stream", keep=beginning)]
        for pipe in self._pipes:
            steps += [pipe.operator, lanes.trace(pipe.text, keep=brief)]
        if self._pipes:
            steps.append(ops.map(_listened_to))
        # What came before is for the first subscriber; here it is for both. The second has it drawn.
        messages: ConnectableObservable[str | bytes] = self._channel.stream.pipe(*[*steps, ops.publish()])
        self._screen.panel.latest = latest = StreamBuilder(messages, Latest)
        return CompositeDisposable(
            latest,
            messages.subscribe(transcript.note_received, self._on_drained, self._on_drained),
            messages.connect(),
            self._channel.states.subscribe(self._show_state, on_completed=self._hear_the_end),
        )

    async def _until_over(self, pings: bool) -> str:
        animation = asyncio.create_task(self._screen.animate())
        round_trips = asyncio.create_task(self._measure_round_trips()) if pings else None
        try:
            ends: list[asyncio.Future[Any]] = [self._over, animation]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if animation.done():
                await animation
            self._screen.draw()  # what came before the end
            return await self._over
        finally:
            animation.cancel()
            if round_trips:
                round_trips.cancel()

    async def _measure_round_trips(self) -> None:
        with suppress(ChannelError):  # it never opened, or has closed
            await asyncio.wrap_future(self._channel.ready)
            while True:
                self._screen.panel.round_trip = await asyncio.wrap_future(self._channel.ping())
                self._screen.changed()
                await asyncio.sleep(PING_EVERY)

    def _show_field(self, field: TextField) -> None:
        self._screen.panel.field = field
        self._screen.changed()

    def _toggle_lanes(self) -> None:
        self._screen.shows_lanes = not self._screen.shows_lanes
        self._screen.changed()

    def _hear_the_end(self) -> None:
        """Not from the piped stream, which may end before the channel does, or later."""
        self._channel.stream.subscribe(on_error=self._on_error, on_completed=self._on_completed)

    def _show_state(self, state: ChannelState) -> None:
        self._screen.panel.state = state
        self._screen.changed()

    def _is_listened_to(self, key: KeyPress) -> bool:
        """Once the channel is closing nothing can be sent, and so nothing is taken off the field any more."""
        is_open = self._screen.panel.state <= ChannelState.OPEN
        return (is_open or key.key in (Keys.ControlC, Keys.ControlD)) and not _toggles_lanes(key)

    def _leave(self) -> None:
        """The user wants no more; the channel closes when the last line is on its way."""
        self._is_leaving = self._channel.state <= ChannelState.OPEN  # or the peer was first
        if self._channel.state is ChannelState.CONNECTING:
            self._end(f"Closed before it was open{_with_unsent(self._screen.transcript.sent)}")
        self._show_state(ChannelState.CLOSING)
        self._loop.call_later(PATIENCE, self._channel.sink.close, NORMAL_CLOSURE)

    def _leave_at_once(self, _: TextField) -> None:
        if self._is_leaving:  # or the peer was first, has said how it ends, and is about to be left
            self._end("Closed without waiting for an answer")

    def _on_completed(self) -> None:
        unsent = _with_unsent(self._channel.sink.dropped, at_least=True)
        if self._is_leaving:
            answered = self._channel.close_code != ABNORMAL_CLOSURE
            how = ending(self._channel) if answered else "the peer did not answer"
            self._soon(self._when_drained, self._end, f"Closed: {how}{unsent}")
            return
        try:
            demand_normal_closure(self._channel)
        except ChannelClosed as error:
            self._on_error(error)
        else:
            self._soon(self._when_drained, self._end, f"Closed by the server: {ending(self._channel)}{unsent}")

    def _on_error(self, error: Exception) -> None:
        self._soon(self._when_drained, self._fail, error)

    def _on_drained(self, _: object = None) -> None:
        self._soon(self._set_drained)

    def _set_drained(self) -> None:
        self._is_drained = True
        if self._last_act:
            self._last_act()

    def _when_drained(self, act: Callable[[Any], None], how: object) -> None:
        """The channel has ended; what is still in the pipes has a while to come out."""
        if self._is_drained:
            act(how)
        else:
            self._last_act = partial(act, how)
            self._loop.call_later(PATIENCE, self._last_act)

    def _on_fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Something on the loop raised, which is our own mistake: end with it, rather than print it over the panel."""
        self._fail(context.get("exception") or RuntimeError(context["message"]))

    def _suspend(self) -> None:
        """Stop as every job of a shell does at Ctrl+Z, which in raw mode is a key, and go on when it says `fg`."""
        stop = getattr(signal, "SIGTSTP", None)
        if stop is None or signal.getsignal(stop) is signal.SIG_IGN or self._over.done():
            return
        self._terminal.close()
        self._loop.remove_signal_handler(stop)
        os.kill(0, stop)  # with whoever runs us, such as uv, for which the shell waits
        self._loop.add_signal_handler(stop, self._suspend)
        self._take_terminal()

    def _on_signal(self, number: signal.Signals) -> None:
        self.signal = number
        self._end(f"Ended by {number.name}")

    def _obey_signals(self) -> None:
        """As far as this system has them and whoever started us does not have them ignored.

        Where there is no SIGWINCH, a resize shows in the next drawing.
        """
        for name, obey in {
            "SIGINT": lambda: self._keys.on_next(KeyPress(Keys.ControlC)),
            "SIGTERM": lambda: self._on_signal(signal.SIGTERM),
            "SIGHUP": lambda: self._on_signal(signal.SIGHUP),
            "SIGTSTP": self._suspend,
            "SIGWINCH": self._screen.changed,
        }.items():
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                with suppress(NotImplementedError):
                    self._loop.add_signal_handler(number, obey)

    def _end(self, how: str) -> None:
        if not self._over.done():
            self._over.set_result(how)

    def _fail(self, error: BaseException) -> None:
        if not self._over.done():
            self._over.set_exception(error)

    def _soon(self, act: Callable[..., None], *args: Any) -> None:
        """From the channel's thread to the loop's, unless that has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(act, *args)


def _with_unsent(number: int, *, at_least: bool = False) -> str:
    # Of what the sink has accepted, some may be in no better case, and nobody can tell how much.
    return f", with {'at least ' * at_least}{count(number, 'message')} unsent" if number else ""


def _sends(field: TextField) -> bool:
    return bool(field.submitted)


def _submitted(field: TextField) -> str:
    return field.submitted


def _listened_to(value: object) -> str | bytes:
    """What the transcript shows of what came out of the pipes; an observable among it is listened to."""
    if isinstance(value, Observable):
        value.pipe(ops.map(_listened_to)).subscribe(on_error=lambda _: None)
    return value if isinstance(value, str | bytes) else label(value)


def _toggles_lanes(key: KeyPress) -> bool:
    return key.key == Keys.ControlT


def _suspends(key: KeyPress) -> bool:
    return key.key == Keys.ControlZ


def _is_done(field: TextField) -> bool:
    return field.done


def _goes_on(field: TextField) -> bool:
    return not field.done


_SIGHUP = 1  # not every system has it by name
