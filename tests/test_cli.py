"""The command line as a whole: its commands, how each ends, and what it says then."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest
from peer import BadPeer, frame
from raw_server import CLOSE, TEXT, TIMEOUT, Peer, raw_server, refused_port

import rxecho
from rxecho.cli import main
from rxecho.server import EchoServer

COMMAND = [sys.executable, "-m", "rxecho"]


@pytest.fixture(scope="module")
def server() -> Iterator[EchoServer]:
    with EchoServer() as running:
        yield running


@contextmanager
def started(*args: str, stdin: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [*COMMAND, *args], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def is_one_sentence(text: str) -> bool:
    return bool(re.fullmatch(r"rxecho: [^\n]+[^.\n]\n", text)) and ". " not in text


# Commands.


def test_the_bare_command_in_a_pipe_talks_to_its_own_practice_server() -> None:
    done = subprocess.run(COMMAND, input=b"a\nb\n", capture_output=True, timeout=TIMEOUT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a\nb\n", b"")


def test_the_demo_takes_the_options_of_plain_mode(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--plain", "-x", "one", "-x", "two", "-w", "9", "-n", "2"]) == 0
    assert capfd.readouterr() == ("one\ntwo\n", "")


def test_a_count_is_waited_for_unless_a_wait_is_given_too(capfd: pytest.CaptureFixture[str]) -> None:
    with EchoServer() as server:
        late = server.url_for("/slow?delay=0.7")
        assert main(["connect", late, "-x", "hello", "-n", "1"]) == 0
        assert capfd.readouterr() == ("hello\n", "")
        assert main(["connect", late, "-x", "hello", "-n", "1", "-w", "0.1"]) == 0
        assert capfd.readouterr() == ("", "")


def test_version_is_said_without_importing_what_only_a_channel_or_a_console_needs() -> None:
    program = """if True:
        import sys
        from rxecho.cli import main
        status = main(["--version"])
        heavy = {"asyncio", "prompt_toolkit", "reactivex", "rich", "ssl", "websocket", "websockets"}
        print(status, heavy & set(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=TIMEOUT, check=True)
    assert done.stdout.decode() == f"rxecho {rxecho.__version__}\n0 set()\n"


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["connect", "-h"], ["serve", "--help"]])
def test_help_is_said_on_standard_output(args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 0
    out, err = capfd.readouterr()
    assert out.startswith("Usage: rxecho ")
    assert err == ""


def test_connect_has_exactly_the_options_of_the_design(capfd: pytest.CaptureFixture[str]) -> None:
    main(["connect", "--help"])
    options = re.findall(r"^  (?:(-\w), )?(--[\w-]+)", capfd.readouterr().out, re.MULTILINE)
    younger = {"--no-compression", "--json", "--binary", "--show-ping-pong", "--reconnect", "--record", "--no-history"}
    assert set(options) - {("", name) for name in younger} == {
        ("-H", "--header"),
        ("-o", "--origin"),
        ("-s", "--subprotocol"),
        ("", "--auth"),
        ("", "--ca"),
        ("", "--cert"),
        ("", "--key"),
        ("-k", "--insecure"),
        ("", "--proxy"),
        ("-p", "--pipe"),
        ("-x", "--execute"),
        ("-w", "--wait"),
        ("-n", "--count"),
        ("", "--ping-interval"),
        ("", "--connect-timeout"),
        ("", "--max-size"),
        ("", "--plain"),
        ("-h", "--help"),
    }


# Pipes and marbles.


def test_pipes_are_between_what_is_received_and_what_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    pipes = ["-p", "ops.map(str.upper)", "--pipe", "ops.scan(lambda all, new: all + new)"]
    assert main(["--plain", *pipes, "-x", "a", "-x", "b", "-n", "2", "-w", "9"]) == 0
    assert capfd.readouterr() == ("A\nAB\n", "")


def test_what_a_pipe_makes_of_messages_is_printed_as_python_writes_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--plain", "-p", "ops.map(lambda m: [m, len(m)])", "-x", "abc", "-n", "1"]) == 0
    assert capfd.readouterr() == ("['abc', 3]\n", "")


def test_a_pipe_that_completes_ends_the_output_and_one_that_waits_is_heard_out(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["--plain", "-p", "ops.take(1)", "-x", "a", "-x", "b"]) == 0
    assert main(["--plain", "-p", "ops.debounce(30)", "-x", "a", "-x", "b"]) == 0
    assert capfd.readouterr() == ("a\nb\n", "")


def test_a_pipe_that_fails_is_one_sentence_and_status_1(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--plain", "-p", "ops.map(int)", "-x", "one"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "rxecho: a pipe failed: ValueError: invalid literal for int() with base 10: 'one'\n"


@pytest.mark.parametrize("command", [[], ["connect", "ws://127.0.0.1:1/"]])
def test_a_mistake_in_a_pipe_is_told_before_anything_is_connected(
    command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "-p", "ops.mpa(str)"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert is_one_sentence(err)
    assert "at 'ops.mpa' in 'ops.mpa(str)'" in err


def test_marbles_prints_what_an_operator_does(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["marbles", "ops.debounce(2)", "--", "-a--b----c-|"]) == 0
    out, err = capfd.readouterr()
    assert "ops.debounce(2)" in out
    assert re.search(r"├─+a─+b─+c─+┤ *\n╭(.|\n)*╯ *\n├─+a─+b─+c┤", out)
    assert err == ""


def test_marbles_takes_several_sources_and_inner_ones(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["marbles", "ops.merge", "--", "-a-|", "--b|"]) == 0
    assert main(["marbles", "[ops.map(lambda x: cold('1-2|')), ops.merge_all()]", "--", "-a-|"]) == 0
    out, err = capfd.readouterr()
    assert "ops.merge " in out
    assert "ops.map(lambda x: cold('1-2|'))" in out
    assert "ops.merge_all()" in out
    assert err == ""


def test_marbles_writes_svg(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "debounce.svg"
    assert main(["marbles", "ops.debounce(2)", "--svg", str(file), "--", "-a-b-|"]) == 0
    assert file.read_text(encoding="utf-8").startswith("<svg ")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (["ops.debounce(2)", "-a-|"], 2, "marbles are written after --"),
        (["ops.debounce(2)"], 2, "the operator takes a source, and none is given"),
        (["ops.debounce(2)", "--", "-a,b|"], 2, "source 1, '-a,b|': a comma separates what is in a group"),
        (["ops.map", "--", "-a|"], 2, "called with 1 source, the operator returned a function"),
        (["ops.mpa(1)", "--", "-a|"], 2, "at 'ops.mpa' in 'ops.mpa(1)'"),
        (["lambda x: x.nothing", "--", "-a|"], 2, "'Observable' object has no attribute 'nothing'"),
        ([], 2, "missing argument 'EXPRESSION'"),
        (["ops.first()", "--svg", "/nowhere/x.svg", "--", "-a|"], 1, "/nowhere/x.svg cannot be written: No such file"),
    ],
)
def test_a_mistake_in_marbles_is_one_sentence(
    args: list[str], status: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["marbles", *args]) == status
    out, err = capfd.readouterr()
    assert out == ""
    assert is_one_sentence(err)
    assert said in err


def test_serve_says_where_it_listens_and_ends_with_0_at_ctrl_c() -> None:
    with started("serve", "--port", "0") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.readline().decode()
        assert re.fullmatch(r"Listening on ws://127\.0\.0\.1:\d+/\n", said)
        assert main(["connect", said.split()[-1], "-x", "hello", "-n", "1"]) == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 0
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


def test_serve_listens_on_port_8765_of_this_machine_unless_told_otherwise(
    capfd: pytest.CaptureFixture[str],
) -> None:
    main(["serve", "--help"])
    out = " ".join(capfd.readouterr().out.split())
    assert "[default: 127.0.0.1]" in out
    assert "[default: 8765]" in out


def test_serving_on_a_port_in_use_ends_with_1_and_one_sentence(
    server: EchoServer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--port", str(server.port)]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert is_one_sentence(err)
    assert "already in use" in err
    assert "--port" in err


def test_serve_listens_on_the_host_it_is_given() -> None:
    with started("serve", "--host", "127.0.0.2", "--port", "0") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"Listening on ws://127.0.0.2:")
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 0


def test_serving_on_no_host_ends_with_1_and_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--host", "", "--port", "0"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert is_one_sentence(err)
    assert "0.0.0.0" in err


# Wrong usage.


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["dance"], "no such command 'dance'"),
        (["ws://127.0.0.1/"], "rxecho connect ws://127.0.0.1/"),
        (["--dance"], "--dance"),
        (["-x", "hello", "connect", "ws://127.0.0.1/"], "after its name"),
        (["connect"], "missing argument 'URL'"),
        (["connect", "ws://127.0.0.1/", "ws://127.0.0.1/"], "extra argument"),
        (["connect", "http://127.0.0.1/"], "ws://"),
        (["connect", "ws://"], "no host"),
        (["connect", "ws://127.0.0.1/#part"], "fragment"),
        (["connect", "ws://127.0.0.1/\udcff"], "not UTF-8"),
        (["connect", "ws://127.0.0.1/", "-H", "Authorization"], "NAME: VALUE"),
        (["connect", "ws://127.0.0.1/", "-H", ": nameless"], "NAME: VALUE"),
        (["connect", "ws://127.0.0.1/", "-H", "Two Words: x"], "header"),
        (["connect", "ws://127.0.0.1/", "-H", "Upgrade: h2c"], "Upgrade"),
        (["connect", "ws://127.0.0.1/", "-H", "Origin: a", "-o", "b"], "origin is given twice"),
        (["connect", "ws://127.0.0.1/", "-s", "two words"], "subprotocol"),
        (["connect", "ws://127.0.0.1/", "-s", "a", "-s", "a"], "repeated"),
        (["connect", "ws://127.0.0.1/", "--auth", "somebody"], "USER:PASSWORD"),
        (["connect", "ws://127.0.0.1/", "--auth", "a:b", "-H", "authorization: x"], "--auth"),
        (["connect", "ws://127.0.0.1/", "--proxy", "gopher://127.0.0.1"], "proxy"),
        (["connect", "ws://127.0.0.1/", "-x", "\udcff"], "not UTF-8"),
        (["connect", "ws://127.0.0.1/", "-w", "-1"], "number of seconds"),
        (["connect", "ws://127.0.0.1/", "-w", "soon"], "number of seconds"),
        (["connect", "ws://127.0.0.1/", "-w", "nan"], "number of seconds"),
        (["connect", "ws://127.0.0.1/", "-n", "0"], "--count"),
        (["connect", "ws://127.0.0.1/", "--ping-interval", "-1"], "number of seconds"),
        (["connect", "ws://127.0.0.1/", "--connect-timeout", "0"], "--connect-timeout"),
        (["connect", "ws://127.0.0.1/", "--max-size", "0"], "--max-size"),
        (["connect", "wss://127.0.0.1/", "--ca", "/nowhere.pem"], "/nowhere.pem"),
        (["connect", "wss://127.0.0.1/", "--cert", "/nowhere.pem"], "/nowhere.pem"),
        (["connect", "wss://127.0.0.1/", "--ca", __file__], "no certificate"),
        (["connect", "wss://127.0.0.1/", "--cert", __file__], "private key"),
        (["connect", "wss://127.0.0.1/", "--key", __file__], "--cert"),
        (["connect", "wss://127.0.0.1/", "--ca", __file__, "-k"], "exclude each other"),
        (["connect", "ws://127.0.0.1/", "--max-size", "1k"], "'1k' is not a whole number of at least 1"),
        (["serve", "--port", "65536"], "'65536' is not a whole number from 0 to 65535"),
        (["serve", "--key", __file__], "--cert"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_sentence_that_says_what_is_wrong(
    args: list[str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert is_one_sentence(err)
    assert says in err


def test_options_of_plain_mode_are_wrong_usage_in_the_console() -> None:
    with on_terminal("-n", "1") as terminal:
        assert "--plain" in terminal.read_until("\n")
        assert terminal.status == 2


# Ends.


@pytest.mark.parametrize("payload", [b"\x03\xe8", b"\x03\xe9going away", b""])
def test_a_close_with_1000_1001_or_no_code_is_a_normal_end(payload: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        peer.send(TEXT, b"bye")
        peer.close(payload)

    with raw_server(conduct) as port:
        assert main(["connect", f"ws://127.0.0.1:{port}/", "-x", "hello", "-w", "inf"]) == 0
    assert capfd.readouterr() == ("bye\n", "")


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"\x03\xf0not here", "1008 (policy violation): not here"),
        (b"\x03\xf3", "1011 (internal error)"),
        (b"\x0f\xa0\x1b[31m", r"4000: \e[31m"),
    ],
)
def test_a_close_with_another_code_ends_with_1_and_one_sentence(
    payload: bytes, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        peer.send(TEXT, b"bye")
        peer.close(payload)

    with raw_server(conduct) as port:
        assert main(["connect", f"ws://127.0.0.1:{port}/", "-x", "hello", "-w", "inf"]) == 1
    out, err = capfd.readouterr()
    assert out == "bye\n"
    assert is_one_sentence(err)
    assert says in err


def reset(peer: Peer) -> None:
    peer.receive()
    peer.reset()


def hang_up(peer: Peer) -> None:
    peer.receive()


def send_invalid_text(peer: Peer) -> None:
    peer.send(TEXT, b"\xff")
    assert peer.receive_until(CLOSE)


def send_an_unknown_opcode(peer: Peer) -> None:
    peer.send(3, b"")
    assert peer.receive_until(CLOSE)


def send_too_much(peer: Peer) -> None:
    peer.send(TEXT, b"x" * 1001)
    assert peer.receive_until(CLOSE)


@pytest.mark.parametrize("fail", [reset, hang_up, send_invalid_text, send_an_unknown_opcode, send_too_much])
def test_a_lost_or_failed_connection_ends_with_1_and_one_sentence(
    fail: Callable[[Peer], None], capfd: pytest.CaptureFixture[str]
) -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        fail(peer)

    with raw_server(conduct) as port:
        url = f"ws://127.0.0.1:{port}/"
        assert main(["connect", url, "-x", "hello", "-w", "inf", "--max-size", "1000"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert is_one_sentence(err)
    assert url in err


def test_a_message_over_max_size_is_refused_in_the_words_of_the_command_line(
    server: EchoServer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["connect", server.url, "-x", "hello", "--max-size", "4"]) == 1
    assert "--max-size" in capfd.readouterr().err


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "404 Not Found", "500 Internal Server Error"])
def test_http_instead_of_an_upgrade_ends_with_1_and_names_the_status(
    status: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def conduct(peer: Peer) -> None:
        peer.read_head()
        peer.sock.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello".encode())

    with raw_server(conduct) as port:
        assert main(["connect", f"ws://127.0.0.1:{port}/", "-x", "hello"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert is_one_sentence(err)
    assert status.split()[0] in err


def test_a_redirect_ends_with_1_and_names_the_new_location(capfd: pytest.CaptureFixture[str]) -> None:
    def conduct(peer: Peer) -> None:
        peer.read_head()
        peer.sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:9/new\r\nContent-Length: 0\r\n\r\n")

    with raw_server(conduct) as port:
        assert main(["connect", f"ws://127.0.0.1:{port}/", "-x", "hello"]) == 1
    err = capfd.readouterr().err
    assert is_one_sentence(err)
    assert "ws://127.0.0.1:9/new" in err


def test_a_server_that_says_nothing_ends_with_1_after_connect_timeout(capfd: pytest.CaptureFixture[str]) -> None:
    with raw_server(Peer.wait_for_end) as port:
        url = f"ws://127.0.0.1:{port}/"
        assert main(["connect", url, "-x", "hello", "--connect-timeout", "0.1"]) == 1
    err = capfd.readouterr().err
    assert is_one_sentence(err)
    assert "--connect-timeout" in err


def test_a_subprotocol_that_was_not_offered_ends_with_1(capfd: pytest.CaptureFixture[str]) -> None:
    def conduct(peer: Peer) -> None:
        peer.open("Sec-WebSocket-Protocol: other")
        peer.wait_for_end()

    with raw_server(conduct) as port:
        assert main(["connect", f"ws://127.0.0.1:{port}/", "-s", "mine", "-x", "hello"]) == 1
    err = capfd.readouterr().err
    assert is_one_sentence(err)
    assert "other" in err


def test_a_port_where_nobody_listens_ends_with_1(capfd: pytest.CaptureFixture[str]) -> None:
    with refused_port() as port:
        url = f"ws://127.0.0.1:{port}/"
        assert main(["connect", url, "-x", "hello"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert is_one_sentence(err)
    assert url in err


def test_an_unknown_host_ends_with_1(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", "ws://nowhere.invalid/", "-x", "hello"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert is_one_sentence(err)
    assert "nowhere.invalid" in err


@pytest.mark.parametrize("target", ["?origin=a&headers=b&proxy=c", "connect_timeout/max_message_size", '?proxy=""'])
def test_a_url_is_shown_as_it_was_written_whatever_words_are_in_it(
    target: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}/{target}"
        assert main(["connect", url, "-x", "hello"]) == 1
        assert f" {url}: " in capfd.readouterr().err
    with raw_server(Peer.wait_for_end) as port:
        url = f"ws://127.0.0.1:{port}/{target}"
        assert main(["connect", url, "-x", "hello", "--connect-timeout", "0.05"]) == 1
    err = capfd.readouterr().err
    assert f" {url}: " in err
    assert err.endswith("with --connect-timeout\n")


def test_a_system_without_a_descriptor_left_is_one_sentence_that_does_not_blame_standard_output(
    server: EchoServer,
) -> None:
    program = """if True:
        import os, resource, sys, threading
        from rxecho.cli import main
        main(["connect", sys.argv[1], "-x", "so far everything is imported", "-n", "1"])
        free = os.dup(0)
        os.close(free)
        usual = resource.getrlimit(resource.RLIMIT_NOFILE)
        for limit in range(free, free + 4):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, usual[1]))
            status = main(["connect", sys.argv[1], "-x", f"with {limit - free} left", "-n", "1"])
            resource.setrlimit(resource.RLIMIT_NOFILE, usual)
            print(status, flush=True)
            for thread in threading.enumerate():  # main has gone without waiting for a channel that never opened
                if thread is not threading.current_thread():
                    thread.join()
    """
    done = subprocess.run(
        [sys.executable, "-c", program, server.url], capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    # Two descriptors wake the channel's thread, and one is the connection.
    assert done.stdout == "so far everything is imported\n1\n1\n1\nwith 3 left\n0\n"
    sentences = done.stderr.splitlines(keepends=True)
    assert len(sentences) == 3
    assert all(is_one_sentence(sentence) and "Too many open files" in sentence for sentence in sentences)
    assert "standard output" not in done.stderr


def test_a_line_of_20_mb_is_printed_whole_although_its_echo_comes_with_pauses_longer_than_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    line = b"0123456789abcdef" * (20 * 10**6 // 16)
    pause = threading.Event()

    def conduct(peer: Peer) -> None:
        echo = BadPeer(peer.sock)
        echo.open()
        message = memoryview(frame(TEXT, line))
        # The echo begins before the message has come whole: there is no silence in between.
        echo.read(10 * 10**6)
        echo.sock.sendall(message[: 5 * 10**6])
        echo.read(10 * 10**6 + 14)
        for piece in (message[5 * 10**6 : 15 * 10**6], message[15 * 10**6 :]):
            pause.wait(0.2)
            echo.sock.sendall(piece)
        echo.send(*echo.receive())
        echo.leave()

    (tmp_path / "line").write_bytes(line + b"\n")
    with (tmp_path / "line").open() as file, raw_server(conduct) as port:
        monkeypatch.setattr(sys, "stdin", file)
        assert main(["connect", f"ws://127.0.0.1:{port}/", "--max-size", "20000000", "-w", "0.05", "-n", "1"]) == 0
    out, err = capfd.readouterr()
    assert (len(out), err) == (len(line) + 1, "")
    assert out.encode() == line + b"\n"


def test_ctrl_c_in_plain_mode_closes_with_1000_and_ends_with_130() -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        assert peer.receive() == (TEXT, b"hello")
        process.send_signal(signal.SIGINT)
        assert peer.receive() == (CLOSE, b"\x03\xe8")
        peer.send(CLOSE, b"\x03\xe8")

    with raw_server(conduct) as port, started("connect", f"ws://127.0.0.1:{port}/") as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"hello\n")
        assert process.wait(TIMEOUT) == 130
        assert process.stderr.read() == b""


def test_ctrl_c_while_connecting_ends_with_130_at_once() -> None:
    def conduct(peer: Peer) -> None:
        peer.read_head()
        process.send_signal(signal.SIGINT)
        peer.wait_for_end()

    with raw_server(conduct) as port, started("connect", f"ws://127.0.0.1:{port}/") as process:
        assert process.stderr is not None
        assert process.wait(TIMEOUT) == 130
        assert process.stderr.read() == b""


def test_ctrl_c_in_plain_mode_does_not_wait_for_ever_for_a_peer_that_does_not_answer() -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        assert peer.receive() == (TEXT, b"hello")
        process.send_signal(signal.SIGINT)
        peer.wait_for_end()

    with raw_server(conduct) as port, started("connect", f"ws://127.0.0.1:{port}/") as process:
        assert process.stdin is not None
        process.stdin.write(b"hello\n")
        began = monotonic()
        assert process.wait(TIMEOUT) == 130
        assert monotonic() - began < 4.5  # the closing handshake alone would have 5 s


def test_a_second_ctrl_c_in_plain_mode_does_not_wait_for_the_peer_at_all() -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        assert peer.receive() == (TEXT, b"hello")
        interrupted.append(monotonic())
        process.send_signal(signal.SIGINT)
        assert peer.receive() == (CLOSE, b"\x03\xe8")
        process.send_signal(signal.SIGINT)
        peer.wait_for_end()

    interrupted: list[float] = []
    with raw_server(conduct) as port, started("connect", f"ws://127.0.0.1:{port}/") as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"hello\n")
        assert process.wait(TIMEOUT) == 130
        assert monotonic() - interrupted[0] < 2  # as long as the first one would have waited
        assert process.stderr.read() == b""


def interrupted_at_the_import_of(module: str, *args: str) -> subprocess.CompletedProcess[str]:
    """What becomes of the command when Ctrl+C is pressed just then."""
    script = f"""
import os, runpy, signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
runpy.run_module("rxecho", run_name="__main__")
"""
    # Where the tests themselves run in a shell's background, it would be ignored.
    command = [sys.executable, "-c", f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler){script}"]
    return subprocess.run([*command, *args], capture_output=True, text=True, timeout=TIMEOUT, check=False)


def test_ctrl_c_before_the_command_line_is_read_ends_it_like_any_process_without_a_traceback() -> None:
    done = interrupted_at_the_import_of("click")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", -signal.SIGINT)


def test_ctrl_c_while_it_gets_ready_ends_with_130_without_a_traceback() -> None:
    done = interrupted_at_the_import_of("rxecho.server")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 130)


# Standard streams.


def shell(line: str, *, url: str = "") -> subprocess.CompletedProcess[bytes]:
    command = " ".join([*COMMAND, "connect", url]) if url else " ".join(COMMAND)
    return subprocess.run(
        ["sh", "-c", line.replace("rxecho", command)], capture_output=True, timeout=TIMEOUT, check=False
    )


def test_a_reader_of_the_output_that_has_had_enough_is_a_normal_and_quiet_end(server: EchoServer) -> None:
    done = shell("{ rxecho -x hello -w inf; echo $? >&2; } | head -1", url=server.url_for("/ticker?interval=0"))
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b"0\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("rxecho -x hello >&-", "standard output is closed"),
        ("rxecho -x hello > /dev/full", "standard output cannot be written: No space left on device"),
        ("rxecho <&-", "standard input is closed"),
    ],
)
def test_a_closed_or_full_standard_stream_ends_with_1_and_one_sentence(
    line: str, says: str, server: EchoServer
) -> None:
    done = shell(line, url=server.url)
    assert (done.returncode, done.stdout) == (1, b"")
    assert is_one_sentence(done.stderr.decode())
    assert says in done.stderr.decode()


def test_help_that_cannot_be_written_ends_with_1_and_one_sentence() -> None:
    done = shell("rxecho --help > /dev/full")
    assert (done.returncode, done.stdout) == (1, b"")
    assert is_one_sentence(done.stderr.decode())


# Terminals.


class Terminal:
    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self._process = process
        self.descriptor = descriptor

    def read_until(self, text: str) -> str:
        said = ""
        while text not in said:
            assert select.select([self.descriptor], [], [], TIMEOUT)[0], said
            said += os.read(self.descriptor, 65536).decode()
        return said

    def write(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    @property
    def status(self) -> int:
        return self._process.wait(TIMEOUT)


@contextmanager
def on_terminal(*args: str, term: str = "xterm-256color") -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": term}
    with subprocess.Popen(
        [*COMMAND, *args], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            os.close(ours)


def test_where_input_and_output_are_terminals_the_console_opens() -> None:
    with on_terminal() as terminal:
        terminal.read_until("WebSocket Demo")
        terminal.write("\x03")
        assert terminal.status == 0


@pytest.mark.parametrize("piped", ["stdin", "stdout"])
def test_where_only_one_of_input_and_output_is_a_terminal_it_is_plain_mode(piped: str, server: EchoServer) -> None:
    ours, theirs = pty.openpty()
    streams = {"stdin": theirs, "stdout": theirs, piped: subprocess.PIPE}
    command = [*COMMAND, "connect", server.url, "-n", "1"]
    with subprocess.Popen(command, **streams, bufsize=0, start_new_session=True) as process:  # type: ignore[call-overload]
        if piped == "stdin":
            process.stdin.write(b"hello\n")
            assert b"hello" in os.read(ours, 100)
        else:
            os.write(ours, b"hello\n")
            assert process.stdout.readline() == b"hello\n"
        assert process.wait(TIMEOUT) == 0
    os.close(ours)
    os.close(theirs)


def test_a_message_to_execute_asks_for_plain_mode_on_a_terminal_too() -> None:
    with on_terminal("-x", "hello", "-n", "1") as terminal:
        assert terminal.read_until("hello\r\n") == "hello\r\n"
        assert terminal.status == 0


@pytest.mark.parametrize(("args", "term"), [(["--plain"], "xterm"), ([], "dumb")])
def test_plain_or_a_dumb_terminal_asks_for_plain_mode(args: list[str], term: str) -> None:
    with on_terminal(*args, term=term) as terminal:
        terminal.write("\x16\x1b[31mred\n")  # Ctrl+V, so that the terminal takes ESC as text
        terminal.read_until("\n\\e[31mred\r\n")
        terminal.write("\x04")
        assert terminal.status == 0
