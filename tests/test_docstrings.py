"""The examples in docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import pkgutil
import threading
from importlib import import_module

import pytest

import rxecho

# Running `__main__` is a test of the command line.
MODULES = ["rxecho"] + [
    found.name for found in pkgutil.walk_packages(rxecho.__path__, "rxecho.") if not found.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_run(name: str) -> None:
    # As its reader has it, who has imported what the example imports and what its own module gives away.
    module = import_module(name)
    given = {public: getattr(module, public) for public in getattr(module, "__all__", ())}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for example in doctest.DocTestFinder().find(module, globs=given):
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0
    for thread in threading.enumerate():  # what an example did not wait for is over before the next test counts
        if thread.name.startswith("rxecho "):
            thread.join(10)


# The error above all others, and those that it takes a misbehaving peer to see.
WITHOUT_EXAMPLE = ["ChannelError", "ConnectTimeout", "InvalidPayload", "ProtocolError"]


def test_what_is_public_has_an_example() -> None:
    finder = doctest.DocTestFinder()
    without = [
        name for name in rxecho.__all__ if not any(test.examples for test in finder.find(getattr(rxecho, name), name))
    ]
    assert without == WITHOUT_EXAMPLE
