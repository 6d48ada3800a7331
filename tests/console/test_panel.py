"""The panel: what it shows, and that it stays readable in any width."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from rxecho.connection import ChannelState
from rxecho.console.panel import ConsolePanel, Latest, prompt
from rxecho.console.textfield import TextField
from rxecho.console.transcript import Transcript
from rxecho.errors import ConnectionLost
from rxecho.snapshot import AsyncSnapshot, ConnectionState

URL = "ws://127.0.0.1:41233/"


def console(width: int = 66, height: int = 24, encoding: str = "utf-8") -> Console:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(file=file, force_terminal=True, color_system=None, width=width, height=height, legacy_windows=False)


def rows(renderable: Any, **options: Any) -> list[str]:
    terminal = console(**options)
    with terminal.capture() as capture:
        terminal.print(renderable)
    return capture.get().splitlines()


def snapshot(data: str | bytes | None) -> Latest:
    return Latest(AsyncSnapshot(ConnectionState.ACTIVE, data))


def panel(url: str = URL, *, verified: bool = True, **attributes: Any) -> ConsolePanel:
    transcript = Transcript(lambda: None)
    transcript.note_sent("Hello!")
    transcript.note_received("Hello!")
    drawn = ConsolePanel(transcript, url=url, verified=verified)
    drawn.state = ChannelState.OPEN
    drawn.latest = snapshot("Hello!")
    drawn.round_trip = 0.0003
    for name, value in attributes.items():
        setattr(drawn, name, value)
    return drawn


def test_it_is_the_picture_in_the_design() -> None:
    assert rows(panel(field=TextField("How are y", 9))) == [
        "╭─ WebSocket Demo ───────────────────────────────────────────────╮",
        "│ Send a message                                                 │",
        "│ ❯ How are y                                                    │",  # noqa: RUF001
        "│                                                                │",
        "│ Hello!                                                         │",
        "│                                                                │",
        "│ ● open  ws://127.0.0.1:41233/            ↑ 1  ↓ 1   rtt 0.3 ms │",
        "╰─ Enter send · ↑↓ history · Ctrl+T marbles · Ctrl+C close ──────╯",
    ]


@pytest.mark.parametrize("width", [80, 66, 40, 30, 20])
def test_it_stays_readable_in_narrow_terminals(width: int) -> None:
    drawn = rows(panel(field=TextField("How are y", 9)), width=width)
    text = "\n".join(drawn)
    assert all(cell_len(row) == width for row in drawn)
    for part in ("WebSocket Demo", "Send a message", "❯ How are y", "Hello!", "● open", "↑ 1  ↓ 1", "Ctrl+C close"):  # noqa: RUF001
        assert part in text


@given(st.integers(1, 12), st.integers(1, 30), st.text(max_size=30))
def test_no_terminal_is_too_small_to_draw_on(width: int, height: int, text: str) -> None:
    drawn = rows(panel(field=TextField(text, len(text)), latest=snapshot(text)), width=width, height=height)
    assert all(cell_len(row) <= width for row in drawn)


def test_a_low_terminal_gets_a_low_panel() -> None:
    long = snapshot("x" * 1_000)
    assert len(rows(panel(latest=long), height=24)) == 10
    assert len(rows(panel(latest=long), height=10)) == 6


def test_it_is_ascii_where_the_terminal_has_no_unicode() -> None:
    drawn = rows(panel(field=TextField("日\n", 2), latest=snapshot("日" * 500)), encoding="ascii", width=80)
    assert "\n".join(drawn).isascii()
    assert drawn[0].startswith("+- WebSocket Demo -")
    assert "> \\u65e5\\n" in drawn[2]
    assert "* open" in drawn[-2]


# The status line.


@pytest.mark.parametrize("state", ChannelState)
def test_the_status_line_says_the_state(state: ChannelState) -> None:
    assert f"● {state.name.lower()}  ws://" in "\n".join(rows(panel(state=state)))


def test_before_the_first_ping_there_is_no_round_trip() -> None:
    assert "rtt" not in "\n".join(rows(panel(round_trip=None)))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.000_04, "0.0 ms"), (0.0003, "0.3 ms"), (0.0123, "12 ms"), (0.9994, "999 ms"), (1.25, "1.2 s")],
)
def test_the_round_trip_is_shown_in_the_unit_that_suits_it(seconds: float, shown: str) -> None:
    assert f"rtt {shown} │" in "\n".join(rows(panel(round_trip=seconds)))


def test_a_long_url_is_shortened_in_the_middle() -> None:
    url = "ws://127.0.0.1:41233/" + "x" * 100 + "/end"
    status = rows(panel(url), width=80)[-2]
    assert "ws://127.0.0.1:41" in status
    assert "…" in status
    assert "xxx/end  " in status


def test_the_password_in_a_url_is_not_shown() -> None:
    text = "\n".join(rows(panel("wss://me:s3cret@example.org/"), width=100))
    assert "s3cret" not in text
    assert "wss://me:***@example.org/" in text


@pytest.mark.parametrize("width", [80, 40, 20])
def test_it_says_so_when_tls_is_not_verified(width: int) -> None:
    text = " ".join(row.strip("│ ") for row in rows(panel("wss://example.org/", verified=False), width=width))
    assert "TLS not verified" in text
    assert "not verified" not in "\n".join(rows(panel(), width=width))


def test_control_characters_in_the_url_are_shown_and_not_obeyed() -> None:
    assert "ws://h/\\x9b" in "\n".join(rows(panel("ws://h/\x9b"), width=80))


# The latest value.


def test_before_the_first_message_it_says_that_there_is_none() -> None:
    assert rows(snapshot(None)) == ["no message yet"]


def test_an_empty_message_is_not_none() -> None:
    assert rows(snapshot("")) == [""]


def test_control_characters_markup_and_bidi_overrides_are_shown_and_not_obeyed() -> None:
    assert rows(snapshot("\x1b[31m[bold]red[/bold]\x07\u202e")) == ["\\e[31m[bold]red[/bold]\\x07\\u202e"]


def test_a_long_message_is_cut_to_a_few_rows_with_a_note_of_its_size() -> None:
    assert rows(snapshot("x" * 1_000_000), width=40) == ["x" * 40, "x" * 40, "… 1,000,000 characters in all"]


def test_binary_is_shown_as_hex() -> None:
    assert rows(snapshot(b"hel")) == ["3 bytes 68 65 6c"]


def test_a_failed_stream_says_why() -> None:
    failed: AsyncSnapshot[str | bytes] = AsyncSnapshot.with_error(ConnectionState.DONE, ConnectionLost("gone\x1b"))
    assert rows(Latest(failed)) == ["gone\\e"]


def test_a_failed_pipe_says_which_error_it_was() -> None:
    failed: AsyncSnapshot[str | bytes] = AsyncSnapshot.with_error(ConnectionState.DONE, ValueError("no number\x1b"))
    assert rows(Latest(failed)) == ["ValueError: no number\\e"]


# The text field.


def drawn_prompt(text: str, cursor: int, width: int) -> Text:
    return prompt(TextField(text, cursor), console(width=width).options)


def cursor_of(drawn: Text) -> str:
    (block,) = [span for span in drawn.spans if span.style == "reverse"]
    return drawn.plain[block.start : block.end]


@given(st.lists(st.sampled_from([*"ab 日\n\x1b", "e\u0301", "👩‍👩‍👧"]), max_size=60), st.integers(6, 60), st.data())
def test_the_cursor_is_always_in_sight(characters: list[str], width: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(characters)))
    text, cursor = "".join(characters), len("".join(characters[:at]))
    drawn = drawn_prompt(text, cursor, width)
    shown = characters[at] if at < len(characters) else " "
    assert cursor_of(drawn) == {"\n": "↵", "\x1b": "\\e"}.get(shown, shown)
    assert drawn.cell_len <= width


@given(st.text("ab日", max_size=20), st.data())
def test_a_text_that_has_room_is_shown_whole(text: str, data: st.DataObject) -> None:
    cursor = data.draw(st.integers(0, len(text)))
    assert drawn_prompt(text, cursor, 43).plain.removesuffix(" ") == f"❯ {text}"  # noqa: RUF001


def test_a_long_text_scrolls_with_the_cursor() -> None:
    text = "".join(map(str, range(100)))
    assert drawn_prompt(text, len(text), 20).plain == "❯ " + text[-17:] + " "  # noqa: RUF001
    assert drawn_prompt(text, 0, 20).plain == "❯ " + text[:18]  # noqa: RUF001
    assert text[45:55] in drawn_prompt(text, 50, 20).plain


def test_line_breaks_in_the_field_are_symbols_on_its_one_row() -> None:
    assert drawn_prompt("one\ntwo", 7, 40).plain == "❯ one↵two "  # noqa: RUF001


def test_a_megabyte_in_the_field_is_drawn_from_what_is_around_the_cursor() -> None:
    text = "日" * 1_000_000
    assert drawn_prompt(text, 500_000, 40).plain.startswith("❯ 日日")  # noqa: RUF001
