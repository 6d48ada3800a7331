"""What holds for all tests."""

from __future__ import annotations

import os

# Where bytecode is not written, each of the many processes that the tests start would compile everything anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
