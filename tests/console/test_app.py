"""The console as a person meets it: `rxecho connect` in a terminal of its own, and a real peer at the other end."""

from __future__ import annotations

import queue
import re
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic

import pytest
from raw_server import Peer, raw_server, refused_port
from terminal import CTRL_C, CTRL_D, CTRL_Z, DOWN, LEFT, UP, Terminal, paste
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from rxecho.console.app import PING_EVERY
from rxecho.server import EchoServer

TIMEOUT = 20.0


@contextmanager
def peer(conduct: Callable[[ServerConnection], object]) -> Iterator[str]:
    """The URL of a server that treats its clients like this."""

    def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            conduct(connection)

    with serve(handle, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        server.shutdown()
        thread.join()


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def console(url: str, **options: object) -> Terminal:
    """A console on that server."""
    return Terminal([sys.executable, "-m", "rxecho", "connect", url], **options)  # type: ignore[arg-type]


def scripted(url: str, *, before: str = "", options: str = "") -> Terminal:
    """A console that a script opens, after some other lines."""
    script = f"""
import sys
from rxecho.channel import WebSocketChannel
from rxecho.console import app
{before}
sys.exit(app.run(WebSocketChannel.connect(sys.argv[1], {options}), url=sys.argv[1]))
"""
    return Terminal([sys.executable, "-c", script, url])


def never_answer(peer: Peer) -> None:
    """Open, and say nothing more."""
    peer.open()
    peer.wait_for_end()


def last_line(terminal: Terminal) -> str:
    """What the program left as the last thing in the window, which may have broken it into two rows."""
    return re.split(r"(?m)^(?=Closed|Ended|rxecho: )", terminal.text)[-1].replace("\n", "")


def assert_given_back(terminal: Terminal) -> None:
    """The terminal is as it was, and the panel is gone."""
    assert terminal.is_restored
    assert "Send a message" not in terminal.text
    assert "Traceback" not in terminal.text


# One conversation that several tests continue.


class Conversation:
    """A console, open, with an echo at the other end that can also be made to say things of its own."""

    def __init__(self, terminal: Terminal, connection: ServerConnection) -> None:
        self.terminal = terminal
        self.say = connection.send
        self.heard: queue.Queue[str | bytes] = queue.Queue()

    def type(self, keys: str) -> None:
        self.terminal.send(keys)

    def prompt(self) -> str:
        """What is in the text field."""
        rows = self.terminal.display
        top = next(index for index, row in enumerate(rows) if "WebSocket Demo" in row)
        return rows[top + 2].strip("│ ").removeprefix("❯").strip()  # noqa: RUF001

    def status(self) -> str:
        return next((row for row in self.terminal.display if "●" in row), "").strip("│ ")


@pytest.fixture(scope="module")
def conversation() -> Iterator[Conversation]:
    connections: queue.Queue[ServerConnection] = queue.Queue()
    ready = threading.Event()
    current: list[Conversation] = []

    def conduct(connection: ServerConnection) -> None:
        connections.put(connection)
        ready.wait(TIMEOUT)
        for message in connection:
            current[0].heard.put(message)
            connection.send(message)

    with peer(conduct) as url, console(url) as terminal:
        current.append(Conversation(terminal, connections.get(timeout=TIMEOUT)))
        ready.set()
        terminal.wait_for("● open")
        yield current[0]
        terminal.send(CTRL_C)
        terminal.wait()


def test_a_line_is_sent_and_its_echo_shown_above_the_panel_and_in_it(conversation: Conversation) -> None:
    conversation.type("Hello!\r")
    assert conversation.heard.get(timeout=TIMEOUT) == "Hello!"
    conversation.terminal.wait_for("→ Hello!\n← Hello!\n╭─ WebSocket Demo")
    conversation.terminal.wait_for("│ Hello! ")


def test_the_status_line_counts_and_tells_the_round_trip(conversation: Conversation) -> None:
    conversation.type("count me\r")
    conversation.terminal.wait_for("← count me")
    conversation.terminal.wait_until(
        lambda: re.fullmatch(r"● open  ws://127\.0\.0\.1:\d+/ +↑ (\d+)  ↓ \1   rtt [\d.]+ ms", conversation.status())
    )


def test_up_recalls_what_was_sent_and_the_draft_comes_back(conversation: Conversation) -> None:
    conversation.type("recall me\r")
    conversation.terminal.wait_for("← recall me")
    conversation.type("draft" + UP)
    conversation.terminal.wait_until(lambda: conversation.prompt() == "recall me")
    conversation.type(DOWN)
    conversation.terminal.wait_until(lambda: conversation.prompt() == "draft")
    conversation.type("\x15")
    conversation.terminal.wait_until(lambda: conversation.prompt() == "")


def test_a_paste_is_one_message_with_its_line_breaks(conversation: Conversation) -> None:
    with conversation.heard.mutex:
        conversation.heard.queue.clear()
    conversation.type(paste("one\r\rtwo"))
    conversation.terminal.wait_until(lambda: conversation.prompt() == "one↵↵two")
    conversation.type("\r")
    assert conversation.heard.get(timeout=TIMEOUT) == "one\n\ntwo"
    conversation.terminal.wait_for("→ one\n\n  two\n← one\n\n  two\n")


def test_the_cursor_is_a_block_that_moves_by_what_is_seen_as_one_character(conversation: Conversation) -> None:
    conversation.type("a日b" + LEFT + LEFT)
    screen = conversation.terminal.screen

    def reversed_characters() -> str:
        return "".join(
            screen.buffer[y][x].data for y in range(screen.lines) for x in range(80) if screen.buffer[y][x].reverse
        )

    conversation.terminal.wait_until(lambda: reversed_characters() == "日")
    conversation.type("\x05\x15")
    conversation.terminal.wait_until(lambda: conversation.prompt() == "")


def test_what_a_peer_says_commands_nothing(conversation: Conversation) -> None:
    conversation.say("\x1b[2J\x1b]0;title\x07[bold red]x[/] \u202edesrever\n← fake\r\x9b31m")
    conversation.terminal.wait_for("← \\e[2J\\e]0;title\\x07[bold red]x[/] \\u202edesrever\n  ← fake\\r\\x9b31m\n")
    assert conversation.terminal.screen.title == ""


def test_binary_is_shown_as_hex(conversation: Conversation) -> None:
    conversation.say(b"hel")
    conversation.terminal.wait_for("← 3 bytes 68 65 6c\n")
    conversation.terminal.wait_for("│ 3 bytes 68 65 6c ")


def test_a_megabyte_on_one_line_is_cut_and_its_size_is_told(conversation: Conversation) -> None:
    conversation.say("x" * 1_000_000)
    conversation.terminal.wait_for("  … 1,000,000 characters in all\n")
    conversation.terminal.wait_for("│ … 1,000,000 characters in all ")


def test_the_first_round_trip_is_measured_right_after_opening_and_a_resize_redraws_at_once() -> None:
    with EchoServer() as server, console(server.url) as terminal:
        terminal.wait_for("● open")
        began = monotonic()
        terminal.wait_for("rtt")
        terminal.resize(columns=50, lines=20)
        terminal.wait_until(lambda: "╭─ WebSocket Demo " + "─" * 31 + "╮" in terminal.display)
        # Sooner than the next ping would have it drawn anew.
        assert monotonic() - began < PING_EVERY
        terminal.send(CTRL_C)
        terminal.wait()


@pytest.mark.parametrize(("columns", "lines"), [(40, 20), (20, 12), (120, 30), (80, 24)])
def test_a_resize_redraws_in_the_new_size(conversation: Conversation, columns: int, lines: int) -> None:
    terminal = conversation.terminal
    terminal.resize(columns=columns, lines=lines)
    terminal.wait_until(lambda: "╭─ WebSocket Demo " + "─" * (columns - 19) + "╮" in terminal.display)
    terminal.wait_until(lambda: "↑" in terminal.text)
    conversation.type("Hi\r")
    terminal.wait_until(lambda: any(row.startswith("← Hi") for row in terminal.display))
    assert sum("WebSocket Demo" in row for row in terminal.display) == 1


# How it ends.


def test_ctrl_c_closes_with_1000_and_waits_for_the_handshake() -> None:
    heard: queue.Queue[object] = queue.Queue()

    def conduct(connection: ServerConnection) -> None:
        for message in connection:
            heard.put(message)
        heard.put(connection.close_code)

    with peer(conduct) as url, console(url) as terminal:
        terminal.wait_for("● open")
        terminal.send("last words\r" + CTRL_C)
        assert terminal.wait() == 0
        assert [heard.get(timeout=TIMEOUT), heard.get(timeout=TIMEOUT)] == ["last words", 1000]
        assert last_line(terminal) == "Closed: 1000 (normal closure)"
        assert "→ last words" in terminal.text
        assert_given_back(terminal)


def test_ctrl_d_in_an_empty_field_and_an_interrupt_from_outside_do_the_same() -> None:
    ends: list[Callable[[Terminal], None]] = [
        lambda terminal: terminal.send(CTRL_D),
        lambda terminal: terminal.signal(signal.SIGINT),
    ]
    for end in ends:
        with EchoServer() as server, console(server.url) as terminal:
            terminal.wait_for("● open")
            end(terminal)
            assert terminal.wait() == 0
            assert last_line(terminal) == "Closed: 1000 (normal closure)"
            assert_given_back(terminal)


def test_ctrl_c_while_connecting_gives_up_at_once() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        console(f"ws://127.0.0.1:{silent.getsockname()[1]}/") as terminal,
    ):
        terminal.wait_for("● connecting")
        terminal.send("queued\r" + CTRL_C)
        assert terminal.wait() == 0
        assert last_line(terminal) == "Closed before it was open, with 1 message unsent"
        assert_given_back(terminal)


