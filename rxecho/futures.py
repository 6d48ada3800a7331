"""The futures of a channel: what will have happened once it is open, was answered, or has closed.

They stand beside a message's way: `connection` fulfils them, `channel` and `sink` give them out.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from threading import Thread, current_thread
from typing import TypeVar

from rxecho.isolation import isolate

__all__ = ["ChannelFuture"]

_T = TypeVar("_T")


class ChannelFuture(Future[_T]):
    """A future that the channel's thread fulfils, and that therefore cannot be waited for on it.

    It cannot be cancelled: `cancel()` returns false and changes nothing, for whoever else holds it.

    Args:
        thread: The channel's; `None` where it is no particular one.
    """

    def __init__(self, thread: Thread | None) -> None:
        super().__init__()
        self._thread = thread
        self.set_running_or_notify_cancel()

    def result(self, timeout: float | None = None) -> _T:
        """As `Future.result`; raises `RuntimeError` where waiting would never end."""
        self._refuse_deadlock(timeout)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As `Future.exception`; raises `RuntimeError` where waiting would never end."""
        self._refuse_deadlock(timeout)
        return super().exception(timeout)

    def _refuse_deadlock(self, timeout: float | None) -> None:
        if not self.done() and timeout != 0 and current_thread() is self._thread:
            raise RuntimeError(
                "waiting for a channel's future inside one of its own subscribers would never end: "
                "use add_done_callback, or wait on another thread"
            )

    def add_done_callback(self, fn: Callable[[Future[_T]], object]) -> None:
        """As `Future.add_done_callback`; what `fn` raises goes to `threading.excepthook`."""
        super().add_done_callback(lambda future: isolate(fn, future))

    def succeed(self, value: _T) -> None:
        """Be done with `value`, unless done already."""
        with suppress(InvalidStateError):
            self.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Be done with `error`, unless done already."""
        with suppress(InvalidStateError):
            self.set_exception(error)
