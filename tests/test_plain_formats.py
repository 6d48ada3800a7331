"""JSON, binary messages and pings in plain mode: lines in, lines out, and what is wrong in one sentence."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest
from raw_server import BINARY, CLOSE, PING, PONG, TEXT, TIMEOUT, Peer, raw_server

from rxecho.cli import main
from rxecho.console import plain
from rxecho.server import EchoServer


@pytest.fixture(scope="module")
def server() -> Iterator[EchoServer]:
    with EchoServer() as running:
        yield running


def rxecho(server: EchoServer, *options: str, stdin: str, timeout: float = TIMEOUT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rxecho", "connect", server.url, *options]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)


def saying(*messages: str) -> Iterator[str]:
    """The URL of a server that says this and closes."""

    def conduct(peer: Peer) -> None:
        peer.open()
        for message in messages:
            peer.send(TEXT, message.encode())
        peer.close()

    with raw_server(conduct) as port:
        yield f"ws://127.0.0.1:{port}/"


# JSON in.


def test_lines_are_gathered_until_they_are_json() -> None:
    received: list[bytes] = []

    def conduct(peer: Peer) -> None:
        peer.open()
        while (frame := peer.receive())[0] == TEXT:
            received.append(frame[1])
        peer.send(*frame)

    with raw_server(conduct) as port:
        command = [sys.executable, "-m", "rxecho", "connect", f"ws://127.0.0.1:{port}/", "--json"]
        lines = '{"a":\n\n  1.10}\n\n  \n[]\n"x"\n[\n]'
        done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert received == [b'{"a":\n\n  1.10}', b"[]", b'"x"', b"[\n]"]


def test_a_mistake_names_its_line_after_the_answers_to_what_came_before(server: EchoServer) -> None:
    done = rxecho(server, "--json", stdin="1\n[2,\n3 4]\n5\n")
    assert (done.returncode, done.stdout) == (1, "1\n")
    assert done.stderr == "rxecho: line 3 of standard input, column 3: this is not JSON: expected ',' or ']'\n"


def test_a_rest_that_is_not_whole_is_an_error_after_the_answers_to_what_came_before(server: EchoServer) -> None:
    done = rxecho(server, "--json", stdin="1\n[2,\n")
    assert (done.returncode, done.stdout) == (1, "1\n")
    assert done.stderr == "rxecho: standard input ends within the JSON that begins at line 2\n"


def test_json_of_ten_thousand_lines_and_levels_is_one_message(server: EchoServer) -> None:
    text = "[\n" * 10_000 + "]\n" * 10_000
    done = rxecho(server, "--json", "-n", "1", stdin=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, text, "")


def test_json_without_end_is_given_up_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "LONGEST_LINE", 1000)
    with pytest.raises(plain.StandardStreamError, match="the JSON from line 1 on has more than 1,000 characters"):
        list(plain._json(["[", *["1,"] * 500]))


# JSON out.


def test_json_is_printed_indented_and_nothing_of_it_is_changed(capfd: pytest.CaptureFixture[str]) -> None:
    for url in saying('{"b":1.10,"a":[12345678901234567890,{}],"b":1e400}', "plain", "[1"):
        assert main(["connect", url, "--json", "-x", "1", "-w", "inf"]) == 0
    indented = '{\n  "b": 1.10,\n  "a": [\n    12345678901234567890,\n    {}\n  ],\n  "b": 1e400\n}'
    assert capfd.readouterr() == (f"{indented}\nplain\n[1\n", "")


def test_deep_and_huge_json_is_sent_and_printed_as_it_came(server: EchoServer) -> None:
    lines = "[" * 10_000 + "]" * 10_000 + "\n" + "[" + "1," * 1_000_000 + "1]\n"
    done = rxecho(
        server, "--json", "-n", "2", stdin=lines, timeout=4 * TIMEOUT
    )  # two seconds of work, on a free machine
    assert (done.returncode, done.stdout == lines, done.stderr) == (0, True, "")


def on_terminal(url: str, **environment: str) -> str:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rxecho", "connect", url, "--json", "-x", "1", "-w", "inf"]
    done = subprocess.run(
        command, stdin=theirs, stdout=theirs, env={**os.environ, **environment}, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0
    printed = os.read(ours, 4096).decode()
    os.close(theirs)
    os.close(ours)
    return printed.replace("\r\n", "\n")


def test_on_a_terminal_it_is_coloured_and_commands_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for url in saying('{"a":["\u202e"]}', "\x1b[31m"):
        shown = on_terminal(url, TERM="xterm")
    assert shown == '{\n  \x1b[34m"a"\x1b[39m: [\n    \x1b[32m"\\u202e"\x1b[39m\n  ]\n}\n\\e[31m\n'


def test_where_no_colour_is_wanted_there_is_none() -> None:
    for url in saying("[null]"):
        assert on_terminal(url, TERM="xterm", NO_COLOR="1") == "[\n  null\n]\n"


# Binary.


def test_hex_becomes_binary_messages() -> None:
    received: list[tuple[int, bytes]] = []

    def conduct(peer: Peer) -> None:
        peer.open()
        while (frame := peer.receive())[0] != CLOSE:
            received.append(frame)
            peer.send(*frame)
        peer.send(*frame)

    with raw_server(conduct) as port:
        command = [sys.executable, "-m", "rxecho", "connect", f"ws://127.0.0.1:{port}/", "--binary", "-n", "3"]
        done = subprocess.run(
            command, input="48 65 6C\n00ff\n\n", capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "48656c\n00ff\n\n", "")
    assert received == [(BINARY, b"Hel"), (BINARY, b"\x00\xff"), (BINARY, b"")]


def test_what_is_not_hex_names_its_line(server: EchoServer) -> None:
    done = rxecho(server, "--binary", stdin="00\n0\n")
    assert (done.returncode, done.stdout) == (1, "00\n")
    assert done.stderr.startswith("rxecho: line 2 of standard input cannot be sent: it is not hex at character 1: ")


# Pings, and what is the same as ever.


def test_pings_and_pongs_are_told_of_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        assert peer.receive() == (TEXT, b"1")
        peer.send(PING, b"Hello")
        assert peer.receive_until(PONG) == b"Hello"
        peer.send(TEXT, json.dumps("bye").encode())
        peer.close()

    with raw_server(conduct) as port:
        options = ["--show-ping-pong", "--ping-interval", "0", "-x", "1", "-w", "inf"]
        assert main(["connect", f"ws://127.0.0.1:{port}/", *options]) == 0
    assert capfd.readouterr() == ('"bye"\n', "rxecho: ping received: Hello\nrxecho: pong sent: Hello\n")


def test_a_slash_is_a_slash_in_plain_mode(server: EchoServer) -> None:
    done = rxecho(server, "-n", "2", stdin="/close 4000\n//x\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "/close 4000\n//x\n", "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--json", "--binary"], "--json and --binary exclude each other"),
        (["--json", "-x", "[1,"], "-x"),
        (["--json", "-x", "[1 2]"], "line 1, column 4"),
        (["--binary", "-x", "1"], "it is not hex at character 1"),
    ],
)
def test_a_mistake_is_wrong_usage_before_anything_is_connected(
    args: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for command in (["connect", "ws://127.0.0.1:1/", *args], [*args, "--plain"]):
        assert main(command) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert said in err
        assert err.count("\n") == 1
