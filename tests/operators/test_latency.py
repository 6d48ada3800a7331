"""The `latency` operator: what it does not do to those who send, and to memory."""

from __future__ import annotations

import tracemalloc

from peer import Recorder
from reactivex.subject import Subject

from rxecho.frames import Message
from rxecho.operators import latency


def test_an_error_of_what_is_sent_goes_to_the_others_who_listen_to_it() -> None:
    sent: Subject[Message] = Subject()
    received: Subject[Message] = Subject()
    echoed: Recorder[float] = Recorder()
    sink: Recorder[Message] = Recorder()
    received.pipe(latency(sent)).subscribe(echoed)
    sent.subscribe(sink)
    sent.on_next("a")
    error = OSError("gone")
    sent.on_error(error)
    assert sink.error is error
    received.on_next("a")
    assert len(echoed.values) == 1
    assert echoed.error is None


def test_a_binary_message_is_no_echo_of_a_text_of_the_same_bytes() -> None:
    sent: Subject[Message] = Subject()
    received: Subject[Message] = Subject()
    echoed: Recorder[float] = Recorder()
    received.pipe(latency(sent)).subscribe(echoed)
    sent.on_next("a")
    received.on_next(b"a")
    assert echoed.values == []


def test_large_messages_are_not_kept_until_their_echo_comes() -> None:
    sent: Subject[Message] = Subject()
    received: Subject[Message] = Subject()
    with received.pipe(latency(sent)).subscribe():
        tracemalloc.start()
        for number in range(100):
            sent.on_next(bytes([number]) * 2**20)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert grown < 2**20 * 2
