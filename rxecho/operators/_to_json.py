"""The `to_json` operator: values, encoded."""

from __future__ import annotations

import json
import reprlib
from typing import TYPE_CHECKING, Any

from rxecho.operators._json_error import JsonError, converted
from rxecho.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactivex import Observable

    from rxecho.operators._json_error import Bad

__all__ = ["json_encoder", "to_json"]


def to_json(*, bad: Bad = "raise") -> Callable[[Observable[Any]], Observable[str]]:
    """Encode each value as JSON, without spaces: RFC 8259, and what msgspec makes of Python's other types.

    Dataclasses are objects, enumerations their values, bytes Base64, a `datetime` is RFC 3339, a `UUID` and a
    `Decimal` are strings. What JSON cannot say is a bad value: the numbers NaN and infinity, a lone surrogate, keys
    that are neither strings nor numbers, a list that contains itself or is nested some thousand levels deep.

    Example:
        >>> from datetime import date
        >>> import reactivex
        >>> subscription = reactivex.of({"day": date(2026, 1, 31)}, [0.5, None]).pipe(to_json()).subscribe(print)
        {"day":"2026-01-31"}
        [0.5,null]
        >>> from rxecho.marbles import diagram
        >>> print(diagram(to_json(bad="skip"), "-a-b--c|", lookup={"a": 0.5, "b": float("nan"), "c": True}))
        ----0.5-----a-----------b---|
        [ to_json(bad="skip") ]
        ----c-------------------true|
        each character 0.25 s
        a = nan
        b = True
        c = '0.5'

    Args:
        bad: What becomes of a value that is none of JSON's: `"raise"` ends the stream with a `JsonError`, `"skip"`
            leaves it out, and an observer, such as a `Subject`, is handed the `JsonError`.

    Raises:
        ValueError: `bad` is none of these.
    """
    return converted(json_encoder(), bad)


def json_encoder() -> Callable[[Any], str]:
    """A function that encodes a value, or raises a `JsonError`."""
    import msgspec  # only who encodes JSON has to wait for it

    encode = msgspec.json.Encoder().encode
    refuse_nan = json.JSONEncoder(allow_nan=False).encode

    def encode_value(value: Any) -> str:
        try:
            encoded = encode(value)
            # For NaN and the infinities msgspec writes null, without a word. Where there is one, the standard
            # library, which is slower, says what it stands for. It need not know what is encoded already, a `Raw`.
            if b"null" in encoded:
                refuse_nan(msgspec.to_builtins(value, str_keys=True, enc_hook=lambda _: None))
            return encoded.decode()
        except (ValueError, TypeError, RecursionError) as error:
            fault = "it is nested too deeply" if isinstance(error, RecursionError) else printable(str(error))
            raise JsonError(f"could not encode {printable(reprlib.repr(value))}: {fault}", value=value) from error

    return encode_value
