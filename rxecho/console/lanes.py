"""The running lanes under the panel: keys, sink, stream and what `-p` puts behind it.

Everything on a message's way passes one of them, and is seen at the right edge as it happens.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final

from prompt_toolkit.keys import Keys
from reactivex import Observable

from rxecho.marbles.labels import Palette, label
from rxecho.marbles.terminal import draw

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyPress
    from rich.console import Console, ConsoleOptions, RenderResult

    from rxecho.marbles import Timeline

__all__ = ["Lanes", "beginning", "brief", "key_label"]

SHOWN: Final = 6.0
"""Seconds that the lanes show, about: as many as there are whole cells for."""
LONGEST: Final = 200
"""Characters that are kept of a value."""


class Lanes:
    """The last seconds of a timeline. A label keeps its colour for as long as this is shown."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._palette = Palette()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from draw(self._timeline.diagram(last=SHOWN), options, palette=self._palette, live=True)


beginning = itemgetter(slice(LONGEST))
"""What a lane keeps of a message: enough for its label, however long it is."""


def brief(value: object) -> object:
    """The same of anything."""
    if isinstance(value, str | bytes):
        return beginning(value)
    return value if isinstance(value, Observable) else label(value)


def key_label(key: KeyPress) -> str:
    """A key by the name that is on it."""
    if key.key == Keys.BracketedPaste:
        return key.data[:LONGEST]
    if not isinstance(key.key, Keys):
        return "Space" if key.key == " " else key.key
    name = _NAMES.get(key.key) or key.key.value
    return f"Ctrl+{name[2:].upper()}" if name.startswith("c-") else name.capitalize()


_NAMES = {Keys.Enter: "Enter", Keys.ControlH: "Backspace", Keys.Tab: "Tab", Keys.Escape: "Esc"}
