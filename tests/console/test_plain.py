"""Plain mode: lines in, lines out, and how it ends. In process, between real pipes and a real server."""

from __future__ import annotations

import os
import pty
import select
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import repeat
from pathlib import Path
from threading import Event
from typing import IO, Any

import pytest
from raw_server import Peer, raw_server
from websockets.sync.server import ServerConnection, serve

from rxecho.channel import WebSocketChannel
from rxecho.console import plain
from rxecho.errors import ChannelClosed, ConnectError, ConnectionLost
from rxecho.server import EchoServer

TIMEOUT = 10.0


@pytest.fixture(scope="module")
def server() -> Iterator[EchoServer]:
    with EchoServer() as running:
        yield running


class Shell:
    """What a shell gives to a program, from the shell's side: the far ends of its standard input and output."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, terminal: bool = False) -> None:
        self._monkeypatch = monkeypatch
        self._files = ExitStack()
        read_end, input_end = os.pipe()
        output_end, write_end = pty.openpty() if terminal else os.pipe()
        # Files, which close once: a descriptor that is closed again may be the server's next socket by then.
        self._input = os.fdopen(input_end, "wb", buffering=0)
        self._output = os.fdopen(output_end, "rb", buffering=0)
        self._thread = ThreadPoolExecutor(1)
        self.stdin: IO[str] | None = self._files.enter_context(os.fdopen(read_end, encoding="utf-8"))
        self.stdout: IO[str] | None = self._files.enter_context(os.fdopen(write_end, "w", encoding="utf-8"))

    def open(self, path: str, mode: str) -> IO[str]:
        """A file to redirect `stdin` or `stdout` to."""
        return self._files.enter_context(Path(path).open(mode, encoding="utf-8"))

    def run(self, url: str, **options: Any) -> Future[int]:
        """Start plain mode; its standard output ends with it, as that of a process does."""

        def run() -> int:
            self.channel = WebSocketChannel.connect(url)
            try:
                return plain.run(self.channel, **options)
            finally:
                if self.stdout is not None:
                    self.stdout.close()

        self._monkeypatch.setattr(sys, "stdin", self.stdin)
        self._monkeypatch.setattr(sys, "stdout", self.stdout)
        return self._thread.submit(run)

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._input.fileno(), data) :]

    def end_input(self) -> None:
        self._input.close()

    def left_of_input(self) -> bytes:
        assert self.stdin is not None
        return os.read(self.stdin.fileno(), 65536)

    def read(self, size: int = 65536) -> bytes:
        assert select.select([self._output], [], [], TIMEOUT)[0], "nothing was printed"
        return os.read(self._output.fileno(), size)

    def read_all(self) -> bytes:
        return b"".join(iter(self.read, b""))

    def close_output(self) -> None:
        self._output.close()

    def close(self) -> None:
        self.end_input()
        self.close_output()
        self._thread.shutdown()
        self._files.close()


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    shell = Shell(monkeypatch)
    yield shell
    shell.close()


@contextmanager
def serving(conduct: Callable[[ServerConnection], None]) -> Iterator[str]:
    """A server that somebody else wrote, websockets' threading one; in the end every client has been served."""
    clients: list[Future[None]] = []

    def handle(client: ServerConnection) -> None:
        served: Future[None] = Future()
        clients.append(served)
        try:
            conduct(client)
        finally:
            served.set_result(None)

    with serve(handle, "127.0.0.1", 0, max_size=None, compression=None) as server, ThreadPoolExecutor(1) as thread:
        thread.submit(server.serve_forever)
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        finally:
            server.shutdown()
    for served in clients:
        served.result(TIMEOUT)


# Lines in.


def test_each_line_is_a_text_message_and_each_message_a_line(shell: Shell, server: EchoServer) -> None:
    done = shell.run(server.url, wait=5, count=2)
    shell.write(b"a\nb\n")
    shell.end_input()
    assert shell.read_all() == b"a\nb\n"
    assert done.result(TIMEOUT) == 0


