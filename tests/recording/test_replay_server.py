"""`ReplayServer`: a recorded server, which any client can have again."""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from reactivex import operators as ops

from rxecho import ChannelState, ConnectionLost, EchoServer, WebSocketChannel
from rxecho.recording import Header, RecordingError, ReplayServer, record
from rxecho.recording import server as replay_server
from rxecho.recording.session import Closed, Completed, Event, Failed, Opened, Received, Sent, encode


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


def write(path: Path, *events: Event, behind: bytes = b"") -> Path:
    header = Header(start=datetime(2026, 11, 25, tzinfo=UTC))
    path.write_bytes(b"".join(encode(line) + b"\n" for line in (header, *events)) + behind)
    return path


def received(server: ReplayServer, *protocols: str) -> tuple[list[str | bytes], WebSocketChannel]:
    """All that a client gets that only listens."""
    with WebSocketChannel.connect(server.url, protocols=protocols) as channel:
        messages: list[str | bytes] = channel.stream.pipe(ops.to_list()).run()
    return messages, channel


def test_a_client_gets_what_was_received_and_the_recorded_close(path: Path) -> None:
    write(path, Opened(0.0), Received(0.01, text="a"), Received(0.02, binary=b"b"), Closed(0.03, 1, 4000, "Enough"))
    with ReplayServer(path) as server:
        messages, channel = received(server)
    assert messages == ["a", b"b"]
    assert (channel.close_code, channel.close_reason) == (4000, "Enough")


def test_a_close_without_a_code_has_none_again(path: Path) -> None:
    with ReplayServer(write(path, Opened(0.0), Closed(0.0))) as server:
        assert received(server)[1].close_code == 1005


def test_a_session_of_a_real_server_is_served_to_its_client_again(path: Path) -> None:
    def talk(channel: WebSocketChannel) -> list[str | bytes]:
        # Each message is the answer to the one before.
        echoes = channel.stream.pipe(
            ops.take(3), ops.do_action(lambda message: channel.sink.add(str(message) + "!")), ops.to_list()
        )
        channel.sink.add("a")
        said: list[str | bytes] = echoes.run()
        return said

    with EchoServer() as echo, record(path)(WebSocketChannel.connect(echo.url)) as channel:
        said = talk(channel)
    with ReplayServer(path, speed=math.inf) as server, WebSocketChannel.connect(server.url) as channel:
        assert talk(channel) == said == ["a", "a!", "a!!"]


def test_a_message_waits_for_what_the_client_had_to_say_before(path: Path) -> None:
    write(path, Opened(0.0), Received(0.0, text="who?"), Sent(0.1, text="me"), Received(0.1, text="hello"), Closed(0.1))
    answered = threading.Event()
    with ReplayServer(path, speed=math.inf) as server, WebSocketChannel.connect(server.url) as channel:
        messages: list[str | bytes] = []

        def on_next(message: str | bytes) -> None:
            messages.append(message)
            if message == "who?":
                channel.ping().add_done_callback(lambda _: answered.set())

        channel.stream.subscribe(on_next)
        assert answered.wait(10)
        assert messages == ["who?"]  # also after a whole round trip
        channel.sink.add("anybody")
        channel.sink.done.result(timeout=10)
    assert messages == ["who?", "hello"]


def test_a_client_that_only_listens_is_served_after_a_while(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_server, "PATIENCE", 0.01)
    events = [event for _ in range(100) for event in (Sent(0.1, text="me"), Received(0.1, text="hello"))]
    with ReplayServer(write(path, Opened(0.0), *events, Closed(0.1))) as server:
        messages, channel = received(server)
    assert messages == ["hello"] * 100
    assert channel.close_code == 1005


def test_where_the_client_closed_this_one_is_waited_for(path: Path) -> None:
    write(path, Opened(0.0), Received(0.0, text="a"), Closed(0.0, 1, 1000, "", "us"))
    with ReplayServer(path) as server, WebSocketChannel.connect(server.url) as channel:
        assert channel.stream.pipe(ops.first()).run() == "a"
        channel.ping().result(timeout=10)
        assert channel.state is ChannelState.OPEN
    assert channel.closed_by_us


def test_where_the_client_closed_one_that_does_not_is_closed_after_a_while(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_server, "PATIENCE", 0.01)
    with ReplayServer(write(path, Opened(0.0), Closed(0.0, 1, 1000, "", "us"))) as server:
        assert received(server)[1].close_code == 1000


