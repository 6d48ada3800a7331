"""A file that lines are appended to, each of which outlives the process as soon as it was.

`recorder` writes into it. Small lines are copied into memory that the file is mapped to: they are in the system's hands
then, as if they were written, for a fifth of what a write costs.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Journal"]

STEP: Final = 64 * 1024
"""Bytes that are mapped at a time."""
LARGE: Final = 16 * 1024
"""Bytes in a line from which it is written, if it finds no room: to map new pages then costs more than a write."""


class Journal:
    """Appends to a file. For one thread at a time.

    While it is open, zeros may stand at the end of the file.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b", buffering=0)
        # A map without room: nothing is written before there is something to append.
        self._map = mmap.mmap(-1, 1)
        self._map.seek(1)
        self._begin = self._file.seek(0, os.SEEK_END) - 1

    def append(self, line: bytes) -> None:
        """Append, all or nothing.

        Raises:
            OSError: The disk is full. The file is closed then.
        """
        try:
            self._map.write(line)  # in one step: a signal handler may append, too
        except ValueError:  # there is no room
            end = self._unmap()
            try:
                if len(line) >= LARGE:
                    self._write(line, end)
                    self._map_from(end + len(line))
                else:
                    self._map_from(end)
                    self._map.write(line)
            except OSError:
                self._cut(end)
                raise

    def close(self) -> None:
        """Cut the file to what was appended, and close it."""
        self._cut(self._unmap())

    def _cut(self, end: int) -> None:
        with self._file:
            self._file.truncate(end)

    def _unmap(self) -> int:
        """Return where the next line goes."""
        end = self._begin + self._map.tell()
        self._map.close()
        return end

    def _map_from(self, end: int) -> None:
        """Map what follows the last line: filled before, so that a full disk is an error here, and no signal later."""
        self._write(bytes(STEP), end)
        before = end % mmap.ALLOCATIONGRANULARITY
        self._begin = end - before
        self._map = mmap.mmap(self._file.fileno(), before + STEP, offset=self._begin)
        self._map.seek(before)

    def _write(self, content: bytes, begin: int) -> None:
        self._file.seek(begin)
        left = memoryview(content)
        while left:
            left = left[self._file.write(left) :]
