"""The keyboard as an observable, typed on through a pty."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import select
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from rxecho.console.keyboard import keyboard

TIMEOUT = 10.0


class Pty:
    """A pty, with the keyboard at one end and the test at the other."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.stdin = open(self.slave, encoding="utf-8", closefd=False)  # noqa: SIM115
        self.stdout = open(self.slave, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        self.keyboard = keyboard(create_input(self.stdin), output=self.stdout)
        self.modes = termios.tcgetattr(self.slave)

    def type(self, keys: str | bytes) -> None:
        os.write(self.master, keys if isinstance(keys, bytes) else keys.encode())

    def written(self) -> str:
        """What was written to the terminal since the last time."""
        output = b""
        while select.select([self.master], [], [], 0)[0]:
            output += os.read(self.master, 1024)
        return output.decode()

    def close(self) -> None:
        for file in (self.stdin, self.stdout):
            file.close()
        for descriptor in (self.master, self.slave):
            os.close(descriptor)


@pytest.fixture
def terminal() -> Iterator[Pty]:
    terminal = Pty()
    yield terminal
    terminal.close()


def typed(terminal: Pty, *parts: str | bytes, last: str = ".") -> list[KeyPress]:
    """The keys that come from typing the parts, each once the keys of the one before came, up to `last`."""

    async def collect() -> list[KeyPress]:
        keys: asyncio.Queue[KeyPress] = asyncio.Queue()
        with terminal.keyboard.subscribe(keys.put_nowait):
            collected = []
            for part in parts:
                terminal.type(part)
                collected.append(await asyncio.wait_for(keys.get(), TIMEOUT))
            while collected[-1].key != last:
                collected.append(await asyncio.wait_for(keys.get(), TIMEOUT))
        return collected[:-1]

    return asyncio.run(collect())


def names(keys: list[KeyPress]) -> list[str]:
    return [key.key.value if isinstance(key.key, Keys) else key.key for key in keys]


def test_each_key_is_emitted_as_it_is_pressed(terminal: Pty) -> None:
    assert names(typed(terminal, "a", "日", "\r", "\x1b[A", ".")) == ["a", "日", "c-m", "up"]


def test_a_paste_is_one_key_with_its_text_whole(terminal: Pty) -> None:
    (paste,) = typed(terminal, "\x1b[200~one\rtwo\x1b[31m\tthree\x1b[201~.")
    assert (paste.key, paste.data) == (Keys.BracketedPaste, "one\rtwo\x1b[31m\tthree")


def test_a_long_paste_is_one_key(terminal: Pty) -> None:
    (paste,) = typed(terminal, "\x1b[200~" + "x" * 3_000 + "\x1b[201~.")
    assert paste.data == "x" * 3_000


def test_the_escape_key_is_emitted_although_sequences_begin_with_it(terminal: Pty) -> None:
    assert names(typed(terminal, "\x1b", ".")) == ["escape"]


def test_alt_with_a_letter_is_the_key_that_moves_by_words(terminal: Pty) -> None:
    assert names(typed(terminal, "\x1bb\x1bf\x1bd\x1b\x7f.")) == ["c-left", "c-right", "c-delete", "c-w"]


@pytest.mark.parametrize(
    "sequence", ["\x1b[99~", "\x1b[1;99P", "\x1b[?1;2c", "\x1b[I", "\x1bOz", "\x1bz"], ids=lambda text: text[1:]
)
def test_a_sequence_that_nobody_knows_does_nothing(terminal: Pty, sequence: str) -> None:
    assert names(typed(terminal, f"a{sequence}b.")) == ["a", "b"]


def test_bytes_that_are_not_text_come_as_surrogates(terminal: Pty) -> None:
    assert names(typed(terminal, b"\xff.")) == ["\udcff"]


def test_subscribing_takes_the_terminal_and_disposing_gives_it_back(terminal: Pty) -> None:
    async def subscribe() -> None:
        with terminal.keyboard.subscribe():
            lflag = termios.tcgetattr(terminal.slave)[3]
            assert not lflag & (termios.ECHO | termios.ICANON | termios.ISIG)
            assert "\x1b[?2004h" in terminal.written()
        assert "\x1b[?2004l" in terminal.written()

    asyncio.run(subscribe())
    assert termios.tcgetattr(terminal.slave) == terminal.modes


def test_it_can_be_subscribed_to_again(terminal: Pty) -> None:
    assert names(typed(terminal, "a.")) == ["a"]
    assert names(typed(terminal, "b.")) == ["b"]


def test_after_disposing_no_key_comes_but_to_who_subscribes_next(terminal: Pty) -> None:
    async def type_on() -> None:
        with terminal.keyboard.subscribe(before.append):
            terminal.type("a")
        with terminal.keyboard.subscribe(after.put_nowait):
            terminal.type("b")
            while (await asyncio.wait_for(after.get(), TIMEOUT)).key != "b":
                pass

    before: list[KeyPress] = []
    after: asyncio.Queue[KeyPress] = asyncio.Queue()
    asyncio.run(type_on())
    assert before == []


def test_it_completes_when_the_input_closes() -> None:
    async def read(source: Input) -> list[str]:
        completed = asyncio.Event()
        keys: list[KeyPress] = []
        with keyboard(source, output=io.StringIO()).subscribe(keys.append, on_completed=completed.set):
            await asyncio.wait_for(completed.wait(), TIMEOUT)
        return names(keys)

    reader, writer = os.pipe()
    os.write(writer, b"a")
    os.close(writer)
    with os.fdopen(reader) as stdin:
        assert asyncio.run(read(create_input(stdin))) == ["a"]


def test_it_completes_when_the_terminal_is_hung_up() -> None:
    async def read(source: Input, master: int) -> None:
        completed = asyncio.Event()
        with keyboard(source, output=io.StringIO()).subscribe(on_completed=completed.set):
            os.close(master)
            await asyncio.wait_for(completed.wait(), TIMEOUT)

    master, slave = pty.openpty()
    with os.fdopen(slave) as stdin:
        asyncio.run(read(create_input(stdin), master))


def test_what_cannot_be_waited_for_is_an_error_and_leaves_the_terminal_alone(terminal: Pty, tmp_path: Path) -> None:
    async def subscribe() -> list[Exception]:
        errors: list[Exception] = []
        with (tmp_path / "file").open("w+") as file:
            keyboard(create_input(file), output=terminal.stdout).subscribe(on_error=errors.append)
        return errors

    assert [type(error) for error in asyncio.run(subscribe())] == [EOFError]
    assert terminal.written().endswith("\x1b[?2004l")
