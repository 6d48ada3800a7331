"""The text field, key by key: a pure fold, so there is neither a terminal nor time in here."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys
from reactivex import operators as ops
from reactivex.testing import ReactiveTest, TestScheduler

from rxecho.console.lines import as_hex, as_json
from rxecho.console.textfield import HISTORY, TextField, press

on_next = ReactiveTest.on_next


def pasted(text: str) -> KeyPress:
    return KeyPress(Keys.BracketedPaste, text)


def typed(*keys: str, into: TextField | None = None) -> TextField:
    """The field after these keys; a string of several characters is typed one by one."""
    presses = [KeyPress(key) for part in keys for key in ([part] if isinstance(part, Keys) else part)]
    return reduce(press, presses, into or TextField())


def sent(*lines: str) -> TextField:
    """A field from which these lines were sent."""
    return typed(*(part for line in lines for part in (line, Keys.Enter)))


# Editing.


@st.composite
def editing(draw: st.DrawFn) -> tuple[list[KeyPress], str, int]:
    """Keys, and what a list of characters edited the plain way makes of them."""
    text, cursor, keys = "", 0, []
    for key in draw(st.lists(st.sampled_from([*"ab 日", *_PLAIN]), max_size=40)):
        keys.append(KeyPress(key))
        text, cursor = _PLAIN[key](text, cursor) if key in _PLAIN else (text[:cursor] + key + text[cursor:], cursor + 1)
    return keys, text, cursor


def _word_start(text: str, cursor: int) -> int:
    while cursor and text[cursor - 1] == " ":
        cursor -= 1
    while cursor and text[cursor - 1] != " ":
        cursor -= 1
    return cursor


def _word_end(text: str, cursor: int) -> int:
    while cursor < len(text) and text[cursor] == " ":
        cursor += 1
    while cursor < len(text) and text[cursor] != " ":
        cursor += 1
    return cursor


_PLAIN: dict[str, Callable[[str, int], tuple[str, int]]] = {
    Keys.Left: lambda text, cursor: (text, max(cursor - 1, 0)),
    Keys.Right: lambda text, cursor: (text, min(cursor + 1, len(text))),
    Keys.Home: lambda text, cursor: (text, 0),
    Keys.ControlA: lambda text, cursor: (text, 0),
    Keys.End: lambda text, cursor: (text, len(text)),
    Keys.ControlE: lambda text, cursor: (text, len(text)),
    Keys.ControlLeft: lambda text, cursor: (text, _word_start(text, cursor)),
    Keys.ControlRight: lambda text, cursor: (text, _word_end(text, cursor)),
    Keys.Backspace: lambda text, cursor: (text[: max(cursor - 1, 0)] + text[cursor:], max(cursor - 1, 0)),
    Keys.Delete: lambda text, cursor: (text[:cursor] + text[cursor + 1 :], cursor),
    Keys.ControlU: lambda text, cursor: (text[cursor:], 0),
    Keys.ControlK: lambda text, cursor: (text[:cursor], cursor),
    Keys.ControlW: lambda text, cursor: (
        text[: _word_start(text, cursor)] + text[cursor:],
        _word_start(text, cursor),
    ),
    Keys.ControlDelete: lambda text, cursor: (text[:cursor] + text[_word_end(text, cursor) :], cursor),
}


@given(editing())
def test_keys_edit_as_they_do_in_every_line_editor(edited: tuple[list[KeyPress], str, int]) -> None:
    keys, text, cursor = edited
    field = reduce(press, keys, TextField())
    assert (field.text, field.cursor) == (text, cursor)


def test_ctrl_d_deletes_in_a_field_that_is_not_empty() -> None:
    field = typed("abc", Keys.Home, Keys.ControlD)
    assert (field.text, field.done) == ("bc", False)


def test_left_right_backspace_and_delete_treat_what_is_seen_as_one_character_as_one() -> None:
    family = "👩‍👩‍👧"
    assert typed("a" + family, Keys.Left).cursor == 1
    assert typed("a" + family, Keys.Left, Keys.Right).cursor == 1 + len(family)
    assert typed("a" + family, Keys.Backspace).text == "a"
    assert typed(family + "b", Keys.Home, Keys.Delete).text == "b"


def test_ctrl_w_deletes_to_the_space_and_ctrl_left_stops_at_punctuation() -> None:
    assert typed("send a,b", Keys.ControlW).text == "send "
    assert typed("send a,b", Keys.ControlLeft).cursor == len("send a,")


def test_words_are_words_in_every_script() -> None:
    assert typed("größe øst", Keys.ControlLeft, Keys.ControlLeft).cursor == 0


@pytest.mark.parametrize("key", [Keys.F5, Keys.Escape, Keys.ControlT, Keys.PageUp, Keys.Tab, Keys.Insert])
def test_an_unknown_key_does_nothing(key: Keys) -> None:
    field = typed("abc")
    assert press(field, KeyPress(key)) == field


# Sending.


def test_enter_sends_the_text_and_clears_the_field() -> None:
    field = typed("Hello!", Keys.Left, Keys.Enter)
    assert (field.submitted, field.text, field.cursor) == ("Hello!", "", 0)


def test_an_empty_field_sends_nothing() -> None:
    assert typed(Keys.Enter) == TextField()


def test_blanks_are_text() -> None:
    assert typed("  ", Keys.Enter).submitted == "  "


def test_a_line_is_sent_once() -> None:
    assert typed("a", into=sent("x")).submitted == ""


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n"])
def test_a_paste_arrives_whole_with_its_line_breaks_kept(line_break: str) -> None:
    field = press(typed("<>", Keys.Left), pasted(line_break.join(["one", "", "two"])))
    assert field.text == "<one\n\ntwo>"
    assert field.cursor == len("<one\n\ntwo")
    assert typed(Keys.Enter, into=field).submitted == "<one\n\ntwo>"


def test_what_the_terminals_encoding_could_not_decode_is_marked_because_utf8_cannot_carry_it() -> None:
    assert typed("a\udcffb").text == "a\ufffdb"
    assert press(TextField(), pasted("\udcff\ud83d\ude00")).text == "\ufffd😀"


# What may be sent.


def json_field() -> TextField:
    return TextField(read=as_json)


def test_what_is_unfinished_goes_on_behind_a_line_break_until_it_is_whole() -> None:
    field = typed("[1,", Keys.Left, Keys.Enter, "2", Keys.Enter, into=json_field())
    assert (field.text, field.submitted, field.mistake) == ("[1,\n2\n", "", "")
    assert typed("]", Keys.Enter, into=field).submitted == "[1,\n2\n]"


def test_a_mistake_stays_in_the_field_and_is_told_once() -> None:
    field = typed("{1}", Keys.Left, Keys.Enter, into=json_field())
    assert (field.text, field.cursor, field.submitted, field.history) == ("{1}", 2, "", ())
    assert "line 1, column 2" in field.mistake
    assert typed("x", into=field).mistake == ""


def test_what_was_right_is_recalled_as_it_was_typed_and_the_next_line_is_judged_as_well() -> None:
    field = typed("00 ff", Keys.Enter, into=TextField(read=as_hex))
    assert (field.submitted, field.history) == (b"\x00\xff", ("00 ff",))
    assert typed("x", Keys.Enter, into=field).mistake


# History.


def test_up_and_down_recall_what_was_sent() -> None:
    field = sent("one", "two")
    shown = []
    for key in (Keys.Up, Keys.Up, Keys.Up, Keys.Down, Keys.Down, Keys.Down):
        field = typed(key, into=field)
        shown.append(field.text)
    assert shown == ["two", "one", "one", "two", "", ""]


def test_the_draft_is_there_when_coming_back_from_the_history() -> None:
    field = typed("draft", Keys.Up, Keys.Up, "!", Keys.Down, Keys.Down, into=sent("one", "two"))
    assert (field.text, field.cursor) == ("draft", 5)


def test_a_recalled_line_is_ready_to_be_continued() -> None:
    assert typed(Keys.Up, "!", Keys.Enter, into=sent("one")).submitted == "one!"


def test_a_line_that_is_sent_again_and_again_is_recalled_once() -> None:
    assert sent("one", "two", "two", "two").history == ("one", "two")
    assert sent("one", "two", "one").history == ("one", "two", "one")


def test_the_history_does_not_grow_for_ever() -> None:
    lines = [str(number) for number in range(HISTORY + 5)]
    assert sent(*lines).history == tuple(lines[5:])


def test_recalling_starts_at_the_latest_after_each_line() -> None:
    assert typed(Keys.Up, Keys.Up, Keys.Enter, Keys.Up, into=sent("one", "two")).text == "one"


# Ending.


def test_ctrl_c_asks_for_the_end() -> None:
    assert typed("abc", Keys.ControlC).done
    assert not typed("abc", Keys.ControlC, "d").done


def test_ctrl_d_asks_for_the_end_in_an_empty_field() -> None:
    assert typed(Keys.ControlD).done


def test_as_a_fold_over_a_stream_of_keys_it_emits_each_state() -> None:
    scheduler = TestScheduler()
    keys = scheduler.create_hot_observable(
        on_next(210, KeyPress("H")), on_next(220, KeyPress("i")), on_next(230, KeyPress(Keys.Enter))
    )
    result = scheduler.start(lambda: keys.pipe(ops.scan(press, TextField())))
    assert result.messages == [
        on_next(210, TextField("H", 1)),
        on_next(220, TextField("Hi", 2)),
        on_next(230, TextField(history=("Hi",), submitted="Hi")),
    ]