LOST = Failed(0.1, 1, "ConnectionLost", "gone")


@pytest.mark.parametrize(
    ("events", "behind"),
    [
        pytest.param((LOST,), b"", id="lost"),
        pytest.param((), b"", id="cut off"),
        pytest.param((), b"damage\n", id="damaged"),
        pytest.param((Closed(0.1, 1, 1006, "", "peer"),), b"", id="never answered"),
    ],
)
def test_a_connection_that_was_lost_is_lost_again(path: Path, events: tuple[Event, ...], behind: bytes) -> None:
    write(path, Opened(0.0), Received(0.0, text="a"), *events, behind=behind)
    messages: list[str | bytes] = []
    with ReplayServer(path) as server:
        channel = WebSocketChannel.connect(server.url)
        with pytest.raises(ConnectionLost):
            channel.stream.pipe(ops.do_action(messages.append)).run()
    assert messages == ["a"]


def test_clients_get_the_connections_in_a_row_and_then_the_last_again(path: Path) -> None:
    write(
        path,
        Opened(0.0),
        Received(0.0, text="first"),
        Failed(0.1, 1, "ConnectionLost", "gone"),
        Opened(3600.0, 2),
        Received(3600.0, 2, text="second"),
        Closed(3600.0, 2, 1000),
        Completed(3600.0, 0),
    )
    with ReplayServer(path) as server:
        channel = WebSocketChannel.connect(server.url)
        assert channel.stream.pipe(ops.first()).run() == "first"
        for _ in range(2):
            assert received(server)[0] == ["second"]


def test_several_clients_are_served_at_once(path: Path) -> None:
    write(path, Opened(0.0), Received(0.0, text="a"), Sent(0.0, text="me"), Received(0.0, text="b"), Closed(0.0))
    with ReplayServer(path) as server:
        channels = [WebSocketChannel.connect(server.url) for _ in range(10)]
        for channel in channels:
            assert channel.stream.pipe(ops.first()).run() == "a"
        for channel in channels:
            channel.sink.add("me")
        for channel in channels:
            channel.sink.done.result(timeout=10)
            assert channel.close_code == 1005


def test_the_recorded_subprotocol_is_chosen_if_it_is_offered(path: Path) -> None:
    with ReplayServer(write(path, Opened(0.0, 1, "chat"), Closed(0.0, 1, 1000))) as server:
        assert received(server, "super", "chat")[1].protocol == "chat"
        assert received(server, "super")[1].protocol is None


def test_a_stream_is_served_with_its_values_as_json(path: Path) -> None:
    write(path, Received(0.0, text="a"), Received(0.0, value={"ü": None}), Completed(0.0))
    with ReplayServer(path) as server:
        messages, channel = received(server)
    assert messages == ["a", '{"ü": null}']
    assert channel.close_code == 1000


def test_a_client_that_leaves_early_disturbs_nobody(path: Path) -> None:
    write(path, Opened(0.0), *(Received(0.0, text="x" * 1000) for _ in range(1000)), Closed(0.0, 1, 1000))
    with ReplayServer(path) as server:
        WebSocketChannel.connect(server.url).stream.pipe(ops.first()).run()
        assert len(received(server)[0]) == 1000


def test_it_stops_in_the_middle_of_a_session(path: Path) -> None:
    write(path, Opened(0.0), Received(0.0, text="a"), Received(3600.0, text="b"), Closed(3600.0))
    with ReplayServer(path) as server:
        channel = WebSocketChannel.connect(server.url)
        channel.ready.result(timeout=10)
    channel.sink.done.result(timeout=10)
    assert channel.close_code == 1001


def test_what_is_no_recording_is_told_before_it_serves(path: Path) -> None:
    path.write_text("Hello!")
    with pytest.raises(RecordingError, match="is not a recording"):
        ReplayServer(path)
    with pytest.raises(ValueError, match="speed is a number above 0"):
        ReplayServer(path, speed=0)


def test_a_whole_session_is_its_connections_as_one_with_the_end_of_the_last(path: Path) -> None:
    first = Opened(0.0), Received(0.01, text="a"), Failed(0.02, error="ConnectionLost", text="gone")
    second = Opened(0.03, 2), Received(0.04, 2, text="b"), Closed(0.05, 2, 4000, "Enough")
    with ReplayServer(write(path, *first, *second), whole=True) as server:
        for _ in range(2):
            messages, channel = received(server)
            assert messages == ["a", "b"]
            assert (channel.close_code, channel.close_reason) == (4000, "Enough")
