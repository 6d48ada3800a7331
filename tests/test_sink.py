"""What goes into a channel: a server on a raw socket writes down what comes out at the other end."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import Queue
from threading import Condition, Event

import pytest
import reactivex
from raw_server import BINARY, CLOSE, TEXT, TIMEOUT, Peer, raw_server
from reactivex import Observable, Subject, abc, operators
from reactivex.disposable import Disposable
from reactivex.scheduler import NewThreadScheduler
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.subscription import Subscription

from rxecho import ChannelClosed, ChannelState, WebSocketChannel, connection

MIB = 2**20
HIGH_WATER = 4 * MIB


class Recorder:
    """A server that writes down every frame, and answers the close frame.

    Args:
        greets: Send a message right after opening.
        may_open: Shake hands no sooner.
        may_read: Read no frame sooner.
        closes_after: Close with 1000 after so many frames.
    """

    def __init__(
        self,
        *,
        greets: bool = False,
        may_open: Event | None = None,
        may_read: Event | None = None,
        closes_after: int | None = None,
    ) -> None:
        self._greets = greets
        self.frames: list[tuple[int, bytes]] = []
        self._has_heard = Condition()
        self._may_open = may_open
        self._may_read = may_read
        self._closes_after = closes_after

    def __call__(self, peer: Peer) -> None:
        head = peer.read_head()
        assert self._may_open is None or self._may_open.wait(TIMEOUT)
        peer.open(head=head)
        if self._greets:
            peer.send(TEXT, b"hello")
        assert self._may_read is None or self._may_read.wait(TIMEOUT)
        while not self.frames or self.frames[-1][0] != CLOSE:
            self._hear(peer.receive())
            if len(self.frames) == self._closes_after:
                peer.close()
                return
        peer.send(CLOSE, self.frames[-1][1])

    def _hear(self, frame: tuple[int, bytes]) -> None:
        with self._has_heard:
            self.frames.append(frame)
            self._has_heard.notify_all()

    def has_heard(self, count: int) -> bool:
        """Wait for so many frames."""
        with self._has_heard:
            return self._has_heard.wait_for(lambda: len(self.frames) >= count, TIMEOUT)

    @property
    def texts(self) -> list[str]:
        return [payload.decode() for opcode, payload in self.frames if opcode == TEXT]


class Counter:
    """A server that counts the bytes in the messages from `may_read` on, which is quicker than to keep them."""

    def __init__(self, *, greets: bool = False) -> None:
        self.may_read = Event()
        self.counted = 0
        self._greets = greets

    def __call__(self, peer: Peer) -> None:
        peer.open()
        if self._greets:
            peer.send(TEXT, b"hello")
        assert self.may_read.wait(TIMEOUT)
        with peer.sock.makefile("rb") as file:
            while True:
                opcode, length = file.read(2)
                if length == 0xFF:
                    size = int.from_bytes(file.read(8))
                elif length == 0xFE:
                    size = int.from_bytes(file.read(2))
                else:
                    size = length & 0x7F
                file.read(4 + size)
                if opcode & 0x0F == CLOSE:
                    peer.send(CLOSE, b"")
                    return
                self.counted += size


@contextmanager
def connected(conduct: Callable[[Peer], object], *, waits: bool = True) -> Iterator[WebSocketChannel]:
    """A channel to a server that does as `conduct` says, closed at the end."""
    with raw_server(conduct) as port, WebSocketChannel.connect(f"ws://127.0.0.1:{port}/") as channel:
        if waits:
            channel.ready.result(TIMEOUT)
        yield channel


@contextmanager
def closed_channel() -> Iterator[WebSocketChannel]:
    with connected(Recorder()) as channel:
        channel.sink.close().result(TIMEOUT)
        yield channel


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> Queue[BaseException]:
    """What goes to `threading.excepthook`."""
    errors: Queue[BaseException] = Queue()
    monkeypatch.setattr(threading, "excepthook", lambda args: errors.put(args.exc_value))
    return errors


# add


def test_text_leaves_as_text_and_bytes_bytearray_and_memoryview_leave_as_binary() -> None:
    with connected(server := Recorder()) as channel:
        for message in ("täxt", b"bytes", bytearray(b"array"), memoryview(b"v-i-e-w")[::2], "", b""):
            channel.sink.add(message)
        channel.sink.add(memoryview(b"1234").cast("H"))
    assert server.frames[:-1] == [
        (TEXT, "täxt".encode()),
        (BINARY, b"bytes"),
        (BINARY, b"array"),
        (BINARY, b"view"),
        (TEXT, b""),
        (BINARY, b""),
        (BINARY, b"1234"),
    ]


@pytest.mark.parametrize("message", [None, 3, ["a"], object()])
def test_anything_else_raises_type_error_and_leaves_the_channel_open(message: object) -> None:
    with connected(server := Recorder()) as channel:
        with pytest.raises(TypeError, match="str, bytes, bytearray or memoryview"):
            channel.sink.add(message)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            channel.sink.on_next(message)  # type: ignore[arg-type]
        channel.sink.add("still here")
    assert server.texts == ["still here"]


def test_text_that_utf8_cannot_say_is_refused_and_leaves_the_channel_open() -> None:
    with connected(server := Recorder()) as channel:
        with pytest.raises(UnicodeEncodeError):
            channel.sink.add("\ud800")
        channel.sink.add("still here")
    assert server.texts == ["still here"]


def test_a_buffer_may_be_changed_as_soon_as_add_has_returned() -> None:
    may_open = Event()
    with connected(server := Recorder(may_open=may_open), waits=False) as channel:
        buffer = bytearray(b"before")
        channel.sink.add(buffer)
        channel.sink.add(memoryview(buffer))
        buffer[:] = b"behind"
        may_open.set()
        channel.ready.result(TIMEOUT)
    assert [payload for _, payload in server.frames[:-1]] == [b"before", b"before"]


def test_messages_of_several_threads_leave_whole_and_in_the_order_of_each_threads_calls() -> None:
    def speak(speaker: int) -> None:
        for number in range(200):
            channel.sink.add(f"{speaker} {number} " + "x" * (number * 7 % 1000))

    with connected(server := Recorder()) as channel, ThreadPoolExecutor(8) as threads:
        for speaking in [threads.submit(speak, speaker) for speaker in range(8)]:
            speaking.result(TIMEOUT)
    heard = [text.split(" ") for text in server.texts]
    for speaker in range(8):
        numbers = [int(number) for who, number, _ in heard if int(who) == speaker]
        assert numbers == list(range(200))
    assert all(padding == "x" * (int(number) * 7 % 1000) for _, number, padding in heard)


def test_before_the_channel_is_open_messages_are_queued_and_leave_in_order_once_it_is() -> None:
    may_open = Event()
    with connected(server := Recorder(may_open=may_open), waits=False) as channel:
        for number in range(100):
            channel.sink.add(str(number))
        assert channel.state is ChannelState.CONNECTING
        may_open.set()
        channel.ready.result(TIMEOUT)
        channel.sink.add("100")
    assert server.texts == [str(number) for number in range(101)]


def test_add_raises_channel_closed_once_we_have_closed() -> None:
    may_read = Event()
    with connected(Recorder(may_read=may_read)) as channel:
        done = channel.sink.close(1000)
        assert channel.state is ChannelState.CLOSING
        with pytest.raises(ChannelClosed, match=r"ws://127\.0\.0\.1:"):
            channel.sink.add("late")
        may_read.set()
        done.result(TIMEOUT)
        with pytest.raises(ChannelClosed):
            channel.sink.add("later")


def test_add_raises_channel_closed_once_the_peer_has_closed() -> None:
    with connected(Recorder(closes_after=1)) as channel:
        channel.sink.add("only")
        channel.sink.done.result(TIMEOUT)
        with pytest.raises(ChannelClosed):
            channel.sink.add("late")


def test_add_raises_channel_closed_once_the_connection_is_lost() -> None:
    def lose(peer: Peer) -> None:
        peer.open()
        peer.reset()

    with connected(lose) as channel:
        channel.sink.done.result(TIMEOUT)
        with pytest.raises(ChannelClosed):
            channel.sink.add("late")


def test_add_raises_channel_closed_once_connecting_has_failed() -> None:
    def refuse(peer: Peer) -> None:
        peer.read_head()
        peer.sock.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")

    with connected(refuse, waits=False) as channel:
        channel.sink.done.result(TIMEOUT)
        with pytest.raises(ChannelClosed):
            channel.sink.add("late")


# on_next, on_error, on_completed


def test_disposed_of_it_is_an_observer_no_more_and_the_channel_stays_open() -> None:
    with connected(server := Recorder()) as channel:
        channel.sink.dispose()
        channel.sink.on_next("to nobody")
        channel.sink.on_completed()
        assert not channel.sink.fail(ValueError())
        assert channel.sink.dropped == 1
        channel.sink.add("still here")
        channel.sink.close(1000).result(TIMEOUT)
    assert server.frames == [(TEXT, b"still here"), (CLOSE, b"\x03\xe8")]


def test_failed_by_rx_it_closes_with_1011_as_on_error_does() -> None:
    with connected(server := Recorder()) as channel:
        assert channel.sink.fail(ValueError("the secret"))
        channel.sink.done.result(TIMEOUT)
    assert server.frames == [(CLOSE, b"\x03\xf3")]


def test_on_next_after_the_end_is_ignored_and_dropped_counts_it() -> None:
    may_read = Event()
    with connected(server := Recorder(may_read=may_read)) as channel:
        channel.sink.on_next("in time")
        assert channel.sink.dropped == 0
        done = channel.sink.close()
        channel.sink.on_next("while closing")
        may_read.set()
        done.result(TIMEOUT)
        channel.sink.on_next("while closed")
        assert channel.sink.dropped == 2
    assert server.texts == ["in time"]


def test_a_subject_that_feeds_several_sinks_is_not_broken_by_one_that_is_closed() -> None:
    with connected(first_server := Recorder()) as first, connected(second_server := Recorder()) as second:
        subject: Subject[str | bytes] = Subject()
        for channel in (first, second):
            subject.subscribe(channel.sink)
        subject.on_next("both")
        first.sink.close(1000).result(TIMEOUT)
        subject.on_next("second only")
        assert (first.sink.dropped, second.sink.dropped) == (1, 0)
    assert first_server.texts == ["both"]
    assert second_server.texts == ["both", "second only"]


def test_a_subject_that_completes_closes_with_1000() -> None:
    with connected(server := Recorder()) as channel:
        subject: Subject[str | bytes] = Subject()
        subject.subscribe(channel.sink)
        subject.on_next("last words")
        subject.on_completed()
        channel.sink.done.result(TIMEOUT)
    assert server.frames == [(TEXT, b"last words"), (CLOSE, b"\x03\xe8")]


def test_a_subject_that_fails_closes_with_1011_and_the_peer_learns_nothing_of_the_error() -> None:
    with connected(server := Recorder()) as channel:
        subject: Subject[str | bytes] = Subject()
        subject.subscribe(channel.sink)
        subject.on_error(ValueError("the secret"))
        channel.sink.done.result(TIMEOUT)
    assert server.frames == [(CLOSE, b"\x03\xf3")]


def test_an_observable_feeds_the_sink_in_virtual_time() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(
        ReactiveTest.on_next(210, "a"), ReactiveTest.on_next(220, "b"), ReactiveTest.on_completed(230)
    )
    with connected(server := Recorder()) as channel:
        source.subscribe(channel.sink)
        scheduler.start()
        channel.sink.done.result(TIMEOUT)
    assert server.frames == [(TEXT, b"a"), (TEXT, b"b"), (CLOSE, b"\x03\xe8")]


# add_stream


def test_add_stream_is_done_when_the_observable_has_completed_and_the_channel_stays_open() -> None:
    with connected(server := Recorder()) as channel:
        assert channel.sink.add_stream(reactivex.of("a", b"b", "c")).result(TIMEOUT) is None
        assert channel.sink.add_stream(reactivex.empty()).result(TIMEOUT) is None
        channel.sink.add("d")
    assert server.frames[:-1] == [(TEXT, b"a"), (BINARY, b"b"), (TEXT, b"c"), (TEXT, b"d")]


def test_add_stream_before_the_channel_is_open_queues() -> None:
    may_open = Event()
    with connected(server := Recorder(may_open=may_open), waits=False) as channel:
        channel.sink.add_stream(reactivex.of("a", "b")).result(TIMEOUT)
        may_open.set()
        channel.ready.result(TIMEOUT)
    assert server.texts == ["a", "b"]


def test_add_stream_follows_a_source_on_another_thread() -> None:
    source = reactivex.from_iterable([str(number) for number in range(100)], NewThreadScheduler())
    with connected(server := Recorder()) as channel:
        channel.sink.add_stream(source).result(TIMEOUT)
    assert server.texts == [str(number) for number in range(100)]


def test_add_stream_fails_as_the_observable_fails_and_the_channel_stays_open() -> None:
    error = ValueError("its own")
    source = reactivex.concat(reactivex.of("a", "b"), reactivex.throw(error))
    with connected(server := Recorder()) as channel:
        assert channel.sink.add_stream(source).exception(TIMEOUT) is error
        channel.sink.add("c")
    assert server.texts == ["a", "b", "c"]


def test_add_stream_fails_when_subscribing_raises() -> None:
    error = ValueError("its own")

    def subscribe(observer: object, scheduler: object) -> abc.DisposableBase:
        raise error

    with connected(Recorder()) as channel:
        assert channel.sink.add_stream(reactivex.create(subscribe)).exception(TIMEOUT) is error
        assert channel.state is ChannelState.OPEN


def test_what_a_source_raises_behind_its_completion_changes_nothing() -> None:
    def subscribe(observer: abc.ObserverBase[str | bytes], scheduler: object) -> abc.DisposableBase:
        observer.on_next("a")
        observer.on_completed()
        raise ValueError("too late")

    with connected(server := Recorder()) as channel:
        assert channel.sink.add_stream(reactivex.create(subscribe)).result(TIMEOUT) is None
    assert server.texts == ["a"]


def test_add_stream_fails_and_unsubscribes_at_a_message_that_cannot_be_sent() -> None:
    source: Subject[str | bytes] = Subject()
    with connected(server := Recorder()) as channel:
        sent = channel.sink.add_stream(source)
        source.on_next("a")
        source.on_next(3)  # type: ignore[arg-type]
        assert isinstance(sent.exception(TIMEOUT), TypeError)
        assert not source.observers
        source.on_next("b")
        channel.sink.add("c")
    assert server.texts == ["a", "c"]


def test_add_stream_fails_with_channel_closed_when_the_channel_closes_first() -> None:
    source: Subject[str | bytes] = Subject()
    with connected(Recorder(closes_after=1)) as channel:
        sent = channel.sink.add_stream(source)
        source.on_next("a")
        assert isinstance(sent.exception(TIMEOUT), ChannelClosed)


def test_add_stream_after_the_channel_is_closed_fails_without_subscribing() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_cold_observable(ReactiveTest.on_next(10, "late"))
    with closed_channel() as channel:
        assert isinstance(channel.sink.add_stream(source).exception(TIMEOUT), ChannelClosed)
    assert source.subscriptions == []


def test_add_stream_while_the_channel_is_closing_fails_with_channel_closed() -> None:
    may_read = Event()
    with connected(Recorder(may_read=may_read)) as channel:
        channel.sink.close()
        silent = channel.sink.add_stream(reactivex.never())
        talkative = channel.sink.add_stream(reactivex.repeat_value("x"))
        assert isinstance(talkative.exception(TIMEOUT), ChannelClosed)
        may_read.set()
        assert isinstance(silent.exception(TIMEOUT), ChannelClosed)


def test_a_subscription_does_not_outlive_the_channel() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_cold_observable(ReactiveTest.on_next(100, "never sent"))
    with connected(Recorder()) as channel:
        scheduler.advance_to(200)
        channel.sink.add_stream(source)
        scheduler.advance_to(250)
        channel.sink.close().result(TIMEOUT)
        assert source.subscriptions == [Subscription(200, 250)]


def test_a_subscription_is_disposed_of_before_its_future_or_done_tells_of_the_end() -> None:
    is_disposed = Event()
    source: Observable[str | bytes] = reactivex.create(lambda *_: Disposable(is_disposed.set))
    seen: Queue[bool] = Queue()
    with connected(Recorder()) as channel:
        channel.sink.add_stream(source).add_done_callback(lambda _: seen.put(is_disposed.is_set()))
        channel.sink.done.add_done_callback(lambda _: seen.put(is_disposed.is_set()))
        channel.sink.close().result(TIMEOUT)
        assert [seen.get(timeout=TIMEOUT), seen.get(timeout=TIMEOUT)] == [True, True]


def test_a_source_whose_disposal_raises_does_not_keep_the_others_from_ending(reported: Queue[BaseException]) -> None:
    error = ValueError("its own")

    def fail() -> None:
        raise error

    with connected(Recorder()) as channel:
        sources: list[Observable[str | bytes]] = [reactivex.create(lambda *_: Disposable(fail)) for _ in range(3)]
        sent: list[Future[None]] = [channel.sink.add_stream(source) for source in sources]
        channel.sink.close().result(TIMEOUT)
        assert all(isinstance(future.exception(TIMEOUT), ChannelClosed) for future in sent)
    assert [reported.get(timeout=TIMEOUT) for _ in sources] == [error] * 3


def talk(observer: abc.ObserverBase[str | bytes], _: object = None) -> abc.DisposableBase:
    while True:
        observer.on_next("x")


def talk_whatever_happens(observer: abc.ObserverBase[str | bytes], _: object = None) -> abc.DisposableBase:
    while True:
        with suppress(Exception):
            observer.on_next("x")


ENDLESS: dict[str, Callable[[], Observable[str | bytes]]] = {
    "from_iterable": lambda: reactivex.from_iterable(map(str, itertools.count())),
    "map": lambda: reactivex.from_iterable(itertools.count()).pipe(operators.map(str)),
    "create": lambda: reactivex.create(talk),
    "create that catches": lambda: reactivex.create(talk_whatever_happens),
    "repeat_value": lambda: reactivex.repeat_value("x"),
    "repeat": lambda: reactivex.of("x", "y").pipe(operators.repeat()),
    "retry": lambda: reactivex.create(talk).pipe(operators.retry()),
    "generate": lambda: reactivex.generate(0, lambda _: True, lambda number: number + 1).pipe(operators.map(str)),
    "flat_map": lambda: reactivex.of("x").pipe(operators.repeat(), operators.flat_map(lambda x: reactivex.of(x))),
}


@pytest.mark.parametrize("source", ENDLESS)
def test_an_endless_synchronous_source_ends_when_the_peer_closes(source: str) -> None:
    with connected(Recorder(closes_after=20)) as channel:
        assert isinstance(channel.sink.add_stream(ENDLESS[source]()).exception(TIMEOUT), ChannelClosed)
        channel.sink.done.result(TIMEOUT)


@pytest.mark.parametrize("source", ENDLESS)
def test_an_endless_synchronous_source_ends_at_once_when_the_channel_was_closed_before(source: str) -> None:
    may_read = Event()
    with connected(Recorder(may_read=may_read)) as channel:
        channel.sink.close()
        assert isinstance(channel.sink.add_stream(ENDLESS[source]()).exception(TIMEOUT), ChannelClosed)
        may_read.set()


def test_an_endless_source_on_another_thread_ends_with_the_channel() -> None:
    has_ended = Event()
    source = reactivex.from_iterable(map(str, itertools.count()), NewThreadScheduler()).pipe(
        operators.finally_action(has_ended.set)
    )
    with connected(Recorder(closes_after=20)) as channel:
        assert isinstance(channel.sink.add_stream(source).exception(TIMEOUT), ChannelClosed)
        assert has_ended.wait(TIMEOUT)


def test_an_endless_synchronous_source_that_waits_for_room_ends_when_the_channel_is_closed() -> None:
    is_full = Event()

    def listen(_: object) -> None:
        if channel.sink.buffered_amount > HIGH_WATER:
            is_full.set()

    source = reactivex.repeat_value(bytes(MIB)).pipe(operators.do_action(listen))
    with connected(server := Counter()) as channel, ThreadPoolExecutor(1) as threads:
        sent = threads.submit(channel.sink.add_stream, source)
        assert is_full.wait(TIMEOUT)
        channel.sink.close()
        assert isinstance(sent.result(TIMEOUT).exception(TIMEOUT), ChannelClosed)
        server.may_read.set()


def test_many_streams_leave_nothing_behind_in_the_sink() -> None:
    with connected(Recorder()) as channel:
        gone: list[weakref.ref[object]] = []
        for number in range(300):
            source: Observable[str | bytes] = [reactivex.of("x"), reactivex.throw(ValueError())][number % 2]
            gone += [weakref.ref(source), weakref.ref(channel.sink.add_stream(source))]
        del source
        gc.collect()
        assert all(reference() is None for reference in gone)


def test_the_channels_own_stream_may_feed_its_sink() -> None:
    echoed: Queue[bytes] = Queue()

    def greet(peer: Peer) -> None:
        peer.open()
        for word in (b"one", b"two", b"three"):
            peer.send(TEXT, word)
            echoed.put(peer.receive()[1])
        peer.close()

    with connected(greet) as channel:
        sent = channel.sink.add_stream(channel.stream)
        assert [echoed.get(timeout=TIMEOUT) for _ in range(3)] == [b"one", b"two", b"three"]
        assert sent.exception(TIMEOUT) is None


def test_waiting_for_add_stream_inside_a_subscriber_raises_instead_of_hanging() -> None:
    errors: Queue[RuntimeError] = Queue()

    def listen(_: object) -> None:
        try:
            channel.sink.add_stream(reactivex.never()).result()
        except RuntimeError as error:
            errors.put(error)

    with connected(Recorder(greets=True)) as channel:
        channel.stream.subscribe(listen)
        assert "add_done_callback" in str(errors.get(timeout=TIMEOUT))


def test_a_message_of_another_thread_takes_along_what_a_busy_subscriber_added_before_it() -> None:
    server = Recorder(greets=True)

    def listen(_: object) -> None:
        for number in range(3):
            channel.sink.add(str(number))
        threads.submit(channel.sink.add, "3").result(TIMEOUT)
        is_heard.put(server.has_heard(4))

    is_heard: Queue[bool] = Queue()
    with connected(server) as channel, ThreadPoolExecutor(1) as threads:
        channel.stream.subscribe(listen)
        assert is_heard.get(timeout=2 * TIMEOUT)
    assert server.texts == ["0", "1", "2", "3"]


# close


def close_frame(*arguments: int | str) -> bytes:
    """What the peer reads in the close frame after `sink.close(*arguments)`."""
    with connected(server := Recorder()) as channel:
        channel.sink.close(*arguments).result(TIMEOUT)  # type: ignore[arg-type]
    (opcode, payload), *rest = server.frames
    assert (opcode, rest) == (CLOSE, [])
    return payload


def test_without_a_code_an_empty_close_frame_is_sent() -> None:
    assert close_frame() == b""


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_codes_that_may_be_sent_are_sent(code: int) -> None:
    assert close_frame(code) == code.to_bytes(2)


def test_a_reason_of_123_bytes_is_sent() -> None:
    assert close_frame(4000, "é" * 61 + "e") == b"\x0f\xa0" + "é".encode() * 61 + b"e"


@pytest.mark.parametrize(
    "arguments",
    [
        *[(code,) for code in (-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 2**16 + 1000)],
        (None, "a reason without a code"),
        (1000, "x" * 124),
        (1000, "é" * 62),
        (1000, "\ud800"),
    ],
    ids=repr,
)
def test_what_may_not_be_sent_raises_value_error_and_leaves_the_channel_open(
    arguments: tuple[int | None, str],
) -> None:
    with connected(server := Recorder()) as channel:
        with pytest.raises(ValueError):  # noqa: PT011 - any text
            channel.sink.close(*arguments)
        assert channel.state is ChannelState.OPEN
        channel.sink.add("still here")
    assert server.texts == ["still here"]


def test_what_was_added_before_leaves_before_the_close_frame() -> None:
    may_read = Event()
    with connected(server := Recorder(may_read=may_read)) as channel:
        for number in range(100):
            channel.sink.add(f"{number} " + "x" * 20_000)
        done = channel.sink.close(4001, "bye")
        may_read.set()
        done.result(TIMEOUT)
    assert [text.split(" ")[0] for text in server.texts] == [str(number) for number in range(100)]
    assert server.frames[-1] == (CLOSE, b"\x0f\xa1bye")


def test_closing_twice_is_harmless_and_the_first_wins() -> None:
    with connected(server := Recorder()) as channel:
        first = channel.sink.close(4001, "first")
        second = channel.sink.close(4002, "second")
        channel.sink.on_completed()
        channel.sink.on_error(ValueError())
        first.result(TIMEOUT)
        assert first is second is channel.sink.done
        assert channel.sink.close(4003).done()
    assert server.frames == [(CLOSE, b"\x0f\xa1first")]


def test_closing_while_connecting_with_nothing_queued_gives_the_attempt_up_at_once() -> None:
    has_asked = Event()

    def say_nothing(peer: Peer) -> None:
        peer.read_head()
        has_asked.set()
        peer.wait_for_end()

    ended = Event()
    with connected(say_nothing, waits=False) as channel:
        channel.stream.subscribe(on_completed=ended.set)
        assert has_asked.wait(TIMEOUT)
        channel.sink.close(1000).result(TIMEOUT / 3)
        assert isinstance(channel.ready.exception(TIMEOUT), ChannelClosed)
        assert ended.wait(TIMEOUT)
        assert (channel.close_code, channel.close_reason) == (1006, "")


def test_closing_while_connecting_with_something_queued_delivers_it_first() -> None:
    may_open = Event()
    with connected(server := Recorder(may_open=may_open), waits=False) as channel:
        channel.sink.add("")
        channel.sink.add("queued")
        done = channel.sink.close(4000, "bye")
        assert isinstance(channel.ready.exception(TIMEOUT), ChannelClosed)
        may_open.set()
        done.result(TIMEOUT)
        assert channel.close_code == 4000
    assert server.frames == [(TEXT, b""), (TEXT, b"queued"), (CLOSE, b"\x0f\xa0bye")]


def test_a_subscriber_may_close_the_channel() -> None:
    server = Recorder(greets=True)

    def listen(_: object) -> None:
        channel.sink.add("bye")
        channel.sink.close(4000)

    with connected(server) as channel:
        channel.stream.subscribe(listen)
        channel.sink.done.result(TIMEOUT)
        assert channel.close_code == 4000
    assert server.frames == [(TEXT, b"bye"), (CLOSE, b"\x0f\xa0")]


def test_done_is_done_when_the_peer_closes() -> None:
    def close(peer: Peer) -> None:
        peer.open()
        peer.close(b"\x0f\xa1theirs")

    with connected(close) as channel:
        assert channel.sink.done.result(TIMEOUT) is None
        assert (channel.close_code, channel.close_reason) == (4001, "theirs")


def test_done_is_done_and_does_not_fail_when_the_connection_is_lost() -> None:
    def lose(peer: Peer) -> None:
        peer.open()
        peer.reset()

    with connected(lose) as channel:
        assert channel.sink.done.result(TIMEOUT) is None


def test_a_done_that_its_holder_cancels_harms_nothing() -> None:
    with connected(server := Recorder()) as channel:
        assert not channel.sink.done.cancel()
        channel.sink.add("still here")
        channel.sink.close(1000).result(TIMEOUT)
    assert server.texts == ["still here"]


# Flow control


def test_buffered_amount_is_the_payload_that_was_accepted_and_not_yet_handed_to_the_system() -> None:
    may_open = Event()
    with connected(server := Recorder(may_open=may_open), waits=False) as channel:
        assert channel.sink.buffered_amount == 0
        channel.sink.add("ä")
        channel.sink.add(b"1234")
        assert channel.sink.buffered_amount == 6
        may_open.set()
        channel.ready.result(TIMEOUT)
        assert channel.sink.buffered_amount == 0
    assert len(server.frames) == 3


def test_nothing_is_buffered_once_the_channel_is_closed() -> None:
    def refuse(peer: Peer) -> None:
        peer.read_head()

    with connected(refuse, waits=False) as channel:
        with suppress(ChannelClosed):
            channel.sink.add("never sent")
        channel.sink.done.result(TIMEOUT)
        assert channel.sink.buffered_amount == 0


def add_more_than_fits(channel: WebSocketChannel) -> int:
    """Add 64 MiB, which no socket buffer takes; return how many bytes waited at most."""
    message = bytes(MIB)
    most = 0
    for _ in range(64):
        channel.sink.add(message)
        most = max(most, channel.sink.buffered_amount)
    return most


def wait_until_blocked(adding: Future[int]) -> None:
    with pytest.raises(TimeoutError):
        adding.result(0.1)


def test_add_blocks_while_more_than_4_mib_wait_and_goes_on_when_the_peer_drains() -> None:
    with connected(server := Counter()) as channel, ThreadPoolExecutor(1) as threads:
        adding = threads.submit(add_more_than_fits, channel)
        wait_until_blocked(adding)
        server.may_read.set()
        assert HIGH_WATER < adding.result(TIMEOUT) <= HIGH_WATER + MIB
    assert server.counted == 64 * MIB


def test_a_blocked_add_is_woken_by_the_channels_thread_and_does_not_only_look_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "ROOM_TIMEOUT", 600.0)
    test_add_blocks_while_more_than_4_mib_wait_and_goes_on_when_the_peer_drains()


def test_a_blocked_add_raises_channel_closed_when_the_channel_is_closed() -> None:
    with connected(server := Counter()) as channel, ThreadPoolExecutor(3) as threads:
        adding = [threads.submit(add_more_than_fits, channel) for _ in range(2)]
        wait_until_blocked(adding[0])
        dropped = threads.submit(channel.sink.on_next, "more")
        channel.sink.close(1000)
        assert all(isinstance(each.exception(TIMEOUT), ChannelClosed) for each in adding)
        dropped.result(TIMEOUT)
        assert channel.sink.dropped == 1
        server.may_read.set()
        channel.sink.done.result(TIMEOUT)


def test_a_blocked_add_raises_channel_closed_when_the_connection_is_lost() -> None:
    may_reset = Event()

    def lose(peer: Peer) -> None:
        peer.open()
        assert may_reset.wait(TIMEOUT)
        peer.reset()

    with connected(lose) as channel, ThreadPoolExecutor(1) as threads:
        adding = threads.submit(add_more_than_fits, channel)
        wait_until_blocked(adding)
        may_reset.set()
        assert isinstance(adding.exception(TIMEOUT), ChannelClosed)


def test_add_blocks_before_the_channel_is_open_too_and_fails_when_it_never_opens() -> None:
    may_close = Event()

    def leave(peer: Peer) -> None:
        peer.read_head()
        assert may_close.wait(TIMEOUT)

    with connected(leave, waits=False) as channel, ThreadPoolExecutor(1) as threads:
        channel.sink.add(bytes(5 * MIB))
        blocked = threads.submit(channel.sink.add, "more")
        with pytest.raises(TimeoutError):
            blocked.result(0.1)
        may_close.set()
        assert isinstance(blocked.exception(TIMEOUT), ChannelClosed)


def test_on_the_channels_own_thread_add_queues_instead_of_blocking() -> None:
    message = bytes(MIB)
    buffered: Queue[int] = Queue()

    def reply(_: object) -> None:
        for _ in range(24):
            channel.sink.add(message)
        buffered.put(channel.sink.buffered_amount)

    with connected(server := Counter(greets=True)) as channel:
        channel.stream.subscribe(reply)
        assert buffered.get(timeout=TIMEOUT) > HIGH_WATER + MIB
        server.may_read.set()
    assert server.counted == 24 * MIB