def test_a_second_ctrl_c_does_not_wait_for_a_peer_that_does_not_answer() -> None:
    with raw_server(never_answer) as port, console(f"ws://127.0.0.1:{port}/") as terminal:
        terminal.wait_for("● open")
        terminal.send(CTRL_C)
        terminal.wait_for("● closing")
        terminal.send(CTRL_C)
        assert terminal.wait() == 0
        assert last_line(terminal) == "Closed without waiting for an answer"
        assert_given_back(terminal)


def test_when_the_peer_closes_the_console_ends_after_showing_all_that_came() -> None:
    def conduct(connection: ServerConnection) -> None:
        for number in range(3):
            connection.send(f"message {number}")
        connection.close(1001, "good night\x1b")

    with peer(conduct) as url, console(url) as terminal:
        assert terminal.wait() == 0
        assert [row for row in terminal.text.split("\n") if row] == [
            "← message 0",
            "← message 1",
            "← message 2",
            "Closed by the server: 1001 (going away): good night\\e",
        ]
        assert_given_back(terminal)


def test_another_close_code_of_the_peer_is_an_error_in_one_sentence() -> None:
    with EchoServer() as server, console(server.url_for("/close?code=4000&reason=no+more")) as terminal:
        assert terminal.wait() == 1
        assert last_line(terminal) == "rxecho: the server closed the connection with 4000: no more"
        assert_given_back(terminal)


