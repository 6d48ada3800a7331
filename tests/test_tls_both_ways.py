"""TLS both ways at once, by several threads: nothing is lost, nothing ends by itself, and no two of them meet in it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
import trustme
from numbered_client import NumberedClient
from numbered_peer import Ending, NumberedPeer, Plan, narrow, numbered_peer
from raw_server import TIMEOUT

CA = trustme.CA()

NAMES = map(str, count())


@pytest.fixture(scope="module", params=[False, True], ids=["wide", "narrow"])
def is_narrow(request: pytest.FixtureRequest) -> bool:
    """Whether the buffers of TCP are so small that most records of TLS are sent and received in pieces."""
    return bool(request.param)


@pytest.fixture(scope="module")
def peer(is_narrow: bool) -> Iterator[NumberedPeer]:
    with numbered_peer(CA, *["--narrow"] * is_narrow) as peer:
        yield peer


class WatchedTLS(ssl.SSLContext):
    """A client's context that counts what its sockets had to wait for, and notices two threads in TLS at once."""

    def __new__(cls, *_: object, **__: object) -> WatchedTLS:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, version: ssl.TLSVersion, *, is_narrow: bool) -> None:
        self.waits: Counter[type[OSError]] = Counter()
        self.overlaps = 0
        self._is_narrow = is_narrow
        self._lock = threading.Lock()
        self.minimum_version = self.maximum_version = version
        CA.configure_trust(self)
        calls = {name: self._watched(getattr(ssl.SSLSocket, name)) for name in ("send", "recv", "pending", "close")}
        self.sslsocket_class = type("WatchedSocket", (ssl.SSLSocket,), calls)

    def wrap_socket(self, sock: socket.socket, *args: Any, **options: Any) -> ssl.SSLSocket:
        if self._is_narrow:
            narrow(sock)
        return super().wrap_socket(sock, *args, **options)

    def _watched(self, call: Callable[..., object]) -> Callable[..., object]:
        def watched(*args: Any) -> object:
            is_alone = self._lock.acquire(blocking=False)
            self.overlaps += not is_alone
            try:
                return call(*args)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
                self.waits[type(error)] += 1
                raise
            finally:
                if is_alone:
                    self._lock.release()

        return watched


@contextmanager
def all_speak(client: NumberedClient, say: Callable[[NumberedClient, int], None]) -> Iterator[None]:
    """Every speaker speaks on a thread of its own, until the channel is closed, which it is in the end."""
    with ThreadPoolExecutor(client.plan.speakers) as threads:
        for speaker in range(client.plan.speakers):
            threads.submit(say, client, speaker)
        try:
            yield
        finally:
            client.close()


def say_as_fast_as_possible(client: NumberedClient, speaker: int) -> None:
    """The socket is blocked nearly all the time, and it is the channel's thread that writes."""
    client.say(speaker)


def say_while_nothing_waits(client: NumberedClient, speaker: int) -> None:
    """It is the speaker's thread that writes, as do the others."""
    sink = client.channel.sink
    while not sink.done.done():
        if sink.buffered_amount:
            wait([sink.done], 0.001)
        else:
            client.say(speaker, 1)


paces = pytest.mark.parametrize("say", [say_as_fast_as_possible, say_while_nothing_waits])
versions = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name
)


@versions
@paces
def test_all_that_either_side_said_before_the_peer_closes_has_arrived(
    say: Callable[[NumberedClient, int], None], version: ssl.TLSVersion, is_narrow: bool, peer: NumberedPeer
) -> None:
    tls = WatchedTLS(version, is_narrow=is_narrow)
    client = NumberedClient(peer, Plan(next(NAMES), Ending.BY_PEER, 0.3, speakers=4, stalls=20), tls=tls)
    with all_speak(client, say):
        client.channel.sink.done.result(TIMEOUT)
    assert list(client.faults()) == []
    assert min(sum(client.reported.result().heard), client.heard) > 0
    assert tls.overlaps == 0
    if is_narrow:
        assert set(tls.waits) == {ssl.SSLWantReadError, ssl.SSLWantWriteError}


@versions
@paces
def test_all_that_was_added_before_another_thread_closes_arrives(
    say: Callable[[NumberedClient, int], None], version: ssl.TLSVersion, is_narrow: bool, peer: NumberedPeer
) -> None:
    tls = WatchedTLS(version, is_narrow=is_narrow)
    client = NumberedClient(peer, Plan(next(NAMES), Ending.BY_CLIENT, 0, speakers=4, stalls=20), tls=tls)
    with all_speak(client, say):
        client.channel.ping().result(TIMEOUT)
    assert list(client.faults()) == []
    assert tls.overlaps == 0


def test_keys_that_change_in_the_midst_of_all_that_do_no_harm(is_narrow: bool, peer: NumberedPeer) -> None:
    # Of what TLS 1.3 says of itself after its handshake this is one half. The other, session tickets, comes each time.
    tls = WatchedTLS(ssl.TLSVersion.TLSv1_3, is_narrow=is_narrow)
    client = NumberedClient(peer, Plan(next(NAMES), Ending.BY_PEER, 0.7, speakers=4, stalls=20, rekeys=True), tls=tls)
    with all_speak(client, say_while_nothing_waits):
        client.channel.sink.done.result(TIMEOUT)
    assert list(client.faults()) == []
    assert client.reported.result().rekeys > 1  # the second one follows the client's answer to the first
    assert tls.overlaps == 0
