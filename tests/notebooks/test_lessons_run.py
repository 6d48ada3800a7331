"""The lessons, as a reader runs them: in a new kernel each, unsolved and solved, with nothing left at the end."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from kernel import lessons_group

nbclient = lessons_group("nbclient")
nbformat = lessons_group("nbformat")
lessons_group("jupytext")
course = import_module("course")  # docs/course.py, which needs these

NOTEBOOKS = course.NOTEBOOKS
LESSONS = sorted(path.name for path in NOTEBOOKS.glob("0*.ipynb") if not path.name.endswith(".solution.ipynb"))
SOLUTIONS = sorted(path.name for path in NOTEBOOKS.glob("*.solution.ipynb"))

CELL = 60
"""Seconds that a cell may take."""
LESSON = 120
"""Seconds that a lesson may take."""

BEFORE = """
import ipaddress as _ipaddress
import sys as _sys
import threading as _threading
import psutil as _psutil

def _offline(event, arguments):
    # A lesson needs no network: what it would look up or reach elsewhere is refused before anything is sent.
    match event, arguments:
        case ("socket.getaddrinfo", (host, *_)) | ("socket.connect" | "socket.sendto", (_, (host, *_))):
            if host not in (None, "", "localhost") and not _ipaddress.ip_address(host).is_loopback:
                raise PermissionError(f"{event}: {host} is not on this machine")

_sys.addaudithook(_offline)

def _held():
    sockets = {(one.fd, str(one.laddr), str(one.raddr)) for one in _psutil.Process().net_connections("all")}
    return sockets, {(thread.ident, thread.name) for thread in _threading.enumerate()}

_sockets, _threads = _held()
"""
AFTER = """
for _thread in _threading.enumerate():
    if (_thread.ident, _thread.name) not in _threads and not isinstance(_thread, _threading._DummyThread):
        _thread.join(10)  # what is ending may end; what stays is left
_more_sockets, _more_threads = _held()
print("left:", sorted(_more_sockets - _sockets) + sorted(_more_threads - _threads))
"""


def run(notebook: Any, folder: Path) -> Any:
    """The notebook after it was run, without the cells that only this test has put in."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    before, after = (nbformat.v4.new_code_cell(code) for code in (BEFORE, AFTER))
    notebook.cells = [before, *notebook.cells, after]
    client = nbclient.NotebookClient(
        notebook, timeout=CELL, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    assert printed(after) == "left: []\n"
    notebook.cells = notebook.cells[1:-1]
    return notebook


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def checks(notebook: Any) -> list[list[str]]:
    """What each of its checking cells says, by line."""
    return [
        [line for line in printed(cell).splitlines() if line[:1] in ("✓", "✗", "○")]
        for cell in code_cells(notebook)
        if "check" in tags(cell)
    ]


def judge(notebook: Any) -> None:
    """Only what was meant to fail does fail, and does."""
    for cell in code_cells(notebook):
        failed = any(output.output_type == "error" for output in cell.outputs)
        assert failed == ("raises-exception" in tags(cell)), cell.source
        texts = [text for output in cell.outputs for text in output.get("data", {}).values()]
        told = any("Traceback (most recent call last)" in text for text in [printed(cell), *texts])
        assert told == ("traceback" in tags(cell)), cell.source


def shown(notebook: Any) -> list[tuple[str, str]]:
    """What its cells show, in words: what they print, what their values are, and what they raise."""
    told = []
    for cell in code_cells(notebook):
        values = [
            output.data["text/plain"]
            for output in cell.outputs
            if "data" in output and not {"image/svg+xml", "text/html"} & set(output.data)
        ]
        errors = [f"{output.ename}: {output.evalue}" for output in cell.outputs if output.output_type == "error"]
        told.append((cell.source, course.constant("\n".join([printed(cell), *values, *errors]))))
    return told


def test_the_notebooks_are_made_of_their_sources() -> None:
    made = {name: made for source in course.SOURCES.glob("*.py") for name, made in course.both(source).items()}
    assert {path.name for path in NOTEBOOKS.glob("*.ipynb")} == set(made)
    for name, notebook in made.items():
        committed = nbformat.read(NOTEBOOKS / name, 4)
        assert [cell.source for cell in committed.cells] == [cell.source for cell in notebook.cells], name
        assert [tags(cell) for cell in committed.cells] == [tags(cell) for cell in notebook.cells], name


def test_there_are_nine_lessons_and_a_solution_of_each() -> None:
    assert [name[:3] for name in LESSONS] == [f"0{number}-" for number in range(1, 10)]
    assert [name.replace(".solution", "") for name in SOLUTIONS] == LESSONS


def follow(name: str, folder: Path) -> tuple[Any, list[list[str]]]:
    """A notebook that was run as its reader does, and what its three checks say: all of it as it was committed."""
    notebook = run(nbformat.read(NOTEBOOKS / name, 4), folder)
    judge(notebook)
    assert shown(notebook) == shown(nbformat.read(NOTEBOOKS / name, 4))
    said = checks(notebook)
    assert len(said) == 3
    assert all(said)
    return notebook, said


@pytest.mark.timeout(LESSON)
@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_solution_runs_to_its_end_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    _, said = follow(name, tmp_path)
    assert all(line.startswith("✓ ") for lines in said for line in lines), said


@pytest.mark.timeout(LESSON)
@pytest.mark.parametrize("name", LESSONS)
def test_the_exercises_of_a_lesson_are_open_and_say_so_kindly(name: str, tmp_path: Path) -> None:
    notebook, said = follow(name, tmp_path)
    for number, lines in enumerate(said, 1):
        assert all(line.startswith(f"○ Exercise {number}") and "is still open" in line for line in lines), lines
    for cell in code_cells(notebook):
        if "check" in tags(cell):
            assert "Hint: " in printed(cell)
            assert any("image/svg+xml" in output.get("data", {}) for output in cell.outputs), "what is expected is drawn"


@pytest.mark.timeout(LESSON)
@pytest.mark.parametrize(
    "code",
    [
        "socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.1', 9))",  # of which nothing is ever sent
        "socket.getaddrinfo('192.0.2.1', 9, flags=socket.AI_NUMERICHOST)",
    ],
)
def test_a_lesson_that_needed_a_network_would_fail(code: str, tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell(f"import socket\n{code}")
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="192.0.2.1 is not on this machine"):
        run(nbformat.v4.new_notebook(cells=[cell]), tmp_path)
