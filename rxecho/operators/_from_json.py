"""The `from_json` operator: messages, decoded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar, overload

from rxecho.operators._excerpt import excerpt
from rxecho.operators._json_error import JsonError, converted
from rxecho.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactivex import Observable

    from rxecho.operators._json_error import Bad

__all__ = ["from_json", "json_decoder"]

_T = TypeVar("_T")


@overload
def from_json(type: type[_T], *, bad: Bad = "raise") -> Callable[[Observable[str | bytes]], Observable[_T]]: ...
@overload
def from_json(type: Any = Any, *, bad: Bad = "raise") -> Callable[[Observable[str | bytes]], Observable[Any]]: ...
def from_json(type: Any = Any, *, bad: Bad = "raise") -> Callable[[Observable[str | bytes]], Observable[Any]]:  # noqa: A002 - as msgspec calls it
    """Decode each message from JSON, text or binary alike: RFC 8259, to the letter.

    So `NaN`, a number beyond a float's range, a byte order mark, a lone surrogate, what is not UTF-8 and what is
    nested some thousand levels deep are bad messages. Of a key that comes twice the last counts.

    Example:
        >>> from rxecho.marbles import diagram
        >>> messages = {"a": '{"price": 7}', "b": '{"price": ', "c": '{"price": 8}'}
        >>> print(diagram(from_json(bad="skip"), "-a--b--c-|", lookup=messages))
        -a--b--c-|
        [ from_json(bad="skip") ]
        -d-----e-|
        a = '{"price": 7}'
        b = '{"price": '
        c = '{"price": 8}'
        d = {'price': 7}
        e = {'price': 8}
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Quote:
        ...     price: float
        >>> import reactivex
        >>> bad = reactivex.Subject()
        >>> subscription = bad.subscribe(print)
        >>> reactivex.of('{"price": 7}', '{"price": "much"}').pipe(from_json(Quote, bad=bad)).run()
        could not decode {"price": "much"}: Expected `float`, got `str` - at `$.price`
        Quote(price=7.0)

    Args:
        type: What to decode into: a dataclass, a `TypedDict`, a `msgspec.Struct`, a union, whatever msgspec knows.
            Without one, objects become dictionaries.
        bad: What becomes of a message that is not JSON, or is not of that type: `"raise"` ends the stream with a
            `JsonError`, `"skip"` leaves it out, and an observer, such as a `Subject`, is handed the `JsonError`.

    Raises:
        TypeError: msgspec does not know the type.
        ValueError: `bad` is none of these.
    """
    return converted(json_decoder(type), bad)


def json_decoder(type: Any = Any) -> Callable[[str | bytes], Any]:  # noqa: A002 - as above
    """A function that decodes a message, or raises a `JsonError`."""
    import msgspec  # only who decodes JSON has to wait for it

    decode: Callable[[str | bytes], Any] = msgspec.json.Decoder(type).decode

    def decode_message(message: str | bytes) -> Any:
        try:
            return decode(message)
        except (ValueError, TypeError, RecursionError) as error:
            raise _undecodable(message, error) from error

    return decode_message


def _undecodable(message: object, error: Exception) -> JsonError:
    if not isinstance(message, str | bytes):
        return JsonError(f"a message is str or bytes, not {type(message).__name__}", value=message)
    fault = _fault(message, error)
    place = re.search(r"\(byte (\d+)\)$", fault)
    shown = excerpt(message, int(place[1]) if place else 0)
    return JsonError(f"could not decode {shown}: {fault}", value=message)


def _fault(message: str | bytes, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError) and isinstance(message, bytes):
        try:
            message.decode()
        except UnicodeDecodeError as fault:  # msgspec counts from the beginning of the string that the byte is in
            return f"it is not UTF-8 (byte {fault.start})"
    # It may quote the peer, at any length; what it ends with is the place.
    text = printable(str(error))
    return text if len(text) <= 200 else f"{text[:100]}…{text[-100:]}"
