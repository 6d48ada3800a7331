"""The channel as a whole: how it is made, what it tells of itself, and that nothing of it is left behind."""

from __future__ import annotations

import gc
import inspect
import socket
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from math import nan
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from peer import BadPeer, Recorder, connected, connecting, frame, listen, send_until_full
from raw_server import BINARY, CLOSE, PING, TEXT, TIMEOUT, raw_server, refused_port

from rxecho import ChannelClosed, ChannelState, ConnectError, ConnectionLost, WebSocketChannel
from rxecho.frames import Message

NORMAL = b"\x03\xe8"
FDS = Path("/proc/self/fd")


def channel_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("rxecho")]


# How it is made.


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://example.com/", "must begin with ws:// or wss://"),
        ("example.com", "must begin with ws:// or wss://"),
        ("", "must begin with ws:// or wss://"),
        ("ws:/example.com", "no host"),
        ("ws://", "no host"),
        ("ws:///path", "no host"),
        ("ws://:80/", "no host"),
        ("ws://example.com/#top", "fragment"),
        ("ws://example.com/#", "fragment"),
        ("ws://example.com:eighty/", "is not a URL"),
        ("ws://example.com:65536/", "is not a URL"),
        ("ws://example.com:0/", "port 0"),
        ("ws://[::1/", "is not a URL"),
        ("ws://exa mple.com/", "space"),
        ("ws://example.com/\r\nHost: other", "control character"),
    ],
)
def test_a_url_that_cannot_be_right_raises_right_there(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        WebSocketChannel.connect(url)
    assert channel_threads() == []


@pytest.mark.parametrize("protocols", [["two words"], [""], ["a,b"], ["chat", "chat"], ["é"]])
def test_a_malformed_or_repeated_subprotocol_raises_right_there(protocols: list[str]) -> None:
    with pytest.raises(ValueError, match="subprotocol"):
        WebSocketChannel.connect("ws://127.0.0.1:1/", protocols=protocols)
    assert channel_threads() == []


@pytest.mark.parametrize("name", ["connect_timeout", "close_timeout", "ping_interval", "ping_timeout"])
@pytest.mark.parametrize("value", [0, -1.0, nan])
def test_a_time_that_is_not_above_0_raises_right_there(name: str, value: float) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"{name} is a number of seconds above 0"):
        WebSocketChannel.connect("ws://127.0.0.1:1/", **options)


@pytest.mark.parametrize("name", ["connect_timeout", "close_timeout"])
def test_only_pings_may_be_left_out(name: str) -> None:
    options: dict[str, Any] = {name: None}
    with pytest.raises(TypeError):
        WebSocketChannel.connect("ws://127.0.0.1:1/", **options)


def test_a_max_message_size_below_1_raises_right_there() -> None:
    with pytest.raises(ValueError, match="max_message_size is a number of bytes above 0"):
        WebSocketChannel.connect("ws://127.0.0.1:1/", max_message_size=0)


def test_the_options_and_their_defaults_are_those_of_the_contract() -> None:
    parameters = inspect.signature(WebSocketChannel.connect).parameters
    assert {name: parameter.default for name, parameter in parameters.items() if name != "url"} == {
        "protocols": (),
        "headers": None,
        "origin": None,
        "ssl": None,
        "proxy": None,
        "compression": "deflate",
        "connect_timeout": 10.0,
        "close_timeout": 5.0,
        "ping_interval": 20.0,
        "ping_timeout": 20.0,
        "max_message_size": 16 * 2**20,
    }
    assert all(p.kind is p.KEYWORD_ONLY for name, p in parameters.items() if name != "url")


def test_connect_returns_at_once_and_ready_tells_when_it_is_open() -> None:
    with connecting() as (channel, peer):
        assert channel.state is ChannelState.CONNECTING
        assert not channel.ready.done()
        assert (channel.protocol, channel.close_code, channel.close_reason) == (None, None, None)
        peer.open()
        assert channel.ready.result(TIMEOUT) is None
        assert [channel.state] == [ChannelState.OPEN]
        assert (channel.protocol, channel.close_code, channel.close_reason) == (None, None, None)


def test_protocol_is_what_the_server_chose() -> None:
    with connecting(protocols=["chat", "Echo.v2"]) as (channel, peer):
        received = peer.open("Sec-WebSocket-Protocol: Echo.v2")
        assert received["sec-websocket-protocol"] == "chat, Echo.v2"
        channel.ready.result(TIMEOUT)
        assert channel.protocol == "Echo.v2"


