"""What a type checker makes of the public names: right programs pass, and wrong ones are told where."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import rxecho

ROOT = Path(__file__).parent.parent
# With the project's own settings, so that what it has checked before is not checked anew.
MYPY = [sys.executable, "-m", "mypy", f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={ROOT / '.mypy_cache'}"]

RIGHT = '''
import ssl
from concurrent.futures import Future
from dataclasses import dataclass
from typing import assert_type

import rxecho
from rxecho import operators
from rxecho.recording import record
from reactivex import Observable, Subject
from reactivex import operators as ops
from rich.console import Console

Message = str | bytes


def talk(url: str) -> None:
    """Every option, every attribute."""
    channel = rxecho.WebSocketChannel.connect(
        url,
        protocols=["chat"],
        headers={"X-Token": "1"},
        origin=None,
        ssl=ssl.create_default_context(),
        proxy="",
        connect_timeout=1,
        close_timeout=1.5,
        ping_interval=None,
        ping_timeout=None,
        max_message_size=1024,
    )
    with channel as same:
        assert_type(same, rxecho.WebSocketChannel)
    assert_type(channel.ready, Future[None])
    assert_type(channel.stream, Observable[Message])
    assert_type(channel.state, rxecho.ChannelState)
    assert_type(channel.states, Observable[rxecho.ChannelState])
    assert_type(channel.protocol, str | None)
    assert_type(channel.close_code, int | None)
    assert_type(channel.close_reason, str | None)
    assert_type(channel.arriving_amount, int)
    assert_type(channel.ping(b"?"), Future[float])

    sink: rxecho.WebSocketSink = channel.sink
    for message in ("text", b"bytes", bytearray(1), memoryview(b"view")):
        sink.add(message)
    lines: Subject[Message] = Subject()
    lines.subscribe(sink)
    assert_type(sink.add_stream(lines), Future[None])
    assert_type(sink.close(rxecho.status.NORMAL_CLOSURE, "bye"), Future[None])
    assert_type(sink.done, Future[None])
    assert_type(sink.buffered_amount, int)
    assert_type(sink.dropped, int)


@dataclass
class Quote:
    """What a server sends."""

    price: float


def last(url: str) -> None:
    """Operators keep what is known of the values."""
    sink = operators.ReconnectingSink(overflow="drop_oldest")
    channels = rxecho.open_channel(url).pipe(operators.reconnect(when=["lost", 1012]), sink.follow())
    assert_type(channels, Observable[rxecho.WebSocketChannel])
    messages = channels.pipe(operators.messages())
    assert_type(messages, Observable[Message])
    assert_type(messages.pipe(operators.from_json(Quote)), Observable[Quote])
    assert_type(messages.pipe(operators.text()), Observable[str])
    assert_type(messages.pipe(operators.binary()), Observable[bytes])
    assert_type(messages.pipe(operators.heartbeat(10)), Observable[Message])
    assert_type(messages.pipe(operators.rate(1)), Observable[operators.Rate])
    newest = operators.conflate()
    assert_type(messages.pipe(newest), Observable[Message])
    assert_type(newest.dropped, int)
    assert_type(messages.pipe(operators.bounded(10, "error")), Observable[Message])
    assert_type(channels.pipe(operators.multiplex("on", b"off", bool)), Observable[Message])
    assert_type(messages.pipe(record("session.jsonl")), Observable[Message])
    assert_type(record("session.jsonl")(rxecho.WebSocketChannel.connect(url)), rxecho.WebSocketChannel)


def look(channel: rxecho.WebSocketChannel) -> None:
    """Snapshots, and what draws them."""
    snapshots = channel.stream.pipe(rxecho.operators.snapshots())
    assert_type(snapshots, Observable[rxecho.AsyncSnapshot[Message]])

    def build(snapshot: rxecho.AsyncSnapshot[Message]) -> str:
        if snapshot.connection_state is rxecho.ConnectionState.DONE and snapshot.has_error:
            return repr(snapshot.error)
        return repr(snapshot.require_data if snapshot.has_data else None)

    with rxecho.StreamBuilder(channel.stream, build) as latest:
        assert_type(latest, rxecho.StreamBuilder[Message])
        Console().print(latest)
        with rxecho.Live(latest, refresh_per_second=20) as live:
            assert_type(live, rxecho.Live)
            live.update(latest, refresh=True)


def again(url: str) -> None:
    """A channel for each subscription."""
    channels = rxecho.open_channel(url, connect_timeout=1.0, headers=[("X", "1")])
    assert_type(channels, Observable[rxecho.WebSocketChannel])

    def listen(channel: rxecho.WebSocketChannel) -> Observable[Message]:
        return channel.stream

    assert_type(channels.pipe(ops.flat_map(listen), ops.retry(3)), Observable[Message])


with rxecho.EchoServer(port=0) as server:
    try:
        talk(server.url_for("/echo"))
    except rxecho.ConnectTimeout as error:
        assert_type(error.status, int | None)
    except (rxecho.ConnectError, rxecho.ConnectionLost, rxecho.ChannelClosed):
        pass
    except (rxecho.ProtocolError, rxecho.InvalidPayload, rxecho.MessageTooBig) as broken:
        failed: rxecho.errors.ChannelError | rxecho.ChannelError = broken
'''

WRONG = {
    'rxecho.open_channel("ws://h/", no_such=1)': "call-arg",
    'rxecho.open_channel("ws://h/", ping_interval="soon")': "arg-type",
    'rxecho.WebSocketChannel.connect("ws://h/", ping_interval="soon")': "arg-type",
    'rxecho.WebSocketChannel.connect("ws://h/", no_such=1)': "call-arg",
    "rxecho.WebSocketChanel": "attr-defined",
    'rxecho.WebSocketChannel.connect("ws://h/").sink.add(1)': "arg-type",
}


def test_a_strict_type_checker_knows_every_public_name_and_refuses_what_is_not_there(tmp_path: Path) -> None:
    assert {name for name in rxecho.__all__ if not re.search(rf"rxecho\.{name}\b", RIGHT)} == set()
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text("import rxecho\n" + "\n".join(WRONG) + "\n")
    done = subprocess.run(
        [*MYPY, "right.py", "wrong.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    errors = re.findall(r"^(\w+\.py):(\d+): error: .* \[([\w-]+)\]$", done.stdout, re.MULTILINE)
    expected = [("wrong.py", str(line), code) for line, code in enumerate(WRONG.values(), start=2)]
    assert errors == expected, done.stdout
