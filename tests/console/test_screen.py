"""The screen, drawn into a terminal emulator: one picture, whatever is printed and whatever becomes of the window."""

from __future__ import annotations

import asyncio
import io
import threading
from contextlib import redirect_stderr

import pyte
import pytest
from rich.console import Console
from rich.text import Text
from terminal import resize

from rxecho.console.screen import FRAME, Display, Screen
from rxecho.marbles import Timeline


class Window(io.StringIO):
    """A terminal's window as a file."""

    def __init__(self, columns: int = 40, lines: int = 12) -> None:
        super().__init__()
        self.screen = pyte.HistoryScreen(columns, lines, history=1_000)
        self.console = Console(file=self, force_terminal=True, width=columns, height=lines, legacy_windows=False)
        self._stream = pyte.Stream(self.screen)
        self.writes: list[str] = []
        self.drawn = asyncio.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.writes.append(text)
        self._stream.feed(text.replace("\n", "\r\n"))
        if "WebSocket Demo" in text:
            self.drawn.set()
        return len(text)

    async def next_frame(self) -> None:
        """Wait until the panel is drawn, and not for one that has been waited for."""
        await asyncio.wait_for(self.drawn.wait(), 20)
        self.drawn.clear()

    @property
    def rows(self) -> list[str]:
        """What is to be seen, without the empty rows at the end."""
        return "\n".join(row.rstrip() for row in self.screen.display).rstrip().split("\n")

    def resize(self, columns: int, lines: int) -> None:
        resize(self.screen, columns=columns, lines=lines)
        self.console.size = (columns, lines)


class Box:
    """A picture as wide as the window."""

    def __init__(self, rows: int = 3) -> None:
        self.rows = rows

    def __rich__(self) -> Text:
        return Text("\n".join(["#" * 200] * self.rows), no_wrap=True, overflow="crop")


def test_what_is_printed_stays_above_the_picture() -> None:
    window = Window()
    with Display(Box(2), window.console) as display:
        for text in ("one", "two"):
            display.print(Text(text))
        window.console.print("three")
        assert window.rows == ["one", "two", "three", "#" * 40, "#" * 40]


def test_nothing_of_the_picture_is_left_when_it_is_stopped() -> None:
    window = Window()
    with Display(Box(), window.console) as display:
        display.print(Text("one"))
    window.console.print("after")
    assert window.rows == ["one", "after"]
    assert not window.screen.cursor.hidden


def test_an_exception_takes_the_picture_away_too() -> None:
    window = Window()
    with pytest.raises(ZeroDivisionError), Display(Box(), window.console) as display:
        display.print(Text("one"), 1 / 0)  # type: ignore[arg-type]
    assert window.rows == [""]


def test_a_frame_is_one_write_that_the_terminal_shows_at_once() -> None:
    window = Window()
    with Display(Box(), window.console) as display:
        window.writes.clear()
        display.print(Text("one"), Text("two"))
        assert len(window.writes) == 1
        assert window.writes[0].startswith("\x1b[?2026h")
        assert window.writes[0].endswith("\x1b[?2026l")


def test_a_picture_may_grow_and_shrink() -> None:
    window, box = Window(), Box(3)
    with Display(box, window.console) as display:
        for box.rows in (3, 5, 1, 2):
            display.print()
            assert window.rows == ["#" * 40] * box.rows


def test_what_scrolls_off_the_window_is_in_the_scrollback_and_the_picture_is_not() -> None:
    window = Window()
    with Display(Box(), window.console) as display:
        for number in range(30):
            display.print(Text(str(number)))
    history = ["".join(row[column].data for column in sorted(row)).strip() for row in window.screen.history.top]
    assert history + window.rows == [*map(str, range(30))]


@pytest.mark.parametrize("columns", [39, 30, 20, 13, 60])
def test_a_window_that_becomes_narrower_does_not_smear_the_picture(columns: int) -> None:
    window = Window(lines=24)
    with Display(Box(), window.console) as display:
        display.print(Text("one"))
        display.print(Text("two"))
        window.resize(columns, 24)
        display.print(Text("three"))
        assert window.rows == ["one", "two", "three", *["#" * columns] * 3]


def test_a_picture_that_is_higher_than_the_window_is_cut() -> None:
    window = Window(lines=4)
    with Display(Box(9), window.console) as display:
        display.print()
        display.print()
        assert window.rows == ["#" * 40] * 4


def test_what_other_threads_print_to_standard_error_goes_above_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    window = Window()

    def fail() -> None:
        raise ZeroDivisionError("in a thread")

    with redirect_stderr(window), Display(Box(2), window.console) as display:
        display.print()
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        assert window.rows[-3:] == ["ZeroDivisionError: in a thread", "#" * 40, "#" * 40]


# When it is drawn.


def frames(window: Window) -> int:
    return sum("WebSocket Demo" in text for text in window.writes)


def test_it_is_drawn_at_most_twenty_times_a_second() -> None:
    window = Window()

    async def animate() -> float:
        loop = asyncio.get_running_loop()
        with Screen(window.console, Timeline(), url="ws://h/") as screen:
            began = loop.time()
            animation = asyncio.create_task(screen.animate())
            while frames(window) < 5:
                await window.next_frame()
                for _ in range(100):
                    screen.transcript.note_received("x")
                    screen.changed()
            animation.cancel()
            return loop.time() - began

    assert asyncio.run(animate()) >= 4 / 20


def test_nothing_is_drawn_while_nothing_changes() -> None:
    window = Window()

    async def animate() -> None:
        with Screen(window.console, Timeline(), url="ws://h/") as screen:
            animation = asyncio.create_task(screen.animate())
            for drawn in (1, 2):
                await window.next_frame()
                await asyncio.wait({animation}, timeout=3 * FRAME)
                assert frames(window) == drawn
                screen.changed()

    asyncio.run(animate())


def test_a_change_after_the_end_is_ignored() -> None:
    async def make() -> Screen:
        return Screen(Window().console, Timeline(), url="ws://h/")

    asyncio.run(make()).changed()
