"""Requests and their replies over one channel, told apart by an id."""

from __future__ import annotations

import logging
import reprlib
import threading
from collections.abc import Hashable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol

from reactivex import Observable
from reactivex.disposable import CompositeDisposable, Disposable, SerialDisposable, SingleAssignmentDisposable
from reactivex.scheduler import TimeoutScheduler

from rxecho.clock import clock_of
from rxecho.errors import ChannelClosed
from rxecho.isolation import isolate
from rxecho.operators._excerpt import excerpt
from rxecho.operators._from_json import json_decoder
from rxecho.operators._json_error import JsonError
from rxecho.operators._to_json import json_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reactivex import abc

    from rxecho.frames import Message

__all__ = ["ReplyTimeout", "UnknownReply", "request"]

_TICK: Final = 1e-6
"""Seconds that are the least a scheduler waits: what is left beyond that is a float's inexactness."""
REMEMBERED: Final = 10_000
"""Requests that nobody waits for any more, whose replies are known to be late."""


class ReplyTimeout(TimeoutError):
    """No reply came in time."""


class UnknownReply(Exception):
    """A reply to something that was never asked.

    Attributes:
        id: The id in it.
        message: The message as it came.
    """

    def __init__(self, id: object, message: Message) -> None:  # noqa: A002 - as it is called
        super().__init__(
            f"a reply has the id {excerpt(reprlib.repr(id))}, which no request had: {excerpt(message)}; "
            "check what sent it"
        )
        self.id = id
        self.message = message


class _Sink(Protocol):
    def add(self, message: Any, /) -> None: ...


class _Duplex(Protocol):
    """What is asked of a channel."""

    @property
    def stream(self) -> Observable[Message]: ...
    @property
    def sink(self) -> _Sink: ...


