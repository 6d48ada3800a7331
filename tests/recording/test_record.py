"""`record`: what channels and streams do stands in the file, and nothing that they do is different for it."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from raw_server import PING, TEXT, Peer, raw_server
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler

from rxecho import ConnectError, ConnectionLost, EchoServer, WebSocketChannel, open_channel
from rxecho.recording import Recording, RecordingError, record
from rxecho.recording.journal import LARGE, STEP, Journal
from rxecho.recording.session import Closed, Completed, Disposed, Event, Failed, Opened, Received, Sent

if TYPE_CHECKING:
    from collections.abc import Iterator

on_next, on_completed, on_error = ReactiveTest.on_next, ReactiveTest.on_completed, ReactiveTest.on_error


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer() as server:
        yield server


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """What nobody was there to be told."""
    told: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: told.append(arguments.exc_value))
    return told


def echo(channel: WebSocketChannel, *messages: str | bytes) -> list[str | bytes]:
    for message in messages:
        channel.sink.add(message)
    echoes: list[str | bytes] = channel.stream.pipe(ops.take(len(messages)), ops.to_list()).run()
    return echoes


def of(path: Path, connection: int = 1) -> list[Event]:
    return [event for event in Recording(path) if event.connection == connection]


def descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


# A channel.


def test_a_channel_is_recorded_in_both_directions_to_its_end(path: Path, server: EchoServer) -> None:
    with record(path)(WebSocketChannel.connect(server.url)) as channel:
        channel.ready.result()
        assert echo(channel, "Grüße", b"\0\xff") == ["Grüße", b"\0\xff"]
    opened, *messages, closed = Recording(path)
    assert isinstance(opened, Opened)
    assert [event.message for event in messages if isinstance(event, Sent)] == ["Grüße", b"\0\xff"]
    assert [event.message for event in messages if isinstance(event, Received)] == ["Grüße", b"\0\xff"]
    assert closed == Closed(closed.time, 1, 1000, "", "us")


def test_the_header_says_where_and_when(path: Path, server: EchoServer) -> None:
    before = datetime.now(UTC)
    with record(path)(WebSocketChannel.connect(server.url)):
        pass
    header = Recording(path).header
    assert header.url == server.url
    assert before <= header.start <= datetime.now(UTC)


def test_no_secret_of_the_handshake_is_in_the_file(path: Path) -> None:
    url = "ws://{}:{}@127.0.0.1:1/feed?token={}"
    secrets = [f"secret{number}" for number in range(6)]
    headers = {"Cookie": f"session={secrets[3]}", "X-Api-Key": secrets[4], "User-Agent": "harmless"}
    channel = WebSocketChannel.connect(
        url.format(*secrets), headers=headers, origin="http://harmless.example", protocols=["chat", secrets[5]]
    )
    record(path)(channel)
    channel.sink.done.result(timeout=10)
    content = path.read_text()
    assert not [secret for secret in secrets if secret in content]
    assert Recording(path).header.headers[:3] == (("Cookie", None), ("X-Api-Key", None), ("User-Agent", "harmless"))
    assert ("Origin", "http://harmless.example") in Recording(path).header.headers
    assert "Authorization" in content


def test_the_subprotocol_is_recorded(path: Path, server: EchoServer) -> None:
    with record(path)(WebSocketChannel.connect(server.url, protocols=["chat"])) as channel:
        channel.ready.result()
    assert [event.protocol for event in Recording(path) if isinstance(event, Opened)] == ["chat"]


def test_the_peers_close_is_recorded_with_code_and_reason(path: Path, server: EchoServer) -> None:
    channel = record(path)(WebSocketChannel.connect(server.url_for("/close?code=4000&reason=Enough")))
    channel.sink.done.result(timeout=10)
    *_, closed = Recording(path)
    assert closed == Closed(closed.time, 1, 4000, "Enough", "peer")


def test_a_lost_connection_is_recorded_with_the_type_and_the_text(path: Path, server: EchoServer) -> None:
    channel = record(path)(WebSocketChannel.connect(server.url_for("/flaky")))
    for _ in range(3):
        channel.sink.add("a")
    with pytest.raises(ConnectionLost) as caught:
        channel.stream.run()
    *_, failed = Recording(path)
    assert failed == Failed(failed.time, 1, "ConnectionLost", str(caught.value))


def test_a_failed_connect_is_recorded(path: Path) -> None:
    channel = record(path)(WebSocketChannel.connect("ws://127.0.0.1:1/"))
    error = channel.ready.exception(timeout=10)
    channel.sink.done.result(timeout=10)
    (failed,) = Recording(path)
    assert isinstance(error, ConnectError)
    assert failed == Failed(failed.time, 1, "ConnectError", str(error))


def test_pings_and_pongs_are_recorded(path: Path) -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        peer.receive()
        peer.send(PING, b"theirs")
        peer.receive()
        peer.close()

    with raw_server(conduct) as port:
        channel = record(path)(WebSocketChannel.connect(f"ws://127.0.0.1:{port}/"))
        channel.sink.add("recorded by now")
        channel.sink.done.result(timeout=10)
    *_, ping, pong, _ = Recording(path)
    assert ping == Received(ping.time, ping=b"theirs")
    assert pong == Sent(pong.time, pong=b"theirs")


def test_it_takes_no_message_from_the_first_subscriber(path: Path) -> None:
    def conduct(peer: Peer) -> None:
        peer.open()
        peer.send(TEXT, b"a")
        peer.send(TEXT, b"b")
        peer.close()

    with raw_server(conduct) as port:
        channel = record(path)(WebSocketChannel.connect(f"ws://127.0.0.1:{port}/"))
        channel.sink.done.result(timeout=10)
    assert channel.stream.pipe(ops.to_list()).run() == ["a", "b"]
    assert [event.message for event in Recording(path) if isinstance(event, Received)] == ["a", "b"]


def test_times_are_those_of_the_given_scheduler(path: Path, server: EchoServer) -> None:
    scheduler = VirtualTimeScheduler()
    with record(path, scheduler=scheduler)(WebSocketChannel.connect(server.url)) as channel:
        channel.ready.result()
        scheduler.sleep(2.5)
        echo(channel, "a")
    assert [event.time for event in Recording(path)] == [0, 2.5, 2.5, 2.5]
    assert Recording(path).header.start == datetime(1970, 1, 1, tzinfo=UTC)


def send_a_thousand(channel: WebSocketChannel) -> None:
    for _ in range(1000):
        channel.sink.add("x")


def test_times_never_go_back_when_many_threads_send(path: Path, server: EchoServer) -> None:
    with record(path)(WebSocketChannel.connect(server.url)) as channel:
        echoed = threading.Event()
        channel.stream.pipe(ops.take(4000)).subscribe(on_completed=echoed.set)
        threads = [threading.Thread(target=send_a_thousand, args=(channel,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert echoed.wait(30)
    events = list(Recording(path))
    assert sum(isinstance(event, Sent) and event.text == "x" for event in events) == 4000
    assert sum(isinstance(event, Received) and event.text == "x" for event in events) == 4000
    assert [event.time for event in events] == sorted(event.time for event in events)


# Channels, one after the other.


def test_each_connection_of_a_stream_of_channels_has_its_number(path: Path, server: EchoServer) -> None:
    channels = open_channel(server.url_for("/flaky?after=0")).pipe(ops.retry(2), record(path))
    with pytest.raises(ConnectionLost):
        channels.run()
    for number in (1, 2):
        assert [type(event) for event in of(path, number)] == [Opened, Failed]
    (end,) = of(path, 0)
    assert isinstance(end, Failed)


def test_a_connection_that_outlives_the_subscription_is_recorded_to_its_end(path: Path, server: EchoServer) -> None:
    left = threading.Event()
    told: Observable[WebSocketChannel] = record(path)(open_channel(server.url)).pipe(ops.finally_action(left.set))
    with told.pipe(ops.first()).run() as channel:
        channel.sink.done.result(timeout=10)
    assert left.wait(10)
    assert [type(event) for event in of(path, 0)] == [Disposed]
    assert isinstance(of(path)[-1], Closed)


def test_a_recorder_that_is_used_again_appends(path: Path, server: EchoServer) -> None:
    recorder = record(path)
    for message in ("a", "b"):
        with recorder(WebSocketChannel.connect(server.url)) as channel:
            echo(channel, message)
    assert [[event.text for event in of(path, n) if isinstance(event, Sent)] for n in (1, 2)] == [["a"], ["b"]]
    times = [event.time for event in Recording(path)]
    assert times == sorted(times)


# A stream.


def test_a_stream_is_handed_on_as_it_is_and_recorded(path: Path) -> None:
    error = OSError("gone")
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(on_next(210, "a"), on_next(220, b"b"), on_error(230, error))
    result = scheduler.start(lambda: source.pipe(record(path)))
    assert result.messages == [on_next(210, "a"), on_next(220, b"b"), on_error(230, error)]
    assert list(Recording(path)) == [
        Received(10.0, text="a"),
        Received(20.0, binary=b"b"),
        Failed(30.0, 1, "OSError", "gone"),
    ]
    assert Recording(path).header.start == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=200)


def test_other_values_are_recorded_as_json(path: Path) -> None:
    values = [None, 1.5, 10**30, {"a": [True, "ü"]}]
    reactivex.from_iterable(values).pipe(record(path)).run()
    *received, end = Recording(path)
    assert [event.value for event in received if isinstance(event, Received)] == values
    assert isinstance(end, Completed)


deep: list[Any] = []
for _ in range(10_000):
    deep = [deep]


@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800", ["\ud800"], bytearray(b"a"), deep])
def test_a_value_that_is_not_to_be_had_as_json_is_an_error_of_its_stream(path: Path, value: object) -> None:
    source: Subject[object] = Subject()
    values: list[object] = []
    errors: list[Exception] = []
    source.pipe(record(path)).subscribe(values.append, errors.append)
    source.on_next("a")
    source.on_next(value)
    assert values == ["a"]
    (error,) = errors
    assert isinstance(error, RecordingError)
    assert f"cannot record a value of type {type(value).__name__}" in str(error)
    assert not source.observers
    assert [type(event) for event in Recording(path)] == [Received, Failed]


def test_an_error_whose_text_is_no_unicode_is_recorded(path: Path) -> None:
    with pytest.raises(OSError, match="\ud800"):
        reactivex.throw(OSError("\ud800")).pipe(record(path)).run()
    assert [event.text for event in Recording(path) if isinstance(event, Failed)] == ["?"]


def test_who_leaves_a_stream_is_recorded(path: Path) -> None:
    scheduler = TestScheduler()
    scheduler.start(lambda: reactivex.never().pipe(record(path)), disposed=500)
    assert list(Recording(path)) == [Disposed(300.0, 0)]


def test_each_subscription_has_its_number(path: Path) -> None:
    recorded = reactivex.of("a").pipe(record(path))
    recorded.run()
    recorded.run()
    assert [(type(event), event.connection) for event in Recording(path)] == [
        (Received, 1),
        (Completed, 1),
        (Received, 2),
        (Completed, 2),
    ]


# The file.


def test_nothing_is_overwritten(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(RecordingError, match="exists already, and nothing is overwritten: choose another name"):
        record(path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("where", ["missing/session.jsonl", "file/session.jsonl"])
def test_an_unwritable_path_is_told_before_connecting(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordingError, match="cannot record to ") as caught:
        record(tmp_path / where)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_file_that_was_removed_meanwhile_is_told(path: Path, server: EchoServer) -> None:
    recorder = record(path)
    reactivex.of("a").pipe(recorder).run()
    path.unlink()
    with pytest.raises(RecordingError, match="cannot record to "):
        reactivex.of("a").pipe(recorder).run()
    with WebSocketChannel.connect(server.url) as channel, pytest.raises(RecordingError, match="cannot record to "):
        recorder(channel)


CRASH = """
import os, signal, sys
from rxecho import EchoServer, WebSocketChannel
from rxecho.recording import record

