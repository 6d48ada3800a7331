"""The history of the text field, kept in a file from one run to the next."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["History"]

KEPT: Final = 1_000
"""Lines in the file, when a console has ended."""
LONGEST: Final = 10_000
"""Characters in a line that is kept."""


class History:
    """Lines that were sent, each a string of JSON on a line of a file that only its owner can read.

    Several consoles may add to it at once: each line is added in one write. The first thing that goes wrong is told,
    and nothing is kept from then on.

    Args:
        path: The file; it need not be there yet, nor need its directory.
        tell: Told what went wrong, in one sentence.
    """

    def __init__(self, path: Path | None, tell: Callable[[str], None]) -> None:
        self._path = path
        self._tell = tell
        self._latest = ""

    def load(self) -> tuple[str, ...]:
        """The lines that are there, the oldest first."""
        kept: list[str] = []
        with self._trouble_told("read"):
            if self._path and self._path.exists():
                kept = [line for raw in self._path.read_bytes().splitlines() if (line := _decoded(raw))]
                self._latest = kept[-1] if kept else ""
        return tuple(kept)

    def add(self, line: str) -> None:
        """Keep a line, unless it is the same again."""
        if line != self._latest and len(line) <= LONGEST:
            self._latest = line
            with self._trouble_told("written"):
                if self._path:
                    self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    _append(self._path, f"{json.dumps(line, ensure_ascii=False)}\n".encode())

    def shorten(self) -> None:
        """Leave the newest in the file."""
        with self._trouble_told("written"):
            if self._path and self._path.exists():
                kept = self._path.read_bytes().splitlines(keepends=True)
                if len(kept) > KEPT:
                    # What another console adds at this very moment may be lost, but the file is whole at any time.
                    shorter = self._path.with_name(f"{self._path.name}.{os.getpid()}")
                    _append(shorter, b"".join(kept[-KEPT:]))
                    shorter.replace(self._path)

    @contextmanager
    def _trouble_told(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._tell(f"no history is kept: {self._path} cannot be {what}: {error.strerror}; see --no-history")
            self._path = None


def _append(path: Path, lines: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, lines)
    finally:
        os.close(descriptor)


def _decoded(raw: bytes) -> str:
    """A line as it was sent; `""` for what is none, such as the rest of one after a crash."""
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return ""
    # With what UTF-8 cannot carry it cannot have been sent.
    return line if isinstance(line, str) and line == line.encode(errors="ignore").decode() else ""
