"""websockets, the client for threads: `recv` and `send`; a thread of its own reads the socket."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Thread

from meter import Meter, Work, run
from websockets.sync.client import ClientConnection, connect


def echo(work: Work, meter: Meter) -> None:
    with open_connection(work) as client:
        message, send, recv, received = work.message, client.send, client.recv, meter.received
        for _ in range(work.in_flight):
            send(message)
        while received(recv()):
            send(message)


def echo_from_main(work: Work, meter: Meter) -> None:
    """The main thread sends whenever there is room in the window, of which a second one tells it that receives."""
    window: SimpleQueue[bool] = SimpleQueue()
    with open_connection(work) as client:

        def receive() -> None:
            recv, received, put = client.recv, meter.received, window.put
            while received(recv()):
                put(True)
            put(False)

        for _ in range(work.in_flight):
            window.put(True)
        Thread(target=receive, daemon=True).start()
        message, send, get = work.message, client.send, window.get
        while get():
            send(message)


def open_connection(work: Work) -> ClientConnection:
    return connect(
        work.url, ssl=work.tls, compression=None, ping_interval=None, max_size=None, proxy=None, close_timeout=0.1
    )


if __name__ == "__main__":
    # A round trip needs no second thread: here it is always the main thread that sends, and waits for the answer.
    run(lambda work, meter: (echo_from_main if work.is_sent_by_main and work.in_flight > 1 else echo)(work, meter))