def test_a_close_reason_is_shown_as_it_is() -> None:
    with EchoServer() as server, console(server.url_for("/close?reason=[bold]x[/]+:smile:")) as terminal:
        assert terminal.wait() == 0
        assert last_line(terminal) == "Closed by the server: 1000 (normal closure): [bold]x[/] :smile:"


def test_it_is_an_error_also_when_ctrl_c_comes_behind_it() -> None:
    with raw_server(close_without_leaving) as port, console(f"ws://127.0.0.1:{port}/") as terminal:
        terminal.wait_for("● closing")
        terminal.send(CTRL_C + CTRL_C)
        assert terminal.wait() == 1
        assert last_line(terminal) == "rxecho: the server closed the connection with 4000"
        assert_given_back(terminal)


def close_without_leaving(peer: Peer) -> None:
    peer.open()
    peer.close(b"\x0f\xa0")
    peer.wait_for_end()


def test_what_is_typed_when_nothing_can_be_sent_any_more_is_not_taken_for_sent() -> None:
    with raw_server(never_answer) as port, console(f"ws://127.0.0.1:{port}/") as terminal:
        terminal.wait_for("● open")
        terminal.send("kept" + CTRL_C)
        terminal.wait_for("● closing")
        terminal.send("too late\r" + CTRL_C)
        assert terminal.wait() == 0
        assert "→" not in terminal.text
        assert last_line(terminal) == "Closed without waiting for an answer"


