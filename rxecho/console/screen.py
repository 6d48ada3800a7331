"""The screen: a panel that stays, and above it the transcript in the terminal's own scrollback.

The end of a message's way. All drawing happens on the thread of the asyncio loop, when something has changed
and at most twenty times a second.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from rich.console import ConsoleDimensions, Group
from rich.control import Control
from rich.live import Live
from rich.live_render import LiveRender
from rich.segment import ControlType, Segment, Segments

from rxecho.console.drawable import Excerpt
from rxecho.console.lanes import Lanes
from rxecho.console.panel import ConsolePanel
from rxecho.console.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderResult

    from rxecho.marbles import Timeline

__all__ = ["Display", "Screen"]

FRAME = 1 / 20
"""Seconds from one drawing to the next, at least."""


class Screen:
    """What the person at the terminal sees. Flutter's `State.build`, with `changed` for `setState`.

    To be made and entered inside a running asyncio loop.

    Attributes:
        transcript: Where messages are noted.
        panel: What stays below them.
        shows_lanes: Whether the timeline's lanes are below the panel, and move.
    """

    def __init__(
        self,
        console: Console,
        timeline: Timeline,
        *,
        url: str,
        verified: bool = True,
        excerpt: Callable[[str | bytes], Excerpt] = Excerpt.of,
    ) -> None:
        self.transcript = Transcript(self.changed, excerpt=excerpt)
        self.panel = ConsolePanel(self.transcript, url=url, verified=verified)
        self.shows_lanes = False
        self._lanes = Lanes(timeline)
        self._display = Display(self, console)
        self._loop = asyncio.get_running_loop()
        self._dirty = asyncio.Event()

    def __enter__(self) -> Self:
        self._display.start()
        self.changed()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()

    def changed(self) -> None:
        """Ask for a drawing. Safe from any thread, at any time."""
        with suppress(RuntimeError):  # the loop has closed, and nothing is drawn any more
            self._loop.call_soon_threadsafe(self._dirty.set)

    async def animate(self) -> None:
        """Draw what changes, until cancelled.

        Raises:
            OSError: The terminal has gone away.
        """
        while await self._dirty.wait():
            if not self.shows_lanes:  # which change all the time
                self._dirty.clear()
            self.draw()
            await asyncio.sleep(FRAME)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.shows_lanes:
            yield self.panel
            return
        lanes = Segments(list(console.render(self._lanes, options)))
        width, height = options.size
        lower = options.copy()
        lower.size = ConsoleDimensions(width, height - sum(segment.text == "\n" for segment in lanes.segments))
        yield from console.render(self.panel, lower)
        yield lanes

    def draw(self) -> None:
        """Print what the transcript has noted and draw the panel anew, in one write."""
        self._display.print(*self.transcript.take())


class Display(Live):
    """A `Live` that stays in one piece when its terminal is resized.

    Rich leaves the cursor at the end of what it drew and later climbs as many rows as there were. Where a
    narrower terminal has broken them into more, a part of the old picture stays behind. Here the cursor
    rests on the first row, where a terminal keeps it whatever becomes of the rows, and all below it is
    erased before the next picture. Nothing of the last one remains when the display is stopped, but for
    the rows that tmux has moved into its history when the window became narrower: those nobody can reach.
    """

    def __init__(self, renderable: RenderableType, console: Console) -> None:
        super().__init__(
            get_renderable=lambda: renderable if self.is_started else "",
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stderr=sys.stderr is not None and sys.stderr.isatty(),
            vertical_overflow="crop",
        )

    def print(self, *above: RenderableType) -> None:
        """Draw it anew, and something above it that will scroll away."""
        self.console.print(Group(*above))

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Rich's hook for all that is printed meanwhile: put it above, and the picture below it."""
        _climb, *above, picture = super().process_renderables(renderables)
        assert isinstance(picture, LiveRender)
        picture.set_renderable(self.get_renderable())
        return [
            _control(_BEGIN + _ERASE),
            *above,
            _control(_NO_WRAP),
            picture,
            _Climb(picture),
            _control(_WRAP + _END),
        ]


# Mode 2026 has a terminal that knows it show the frame at once; others ignore it.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
# A picture drawn for a window that has just become narrower is cut, so that it has as many rows as we climb.
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"
# Row by row, and what is below the first at once. From the screen's first cell on, `ED` is no erasing for tmux: it
# moves everything into the scrollback.
_ERASE = "\r\x1b[2K\x1b7\x1b[B\x1b[J\x1b8"


def _control(code: str) -> Segments:
    return Segments([Segment(code, None, [(ControlType.CARRIAGE_RETURN,)])])


class _Climb:
    """From the last row of a picture that has just been drawn back to its first."""

    def __init__(self, picture: LiveRender) -> None:
        self._picture = picture

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Control(ControlType.CARRIAGE_RETURN)
        if (rows := self._picture.last_render_height - 1) > 0:
            yield Control((ControlType.CURSOR_UP, rows))
