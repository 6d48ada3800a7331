"""The format: what is written is read again, and what is no recording is told so, in one sentence that says where."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex.testing import TestScheduler

from rxecho.recording import Header, Recording, RecordingError, read, replay
from rxecho.recording.session import (
    Closed,
    Completed,
    Disposed,
    Event,
    Failed,
    Opened,
    Received,
    Sent,
    encode,
    harmless_headers,
    without_secrets,
)

HEADER = Header(start=datetime(2026, 11, 25, 23, 12, 0, 123456, tzinfo=UTC))
TWO = (Received(0.5, text="a"), Received(1.0, text="b"))


def lines(*events: Event, header: Header = HEADER) -> bytes:
    return b"".join(encode(line) + b"\n" for line in (header, *events))


def write(path: Path, content: bytes) -> Path:
    (path / "session.jsonl").write_bytes(content)
    return path / "session.jsonl"


def replay_now(path: Path) -> None:
    replay(path, float("inf")).run()


def replayed(path: Path) -> tuple[list[Any], Exception | None]:
    """What comes at once, and how it ended."""
    values: list[Any] = []
    errors: list[Exception | None] = []
    scheduler = TestScheduler()
    replay(path).subscribe(values.append, errors.append, lambda: errors.append(None), scheduler=scheduler)
    scheduler.start()
    (error,) = errors
    return values, error


times = st.integers(0, 10**12).map(lambda microseconds: microseconds / 1e6)
numbers = st.integers(0, 1000)
texts = st.text()
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)
events = st.one_of(
    st.builds(Opened, times, numbers, st.none() | texts),
    *(
        st.builds(kind, times, numbers, **{name: payload})
        for kind in (Sent, Received)
        for name, payload in {"text": texts, "binary": st.binary(), "ping": st.binary(), "pong": st.binary()}.items()
    ),
    st.builds(Received, times, numbers, value=json),
    st.builds(Closed, times, numbers, st.integers(1000, 4999), texts, st.sampled_from(["us", "peer"])),
    st.builds(Failed, times, numbers, texts, texts),
    st.builds(Completed, times, numbers),
    st.builds(Disposed, times, numbers),
)


@given(st.lists(events))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, written: list[Event]) -> None:
    written.sort(key=lambda event: event.time)
    path = write(tmp_path_factory.mktemp("session"), lines(*written))
    recording = Recording(path)
    assert recording.header == HEADER
    assert list(recording) == written


def test_every_line_says_what_it_is() -> None:
    assert lines(
        Opened(0.000651, protocol="chat"),
        Sent(0.1, 2, text="Grüße"),
        Received(0.1, binary=b"\0\1"),
        Closed(1.5, 1, 1000, "Enough", "us"),
    ).decode().splitlines() == [
        '{"format":"rxecho recording","version":1,"start":"2026-11-25T23:12:00.123456Z"}',
        '{"event":"opened","time":0.000651,"protocol":"chat"}',
        '{"event":"sent","time":0.1,"connection":2,"text":"Grüße"}',
        '{"event":"received","time":0.1,"binary":"AAE="}',
        '{"event":"closed","time":1.5,"code":1000,"reason":"Enough","by":"us"}',
    ]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\0" * 4096, "is empty", id="nothing but zeros"),
        pytest.param(b"Hello!\n", "does not begin as one", id="text"),
        pytest.param(b"\xff\xfe\n", "does not begin as one", id="not UTF-8"),
        pytest.param(b'{"name": "page"}\n', "does not begin as one", id="other JSON"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, "does not begin as one", id="deep"),
        pytest.param(encode(HEADER)[:40], "does not begin as one", id="cut off in the header"),
        pytest.param(lines()[:-2] + b',"start":1}\n', "does not begin as one", id="a start that is no time"),
        pytest.param(b"x" * (2**20 + 1), "longer than 1,048,576 bytes", id="huge"),
        pytest.param(b'{"format":"rxecho recording","version":2}\n', "version 2", id="another version"),
    ],
)
def test_what_does_not_begin_as_a_recording_is_none(tmp_path: Path, content: bytes, what: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(RecordingError, match=what) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert replayed(path)[0] == []
    assert str(replayed(path)[1]) == str(caught.value)


def test_a_recording_of_another_version_says_which_one_this_is(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"format":"rxecho recording","version":2,"begin":"today"}\n')
    with pytest.raises(RecordingError, match="is a recording of version 2, and this rxecho reads version 1: use"):
        Recording(path)


@pytest.mark.parametrize("kind", ["missing", "directory", "broken"])
def test_what_cannot_be_read_is_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "session.jsonl"
    if kind == "directory":
        path.mkdir()
    if kind == "broken":
        path = Path("/proc/self/mem")  # nothing is mapped at its beginning
    for attempt in (read, Recording, replay_now):
        with pytest.raises(RecordingError, match=f"cannot read {path}: ") as caught:
            attempt(path)
        assert isinstance(caught.value.__cause__, OSError)


DAMAGED = {
    "not JSON": (b"Hello!\n", "this is no event"),
    "not UTF-8": (b'{"event":"received","time":2,"text":"\xff"}\n', "this is no event"),
    "not UTF-8 outside of a text": (b"\xff\n", "this is no event"),
    "another event": (b'{"event":"moved","time":2}\n', "this is no event"),
    "no time": (b'{"event":"completed"}\n', "this is no event"),
    "no base64": (b'{"event":"received","time":2,"binary":"!"}\n', "this is no event"),
    "no payload": (b'{"event":"received","time":2}\n', "no payload"),
    "deep": (b'{"event":"received","time":2,"value":' + b"[" * 10_000 + b"]" * 10_000 + b"}\n", "this is no event"),
    "deep where nothing is expected": (b"[" * 10_000 + b"\n", "this is no event"),
    "an empty line": (b"\n", "this is no event"),
    "zeros in the middle": (b"\0" * 100 + b"\n", "this is no event"),
    "a second recording": (lines(Completed(0.1)), "a second recording begins here"),
    "a time that goes back": (encode(Completed(0.1)) + b"\n", "its time goes back to 0.1 s, from 1 s"),
    "cut off": (b'{"event":"received","time":2,"te', "it was not written to its end"),
    "cut off, and zeros": (b'{"event":"received","time":2,"te' + b"\0" * 5000, "it was not written to its end"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_what_stands_before_the_damage_is_replayed_and_then_it_is_told_where(tmp_path: Path, damage: str) -> None:
    content, what = DAMAGED[damage]
    path = write(tmp_path, lines(*TWO) + content)
    values, error = replayed(path)
    assert values == ["a", "b"]
    assert isinstance(error, RecordingError)
    assert f"{path}, line 4: " in str(error)
    assert what in str(error)


@pytest.mark.parametrize("behind", [b"", b"\0" * 5000], ids=["nothing", "zeros"])
def test_a_recording_that_has_no_end_was_cut_off(tmp_path: Path, behind: bytes) -> None:
    path = write(tmp_path, lines(*TWO) + behind)
    assert list(Recording(path)) == list(TWO)
    values, error = replayed(path)
    assert values == ["a", "b"]
    assert isinstance(error, RecordingError)
    assert "was cut off" in str(error)


def test_two_recordings_in_one_file_are_not_mixed(tmp_path: Path) -> None:
    # As two programs leave it that append to one file.
    one, other = (lines(*TWO, Completed(2.0)).splitlines(keepends=True) for _ in range(2))
    interleaved = b"".join(line for pair in zip(one, other, strict=True) for line in pair)
    values, error = replayed(write(tmp_path, interleaved))
    assert values == []
    assert "line 2: a second recording begins here" in str(error)


def test_a_last_line_without_a_line_break_counts(tmp_path: Path) -> None:
    path = write(tmp_path, lines(*TWO, Completed(2.0)).rstrip())
    assert replayed(path) == (["a", "b"], None)


def test_a_field_that_a_later_release_adds_is_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, lines(header=HEADER) + b'{"event":"received","time":1,"text":"a","size":1}\n')
    assert list(Recording(path)) == [Received(1.0, text="a")]


def test_a_big_message_is_read(tmp_path: Path) -> None:
    event = Received(0.1, text="\x01" * 2**20)
    assert list(Recording(write(tmp_path, lines(event)))) == [event]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://127.0.0.1:8000/", "ws://127.0.0.1:8000/"),
        ("wss://me:pw@example.org/a@b", "wss://example.org/a@b"),
        ("wss://token@example.org", "wss://example.org"),
        ("wss://example.org/?token", "wss://example.org/?***"),
        ("wss://example.org/?a=1=2&b=&c", "wss://example.org/?a=***&b=***&***"),
        ("(ws://h/?a=b), then ws://u:p@h/: no", "(ws://h/?a=***), then ws://h/: no"),
    ],
)
def test_secrets_are_left_out_of_urls(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_of_headers_only_harmless_values_are_kept() -> None:
    headers = [("User-Agent", "u"), ("ORIGIN", "o"), ("Accept-Language", "de"), ("Sec-WebSocket-Protocol", "bearer.x")]
    assert harmless_headers([*headers, ("Cookie", "c"), ("X-Api-Key", "k")]) == (
        *headers[:3],
        ("Sec-WebSocket-Protocol", None),
        ("Cookie", None),
        ("X-Api-Key", None),
    )


def test_what_is_in_a_recording_is_plain_json(tmp_path: Path) -> None:
    content = lines(Received(0.1, value={"a": [1, None, 1.5]}))
    assert msgspec.json.decode(content.splitlines()[1]) == {
        "event": "received",
        "time": 0.1,
        "value": {"a": [1, None, 1.5]},
    }
