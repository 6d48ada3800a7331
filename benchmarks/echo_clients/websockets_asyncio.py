"""websockets, the asyncio client: `recv` and `send`."""

from __future__ import annotations

from meter import Meter, Work, run_asyncio
from websockets.asyncio.client import connect


async def echo(work: Work, meter: Meter) -> None:
    async with connect(
        work.url, ssl=work.tls, compression=None, ping_interval=None, max_size=None, proxy=None, close_timeout=0.1
    ) as client:
        message, send, recv, received = work.message, client.send, client.recv, meter.received
        for _ in range(work.in_flight):
            await send(message)
        while received(await recv()):
            await send(message)


if __name__ == "__main__":
    run_asyncio(echo)
