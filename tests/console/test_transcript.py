"""The transcript's books: everything that came is shown or summarised, and it never holds more than it shows."""

from __future__ import annotations

import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, Group

from rxecho.console.drawable import JsonExcerpt
from rxecho.console.transcript import BURST, FLOOD, Entry, More, Notice, Transcript


def drawn(*entries: Entry | Notice | More, width: int = 80, encoding: str = "utf-8") -> str:
    output = io.BytesIO()
    console = Console(
        file=io.TextIOWrapper(output, encoding=encoding), force_terminal=True, color_system=None, width=width
    )
    console.print(Group(*entries))
    return output.getvalue().decode(encoding)


def transcript() -> Transcript:
    return Transcript(lambda: None)


def received(*messages: str | bytes) -> list[Entry | Notice | More]:
    book = transcript()
    for message in messages:
        book.note_received(message)
    return book.take()


# A step is so many messages sent, or so many received, or a drawing.
STEPS = st.lists(st.tuples(st.sampled_from([True, False, None]), st.integers(1, 2 * BURST)), max_size=20)


@given(STEPS)
def test_shown_and_summarised_add_up_to_what_came_in_its_order(steps: list[tuple[bool | None, int]]) -> None:
    book = transcript()
    came: list[tuple[bool, str]] = []
    taken: list[Entry | Notice | More] = []
    for sent, number in steps:
        if sent is None:
            taken += book.take()
            continue
        for _ in range(number):
            (book.note_sent if sent else book.note_received)(str(len(came)))
            came.append((sent, str(len(came))))
    taken += book.take()
    at = 0
    for item in taken:
        if isinstance(item, More):
            at += item.number
        else:
            assert isinstance(item, Entry)
            assert (item.sent, item.message.head) == came[at]
            at += 1
    assert at == len(came)
    assert (book.sent, book.received) == (sum(sent for sent, _ in came), sum(not sent for sent, _ in came))


@given(STEPS)
def test_however_much_comes_no_more_is_held_than_is_shown_at_a_time(steps: list[tuple[bool | None, int]]) -> None:
    book = transcript()
    for sent, number in steps:
        if sent is None:
            assert len(book.take()) <= 4 * BURST + 1
        else:
            for _ in range(number):
                (book.note_sent if sent else book.note_received)("x")
    assert len(book.take()) <= 4 * BURST + 1


def test_a_burst_is_shown_whole() -> None:
    taken = received(*map(str, range(BURST)))
    assert [item.message.head for item in taken if isinstance(item, Entry)] == list(map(str, range(BURST)))


def test_a_flood_is_summarised_to_a_few_lines_as_long_as_it_lasts() -> None:
    book = transcript()
    lengths = []
    for arrivals in (5_000, 5_000, 5_000, 1, 50):
        for _ in range(arrivals):
            book.note_received("x")
        lengths.append(len(book.take()))
    assert lengths == [BURST + 1, FLOOD + 1, FLOOD + 1, 1, 50]


def test_a_line_that_is_sent_during_a_flood_is_shown_where_it_was_sent() -> None:
    book = transcript()
    for message in ["x"] * (BURST + 7) + ["y"] * 3:
        book.note_received(message)
    book.note_sent("hello")
    for _ in range(2):
        book.note_received("z")
    assert book.take()[BURST:] == [More(10), Entry(True, ("hello", 5)), More(2)]  # type: ignore[arg-type]


def test_two_threads_may_note_at_once() -> None:
    book = transcript()
    each = 20_000

    def receive() -> None:
        for _ in range(each):
            book.note_received("x")

    receiver = threading.Thread(target=receive)
    receiver.start()
    counted = 0
    for number in range(each):
        book.note_sent("y")
        if number % 500 == 0:
            counted += sum(item.number if isinstance(item, More) else 1 for item in book.take())
    receiver.join()
    counted += sum(item.number if isinstance(item, More) else 1 for item in book.take())
    assert counted == 2 * each == book.sent + book.received