def test_a_peer_that_drops_the_connection_is_an_error_in_one_sentence() -> None:
    with EchoServer() as server, console(server.url_for("/flaky?after=1")) as terminal:
        terminal.wait_for("● open")
        terminal.send("Hello!\r")
        assert terminal.wait() == 1
        assert "→ Hello!\n← Hello!\n" in terminal.text
        assert last_line(terminal).startswith(f"rxecho: the connection to {server.url_for('/flaky?after=1')} was lost")
        assert_given_back(terminal)


def test_a_port_where_nobody_listens_is_an_error_in_one_sentence() -> None:
    with refused_port() as port, console(f"ws://127.0.0.1:{port}/") as terminal:
        assert terminal.wait() == 1
        assert last_line(terminal).startswith(f"rxecho: could not connect to ws://127.0.0.1:{port}/")
        assert_given_back(terminal)


@contextmanager
def obeyed(number: signal.Signals) -> Iterator[None]:
    """Whoever runs the tests may have it ignored, as `nohup` does, and what is started inherits that."""
    previous = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, previous)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_gives_the_terminal_back_too_and_closes_with_1000(number: signal.Signals, status: int) -> None:
    heard: queue.Queue[object] = queue.Queue()

    def conduct(connection: ServerConnection) -> None:
        assert not list(connection)
        heard.put(connection.close_code)

    with obeyed(number), peer(conduct) as url, console(url) as terminal:
        terminal.wait_for("● open")
        terminal.signal(number)
        assert terminal.wait() == status
        assert heard.get(timeout=TIMEOUT) == 1000
        assert last_line(terminal) == f"Ended by {number.name}"
        assert_given_back(terminal)


needs_job_control = pytest.mark.skipif(
    shutil.which("bash") is None, reason="there is no bash here, whose job control this needs"
)


@needs_job_control
def test_where_the_shell_ignores_stops_ctrl_z_does_nothing() -> None:
    with EchoServer() as server, Terminal(["bash", "--norc", "--noprofile", "-i"]) as terminal:
        terminal.send(f"trap '' TSTP; {sys.executable} -m rxecho connect {server.url}\r")
        terminal.wait_for("● open")
        terminal.send(CTRL_Z + CTRL_Z + "still here\r")
        terminal.wait_for("← still here\n╭─ WebSocket Demo")
        terminal.send(CTRL_C)
        terminal.wait_for("Closed: 1000 (normal closure)\n")


@needs_job_control
def test_ctrl_z_gives_the_terminal_back_to_the_shell_and_fg_takes_it_again() -> None:
    with EchoServer() as server, Terminal(["bash", "--norc", "--noprofile", "-i"]) as terminal:
        terminal.send(f"{sys.executable} -m rxecho connect {server.url}\r")
        terminal.wait_for("● open")
        terminal.send("before\r")
        terminal.wait_for("← before\n╭─ WebSocket Demo")
        terminal.send("a draft" + CTRL_Z)
        terminal.wait_for("Stopped")
        assert "Send a message" not in terminal.text
        terminal.send("echo the shell is $((40 + 2))\r")
        terminal.wait_for("the shell is 42")
        terminal.send("fg\r")
        terminal.wait_for("❯ a draft")  # noqa: RUF001
        terminal.send("after\r")
        terminal.wait_for("← a draftafter\n╭─ WebSocket Demo")
        terminal.send(CTRL_C)
        terminal.wait_for("Closed: 1000 (normal closure)\n")
        terminal.send("exit 7\r")
        assert terminal.wait() == 7


