"""Peers whose bytes are right, as far as they go: TCP that is cut, peers that fall silent, and floods."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from unittest.mock import patch

from bad_frames import BEFORE, repeats_and_closes
from misbehaviour import KIB, MIB, Conduct, HostilePeer, Misbehaviour, certified
from peer import frame
from raw_server import BINARY, CLOSE, PING, PONG, TEXT, TIMEOUT

from rxecho import ChannelClosed, ConnectionLost, WebSocketChannel, connection

INTERVAL = 0.05
SILENCE = 0.2
"""Seconds for a `ping_interval` and a `ping_timeout` that are to pass."""

CLOSE_1000 = frame(CLOSE, b"\x03\xe8")


# What such a peer does


def leaves_at_once(peer: HostilePeer) -> None:
    peer.open_with(BEFORE)
    peer.leave()


def is_cut(rest: bytes, how: Conduct) -> Conduct:
    """Says something proper, which arrives, and then a part of something, and is gone."""

    def conduct(peer: HostilePeer) -> None:
        peer.open_with(BEFORE)
        peer.settle()
        peer.say(rest)
        how(peer)

    return conduct


def over_tls(then: Conduct) -> Conduct:
    """Speaks TLS with a certificate that we trust."""

    def conduct(peer: HostilePeer) -> None:
        peer.start_tls(certified())
        then(peer)

    return conduct


def says_goodbye(peer: HostilePeer) -> None:
    """Ends TLS in order, with a close_notify, and TCP with it."""
    assert isinstance(peer.sock, ssl.SSLSocket)
    with suppress(OSError):
        peer.sock.unwrap()
    peer.leave()


def is_silent(rest: bytes = b"", meanwhile: Callable[[WebSocketChannel], object] = lambda _: None) -> Conduct:
    """Says something proper, and a part of something, and then nothing more, and does not read either."""

    def conduct(peer: HostilePeer) -> None:
        peer.open_with(BEFORE + rest)
        peer.channel.ready.result(TIMEOUT)
        meanwhile(peer.channel)
        peer.wait_until_left()

    return conduct


def add_for_ever(channel: WebSocketChannel) -> None:
    while True:
        channel.sink.add(bytes(64 * KIB))


def is_written_to(peer: HostilePeer) -> None:
    """Reads nothing, while a thread of the program sends as much as it can."""
    peer.open_with(BEFORE)
    with ThreadPoolExecutor(1) as thread:
        adding = thread.submit(add_for_ever, peer.channel)
        peer.wait_until_left()
        assert isinstance(adding.exception(TIMEOUT), ChannelClosed)


def is_pinged(peer: HostilePeer) -> None:
    """Answers no ping, neither of the program nor of the keepalive."""
    peer.open_with(BEFORE)
    pong = peer.channel.ping(b"Are you there?")
    peer.wait_until_left()
    assert isinstance(pong.exception(TIMEOUT), ConnectionLost)


def talks(data: bytes, beginning: bytes = b"") -> Conduct:
    """Says `data` every 10 ms, whatever it is asked."""

    def conduct(peer: HostilePeer) -> None:
        peer.open_with(BEFORE + beginning)
        with suppress(ConnectionError):
            while not peer.is_left_within(0.01):
                peer.sock.sendall(data)

    return conduct


def floods_pings_and_hears_the_pongs(peer: HostilePeer) -> None:
    peer.open_with(BEFORE)
    with ThreadPoolExecutor(1) as thread:
        pings = b"".join(frame(PING, b"%05d" % index) for index in range(5000))
        sending = thread.submit(peer.say, pings + CLOSE_1000)
        for index in range(5000):
            assert peer.receive() == (PONG, b"%05d" % index)
        sending.result(TIMEOUT)
    peer.part()


def floods_pings_and_never_reads(peer: HostilePeer) -> None:
    """While our side waits for it to take a message that is more than TCP holds; then it reads, and closes."""
    is_handled = peer.stream_until("all")
    with peer.memory.looks_away():
        large = bytes(8 * MIB)
        peer.open_with(BEFORE)
        peer.channel.ready.result(TIMEOUT)
        peer.channel.sink.add(large)
        assert peer.channel.sink.buffered_amount
    peer.flood(frame(PING, b"x" * 120) * 1000, 122 * 8000)
    peer.say(frame(PING, b"last") + frame(TEXT, b"all"))
    assert is_handled.wait(TIMEOUT)
    with peer.memory.looks_away():
        assert peer.receive() == (BINARY, large)
    assert peer.receive() == (PONG, b"last")
    peer.say(CLOSE_1000)
    peer.part()


def floods_nobody(peer: HostilePeer) -> None:
    """Sends as much as TCP takes, and nobody has subscribed; our side closes."""
    peer.open_with(b"")
    left = peer.flood(frame(BINARY, bytes(KIB)) * 64, 64 * MIB)
    assert left
    peer.channel.sink.close(1000)
    peer.say(bytes(left))
    peer.hear(CLOSE)
    peer.say(CLOSE_1000)
    peer.stop_sending()


def floods_an_echo(peer: HostilePeer) -> None:
    """Sends as much as TCP takes to a subscriber that answers each message, and reads no answer."""
    peer.channel.stream.subscribe(peer.channel.sink.add, lambda _: None)
    peer.open_with(b"")
    peer.flood(frame(BINARY, bytes(MIB)))
    peer.wait_until_left()


def floods_an_echo_with_nothing(peer: HostilePeer) -> None:
    """The same with empty messages, each of which takes memory, too: that nothing more is read is what bounds it."""
    peer.channel.stream.subscribe(peer.channel.sink.add, lambda _: None)
    peer.open_with(b"")
    with patch.object(connection, "STALL", MIB), peer.memory.looks_away():
        peer.flood(frame(BINARY) * 1000)
        peer.wait_until_left()


def sends_urgent_data(peer: HostilePeer) -> None:
    peer.open_with(BEFORE)
    peer.say(frame(TEXT, b"urgent")[:4])
    peer.sock.send(b"!", socket.MSG_OOB)
    peer.say(frame(TEXT, b"urgent")[4:] + CLOSE_1000)
    peer.part()


# The rows


def lost(name: str, conduct: Conduct, says: str, **more: Any) -> Misbehaviour:
    return Misbehaviour(name, conduct, ConnectionLost, says, **{"messages": ("before",), **more})


def silent(name: str, conduct: Conduct, **more: Any) -> Misbehaviour:
    return lost(
        name,
        conduct,
        "the peer did not answer a ping for 0.2 s",
        after=INTERVAL + SILENCE,
        options={"ping_interval": INTERVAL, "ping_timeout": SILENCE},
        **more,
    )


def closed(name: str, conduct: Conduct, **more: Any) -> Misbehaviour:
    return Misbehaviour(name, conduct, **{"sent": 1000, "close": (1000, ""), "messages": ("before",), **more})


CUTS = {
    "between two frames": b"",
    "within the header of a frame": b"\x81",
    "within a length of 2 bytes": b"\x82\x7e\x01",
    "within a length of 8 bytes": b"\x82\x7f\x00\x00\x00\x00",
    "before a payload": b"\x81\x05",
    "within a payload": b"\x81\x05Hel",
    "within a long payload": frame(BINARY, bytes(1000), length=100_000),
    "within a character": frame(TEXT, "ü".encode()[:1], length=2),
    "between two fragments": frame(TEXT, b"un", fin=False),
    "within a ping": frame(PING, b"ping")[:4],
    "within a ping within a message": frame(TEXT, b"un", fin=False) + frame(PING, b"ping")[:4],
    "within a close frame": CLOSE_1000[:3],
}
HOW = {
    "FIN": (HostilePeer.stop_sending, "the peer went away without a close frame"),
    "RST": (HostilePeer.reset, r"it was cut \(Connection reset by peer\)"),
}

LOST = (
    [
        lost(f"leaves with {how} {where}", is_cut(rest, leave), says)
        for how, (leave, says) in HOW.items()
        for where, rest in CUTS.items()
    ]
    + [
        lost(f"leaves with {how} {where} over TLS", over_tls(is_cut(rest, leave)), says, reach="wss")
        for how, leave, says in (
            ("FIN", HostilePeer.stop_sending, "was lost"),
            ("RST", HostilePeer.reset, "was lost"),
            ("close_notify", says_goodbye, "the peer went away without a close frame"),
        )
        for where, rest in (("between two frames", b""), ("within a payload", CUTS["within a payload"]))
    ]
    + [
        lost("leaves with FIN along with its handshake", leaves_at_once, "lost"),
        lost(
            "announces 2**39 bytes, sends one and leaves",
            is_cut(frame(BINARY, b"x", length=1 << 39), HostilePeer.stop_sending),
            "the peer went away without a close frame",
            memory=2 * MIB,
            options={"max_message_size": 1 << 40},
        ),
        lost(
            "sends a forged TLS record",
            over_tls(is_cut(b"", lambda peer: peer.say_past_tls(b"\x17\x03\x03\x00\x20" + bytes(32)))),
            "it was cut",
            reach="wss",
        ),
        lost(
            "sends plain frames past TLS",
            over_tls(is_cut(b"", lambda peer: peer.say_past_tls(frame(TEXT, b"Hello!")))),
            "it was cut",
            reach="wss",
        ),
    ]
)

SILENT = [
    *[silent(f"falls silent {where}", is_silent(rest)) for where, rest in CUTS.items()],
    silent("falls silent over TLS", over_tls(is_silent()), reach="wss"),
    silent("falls silent with a message on the way", is_silent(meanwhile=lambda channel: channel.sink.add("Hello?"))),
    silent("falls silent while it is written to", is_written_to, is_narrow=True, memory=8 * MIB),
    silent("falls silent and answers no ping of ours", is_pinged),
    silent("talks, but never answers a ping", talks(frame(PING, b"?")), messages=("before",)),
    silent("answers every ping wrongly", talks(frame(PONG, b"wrong"))),
    silent("drips a message instead of pongs", talks(b"x", frame(TEXT, length=9999))),
    silent(
        "floods messages to an echo that it never reads",
        floods_an_echo,
        is_narrow=True,
        messages=None,
        memory=80 * MIB,
    ),
    silent(
        "floods empty messages to an echo that it never reads",
        floods_an_echo_with_nothing,
        is_narrow=True,
        messages=None,
    ),
]

FLOODS = [
    closed("floods pings and hears the pongs", floods_pings_and_hears_the_pongs, memory=3 * MIB),
    closed("floods pings and never reads", floods_pings_and_never_reads, is_narrow=True, messages=("before", "all")),
    closed("floods pongs that answer nothing", repeats_and_closes(b"", frame(PONG, b"unsolicited") * 1000, 100, b"")),
    closed("sends urgent data", sends_urgent_data, messages=("before", "urgent")),
    closed(
        "floods messages that nobody hears",
        floods_nobody,
        is_heard=False,
        is_narrow=True,
        messages=(bytes(KIB),) * 64,
        options={"max_message_size": 64 * KIB},
    ),
]

TRANSPORTS = [*LOST, *SILENT, *FLOODS]
