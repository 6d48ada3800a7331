"""Sessions that are kept: recorded into a file, replayed from it, drawn, and served to any client.

>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> from math import inf
>>> from rxecho import EchoServer, WebSocketChannel
>>> from reactivex import operators as ops
>>> with TemporaryDirectory() as directory:
...     path = Path(directory) / "session.jsonl"
...     with EchoServer() as server, record(path)(WebSocketChannel.connect(server.url)) as channel:
...         channel.sink.add("Hello!")
...         channel.stream.pipe(ops.first()).run()
...     replay(path, speed=inf).run()
'Hello!'
'Hello!'

A recording is a text file, JSON Lines in UTF-8. The first line says what it is:

    {"format":"rxecho recording","version":1,"start":"2026-11-25T23:12:00.123456Z","url":"wss://example.org/?key=***",
     "headers":[["User-Agent","rxecho"],["Cookie",null]]}

(in one line). `url` and `headers`, those of the opening handshake, are only there where a channel was recorded. User
names, passwords and the values in queries are left out of every URL, and the values of all headers but the harmless:
what the path of a URL and the messages hold is kept. Each further line is an event:

    {"event":"sent","time":0.000651,"text":"Hello!"}
    {"event":"opened","time":0.004640,"protocol":"chat"}
    {"event":"received","time":0.004883,"binary":"AAE="}
    {"event":"closed","time":3.500000,"code":1000,"reason":"Enough","by":"us"}

`time` counts seconds from the start, to the microsecond, by a clock that never goes back; what was sent is told when it
was given to the channel, which may be before that has opened. `connection` is 1 where it is not written: each
channel, and each subscription to a stream, has the next number.

`opened`
    with the subprotocol, if the server chose one.
`sent`, `received`
    with `text`, or one of `binary`, `ping` and `pong` in base64. `received` is also what a recorded stream emitted,
    and has its `value`, in JSON, where that was neither `str` nor `bytes`.
`closed`
    with `code` and `reason` as the channel has them, and `by` whom: `"us"`, or else the peer. A code that is not
    written is 1005, which says that the peer gave none.
`failed`
    how a connection or a stream failed: `error`, the name of the error's type, and its `text`.
`completed`, `disposed`
    how else a stream ended. Its number is 0 where all that it emitted were channels, or nothing.

A recording without an end was cut off by a crash; zeros may stand behind its last line then.
"""

from __future__ import annotations

from rxecho.recording.har import from_har, to_har
from rxecho.recording.player import read, replay, to_marbles
from rxecho.recording.recorder import record
from rxecho.recording.server import ReplayServer
from rxecho.recording.session import Header, Recording, RecordingError

__all__ = [
    "Header",
    "Recording",
    "RecordingError",
    "ReplayServer",
    "from_har",
    "read",
    "record",
    "replay",
    "to_har",
    "to_marbles",
]
