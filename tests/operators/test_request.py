"""Requests and replies over one channel."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, repeat
from types import SimpleNamespace
from typing import Any

import pytest
import reactivex
from peer import BadPeer, Recorder, connected
from raw_server import CLOSE, TEXT, TIMEOUT
from reactivex import Observable, Observer
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.subject import Subject

from rxecho import ChannelClosed, ConnectionLost, EchoServer, WebSocketChannel
from rxecho.frames import Message
from rxecho.operators import JsonError, ReplyTimeout, UnknownReply, request


def asking(reply: Observable[Any]) -> Recorder[Any]:
    recorder: Recorder[Any] = Recorder()
    reply.subscribe(recorder)
    return recorder


def received(peer: BadPeer) -> Any:
    opcode, payload = peer.receive()
    assert opcode == TEXT
    return json.loads(payload)


def answer(peer: BadPeer, reply: object) -> None:
    peer.send(TEXT, json.dumps(reply).encode())


# Asking.


def test_a_reply_comes_to_the_request_with_its_id_and_completes_it() -> None:
    with connected() as (channel, peer):
        reply = asking(request(channel)({"quote": "BTC"}))
        assert received(peer) == {"quote": "BTC", "id": 1}
        answer(peer, {"id": 1, "price": 7})
        assert reply.wait_for_end() is None
        assert reply.values == [{"id": 1, "price": 7}]


def test_nothing_is_sent_before_somebody_subscribes_and_each_subscription_sends_anew() -> None:
    with connected() as (channel, peer):
        reply = request(channel)({"ask": 1})
        channel.sink.add("first")
        asking(reply)
        asking(reply)
        assert peer.receive() == (TEXT, b"first")
        assert [received(peer)["id"], received(peer)["id"]] == [1, 2]


def test_many_are_in_flight_and_replies_may_come_in_any_order() -> None:
    with connected() as (channel, peer):
        ask = request(channel)
        replies = asking(reactivex.from_iterable(range(100)).pipe(ops.flat_map(lambda n: ask({"n": n}))))
        asked = [received(peer) for _ in range(100)]
        for body in reversed(asked):
            answer(peer, body)
        assert replies.wait_for_end() is None
        assert [reply["n"] for reply in replies.values] == list(reversed(range(100)))


def test_ten_thousand_in_flight_take_no_thread_each() -> None:
    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ask = request(channel)
        before = threading.active_count()
        replies = asking(reactivex.from_iterable(range(10_000)).pipe(ops.flat_map(lambda n: ask({"n": n}))))
        assert threading.active_count() <= before + 2
        assert replies.wait_for_end() is None
        assert sorted(reply["n"] for reply in replies.values) == list(range(10_000))


def test_requests_of_several_threads_do_not_mix_up() -> None:
    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel, ThreadPoolExecutor(8) as threads:
        ask = request(channel)
        replies = threads.map(lambda n: (n, ask({"n": n}).run()["n"]), range(200))
        assert all(asked == got for asked, got in replies)


def test_what_is_no_reply_is_none_of_its_business() -> None:
    with connected() as (channel, peer):
        others: Recorder[Message] = Recorder()
        channel.stream.subscribe(others)
        reply = asking(request(channel)({"ask": 1}))
        for message in [b"not json", b"[1]", b'{"no": "id"}', b'{"id": null}', b"1"]:
            peer.send(TEXT, message)
        answer(peer, {"id": 1})
        assert reply.wait_for_end() is None
        assert len(others.wait_for(6)) == 6


def test_another_key_may_have_the_id_and_other_ids_be_given() -> None:
    with connected() as (channel, peer):
        reply = asking(request(channel, key="ref", ids=iter(["a"]))({"ask": 1}))
        assert received(peer) == {"ask": 1, "ref": "a"}
        answer(peer, {"ref": "a"})
        assert reply.wait_for_end() is None


def test_a_coding_of_ones_own_takes_the_place_of_json() -> None:
    def decode(message: Message) -> tuple[int, bytes] | None:
        return (message[0], message[1:]) if isinstance(message, bytes) else None

    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ask = request(channel, encode=lambda body, number: bytes([number]) + body, decode=decode)
        assert ask(b"raw").run() == b"raw"


def test_a_reply_that_comes_before_add_returns_is_none_too_early() -> None:
    wire: Subject[Message] = Subject()
    echo = SimpleNamespace(stream=wire, sink=SimpleNamespace(add=wire.on_next))
    assert request(echo)({"ask": 1}).run() == {"ask": 1, "id": 1}


# Not being answered.


class Server:
    """A server in virtual time, which answers each request after so many seconds."""

    def __init__(self, delay: float) -> None:
        self.time = VirtualTimeScheduler()
        wire: Subject[Message] = Subject()
        self.stream: Observable[Message] = wire.pipe(ops.delay(delay, scheduler=self.time))
        self.sink = SimpleNamespace(add=wire.on_next)


def test_a_request_fails_when_no_reply_comes_in_time() -> None:
    server = Server(delay=100)
    ask = request(server, timeout=10)
    first: Recorder[Any] = Recorder()
    second: Recorder[Any] = Recorder()
    ask({"n": 1}).subscribe(first, scheduler=server.time)
    server.time.advance_to(4)
    ask({"n": 2}).subscribe(second, scheduler=server.time)
    server.time.advance_to(9.9)
    assert first.error is None
    server.time.advance_to(10)
    assert isinstance(first.error, ReplyTimeout)
    assert "no reply to request 1 within 10 s" in str(first.error)
    assert second.error is None
    server.time.advance_to(14)
    assert isinstance(second.error, TimeoutError)


def test_times_that_a_float_cannot_say_exactly_expire_too() -> None:
    server = Server(delay=100)
    ask = request(server, timeout=0.2)
    replies: list[Recorder[Any]] = [Recorder() for _ in range(20)]
    for recorder in replies:
        ask({"n": 1}).subscribe(recorder, scheduler=server.time)
        server.time.advance_by(0.1)
    server.time.advance_to(10)
    assert all(isinstance(recorder.error, ReplyTimeout) for recorder in replies)


def test_a_late_reply_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(delay=11)
    reply: Recorder[Any] = Recorder()
    request(server, timeout=10)({"n": 1}).subscribe(reply, scheduler=server.time)
    server.time.advance_to(20)
    assert isinstance(reply.error, ReplyTimeout)
    assert reply.values == []
    assert caplog.records == []


def test_a_reply_to_a_request_that_was_given_up_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    with connected() as (channel, peer):
        ask = request(channel)
        ask({"n": 1}).subscribe().dispose()
        other = asking(ask({"n": 2}))
        answer(peer, {"id": 1})
        answer(peer, {"id": 2})
        assert other.wait_for_end() is None
    assert caplog.records == []


def test_a_timer_does_not_outlive_the_channel() -> None:
    with connected() as (channel, peer):
        before = set(threading.enumerate())
        reply = asking(request(channel, timeout=3600)({"n": 1}))
        (timer,) = set(threading.enumerate()) - before
        peer.leave()
        reply.wait_for_end()
        timer.join(TIMEOUT)
        assert not timer.is_alive()


def test_without_a_timeout_a_request_waits() -> None:
    server = Server(delay=1000)
    reply: Recorder[Any] = Recorder()
    request(server, timeout=None)({"n": 1}).subscribe(reply, scheduler=server.time)
    server.time.advance_to(1000)
    assert reply.values == [{"n": 1, "id": 1}]


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_is_above_0(timeout: float) -> None:
    with pytest.raises(ValueError, match="a timeout is a number of seconds above 0"):
        request(SimpleNamespace(), timeout=timeout)


# Replies that nobody asked for.

UNASKED = [b'{"id": 7}', b'{"id": "1"}', b'{"id": true}', b'{"id": [1]}', b'{"id": {"a": 1}}']


@pytest.mark.parametrize("message", UNASKED)
def test_a_reply_with_an_unknown_id_goes_to_the_observer_for_that_and_harms_nobody(message: bytes) -> None:
    unmatched: Recorder[UnknownReply] = Recorder()
    with connected() as (channel, peer):
        reply = asking(request(channel, unmatched=unmatched)({"n": 1}))
        peer.send(TEXT, message)
        error = unmatched.wait_for(1)[0]
        answer(peer, {"id": 1})
        assert reply.wait_for_end() is None
    assert error.message == message.decode()
    assert error.id == json.loads(message)["id"]
    assert "which no request had" in str(error)


def test_a_reply_with_an_unknown_id_is_one_warning_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with connected() as (channel, peer), caplog.at_level(logging.WARNING, "rxecho"):
        reply = asking(request(channel)({"n": 1}))
        answer(peer, {"id": "\x1b[31m"})
        answer(peer, {"id": 1})
        assert reply.wait_for_end() is None
    assert len(caplog.records) == 1
    text = caplog.records[0].getMessage()
    assert "a reply has the id" in text
    assert text.isprintable()


def test_a_reply_with_a_huge_id_is_not_quoted_whole() -> None:
    assert len(str(UnknownReply("x" * 100_000, "message"))) < 200
    assert len(str(UnknownReply([[[["x" * 100_000] * 100] * 100]] * 100, "message"))) < 200


# The channel ends.


@pytest.mark.parametrize("end", ["close", "drop"])
def test_all_that_wait_fail_when_the_channel_ends_and_so_does_who_asks_later(end: str) -> None:
    with connected() as (channel, peer):
        ask = request(channel)
        waiting = [asking(ask({"n": number})) for number in range(3)]
        for _ in waiting:
            peer.receive()
        if end == "close":
            peer.send(CLOSE, b"\x03\xe8")
        else:
            peer.leave()
        kind = ChannelClosed if end == "close" else ConnectionLost
        assert all(isinstance(recorder.wait_for_end(), kind) for recorder in waiting)
        assert isinstance(asking(ask({"n": 4})).wait_for_end(), kind)


def test_a_first_request_to_a_channel_that_has_ended_fails() -> None:
    with EchoServer() as server, WebSocketChannel.connect(server.url_for("/close")) as channel:
        channel.sink.done.result(TIMEOUT)
        assert isinstance(asking(request(channel)({"n": 1})).wait_for_end(), ChannelClosed)


# One that fails is alone with it.


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was raised to nobody."""
    types: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: types.append(args.exc_type))
    return types


