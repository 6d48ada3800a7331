"""The console: the recipe connect, listen, send, close, between a keyboard and a screen.

Here a message's way can be seen whole: key → text field → `Subject` → sink, and stream → `StreamBuilder` →
screen. What each of them does is said in its own module.
"""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import wait
from contextlib import ExitStack, suppress
from errno import EIO
from functools import partial
from typing import TYPE_CHECKING, Any

from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys
from reactivex import Observable, just, never
from reactivex import operators as ops
from reactivex.disposable import CompositeDisposable
from reactivex.scheduler import EventLoopScheduler
from reactivex.subject import Subject
from rich.console import Console
from rich.text import Text

from rxecho.builder import StreamBuilder
from rxecho.connection import ChannelState
from rxecho.console.commands import Close, Command, Ping, Pong, parse
from rxecho.console.drawable import Excerpt, JsonExcerpt, count
from rxecho.console.ending import demand_normal_closure, ending
from rxecho.console.history import History
from rxecho.console.keyboard import keyboard
from rxecho.console.lanes import beginning, brief, key_label
from rxecho.console.lasting import LastingChannel
from rxecho.console.manner import TEXT, Manner
from rxecho.console.panel import Latest, LatestJson, duration
from rxecho.console.pings import payload_text
from rxecho.console.screen import Screen
from rxecho.console.textfield import HISTORY, TextField, press
from rxecho.errors import ChannelClosed, ChannelError
from rxecho.marbles import Timeline
from rxecho.marbles.labels import label
from rxecho.printable import printable
from rxecho.status import ABNORMAL_CLOSURE, NORMAL_CLOSURE

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from reactivex import ConnectableObservable, abc

    from rxecho.console.lasting import Channel
    from rxecho.frames import Message

__all__ = ["run"]

PING_EVERY = 5.0
"""Seconds from one round trip to the next ping."""
PATIENCE = 1.0
"""Seconds that the last lines have to get past a peer that is slow to read, before it is closed anyway; and the last
messages through the pipes."""


def run(
    channel: Channel,
    *,
    url: str,
    verified: bool = True,
    pings: bool = True,
    manner: Manner = TEXT,
    history: Path | None = None,
    script: Observable[Message] | None = None,
    console: Console | None = None,
) -> int:
    """Talk over a channel in the terminal until either side closes it, and say in one line how it ended.

    Whatever happens, the terminal is given back as it was, and the channel is closed.

    Args:
        channel: Open, or still connecting.
        url: What the status line shows; a password in it is hidden.
        verified: `False` where TLS takes any certificate; the status line says so.
        pings: `False` to send no pings, and to show no round trip.
        manner: What lines are as messages, and what becomes of messages before they are shown; each of its pipes has a
            lane of its own.
        history: The file in which lines are kept for the next time; none are unless given.
        script: What is said beside the lines, as if it was one: a session that is replayed. When it ends, and the
            server has nothing more to say, so does the conversation.
        console: Where to draw; standard output unless given.

    Returns:
        The exit status: 0, or 128 and its number after a signal; a terminal that has gone away is a `SIGHUP`.

    Raises:
        ChannelError: The channel could not be opened, or failed, or the peer closed it with a code that means
            something went wrong.
        OSError: The terminal cannot be used.
    """
    console = console or Console()
    conversation = _Conversation(channel, manner, history, script)
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
        done = channel.sink.close(NORMAL_CLOSURE)
        if channel.state is ChannelState.CLOSED:  # and about to tell of it, maybe to a recording
            wait([done], timeout=PATIENCE)
    console.print(Text(printable(how)))
    return conversation.signal and 128 + conversation.signal


