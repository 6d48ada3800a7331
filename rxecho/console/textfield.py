"""The text field as a pure fold over keys: on a message's way, between the keyboard and the `Subject` of lines.

It draws nothing and knows no terminal: `keys.pipe(ops.scan(press, TextField()))` is the stream of its states.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prompt_toolkit.keys import Keys

from rxecho.console.graphemes import next_grapheme, previous_grapheme
from rxecho.console.lines import Mistake, Unfinished

if TYPE_CHECKING:
    from collections.abc import Callable

    from prompt_toolkit.key_binding import KeyPress

__all__ = ["TextField", "press"]

HISTORY = 200
"""Lines that can be recalled."""


@dataclass(frozen=True, slots=True)
class TextField:
    """The field after a key. Flutter's `TextEditingValue`, with what was sent from it before.

    Attributes:
        text: What has been entered, the line breaks of a paste included.
        cursor: Where the next character goes, an index into `text`.
        history: What has been sent, the oldest first.
        recalled: How many lines back in the history the field is; 0 is the draft.
        draft: What was being written when recalling began.
        submitted: What this key sent, as `read` understands it; `""` after any other key.
        mistake: Why this key did not send what is in the field; `""` after any other key.
        done: Whether this key was Ctrl+C, or Ctrl+D in an empty field.
        read: What the text says, when Enter is pressed. Where it raises `Mistake` the text stays, and where it raises
            `Unfinished` a line break is added to it.
    """

    text: str = ""
    cursor: int = 0
    history: tuple[str, ...] = ()
    recalled: int = 0
    draft: str = ""
    submitted: object = ""
    mistake: str = ""
    done: bool = False
    read: Callable[[str], object] = str


def press(field: TextField, key: KeyPress) -> TextField:
    """The field after a key. A key without a meaning changes nothing.

    >>> from functools import reduce
    >>> from prompt_toolkit.key_binding import KeyPress
    >>> from prompt_toolkit.keys import Keys
    >>> reduce(press, map(KeyPress, ["H", "i", Keys.Enter]), TextField()).submitted
    'Hi'
    """
    field = replace(field, submitted="", mistake="", done=False)
    if key.key == Keys.BracketedPaste:
        return _insert(field, key.data.replace("\r\n", "\n").replace("\r", "\n"))
    if isinstance(key.key, Keys):
        edit = _EDITS.get(key.key)
        return edit(field) if edit else field
    return _insert(field, key.key)


def _insert(field: TextField, text: str) -> TextField:
    # Bytes that the terminal's encoding does not have came as lone surrogates, which UTF-8 cannot carry.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _replace(field, field.cursor, field.cursor, text)


def _replace(field: TextField, start: int, end: int, text: str) -> TextField:
    return replace(field, text=field.text[:start] + text + field.text[end:], cursor=start + len(text))


# Places in the field, as seen from its cursor.


def _start(_: TextField) -> int:
    return 0


def _end(field: TextField) -> int:
    return len(field.text)


def _left(field: TextField) -> int:
    return previous_grapheme(field.text, field.cursor)


def _right(field: TextField) -> int:
    return next_grapheme(field.text, field.cursor)


_WORD = re.compile(r"\W*\w*")
_UNTIL_SPACE = re.compile(r"\s*\S*")


def _word_left(field: TextField, word: re.Pattern[str] = _WORD) -> int:
    # Read backwards, where the word is what comes first: searching for its start would be quadratic.
    return len(word.sub("", field.text[: field.cursor][::-1], count=1))


def _word_right(field: TextField) -> int:
    return len(field.text) - len(_WORD.sub("", field.text[field.cursor :], count=1))


def _space_left(field: TextField) -> int:
    return _word_left(field, _UNTIL_SPACE)


# What a key does.


def _go(place: Callable[[TextField], int]) -> Callable[[TextField], TextField]:
    return lambda field: replace(field, cursor=place(field))


def _delete_to(place: Callable[[TextField], int]) -> Callable[[TextField], TextField]:
    def delete(field: TextField) -> TextField:
        start, end = sorted((field.cursor, place(field)))
        return _replace(field, start, end, "")

    return delete


def _recall(step: int) -> Callable[[TextField], TextField]:
    def recall(field: TextField) -> TextField:
        recalled = min(max(field.recalled + step, 0), len(field.history))
        if recalled == field.recalled:
            return field
        draft = field.draft if field.recalled else field.text
        text = field.history[-recalled] if recalled else draft
        return replace(field, text=text, cursor=len(text), recalled=recalled, draft=draft)

    return recall


def _send(field: TextField) -> TextField:
    if not field.text:
        return field
    try:
        submitted = field.read(field.text)
    except Unfinished:
        return _insert(replace(field, cursor=len(field.text)), "\n")
    except Mistake as mistake:
        return replace(field, mistake=str(mistake))
    repeated = field.history[-1:] == (field.text,)
    history = field.history if repeated else (*field.history, field.text)[-HISTORY:]
    return TextField(history=history, submitted=submitted, read=field.read)


def _finish(field: TextField) -> TextField:
    return replace(field, done=True)


def _delete_or_finish(field: TextField) -> TextField:
    return _delete_to(_right)(field) if field.text else _finish(field)


_EDITS: dict[Keys, Callable[[TextField], TextField]] = {
    Keys.Enter: _send,
    Keys.ControlJ: _send,
    Keys.Left: _go(_left),
    Keys.Right: _go(_right),
    Keys.Home: _go(_start),
    Keys.End: _go(_end),
    Keys.ControlA: _go(_start),
    Keys.ControlE: _go(_end),
    Keys.ControlLeft: _go(_word_left),
    Keys.ControlRight: _go(_word_right),
    Keys.Backspace: _delete_to(_left),
    Keys.Delete: _delete_to(_right),
    Keys.ControlU: _delete_to(_start),
    Keys.ControlK: _delete_to(_end),
    Keys.ControlW: _delete_to(_space_left),
    Keys.ControlDelete: _delete_to(_word_right),
    Keys.Up: _recall(+1),
    Keys.Down: _recall(-1),
    Keys.ControlC: _finish,
    Keys.ControlD: _delete_or_finish,
}
