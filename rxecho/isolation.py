"""Calling somebody else's code: whoever raises is alone with it.

Along a message's way subscribers are called, and the callbacks of futures. What one of them raises must not keep the
message from the next, nor end the thread that all of them share.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

__all__ = ["isolate", "report"]


def isolate(call: Callable[..., object], *args: object) -> bool:
    """Call somebody else's code, which is alone with what it raises; false when it did."""
    try:
        call(*args)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise  # Ctrl+C on the main thread is meant for whoever runs the program
        report(error)
        return False
    return True


def report(error: BaseException) -> None:
    """Tell of an error that has nobody to be raised to, as threads do."""
    try:
        threading.excepthook(
            threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
        )
    except BaseException as fault:  # noqa: BLE001 - a hook that fails must not end the connection, too
        sys.excepthook(type(fault), fault, fault.__traceback__)
