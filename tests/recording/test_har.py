"""`from_har`, `to_har`: a browser's session replays here, and ours opens there.

`chromium.har` was saved by DevTools of Chromium 156, from a page that opened WebSockets to the practice server.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex.scheduler import VirtualTimeScheduler

from rxecho.recording import replay
from rxecho.recording.har import HarRecording, from_har, is_har, to_har
from rxecho.recording.session import (
    Closed,
    Completed,
    Event,
    Failed,
    Header,
    Opened,
    Received,
    Recording,
    RecordingError,
    Sent,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHROMIUM = Path(__file__).with_name("chromium.har")
ECHO = "ws://127.0.0.1:8799/echo"
START = datetime(2026, 11, 25, 23, 7, 37, 123456, tzinfo=UTC)


def har(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"log": {"version": "1.2", "entries": entries}}).encode()


def entry(*messages: dict[str, Any], url: str = ECHO, headers: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    return {
        "startedDateTime": "2026-11-25T23:07:37.000Z",
        "time": 0,
        "request": {"url": url, "headers": [{"name": name, "value": value} for name, value in headers]},
        "response": {"status": 101},
        "_webSocketMessages": messages,
    }


def message(**fields: Any) -> dict[str, Any]:
    return {"type": "receive", "time": START.timestamp(), "opcode": 1, "data": "a"} | fields


def write_recording(path: Path, *events: Event, url: str | None = ECHO) -> Path:
    path.write_bytes(b"".join(encode(line) + b"\n" for line in (Header(start=START, url=url), *events)))
    return path


def test_a_browsers_session_becomes_a_recording(tmp_path: Path) -> None:
    from_har(CHROMIUM, tmp_path / "session.jsonl", url="/echo")
    recording = Recording(tmp_path / "session.jsonl")
    assert recording.header.url == ECHO
    opened, *messages, closed = recording
    texts: list[str | bytes] = ["Hello!", "Grüße, 世界 👋", "", b"\0\x01\xfe\xff", b"", '{"a":\u20281}']
    assert isinstance(opened, Opened)
    assert opened.protocol == "chat"
    assert [type(event) for event in messages] == [Sent, Received] * len(texts)
    assert [event.message for event in messages if isinstance(event, Sent)] == texts
    assert [event.message for event in messages if isinstance(event, Received)] == texts
    assert isinstance(closed, Closed)


def test_a_browsers_session_replays_here_at_its_times(tmp_path: Path) -> None:
    from_har(CHROMIUM, tmp_path / "session.jsonl", url="/ticker")
    virtual = VirtualTimeScheduler()
    replayed: list[tuple[float, str]] = []
    replay(tmp_path / "session.jsonl").subscribe(
        lambda quote: replayed.append((virtual.clock, json.loads(quote)["symbol"])),
        on_completed=lambda: replayed.append((virtual.clock, "|")),
        scheduler=virtual,
    )
    virtual.start()
    times = [event.time for event in Recording(tmp_path / "session.jsonl")][1:]
    assert replayed == [*zip(times, ["DART", "RXPY", "ECHO", "|"], strict=True)]


def test_a_har_replays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.har").write_bytes(har(entry(message())))
    virtual = VirtualTimeScheduler()
    replayed: list[tuple[float, str]] = []
    replay(tmp_path / "a.har").subscribe(lambda text: replayed.append((virtual.clock, text)), scheduler=virtual)
    virtual.start()
    assert replayed == [(0.123456, "a")]


def test_times_count_from_the_start_of_the_connection() -> None:
    times = [event.time for event in HarRecording(CHROMIUM, url="/ticker")]
    assert times[0] == 0.0
    assert times == sorted(times)
    quotes = times[1:4]
    assert all(0.2 < later - earlier < 0.3 for earlier, later in pairwise(quotes))  # the page asked for 0.25


def test_a_connection_that_was_made_again_is_one_more_of_the_session() -> None:
    events = list(HarRecording(CHROMIUM, url="/flaky"))
    assert [event.connection for event in events] == [1] * 4 + [2] * 4
    assert [type(event) for event in events] == [Opened, Sent, Received, Closed] * 2
    assert [event.time for event in events] == sorted(event.time for event in events)


def test_a_session_without_a_close_frame_ends_when_its_entry_does() -> None:
    opened, closed = HarRecording(CHROMIUM, url="/close")
    assert opened.time < closed.time
    assert isinstance(closed, Closed)
    assert closed.code == 1005


def test_a_har_with_several_websockets_says_which(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"more than one .*/echo, .*/ticker.*, .*/close.*, .*/flaky") as told:
        from_har(CHROMIUM, tmp_path / "session.jsonl")
    assert ":8797" not in str(told.value), "the one that never opened"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("url", "words"), [("127.0.0.1", "4 WebSockets with"), ("/nowhere", "0 WebSockets with")])
def test_a_part_of_a_url_is_that_of_one_websocket(url: str, words: str) -> None:
    with pytest.raises(RecordingError, match=words):
        HarRecording(CHROMIUM, url=url)


def test_a_whole_url_is_not_taken_for_a_part_of_another(tmp_path: Path) -> None:
    (tmp_path / "a.har").write_bytes(har(entry(url=ECHO), entry(url=ECHO + "/more")))
    assert HarRecording(tmp_path / "a.har", url=ECHO).header.url == ECHO


def test_websockets_that_differ_in_a_parameter_are_told_apart(tmp_path: Path) -> None:
    rooms = [entry(message(data=room), url=f"{ECHO}?room={room}") for room in "ab"]
    (tmp_path / "a.har").write_bytes(har(*rooms))
    assert list(HarRecording(tmp_path / "a.har", url="room=b"))[1] == Received(0.123456, text="b")


def test_secrets_stay_behind(tmp_path: Path) -> None:
    secrets = [("Cookie", "session=hush"), ("Authorization", "Bearer hush"), ("X-Api-Key", "hush")]
    (tmp_path / "a.har").write_bytes(har(entry(url=f"{ECHO}?token=hush", headers=[*secrets, ("Origin", "http://a")])))
    from_har(tmp_path / "a.har", tmp_path / "session.jsonl")
    text = (tmp_path / "session.jsonl").read_text()
    assert "hush" not in text
    assert "http://a" in text


def test_pings_pongs_and_the_close_frame_are_taken_over_and_other_opcodes_passed_over(tmp_path: Path) -> None:
    messages = [
        message(opcode=9, data="cGluZw=="),
        message(type="send", opcode=10, data="cGluZw=="),
        message(opcode=0, data="?"),
        message(opcode=-1, data="?"),
        message(type="send", opcode=8, data="A+hCeWU="),
        message(),
    ]
    (tmp_path / "a.har").write_bytes(har(entry(*messages)))
    assert list(HarRecording(tmp_path / "a.har")) == [
        Opened(0.0),
        Received(0.123456, ping=b"ping"),
        Sent(0.123456, pong=b"ping"),
        Closed(0.123456, code=1000, reason="Bye", by="us"),
    ]


def test_an_error_ends_a_session_as_lost(tmp_path: Path) -> None:
    (tmp_path / "a.har").write_bytes(har(entry(message(type="error", opcode=-1, data="Invalid frame header"))))
    assert list(HarRecording(tmp_path / "a.har"))[1:] == [Failed(0.123456, 1, "ConnectionLost", "Invalid frame header")]


def test_times_of_playwright_are_milliseconds(tmp_path: Path) -> None:
    (tmp_path / "a.har").write_bytes(har(entry(message(time=START.timestamp() * 1000))))
    assert list(HarRecording(tmp_path / "a.har"))[1].time == 0.123456


def test_what_is_not_a_websocket_may_be_anything(tmp_path: Path) -> None:
    page = {"startedDateTime": "2026-11-25T23:07:37Z", "request": {"url": "http://a/"}, "response": {}, "time": -1}
    (tmp_path / "a.har").write_bytes(har(page, entry(message())))
    assert len(list(HarRecording(tmp_path / "a.har"))) == 3


payloads = st.binary(max_size=20)
times = st.integers(0, 10**10).map(lambda microseconds: microseconds / 1e6)


@st.composite
def connections(draw: st.DrawFn) -> list[Event]:
    makers: list[Callable[[float], Event]] = [
        lambda time: Sent(time, text=draw(st.text())),
        lambda time: Received(time, text=draw(st.text())),
        lambda time: Sent(time, binary=draw(payloads)),
        lambda time: Received(time, binary=draw(payloads)),
        lambda time: Received(time, ping=draw(payloads)),
        lambda time: Sent(time, pong=draw(payloads)),
    ]
    ends: list[Callable[[float], Event]] = [
        lambda time: Closed(
            time, code=draw(st.sampled_from([1000, 1006, 4999])), reason=draw(st.text(max_size=30)), by="us"
        ),
        lambda time: Closed(time),
        lambda time: Failed(time, error="ProtocolError", text=draw(st.text())),
    ]
    *before, last = sorted(draw(st.lists(times, min_size=1)))
    return [
        Opened(0.0, protocol=draw(st.none() | st.just("chat"))),
        *(draw(st.sampled_from(makers))(time) for time in before),
        draw(st.sampled_from(ends))(last),
    ]


@given(connections())
def test_a_recording_comes_back_from_a_har_as_it_was(events: list[Event]) -> None:
    with TemporaryDirectory() as directory:
        to_har(write_recording(Path(directory, "session.jsonl"), *events), Path(directory, "session.har"))
        session = HarRecording(Path(directory, "session.har"))
    assert session.header == Header(start=START, url=ECHO)
    assert list(session) == events


def test_each_connection_of_a_recording_is_an_entry(tmp_path: Path) -> None:
    events: list[Event] = [
        Opened(0.0),
        Failed(1.0, error="ConnectionLost", text="gone"),
        Opened(2.0, 2),
        Received(2.5, 2, text="a"),
        Closed(3.0, 2),
    ]
    path = write_recording(tmp_path / "session.jsonl", *events, Completed(3.0, 0))
    to_har(path, tmp_path / "session.har")
    assert [each["startedDateTime"] for each in entries_of(tmp_path / "session.har")] == [
        "2026-11-25T23:07:37.123456+00:00",
        "2026-11-25T23:07:39.123456+00:00",
    ]
    assert list(HarRecording(tmp_path / "session.har")) == events


def test_what_stands_before_the_damage_of_a_recording_is_written(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "session.jsonl", Opened(0.0), Received(1.0, text="a"))
    with path.open("ab") as file:
        file.write(b'{"event":"rec\n')
    with pytest.raises(RecordingError, match=r"session\.jsonl, line 4"):
        to_har(path, tmp_path / "session.har")
    assert Received(1.0, text="a") in HarRecording(tmp_path / "session.har")


def test_messages_are_written_as_devtools_save_them(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "session.jsonl", Opened(0.0), Sent(0.5, text="a"), Received(1.0, binary=b"\0"))
    to_har(path, tmp_path / "session.har")
    (written,) = entries_of(tmp_path / "session.har")
    assert written["_resourceType"] == "websocket"
    assert written["_webSocketMessages"] == [
        {"type": "send", "time": pytest.approx(START.timestamp() + 0.5), "opcode": 1, "data": "a"},
        {"type": "receive", "time": pytest.approx(START.timestamp() + 1.0), "opcode": 2, "data": "AA=="},
    ]


def test_an_entry_has_what_one_of_chromium_has(tmp_path: Path) -> None:
    to_har(write_recording(tmp_path / "session.jsonl", Opened(0.0, protocol="chat"), Closed(1.0)), tmp_path / "a.har")
    (ours,) = entries_of(tmp_path / "a.har")
    theirs = next(each for each in entries_of(CHROMIUM) if each["request"]["url"] == ECHO)
    optional = {"pageref", "serverIPAddress", "connection", "blocked", "dns", "connect", "ssl", "compression"}

    def shape(value: Any) -> Any:
        if not isinstance(value, dict):
            return None
        return {key: shape(each) for key, each in value.items() if not key.startswith("_") and key not in optional}

    assert shape(ours) == shape(theirs)


def entries_of(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(path.read_bytes())["log"]["entries"]
    return entries


def test_a_har_is_told_from_a_recording(tmp_path: Path) -> None:
    (tmp_path / "bom.har").write_bytes(b"\xef\xbb\xbf" + har(entry()))
    assert is_har(CHROMIUM)
    assert is_har(tmp_path / "bom.har")
    assert not is_har(write_recording(tmp_path / "session.jsonl"))
    assert list(HarRecording(tmp_path / "bom.har")) == [Opened(0.0), Closed(0.0)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a HAR"),
        (b"not JSON", "is not a HAR: JSON is malformed"),
        (b"[]", r"is not a HAR: Expected `object`, got `array`"),
        (b'{"format":"rxecho recording"}', "is not a HAR: .*`log`"),
        (har(entry())[:-9], "is not a HAR: Input data was truncated"),
        (har(entry()).replace(b"echo", b"\xff"), "is not a HAR"),
        (b'{"log":' * 10_000, "is not a HAR: maximum recursion depth"),
        (har({**entry(), "startedDateTime": "yesterday"}), r"is not a HAR: .*`\$.log.entries\[0\].startedDateTime`"),
        (har(entry(message(type="sideways"))), r"is not a HAR: .*_webSocketMessages\[0\].type"),
        (har(), "has no WebSocket among its 0 requests"),
        (har({**entry(url="http://a/"), "_webSocketMessages": None}), "has no WebSocket among its 1 requests"),
        (har({**entry(), "_webSocketMessages": None}), "no WebSocket that was opened and saved with its messages"),
        (har({**entry(), "response": {"status": 0}}), "no WebSocket that was opened and saved with its messages"),
        (har(entry(message(opcode=2, data="§"))), "a damaged WebSocket message"),
        (har(entry(message(opcode=2, data="a"))), "a damaged WebSocket message"),
    ],
)
def test_what_is_no_har_is_told_in_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.har").write_bytes(content)
    with pytest.raises(RecordingError, match=rf"a\.har .*{words}.*; save one in Chromium's DevTools"):
        HarRecording(tmp_path / "a.har")


def test_a_har_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.har").open("wb") as file:
        os.truncate(file.fileno(), 2**30 + 1)
    with pytest.raises(RecordingError, match="1,073,741,825 bytes, and at most"):
        HarRecording(tmp_path / "a.har")


@pytest.mark.parametrize("read", [is_har, HarRecording])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(RecordingError, match=r"cannot read .*nowhere\.har: No such file"):
        read(tmp_path / "nowhere.har")
    with pytest.raises(RecordingError, match=r"cannot read .*: Is a directory"):
        read(tmp_path)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "session.jsonl", Opened(0.0), Closed(1.0))
    before = path.read_bytes()
    with pytest.raises(RecordingError, match=r"session\.jsonl exists already"):
        from_har(CHROMIUM, path, url="/echo")
    with pytest.raises(RecordingError, match=r"session\.jsonl exists already"):
        to_har(path, path)
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"cannot write .*session\.jsonl: No such file or directory"):
        from_har(CHROMIUM, tmp_path / "nowhere" / "session.jsonl", url="/echo")


def test_a_stream_without_a_url_has_no_har(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "session.jsonl", Received(0.0, text="a"), url=None)
    with pytest.raises(RecordingError, match="of a stream without a URL"):
        to_har(path, tmp_path / "session.har")