def on_next(message):
    if message == "last":
        os.kill(os.getpid(), signal.SIGKILL)

with EchoServer() as server:
    channel = record(sys.argv[1])(WebSocketChannel.connect(server.url))
    channel.stream.subscribe(on_next)
    for number in range(3000):
        channel.sink.add(f"{number} " + "x" * (number % 100))
    channel.sink.add("x" * 100_000)
    channel.sink.add("last")
    channel.sink.done.result()
"""


def test_a_crash_loses_nothing_that_was_written(path: Path) -> None:
    process = subprocess.run([sys.executable, "-c", CRASH, str(path)], capture_output=True, timeout=50, check=False)
    assert process.returncode == -9, process.stderr
    events = list(Recording(path))
    sent = [*(f"{number} " + "x" * (number % 100) for number in range(3000)), "x" * 100_000, "last"]
    assert [event.text for event in events if isinstance(event, Sent)] == sent
    assert [event.text for event in events if isinstance(event, Received)] == sent


LEFT_OPEN = """
import sys
from rxecho import EchoServer, WebSocketChannel
from rxecho.recording import record

server = EchoServer().__enter__()
channel = record(sys.argv[1])(WebSocketChannel.connect(server.url))
channel.ready.result()
channel.sink.add("a")
"""


def test_a_program_that_ends_leaves_no_zeros_behind(path: Path) -> None:
    subprocess.run([sys.executable, "-c", LEFT_OPEN, str(path)], timeout=50, check=True)
    assert b"\0" not in path.read_bytes()
    assert [event.text for event in Recording(path) if isinstance(event, Sent)] == ["a"]


FULL = """
import resource, sys, threading
from rxecho import EchoServer, WebSocketChannel
from rxecho.recording import record

