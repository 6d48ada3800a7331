"""The examples in docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import reactivex
from reactivex import operators

import rxecho

# Running `__main__` is a test of the command line.
MODULES = ["rxecho"] + [
    found.name for found in pkgutil.walk_packages(rxecho.__path__, "rxecho.") if not found.name.endswith("__main__")
]


@pytest.fixture(scope="module")
def names() -> Iterator[dict[str, Any]]:
    """What the examples take for granted: rxecho's names, RxPY's, a server, and a channel to it."""
    with rxecho.EchoServer() as server, rxecho.WebSocketChannel.connect(server.url) as channel:
        public = {name: getattr(rxecho, name) for name in rxecho.__all__ if name != "operators"}
        yield {**public, "reactivex": reactivex, "operators": operators, "server": server, "channel": channel}


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_run(name: str, names: dict[str, Any]) -> None:
    module = import_module(name)
    outcome = doctest.testmod(module, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert outcome.failed == 0


def test_the_public_classes_have_examples() -> None:
    finder = doctest.DocTestFinder()
    without = [
        name
        for name in (
            "WebSocketChannel",
            "WebSocketSink",
            "StreamBuilder",
            "AsyncSnapshot",
            "EchoServer",
            "open_channel",
        )
        if not any(test.examples for test in finder.find(getattr(rxecho, name), name))
    ]
    assert without == []