def fail(*_: object) -> None:
    raise ZeroDivisionError


def test_a_subscriber_that_raises_keeps_no_reply_from_another(told: list[object]) -> None:
    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ask = request(channel)
        ask({"n": 1}).subscribe(fail)
        assert ask({"n": 2}).run()["n"] == 2
    assert told == [ZeroDivisionError]


def test_an_observer_of_unknown_replies_that_raises_keeps_no_reply_from_anybody(told: list[object]) -> None:
    unmatched: Observer[UnknownReply] = Observer(fail)
    with connected() as (channel, peer):
        reply = asking(request(channel, unmatched=unmatched)({"n": 1}))
        answer(peer, {"id": 7})
        answer(peer, {"id": 1})
        assert reply.wait_for_end() is None
    assert told == [ZeroDivisionError]


def test_one_that_handles_no_errors_keeps_no_end_of_the_channel_from_another(told: list[object]) -> None:
    with connected() as (channel, peer):
        ask = request(channel)
        ask({"n": 1}).subscribe()
        other = asking(ask({"n": 2}))
        peer.leave()
        assert isinstance(other.wait_for_end(), ConnectionLost)
    assert told == [ConnectionLost]


def test_one_that_handles_no_errors_keeps_no_timeout_from_another(told: list[object]) -> None:
    server = Server(delay=100)
    ask = request(server, timeout=10)
    later: Recorder[Any] = Recorder()
    other: Recorder[Any] = Recorder()
    ask({"n": 1}).subscribe(scheduler=server.time)
    ask({"n": 2}).subscribe(other, scheduler=server.time)
    server.time.advance_to(5)
    ask({"n": 3}).subscribe(later, scheduler=server.time)
    server.time.advance_to(15)
    assert isinstance(other.error, ReplyTimeout)
    assert isinstance(later.error, ReplyTimeout)
    assert told == [ReplyTimeout]


