"""A real kernel, with all that it sends to a front end: what the tests of notebooks read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import pytest


def lessons_group(name: str) -> Any:
    """A module of the lessons group, or a skip that says how to have it."""
    reason = f"{name} is not here, it is of the lessons group: uv run --group lessons pytest --no-cov tests/notebooks"
    return pytest.importorskip(name, reason=reason)


jupyter_client = lessons_group("jupyter_client")

STARTS = 60.0
ENDS = 30.0


@dataclass
class Page:
    """What a notebook holds: each output as it is after the updates that came for it.

    Attributes:
        outputs: A dictionary by media type, each; what was printed is under `stream`, an exception under `error`.
        versions: Of each output that was updated, all that it has been, by its number.
    """

    outputs: list[dict[str, str]] = field(default_factory=list)
    versions: dict[int, list[dict[str, str]]] = field(default_factory=dict)
    _by_id: dict[str, int] = field(default_factory=dict)

    def take(self, message: dict[str, Any]) -> None:
        content = message["content"]
        match message["msg_type"]:
            case "stream":
                text = re.sub(r"\x1b\[[0-9;]*m", "", content["text"])  # Python 3.13 colours what it tells of an error
                if self.outputs and "stream" in self.outputs[-1]:
                    text = self.outputs.pop()["stream"] + text
                self.outputs.append({"stream": text})
            case "error":
                self.outputs.append({"error": f"{content['ename']}: {content['evalue']}"})
            case "display_data" | "execute_result":
                self.outputs.append(content["data"])
                if identifier := content.get("transient", {}).get("display_id"):
                    self._by_id[identifier] = len(self.outputs) - 1
                    self.versions[len(self.outputs) - 1] = [content["data"]]
            case "update_display_data":
                number = self._by_id[content["transient"]["display_id"]]
                self.outputs[number] = content["data"]
                self.versions[number].append(content["data"])


class Kernel:
    """What a front end knows of a kernel."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.page = Page()

    def run(self, code: str, **metadata: object) -> list[dict[str, str]]:
        """The outputs of a cell, once it has been run: as JupyterLab asks for it, unless another metadata is given."""
        self.page.outputs.append({})  # what was printed before is another cell's
        before = len(self.page.outputs)
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
        message = self._client.session.msg("execute_request", content, metadata=metadata or {"cellId": "one"})
        self._client.shell_channel.send(message)
        request = message["header"]["msg_id"]
        deadline = monotonic() + ENDS
        while True:
            message = self._client.get_iopub_msg(timeout=max(deadline - monotonic(), 0.1))
            self.page.take(message)
            done = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
            if done and message["parent_header"].get("msg_id") == request:
                return self.page.outputs[before:]

    def wait_for(self, number: int, text: str) -> None:
        """Read what comes until that output shows this text."""
        deadline = monotonic() + ENDS
        while self.page.outputs[number].get("text/plain", "") != text:
            self.page.take(self._client.get_iopub_msg(timeout=max(deadline - monotonic(), 0.1)))

    def printed(self, code: str) -> str:
        return "".join(output.get("stream", "") for output in self.run(code)).strip()


@contextmanager
def running_kernel() -> Iterator[Kernel]:
    manager = jupyter_client.KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=STARTS)
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