@pytest.mark.parametrize("seconds", [1e12, float("inf")])
def test_no_time_is_too_long(seconds: float) -> None:
    times: dict[str, Any] = dict.fromkeys(
        ("connect_timeout", "close_timeout", "ping_interval", "ping_timeout"), seconds
    )
    with connected(**times) as (channel, peer):
        recorder = listen(channel)
        peer.send(TEXT, b"Hello!")
        recorder.wait_for(1)
        done = channel.sink.close(1000)
        assert peer.receive()[0] == CLOSE
        peer.send(CLOSE, NORMAL)
        peer.leave()
        done.result(TIMEOUT)
        assert recorder.wait_for_end() is None


# How it ends before it is open.


def test_a_failed_connect_fails_the_stream_and_ready_with_the_same_error() -> None:
    with refused_port() as port:
        channel = WebSocketChannel.connect(f"ws://127.0.0.1:{port}/")
        error = listen(channel).wait_for_end()
        assert isinstance(error, ConnectError)
        assert channel.ready.exception(TIMEOUT) is error
        channel.sink.done.result(TIMEOUT)
        assert channel.state is ChannelState.CLOSED
        assert (channel.close_code, channel.close_reason) == (1006, "")


def test_states_of_a_failed_connect_go_from_connecting_to_closed() -> None:
    with connecting() as (channel, peer):
        states: Recorder[ChannelState] = Recorder()
        channel.states.subscribe(states)
        peer.sock.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")
        assert states.wait_for_end() is None
        assert states.values == [ChannelState.CONNECTING, ChannelState.CLOSED]


def test_closing_while_connecting_gives_the_attempt_up_at_once() -> None:
    with connecting() as (channel, peer):
        states: Recorder[ChannelState] = Recorder()
        channel.states.subscribe(states)
        recorder = listen(channel)
        assert peer.read_head().startswith(b"GET / ")
        started = monotonic()
        channel.sink.close().result(TIMEOUT)
        assert monotonic() - started < 2.5
        assert recorder.wait_for_end() is None
        assert states.wait_for_end() is None
        assert states.values == [ChannelState.CONNECTING, ChannelState.CLOSING, ChannelState.CLOSED]
        assert isinstance(channel.ready.exception(TIMEOUT), ChannelClosed)
        assert (channel.close_code, channel.close_reason) == (1006, "")
        assert peer.sock.recv(1) == b""


def test_a_close_while_connecting_wins_over_a_connect_that_fails_later() -> None:
    with connecting() as (channel, peer):
        channel.sink.add("queued")
        recorder = listen(channel)
        done = channel.sink.close(1000)
        peer.leave()
        done.result(TIMEOUT)
        assert recorder.wait_for_end() is None
        assert isinstance(channel.ready.exception(TIMEOUT), ChannelClosed)


# The context manager.


def echo(peer: Any) -> None:
    peer.open()
    with suppress(EOFError, ConnectionError):
        while True:
            opcode, payload = peer.receive()
            peer.send(opcode, payload)
            if opcode == CLOSE:
                return


def test_a_with_block_closes_with_1000_and_waits_for_it() -> None:
    closes = []

    def conduct(peer: Any) -> None:
        peer.open()
        closes.append(peer.receive())
        peer.send(CLOSE, NORMAL)

    with raw_server(conduct) as port:
        with WebSocketChannel.connect(f"ws://127.0.0.1:{port}/") as channel:
            channel.ready.result(TIMEOUT)
        assert channel.state is ChannelState.CLOSED
        assert channel.close_code == 1000
        assert not channel._connection.thread.is_alive()
    assert closes == [(CLOSE, NORMAL)]


def test_a_with_block_that_an_exception_leaves_closes_with_1011() -> None:
    closes = []

    def conduct(peer: Any) -> None:
        peer.open()
        closes.append(peer.receive())
        peer.send(CLOSE, closes[0][1])

    with raw_server(conduct) as port:
        channel = WebSocketChannel.connect(f"ws://127.0.0.1:{port}/")
        channel.ready.result(TIMEOUT)
        with pytest.raises(LookupError, match="on the way"), channel:
            raise LookupError("on the way")
        assert channel.state is ChannelState.CLOSED
    assert closes == [(CLOSE, b"\x03\xf3")]


def test_a_with_block_does_not_wait_on_entry() -> None:
    with connecting() as (channel, _), channel as same:
        assert same is channel
        assert channel.state is ChannelState.CONNECTING


