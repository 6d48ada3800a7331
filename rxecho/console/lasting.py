"""Channels one after the other as one that lasts: what `--reconnect` puts in a channel's place.

On a message's way it stands where the channel would: `reconnect` opens channels, `ReconnectingSink` feeds them,
`messages` listens to them.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, TypeAlias

from reactivex import Observable
from reactivex import operators as ops
from reactivex.subject import BehaviorSubject, Subject

from rxecho.connection import ChannelState
from rxecho.errors import ChannelClosed
from rxecho.operators import ReconnectingSink, ReconnectPhase, ReconnectState, messages, reconnect
from rxecho.status import ABNORMAL_CLOSURE, GOING_AWAY, SERVICE_RESTART, TRY_AGAIN_LATER

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactivex import abc

    from rxecho.channel import WebSocketChannel
    from rxecho.connection import Tap
    from rxecho.frames import Message

__all__ = ["Channel", "LastingChannel"]

WHEN: Final = ("lost", "failed", GOING_AWAY, SERVICE_RESTART, TRY_AGAIN_LATER)
"""The ends after which it connects again: a server that restarts says so as it closes."""


class LastingChannel:
    """Like a `WebSocketChannel`, but one that connects again when it was lost, until it is closed.

    Args:
        channels: Cold, as `open_channel` makes it. It is subscribed to when `stream` first is.

    Attributes:
        ready: Done when it is open for the first time.
        news: Says, in a sentence, when a connection has ended and another one will be tried, and when that is open.
    """

    def __init__(self, channels: Observable[WebSocketChannel]) -> None:
        self.sink = ReconnectingSink(overflow="block")
        self.ready: Future[None] = Future()
        self.news: Subject[str] = Subject()
        self._latest: WebSocketChannel | None = None
        self._taps: list[Tap] = []
        self._is_connecting = False
        self._states = BehaviorSubject(ChannelState.CONNECTING)
        self._messages: Subject[Message] = Subject()
        steps: Subject[ReconnectState] = Subject()
        steps.subscribe(self._on_step)
        self._source = channels.pipe(
            ops.do_action(self._on_channel),
            reconnect(when=WHEN, states=steps),
            self.sink.follow(),
            messages(),
        )
        self.stream: Observable[Message] = Observable(self._listen)
        self.states: Observable[ChannelState] = self._states.pipe(ops.distinct_until_changed())

    @property
    def state(self) -> ChannelState:
        """`CONNECTING` also when it does so again."""
        return self._states.value

    @property
    def close_code(self) -> int | None:
        """That of the latest channel; 1006 while there has been none."""
        return self._latest.close_code if self._latest else ABNORMAL_CLOSURE

    @property
    def close_reason(self) -> str | None:
        """That of the latest channel."""
        return self._latest.close_reason if self._latest else ""

    @property
    def arriving_amount(self) -> int:
        """That of the latest channel."""
        return self._latest.arriving_amount if self._latest else 0

    def ping(self, payload: bytes = b"") -> Future[float]:
        """As the channel that is open does; it raises `ChannelClosed` while none is."""
        return self._open_channel().ping(payload)

    def pong(self, payload: bytes = b"") -> None:
        """As the channel that is open does; it raises `ChannelClosed` while none is."""
        self._open_channel().pong(payload)

    def _tap(self, tap: Tap) -> Callable[[], None]:
        """Tell of each message, ping and pong of every channel; see `Connection.tap`."""
        self._taps.append(tap)
        ends = [self._latest._tap(tap)] if self._latest else []

        def end() -> None:
            self._taps.remove(tap)
            for end in ends:
                end()

        return end

    def _open_channel(self) -> WebSocketChannel:
        if self._latest is None or self.state is not ChannelState.OPEN:
            raise ChannelClosed("there is no connection at the moment; try again when there is")
        return self._latest

    def _listen(
        self, observer: abc.ObserverBase[Message], _scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        subscription = self._messages.subscribe(observer)
        if not self._is_connecting:
            self._is_connecting = True
            self._source.subscribe(self._messages.on_next, self._on_error, self._on_completed)
        return subscription

    def _on_channel(self, channel: WebSocketChannel) -> None:
        self._latest = channel
        for tap in self._taps:
            channel._tap(tap)

    def _on_step(self, step: ReconnectState) -> None:
        if step.phase is ReconnectPhase.OPEN:
            self._states.on_next(ChannelState.OPEN)
            if self.ready.done():
                self.news.on_next("connected again")
            else:
                self.ready.set_result(None)
        elif step.phase is ReconnectPhase.WAITING:
            self._states.on_next(ChannelState.CONNECTING)
            why = str(step.error).partition("; ")[0] if step.error else "the server closed the connection"
            self.news.on_next(f"{why}; trying again in {step.delay:.1f} s")

    def _on_error(self, error: Exception) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
        self._messages.on_error(error)
        self._end()

    def _on_completed(self) -> None:
        if not self.ready.done():
            self.ready.set_exception(ChannelClosed("it was closed before it was open"))
        self._messages.on_completed()
        self._end()

    def _end(self) -> None:
        self._states.on_next(ChannelState.CLOSED)
        self._states.on_completed()


Channel: TypeAlias = "WebSocketChannel | LastingChannel"
"""What a conversation is held over."""
