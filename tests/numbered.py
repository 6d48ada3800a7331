"""Messages that can be told apart: each says by which speaker it is, on which connection, and its number.

Both ends know what every speaker says. So whoever listens notices at once what is lost, doubled, out of order, damaged
or another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

Message = str | bytes

LARGEST: Final = 300_000
"""Bytes in the largest message, about."""

_EMPTY: Final = 50
"""One of so many messages of the first speaker is empty. Of the others none is: nobody could tell whose it was."""


def _bodies(count: int) -> list[Message]:
    random = Random(0)
    noise = random.randbytes(LARGEST)
    text = "".join(random.choices("abc \n\0é€😀", k=LARGEST))
    bodies: list[Message] = []
    for _ in range(count):
        (limit,) = random.choices((100, 1_000, 10_000, LARGEST), (70, 20, 9, 1))
        size = random.randrange(limit)
        if random.random() < 0.5:
            start = random.randrange(LARGEST - size)
            bodies.append(noise[start : start + size])
        else:
            size //= 2  # as UTF-8 it is about twice that
            start = random.randrange(LARGEST - size)
            bodies.append(text[start : start + size])
    return bodies


_BODIES: Final = _bodies(1000)


def numbered(connection: str, speaker: int, number: int) -> Message:
    """What `speaker` says as its message `number` on `connection`, counted from 0."""
    body = _BODIES[(number + 300 * speaker) % len(_BODIES)]
    if speaker == 0 and number % _EMPTY == _EMPTY - 1:
        return body[:0]
    head = f"{connection} {speaker} {number} "
    return head + body if isinstance(body, str) else head.encode() + body


class Mismatch(Exception):
    """A message came that nobody says next."""


class Ledger:
    """What some speakers have said on one connection: `counts` has their messages, in the order of `speakers`."""

    def __init__(self, connection: str, speakers: Sequence[int]) -> None:
        self.counts = [0] * len(speakers)
        self._connection = connection
        self._speakers = speakers
        self._next = [numbered(connection, speaker, 0) for speaker in speakers]

    def take(self, message: Message) -> None:
        """Check that one of the speakers says this next.

        Raises:
            Mismatch: None of them does.
        """
        for index, expected in enumerate(self._next):
            if message == expected:
                self.counts[index] += 1
                self._next[index] = numbered(self._connection, self._speakers[index], self.counts[index])
                return
        raise Mismatch(
            f"on connection {self._connection} came {message[:40]!r} ({len(message):,} long) after {self.counts}, "
            f"instead of {' or '.join(f'{expected[:40]!r} ({len(expected):,} long)' for expected in self._next)}"
        )
