"""The observables of a channel: who is told what, in which order, on which thread."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from peer import BadPeer, Recorder, connected, connecting, frame
from raw_server import CLOSE, PING, PONG, TEXT, TIMEOUT
from reactivex import Observer, operators

from rxecho import ChannelState, ConnectionLost, WebSocketChannel, connection
from rxecho.frames import Message
from rxecho.streams import MessageStream, Multicast, StateStream

NORMAL = b"\x03\xe8"


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """What came to `threading.excepthook`."""
    errors: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: errors.append(args.exc_value))
    return errors


def listen(channel: WebSocketChannel) -> Recorder[Message]:
    recorder: Recorder[Message] = Recorder()
    channel.stream.subscribe(recorder)
    return recorder


def texts(count: int) -> bytes:
    return b"".join(frame(TEXT, b"%d" % index) for index in range(count))


def numbers(count: int) -> list[str]:
    return [str(index) for index in range(count)]


def until_handled(peer: BadPeer) -> None:
    """Wait until everything that the peer has sent so far has been handed over."""
    peer.send(PING, b"handled?")
    while peer.receive() != (PONG, b"handled?"):
        pass


def until_closed(channel: WebSocketChannel, peer: BadPeer) -> None:
    peer.send(CLOSE, NORMAL)
    peer.leave()
    channel.sink.done.result(TIMEOUT)


def divide(_: Message) -> None:
    raise ZeroDivisionError


# Who is told.


def test_text_is_str_and_binary_is_bytes() -> None:
    with connected() as (channel, peer):
        recorder = listen(channel)
        peer.sock.sendall(frame(1, "é".encode()) + frame(2, b"\xff") + frame(1) + frame(2))
        assert recorder.wait_for(4) == ["é", b"\xff", "", b""]


def test_every_subscriber_gets_every_message_on_the_channel_s_own_thread() -> None:
    with connected() as (channel, peer):
        recorders = [listen(channel) for _ in range(3)]
        peer.sock.sendall(texts(100))
        for recorder in recorders:
            assert recorder.wait_for(100) == numbers(100)
            assert recorder.threads == {channel._connection.thread}


def test_a_late_subscriber_gets_what_comes_later_and_the_end() -> None:
    with connected() as (channel, peer):
        first = listen(channel)
        peer.send(TEXT, b"early")
        first.wait_for(1)
        late = listen(channel)
        peer.send(TEXT, b"late")
        until_closed(channel, peer)
        assert first.wait_for_end() is None
        assert late.wait_for_end() is None
        assert first.values == ["early", "late"]
        assert late.values == ["late"]


def test_who_subscribes_after_the_end_gets_the_end_on_its_own_thread() -> None:
    with connected() as (channel, peer):
        first = listen(channel)
        peer.reset()
        error = first.wait_for_end()
        assert isinstance(error, ConnectionLost)
        channel.sink.done.result(TIMEOUT)
        late = listen(channel)
        assert late.error is error
        assert late.threads == {threading.current_thread()}


def test_who_has_left_gets_nothing_more() -> None:
    with connected() as (channel, peer):
        stayer = listen(channel)
        leaver: Recorder[Message] = Recorder()
        subscription = channel.stream.subscribe(leaver)
        peer.send(TEXT, b"one")
        stayer.wait_for(1)
        until_handled(peer)
        subscription.dispose()
        peer.send(TEXT, b"two")
        until_closed(channel, peer)
        assert stayer.wait_for_end() is None
        assert stayer.values == ["one", "two"]
        assert leaver.values == ["one"]
        assert not leaver.has_completed


def test_the_channel_forgets_who_has_left() -> None:
    with connected() as (channel, peer):
        stream, states = channel._stream, channel._states
        for _ in range(3):
            channel.stream.subscribe().dispose()
            channel.states.subscribe().dispose()
        channel.states.pipe(operators.first()).run()
        channel.stream.pipe(operators.take(1)).subscribe()
        peer.send(TEXT, b"one")
        until_handled(peer)
        assert stream._observers == ()
        assert states._observers == ()
        listen(channel)
        until_closed(channel, peer)
        assert stream._observers == ()


# One failing subscriber is alone.


class Fault(BaseException):
    """Not even an `Exception`."""


@pytest.mark.parametrize("kind", [ValueError, Fault, KeyboardInterrupt, SystemExit])
def test_a_subscriber_that_raises_is_alone(kind: type[BaseException], reported: list[BaseException | None]) -> None:
    fault = kind("mine")
    calls = []

    def fail(message: Message) -> None:
        calls.append(message)
        raise fault

    with connected() as (channel, peer):
        before = listen(channel)
        channel.stream.subscribe(fail)
        behind = listen(channel)
        peer.sock.sendall(texts(10))
        until_closed(channel, peer)
        assert before.wait_for_end() is None
        assert behind.wait_for_end() is None
        assert before.values == behind.values == numbers(10)
        assert calls == ["0"]
        assert reported == [fault]


@pytest.mark.parametrize("kind", [ValueError, Fault, KeyboardInterrupt])
def test_a_subscriber_that_raises_on_what_was_kept_is_alone(
    kind: type[BaseException], reported: list[BaseException | None]
) -> None:
    fault = kind("mine")

    def fail(_: Message) -> None:
        raise fault

    with connected(texts(10)) as (channel, peer):
        until_handled(peer)
        channel.stream.subscribe(fail)
        until_handled(peer)
        behind = listen(channel)
        peer.send(TEXT, b"later")
        until_closed(channel, peer)
        assert behind.wait_for_end() is None
        assert behind.values == ["later"]
        assert reported == [fault]


@pytest.mark.parametrize("kind", [ValueError, Fault, KeyboardInterrupt])
@pytest.mark.parametrize("how", ["completed", "error"])
def test_a_subscriber_that_raises_at_the_end_is_alone(
    how: str, kind: type[BaseException], reported: list[BaseException | None]
) -> None:
    fault = kind("mine")

    def fail(*_: object) -> None:
        raise fault

    with connected() as (channel, peer):
        channel.stream.subscribe(on_error=fail, on_completed=fail)
        behind = listen(channel)
        if how == "completed":
            until_closed(channel, peer)
        else:
            peer.leave()
        assert (behind.wait_for_end() is None) is (how == "completed")
        channel.sink.done.result(TIMEOUT)
        assert reported == [fault]


def test_an_end_that_nobody_handles_is_reported_and_harms_nothing(reported: list[BaseException | None]) -> None:
    with connected() as (channel, peer):
        channel.stream.subscribe()
        peer.leave()
        channel.sink.done.result(TIMEOUT)
        assert [type(error) for error in reported] == [ConnectionLost]


def test_a_subscriber_of_states_that_raises_is_alone(reported: list[BaseException | None]) -> None:
    fault = ValueError("mine")

    def fail(state: ChannelState) -> None:
        if state is ChannelState.CLOSING:
            raise fault

    def fail_at_once(_: ChannelState) -> None:
        raise fault

    with connected() as (channel, peer):
        channel.states.subscribe(fail_at_once)
        assert reported == [fault]
        channel.states.subscribe(fail)
        behind: Recorder[ChannelState] = Recorder()
        channel.states.subscribe(behind)
        until_closed(channel, peer)
        assert behind.wait_for_end() is None
        assert behind.values == [ChannelState.OPEN, ChannelState.CLOSING, ChannelState.CLOSED]
        assert reported == [fault, fault]


def test_ctrl_c_while_the_main_thread_subscribes_is_for_the_program() -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with connected(texts(3)) as (channel, peer):
        until_handled(peer)
        with pytest.raises(KeyboardInterrupt):
            channel.states.subscribe(interrupt)
        until_closed(channel, peer)
        with pytest.raises(KeyboardInterrupt):
            channel.stream.subscribe(interrupt)


def test_an_excepthook_that_fails_harms_nobody_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise LookupError("no log to write to")

    monkeypatch.setattr(threading, "excepthook", fail)
    with connected() as (channel, peer):
        channel.stream.subscribe(divide)
        behind = listen(channel)
        peer.sock.sendall(texts(10))
        until_closed(channel, peer)
        assert behind.wait_for_end() is None
        assert behind.values == numbers(10)
    error = capsys.readouterr().err
    assert "ZeroDivisionError" in error
    assert "LookupError: no log to write to" in error


# What is kept for the first.


def test_what_arrives_before_the_first_subscription_is_kept_for_the_first_subscriber() -> None:
    with connected(texts(100)) as (channel, peer):
        until_handled(peer)
        first = listen(channel)
        second = listen(channel)
        peer.send(TEXT, b"later")
        until_closed(channel, peer)
        assert first.wait_for_end() is None
        assert second.wait_for_end() is None
        assert first.values == [*numbers(100), "later"]
        assert second.values == ["later"]
        assert first.threads == {channel._connection.thread}


def test_nothing_overtakes_what_was_kept() -> None:
    later = b"".join(frame(TEXT, b"%d" % index) for index in range(500, 5000))
    with connected(texts(500)) as (channel, peer), ThreadPoolExecutor() as threads:
        sending = threads.submit(peer.sock.sendall, later)
        assert listen(channel).wait_for(5000) == numbers(5000)
        sending.result(TIMEOUT)


@pytest.mark.parametrize("how", ["close", "loss", "our close"])
def test_messages_kept_for_a_first_subscriber_stay_kept_after_the_end(how: str) -> None:
    with connected(texts(100)) as (channel, peer):
        until_handled(peer)
        if how == "close":
            peer.send(CLOSE, NORMAL)
        elif how == "our close":
            channel.sink.close(1000)
        peer.leave()
        channel.sink.done.result(TIMEOUT)
        first = listen(channel)
        assert first.values == numbers(100)
        assert isinstance(first.error, ConnectionLost) if how == "loss" else first.has_completed
        assert first.threads == {threading.current_thread()}
        second = listen(channel)
        assert second.values == []
        assert second.error is first.error
        assert second.has_completed is first.has_completed


def test_a_first_subscriber_that_takes_some_of_what_was_kept_makes_the_stream_hot() -> None:
    with connected(texts(100)) as (channel, peer):
        until_handled(peer)
        taken = channel.stream.pipe(operators.take(3), operators.to_list()).run()
        assert taken == ["0", "1", "2"]
        second = listen(channel)
        peer.send(TEXT, b"hot")
        until_closed(channel, peer)
        assert second.wait_for_end() is None
        assert second.values == ["hot"]


def test_a_first_subscriber_that_has_left_before_it_was_served_makes_the_stream_hot() -> None:
    with connected(texts(100)) as (channel, peer):
        until_handled(peer)
        channel.stream.subscribe().dispose()
        second = listen(channel)
        peer.send(TEXT, b"hot")
        until_closed(channel, peer)
        assert second.wait_for_end() is None
        assert second.values == ["hot"]


def test_a_first_subscriber_that_raises_on_what_was_kept_is_not_told_the_end(
    reported: list[BaseException | None],
) -> None:
    with connected(texts(3)) as (channel, peer):
        until_handled(peer)
        until_closed(channel, peer)
        told: list[str] = []
        channel.stream.subscribe(divide, lambda error: told.append("error"), lambda: told.append("completed"))
        assert told == []
        assert [type(error) for error in reported] == [ZeroDivisionError]


def test_a_first_subscriber_may_come_from_within_the_channel_s_own_thread() -> None:
    recorder: Recorder[Message] = Recorder()
    with connecting() as (channel, peer):
        channel.ready.add_done_callback(lambda _: channel.stream.subscribe(recorder))
        peer.open_with(texts(3))
        assert recorder.wait_for(3) == numbers(3)


def test_a_first_subscriber_that_comes_between_two_messages_of_one_piece_misses_nothing() -> None:
    recorder: Recorder[Message] = Recorder()
    with connected() as (channel, peer):
        channel.ping(b"now").add_done_callback(lambda _: channel.stream.subscribe(recorder))
        assert peer.receive() == (PING, b"now")
        peer.sock.sendall(frame(TEXT, b"0") + frame(PONG, b"now") + frame(TEXT, b"1") + frame(TEXT, b"2"))
        assert recorder.wait_for(3) == numbers(3)


# Order, and no overlap.


class Exclusive(Observer[Any]):
    """Notices when it is notified while it is being notified."""

    def __init__(self, then: Callable[[Any], object] = lambda _: None) -> None:
        super().__init__()
        self.values: list[Any] = []
        self.overlaps = 0
        self.ended = threading.Event()
        self._then = then
        self._busy = threading.Lock()

    def _on_next_core(self, value: Any) -> None:
        self._notify(lambda: self.values.append(value))
        self._then(value)

    def _on_completed_core(self) -> None:
        self._notify(self.ended.set)

    def _on_error_core(self, error: Exception) -> None:
        self._notify(self.ended.set)

    def _notify(self, act: Callable[[], object]) -> None:
        if not self._busy.acquire(blocking=False):
            self.overlaps += 1
            return
        if len(self.values) < 5:
            select.select([], [], [], 0)  # gives every other thread the chance to come in
        act()
        self._busy.release()


def test_states_keep_their_order_without_overlap_whoever_subscribes_when() -> None:
    in_order = list(ChannelState)
    everybody: list[Exclusive] = []

    def subscribe_again_and_again(channel: WebSocketChannel) -> None:
        for _ in range(20):
            observer = Exclusive()
            channel.states.subscribe(observer)
            everybody.append(observer)

    with ThreadPoolExecutor(4) as threads:
        for _ in range(5):
            with connecting() as (channel, peer):
                subscribing = [threads.submit(subscribe_again_and_again, channel) for _ in range(4)]
                peer.open()
                channel.ready.result(TIMEOUT)
                channel.sink.close(1000)
                until_closed(channel, peer)
                for thread in subscribing:
                    thread.result(TIMEOUT)
    for observer in everybody:
        assert observer.ended.wait(TIMEOUT)
        assert observer.overlaps == 0
        # From wherever it began to the end, each once.
        assert observer.values == in_order[in_order.index(observer.values[0]) :]


def test_messages_keep_their_order_without_overlap_whoever_subscribes_when() -> None:
    everybody: list[Exclusive] = []

    def subscribe_again_and_again() -> None:
        for _ in range(10):
            observer = Exclusive()
            channel.stream.subscribe(observer)
            everybody.append(observer)

    with ThreadPoolExecutor(4) as threads, connected(texts(100)) as (channel, peer):
        until_handled(peer)
        subscribing = [threads.submit(subscribe_again_and_again) for _ in range(4)]
        for index in range(100, 400):
            peer.send(TEXT, b"%d" % index)
        until_closed(channel, peer)
        for thread in subscribing:
            thread.result(TIMEOUT)
    expected = numbers(400)
    for observer in everybody:
        assert observer.ended.wait(TIMEOUT)
        assert observer.overlaps == 0
        assert observer.values == expected[400 - len(observer.values) :]
    # One of them got what was kept.
    assert sum(observer.values == expected for observer in everybody) == 1


def test_a_state_that_was_moved_to_and_not_announced_yet_is_told_once() -> None:
    is_busy, may_go_on = threading.Event(), threading.Event()

    def be_busy(_: Message) -> None:
        is_busy.set()
        assert may_go_on.wait(TIMEOUT)

    with connected() as (channel, peer):
        channel.stream.subscribe(be_busy)
        peer.send(TEXT, b"keep the thread busy")
        assert is_busy.wait(TIMEOUT)
        channel.sink.close(1000)
        recorder: Recorder[ChannelState] = Recorder()
        channel.states.subscribe(recorder)
        may_go_on.set()
        until_closed(channel, peer)
        assert recorder.wait_for_end() is None
        assert recorder.values == [ChannelState.CLOSING, ChannelState.CLOSED]


def test_who_subscribes_first_when_it_hears_of_the_end_still_gets_what_was_kept() -> None:
    recorder: Recorder[Message] = Recorder()

    def subscribe_late(state: ChannelState) -> None:
        if state is ChannelState.CLOSED:
            channel.stream.subscribe(recorder)

    with connected(texts(3)) as (channel, peer):
        channel.states.subscribe(subscribe_late)
        until_handled(peer)
        until_closed(channel, peer)
        assert recorder.wait_for_end() is None
        assert recorder.values == numbers(3)


def test_states_begin_with_the_current_one_and_complete_after_closed() -> None:
    recorder: Recorder[ChannelState] = Recorder()
    with connecting() as (channel, peer):
        channel.states.subscribe(recorder)
        assert recorder.values == [ChannelState.CONNECTING]
        assert recorder.threads == {threading.current_thread()}
        peer.open()
        recorder.wait_for(2)
        done = channel.sink.close()
        until_closed(channel, peer)
        done.result(TIMEOUT)
        assert recorder.wait_for_end() is None
        assert recorder.values == list(ChannelState)
        late: Recorder[ChannelState] = Recorder()
        channel.states.subscribe(late)
        assert late.values == [ChannelState.CLOSED]
        assert late.has_completed


def test_states_complete_also_when_the_stream_fails() -> None:
    with connected() as (channel, peer):
        recorder: Recorder[ChannelState] = Recorder()
        channel.states.subscribe(recorder)
        listen(channel)
        peer.reset()
        assert recorder.wait_for_end() is None
        assert recorder.values == [ChannelState.OPEN, ChannelState.CLOSED]


def test_a_subscriber_of_states_that_is_slow_inside_subscribe_misses_nothing_and_holds_up_nobody() -> None:
    seen: list[ChannelState] = []
    is_closed = threading.Event()

    def be_slow(state: ChannelState) -> None:
        seen.append(state)
        if state is ChannelState.CONNECTING:
            assert is_closed.wait(TIMEOUT)

    with connecting() as (channel, peer), ThreadPoolExecutor() as threads:
        subscribing = threads.submit(channel.states.subscribe, be_slow)
        peer.open()
        channel.ready.result(TIMEOUT)
        channel.sink.close(1000)
        until_closed(channel, peer)
        is_closed.set()
        subscribing.result(TIMEOUT)
        assert seen == list(ChannelState)


def test_the_end_of_states_is_told_without_a_lock() -> None:
    """A subscriber at the end may wait for another thread that subscribes."""
    with connected() as (channel, peer), ThreadPoolExecutor() as threads:
        until_closed(channel, peer)
        both: Future[None] = Future()

        def subscribe_elsewhere() -> None:
            threads.submit(channel.states.subscribe, Recorder()).result(TIMEOUT)
            both.set_result(None)

        channel.states.subscribe(on_completed=subscribe_elsewhere)
        assert both.done()


def test_a_subscriber_may_subscribe_and_leave_within_a_notification() -> None:
    inner: Recorder[Message] = Recorder()

    def join(_: Message) -> None:
        channel.stream.subscribe(inner)
        subscription.dispose()

    with connected() as (channel, peer):
        subscription = channel.stream.subscribe(join)
        peer.sock.sendall(texts(3))
        until_closed(channel, peer)
        assert inner.wait_for_end() is None
        assert inner.values == ["1", "2"]


def test_operators_compose_over_the_stream_and_into_the_sink() -> None:
    def is_even(message: Message) -> bool:
        return int(message) % 2 == 0

    with connected() as (channel, peer):
        channel.stream.pipe(operators.filter(is_even), operators.take(3)).subscribe(channel.sink)
        peer.sock.sendall(texts(10))
        assert [peer.receive() for _ in range(3)] == [(TEXT, b"0"), (TEXT, b"2"), (TEXT, b"4")]
        # Completion closes the sink.
        assert peer.receive() == (CLOSE, NORMAL)


# Waiting for oneself.


@pytest.mark.parametrize("wait", ["result", "exception"])
@pytest.mark.parametrize("timeout", [None, 5.0])
def test_waiting_for_a_channel_s_own_future_in_its_subscriber_raises_instead_of_hanging(
    wait: str, timeout: float | None
) -> None:
    errors: list[str] = []

    def wait_for_all(_: Message) -> None:
        for future in (channel.sink.done, channel.ping(), channel.sink.close(1000)):
            try:
                getattr(future, wait)(timeout)
            except RuntimeError as error:
                errors.append(str(error))

    with connected() as (channel, peer):
        channel.stream.subscribe(wait_for_all)
        peer.send(TEXT, b"go")
        peer.receive()
        until_closed(channel, peer)
        assert len(errors) == 3
        assert all("would never end" in error for error in errors)


def test_waiting_for_ready_in_a_subscriber_of_states_raises_instead_of_hanging() -> None:
    error: Future[str] = Future()

    def wait(state: ChannelState) -> None:
        if state is ChannelState.CLOSING:
            try:
                channel.ready.result()
            except Exception as reason:  # noqa: BLE001 - whatever it is
                error.set_result(type(reason).__name__)

    with connecting() as (channel, _):
        channel.states.subscribe(wait)
        channel.sink.close()
        # It is done by then, and so there is nothing to wait for.
        assert error.result(TIMEOUT) == "ChannelClosed"


def test_a_future_may_be_asked_in_a_subscriber_when_it_is_done_or_without_waiting() -> None:
    results: list[object] = []

    def ask(_: Message) -> None:
        results.append(channel.ready.result())
        results.append(channel.ready.exception())
        with pytest.raises(TimeoutError):
            channel.sink.done.result(0)
        results.append("asked")

    with connected() as (channel, peer):
        channel.stream.subscribe(ask)
        peer.send(TEXT, b"go")
        until_handled(peer)
        assert results == [None, None, "asked"]


def test_the_end_of_a_with_block_inside_a_subscriber_raises_instead_of_hanging() -> None:
    error: Future[BaseException] = Future()

    def leave(_: Message) -> None:
        try:
            with channel:
                pass
        except RuntimeError as reason:
            error.set_result(reason)

    with connected() as (channel, peer):
        channel.stream.subscribe(leave)
        peer.send(TEXT, b"go")
        assert "would never end" in str(error.result(TIMEOUT))
        # It is closed all the same.
        assert peer.receive() == (CLOSE, NORMAL)


def test_a_future_cancelled_by_its_holder_harms_nothing() -> None:
    with connecting() as (channel, peer):
        assert not channel.ready.cancel()
        peer.open()
        assert channel.ready.result(TIMEOUT) is None
        pong = channel.ping(b"x")
        assert not pong.cancel()
        assert peer.receive() == (PING, b"x")
        peer.send(PONG, b"x")
        assert pong.result(TIMEOUT) >= 0
        done = channel.sink.close(1000)
        assert not done.cancel()
        until_closed(channel, peer)
        assert done.result(TIMEOUT) is None


def test_the_observables_are_what_they_say() -> None:
    with connected() as (channel, _):
        assert isinstance(channel.stream, MessageStream)
        assert isinstance(channel.states, StateStream)
        assert isinstance(channel.stream, Multicast)
        assert connection.ChannelState is ChannelState
