"""The `binary` operator: of messages, those that are binary."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from reactivex import operators as ops

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactivex import Observable

__all__ = ["binary"]


def binary() -> Callable[[Observable[str | bytes]], Observable[bytes]]:
    """Let only binary messages pass, typed as what they are: `bytes`.

    Example:
        >>> from rxecho.marbles import diagram
        >>> print(diagram(binary(), "-a-b-c-|", lookup={"a": "Hi", "b": b"Hm", "c": "Ho"}))
        --Hi--a---Ho--|
        [ binary() ]
        ------a-------|
        each character 0.5 s
        a = b'Hm'

    Returns:
        An operator from an observable of messages to an observable of the binary ones. `text` is its counterpart.
    """

    def binaries(messages: Observable[str | bytes]) -> Observable[bytes]:
        return cast("Observable[bytes]", messages.pipe(ops.filter(lambda message: isinstance(message, bytes))))

    return binaries
