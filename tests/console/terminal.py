"""A terminal for programs under test: a real pty, read through a terminal emulator.

>>> with Terminal([sys.executable, "-m", "rxecho"], columns=80, lines=24) as terminal:
...     terminal.wait_for("open")
...     terminal.send("Hello!\r")
...     terminal.wait_for("← Hello!")
...     terminal.send(CTRL_C)
...     assert terminal.wait() == 0
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import pyte
from pyte.modes import DECAWM
from pyte.screens import Char, StaticDefaultDict

TIMEOUT = 20.0
"""Seconds until a condition that never comes true fails its test; the others take milliseconds."""

CTRL_A, CTRL_C, CTRL_D, CTRL_E, CTRL_K, CTRL_U, CTRL_W = "\x01", "\x03", "\x04", "\x05", "\x0b", "\x15", "\x17"
CTRL_Z = "\x1a"
UP, DOWN, RIGHT, LEFT = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
HOME, END, DELETE, BACKSPACE = "\x1b[H", "\x1b[F", "\x1b[3~", "\x7f"
BRACKETED_PASTE, SYNCHRONIZED = 2004 << 5, 2026 << 5
"""Modes, as pyte counts them."""


def paste(text: str) -> str:
    """What a terminal sends when text is pasted."""
    return f"\x1b[200~{text}\x1b[201~"


class Terminal:
    """A program in a terminal of its own, which it controls.

    Args:
        command: The program and its arguments.
        columns: The terminal's width.
        lines: Its height.
        environment: What differs from this process's; `None` removes a variable. There is no history yet.

    Attributes:
        screen: The emulator.
        output: All the bytes that came from the program.
        process: The program.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 80,
        lines: int = 24,
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self.screen = pyte.HistoryScreen(columns, lines, history=10_000, ratio=0.5)
        self.output = b""
        self._stream = pyte.ByteStream(self.screen)
        self._master, self._slave = pty.openpty()
        self._set_size()
        self._modes = termios.tcgetattr(self._slave)
        # The shell leads a session, so that the terminal which it is the first to open controls it.
        shell = ["sh", "-c", 'exec <"$0" >"$0" 2>&1 && exec "$@"', os.ttyname(self._slave)]
        self.process = subprocess.Popen(
            [*shell, *command],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            env=_environment(
                {
                    "TERM": "xterm-256color",
                    "PYTHONUTF8": "1",
                    "XDG_CONFIG_HOME": self._directory.name,
                    **(environment or {}),
                }
            ),
        )
        self._exit = os.pidfd_open(self.process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.hang_up()
        os.close(self._slave)
        os.close(self._exit)
        self._directory.cleanup()

    # What the person does.

    def send(self, keys: str | bytes) -> None:
        """Press keys."""
        keys = keys if isinstance(keys, bytes) else keys.encode()
        while keys:
            readable, writable, _ = select.select([self._master], [self._master], [], TIMEOUT)
            if readable:
                self._read(0)
            if writable:
                keys = keys[os.write(self._master, keys[:512]) :]

    def resize(self, *, columns: int, lines: int) -> None:
        """Change the window's size; the kernel tells the program."""
        resize(self.screen, columns=columns, lines=lines)
        self._set_size()

    def signal(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        self.process.send_signal(number)

    def hang_up(self) -> None:
        """Close the window."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    # What the person sees.

    @property
    def display(self) -> list[str]:
        """The rows of the window."""
        return [row.rstrip() for row in self.screen.display]

    @property
    def scrollback(self) -> list[str]:
        """The rows that have left the window at its top."""
        return [_text(row) for row in self.screen.history.top]

    @property
    def text(self) -> str:
        """All of it, from the first row in the scrollback."""
        return "\n".join([*self.scrollback, *self.display])

    @property
    def is_restored(self) -> bool:
        """Whether the terminal is as before the program: its modes, its cursor, its wrapping, no marked pastes."""
        return (
            termios.tcgetattr(self._slave) == self._modes
            and not self.screen.cursor.hidden
            and DECAWM in self.screen.mode
            and BRACKETED_PASTE not in self.screen.mode
        )

    # What a test waits for.

    def wait_for(self, text: str) -> None:
        """Until the text is in the window or in the scrollback."""
        self.wait_until(lambda: text in self.text, f"{text!r} on the screen")

    def wait_until(self, condition: Callable[[], object], what: str = "the condition") -> None:
        """Until the condition holds for a frame that has been drawn whole."""
        deadline = time.monotonic() + TIMEOUT
        while SYNCHRONIZED in self.screen.mode or not condition():
            if not self._read(deadline) and not condition():
                raise AssertionError(f"waited for {what}, and saw:\n{self.text}")

    def wait(self) -> int:
        """Until the program has ended; the exit status."""
        deadline = time.monotonic() + TIMEOUT
        while self._read(deadline):
            pass
        status = self.process.poll()
        if status is None:
            raise AssertionError(f"waited for the program's end, and saw:\n{self.text}")
        return status

    def _read(self, deadline: float) -> bool:
        """Take in what was drawn next; `False` when nothing came before the program's end or the deadline."""
        sources = [self._exit] if self._master < 0 else [self._master, self._exit]
        readable, _, _ = select.select(sources, [], [], max(deadline - time.monotonic(), 0))
        if self._master not in readable:
            return False
        output = os.read(self._master, 65536)
        self.output += output
        self._stream.feed(output)
        return True

    def _set_size(self) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", self.screen.lines, self.screen.columns, 0, 0))


def resize(screen: pyte.HistoryScreen, *, columns: int, lines: int) -> None:
    """Resize as most terminals do.

    What has become too wide is broken into rows, and the cursor stays on its character. Of what has become too much,
    the rows above the cursor go to the scrollback, those below it are lost.
    """
    rows, cursor = [screen.buffer[line] for line in range(screen.lines)], screen.cursor
    ends = [max((column + 1 for column in row if row[column].data != " "), default=0) for row in rows]
    pieces = [
        [[row[column] for column in range(at, min(at + columns, end))] for at in range(0, end or 1, columns)]
        for row, end in zip(rows, ends, strict=True)
    ]
    row = sum(map(len, pieces[: cursor.y])) + cursor.x // columns
    kept = [piece for part in pieces for piece in part]
    leaving = max(row - lines + 1, 0)
    screen.resize(lines, columns)
    for piece in kept[:leaving]:
        screen.history.top.append(_row(piece))
    for line in range(lines):
        screen.buffer[line] = _row(kept[leaving + line] if leaving + line < len(kept) else [])
    cursor.y, cursor.x = row - leaving, cursor.x % columns


def _row(cells: Sequence[Char]) -> StaticDefaultDict[int, Char]:
    row = StaticDefaultDict[int, Char](Char(" "))
    row.update(enumerate(cells))
    return row


def _text(row: Mapping[int, Any]) -> str:
    return "".join(row[column].data for column in range(max(row, default=-1) + 1)).rstrip()


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    removed = {"COLUMNS": None, "LINES": None, "NO_COLOR": None, "COLORTERM": None}
    return {name: value for name, value in {**os.environ, **removed, **changes}.items() if value is not None}
