"""`--reconnect`, `--record` and `rxecho replay`, in real terminals and pipes, with real servers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from peer import BadPeer, frame
from raw_server import CLOSE, PING, TEXT, Peer, raw_server
from terminal import CTRL_C, TIMEOUT, Terminal

from rxecho import EchoServer, WebSocketChannel
from rxecho.recording import record

RXECHO = [sys.executable, "-m", "rxecho"]
HAR = Path(__file__).parent.parent / "recording" / "chromium.har"


def plain(*arguments: str, lines: str = "") -> tuple[int, str, str]:
    done = subprocess.run([*RXECHO, *arguments], input=lines, capture_output=True, text=True, timeout=TIMEOUT)
    return done.returncode, done.stdout, done.stderr


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()][1:]


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """A recorded session: Hello! there and back, and a server that closes with 4000."""
    path = tmp_path / "session.jsonl"
    with EchoServer() as server:
        done = subprocess.run(
            [*RXECHO, "connect", server.url, "--record", str(path), "-x", "Hello!", "-x", "é"], timeout=TIMEOUT
        )
    assert done.returncode == 0
    return path


# --reconnect


def test_the_console_connects_again_after_a_drop_and_says_so() -> None:
    with EchoServer() as server:
        url = server.url_for("/flaky?after=1")
        with Terminal([*RXECHO, "connect", url, "--reconnect"], columns=100) as terminal:
            terminal.wait_for("open")
            for word in ("one", "two"):
                terminal.send(f"{word}\r")
                terminal.wait_for(f"← {word}")
                terminal.wait_for("connected again" if word == "one" else "trying again in")
            assert "was lost: the peer went away without a close frame; trying again in" in " ".join(
                terminal.text.split()
            )
            terminal.send(CTRL_C)
            assert terminal.wait() == 0


def test_what_is_typed_while_there_is_no_connection_is_sent_when_there_is() -> None:
    with EchoServer() as server:
        port = server.port
    with Terminal([*RXECHO, "connect", f"ws://127.0.0.1:{port}/", "--reconnect"], columns=100) as terminal:
        terminal.wait_for("trying again in")
        terminal.send("early\r")
        terminal.wait_for("→ early")
        with EchoServer(port=port):
            terminal.wait_for("← early")
            terminal.send(CTRL_C)
            assert terminal.wait() == 0


def test_ctrl_c_ends_the_console_at_once_while_it_waits_to_connect_again() -> None:
    with EchoServer() as server:
        port = server.port
    with Terminal([*RXECHO, "connect", f"ws://127.0.0.1:{port}/", "--reconnect"], columns=100) as terminal:
        terminal.wait_for("trying again in")
        terminal.send(CTRL_C)
        assert terminal.wait() == 0
        terminal.wait_for("Closed before it was open")
        assert "Traceback" not in terminal.text


def test_plain_mode_connects_again_and_says_so_on_standard_error() -> None:
    with EchoServer() as server:
        port = server.port
    process = subprocess.Popen(
        [*RXECHO, "connect", f"ws://127.0.0.1:{port}/", "--reconnect", "-x", "early", "-n", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr
        assert process.stdout
        assert "trying again in" in process.stderr.readline()
        with EchoServer(port=port):
            assert process.stdout.readline() == "early\n"
            assert process.wait(TIMEOUT) == 0


def test_a_refusal_for_good_ends_it_in_spite_of_reconnect() -> None:
    def refuse(peer: Peer) -> None:
        peer.read_head()
        peer.sock.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    with raw_server(refuse) as port:
        status, _, said = plain("connect", f"ws://127.0.0.1:{port}/", "--reconnect", "-x", "a")
    assert status == 1
    assert "401" in said
    assert said.count("\n") == 1


# --record


def test_a_session_is_recorded_in_both_directions(session: Path) -> None:
    told = events(session)
    for direction in ("sent", "received"):
        assert [event["text"] for event in told if event["event"] == direction] == ["Hello!", "é"]
    assert sum(event["event"] == "opened" for event in told) == 1
    assert (told[-1]["event"], told[-1]["code"], told[-1]["by"]) == ("closed", 1000, "us")


def test_the_console_records_too(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    with Terminal([*RXECHO, "--record", str(path)]) as terminal:
        terminal.wait_for("open")
        terminal.send("Hello!\r")
        terminal.wait_for("← Hello!")
        terminal.send(CTRL_C)
        assert terminal.wait() == 0
    texts = [(event["event"], event["text"]) for event in events(path) if "text" in event]
    assert texts == [("sent", "Hello!"), ("received", "Hello!")]


def test_all_connections_of_a_session_that_reconnects_are_in_one_recording(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    with EchoServer() as server:
        url = server.url_for("/flaky?after=1")
        with Terminal([*RXECHO, "connect", url, "--reconnect", "--record", str(path)], columns=100) as terminal:
            terminal.wait_for("open")
            terminal.send("one\r")
            terminal.wait_for("connected again")
            terminal.send("two\r")
            terminal.wait_for("← two")
            terminal.send(CTRL_C)
            assert terminal.wait() == 0
    told = [event for event in events(path) if event["event"] == "received" and "text" in event]
    received = [(event["text"], event.get("connection", 1)) for event in told]
    assert received == [("one", 1), ("two", 2)]
    assert plain("replay", str(path), "--speed", "inf")[1] == "one\ntwo\n"


@pytest.mark.parametrize("reconnect", [[], ["--reconnect"]])
def test_what_a_server_says_as_it_opens_is_recorded_and_told(tmp_path: Path, reconnect: list[str]) -> None:
    def greet(plain_peer: Peer) -> None:
        peer = BadPeer(plain_peer.sock)
        peer.open_with(frame(PING, b"early") + frame(TEXT, b"Hello!"))
        peer.send(CLOSE, peer.receive_close())

    path = tmp_path / "session.jsonl"
    with raw_server(greet) as port:
        url = f"ws://127.0.0.1:{port}/"
        status, received, said = plain("connect", url, "--record", str(path), "--show-ping-pong", "-n", "1", *reconnect)
    assert (status, received) == (0, "Hello!\n")
    assert "ping received: early" in said
    assert [event.get("text") or event["ping"] for event in events(path) if event["event"] == "received"] == [
        "ZWFybHk=",
        "Hello!",
    ]


@pytest.mark.parametrize("reconnect", [[], ["--reconnect"]])
def test_a_file_that_cannot_be_written_is_told_before_connecting(tmp_path: Path, reconnect: list[str]) -> None:
    path = tmp_path / "there"
    path.write_text("precious")
    for file, why in [(path, "exists already"), (tmp_path / "no" / "where", "No such file or directory")]:
        status, _, said = plain("connect", "ws://127.0.0.1:1/", "--record", str(file), "-x", "a", *reconnect)
        assert status == 2
        assert why in said
        assert said.count("\n") == 1
    assert path.read_text() == "precious"


def test_a_url_that_cannot_be_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    status, _, _ = plain("connect", "http://127.0.0.1/", "--record", str(path), "-x", "a")
    assert status == 2
    assert not path.exists()


# rxecho replay


def test_what_was_received_is_replayed_to_a_pipe(session: Path) -> None:
    assert plain("replay", str(session), "--speed", "inf") == (0, "Hello!\né\n", "")


def test_the_console_plays_both_sides_of_a_session_and_ends_with_it(session: Path) -> None:
    with Terminal([*RXECHO, "replay", str(session)], columns=100) as terminal:
        assert terminal.wait() == 0
        for text in ("→ Hello!", "← Hello!", "→ é", "← é", "Closed: 1000"):
            terminal.wait_for(text)


def test_a_session_that_the_server_closed_ends_so_again(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    with EchoServer() as server:
        channel = record(path)(WebSocketChannel.connect(server.url_for("/close?code=4000&reason=Enough")))
        channel.sink.done.result(TIMEOUT)
    status, _, said = plain("replay", str(path))
    assert status == 1
    assert "the server closed the connection with 4000: Enough" in said


def test_a_recording_that_was_cut_off_is_replayed_to_there_and_told(session: Path) -> None:
    session.write_bytes(session.read_bytes()[:-10])
    status, received, said = plain("replay", str(session), "--speed", "inf")
    assert (status, received) == (1, "Hello!\né\n")
    assert f"{session}, line 7" in said
    assert said.count("\n") == 1


def test_what_is_no_recording_is_told_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a recording")
    status, _, said = plain("replay", str(path))
    assert status == 1
    assert f"{path} is not a recording of rxecho" in said
    assert said.count("\n") == 1


def test_a_session_of_a_browser_is_replayed_from_its_har() -> None:
    status, _, said = plain("replay", str(HAR))
    assert status == 1
    assert "has more than one WebSocket" in said
    status, received, _ = plain("replay", str(HAR), "--url", "/ticker", "--speed", "inf")
    assert status == 0
    assert len(received.splitlines()) == 3


def test_the_servers_side_is_served_to_any_client(session: Path) -> None:
    serving = subprocess.Popen(
        [*RXECHO, "replay", str(session), "--serve", "--port", "0", "--speed", "inf"], stdout=subprocess.PIPE, text=True
    )
    with serving:
        assert serving.stdout
        url = serving.stdout.readline().removeprefix("Listening on ").strip()
        assert plain("connect", url, "-x", "anything", "-x", "else", "-n", "2")[:2] == (0, "Hello!\né\n")
        serving.send_signal(2)
        assert serving.wait(TIMEOUT) == 0


def test_a_speed_is_above_0(session: Path) -> None:
    status, _, said = plain("replay", str(session), "--speed", "0")
    assert status == 2
    assert "more than 0" in said
