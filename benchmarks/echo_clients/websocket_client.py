"""websocket-client: `recv` and `send` on a blocking socket; accelerated, with wsaccel, which checks UTF-8 in C."""

from __future__ import annotations

import sys
from queue import SimpleQueue
from threading import Thread

from meter import IS_ACCELERATED, Meter, Work, run

if not IS_ACCELERATED:
    sys.modules["wsaccel"] = None  # type: ignore[assignment]  # lest websocket-client find it

import websocket


def connect(work: Work, *, from_two_threads: bool = False) -> websocket.WebSocket:
    return websocket.create_connection(
        work.url, sslopt={"context": work.tls} if work.tls else None, enable_multithread=from_two_threads
    )


def echo(work: Work, meter: Meter) -> None:
    client = connect(work)
    message, opcode = work.message, websocket.ABNF.OPCODE_TEXT if work.is_text else websocket.ABNF.OPCODE_BINARY
    send, recv, received = client.send, client.recv, meter.received
    for _ in range(work.in_flight):
        send(message, opcode)
    while received(recv()):
        send(message, opcode)
    client.shutdown()


def echo_from_main(work: Work, meter: Meter) -> None:
    """The main thread sends whenever there is room in the window, of which a second one tells it that receives."""
    client = connect(work, from_two_threads=True)
    window: SimpleQueue[bool] = SimpleQueue()

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
    client.shutdown()


if __name__ == "__main__":
    # A round trip needs no second thread: here it is always the main thread that sends, and waits for the answer.
    run(lambda work, meter: (echo_from_main if work.is_sent_by_main and work.in_flight > 1 else echo)(work, meter))
