"""A recording of streams while they run: `trace` stands in a pipe and notes what passes.

Where a diagram of something alive begins. What is noted is drawn by whoever wants to, at their own pace.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reactivex import ConnectableObservable, GroupedObservable, Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from rxecho.clock import clock_of
from rxecho.marbles.labels import label
from rxecho.marbles.model import Kind, Lane, MarbleDiagram, Notification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console, ConsoleOptions, RenderResult

    from rxecho.live import Picture
    from rxecho.marbles.text import MarbleText

__all__ = ["LIMIT", "Timeline"]

LIMIT: Final = 10_000
"""Notifications that a lane keeps; the newest."""
MOST_LANES: Final = 200
"""Lanes that a timeline keeps, besides those that are still being written."""

_T = TypeVar("_T")

# In half the time. Plain tuples would take a fifth, but a hundred thousand of them, made into notifications for each
# drawing, would take four times what the drawing does.
_noted = partial(tuple.__new__, Notification)
_PLAIN: Final = frozenset({str, bytes, int, float, list, dict, tuple})
"""Types whose values are no observables; the others are asked, which takes longer."""
_NEXT: Final = Kind.NEXT


class _Track:
    """A lane while it is being recorded, by one subscription at a time."""

    __slots__ = ("begins", "busy", "name", "parent", "records", "total")

    def __init__(self, name: str, parent: _Track | None = None, begins: float = 0.0) -> None:
        self.name = name
        self.parent = parent
        self.begins = begins
        self.records: deque[Notification] = deque(maxlen=LIMIT)
        self.total = 0
        """Notifications in all, with those that are not kept any more."""
        self.busy = False

    def note(self, time: float, kind: Kind, value: object = None) -> None:
        self.records.append(Notification(time, kind, value))
        self.total += 1

    def lane(self, depth: int) -> Lane:
        total = self.total  # before the records, to which another thread adds
        # A list, which is there before the walk through the deque begins: making a tuple, Python 3.11 may collect
        # garbage in between, and a finalizer or another thread adds to the deque.
        kept = list(self.records)
        records = tuple(kept)
        return Lane(self.name, records, depth, self.begins, max(total - len(records), 0))


class _Trace:
    """One `trace`, with the lanes that its subscriptions have. Under the timeline's lock.

    Attributes:
        number: Before which others it was made.
        tracks: None where all have been forgotten.
        follows: Whether its lanes begin where somebody else's value had it subscribed to.
    """

    def __init__(self, number: int, first: _Track) -> None:
        self.number = number
        self.tracks = [first]
        self._first = first
        self.follows = False

    def take(self, emitter: _Track | None) -> _Track:
        """The lane for one more subscription: one that has ended, if there is one in the same place."""
        first = self._first
        if not first.total and first.parent is None and emitter is not None:
            self.follows = True
            first.parent, first.begins = emitter, emitter.records[-1].time
        begins = first.begins
        if again := self.follows and emitter is not None and emitter is first.parent:
            begins = emitter.records[-1].time
        for track in self.tracks:
            if not track.busy and (track.begins == begins or not again):
                return track
        self.tracks.append(_Track(first.name, first.parent, begins))
        return self.tracks[-1]


class _Delivery(threading.local):
    """Which lane's value this thread is delivering."""

    track: _Track | None = None


