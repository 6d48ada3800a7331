"""What changes, drawn again in place: in a terminal by Rich's `Live`, in a notebook as an output of its cell.

The last stop on a message's way, for those who read notebooks. A picture there needs neither a widget nor an
extension: it is an output with an identifier, for which the kernel sends a newer content (`update_display_data` of
Jupyter's messaging protocol). Where a notebook is only read, as on a code host, that is the last picture.
"""

from __future__ import annotations

from functools import partial
from threading import Event, Lock, RLock, Thread, current_thread
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from rich import get_console
from rich.jupyter import JupyterMixin
from rich.live import Live as RichLive

from rxecho.isolation import isolate, report

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

__all__ = ["Live", "Picture", "show"]

REFRESHES: Final = 10.0
"""A second, unless somebody says otherwise."""
IDLE: Final = 4
"""A picture that takes long to draw is drawn less often: this many times as long it rests in between."""

Bundle = dict[str, Any]
"""What is shown, by media type."""


class Live(RichLive):
    r"""Rich's `Live`, which in a notebook draws in place, too: without widgets, and a `Timeline` as SVG.

    All of its arguments mean what they mean in Rich, for a terminal. In a notebook, what is drawn is an output of the
    cell, which is drawn again while the block runs, `refresh_per_second` times at most, and once more when it ends;
    that last picture stays, also in the file and where it is only read. A front end that is not known to draw in place,
    such as Jupyter's console, gets the last picture alone. Anything printed meanwhile stands under it. There, Rich's
    own console draws, and `screen`, `vertical_overflow` and the redirection of output have no meaning.

    >>> import reactivex
    >>> from rxecho import StreamBuilder
    >>> latest = StreamBuilder(reactivex.of(1, 2, 3), lambda snapshot: f"latest: {snapshot.data}")
    >>> with Live(latest, refresh_per_second=20):
    ...     pass
    latest: 3
    """

    _picture: Picture | LastPicture | None = None

    def start(self, refresh: bool = False) -> None:
        """Draw, and go on drawing until `stop`; the `with` statement does both."""
        if not self.console.is_jupyter:
            super().start(refresh)
        elif self._picture is None and not draws_in_place():
            self._picture = LastPicture(partial(bundle, self.get_renderable))
        elif self._picture is None:
            pace = self.refresh_per_second if self.auto_refresh else None
            draw = partial(bundle, self.get_renderable)
            # Under Rich's own lock, which `update` holds: a second one would be taken in the other order elsewhere.
            self._picture = Picture(draw, first=draw(), pace=pace, drawing=self._lock)
            self._picture.wake()

    def stop(self) -> None:
        """Draw the last picture; it goes when `transient`."""
        picture, self._picture = self._picture, None
        if picture is None:
            super().stop()
        else:
            picture.stop(erase=self.transient)

    @property
    def is_started(self) -> bool:
        """Whether it draws."""
        return self._picture is not None or super().is_started

    def refresh(self) -> None:
        """Draw now, without waiting for its turn."""
        picture = self._picture
        if picture:
            picture.refresh()
        elif not self.console.is_jupyter:
            super().refresh()


class Picture:
    """An output of a notebook's cell, drawn again in place.

    Args:
        draw: Gives what is to be shown.
        first: What is shown first.
        pace: How often a second at most a thread of its own draws it again; `None` for never.
        running: Whether it may still change. When not, the thread draws it once more and ends.
        drawing: Guards the drawing, where whoever draws has a lock already.
    """

    def __init__(
        self,
        draw: Callable[[], Bundle],
        *,
        first: Bundle,
        pace: float | None = REFRESHES,
        running: Callable[[], bool] = lambda: True,
        drawing: RLock | None = None,
    ) -> None:
        from IPython.display import display

        self._draw = draw
        self._pace = pace
        self._running = running
        # Guards which thread draws, and whether any may. No foreign code runs under it, as it does under the other,
        # which has pictures leave in the order in which they were drawn.
        self._lock = Lock()
        self._drawing = drawing or RLock()
        self._thread: Thread | None = None
        self._stopped = Event()
        self._failed = False
        self._drawn = first
        self._handle = display(first, raw=True, display_id=True)

    def wake(self) -> None:
        """Begin to draw it again, or go on when what had come to an end may change again.

        Safe from any thread, and waits for no drawing.
        """
        with self._lock:
            if self._thread is None and self._pace and not self._stopped.is_set() and self._running():
                thread = Thread(target=self._go_on, args=(1 / self._pace,), name="rxecho picture", daemon=True)
                thread.start()
                self._thread = thread

    def _go_on(self, interval: float) -> None:
        took = 0.0
        while not self._stopped.wait(max(interval, IDLE * took)):
            begun = perf_counter()
            with self._lock:
                running = self._running()  # asked before it is drawn, or the end might not be in the last picture
                if not running:
                    self._thread = None
            try:
                self.refresh()
                self._failed = False
            except BaseException as error:  # noqa: BLE001 - of somebody's builder; told once, until it draws again
                self.tell(error)
            if not running:
                return
            took = perf_counter() - begun

    def tell(self, error: BaseException) -> None:
        """Say that it could not be drawn, unless that has been said."""
        if not self._failed:
            report(error)
        self._failed = True

    def refresh(self) -> None:
        """Draw it now, if it has changed."""
        with self._drawing:
            if not self._stopped.is_set():
                self._show(self._draw())

    def stop(self, *, erase: bool = False) -> None:
        """End its thread, and draw it for the last time. What has been drawn stays, unless erased."""
        with self._lock:
            self._stopped.set()
            thread, self._thread = self._thread, None
        if thread and thread is not current_thread():
            thread.join()
        with self._drawing:
            self._show({"text/plain": ""} if erase else self._draw())

    def _show(self, drawn: Bundle) -> None:
        if drawn != self._drawn:
            self._handle.update(drawn, raw=True)
            self._drawn = drawn