def test_it_ends_when_its_window_is_closed() -> None:
    with EchoServer() as server, console(server.url_for("/ticker?interval=0.001")) as terminal:
        terminal.wait_for("● open")
        terminal.hang_up()
        assert terminal.wait() == 129


# What it withstands.


def test_in_a_flood_shown_and_summarised_add_up_and_ctrl_c_works() -> None:
    def flood(connection: ServerConnection) -> None:
        for number in range(30_000):
            connection.send(f"message {number}")
        echo(connection)

    with peer(flood) as url, console(url) as terminal:
        terminal.wait_for("│ message 29999 ")
        terminal.wait_for("↓ 30,000")
        terminal.send(CTRL_C)
        assert terminal.wait() == 0
        assert_given_back(terminal)
        at = 0
        for row in terminal.text.split("\n"):
            if more := re.fullmatch(r"… ([\d,]+) more", row):
                at += int(more[1].replace(",", ""))
            elif row.startswith("← "):
                assert row == f"← message {at}"
                at += 1
        assert at == 30_000


def test_a_peer_that_reads_nothing_leaves_the_keyboard_alive_and_what_is_unsent_is_told() -> None:
    def read_nothing(peer: Peer) -> None:
        peer.open()
        finished.wait(TIMEOUT)

    finished = threading.Event()
    with (
        raw_server(read_nothing) as port,
        scripted(f"ws://127.0.0.1:{port}/", options="close_timeout=0.1") as terminal,
    ):
        terminal.wait_for("● open")
        terminal.send(paste("x" * 500_000) + "\r" + (UP + "\r") * 39 + "still there")
        terminal.wait_for("❯ still there")  # noqa: RUF001
        terminal.wait_for("↑ 40 ")
        terminal.send(CTRL_C)
        terminal.wait_for("● closing")
        assert terminal.wait() == 0
        assert re.fullmatch(r"Closed: the peer did not answer, with at least \d+ messages unsent", last_line(terminal))
        assert_given_back(terminal)
        finished.set()


def test_without_colour_and_without_unicode_it_stays_readable() -> None:
    environment = {"NO_COLOR": "1", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    with EchoServer() as server, console(server.url, environment=environment, columns=40) as terminal:
        terminal.wait_for("* open")
        terminal.send("Hello!\r")
        terminal.wait_for("> Hello!\n< Hello!\n+- WebSocket Demo ---")
        assert not re.search(rb"\x1b\[[\d;]*[34]\dm", terminal.output)
        terminal.send(CTRL_C)
        assert terminal.wait() == 0
        assert terminal.text.isascii()
        assert_given_back(terminal)


OUR_MISTAKES = {
    "with a key": "def press(field, key): 1 / 0\napp.press = press",
    "in drawing": "app.Latest = lambda snapshot: 1 // 0",
}


@pytest.mark.parametrize("mistake", OUR_MISTAKES.values(), ids=OUR_MISTAKES)
def test_a_mistake_of_our_own_gives_the_terminal_back(mistake: str) -> None:
    with EchoServer() as server, scripted(server.url, before=mistake) as terminal:
        terminal.send("x\r")
        assert terminal.wait() == 1
        assert terminal.is_restored
        assert "Send a message" not in terminal.text
        assert "ZeroDivisionError" in terminal.text


def test_a_peer_that_never_answers_the_close_is_left() -> None:
    with (
        raw_server(never_answer) as port,
        scripted(f"ws://127.0.0.1:{port}/", options="close_timeout=0.1") as terminal,
    ):
        terminal.wait_for("● open")
        terminal.send(CTRL_C)
        assert terminal.wait() == 0
        assert last_line(terminal) == "Closed: the peer did not answer"
        assert_given_back(terminal)
