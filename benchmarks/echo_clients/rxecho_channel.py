"""rxecho: what the subscriber of `channel.stream` answers goes into `channel.sink`."""

from __future__ import annotations

from queue import SimpleQueue

from meter import Meter, Work, run

from rxecho import WebSocketChannel


def echo(work: Work, meter: Meter) -> None:
    message, received = work.message, meter.received
    end: SimpleQueue[Exception | None] = SimpleQueue()
    with WebSocketChannel.connect(work.url, ssl=work.tls, compression=None) as channel:
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


def echo_from_main(work: Work, meter: Meter) -> None:
    """The main thread sends whenever there is room in the window, of which the subscriber tells it."""
    message, received = work.message, meter.received
    window: SimpleQueue[bool] = SimpleQueue()
    with WebSocketChannel.connect(work.url, ssl=work.tls, compression=None) as channel:
        put = window.put
        channel.stream.subscribe(lambda echo: put(received(echo)), lambda _: put(False))
        channel.ready.result()
        for _ in range(work.in_flight):
            put(True)
        add, get = channel.sink.add, window.get
        while get():
            add(message)


if __name__ == "__main__":
    run(lambda work, meter: (echo_from_main if work.is_sent_by_main else echo)(work, meter))
