"""StreamBuilder: the end of a message's way, where a stream becomes something Rich can draw.

A message costs one attribute here. Everything else (the snapshot, the builder, the layout) happens when,
and only when, a display draws.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from reactivex import abc
from reactivex.disposable import SingleAssignmentDisposable
from rich.jupyter import JupyterMixin
from rich.measure import Measurement
from rich.text import Text

from rxecho.printable import printable
from rxecho.snapshot import AsyncSnapshot, ConnectionState

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactivex import Observable
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from rxecho.live import Picture

__all__ = ["StreamBuilder"]

T = TypeVar("T")

_UNSET: Any = object()


class _Latest(abc.ObserverBase[T]):
    """An observer that remembers what one subscription brought last.

    Each subscription has its own, so an old stream that is still emitting while it is replaced writes
    where nobody looks any more. That is what spares `on_next` a lock.
    """

    __slots__ = ("_before", "_end", "_subscription", "_value")

    def __init__(self, before: AsyncSnapshot[T]) -> None:
        self._before = before
        self._value: T = _UNSET
        self._end: AsyncSnapshot[T] | None = None
        self._subscription = SingleAssignmentDisposable()

    def connect(self, stream: Observable[T]) -> None:
        self._before = self._before.in_state(ConnectionState.WAITING)
        self._subscription.disposable = stream.subscribe(self)

    def disconnect(self) -> None:
        self._subscription.dispose()

    def on_next(self, value: T) -> None:
        self._value = value

    def on_error(self, error: Exception) -> None:
        self._end = AsyncSnapshot.with_error(ConnectionState.DONE, error)

    def on_completed(self) -> None:
        self._end = self.snapshot.in_state(ConnectionState.DONE)

    @property
    def snapshot(self) -> AsyncSnapshot[T]:
        if self._end is not None:
            return self._end
        value = self._value
        return self._before if value is _UNSET else AsyncSnapshot.with_data(ConnectionState.ACTIVE, value)


class StreamBuilder(JupyterMixin, abc.DisposableBase, Generic[T]):
    r"""A renderable that draws the latest of a stream. Flutter's `StreamBuilder`.

    It subscribes at once and draws at the display's pace: in a `Live`, with `print`, or as the value of a
    notebook's cell, a million messages a second cost no more drawing than one. It never raises in the
    stream's thread: a stream that fails is a snapshot with an error. A notebook draws it again in place
    until its stream has ended, it is disposed of, or it is shown once more.

    What a plain `str` from the builder says is shown as it is: no Rich markup, every control character
    escaped, only line breaks and tabs lay it out. A renderable is drawn as Rich draws it, so a message
    inside one wants the same care: `Panel(Text(printable(message)))`, with
    `printable` from `rxecho.printable`.

    >>> import reactivex, rich
    >>> latest = StreamBuilder(reactivex.of("a", "[b]\x1b"), lambda snapshot: f"latest: {snapshot.data}")
    >>> rich.print(latest)
    latest: [b]\e
    >>> latest
    <StreamBuilder AsyncSnapshot(ConnectionState.DONE, data='[b]\x1b')>

    Args:
        stream: What to subscribe to, or `None` for nothing yet.
        builder: Given the latest snapshot, returns what to draw. It runs on the thread that draws, each
            time it is drawn; where Rich measures before it draws (`Panel.fit`, a table's cell), for that too.
        initial_data: The data until the first value comes.
    """

    def __init__(
        self,
        stream: Observable[T] | None,
        builder: Callable[[AsyncSnapshot[T]], RenderableType],
        *,
        initial_data: T | None = None,
    ) -> None:
        self._builder = builder
        # Guards the three below. No foreign code runs under it: whoever is subscribed to or disposed of
        # may hold locks of its own, emit at once, and ask for the snapshot.
        self._lock = Lock()
        self._stream: Observable[T] | None = None
        self._latest = _Latest(AsyncSnapshot(ConnectionState.NONE, initial_data))
        self._disposed = False
        self._picture: Picture | None = None
        self.stream = stream

    @property
    def stream(self) -> Observable[T] | None:
        """The stream that is drawn.

        Setting another one unsubscribes from the old, which is ignored from then on, and passes through
        `NONE` to `WAITING`, or stays at `NONE` for `None`. The data is kept until the new stream brings
        some. Setting the same one changes nothing. Safe from any thread.
        """
        return self._stream

    @stream.setter
    def stream(self, stream: Observable[T] | None) -> None:
        with self._lock:
            if self._disposed or stream is self._stream:
                return
            old, new = self._latest, _Latest(self._latest.snapshot.in_state(ConnectionState.NONE))
            self._stream, self._latest = stream, new
        old.disconnect()
        if stream is not None:
            new.connect(stream)
        if self._picture:
            self._picture.wake()

    @property
    def snapshot(self) -> AsyncSnapshot[T]:
        """The latest of the stream."""
        # Under the lock, so that nobody sees a value that a replacement of the stream did not keep.
        with self._lock:
            return self._latest.snapshot

    def dispose(self) -> None:
        """Unsubscribe, for good. `snapshot` stays what it was, `stream` is and remains `None`."""
        with self._lock:
            if self._disposed:
                return
            old, self._latest = self._latest, _Latest(self._latest.snapshot)
            self._stream, self._disposed = None, True
        old.disconnect()

    def _ipython_display_(self) -> None:
        from rxecho.live import show

        self._picture = show(self._build, self._is_running, self._picture, self)
        self._picture.wake()

    def _is_running(self) -> bool:
        return self.stream is not None and self.snapshot.connection_state is not ConnectionState.DONE

    def __enter__(self) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<StreamBuilder {self.snapshot!r}>"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._build()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._build())

    def _build(self) -> RenderableType:
        renderable = self._builder(self.snapshot)
        if not isinstance(renderable, str):
            return renderable
        text = Text(printable(renderable, keep="\n\t"))
        text.expand_tabs()  # to spaces, because Rich measures a tab as nothing
        return text


if __name__ == "__main__":
    import reactivex
    from reactivex import operators as ops
    from rich.panel import Panel

    from rxecho.live import Live

    ticks = reactivex.interval(0.1).pipe(ops.take(50), ops.map(str), ops.share())
    latest = StreamBuilder(
        ticks,
        lambda snapshot: Panel.fit(snapshot.require_data, title=snapshot.connection_state.value),
        initial_data="soon …",
    )
    with Live(latest, refresh_per_second=20):
        ticks.run()