def test_only_the_line_break_is_taken_off_a_line(shell: Shell) -> None:
    received: list[str | bytes] = []
    with serving(lambda client: received.extend(client)) as url:
        done = shell.run(url, wait=0)
        shell.write("\n  two\t \r\nth\rree\n\n[bold]Größe\x1b\r\r\nlast\r".encode())
        shell.end_input()
        assert done.result(TIMEOUT) == 0
    assert received == ["", "  two\t ", "th\rree", "", "[bold]Größe\x1b\r", "last\r"]


def test_a_message_is_printed_while_the_input_goes_on(shell: Shell, server: EchoServer) -> None:
    done = shell.run(server.url, wait=0)
    for line in (b"one\n", b"two\n"):
        shell.write(line)
        assert shell.read() == line
    shell.end_input()
    assert done.result(TIMEOUT) == 0


def test_a_line_of_1_mb_comes_back_whole(shell: Shell, server: EchoServer) -> None:
    line = b"0123456789abcdef" * 65536 + b"\n"
    shell.run(server.url, wait=5, count=1)
    with ThreadPoolExecutor() as thread:
        thread.submit(shell.write, line)
        assert shell.read_all() == line


def test_messages_given_are_sent_in_order_and_the_input_is_not_read(shell: Shell, server: EchoServer) -> None:
    shell.write(b"from the input\n")
    done = shell.run(server.url, messages=["one", "", "two"], wait=5, count=3)
    assert shell.read_all() == b"one\n\ntwo\n"
    assert done.result(TIMEOUT) == 0
    assert shell.left_of_input() == b"from the input\n"


def test_input_that_is_not_utf_8_names_its_line_after_the_answers_to_what_came_before(
    shell: Shell, server: EchoServer
) -> None:
    done = shell.run(server.url, wait=0.5)
    shell.write(b"one\ntwo\nthr\xffee\nfour\n")
    assert shell.read_all() == b"one\ntwo\n"
    with pytest.raises(plain.StandardStreamError, match="line 3 of standard input is not UTF-8"):
        done.result(TIMEOUT)


def test_a_line_without_end_is_given_up_and_not_kept(
    shell: Shell, server: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "LONGEST_LINE", 1000)
    done = shell.run(server.url, wait=0)
    shell.write(b"x" * 999 + b"\n")
    shell.write(b"x" * 2000)
    with pytest.raises(plain.StandardStreamError, match="line 2 of standard input has more than 1,000 bytes"):
        done.result(TIMEOUT)


def test_input_that_cannot_be_read_is_said(shell: Shell, server: EchoServer) -> None:
    shell.stdin = shell.open(os.devnull, "w")
    with pytest.raises(plain.StandardStreamError, match="standard input cannot be read: Bad file descriptor"):
        shell.run(server.url, wait=0).result(TIMEOUT)


def test_the_input_is_read_no_faster_than_the_connection_takes_it(shell: Shell) -> None:
    reads_on = Event()
    received: list[str | bytes] = []

    def conduct(client: ServerConnection) -> None:
        reads_on.wait(TIMEOUT)
        received.extend(client)

    os.set_blocking(shell._input.fileno(), False)
    line = b"x" * 65535 + b"\n"
    with serving(conduct) as url:
        done = shell.run(url, wait=0)
        taken = 0
        # What the sink, the kernel's buffers on both sides and the server's own take, and then nothing for a while.
        while select.select([], [shell._input], [], 0.5)[1]:
            taken += os.write(shell._input.fileno(), line)
            assert taken < 100 * 2**20
        reads_on.set()
        shell.end_input()
        assert done.result(TIMEOUT) == 0
    assert sum(len(message) + 1 for message in received) in (taken, taken + 1)  # the last line may be unfinished


# Lines out.


