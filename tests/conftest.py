"""What holds for all tests."""

from __future__ import annotations

import os
import signal

# Where bytecode is not written, each of the many processes that the tests start would compile everything anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What a shell starts in the background ignores Ctrl+C, and so would the processes that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
