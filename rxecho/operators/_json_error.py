"""What goes wrong with JSON, and where it goes: `from_json` and `to_json` are alike in that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from reactivex import Observable, abc

__all__ = ["Bad", "JsonError", "converted"]

_T = TypeVar("_T")


class JsonError(ValueError):
    """A message that cannot be decoded from JSON, or a value that cannot be encoded in it.

    The text says what is wrong, and where: the byte, or the path from `$`, which is the whole.

    >>> import reactivex
    >>> from rxecho.operators import from_json
    >>> reactivex.of('{"price": 7x}').pipe(from_json()).run()
    Traceback (most recent call last):
    rxecho.operators._json_error.JsonError: could not decode {"price": 7x}: JSON is malformed: ... (byte 11)

    Attributes:
        value: The message, or the value, as it was.
    """

    def __init__(self, message: str, *, value: object = None) -> None:
        super().__init__(message)
        self.value = value


Bad = Literal["raise", "skip"] | abc.ObserverBase[JsonError]
"""What becomes of a `JsonError`: it ends the stream, nothing, or it is the next value of an observer."""


def converted(convert: Callable[[Any], _T], bad: Bad) -> Callable[[Observable[Any]], Observable[_T]]:
    """RxPY's `map`, with a choice of what becomes of a `JsonError`."""
    if not (bad in ("raise", "skip") or isinstance(bad, abc.ObserverBase)):
        raise ValueError(f"bad is 'raise', 'skip' or an observer, not {bad!r}")

    def converted_from(source: Observable[Any]) -> Observable[_T]:
        def subscribe(observer: abc.ObserverBase[_T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            def on_next(value: Any) -> None:
                try:
                    try:
                        result = convert(value)
                    except JsonError as error:
                        if bad == "raise":
                            raise
                        if bad != "skip":
                            bad.on_next(error)
                        return
                except Exception as error:  # noqa: BLE001 - the subscriber's to know
                    observer.on_error(error)
                else:
                    observer.on_next(result)

            return source.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler)

        return Observable(subscribe)

    return converted_from
