"""picows: a listener that gets frames, and sends from inside its callback.

What it gets and sends are bytes, as in the echo of its documentation: nobody has checked that they are UTF-8, as all
the others do.
"""

from __future__ import annotations

from meter import Meter, Work, run_asyncio
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect


class Echo(WSListener):
    def __init__(self, work: Work, meter: Meter) -> None:
        self._kind = WSMsgType.TEXT if work.is_text else WSMsgType.BINARY
        self._message = work.payload
        self._in_flight = work.in_flight
        self._received = meter.received

    def on_ws_connected(self, transport: WSTransport) -> None:
        for _ in range(self._in_flight):
            transport.send(self._kind, self._message)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self._received(frame.get_payload_as_memoryview()):
            transport.send(self._kind, self._message)
        else:
            transport.disconnect(graceful=False)

    def pause_writing(self) -> None:
        pass  # otherwise it is logged

    def resume_writing(self) -> None:
        pass


async def echo(work: Work, meter: Meter) -> None:
    transport, _ = await ws_connect(
        lambda: Echo(work, meter),
        work.url,
        ssl_context=work.tls,
        max_frame_size=2 * work.size,
        read_buffer_init_size=2**21,
    )
    await transport.wait_disconnected()


if __name__ == "__main__":
    run_asyncio(echo)
