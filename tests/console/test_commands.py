"""Slash commands, parsed."""

from __future__ import annotations

import pytest

from rxecho.console.commands import Close, Ping, Pong, parse
from rxecho.console.lines import Mistake, as_hex, as_text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/ping", Ping(b"")),
        ("/ping two words ", Ping(b"two words ")),
        ("/ping " + "x" * 125, Ping(b"x" * 125)),
        ("/ping two\nlines", Ping(b"two\nlines")),
        ("/pong", Pong(b"")),
        ("/pong größe", Pong("größe".encode())),
        ("/close", Close(1000, "")),
        ("/close 4000", Close(4000, "")),
        ("/close 1001 good  night", Close(1001, "good  night")),
        ("//", "/"),
        ("//ping", "/ping"),
        ("///", "//"),
        ("hello /ping", "hello /ping"),
        (" /ping", " /ping"),
    ],
)
def test_a_line_is_a_command_or_a_message(line: str, said: object) -> None:
    assert parse(line, as_text) == said


def test_a_message_is_what_messages_are() -> None:
    assert parse("00 ff", as_hex) == b"\x00\xff"
    assert parse("/ping 00", as_hex) == Ping(b"00")


@pytest.mark.parametrize("line", ["/", "/x", "/pings", "/PING", "/usr/bin\n/bin", "/closes 1000"])
def test_an_unknown_command_is_told_what_there_is(line: str) -> None:
    with pytest.raises(Mistake, match=r"/ping \[text\], /pong \[text\] or /close \[code \[reason\]\], and // sends"):
        parse(line, as_text)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/ping " + "ö" * 63, "a ping may have 125 bytes of UTF-8, this one has 126"),
        ("/pong " + "x" * 126, "a pong may have 125 bytes of UTF-8, this one has 126"),
        ("/close 1005", "1005 cannot be sent as a close code"),
        ("/close 999999", "a close code is a number such as 1000"),
        ("/close abc", "a close code is a number such as 1000"),
        ("/close ４０００", "a close code is a number such as 1000"),  # noqa: RUF001
        ("/close 1000 " + "x" * 124, "a close reason may have 123 bytes of UTF-8, this one has 124"),
    ],
)
def test_a_bad_argument_is_told_in_one_sentence(line: str, said: str) -> None:
    with pytest.raises(Mistake, match=said) as caught:
        parse(line, as_text)
    assert ". " not in str(caught.value)