class _Conversation:
    """From connecting to the end. The channel calls it on its own thread, all the rest is on the loop's."""

    def __init__(
        self, channel: Channel, manner: Manner, history: Path | None, script: Observable[Message] | None
    ) -> None:
        self.signal = 0
        """The number of the signal that ended it, if one did."""
        self._channel = channel
        self._manner = manner
        self._history_path = history
        self._script = script
        self._is_drained = False
        self._last_act: Callable[[], None] | None = None
        self._timeline = Timeline()
        self._is_leaving = False

    async def hold(self, console: Console, url: str, verified: bool, pings: bool) -> str:
        """Return how it ended, in one line, or raise what ended it."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._on_fault)
        self._over: asyncio.Future[str] = self._loop.create_future()
        excerpt = JsonExcerpt.of if self._manner.is_json else Excerpt.of
        self._screen = Screen(console, self._timeline, url=url, verified=verified, excerpt=excerpt)
        self._history = History(self._history_path, self._screen.transcript.note)
        self._keys: Subject[KeyPress] = Subject()
        self._keyboard = keyboard(output=console.file)
        self._obey_signals()
        with ExitStack() as self._terminal, self._send(self._keys), self._listen():
            self._take_terminal()
            how = await self._until_over(pings)
        self._history.shorten()
        return how

    def _take_terminal(self) -> None:
        self._terminal.enter_context(self._keyboard.subscribe(self._keys))
        self._terminal.enter_context(self._screen)

    def _send(self, keys: Observable[KeyPress]) -> abc.DisposableBase:
        """Key → text field → `Subject` of what lines say → sink."""
        fields: Observable[TextField] = keys.pipe(
            ops.filter(self._is_listened_to),
            self._timeline.trace("keys", keep=key_label),
            ops.scan(
                press,
                TextField(
                    history=self._history.load()[-HISTORY:],
                    read=partial(parse, as_message=self._manner.as_message),
                ),
            ),
            ops.share(),
        )
        said: Subject[Any] = Subject()
        script = self._script or never()
        sent: Observable[Any] = said.pipe(ops.filter(_is_message), self._timeline.trace("sink", keep=beginning))
        # The sink makes whoever is faster than the peer wait, which must not be this thread.
        writer = EventLoopScheduler(exit_if_empty=True)
        return CompositeDisposable(
            sent.subscribe(self._screen.transcript.note_sent),
            said.pipe(ops.observe_on(writer)).subscribe(self._carry_out),
            said.pipe(ops.filter(_is_close)).subscribe(self._leave),
            script.subscribe(
                partial(self._soon, said.on_next), self._on_error, partial(self._soon, self._on_script_end, said)
            ),
            fields.subscribe(self._show_field),
            # Before the end is said, so that it takes another key to leave at once.
            fields.pipe(ops.filter(_is_done)).subscribe(self._leave_at_once),
            fields.pipe(ops.filter(_sends)).subscribe(self._remember),
            fields.pipe(
                ops.take_while(_goes_on),
                ops.filter(_sends),
                ops.map(_submitted),
                ops.concat(just(Close())),
                ops.take_while(_stays, inclusive=True),
            ).subscribe(said),
            keys.pipe(ops.filter(_toggles_lanes)).subscribe(lambda _: self._toggle_lanes()),
            keys.pipe(ops.filter(_suspends)).subscribe(lambda _: self._soon(self._suspend)),
        )

    def _listen(self) -> abc.DisposableBase:
        """Stream → pipes → `StreamBuilder`, and → transcript."""
        lanes, transcript = self._timeline, self._screen.transcript
        steps: list[Any] = [lanes.trace("stream", keep=beginning)]
        for pipe in self._manner.pipes:
            steps += [pipe.operator, lanes.trace(pipe.text, keep=brief)]
        if self._manner.pipes:
            steps.append(ops.map(_listened_to))
        # What came before is for the first subscriber; here it is for both. The second has it drawn.
        messages: ConnectableObservable[str | bytes] = self._channel.stream.pipe(*[*steps, ops.publish()])
        latest = StreamBuilder(messages, LatestJson if self._manner.is_json else Latest)
        self._screen.panel.latest = latest
        return CompositeDisposable(
            latest,
            self._news().subscribe(transcript.note),
            (self._manner.pings or never()).subscribe(transcript.note),
            messages.subscribe(transcript.note_received, self._on_drained, self._on_drained),
            messages.connect(),
            self._channel.states.subscribe(self._show_state, on_completed=self._hear_the_end),
        )

    def _news(self) -> Observable[str]:
        return self._channel.news if isinstance(self._channel, LastingChannel) else never()

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
        with suppress(ChannelError):  # it never opened
            await asyncio.wrap_future(self._channel.ready)
            while True:
                with suppress(ChannelError):  # there is no connection, maybe for a while
                    self._screen.panel.round_trip = await asyncio.wrap_future(self._channel.ping())
                    self._screen.changed()
                await asyncio.sleep(PING_EVERY)

    def _carry_out(self, said: str | bytes | Command) -> None:
        """On the writer's thread, in the order of the lines."""
        with suppress(ChannelClosed):  # the end says why
            match said:
                case Ping(payload):
                    self._channel.ping(payload).add_done_callback(partial(self._note_round_trip, payload))
                case Pong(payload):
                    self._channel.pong(payload)
                case Close(code, reason):
                    self._channel.sink.close(code, reason)
                case message:
                    self._channel.sink.on_next(message)

    def _note_round_trip(self, payload: bytes, answered: Future[float]) -> None:
        if not answered.exception():
            self._screen.transcript.note(f"round trip {duration(answered.result())}{payload_text(payload)}")

    def _remember(self, field: TextField) -> None:
        self._history.add(field.history[-1])

    def _show_field(self, field: TextField) -> None:
        if field.mistake:
            self._screen.transcript.note(f"not sent: {field.mistake}")
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

    def _on_script_end(self, said: Subject[Any]) -> None:
        """The server's last word may still be on its way."""
        self._loop.call_later(PATIENCE, said.on_next, Close())

    def _leave(self, close: Close) -> None:
        """The user wants no more; the channel closes when the last line is on its way."""
        self._is_leaving = self._channel.state <= ChannelState.OPEN  # or the peer was first
        if self._channel.state is ChannelState.CONNECTING:
            if self._channel.ready.done():
                kept = self._channel.sink.buffered_amount
                unsent = f", with {count(kept, 'byte')} unsent" if kept else ""
                self._end(f"Closed while there was no connection{unsent}")
            else:
                self._end(f"Closed before it was open{_with_unsent(self._screen.transcript.sent)}")
        self._show_state(ChannelState.CLOSING)
        self._loop.call_later(PATIENCE, self._channel.sink.close, close.code, close.reason)

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

    def _soon(self, act: Callable[..., object], *args: Any) -> None:
        """From the channel's thread to the loop's, unless that has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(act, *args)


def _with_unsent(number: int, *, at_least: bool = False) -> str:
    # Of what the sink has accepted, some may be in no better case, and nobody can tell how much.
    return f", with {'at least ' * at_least}{count(number, 'message')} unsent" if number else ""


def _sends(field: TextField) -> bool:
    return field.submitted != ""


def _submitted(field: TextField) -> Any:
    return field.submitted


def _is_message(said: object) -> bool:
    return isinstance(said, str | bytes)


def _is_close(said: object) -> bool:
    return isinstance(said, Close)


def _stays(said: object) -> bool:
    return not isinstance(said, Close)


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