class LastPicture:
    """An output of a notebook's cell that is drawn once, at the end, for a front end that would not draw it again."""

    def __init__(self, draw: Callable[[], Bundle]) -> None:
        self._draw = draw

    def refresh(self) -> None:
        """Wait for the end."""

    def stop(self, *, erase: bool = False) -> None:
        """Draw it, unless it would be erased."""
        from IPython.display import display

        if not erase:
            display(self._draw(), raw=True)


def draws_in_place() -> bool:
    """Whether the front end whose cell is running takes newer contents for an output, as far as its request tells.

    The protocol has no word for that. JupyterLab, Notebook and VS Code name their cell; what runs notebooks without a
    user, such as nbclient, says that nobody can be asked for input; both keep the newest content. Consoles do neither.
    """
    request = _request()
    return "cellId" in request.get("metadata", {}) or not request.get("content", {}).get("allow_stdin", True)


def _request() -> dict[str, Any]:
    """What the front end has sent to have the cell run."""
    from IPython.core.getipython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    request: dict[str, Any] = kernel.get_parent() if kernel else {}
    return request


def bundle(draw: Callable[[], RenderableType]) -> Bundle:
    """What a notebook shows of what is drawn: what that gives for itself, or as Rich draws it; as text, too."""
    shown: Any = draw()
    if not hasattr(type(shown), "_repr_mimebundle_"):
        shown = _Drawable(shown)
    drawn: Bundle = shown._repr_mimebundle_(include=(), exclude=())
    return drawn


class _Drawable(JupyterMixin):
    """Whatever Rich draws, a text with markup among it."""

    def __init__(self, shown: RenderableType) -> None:
        self._shown = shown

    def __rich__(self) -> RenderableType:
        return self._shown


_shown: dict[str, tuple[str, WeakSet[Picture]]] = {}
"""The pictures of each cell, with the request by which it was run last."""


def show(
    draw: Callable[[], RenderableType], running: Callable[[], bool], before: Picture | None, instead: object
) -> Picture:
    """Show something in a notebook for as long as it runs: what `_ipython_display_` of its class calls.

    The picture is to be woken once it is known to whoever may change it.

    Args:
        draw: Gives what is to be drawn.
        running: Whether that may still change.
        before: Where it was shown before: that picture stays as it is now.
        instead: What is shown as text where it cannot be drawn yet.

    Raises:
        NotImplementedError: Nothing would be drawn again here; what IPython asked for is to be shown in another way.
    """
    if not (get_console().is_jupyter and draws_in_place()):
        raise NotImplementedError("nothing is drawn again here")
    drawing = partial(bundle, draw)
    failed: Exception | None = None
    try:
        first = drawing()
    except Exception as error:  # noqa: BLE001 - of somebody's builder, which may work with what comes
        first, failed = {"text/plain": repr(instead)}, error
    picture = Picture(drawing, first=first, running=running)
    if failed:
        picture.tell(failed)
    if before:
        isolate(before.stop)
    _replace(picture)
    return picture


def _replace(picture: Picture) -> None:
    """End the pictures that the cell showed when it was run before: their outputs are gone."""
    request = _request()
    if cell := request.get("metadata", {}).get("cellId"):
        run, pictures = _shown.get(cell, ("", WeakSet()))
        if run != (now := request["header"]["msg_id"]):
            for old in pictures:
                isolate(old.stop)
            pictures = WeakSet()
        pictures.add(picture)
        _shown[cell] = now, pictures
