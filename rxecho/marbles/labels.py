"""What is written on a marble, and its colour.

On the way from a timeline to a drawing a value becomes a short text that commands nothing, and the same text has the
same colour on every lane, so that the eye can follow a marble down.
"""

from __future__ import annotations

from reprlib import Repr
from typing import Final

from reactivex import GroupedObservable, Observable
from rich.cells import cell_len, chop_cells

from rxecho.printable import printable

__all__ = ["COLOURS", "Palette", "full", "label", "same", "says_something", "shortened"]

COLOURS: Final = (
    "#067eb9",
    "#b26306",
    "#018a3e",
    "#cc29c6",
    "#ed1300",
    "#068676",
    "#9b48fb",
    "#6c8005",
    "#e7007b",
    "#4c67ff",
    "#927302",
    "#058394",
)
"""Twelve hues of one luminance: 4.5 to 1 against white, and as much against black."""

LONGEST_LABEL: Final = 100
"""Characters of a value that are looked at for its label."""
LONGEST_VALUE: Final = 10_000
"""Characters of a value that a drawing holds in full."""

_brief = Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = LONGEST_LABEL
_brief.maxlist = _brief.maxtuple = _brief.maxdict = _brief.maxset = _brief.maxfrozenset = 20
_brief.maxlevel = 4


def label(value: object) -> str:
    r"""What is written on a value's marble, on one line: text as it is, anything else as Python writes it.

    >>> label("two\nlines"), label([1, 2]), label(b"\x00\xff"), label(ValueError("no"))
    ('two\\nlines', '[1, 2]', '00 ff', 'ValueError: no')
    """
    if isinstance(value, str):
        text = value[:LONGEST_LABEL] + "…" * (len(value) > LONGEST_LABEL)
    elif isinstance(value, bytes):
        text = value[:LONGEST_LABEL].hex(" ") + "…" * (len(value) > LONGEST_LABEL)
    elif isinstance(value, GroupedObservable):
        return label(value.key)
    elif isinstance(value, Observable):
        return "○"
    elif isinstance(value, BaseException):
        text = f"{type(value).__name__}: {_said(value)}"[:LONGEST_LABEL].removesuffix(": ")
    else:
        try:
            text = _brief.repr(value) if type(value).__repr__ is not object.__repr__ else _named(value)
        except Exception:  # noqa: BLE001 - an int of too many digits, a class that is called as one of Python's
            text = full(value)[:LONGEST_LABEL]
    text = printable(text)
    if text and not cell_len(text[0]):  # nobody would see it, or it would be seen on what is in front of the marble
        text = text[0].encode("ascii", "backslashreplace").decode() + text[1:]
    return text or "''"


def full(value: object) -> str:
    """A value as Python writes it; past 10,000 characters, its beginning and how long it is."""
    if isinstance(value, str | bytes) and len(value) > LONGEST_VALUE:
        unit = "characters" if isinstance(value, str) else "bytes"
        return f"{printable(repr(value[:LONGEST_VALUE]))}… ({len(value):,} {unit} in all)"
    if isinstance(value, Observable):
        return f"an observable, {label(value)}"
    try:
        text = repr(value) if type(value).__repr__ is not object.__repr__ else _named(value)
    except Exception as error:  # noqa: BLE001 - somebody else's __repr__
        text = f"<a {type(value).__name__} whose repr raised {type(error).__name__}>"
    return printable(text[:LONGEST_VALUE]) + "…" * (len(text) > LONGEST_VALUE)


def _named(value: object) -> str:
    """What has no `repr` of its own, without its address, which is another one each time."""
    kind = type(value)
    return str(value) if kind.__str__ is not object.__str__ else f"<{kind.__name__}>"


def shortened(text: str, cells: int, ellipsis: str = "…") -> str:
    """As much of `text` as so many cells have room for, and a sign where that is not all."""
    if cell_len(text) <= cells:
        return text
    room = cells - cell_len(ellipsis)
    return (chop_cells(text, room)[0] if room > 0 else "") + ellipsis if room >= 0 else ""


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001 - somebody else's __str__
        return f"<its str raised {type(fault).__name__}>"


def says_something(error: object) -> bool:
    """Whether an error is worth its room: the one that `#` stands for, unless told otherwise, says nothing."""
    return not (type(error) is Exception and _said(error) == "error")


def same(one: object, other: object) -> bool:
    """Whether two values, or two errors, are taken for equal: errors are when they are of one type and say the same."""
    if isinstance(one, BaseException) and isinstance(other, BaseException):
        return type(one) is type(other) and _said(one) == _said(other)
    try:
        return one is other or bool(one == other)
    except Exception:  # noqa: BLE001 - somebody else's __eq__, such as an array's
        return False


class Palette:
    """Which colour a label has: the next one for each that is new.

    >>> palette = Palette()
    >>> palette("a") == palette("a") != palette("b")
    True
    """

    _LARGEST = 10_000

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, label: str) -> str:
        """The colour of a label, as `#rrggbb`."""
        if len(self._numbers) > self._LARGEST:
            self._numbers.clear()
        return COLOURS[self._numbers.setdefault(label, len(self._numbers)) % len(COLOURS)]
