"""The other end of a `numbered_peer`: a channel that says numbered messages, and checks what comes and how it ends."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from math import inf
from operator import gt
from time import monotonic
from types import NoneType
from typing import Final

from numbered import Ledger, Message, Mismatch, numbered
from numbered_peer import CLOSE_CODE, PEER, Ending, NumberedPeer, Plan

from rxecho import ChannelClosed, ChannelError, ChannelState, ConnectError, ConnectionLost, WebSocketChannel

IN_FLIGHT: Final = 256
"""Messages that are on their way at a time where the peer sends back what it hears."""

ENDS: Final[dict[str, tuple[type[ChannelError | None], int]]] = {
    Ending.BY_CLIENT: (NoneType, 1000),
    Ending.BY_PEER: (NoneType, CLOSE_CODE),
    Ending.CLOSE_AND_LEAVE: (NoneType, CLOSE_CODE),
    Ending.FIN: (ConnectionLost, 1006),
    Ending.HALF_FRAME: (ConnectionLost, 1006),
    Ending.RST: (ConnectionLost, 1006),
    Ending.HALF_ANSWER: (ConnectError, 1006),
}
"""How a channel sees each: the error of the stream, if any, and the close code."""


class NumberedClient:
    """One connection.

    Args:
        peer: Where to connect.
        plan: What the peer is to do.
        tls: Connect over TLS, with this.
        react: Called on the channel's thread after each message.
    """

    def __init__(
        self, peer: NumberedPeer, plan: Plan, *, tls: ssl.SSLContext | None, react: Callable[[], object] = lambda: None
    ) -> None:
        self.plan = plan
        self.reported = peer.expect(plan)
        self._react = react
        self._said = [0] * plan.speakers
        self._heard = Ledger(plan.name, [0 if plan.is_echo else PEER])
        self._mismatch: Mismatch | None = None
        self._end: Future[Exception | None] = Future()
        self._closed_at: float | None = None
        self.channel = channel = WebSocketChannel.connect(
            peer.url(plan, is_secure=tls is not None),
            ssl=tls,
            compression="deflate" if plan.is_compressed else None,
            ping_interval=0.05,
            close_timeout=30.0,
        )
        if plan.is_echo:
            self.say(0, IN_FLIGHT)
        channel.stream.subscribe(self._hear, self._end.set_result, lambda: self._end.set_result(None))

    def say(self, speaker: int, count: float = inf) -> None:
        """Say the next messages of a speaker, as long as the channel takes them."""
        with suppress(ChannelClosed):
            while count > 0:
                self.channel.sink.add(numbered(self.plan.name, speaker, self._said[speaker]))
                self._said[speaker] += 1
                count -= 1

    def close(self) -> None:
        """Begin to close the channel, unless the peer has."""
        if self.channel.state <= ChannelState.OPEN:
            self._closed_at = monotonic()
            self.channel.sink.close(1000)

    @property
    def heard(self) -> int:
        """Messages that came so far, in order and whole."""
        return self._heard.counts[0]

    def faults(self) -> Iterator[str]:
        """What was not as it has to be, once it is over and nobody speaks any more."""
        error, report = self._end.result(), self.reported.result()
        if self._mismatch or report.violation:
            yield f"{self._mismatch or report.violation}"
            return
        is_crossing = self._closed_at is not None and self.plan.ending is not Ending.BY_CLIENT
        ended = type(error), self.channel.close_code
        is_as_planned = report.ending == self.plan.ending and ended == ENDS[self.plan.ending]
        if not (is_as_planned or (is_crossing and error is None)):
            after = f", {monotonic() - self._closed_at:.1f} s after our close" if self._closed_at else ""
            yield f"it ended with {error!r} and {self.channel.close_code} after {report.ending!r}{after}"
        if self.heard > report.said or any(map(gt, report.heard, self._said)):
            yield "more came than was said"
        if report.heard_close and report.heard != self._said:
            yield f"{self._said} messages were added before the close, and {report.heard} came"
        is_whole = report.ending not in (Ending.RST, Ending.HALF_ANSWER) and self._closed_at is None
        if is_whole and self.heard != report.said:
            yield f"the peer said {report.said} messages before it ended, and {self.heard} came"

    def _hear(self, message: Message) -> None:
        try:
            self._heard.take(message)
        except Mismatch as mismatch:
            self._mismatch = mismatch
            self.close()
            return
        if self.plan.is_echo:
            self.say(0, 1)
        self._react()
