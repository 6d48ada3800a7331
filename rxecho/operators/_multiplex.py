"""The `multiplex` operator: one of several topics that come over the same channel."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from reactivex import Observable
from reactivex.disposable import Disposable, SingleAssignmentDisposable
from reactivex.subject import Subject

from rxecho.errors import ChannelClosed
from rxecho.isolation import isolate
from rxecho.operators._messages import flatten

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactivex import abc

    from rxecho.channel import WebSocketChannel
    from rxecho.frames import Message

__all__ = ["multiplex"]


def multiplex(
    subscribe: Message | Callable[[], Message],
    unsubscribe: Message | Callable[[], Message],
    select: Callable[[Message], bool],
) -> Callable[[Observable[WebSocketChannel]], Observable[Message]]:
    """Ask for a topic, pass on its messages, and ask for no more when the last subscriber leaves.

    RxJS's `WebSocketSubject.multiplex`. The subscribe message is sent to each channel that comes, so it is sent again
    after `reconnect`. The first subscriber has it sent, and those that join share it; the next first one begins anew.
    It ends as `messages` does. One that raises is alone with it.

    Example:
        Two topics over one connection, which `replay` and `ref_count` share, and whoever comes later finds open. Once
        `reconnect` has given up, they give that end to whoever comes then: make the channels anew.

        >>> import json
        >>> import reactivex
        >>> from reactivex import operators as ops
        >>> from rxecho import EchoServer, open_channel
        >>> from rxecho.operators import from_json, reconnect
        >>> def topic(name):
        ...     return multiplex(
        ...         json.dumps({"subscribe": name}),
        ...         json.dumps({"unsubscribe": name}),
        ...         lambda message: name in json.loads(message).values(),
        ...     )
        >>> with EchoServer() as server:  # which echoes what it is asked
        ...     channels = open_channel(server.url).pipe(reconnect(), ops.replay(1), ops.ref_count())
        ...     topics = (channels.pipe(topic(name), from_json(), ops.take(1)) for name in ("BTC", "ETH"))
        ...     answers = reactivex.merge(*topics).pipe(ops.to_list()).run()
        >>> sorted(answers, key=str)  # either may come first
        [{'subscribe': 'BTC'}, {'subscribe': 'ETH'}]

        A channel `c` that is there for nine seconds, over which letters and numbers come:

        >>> from types import SimpleNamespace as Channel
        >>> from rxecho.marbles import cold, diagram
        >>> channel = Channel(stream=cold("-a-1-b-2-|"), sink=Channel(add=lambda message: None))
        >>> print(diagram(
        ...     multiplex("letters, please", "no more letters", lambda message: isinstance(message, str)),
        ...     "c---------|", lookup={"c": channel}, label="multiplex(letters)",
        ... ))
          c---------|
          -a-1-b-2-|
        [ multiplex(letters) ]
          -a---b----|
        c = ...

    Args:
        subscribe: The message that asks for the topic, or a function that makes it.
        unsubscribe: The message that asks for no more of it, or a function that makes it. It is sent if the channel is
            still open.
        select: Whether a message is of the topic.

    Returns:
        An operator from an observable of channels to an observable of messages.
    """

    def topic_of(channel: WebSocketChannel) -> Observable[Message]:
        def subscribe_to_topic(
            observer: abc.ObserverBase[Message], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            def on_next(message: Message) -> None:
                try:
                    is_of_topic = select(message)
                except Exception as error:  # noqa: BLE001 - the subscriber's to know
                    observer.on_error(error)
                    return
                if is_of_topic:
                    observer.on_next(message)

            def send(message: Message | Callable[[], Message]) -> None:
                with suppress(ChannelClosed):  # its end says so, in its turn
                    channel.sink.add(message() if callable(message) else message)

            listening = channel.stream.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler)
            try:
                send(subscribe)
            except Exception as error:  # noqa: BLE001 - as above
                observer.on_error(error)
                return listening

            def leave() -> None:
                listening.dispose()
                isolate(send, unsubscribe)

            return Disposable(leave)

        return Observable(subscribe_to_topic)

    return lambda channels: _shared(flatten(channels, topic_of))


def _shared(source: Observable[Message]) -> Observable[Message]:
    """RxPY's `share`, which begins anew also after an end, and where a subscriber that raises is alone with it."""
    lock = threading.RLock()
    # Under the lock: through what all of them subscribe to the source, while anybody does; and how many do.
    subject: Subject[Message] | None = None
    connection = SingleAssignmentDisposable()
    number = 0

    def subscribe(
        observer: abc.ObserverBase[Message], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        nonlocal subject, connection, number

        def pass_on(message: Message) -> None:
            if not isolate(observer.on_next, message):
                leave()

        def pass_on_end(*error: Exception) -> None:
            isolate(observer.on_error if error else observer.on_completed, *error)

        with lock:
            is_first = subject is None
            if subject is None:
                subject, connection, number = Subject(), SingleAssignmentDisposable(), 0
            mine, my_connection = subject, connection
            number += 1
            subscription = mine.subscribe(pass_on, pass_on_end, pass_on_end)

        def forget() -> None:
            """Let the next begin anew."""
            nonlocal subject
            with lock:
                if subject is mine:
                    subject = None

        def on_error(error: Exception) -> None:
            forget()
            mine.on_error(error)

        def on_completed() -> None:
            forget()
            mine.on_completed()

        def leave() -> None:
            nonlocal number
            subscription.dispose()
            with lock:
                if subject is not mine:
                    return
                number -= 1
                if number == 0:
                    forget()
                    my_connection.dispose()

        if is_first:
            my_connection.disposable = source.subscribe(mine.on_next, on_error, on_completed, scheduler=scheduler)
        return Disposable(leave)

    return Observable(subscribe)
