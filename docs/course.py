"""Makes the notebooks of `notebooks/`, with what their cells put out, from the Python files in `docs/lessons/`.

Run as `uv run --group lessons python docs/course.py`, with the beginnings of names to make only some. A lesson is
one file in jupytext's percent format. Its cells are tagged:

- `exercise` stands in the lesson only, and `solution` in its place in the solution's notebook;
- `raises-exception` may fail, since that is the wrong way before the right one; `traceback` shows a traceback that
  another thread printed.

What changes from run to run (the server's port, addresses in memory, and the tracebacks with their paths) is left out
of what is written, so that the same code writes the same notebooks.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final

import jupytext
import nbformat
from nbclient import NotebookClient

DOCS: Final = Path(__file__).parent
SOURCES: Final = DOCS / "lessons"
NOTEBOOKS: Final = DOCS.parent / "notebooks"

METADATA: Final = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
SHOWN: Final = ("raises-exception", "traceback", "check")
"""Tags that the notebooks keep, since they mean something to who runs them."""

_PORT = re.compile(r"(127\.0\.0\.1|localhost):\d+")
_THREAD = re.compile(r"^Exception in thread (.*?):?\nTraceback .*\n(?: .*\n)*", re.M)
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def main(beginnings: list[str]) -> None:
    """Write the notebooks, or those whose names begin so."""
    NOTEBOOKS.mkdir(exist_ok=True)
    for source in sorted(SOURCES.glob("*.py")):
        if not beginnings or source.name.startswith(tuple(beginnings)):
            for name, notebook in both(source).items():
                run(notebook)
                nbformat.write(notebook, NOTEBOOKS / name)
                print(name)


def both(source: Path) -> dict[str, Any]:
    """The notebooks that a source makes, by their file names, not run yet."""
    name = source.stem
    made = {f"{name}.ipynb": _notebook(source, without="solution")}
    if any("exercise" in _tags(cell) for cell in jupytext.read(source).cells):
        made[f"{name}.solution.ipynb"] = _notebook(source, without="exercise")
    return made


def _notebook(source: Path, *, without: str) -> Any:
    notebook = jupytext.read(source)
    cells = [cell for cell in notebook.cells if without not in _tags(cell)]
    for number, cell in enumerate(cells, 1):
        cell.id = f"{source.stem[:2]}-{number:02}"
        kept = [tag for tag in _tags(cell) if tag in SHOWN]
        cell.metadata = {"tags": kept} if kept else {}
    if without == "exercise":
        title, *rest = cells[0].source.splitlines()
        cells[0].source = "\n".join([f"{title}: the solution", *rest])
    made = nbformat.v4.new_notebook(cells=cells, metadata=METADATA)
    nbformat.validate(made)
    return made


def _tags(cell: Any) -> list[str]:
    tags: list[str] = cell.metadata.get("tags", [])
    return tags


def run(notebook: Any) -> None:
    """Run its cells in a new kernel, and leave what they put out, as it is to be kept."""
    NotebookClient(notebook, timeout=60, kernel_name="python3", record_timing=False).execute()
    notebook.metadata = METADATA
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [_kept(output) for output in _joined(cell.outputs)]


def _joined(outputs: list[Any]) -> list[Any]:
    """What was printed in several goes, by the same stream, as one."""
    joined: list[Any] = []
    for output in outputs:
        if joined and output.output_type == "stream" and output.get("name") == joined[-1].get("name"):
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _kept(output: Any) -> Any:
    if output.output_type == "error":
        output.evalue = constant(output.evalue)
        output.traceback = [f"{output.ename}: {output.evalue}"]
    elif output.output_type == "stream":
        output.text = constant(output.text)
    else:
        output.data = {kind: constant(shown) for kind, shown in output.data.items()}
        output.metadata = {}
    return output


def constant(text: str) -> str:
    """The same text in each run, where the code does the same."""
    text = _ESCAPE.sub("", text)
    text = _THREAD.sub(r"Exception in thread \1:\n", text)
    return _ADDRESS.sub("", _PORT.sub(r"\1:8765", text))


if __name__ == "__main__":
    main(sys.argv[1:])
