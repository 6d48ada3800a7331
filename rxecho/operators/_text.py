"""The `text` operator: of messages, those that are text."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from reactivex import operators as ops

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactivex import Observable

__all__ = ["text"]


def text() -> Callable[[Observable[str | bytes]], Observable[str]]:
    """Let only text messages pass, typed as what they are: `str`.

    Example:
        >>> from rxecho.marbles import diagram
        >>> print(diagram(text(), "-a-b-c-|", lookup={"a": "Hi", "b": b"Hm", "c": "Ho"}))
        --Hi--a---Ho--|
        [ text() ]
        --Hi------Ho--|
        each character 0.5 s
        a = b'Hm'

    Returns:
        An operator from an observable of messages to an observable of the text ones. `binary` is its counterpart.
    """

    def texts(messages: Observable[str | bytes]) -> Observable[str]:
        return cast("Observable[str]", messages.pipe(ops.filter(lambda message: isinstance(message, str))))

    return texts
