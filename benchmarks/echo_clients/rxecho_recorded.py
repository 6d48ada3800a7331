"""rxecho, as in `rxecho_channel`, while it is recorded into a file."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from meter import Meter, Work, run

from rxecho import WebSocketChannel
from rxecho.recording import record


def echo(work: Work, meter: Meter) -> None:
    message, received = work.message, meter.received
    end: SimpleQueue[Exception | None] = SimpleQueue()
    with TemporaryDirectory() as directory:
        recorded = record(Path(directory) / "session.jsonl")
        with recorded(WebSocketChannel.connect(work.url, ssl=work.tls, compression=None)) as channel:
            add = channel.sink.add

            def on_next(echo: str | bytes) -> None:
                if received(echo):
                    add(message)
                else:
                    end.put(None)

            channel.stream.subscribe(on_next, end.put)
            channel.ready.result()
            for _ in range(work.in_flight):
                add(message)
            error = end.get()
            if error:
                raise error


if __name__ == "__main__":
    run(echo)