# Ids.


def test_an_id_that_is_in_flight_is_the_error_of_the_second_request() -> None:
    with connected() as (channel, peer):
        ask = request(channel, ids=repeat("x"))
        first = asking(ask({"n": 1}))
        error = asking(ask({"n": 2})).wait_for_end()
        assert isinstance(error, ValueError)
        assert "a request with the id 'x' still waits for its reply" in str(error)
        answer(peer, {"id": "x"})
        assert first.wait_for_end() is None


def test_an_id_may_come_again_once_it_was_answered() -> None:
    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ask = request(channel, ids=repeat("x"))
        replies = asking(reactivex.of(1, 2, 3).pipe(ops.map(lambda n: ask({"n": n})), ops.concat_all()))
        assert replies.wait_for_end() is None
        assert [reply["n"] for reply in replies.values] == [1, 2, 3]


def test_an_id_that_comes_again_while_its_reply_is_passed_on_belongs_to_the_second_request() -> None:
    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ask = request(channel, ids=repeat("x"))
        second: Recorder[Any] = Recorder()

        def ask_again(_: object) -> None:
            ask({"n": 2}).subscribe(second)

        ask({"n": 1}).subscribe(ask_again)
        assert second.wait_for_end() is None
        assert second.values == [{"n": 2, "id": "x"}]


def test_a_generator_gives_ids_to_several_threads() -> None:
    def ids() -> Iterator[int]:
        for number in count():
            time.sleep(0)  # lets the others come meanwhile
            yield number

    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel, ThreadPoolExecutor(8) as threads:
        ask = request(channel, ids=ids())
        assert len(set(threads.map(lambda n: ask({"n": n}).run()["id"], range(200)))) == 200


# Mistakes.


def test_a_body_that_is_no_mapping_is_the_error_of_that_request_alone() -> None:
    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ask = request(channel)
        error = asking(ask("text")).wait_for_end()
        assert isinstance(error, TypeError)
        assert "a request is a mapping, not str" in str(error)
        assert ask({"n": 1}).run()["n"] == 1


def test_a_body_that_json_cannot_say_is_the_error_of_that_request_alone() -> None:
    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        ask = request(channel)
        assert isinstance(asking(ask({"n": object()})).wait_for_end(), JsonError)
        assert ask({"n": 1}).run()["n"] == 1


def test_a_decode_that_raises_fails_those_that_wait_instead_of_leaving_them_there() -> None:
    fault = ZeroDivisionError("mine")

    def decode(_: Message) -> None:
        raise fault

    with EchoServer() as server, WebSocketChannel.connect(server.url) as channel:
        assert asking(request(channel, decode=decode)({"n": 1})).wait_for_end() is fault
