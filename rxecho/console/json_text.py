"""JSON as a text: whether all of it is there, where it goes wrong, and how it looks indented.

On a message's way this stands beside the text field and standard input, where JSON is awaited, and beside the
transcript and standard output, where it is shown. It is read token by token and never becomes values, so that numbers,
the order of keys, and keys that come twice stay as they are, and no depth is too deep.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["COLOURS", "NotJson", "Reader", "Token", "could_go_on", "in_a_row", "indented", "laid_out"]

LONGEST: Final = 2**20
"""Characters that are indented at once: more would hold up whoever waits for it."""
DEEPEST: Final = 100
"""Levels that are: what is deeper would be blanks for the most part."""

COLOURS: Final = {"key": 4, "string": 2, "number": 6, "constant": 5}
"""The terminal's colours of the kinds of token; punctuation, of the kind `""`, has none."""

_TOKEN: Final = re.compile(
    r"[ \t\n\r]*+(?:"
    r'(?P<string>"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+")'
    r"|(?P<punctuation>[][{},:])"
    r"|(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?)"
    r"|(?P<constant>true|false|null))"
)
_BLANKS: Final = re.compile(r"[ \t\n\r]*+")
_BEGUN: Final = re.compile(r'(?:"(?:[^"\\\x00-\x1f]++|\\.)*+\\?|[-+.\w]+)\Z')

# What may come next, in words. All of RFC 8259's grammar, but for the tokens:
_VALUE, _FIRST_ITEM, _AFTER_ITEM = "a value", "a value or ']'", "',' or ']'"
_KEY, _FIRST_KEY, _COLON, _AFTER_MEMBER = "a key in quotes", "a key in quotes or '}'", "':'", "',' or '}'"
_END = "the end"

# ... and what then. Where a value has ended, it depends on what that value is in.
_ENDED: Final = ""
_OF_VALUE = {'"': _ENDED, "0": _ENDED, "[": _FIRST_ITEM, "{": _FIRST_KEY}
_GRAMMAR: Final = {
    _VALUE: _OF_VALUE,
    _FIRST_ITEM: {**_OF_VALUE, "]": _ENDED},
    _AFTER_ITEM: {",": _VALUE, "]": _ENDED},
    _KEY: {'"': _COLON},
    _FIRST_KEY: {'"': _COLON, "}": _ENDED},
    _COLON: {":": _VALUE},
    _AFTER_MEMBER: {",": _KEY, "}": _ENDED},
    _END: {},
}


class NotJson(ValueError):
    """A text is not JSON; the error says what was expected instead.

    Attributes:
        at: Where, an index into the text.
    """

    def __init__(self, what: str, at: int) -> None:
        super().__init__(what)
        self.at = at


class Token(NamedTuple):
    """A piece of JSON as it was written, without the blanks around it.

    Attributes:
        kind: `"key"`, `"string"`, `"number"` or `"constant"`, and `""` for punctuation.
        text: As it was written.
    """

    kind: str
    text: str


class Reader:
    """Reads one JSON value, in as many pieces as it comes in; no token is in two of them.

    >>> reader = Reader()
    >>> [token.text for token in reader.read('{"price":')], reader.is_whole
    (['{', '"price"', ':'], False)
    >>> [token.text for token in reader.read(' 1.10}')], reader.is_whole
    (['1.10', '}'], True)
    """

    def __init__(self) -> None:
        self._expected = _VALUE
        # Innermost last: what is expected when the value that is being read has ended.
        self._after = [_END]

    @property
    def is_whole(self) -> bool:
        """Whether all of the value has been read."""
        return self._expected is _END

    @property
    def depth(self) -> int:
        """Arrays and objects that are open."""
        return len(self._after) - 1

    def read(self, text: str) -> Iterator[Token]:
        """The tokens of the next piece.

        Raises:
            NotJson: When it comes to what cannot be.
        """
        at = 0
        while match := _TOKEN.match(text, at):
            kind = match.lastgroup or ""
            token = match[kind]
            sign = token if kind == "punctuation" else '"' if kind == "string" else "0"
            if sign not in _GRAMMAR[self._expected]:
                raise NotJson(f"expected {self._expected}", match.start(kind))
            if self._expected in (_KEY, _FIRST_KEY) and kind == "string":
                kind = "key"
            if sign == "[":
                self._after.append(_AFTER_ITEM)
            elif sign == "{":
                self._after.append(_AFTER_MEMBER)
            elif sign in ("]", "}"):
                self._after.pop()
            self._expected = _GRAMMAR[self._expected][sign] or self._after[-1]
            at = match.end()
            yield Token("" if kind == "punctuation" else kind, token)
        at = _BLANKS.match(text, at).end()  # type: ignore[union-attr]  # of blanks there may be none
        if at < len(text):
            what = "a string without control characters, that ends" if text[at] == '"' else self._expected
            raise NotJson(f"expected {what}", at)

    def skim(self, text: str) -> None:
        """Read the next piece only to know that it is right.

        Raises:
            NotJson: It is not.
        """
        deque(self.read(text), maxlen=0)


def could_go_on(text: str) -> bool:
    """Whether this may be the beginning of a token that was cut off."""
    return _BEGUN.match(text) is not None


def laid_out(tokens: Iterable[Token]) -> Iterator[Token]:
    """The tokens with line breaks and blanks between them, each item and each member on a line of its own."""
    depth = 0
    before = ""
    for token in tokens:
        text = token.text
        opened, closes = before in ("[", "{"), text in ("]", "}")
        depth += opened - closes
        if opened != closes or before == ",":
            yield Token("", "\n" + "  " * depth)
        yield Token("", ": ") if text == ":" else token
        before = text


def in_a_row(tokens: Iterable[Token]) -> Iterator[Token]:
    """The tokens with blanks between them, on one line."""
    for token in tokens:
        yield token
        if token.text in (":", ","):
            yield Token("", " ")


def indented(text: str, draw: Callable[[Token], str] = lambda token: token.text) -> str | None:
    """JSON on several lines, each token as `draw` has it; `None` where it is not JSON, too long or too deep.

    >>> print(indented('{"price": 1.10, "sizes": [1, 2], "none": {}}'))
    {
      "price": 1.10,
      "sizes": [
        1,
        2
      ],
      "none": {}
    }
    """
    if len(text) > LONGEST:
        return None
    reader = Reader()
    drawn = []
    try:
        for token in laid_out(reader.read(text)):
            if reader.depth > DEEPEST:
                return None
            drawn.append(draw(token))
    except NotJson:
        return None
    return "".join(drawn) if reader.is_whole else None
