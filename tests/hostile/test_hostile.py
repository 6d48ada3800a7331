"""Each misbehaviour of a peer, and all that is promised about it: one test, many rows."""

from __future__ import annotations

import re
import sys
import threading

import pytest
from bad_closings import CLOSINGS
from bad_compression import COMPRESSIONS
from bad_frames import FRAMES
from bad_handshakes import HANDSHAKES
from bad_transports import TRANSPORTS
from misbehaviour import FDS, HostilePeer, Misbehaviour, certified, descriptors, play, threads_beside

from rxecho import ChannelClosed, ChannelState, ConnectError

PATIENCE = 5.0
"""Seconds beyond the promised ones, which a busy machine may take."""

MISBEHAVIOURS = [*HANDSHAKES, *FRAMES, *COMPRESSIONS, *CLOSINGS, *TRANSPORTS]


@pytest.fixture(scope="module", autouse=True)
def _made_before() -> None:
    """What is made once, and stays: keys and certificates, and whatever else a first connection needs."""
    certified()
    play(Misbehaviour("leaves", HostilePeer.leave, reach="wss"))


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What came to the hooks for exceptions that nobody catches."""
    errors: list[object] = []
    for module, hook in ((threading, "excepthook"), (sys, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(module, hook, lambda *args: errors.append(args))
    return errors


@pytest.mark.parametrize("case", MISBEHAVIOURS, ids=lambda case: case.name)
def test_a_peer_that(case: Misbehaviour, reported: list[object], capfd: pytest.CaptureFixture[str]) -> None:
    threads = threading.enumerate()
    files = descriptors() if FDS.exists() else None

    outcome = play(case)
    channel, error = outcome.channel, outcome.stream.error

    # The promised end, which says what happened, to which URL, and what to try, in words fit to be shown.
    assert type(error) is (case.error or type(None)), error
    if error is not None:
        text = str(error)
        assert re.search(case.says, text), text
        assert outcome.url in text
        assert "; " in text
        assert text.isprintable()
        assert len(text) < 1000
    assert (channel.close_code, channel.close_reason) == case.close
    if case.messages is not None:
        assert tuple(outcome.stream.values) == case.messages

    # Everybody who waits is told.
    assert outcome.states == sorted(set(outcome.states))
    assert outcome.states[-1] is channel.state is ChannelState.CLOSED
    if isinstance(error, ConnectError):
        assert channel.ready.exception(0) is error
        assert error.status == case.status
    with pytest.raises(ChannelClosed):
        channel.sink.add("too late")

    # Told to the peer, within its time, at a price that is limited.
    assert [code_of(payload) for payload in outcome.closes] == ([] if case.sent is None else [case.sent])
    assert case.after <= outcome.seconds < case.after + PATIENCE
    assert outcome.peak < case.memory

    # And nothing is left behind.
    assert threads_beside(threads) == []
    if files is None:
        print("descriptors are not counted: this system has no /proc/self/fd")
    else:
        assert descriptors() - files == set()
    assert reported == []
    assert capfd.readouterr().err == ""


def code_of(payload: bytes) -> int:
    """What a close frame of ours says: never a reason, unless the program gave one."""
    assert len(payload) in (0, 2)
    return int.from_bytes(payload) if payload else 1005


def test_no_two_misbehaviours_have_the_same_name() -> None:
    assert len({case.name for case in MISBEHAVIOURS}) == len(MISBEHAVIOURS)
