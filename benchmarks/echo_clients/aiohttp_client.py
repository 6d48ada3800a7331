"""aiohttp: `receive`, and `send_str` or `send_bytes`."""

from __future__ import annotations

from typing import Any

from aiohttp import ClientSession, ClientWSTimeout
from meter import Meter, Work, run_asyncio


async def echo(work: Work, meter: Meter) -> None:
    async with (
        ClientSession() as session,
        session.ws_connect(
            work.url, ssl=work.tls or True, compress=0, max_msg_size=0, timeout=ClientWSTimeout(ws_close=0.1)
        ) as client,
    ):
        message, receive, received = work.message, client.receive, meter.received
        send: Any = client.send_str if work.is_text else client.send_bytes
        for _ in range(work.in_flight):
            await send(message)
        while received((await receive()).data):
            await send(message)


if __name__ == "__main__":
    run_asyncio(echo)
