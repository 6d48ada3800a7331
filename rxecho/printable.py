"""Text from the network made fit to draw: it may say anything, but command nothing.

A message is data. Left as they are, its control characters would move the cursor, retitle the window or
answer the terminal's questions, and its bidirectional overrides would make one thing look like another.
"""

from __future__ import annotations

import re

__all__ = ["printable"]

_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks, embeddings, overrides, isolates
    "\u206a-\u206f"  # deprecated: they switch the mirroring, the shapes and the digits of what follows
    "\u2028\u2029"  # line and paragraph separator: line breaks that no terminal counts
    "\ufeff\ufff9-\ufffb"  # byte order mark; interlinear annotation, which may be drawn elsewhere
    "\ud800-\udfff"  # lone surrogates cannot be encoded
    "]"
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def printable(text: str, *, keep: str = "") -> str:
    r"""Escape every character of `text` that would act on a terminal instead of showing.

    Combining marks, variation selectors and zero-width joiners stay, because scripts and emoji are written
    with them. So does a backslash: the result is for reading, not for decoding.

    Args:
        text: Anything a peer may have sent.
        keep: Characters left as they are, for a drawing that lays out line breaks itself.

    >>> print(printable("red \x1b[31malert\x07"))
    red \e[31malert\x07
    >>> printable("two\nlines", keep="\n")
    'two\nlines'
    """
    if not keep:
        return _UNSAFE.sub(_escape, text)
    return _UNSAFE.sub(lambda match: match[0] if match[0] in keep else _escape(match), text)