def test_binary_is_printed_as_hex_and_text_as_it_is(shell: Shell) -> None:
    def conduct(client: ServerConnection) -> None:
        client.send(b"\x00\xffA")
        client.send(b"")
        client.send("two\nlines\x1b[31m \u202e \U0001f600 [bold]")

    with serving(conduct) as url:
        done = shell.run(url)
        assert shell.read_all() == "00ff41\n\ntwo\nlines\x1b[31m \u202e \U0001f600 [bold]\n".encode()
        assert done.result(TIMEOUT) == 0


def test_on_a_terminal_no_control_character_of_a_message_gets_through(
    monkeypatch: pytest.MonkeyPatch, server: EchoServer
) -> None:
    shell = Shell(monkeypatch, terminal=True)
    done = shell.run(server.url, messages=["\x1b]0;title\x07\x9b2J two\nlines \u202e"], count=1, wait=5)
    assert shell.read() == b"\\e]0;title\\x07\\x9b2J two\\nlines \\u202e\r\n"
    assert done.result(TIMEOUT) == 0
    shell.close()


def test_a_flood_is_printed_completely_and_in_order(shell: Shell) -> None:
    count = 20_000

    def conduct(client: ServerConnection) -> None:
        for number in range(count):
            client.send(str(number))

    with serving(conduct) as url:
        done = shell.run(url)
        assert shell.read_all() == b"".join(b"%d\n" % number for number in range(count))
        assert done.result(TIMEOUT) == 0


def test_a_slow_reader_of_the_output_slows_the_server_down(shell: Shell) -> None:
    sent = 0
    closed = Event()

    def conduct(client: ServerConnection) -> None:
        nonlocal sent
        with suppress(Exception):
            for message in repeat("x" * 65536):
                client.send(message)
                sent += len(message)
                sending.set()
        closed.set()

    sending = Event()
    with serving(conduct) as url:
        done = shell.run(url)
        while sending.wait(0.5):  # until there has been nothing for a while
            sending.clear()
            assert sent < 100 * 2**20
        shell.close_output()
        assert done.result(TIMEOUT) == 0
        assert closed.wait(TIMEOUT)


def test_a_full_disk_is_said(shell: Shell, server: EchoServer) -> None:
    shell.stdout = shell.open("/dev/full", "w")
    with pytest.raises(plain.StandardStreamError, match="standard output cannot be written: No space left"):
        shell.run(server.url, messages=["hello"], wait=5).result(TIMEOUT)


def test_a_full_disk_is_said_too_when_the_peer_ends_it_normally(shell: Shell) -> None:
    shell.stdout = shell.open("/dev/full", "w")
    with serving(lambda client: client.send("hello")) as url, pytest.raises(plain.StandardStreamError):
        shell.run(url).result(TIMEOUT)


# Ends.


def test_after_the_input_it_waits_until_nothing_has_arrived_for_so_long(shell: Shell, server: EchoServer) -> None:
    done = shell.run(server.url_for("/ticker?interval=0.2&seed=1"), wait=1, count=8)
    shell.end_input()
    # 1.4 s in all, but never 1 s without one.
    assert shell.read_all().count(b"\n") == 8
    assert done.result(TIMEOUT) == 0


def test_an_answer_that_takes_longer_than_the_wait_is_not_waited_for(shell: Shell, server: EchoServer) -> None:
    done = shell.run(server.url_for("/slow?delay=60"), messages=["hello"], wait=0.1, count=1)
    assert shell.read_all() == b""
    assert done.result(TIMEOUT) == 0


def test_a_wait_of_0_waits_for_nothing_but_all_input_leaves_and_the_close_code_is_1000(shell: Shell) -> None:
    received: list[str | bytes] = []

    def conduct(client: ServerConnection) -> None:
        received.extend(client)
        codes.append(client.close_code)

    codes: list[int | None] = []
    with serving(conduct) as url:
        done = shell.run(url, wait=0)
        shell.write(b"x\n" * 10_000)
        shell.end_input()
        assert done.result(TIMEOUT) == 0
    assert received == ["x"] * 10_000
    assert codes == [1000]


