"""Slash commands: what a line of the text field says that is no message. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rxecho.console.lines import Mistake
from rxecho.frames import MAX_CONTROL_PAYLOAD, encode_close
from rxecho.status import NORMAL_CLOSURE

if TYPE_CHECKING:
    from rxecho.console.lines import AsMessage

__all__ = ["Close", "Command", "Ping", "Pong", "parse"]


class Ping(NamedTuple):
    """`/ping [text]`."""

    payload: bytes


class Pong(NamedTuple):
    """`/pong [text]`."""

    payload: bytes


class Close(NamedTuple):
    """`/close [code [reason]]`, and what Ctrl+C is."""

    code: int = NORMAL_CLOSURE
    reason: str = ""


Command = Ping | Pong | Close


def parse(line: str, as_message: AsMessage) -> str | bytes | Command:
    """What a line says: a command if it begins with a slash, a message otherwise, also if it begins with two.

    It may have line breaks: they are part of a ping's text or a close reason, as of a message.

    Raises:
        Mistake: It is neither.
        Unfinished: It is the beginning of a message.

    >>> from rxecho.console.lines import as_text
    >>> parse("/close 4000 Seen enough", as_text)
    Close(code=4000, reason='Seen enough')
    >>> parse("//etc", as_text)
    '/etc'
    """
    if not line.startswith("/"):
        return as_message(line)
    if line.startswith("//"):
        return as_message(line[1:])
    name, _, rest = line[1:].partition(" ")
    match name:
        case "ping":
            return Ping(_payload(name, rest))
        case "pong":
            return Pong(_payload(name, rest))
        case "close":
            return _close(rest)
    raise Mistake("a command is /ping [text], /pong [text] or /close [code [reason]], and // sends a slash")


def _payload(name: str, text: str) -> bytes:
    payload = text.encode()
    if len(payload) > MAX_CONTROL_PAYLOAD:
        raise Mistake(f"a {name} may have {MAX_CONTROL_PAYLOAD} bytes of UTF-8, this one has {len(payload)}")
    return payload


def _close(arguments: str) -> Close:
    code, _, reason = arguments.strip().partition(" ")
    if not code:
        return Close()
    if not (code.isascii() and code.isdecimal() and len(code) == 4):
        raise Mistake("a close code is a number such as 1000 or 4000, with its reason behind it")
    try:
        encode_close(int(code), reason)
    except ValueError as error:
        raise Mistake(str(error)) from error
    return Close(int(code), reason)