def test_a_with_block_leaves_a_channel_that_has_ended_as_it_is() -> None:
    with connected() as (channel, peer):
        with channel:
            peer.send(CLOSE, b"\x0f\xa0why")
            peer.leave()
            channel.sink.done.result(TIMEOUT)
        assert (channel.close_code, channel.close_reason) == (4000, "why")


# Nothing is left behind.


def lose(peer: BadPeer) -> None:
    peer.open()
    peer.reset()


def breach(peer: BadPeer) -> None:
    peer.open()
    peer.sock.sendall(b"\xff\xff")
    peer.wait_for_end()


def refuse(peer: BadPeer) -> None:
    peer.read_head()
    peer.sock.sendall(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")


def say_nothing(peer: BadPeer) -> None:
    with suppress(ConnectionError):
        peer.wait_for_end()


def be_stuck(peer: BadPeer) -> None:
    peer.open()
    with suppress(ConnectionError):
        peer.sock.sendall(frame(TEXT, b"x" * 1000) * 5000)


# In a process of its own, where every thread and every descriptor is the channel's.
TIDY = """
import os, sys, threading
from rxecho import WebSocketChannel

def descriptors():
    return sorted(os.listdir("/proc/self/fd"))

before = descriptors()
for url in sys.argv[1:]:
    channel = WebSocketChannel.connect(url, close_timeout=0.1)
    channel.stream.subscribe(on_error=print)
    try:
        channel.ready.result(0.1)
        channel.sink.add("x")
        print(len(descriptors()) - len(before), "descriptors while it is open")
    except Exception as error:
        print(type(error).__name__)
    channel.sink.close(1000).result(10)
    channel._connection.thread.join(10)
    assert descriptors() == before, (url, descriptors(), before)
    assert threading.enumerate() == [threading.main_thread()], (url, threading.enumerate())
print("tidy")
"""


@pytest.mark.skipif(not FDS.exists(), reason="this system does not list the descriptors of a process in /proc")
def test_a_closed_channel_leaves_no_thread_and_no_descriptor_however_it_ended() -> None:
    with ExitStack() as servers:
        conducts: tuple[Any, ...] = (echo, lose, breach, refuse, say_nothing, be_stuck)
        ports = [servers.enter_context(raw_server(conduct)) for conduct in conducts]
        ports.append(servers.enter_context(refused_port()))
        urls = [f"ws://127.0.0.1:{port}/" for port in ports]
        result = subprocess.run(
            [sys.executable, "-c", TIDY, *urls], capture_output=True, text=True, timeout=TIMEOUT * 2, check=False
        )
    assert result.stderr == ""
    assert result.stdout.splitlines()[0] == "3 descriptors while it is open"
    assert result.stdout.splitlines()[-1] == "tidy"


def test_a_closed_channel_is_garbage_once_nobody_holds_it() -> None:
    with connected() as (channel, peer):
        recorder = listen(channel)
        channel.stream.subscribe(channel.sink.add)
        channel.states.subscribe()
        peer.send(CLOSE, NORMAL)
        peer.leave()
        recorder.wait_for_end()
        channel.sink.done.result(TIMEOUT)
        channel._connection.thread.join(TIMEOUT)
        references = [weakref.ref(part) for part in (channel, channel.sink, channel._stream, channel._connection)]
    del channel
    gc.collect()
    assert [reference() for reference in references] == [None] * 4


FORGETFUL = """
import sys
from rxecho import WebSocketChannel
def forget(url):
    channel = WebSocketChannel.connect(url)
    {what}
forget(sys.argv[1])
print("main is over", flush=True)
"""


@pytest.mark.parametrize(
    "what",
    [
        "pass",
        "channel.stream.subscribe(print); channel.ready.result()",
        "from reactivex import operators as ops; channel.sink.add('x'); channel.stream.pipe(ops.first()).run()",
    ],
)
def test_a_forgotten_channel_does_not_keep_the_interpreter_alive(what: str) -> None:
    def conduct(peer: Any) -> None:
        with suppress(EOFError, ConnectionError):
            peer.open()
            peer.send(TEXT, b"x")
            peer.wait_for_end()

    with raw_server(conduct) as port:
        result = subprocess.run(
            [sys.executable, "-c", FORGETFUL.format(what=what), f"ws://127.0.0.1:{port}/"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT * 2,
            check=True,
        )
    assert "main is over" in result.stdout
    assert result.stderr == ""


# Nothing grows for ever.


def test_a_slow_subscriber_slows_the_reads_and_tcp_pushes_back() -> None:
    go_on = threading.Event()
    count = 5000

    def be_slow(_: Message) -> None:
        assert go_on.wait(TIMEOUT)

    with connected(ping_interval=None) as (channel, peer), ThreadPoolExecutor() as threads:
        recorder: Recorder[Message] = Recorder(be_slow)
        channel.stream.subscribe(recorder)
        left = send_until_full(peer, frame(BINARY, bytes(5000)) * count)
        assert len(recorder.values) == 1
        go_on.set()
        sending = threads.submit(peer.sock.sendall, left)
        assert len(recorder.wait_for(count)) == count
        sending.result(TIMEOUT)


def test_no_more_than_1024_messages_are_kept_and_then_reading_pauses_until_somebody_listens() -> None:
    count = 8000
    with connected(ping_interval=None) as (channel, peer), ThreadPoolExecutor() as threads:
        flood = b"".join(frame(TEXT, b"%02500d" % index) for index in range(count))
        left = send_until_full(peer, flood)
        assert channel._stream._kept is not None
        assert len(channel._stream._kept) == 1024
        assert channel.state is ChannelState.OPEN
        recorder = listen(channel)
        sending = threads.submit(peer.sock.sendall, left)
        values = recorder.wait_for(count)
        assert [int(value) for value in values] == list(range(count))
        sending.result(TIMEOUT)


@pytest.mark.parametrize(("opcode", "payload"), [(TEXT, "é".encode() * 2000), (BINARY, bytes(4000))])
def test_no_more_than_max_message_size_bytes_are_kept(opcode: int, payload: bytes) -> None:
    count = 5000
    with connected(ping_interval=None, max_message_size=40_000) as (channel, peer), ThreadPoolExecutor() as threads:
        left = send_until_full(peer, frame(opcode, payload) * count)
        assert channel._stream._kept is not None
        assert len(channel._stream._kept) == 10
        recorder = listen(channel)
        sending = threads.submit(peer.sock.sendall, left)
        assert len(recorder.wait_for(count)) == count
        sending.result(TIMEOUT)


def test_a_channel_that_is_paused_still_sends_and_closes() -> None:
    with connected(ping_interval=None, max_message_size=1000, close_timeout=TIMEOUT) as (channel, peer):
        flood = frame(TEXT, b"x" * 1000) * 10
        peer.sock.sendall(flood + frame(PING, b"behind"))
        channel.sink.add("still here")
        assert peer.receive() == (TEXT, b"still here")
        assert peer.is_silent_for(0.05)
        done = channel.sink.close(1000)
        assert peer.receive() == (CLOSE, NORMAL)
        peer.send(CLOSE, b"\x0f\xa0")
        peer.leave()
        done.result(TIMEOUT)
        assert channel.close_code == 4000
        recorder = listen(channel)
        assert recorder.values == ["x" * 1000]
        assert recorder.has_completed


def test_a_peer_that_is_gone_while_reading_is_paused_is_noticed_after_the_first_has_caught_up() -> None:
    with connected(ping_interval=None, max_message_size=1000) as (channel, peer):
        peer.sock.sendall(frame(TEXT, b"x" * 1000) * 50)
        peer.sock.shutdown(socket.SHUT_WR)
        recorder = listen(channel)
        assert isinstance(recorder.wait_for_end(), ConnectionLost)
        assert recorder.values == ["x" * 1000] * 50


def test_the_repr_says_where_and_how_far() -> None:
    with connected() as (channel, _):
        assert repr(channel) == f"<WebSocketChannel {channel._connection.url} OPEN>"


# Who closed it.


def test_a_channel_that_we_close_was_closed_by_us() -> None:
    with connected() as (channel, peer):
        assert not channel.closed_by_us
        done = channel.sink.close(1000)
        assert channel.closed_by_us
        peer.send(*peer.receive())
        peer.leave()
        done.result(TIMEOUT)
        assert channel.closed_by_us


def test_a_channel_that_the_peer_closes_is_not_closed_by_us_although_we_close_it_then() -> None:
    with connected() as (channel, peer):
        peer.send(CLOSE, NORMAL)
        listen(channel).wait_for_end()
        channel.sink.close(1000).result(TIMEOUT)
        assert not channel.closed_by_us


def test_a_channel_that_is_lost_is_not_closed_by_us() -> None:
    with connected() as (channel, peer):
        peer.leave()
        assert isinstance(listen(channel).wait_for_end(), ConnectionLost)
        assert not channel.closed_by_us