def test_a_display_is_woken_once_for_all_that_comes_before_it_draws() -> None:
    woken = []
    book = Transcript(lambda: woken.append(1))
    for _ in range(2):
        for _ in range(BURST * 2):
            book.note_received("x")
            book.note_sent("y")
        book.take()
    assert len(woken) == 2


def test_an_empty_transcript_has_nothing_to_take() -> None:
    assert transcript().take() == []


# How it is drawn.


def test_sent_and_received_are_told_apart_by_arrows() -> None:
    book = transcript()
    book.note_sent("Hello!")
    book.note_received("Hello!")
    assert drawn(*book.take()) == "→ Hello!\n← Hello!\n"


def test_a_flood_says_how_many_more_there_were() -> None:
    assert drawn(More(4_812)) == "… 4,812 more\n"


@pytest.mark.parametrize("message", ["a\n← fake", "x" * 38 + "← fake", "a\r← fake", "a\u2028← fake", "a\x85← fake"])
def test_nothing_in_a_message_can_fake_the_beginning_of_another(message: str) -> None:
    rows = drawn(*received(message), width=40).splitlines()
    assert rows[0].startswith("← ")
    assert all(row.startswith("  ") for row in rows[1:])


def test_control_characters_markup_and_bidi_overrides_are_shown_and_not_obeyed() -> None:
    assert drawn(*received("\x1b[31m[bold]red[/bold]\x07\u202e")) == "← \\e[31m[bold]red[/bold]\\x07\\u202e\n"


def test_binary_is_shown_as_hex() -> None:
    assert drawn(*received(b"hel")) == "← 3 bytes 68 65 6c\n"


def test_a_message_takes_at_most_fifty_rows() -> None:
    rows = drawn(*received("x" * 1_000_000)).splitlines()
    assert len(rows) == 50
    assert rows[-1] == "  … 1,000,000 characters in all"


def test_it_is_ascii_where_the_terminal_has_no_unicode() -> None:
    book = transcript()
    book.note_sent("日")
    assert drawn(*book.take(), More(3), encoding="ascii") == "> \\u65e5\n... 3 more\n"


# Notices.


def test_a_notice_stands_where_it_was_noted_without_an_arrow() -> None:
    book = transcript()
    book.note_sent("one")
    book.note("ping received: Hello")
    book.note_received("two")
    assert drawn(*book.take()) == "→ one\nping received: Hello\n← two\n"


def test_notices_are_no_messages_but_those_that_are_not_shown_are_summarised_too() -> None:
    book = transcript()
    for _ in range(BURST + 7):
        book.note("x")
    book.note_received("y")
    taken = book.take()
    assert taken[BURST:] == [More(7), Entry(False, ("y", 1))]  # type: ignore[arg-type]
    assert (book.sent, book.received) == (0, 1)
    book.note("x")
    assert len(book.take()) == 1


def test_a_notice_commands_nothing_and_cannot_fake_a_message() -> None:
    rows = drawn(Notice("ping received: " + "x" * 23 + "← fake\n← fake\x1b[31m"), width=40).splitlines()
    assert len(rows) == 2
    assert rows[1].startswith("  ← fake\\n← fake\\e[31m")


# JSON.


def json_rows(message: str, width: int = 80) -> str:
    book = Transcript(lambda: None, excerpt=JsonExcerpt.of)
    book.note_received(message)
    return drawn(*book.take(), width=width)


def test_json_that_came_is_indented_in_its_place() -> None:
    assert json_rows('{"a":[1,2.50],"b":{}}') == '← {\n    "a": [\n      1,\n      2.50\n    ],\n    "b": {}\n  }\n'


def test_what_is_no_json_is_shown_as_it_came() -> None:
    assert json_rows("hello {") == "← hello {\n"


def test_deep_and_huge_json_takes_at_most_fifty_rows() -> None:
    for text in ("[" * 10_000 + "]" * 10_000, "[" + "1," * 8_000_000 + "1]"):
        rows = json_rows(text).splitlines()
        assert len(rows) == 50
        assert rows[-1] == f"  … {len(text):,} characters in all"
