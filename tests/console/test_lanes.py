"""The running lanes under the panel, and the pipes that messages go through: in a terminal, on a real connection."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys
from rich.cells import cell_len
from terminal import CTRL_C, Terminal, paste

from rxecho.console.lanes import LONGEST, brief, key_label
from rxecho.server import EchoServer

CTRL_T = "\x14"
UPPER = "ops.map(str.upper)"


@pytest.fixture(scope="module")
def server() -> Iterator[EchoServer]:
    with EchoServer() as running:
        yield running


def console(server: EchoServer, *pipes: str, path: str = "", columns: int = 80, lines: int = 30) -> Terminal:
    options = [option for pipe in pipes for option in ("-p", pipe)]
    command = [sys.executable, "-m", "rxecho", "connect", server.url_for(path), *options]
    return Terminal(command, columns=columns, lines=lines)


def lanes(terminal: Terminal) -> list[str]:
    """The rows under the panel."""
    rows = terminal.display
    bottom = next((index for index, row in enumerate(rows) if row.startswith("╰─")), len(rows))
    return [row for row in rows[bottom + 1 :] if row]


def lane(terminal: Terminal, name: str) -> str:
    """What is on a lane, without its name."""
    return next((row.removeprefix(name) for row in lanes(terminal) if row.startswith(name)), "")


def leave(terminal: Terminal) -> None:
    terminal.send(CTRL_C)
    assert terminal.wait() == 0
    assert terminal.is_restored
    assert "Traceback" not in terminal.text


def test_ctrl_t_shows_keys_sink_and_stream_and_hides_them_again(server: EchoServer) -> None:
    with console(server) as terminal:
        terminal.wait_for("● open")
        terminal.send(CTRL_T)
        terminal.wait_until(lambda: len(lanes(terminal)) == 4, "three lanes and the axis")
        assert [row.split()[0] for row in lanes(terminal)[:3]] == ["keys", "sink", "stream"]
        assert re.fullmatch(r" *╵-\d+ s.*╵now", lanes(terminal)[-1])
        terminal.send("hi\r")
        terminal.wait_until(lambda: "hi" in lane(terminal, "stream"), "the echo on its lane")
        assert "hi" in lane(terminal, "sink")
        terminal.send(CTRL_T)
        terminal.wait_until(lambda: not lanes(terminal), "no lanes")
        assert "❯" in terminal.text  # noqa: RUF001
        leave(terminal)


def test_what_happened_before_they_are_shown_is_on_them(server: EchoServer) -> None:
    with console(server) as terminal:
        terminal.wait_for("● open")
        terminal.send("early\r")
        terminal.wait_for("← early")
        terminal.send(CTRL_T)
        terminal.wait_until(lambda: "early" in lane(terminal, "stream"), "what came before")
        leave(terminal)


def test_a_marble_moves_to_the_left_with_time_and_leaves(server: EchoServer) -> None:
    with console(server) as terminal:
        terminal.wait_for("● open")
        terminal.send(CTRL_T + "hi\r")
        terminal.wait_until(lambda: "hi" in lane(terminal, "stream"), "the echo on its lane")
        places: list[int] = []

        def note_the_place() -> bool:
            place = lane(terminal, "stream").find("hi")
            if not places or place != places[-1]:
                places.append(place)
            return place < 0

        terminal.wait_until(note_the_place, "the marble's end")
        seen = places[:-1]
        assert seen == sorted(seen, reverse=True)
        assert len(seen) > 10  # of the 60 cells that it passes; a busy machine shows several steps in one
        leave(terminal)


def test_every_pipe_has_a_lane_and_the_transcript_shows_what_comes_out(server: EchoServer) -> None:
    with console(server, UPPER, "ops.scan(lambda all, new: all + new)") as terminal:
        terminal.wait_for("● open")
        terminal.send(CTRL_T + "a\rb\r")
        terminal.wait_for("← AB")
        terminal.wait_until(lambda: "AB" in lane(terminal, "ops.scan"), "the sum on its lane")
        assert [row.split()[0] for row in lanes(terminal)[:5]] == ["keys", "sink", "stream", UPPER, "ops.scan(lambda"]
        assert "→ a\n" in terminal.text
        assert "│ AB " in terminal.text
        leave(terminal)


@pytest.mark.parametrize("columns", [60, 100, 160])
def test_they_are_readable_in_a_terminal_of_that_width(server: EchoServer, columns: int) -> None:
    with console(server, UPPER, "ops.debounce(0.2)", columns=columns) as terminal:
        terminal.wait_for("● open")
        terminal.send(CTRL_T + "hello\r")
        terminal.wait_until(lambda: "HELLO" in lane(terminal, "ops.debounce(0.2)"), "the word, whole")
        assert "hello" in lane(terminal, "sink")
        assert "HELLO" in lane(terminal, UPPER)
        assert all(cell_len(row) <= columns for row in lanes(terminal))
        leave(terminal)


def test_a_value_is_under_itself_on_every_lane_that_it_passes_at_once(server: EchoServer) -> None:
    with console(server, "ops.map(lambda text: text)") as terminal:
        terminal.wait_for("● open")
        terminal.send(CTRL_T + "mark\r")
        terminal.wait_until(lambda: "mark" in lane(terminal, "ops.map"), "the last lane")
        rows = lanes(terminal)
        assert rows[2].index("mark") == rows[3].index("mark")
        columns = [index for index, cell in terminal.screen.buffer[terminal.display.index(rows[2])].items() if cell.fg]
        assert columns
        colours = {
            terminal.screen.buffer[terminal.display.index(row)][row.index("mark")].fg for row in (rows[2], rows[3])
        }
        assert len(colours) == 1
        leave(terminal)


def test_a_stream_of_streams_branches(server: EchoServer) -> None:
    with console(server, "ops.group_by(len)") as terminal:
        terminal.wait_for("● open")
        terminal.send(CTRL_T + "a\rbb\rc\r")
        terminal.wait_until(lambda: "c" in lane(terminal, "  1"), "the first group")
        assert "bb" in lane(terminal, "  2")
        assert "╰" in lane(terminal, "  2")
        leave(terminal)


def test_a_pipe_that_fails_says_so_and_leaves_the_connection_open(server: EchoServer) -> None:
    with console(server, "ops.map(int)") as terminal:
        terminal.wait_for("● open")
        terminal.send(CTRL_T + "one\r")
        terminal.wait_for("│ ValueError: invalid literal for int() with base 10: 'one'")
        terminal.wait_until(lambda: "✕" in lane(terminal, "ops.map(int)"), "the error on its lane")
        assert "● open" in terminal.text
        leave(terminal)


def test_a_pipe_that_completes_leaves_the_connection_open(server: EchoServer) -> None:
    with console(server, "ops.take(1)") as terminal:
        terminal.wait_for("● open")
        terminal.send(CTRL_T + "one\r")
        terminal.wait_until(lambda: "┤" in lane(terminal, "ops.take(1)"), "its end on its lane")
        assert "● open" in terminal.text
        leave(terminal)


def test_what_is_still_in_the_pipes_when_the_server_closes_is_shown(server: EchoServer) -> None:
    with console(server, "ops.delay(0.3)", path="/ticker?interval=0&count=2&seed=1") as terminal:
        assert terminal.wait() == 0
        assert terminal.text.count("← {") == 2
        assert "Closed by the server: 1000" in terminal.text


def test_a_pipe_that_never_ends_does_not_keep_the_console(server: EchoServer) -> None:
    with console(server, "ops.merge(rx.never())", path="/close?code=1000") as terminal:
        assert terminal.wait() == 0
        assert "Closed by the server: 1000" in terminal.text


def test_a_low_window_shows_what_it_has_room_for(server: EchoServer) -> None:
    with console(server, lines=12) as terminal:
        terminal.wait_for("● open")
        terminal.send(CTRL_T)
        terminal.wait_until(lambda: len(lanes(terminal)) == 4, "a lower panel, and all lanes")
        assert "● open" in terminal.text
        leave(terminal)


def test_what_a_peer_says_commands_nothing_on_a_lane(server: EchoServer) -> None:
    with console(server) as terminal:
        terminal.wait_for("● open")
        terminal.send(CTRL_T + paste("\x1b]0;title\x07[bold]") + "\r")
        terminal.wait_until(lambda: "[bold]" in lane(terminal, "stream"), "the echo, escaped")
        assert "\\e]0;title\\x07[bold]" in lane(terminal, "stream")
        assert terminal.screen.title == ""
        leave(terminal)


# What is kept, and what keys are called.


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (KeyPress("a"), "a"),
        (KeyPress(" "), "Space"),
        (KeyPress(Keys.Enter), "Enter"),
        (KeyPress(Keys.Backspace), "Backspace"),
        (KeyPress(Keys.Left), "Left"),
        (KeyPress(Keys.ControlW), "Ctrl+W"),
        (KeyPress(Keys.Escape), "Esc"),
        (KeyPress(Keys.BracketedPaste, "two\nlines"), "two\nlines"),
    ],
)
def test_a_key_is_called_what_is_written_on_it(key: KeyPress, name: str) -> None:
    assert key_label(key) == name


@pytest.mark.parametrize("value", ["x" * 10**6, b"x" * 10**6, ["x" * 10**6] * 1000])
def test_a_lane_keeps_no_more_of_a_value_than_its_label_needs(value: object) -> None:
    kept = brief(value)
    assert isinstance(kept, str | bytes)
    assert len(kept) <= 30 * LONGEST