def tell(arguments):
    print(type(arguments.exc_value).__name__, arguments.exc_value)

threading.excepthook = tell
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
with EchoServer() as server, record(sys.argv[1])(WebSocketChannel.connect(server.url)) as channel:
    count, counted = 0, threading.Event()
    def on_next(_):
        global count
        count += 1
        if count == 10_000:
            counted.set()
    channel.stream.subscribe(on_next)
    for _ in range(10_000):
        channel.sink.add("x" * int(sys.argv[2]))
    print(counted.wait(40))
"""


@pytest.mark.parametrize("size", [32, 20_000])
def test_a_full_disk_ends_the_recording_and_not_the_connection(path: Path, size: int) -> None:
    process = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(size)], capture_output=True, text=True, timeout=50, check=True
    )
    told, counted = process.stdout.splitlines()
    assert told == f"RecordingError cannot record to {path}: File too large"
    assert counted == "True"
    content = path.read_bytes()
    assert content.endswith(b"}\n")
    assert b"\0" not in content
    assert len(list(Recording(path))) > 5


def test_nothing_is_left_open(tmp_path: Path, server: EchoServer) -> None:
    before = descriptors()
    for number in range(10):
        recorder = record(tmp_path / str(number))
        with recorder(WebSocketChannel.connect(server.url)) as channel:
            echo(channel, "a")
        recorder(open_channel(server.url)).pipe(ops.first()).run().sink.done.result(timeout=10)
        reactivex.never().pipe(recorder).subscribe().dispose()
        record(tmp_path / f"unused {number}")
    assert descriptors() == before


@given(st.lists(st.one_of(st.binary(max_size=100), st.integers(0, 2 * LARGE).map(bytes), st.just(bytes(STEP + 1)))))
def test_a_journal_is_what_was_appended(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("journal") / "file"
    path.touch()
    for half in (lines[: len(lines) // 2], lines[len(lines) // 2 :]):
        journal = Journal(path)
        for number, line in enumerate(half):
            journal.append(line.replace(b"\0", bytes([number % 255 + 1])))
        journal.close()
    halves = (lines[: len(lines) // 2], lines[len(lines) // 2 :])
    assert path.read_bytes() == b"".join(
        line.replace(b"\0", bytes([number % 255 + 1])) for half in halves for number, line in enumerate(half)
    )