def test_an_endless_wait_leaves_the_end_to_the_peer(shell: Shell, server: EchoServer) -> None:
    done = shell.run(server.url_for("/ticker?interval=0.01&count=5"), messages=["hello"], wait=float("inf"))
    assert shell.read_all().count(b"\n") == 5
    assert done.result(TIMEOUT) == 0


def test_with_a_count_it_prints_exactly_that_many_and_ends_although_the_input_goes_on(
    shell: Shell, server: EchoServer
) -> None:
    done = shell.run(server.url_for("/ticker?interval=0"), count=3)
    assert shell.read_all().count(b"\n") == 3
    assert done.result(TIMEOUT) == 0


def test_when_the_peer_closes_it_ends_although_the_input_goes_on(shell: Shell, server: EchoServer) -> None:
    assert shell.run(server.url_for("/close?code=1001")).result(TIMEOUT) == 0


def test_a_peer_that_has_closed_but_not_left_yet_was_first_all_the_same(shell: Shell) -> None:
    is_closed = Event()

    def conduct(peer: Peer) -> None:
        peer.open()
        peer.close(b"\x0f\xa0")
        is_closed.set()
        peer.wait_for_end()

    with raw_server(conduct) as port:
        running = shell.run(f"ws://127.0.0.1:{port}/", wait=0)
        assert is_closed.wait(TIMEOUT)
        shell.end_input()
        with pytest.raises(ChannelClosed, match="4000"):
            running.result(TIMEOUT)


def test_what_arrived_before_the_connection_was_lost_is_printed(shell: Shell, server: EchoServer) -> None:
    done = shell.run(server.url_for("/flaky?after=2"))
    shell.write(b"one\ntwo\nthree\n")
    assert shell.read_all() == b"one\ntwo\n"
    with pytest.raises(ConnectionLost):
        done.result(TIMEOUT)


def test_a_connection_that_is_lost_while_sending_is_not_taken_for_the_end_of_the_input(shell: Shell) -> None:
    def conduct(client: ServerConnection) -> None:
        client.recv()
        client.socket.shutdown(2)

    with serving(conduct) as url:
        done = shell.run(url, messages=["x" * 100_000] * 1000, wait=0)
        with pytest.raises(ConnectionLost):
            done.result(TIMEOUT)


def test_an_output_that_does_not_want_to_wait_gets_everything_all_the_same(shell: Shell, server: EchoServer) -> None:
    assert shell.stdout is not None
    os.set_blocking(shell.stdout.fileno(), False)
    line = "0123456789" * 100_000
    done = shell.run(server.url, messages=[line, line], wait=5, count=2)
    with pytest.raises(TimeoutError):
        done.result(0.2)  # the pipe is full, and nobody reads it
    assert shell.read_all().decode() == f"{line}\n" * 2
    assert done.result(TIMEOUT) == 0


def test_a_reader_of_the_output_that_has_had_enough_ends_it_normally(shell: Shell, server: EchoServer) -> None:
    done = shell.run(server.url_for("/ticker?interval=0"))
    shell.read(1)
    shell.close_output()
    assert done.result(TIMEOUT) == 0


def test_a_connection_that_cannot_be_made_reads_no_input(shell: Shell, server: EchoServer) -> None:
    shell.write(b"hello\n")
    with pytest.raises(ConnectError):
        shell.run(server.url_for("/nowhere")).result(TIMEOUT)
    assert shell.left_of_input() == b"hello\n"


@pytest.mark.parametrize("name", ["stdin", "stdout"])
def test_a_closed_standard_stream_is_said_and_the_channel_closed(name: str, shell: Shell, server: EchoServer) -> None:
    setattr(shell, name, None)
    with pytest.raises(plain.StandardStreamError, match=r"standard (in|out)put is closed"):
        shell.run(server.url).result(TIMEOUT)
    shell.channel.sink.done.result(TIMEOUT)
