"""What `import rxecho` offers, and what it does not cost."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import rxecho

HEAVY = ["reactivex", "rich", "websocket", "websockets", "prompt_toolkit", "msgspec"]


def fresh(statement: str) -> list[str]:
    """Which of the heavy packages a new interpreter has imported after `statement`."""
    code = f"import sys, json\n{statement}\nprint(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    imported: list[str] = json.loads(done.stdout)
    return imported


@pytest.mark.parametrize("name", rxecho.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(rxecho, name) is not None


def test_all_is_sorted_and_without_repeats() -> None:
    assert sorted(set(rxecho.__all__)) == rxecho.__all__


@pytest.mark.parametrize("name", rxecho.__all__)
def test_a_name_is_the_one_its_module_gives_away(name: str) -> None:
    thing = getattr(rxecho, name)
    home = sys.modules[getattr(thing, "__module__", thing.__name__)]
    assert home.__name__.startswith("rxecho.")
    assert home is thing or name in home.__all__


def test_importing_rxecho_imports_nothing_heavy() -> None:
    assert fresh("import rxecho; dir(rxecho); rxecho.__version__") == []


@pytest.mark.parametrize("name", ["ConnectError", "ConnectionState", "AsyncSnapshot", "status", "errors"])
def test_a_plain_name_imports_nothing_heavy(name: str) -> None:
    assert fresh(f"from rxecho import {name}") == []


def test_operators_import_rx_and_nothing_else_that_is_heavy() -> None:
    assert fresh("from rxecho import operators") == ["reactivex"]


@pytest.mark.parametrize(
    ("module", "unknown"),
    [
        ("connection", {"reactivex", "rich", "prompt_toolkit"}),
        ("channel", {"rich", "prompt_toolkit", "websockets"}),
        ("builder", {"prompt_toolkit", "websocket", "websockets"}),
    ],
)
def test_imports_point_one_way(module: str, unknown: set[str]) -> None:
    assert unknown & set(fresh(f"import rxecho.{module}")) == set()


def test_dir_lists_every_public_name() -> None:
    assert set(rxecho.__all__) <= set(dir(rxecho))


def test_a_star_import_brings_every_public_name() -> None:
    namespace: dict[str, object] = {}
    exec("from rxecho import *", namespace)
    assert set(rxecho.__all__) <= set(namespace)


@pytest.mark.parametrize("name", ["WebSocketChanel", "connect", "_HOME_"])
def test_an_unknown_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'rxecho' has no attribute '{name}'"):
        getattr(rxecho, name)


def test_an_unknown_name_cannot_be_imported() -> None:
    with pytest.raises(ImportError, match="WebSocketChanel"):
        exec("from rxecho import WebSocketChanel", {})
