"""What holds for all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Where bytecode is not written, each of the many processes that the tests start would compile everything anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Where nothing is buffered, nobody would notice what is not flushed.
os.environ.pop("PYTHONUNBUFFERED", None)

# How long an example takes says more about what else the machine does.
settings.register_profile("rxecho", deadline=None)
settings.load_profile("rxecho")

# What a shell starts in the background ignores Ctrl+C, and so would the processes that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def history_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No console that a test starts reads or writes what belongs to whoever runs the tests."""
    directory = tmp_path_factory.mktemp("config")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(directory))
        yield directory
