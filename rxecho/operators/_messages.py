"""The `messages` operator: of channels, one after the other, what they receive."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from reactivex import Observable
from reactivex.disposable import CompositeDisposable, SingleAssignmentDisposable

from rxecho.errors import ChannelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactivex import abc

    from rxecho.channel import WebSocketChannel

__all__ = ["flatten", "messages"]

_T = TypeVar("_T")


def messages() -> Callable[[Observable[WebSocketChannel]], Observable[str | bytes]]:
    """Flatten channels to their messages.

    RxPY's `flat_map(lambda channel: channel.stream)`, but for a channel that fails: where another channel follows,
    its error is none; where the channels end with an error, that one counts, which says the same and comes last.
    So `reconnect` can stand before this. It ends when the channels have ended, and the streams of all of them.

    Example:
        Two channels, of which the first is lost:

        >>> from types import SimpleNamespace as Channel
        >>> from rxecho import ConnectionLost
        >>> from rxecho.marbles import cold, diagram
        >>> streams = {"c": cold("-1-2-#", error=ConnectionLost("gone")), "d": cold("-3-4-|")}
        >>> channels = {name: Channel(stream=stream) for name, stream in streams.items()}
        >>> print(diagram(messages(), "c------d-----|", lookup=channels))
          a------b-----|
          -1-2-#
                 -3-4-|
        [ messages() ]
          -1-2----3-4--|
        a = ...

        >>> from reactivex import operators as ops
        >>> from rxecho import EchoServer, open_channel
        >>> with EchoServer() as server:
        ...     open_channel(server.url_for("/ticker?interval=0.01&count=2&seed=1")).pipe(messages(), ops.count()).run()
        2

    Returns:
        An operator from an observable of channels to an observable of their messages: `str` for text, `bytes` for
        binary.
    """
    return lambda channels: flatten(channels, lambda channel: channel.stream)


def flatten(
    channels: Observable[WebSocketChannel], project: Callable[[WebSocketChannel], Observable[_T]]
) -> Observable[_T]:
    """Merge what is made of each channel; a `ChannelError` counts only of the last, and where `channels` complete.

    Whatever else goes wrong, in `project` or in what it returned, is an error at once.
    """

    def subscribe(observer: abc.ObserverBase[_T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        lock = threading.RLock()  # one notification at a time: each channel has a thread of its own
        outer = SingleAssignmentDisposable()
        inners = CompositeDisposable()
        # All under the lock.
        latest: SingleAssignmentDisposable | None = None
        failure: ChannelError | None = None
        has_completed = False

        def on_channel(channel: WebSocketChannel) -> None:
            nonlocal latest, failure
            inner = SingleAssignmentDisposable()

            def on_end(error: Exception | None = None) -> None:
                nonlocal failure
                with lock:
                    inners.remove(inner)
                    if isinstance(error, ChannelError):
                        if inner is latest:
                            failure = error
                    elif error is not None:
                        observer.on_error(error)
                    end_if_over()

            with lock:
                latest, failure = inner, None
                inners.add(inner)
            try:
                stream = project(channel)
            except Exception as error:  # noqa: BLE001 - the subscriber's to know
                on_end(error)
            else:
                inner.disposable = stream.subscribe(on_next, on_end, on_end, scheduler=scheduler)

        def on_next(value: _T) -> None:
            with lock:
                observer.on_next(value)

        def on_error(error: Exception) -> None:
            with lock:
                observer.on_error(error)

        def on_completed() -> None:
            nonlocal has_completed
            with lock:
                has_completed = True
                end_if_over()

        def end_if_over() -> None:
            if has_completed and not len(inners):
                if failure is None:
                    observer.on_completed()
                else:
                    observer.on_error(failure)

        outer.disposable = channels.subscribe(on_channel, on_error, on_completed, scheduler=scheduler)
        # Who has something to say to its channel as it leaves does so before the channel is closed.
        return CompositeDisposable(inners, outer)

    return Observable(subscribe)