class Timeline:
    """Streams that are running, noted as they run, to be drawn as a marble diagram at any time.

    Rich draws it in a terminal and in a `Live`. As the value of a notebook's cell it is SVG, which is drawn again in
    place until nothing is subscribed to any more, or it is shown once more. It has a lane for each `trace`, in the
    order in which they were made.

    A lane keeps its newest 10,000 notifications, and the drawing says how many are not kept. What is kept of a value is
    the value itself, unless `trace` is told otherwise. Of lanes that have ended, the newest 200 are kept. Safe to use
    from any thread.

    Args:
        scheduler: Whose clock tells the time: a `TestScheduler`'s is virtual. The system's unless given.
        resolution: Seconds whose multiples the times are rounded to: what happens every 0.2 s is drawn alike
            whenever it is run with 0.1. 0, unless given: not at all.

    >>> import reactivex
    >>> from reactivex import operators as ops
    >>> timeline = Timeline()
    >>> reactivex.of(1, 2).pipe(
    ...     timeline.trace("source"), ops.map(str), timeline.trace("map(str)")
    ... ).run()
    '2'
    >>> timeline
    <Timeline source: 4 notifications, map(str): 4 notifications>
    """

    def __init__(self, scheduler: abc.SchedulerBase | None = None, *, resolution: float = 0.0) -> None:
        if not resolution >= 0:
            raise ValueError(f"a resolution is 0 seconds or more, not {resolution!r}")
        clock = clock_of(scheduler)
        self._clock: Callable[[], float] = (lambda: round(clock() / resolution) * resolution) if resolution else clock
        self._picture: Picture | None = None
        self._delivery = _Delivery()
        # Guards which lanes there are. What is on a lane is written by one subscription at a time, and read at once.
        self._lock = threading.Lock()
        self._traces: list[_Trace] = []
        self._numbers = count()
        self._forgotten = 0

    @property
    def now(self) -> float:
        """Seconds since it was made, by its clock."""
        return self._clock()

    def trace(
        self, name: str = "", *, keep: Callable[[_T], object] | None = None
    ) -> Callable[[Observable[_T]], Observable[_T]]:
        """An operator that changes nothing and notes everything: values, the end, subscribing and disposing.

        An observable among the values is handed on as one that does the same and is traced, too: as an inner lane,
        which begins where it was emitted. So is what a `trace` notes that is made, or first subscribed to, while
        a value of another lane is delivered, as inside of `flat_map`.

        Subscriptions that are there at the same time have a lane each; those that follow each other share one.

        Args:
            name: What stands in front of the lane.
            keep: What to keep of a value, such as its beginning or its size; the value itself unless given.

        >>> import reactivex
        >>> timeline = Timeline()
        >>> reactivex.of("a", "b").pipe(timeline.trace("letters", keep=str.upper)).run()
        'b'
        >>> [notification.value for notification in timeline.diagram().lanes[0].notifications]
        [None, 'A', 'B', None]
        """
        emitter = self._delivery.track
        trace = _Trace(next(self._numbers), _Track(name, emitter, emitter.records[-1].time if emitter else 0.0))
        with self._lock:
            self._traces.append(trace)
        return self._tracing(trace, keep)

    def _tracing(
        self, trace: _Trace, keep: Callable[[_T], object] | None = None
    ) -> Callable[[Observable[_T]], Observable[_T]]:
        def traced(source: Observable[_T]) -> Observable[_T]:
            def subscribe(
                observer: abc.ObserverBase[_T], scheduler: abc.SchedulerBase | None = None
            ) -> abc.DisposableBase:
                return self._record(self._begin(trace), keep, source, observer, scheduler)

            return Observable(subscribe)

        return traced

    def _begin(self, trace: _Trace) -> _Track:
        with self._lock:
            track = trace.take(self._delivery.track)
            track.busy = True
            if trace not in self._traces:  # an inner one, or one that had been forgotten
                self._traces.append(trace)
            self._forget()
        track.note(self._clock(), Kind.SUBSCRIBED)
        if self._picture:
            self._picture.wake()
        return track

    def _forget(self) -> None:
        """Let go the oldest lane that has ended, when there are too many."""
        tracks = [track for trace in self._traces for track in trace.tracks]
        if len(tracks) <= MOST_LANES:
            return
        parents = {track.parent for track in tracks}
        for trace in self._traces:
            for track in trace.tracks:
                if track.total and not track.busy and track not in parents:
                    trace.tracks.remove(track)
                    if not trace.tracks:
                        self._traces.remove(trace)
                    self._forgotten += 1
                    return

    def _record(
        self,
        track: _Track,
        keep: Callable[[_T], object] | None,
        source: Observable[_T],
        observer: abc.ObserverBase[_T],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        clock, append, delivery, hand_on = self._clock, track.records.append, self._delivery, observer.on_next
        ended = False

        def on_next(value: _T) -> None:
            append(_noted((clock(), _NEXT, value if keep is None else keep(value))))
            track.total += 1
            outer, delivery.track = delivery.track, track
            try:
                if type(value) not in _PLAIN and isinstance(value, Observable):
                    value = self._inner(value, track)
                hand_on(value)
            finally:
                delivery.track = outer

        def on_error(error: Exception) -> None:
            end(Kind.ERROR, error)
            observer.on_error(error)

        def on_completed() -> None:
            end(Kind.COMPLETED)
            observer.on_completed()

        def end(how: Kind, error: Exception | None = None) -> None:
            nonlocal ended
            if not ended:
                ended = True
                track.note(clock(), how, error)
                track.busy = False

        return CompositeDisposable(
            source.subscribe(on_next, on_error, on_completed, scheduler=scheduler),
            Disposable(lambda: end(Kind.DISPOSED)),
        )

    def _inner(self, value: Observable[Any], emitter: _Track) -> Any:
        """The same observable, traced."""
        if isinstance(value, abc.ObserverBase | ConnectableObservable):
            return value  # it has another side, which would be lost
        grouped = isinstance(value, GroupedObservable)
        track = _Track(label(value) if grouped else "", emitter, emitter.records[-1].time)
        trace = _Trace(next(self._numbers), track)  # kept when it is subscribed to, if ever
        traced: Observable[Any] = self._tracing(trace)(getattr(value, "untraced", value))
        return GroupedObservable(value.key, traced) if isinstance(value, GroupedObservable) else traced

    def diagram(self, last: float | None = None) -> MarbleDiagram:
        """What has happened so far, as a diagram that does not change any more.

        Args:
            last: Only the last so many seconds; all of it unless given.

        >>> timeline = Timeline()
        >>> timeline.diagram(last=10).lanes
        ()
        """
        with self._lock:
            traces = sorted(self._traces, key=lambda trace: trace.number)
            tracks = [track for trace in traces for track in trace.tracks]
        children: dict[_Track | None, list[_Track]] = {}
        for track in tracks:
            if track.parent is None or track.total:  # nobody has to be told of a group that nobody listens to
                children.setdefault(track.parent, []).append(track)

        def below(parent: _Track | None, depth: int) -> Iterator[Lane]:
            for track in children.get(parent, ()):
                yield track.lane(depth)
                yield from below(track, depth + 1)

        lanes = tuple(below(None, 0))
        if last is not None or any(track.busy for track in tracks):
            end = self.now
        else:
            end = max((lane.notifications[-1].time for lane in lanes if lane.notifications), default=0.0)
        notes = [
            f"{lane.name or 'A lane'}: {lane.dropped:,} earlier notifications are not kept"
            for lane in lanes
            if lane.dropped
        ]
        if self._forgotten:
            notes.append(f"{self._forgotten:,} earlier lanes are not kept")
        return MarbleDiagram(lanes, start=0.0 if last is None else end - last, end=end, notes=tuple(notes))

    def to_marbles(self, timespan: float | None = None) -> MarbleText:
        """Write it in RxPY's marble syntax; see `MarbleDiagram.to_marbles`."""
        return self.diagram().to_marbles(timespan)

    def to_svg(self, width: int = 760) -> str:
        """Draw it as SVG; see `MarbleDiagram.to_svg`."""
        return self.diagram().to_svg(width)

    def __repr__(self) -> str:
        lanes = (
            f"{lane.name}: {len(lane.notifications) + lane.dropped:,} notifications" for lane in self.diagram().lanes
        )
        return f"<Timeline {', '.join(lanes) or 'without a lane'}>"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.diagram()

    def _repr_mimebundle_(self, **_include_exclude: object) -> dict[str, str]:
        return self.diagram()._repr_mimebundle_()

    def _ipython_display_(self) -> None:
        from rxecho.live import show

        self._picture = show(lambda: self, self._is_running, self._picture, self)
        self._picture.wake()

    def _is_running(self) -> bool:
        with self._lock:
            return any(track.busy for trace in self._traces for track in trace.tracks)
