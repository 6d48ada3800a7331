"""The `ReconnectingSink`: where messages go in, whichever channel is open, and wait while none is."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, get_args

from reactivex import Observable
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from rxecho.errors import ChannelClosed
from rxecho.frames import encode_close
from rxecho.futures import ChannelFuture
from rxecho.operators._overflow import BufferOverflow, Overflow
from rxecho.streamsink import StreamSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from reactivex import abc

    from rxecho.channel import WebSocketChannel
    from rxecho.frames import Message

__all__ = ["ReconnectingSink"]


class ReconnectingSink(StreamSink):
    """A sink that outlives channels: what is added while none is open goes to the next, in order.

    `follow()` stands in the pipe of channels and says which one is open. Once they have ended, for good, so has the
    sink. Safe to use from any thread. What a channel has accepted counts as sent, although it may be lost with the
    connection: TCP does not tell.

    >>> from reactivex import operators as ops
    >>> from rxecho import EchoServer, open_channel
    >>> from rxecho.operators import messages, reconnect
    >>> sink = ReconnectingSink()
    >>> sink.add("Kept until there is a connection")
    >>> with EchoServer() as server:
    ...     open_channel(server.url).pipe(reconnect(), sink.follow(), messages(), ops.first()).run()
    'Kept until there is a connection'

    Args:
        size: Messages that are kept, at most.
        max_bytes: Bytes that are kept, at most; a single message of any size always is.
        overflow: What `add` does when there is no room: raise `BufferOverflow`, let the oldest message go, or this
            one, or wait until there is room.

    Raises:
        ValueError: An argument cannot be right.
    """

    def __init__(self, size: int = 1024, *, max_bytes: int = 16 * 2**20, overflow: Overflow = "error") -> None:
        if size < 1 or max_bytes < 1:
            raise ValueError(f"size and max_bytes are numbers above 0, not {size!r} and {max_bytes!r}")
        if overflow not in get_args(Overflow):
            raise ValueError(f"overflow is one of {', '.join(map(repr, get_args(Overflow)))}, not {overflow!r}")
        super().__init__()
        self._size = size
        self._max_bytes = max_bytes
        self._overflow = overflow
        self._done: ChannelFuture[None] = ChannelFuture(None)
        # All under the lock.
        self._room = threading.Condition(self._lock)
        self._kept: deque[Message] = deque()
        self._kept_bytes = 0
        self._is_sending = False  # a channel is passed on, or one of what was kept is on its way
        self._latest: WebSocketChannel | None = None
        self._passing_on: int | None = None  # the thread that does so, which sends what was kept afterwards
        self._channel: WebSocketChannel | None = None  # the latest, once it sends what is added
        self._closing: tuple[int | None, str] | None = None
        self._stop_following: Callable[[], None] | None = None

    def add(self, message: str | bytes | bytearray | memoryview) -> None:
        """Send a message over the channel that is open, or keep it for the next one.

        With an open channel this blocks as `WebSocketSink.add` does, while the peer is slow.

        Raises:
            TypeError: It is neither text nor bytes.
            UnicodeEncodeError: It is text with a lone surrogate, which UTF-8 cannot say.
            BufferOverflow: There is no room to keep it, and `overflow` is `"error"`.
            ChannelClosed: The sink was closed, or the channels that it followed have ended.
            RuntimeError: Waiting for room would never end: inside a subscriber of the latest channel, or while one is
                passed on.
        """
        if isinstance(message, bytearray | memoryview):
            message = bytes(message)
        elif not isinstance(message, str | bytes):
            raise TypeError(f"a message is str, bytes, bytearray or memoryview, not {type(message).__name__}")
        while (channel := self._keep(message)) is not None:
            try:
                channel.sink.add(message)
            except ChannelClosed:
                self._let_go(channel)
            else:
                return

    def _keep(self, message: Message) -> WebSocketChannel | None:
        """Keep a message, unless there is a channel that can send it, which is returned."""
        size = _size(message)
        with self._lock:
            while True:
                if self._has_ended or self._closing:
                    raise self._closed_error("is closed")
                if self._channel is not None:
                    return self._channel
                if not self._kept or (len(self._kept) < self._size and self._kept_bytes + size <= self._max_bytes):
                    self._kept.append(message)
                    self._kept_bytes += size
                    return None
                if self._overflow == "block":
                    self._wait_for_room()
                elif self._overflow == "error":
                    raise BufferOverflow(
                        f"no more messages may wait for a connection than the {len(self._kept):,} of "
                        f"{self._kept_bytes:,} bytes that do: raise size or max_bytes, or choose another overflow"
                    )
                else:
                    self._dropped += 1
                    if self._overflow == "drop_newest":
                        return None
                    self._take()

    def _take(self) -> Message:
        message = self._kept.popleft()
        self._kept_bytes -= _size(message)
        self._room.notify_all()
        return message

    def _put_back(self, message: Message) -> None:
        self._is_sending = False
        if self._has_ended:
            self._dropped += 1
        else:
            self._kept.appendleft(message)
            self._kept_bytes += _size(message)

    def _wait_for_room(self) -> None:
        is_own = self._latest is not None and self._latest._connection.is_on_own_thread
        if is_own or threading.get_ident() == self._passing_on:
            raise RuntimeError(
                "waiting for room on the thread that would make it would never end: add on another thread, or choose "
                "an overflow that does not wait"
            )
        self._room.wait()

    def follow(self) -> Callable[[Observable[WebSocketChannel]], Observable[WebSocketChannel]]:
        """The operator that says which channel is open; it passes all of them on.

        To stand behind `reconnect`, and to be subscribed to once. What was kept is sent after the channel has been
        passed on. `close` completes it, also while there is no connection.
        """
        return self._following

    def _following(self, source: Observable[WebSocketChannel]) -> Observable[WebSocketChannel]:
        def subscribe(
            observer: abc.ObserverBase[WebSocketChannel], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            subscription = SingleAssignmentDisposable()
            one_at_a_time = threading.RLock()

            def on_next(channel: WebSocketChannel) -> None:
                with self._lock:
                    # What is added from here on is kept, behind the others, until they have been sent.
                    self._latest, self._channel, self._is_sending = channel, None, True
                    self._passing_on = threading.get_ident()
                    self._thread = self._done._thread = channel._connection.thread
                try:
                    with one_at_a_time:
                        observer.on_next(channel)
                finally:
                    self._passing_on = None
                self._send_kept(channel)

            def on_error(error: Exception) -> None:
                self._end()
                with one_at_a_time:
                    observer.on_error(error)
                self._be_done()

            def on_completed() -> None:
                self._end()
                with one_at_a_time:
                    observer.on_completed()
                self._be_done()

            def stop() -> None:
                subscription.dispose()
                on_completed()

            with self._lock:
                is_followed, has_ended = self._stop_following is not None, self._has_ended
                self._stop_following = self._stop_following or stop
            if is_followed:
                once = "a ReconnectingSink follows channels once: put follow() behind reconnect(), or make another sink"
                observer.on_error(RuntimeError(once))
            elif has_ended:
                observer.on_completed()
            else:
                subscription.disposable = source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)
                return CompositeDisposable(subscription, Disposable(self._end), Disposable(self._be_done))
            return Disposable()

        return Observable(subscribe)

    def _be_done(self) -> None:
        """With the latest channel, whose last act this may be a part of."""
        if self._latest is None:
            self._done.succeed(None)
        else:
            self._latest.sink.done.add_done_callback(lambda _: self._done.succeed(None))

    def _send_kept(self, channel: WebSocketChannel) -> None:
        """Send what was kept over a channel that has just opened, and then what is added."""
        channel.sink.done.add_done_callback(lambda _: self._let_go(channel))
        while (oldest := self._oldest(channel)) is not None:
            try:
                channel.sink.add(oldest)
            except ChannelClosed:
                with self._lock:
                    self._put_back(oldest)
                return
        if self._closing:
            self._close(channel)

    def _oldest(self, channel: WebSocketChannel) -> Message | None:
        """The next that was kept; when there is none, the channel is the one that sends what is added."""
        with self._lock:
            self._is_sending = bool(self._kept)
            if self._kept:
                return self._take()
            self._channel = channel
            self._room.notify_all()
            return None

    def _let_go(self, channel: WebSocketChannel) -> None:
        with self._lock:
            if self._channel is channel:
                self._channel = None

    def close(self, code: int | None = None, reason: str = "") -> Future[None]:
        """Close the channel that is open, and connect no more. What was added before leaves first.

        While there is no connection: with nothing kept it ends at once, otherwise the next channel sends that and is
        closed then. Closing again is harmless, and changes nothing.

        Args:
            code: 1000-1003, 1007-1014 or 3000-4999; without one the peer sees 1005.
            reason: For people to read, up to 123 bytes of UTF-8.

        Returns:
            `done`.

        Raises:
            ValueError: Code or reason cannot be sent; nothing is closed.
        """
        encode_close(code, reason)
        with self._lock:
            if self._closing or self._has_ended:
                return self._done
            self._closing = code, reason
            channel = self._channel
            is_needed = bool(self._kept) or self._is_sending
            self._room.notify_all()
        if channel is not None:
            self._close(channel)
        elif not is_needed:
            self._finish()
        return self._done

    def _close(self, channel: WebSocketChannel) -> None:
        assert self._closing
        channel.sink.close(*self._closing).add_done_callback(lambda _: self._finish())

    def _finish(self) -> None:
        """Connect no more, also where the peer was first to close, or the connection was lost meanwhile."""
        self._end()
        if self._stop_following:
            self._stop_following()
        self._be_done()

    @property
    def done(self) -> Future[None]:
        """Done when the channels have ended, and all were told. It never fails: the channels say what went wrong."""
        return self._done

    @property
    def buffered_amount(self) -> int:
        """Payload bytes that are kept, or that the open channel has still to hand to the operating system."""
        with self._lock:
            channel, kept = self._channel, self._kept_bytes
        return kept + (channel.sink.buffered_amount if channel else 0)

    @property
    def dropped(self) -> int:
        """Messages that were let go for want of room, were kept at the end, or came to `on_next` after it."""
        return self._dropped

    def _end(self) -> None:
        with self._room:
            self._dropped += len(self._kept)
            self._kept.clear()
            self._kept_bytes = 0
            self._channel = None
            self._has_ended = True
            self._room.notify_all()
        super()._end()

    def _closed_error(self, how: str) -> ChannelClosed:
        return ChannelClosed(f"the reconnecting sink {how}; let a new one follow new channels to go on")


def _size(message: Message) -> int:
    return len(message.encode() if isinstance(message, str) else message)
