"""The keyboard as an `Observable` of keys: where a message's way begins.

prompt_toolkit turns the terminal's bytes into key presses, on POSIX and on Windows; here they become a
stream. Subscribing takes the terminal, disposing gives it back as it was.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, TYPE_CHECKING, cast

from prompt_toolkit.input import create_input
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import create_output
from reactivex import Observable
from reactivex.disposable import Disposable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from prompt_toolkit.input import Input
    from reactivex import abc

__all__ = ["keyboard"]

ESCAPE_TIMEOUT = 0.05
"""Seconds after which an Escape that nothing followed was the key and not the start of a sequence."""

# A terminal spells Alt as an Escape before the key. These say the same as a key that has a name.
_ALT: dict[str, Keys] = {
    "b": Keys.ControlLeft,
    "f": Keys.ControlRight,
    "d": Keys.ControlDelete,
    Keys.Backspace: Keys.ControlW,
}


def keyboard(source: Input | None = None, *, output: IO[str] | None = None) -> Observable[KeyPress]:
    r"""The keys pressed in a terminal, one `KeyPress` each; a paste is one, with all its text.

    To be subscribed to inside a running asyncio loop, on which the keys then come. While subscribed the
    terminal is in raw mode (no echo, no line buffering, Ctrl+C is a key) and marks what is pasted. It
    completes when the input closes, and fails with `EOFError` when the input is nothing to wait for.
    Flutter's `Focus(onKeyEvent:)`.

    >>> async def spell():
    ...     with keyboard().subscribe(lambda key: print(repr(key), end="\r\n")):
    ...         await asyncio.sleep(5)

    Args:
        source: Where keys come from; standard input unless given.
        output: The terminal that is asked to mark pastes; standard output unless given.
    """

    def subscribe(
        observer: abc.ObserverBase[KeyPress],
        scheduler: abc.SchedulerBase | None = None,  # noqa: ARG001 - it is the loop that schedules
    ) -> abc.DisposableBase:
        keys = source or create_input()
        loop = asyncio.get_running_loop()
        idle: asyncio.TimerHandle | None = None

        def emit(pressed: Iterable[KeyPress]) -> None:
            for key in pressed:
                observer.on_next(key)

        def flush() -> None:
            emit(keys.flush_keys())

        def read() -> None:
            nonlocal idle
            if idle:
                idle.cancel()
            emit(_named(keys.read_keys()))
            idle = loop.call_later(ESCAPE_TIMEOUT, flush)
            if keys.closed:
                observer.on_completed()

        def release() -> None:
            if idle:
                idle.cancel()
            terminal.close()

        with ExitStack() as taken:
            taken.enter_context(keys.raw_mode())
            taken.enter_context(_marked_pastes(output))
            taken.enter_context(keys.attach(read))
            terminal = taken.pop_all()
        return Disposable(release)

    return Observable(subscribe)


@contextmanager
def _marked_pastes(output: IO[str] | None) -> Iterator[None]:
    terminal = create_output(cast("TextIO", output))
    terminal.enable_bracketed_paste()
    terminal.flush()
    try:
        yield
    finally:
        with suppress(OSError):  # the terminal has gone away
            terminal.disable_bracketed_paste()
            terminal.flush()


def _named(pressed: Iterable[KeyPress]) -> Iterator[KeyPress]:
    """Keys by name where the parser knew none: it spells out each character of such a sequence.

    An Escape that came together with what follows it was no key. It was Alt, or it began one of ECMA-48's
    sequences, which is dropped: an unknown key does nothing.
    """
    keys = iter(pressed)
    for key in keys:
        if key.key != Keys.Escape:
            yield key
            continue
        follower = next(keys, key)
        if follower.key == "[":  # CSI: parameters, then one final byte
            next((key for key in keys if "@" <= key.key <= "~"), None)
        elif follower.key == "O":  # SS3: one more
            next(keys, None)
        elif alt := _ALT.get(follower.key):
            yield KeyPress(alt)