def request(
    channel: _Duplex,
    *,
    key: str = "id",
    timeout: float | None = 10.0,
    encode: Callable[[Any, Any], Message] | None = None,
    decode: Callable[[Message], tuple[Any, Any] | None] | None = None,
    ids: Iterator[Hashable] | None = None,
    unmatched: abc.ObserverBase[UnknownReply] | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> Callable[[Any], Observable[Any]]:
    """Make a function that asks something over a channel: from a request to an observable of its reply.

    That observable is cold: whoever subscribes sends the request, with an id of its own, and gets one value. So
    `flat_map(ask)` has many in flight, and `retry`, `catch` and the like compose; RxJS's `ajax`, over a WebSocket.
    Leaving it gives the request up. Late replies are ignored.

    The channel's stream is listened to from the first request on, for as long as the channel lives. Whoever wants
    what else comes there, and what came before, subscribes earlier.

    Example:
        >>> import reactivex
        >>> from reactivex import operators as ops
        >>> from rxecho import EchoServer, WebSocketChannel
        >>> with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ...     ask = request(channel)
        ...     reactivex.of("BTC", "ETH").pipe(ops.flat_map(lambda coin: ask({"quote": coin})), ops.to_list()).run()
        [{'quote': 'BTC', 'id': 1}, {'quote': 'ETH', 'id': 2}]

        In virtual time, with a server that takes two seconds to answer, and letters for requests and their ids:

        >>> from types import SimpleNamespace
        >>> from rxecho.marbles import diagram
        >>> def answered(source):
        ...     wire = reactivex.Subject()
        ...     server = SimpleNamespace(stream=wire.pipe(ops.delay(2)), sink=SimpleNamespace(add=wire.on_next))
        ...     letters = iter("abc")
        ...     ask = request(server, ids=letters, encode=lambda body, id: id, decode=lambda id: (id, id.upper()))
        ...     return source.pipe(ops.flat_map(ask))
        >>> print(diagram(answered, "-x-x-x---|", label="flat_map(ask)"))
        -x-x-x---|
        [ flat_map(ask) ]
        ---A-B-C-|

    Args:
        channel: A channel, or whatever has a `stream` and a `sink` like one.
        key: The member of a JSON object that has the id, in requests and in replies.
        timeout: Seconds until a request fails for want of a reply; `None` for never.
        encode: Makes a message of a request and an id. Unless given, a request is a mapping, sent as JSON.
        decode: Takes a message apart into an id and a reply; `None` for what is no reply. Unless given, a reply is a
            JSON object with an id that is text or a number.
        ids: Where ids come from, which differ from those that are in flight; 1, 2, 3 and so on unless given.
        unmatched: Told of replies whose id was never given out; the logger `rxecho` warns of them unless given.
        scheduler: Whose time the timeout is in; the first subscription's, or the system's, unless given.

    Returns:
        A function from a request to an observable, which fails with `ReplyTimeout`, with what ended the channel, with
        `ChannelClosed` where it was closed, or with what `encode`, `ids` or the sink raised.

    Raises:
        ValueError: `timeout` is no number of seconds above 0.
    """
    if timeout is not None and not timeout > 0:
        raise ValueError(f"a timeout is a number of seconds above 0, or None for none, not {timeout!r}")
    return _Requests(
        channel,
        timeout=timeout,
        encode=encode or _json_request(key),
        decode=decode or _json_reply(key),
        ids=count(1) if ids is None else ids,
        unmatched=unmatched,
        scheduler=scheduler,
    ).ask


class _Requests:
    """The requests over one channel."""

    def __init__(
        self,
        channel: _Duplex,
        *,
        timeout: float | None,
        encode: Callable[[Any, Any], Message],
        decode: Callable[[Message], tuple[Any, Any] | None],
        ids: Iterator[Hashable],
        unmatched: abc.ObserverBase[UnknownReply] | None,
        scheduler: abc.SchedulerBase | None,
    ) -> None:
        self._channel = channel
        self._timeout = timeout
        self._encode = encode
        self._decode = decode
        self._ids = ids
        self._unmatched = unmatched
        self._scheduler = scheduler
        # All under the lock.
        self._lock = threading.RLock()
        self._is_listening = False
        self._end: Exception | None = None
        # Who waits for which reply, and until when: the oldest first, as all have the same time.
        self._waiting: dict[Hashable, tuple[abc.ObserverBase[Any], float]] = {}
        self._given_up: dict[Hashable, None] = {}
        self._is_timing = False
        # Until the channel ends.
        self._listening = SingleAssignmentDisposable()
        self._timing = SerialDisposable()
        self._subscriptions = CompositeDisposable(self._listening, self._timing)

    def ask(self, body: Any) -> Observable[Any]:
        """An observable of the reply to `body`."""

        def subscribe(
            observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            with self._lock:
                number = next(self._ids)
            message = self._encode(body, number)
            with self._lock:
                self._listen(scheduler)
                if self._end is not None:
                    raise self._end
                if number in self._waiting:
                    raise ValueError(f"a request with the id {number!r} still waits for its reply; let ids differ")
                self._waiting[number] = observer, self._now() + (self._timeout or 0.0)
            try:
                self._channel.sink.add(message)
            except Exception as error:  # noqa: BLE001 - the subscriber's to know
                self._give_up(number, observer)
                observer.on_error(error)
            else:
                self._time()
            return Disposable(lambda: self._give_up(number, observer))

        return Observable(subscribe)

    def _listen(self, scheduler: abc.SchedulerBase | None) -> None:
        if not self._is_listening:
            self._is_listening = True
            given = self._scheduler or scheduler
            self._timer = given or TimeoutScheduler.singleton()
            self._now = clock_of(given)
            self._listening.disposable = self._channel.stream.subscribe(
                self._on_message, self._fail_all, self._on_completed, scheduler=given
            )

    def _on_message(self, message: Message) -> None:
        try:
            found = self._decode(message)
        except Exception as error:  # noqa: BLE001 - nobody will get a reply any more
            self._fail_all(error)
            return
        if found is None:
            return
        number, reply = found
        is_possible = isinstance(number, Hashable) and not isinstance(number, bool)  # True, which is equal to 1
        with self._lock:
            waiter = self._waiting.pop(number, None) if is_possible else None
            is_late = is_possible and number in self._given_up
        # Whoever raises is alone with it: the stream that all of them share goes on.
        if waiter is not None:
            if isolate(waiter[0].on_next, reply):
                isolate(waiter[0].on_completed)
        elif not is_late:
            isolate(self._tell, UnknownReply(number, message))

    def _tell(self, error: UnknownReply) -> None:
        if self._unmatched is not None:
            self._unmatched.on_next(error)
        else:
            logging.getLogger("rxecho").warning("%s", error)

    def _on_completed(self) -> None:
        self._fail_all(ChannelClosed("the channel closed before the reply came; connect a new one and ask again"))

    def _fail_all(self, error: Exception) -> None:
        with self._lock:
            self._end = error
            waiting = list(self._waiting.values())
            self._waiting.clear()
        self._subscriptions.dispose()
        for observer, _ in waiting:
            isolate(observer.on_error, error)

    def _give_up(self, number: Hashable, observer: abc.ObserverBase[Any]) -> None:
        """This one waits for its reply no longer; remember that, for a while."""
        with self._lock:
            waiter = self._waiting.get(number)
            if waiter is not None and waiter[0] is observer:  # not another's, with the same id after it was answered
                del self._waiting[number]
                self._given_up[number] = None
                if len(self._given_up) > REMEMBERED:
                    del self._given_up[next(iter(self._given_up))]

    # One timer for all of them: of each its own would be a thread of each its own.

    def _time(self) -> None:
        """Wake up when the oldest has waited long enough, if there is one."""
        with self._lock:
            if self._timeout is None or self._is_timing or not self._waiting:
                return
            self._is_timing = True
            _, until = next(iter(self._waiting.values()))
            self._timing.disposable = self._timer.schedule_relative(max(until - self._now(), 0.0), self._expire)

    def _expire(self, *_: object) -> None:
        with self._lock:
            self._is_timing = False
            now = self._now()
            late = {number: waiter for number, (waiter, until) in self._waiting.items() if until - now < _TICK}
            for number, waiter in late.items():
                self._give_up(number, waiter)
        for number, waiter in late.items():
            fault = f"no reply to request {number!r} within {self._timeout:g} s; check the server, or ask again"
            isolate(waiter.on_error, ReplyTimeout(fault))
        self._time()


def _json_request(key: str) -> Callable[[Any, Any], str]:
    encode = json_encoder()

    def encode_request(body: Any, number: Any) -> str:
        if not isinstance(body, Mapping):
            raise TypeError(f"a request is a mapping, not {type(body).__name__}; give request an encode of your own")
        return encode({**body, key: number})

    return encode_request


def _json_reply(key: str) -> Callable[[Message], tuple[Any, Any] | None]:
    decode = json_decoder()

    def decode_reply(message: Message) -> tuple[Any, Any] | None:
        try:
            reply = decode(message)
        except JsonError:
            return None
        if not isinstance(reply, dict) or reply.get(key) is None:
            return None
        return reply[key], reply

    return decode_reply
