"""What can be typed besides text, and what is told besides messages: in a terminal, on a real connection."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from raw_server import CLOSE, PING, PONG, TEXT, Peer, raw_server
from terminal import CTRL_C, CTRL_U, UP, Terminal
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

TIMEOUT = 20.0


class Heard:
    """A server that echoes, and what it heard."""

    def __init__(self) -> None:
        self.messages: queue.Queue[str | bytes] = queue.Queue()
        self.closes: queue.Queue[tuple[int | None, str | None]] = queue.Queue()
        self.url = ""

    def converse(self, connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            for message in connection:
                self.messages.put(message)
                connection.send(message)
        self.closes.put((connection.close_code, connection.close_reason))


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard = Heard()
    with serve(heard.converse, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        heard.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        yield heard
        server.shutdown()
        thread.join()


@contextmanager
def console(url: str, *options: str, config: Path | None = None, columns: int = 100) -> Iterator[Terminal]:
    environment = {"XDG_CONFIG_HOME": str(config)} if config else {}
    command = [sys.executable, "-m", "rxecho", "connect", url, *options]
    with Terminal(command, columns=columns, lines=30, environment=environment) as terminal:
        terminal.wait_for("● open")
        yield terminal


def leave(terminal: Terminal) -> None:
    terminal.send(CTRL_C)
    assert terminal.wait() == 0
    assert terminal.is_restored
    assert "Traceback" not in terminal.text


# Slash commands.


def test_a_ping_goes_out_with_its_text_and_its_round_trip_is_told() -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        frames.append(peer.receive_until(PING))
        peer.send(PONG, b"")  # to the first ping of the console itself
        while frames[-1] != b"Hello":
            frames.append(peer.receive_until(PING))
        peer.send(PONG, b"Hello")
        peer.send(CLOSE, peer.receive_until(CLOSE))

    frames: list[bytes] = []
    with raw_server(conduct) as port, console(f"ws://127.0.0.1:{port}/") as terminal:
        terminal.send("/ping Hello\r")
        terminal.wait_for("ms: Hello\n╭─ WebSocket Demo")
        assert "round trip " in terminal.text
        assert "↑ 0  ↓ 0" in terminal.text
        leave(terminal)


def test_a_pong_goes_out_with_its_text_behind_what_was_sent_before() -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        while (frame := peer.receive())[0] != CLOSE:
            frames.append(frame)
        peer.send(*frame)

    frames: list[tuple[int, bytes]] = []
    with raw_server(conduct) as port, console(f"ws://127.0.0.1:{port}/", "--ping-interval", "0") as terminal:
        terminal.send("one\r/pong still here\rtwo\r")
        terminal.wait_for("→ two")
        leave(terminal)
    assert frames == [(TEXT, b"one"), (PONG, b"still here"), (TEXT, b"two")]


@pytest.mark.parametrize(
    ("line", "close", "ending"),
    [
        ("/close", (1000, ""), "Closed: 1000 (normal closure)"),
        ("/close 4000", (4000, ""), "Closed: 4000"),
        ("/close 4001 Seen enough", (4001, "Seen enough"), "Closed: 4001: Seen enough"),
    ],
)
def test_close_closes_with_its_code_and_reason_behind_what_was_sent_before(
    heard: Heard, line: str, close: tuple[int, str], ending: str
) -> None:
    with console(heard.url) as terminal:
        terminal.send(f"last words\r{line}\rtoo late\r")
        assert terminal.wait() == 0
        assert heard.messages.get(timeout=TIMEOUT) == "last words"
        assert heard.closes.get(timeout=TIMEOUT) == close
        assert ending in terminal.display
        assert terminal.is_restored


def test_ctrl_c_behind_a_close_that_is_not_answered_leaves_at_once() -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        peer.wait_for_end()

    with raw_server(conduct) as port, console(f"ws://127.0.0.1:{port}/") as terminal:
        terminal.send("/close 4000\r")
        terminal.wait_for("● closing")
        terminal.send(CTRL_C)
        assert terminal.wait() == 0
        assert "Closed without waiting for an answer" in terminal.text


def test_two_slashes_send_one(heard: Heard) -> None:
    with console(heard.url) as terminal:
        terminal.send("//ping\r")
        terminal.wait_for("→ /ping\n← /ping\n")
        leave(terminal)
    assert heard.messages.get(timeout=TIMEOUT) == "/ping"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/dance", "a command is /ping [text], /pong [text] or /close"),
        ("/close 1005", "1005 cannot be sent as a close code"),
        ("/ping " + "x" * 126, "a ping may have 125 bytes"),
    ],
)
def test_a_mistake_in_a_command_is_told_and_the_line_stays(heard: Heard, line: str, said: str) -> None:
    with console(heard.url) as terminal:
        terminal.send(f"{line}\r")
        terminal.wait_for(f"not sent: {said}")
        terminal.wait_until(lambda: any(f"{line[-20:]} " in row for row in terminal.display if "❯" in row))  # noqa: RUF001
        assert "● open" in terminal.text
        assert "↑ 0" in terminal.text
        leave(terminal)
    assert heard.messages.empty()


# Pings and pongs.


def test_pings_and_pongs_are_told_of_in_both_directions() -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        peer.receive_until(PING)  # the console's own, for the round trip
        peer.send(PING, b"are you there\x1b")
        assert peer.receive_until(PONG) == b"are you there\x1b"
        peer.send(PONG, b"on my own")
        peer.send(CLOSE, peer.receive_until(CLOSE))

    with raw_server(conduct) as port, console(f"ws://127.0.0.1:{port}/", "--show-ping-pong") as terminal:
        payload = b"are you there\x1b".hex(" ")
        terminal.wait_for(f"ping received: {payload}\npong sent: {payload}\n")
        terminal.wait_for("pong received: on my own\n")
        terminal.wait_for("ping sent\n")
        leave(terminal)


# JSON.


def test_json_is_indented_and_coloured_and_nothing_of_it_changed(heard: Heard) -> None:
    with console(heard.url, "--json") as terminal:
        terminal.send('{"b":1.10,"a":[12345678901234567890],"b":1e400}\r')
        terminal.wait_for(
            '→ {"b":1.10,"a":[12345678901234567890],"b":1e400}\n← {\n    "b": 1.10,\n    "a": [\n'
            '      12345678901234567890\n    ],\n    "b": 1e400\n  }\n'
        )
        row = terminal.display.index('    "b": 1.10,')
        cells = terminal.screen.buffer[row]
        assert (cells[4].fg, cells[9].fg) == ("blue", "cyan")
        terminal.wait_for('│ {"b": 1.10, "a": [12345678901234567890], "b": 1e400}')
        leave(terminal)


def test_json_goes_on_on_the_next_line_until_it_is_whole(heard: Heard) -> None:
    with console(heard.url, "--json") as terminal:
        terminal.send('{"a":\r')
        terminal.wait_for('❯ {"a":↵')  # noqa: RUF001
        terminal.send("[1,\r2]}\r")
        assert heard.messages.get(timeout=TIMEOUT) == '{"a":\n[1,\n2]}'
        leave(terminal)


def test_what_is_not_json_stays_in_the_field_and_is_told_with_its_place(heard: Heard) -> None:
    with console(heard.url, "--json") as terminal:
        terminal.send("[1 2]\r")
        terminal.wait_for("not sent: it is not JSON at line 1, column 4: expected ',' or ']'\n")
        terminal.wait_for("❯ [1 2] ")  # noqa: RUF001
        terminal.send(CTRL_U + "/ping x\r")
        terminal.wait_for("round trip")
        leave(terminal)


def test_deep_huge_and_broken_json_and_text_leave_the_console_alive() -> None:
    texts = ["[" * 10_000 + "]" * 10_000, "[" + "1," * 8_000_000 + "1]", '{"a": ', "plain", "[" * 10_000]

    def conduct(connection: ServerConnection) -> None:
        for text in texts:
            connection.send(text)
        connection.recv()
        connection.close(1000)

    with serve(conduct, "127.0.0.1", 0, ping_interval=None, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        with console(url, "--json", "--max-size", "20000000") as terminal:
            terminal.wait_for("↓ 5")
            terminal.wait_for('← {"a": \n'.replace(" \n", "\n"))
            terminal.wait_for("← plain\n")
            terminal.send("true\r")
            assert terminal.wait() == 0
            assert "Traceback" not in terminal.text
        server.shutdown()
        thread.join()


# Binary.


def test_hex_is_sent_as_a_binary_message(heard: Heard) -> None:
    with console(heard.url, "--binary") as terminal:
        terminal.send("48 65 6C\r")
        terminal.wait_for("→ 3 bytes 48 65 6c\n← 3 bytes 48 65 6c\n")
        assert heard.messages.get(timeout=TIMEOUT) == b"Hel"
        terminal.send("4\r")
        terminal.wait_for("not sent: it is not hex at character 1: each byte has two digits")
        terminal.send(CTRL_U + "/ping x\r")
        terminal.wait_for("round trip")
        leave(terminal)


# History.


def test_lines_are_recalled_in_the_next_run(heard: Heard, tmp_path: Path) -> None:
    with console(heard.url, config=tmp_path) as terminal:
        terminal.send("first run\r/ping\rline\r")
        terminal.wait_for("← line")
        leave(terminal)
    with console(heard.url, config=tmp_path) as terminal:
        terminal.send(UP + UP + UP)
        terminal.wait_for("❯ first run ")  # noqa: RUF001
        leave(terminal)


def test_without_history_nothing_is_read_or_written(heard: Heard, tmp_path: Path) -> None:
    with console(heard.url, config=tmp_path) as terminal:
        terminal.send("first run\r")
        terminal.wait_for("← first run")
        leave(terminal)
    before = (tmp_path / "rxecho" / "history").read_bytes()
    with console(heard.url, "--no-history", config=tmp_path) as terminal:
        terminal.send(UP + "second run\r")
        terminal.wait_for("← second run")
        leave(terminal)
    assert (tmp_path / "rxecho" / "history").read_bytes() == before


def test_a_history_that_cannot_be_used_is_one_notice(heard: Heard, tmp_path: Path) -> None:
    (tmp_path / "rxecho").write_text("not a directory")
    with console(heard.url, config=tmp_path) as terminal:
        terminal.send("one\rtwo\r")
        terminal.wait_for("← two")
        leave(terminal)
        assert terminal.text.count("no history is kept") == 1
