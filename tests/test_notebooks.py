"""What is committed of the lessons: what somebody reads who does not run them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parent.parent
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
MOST = 400_000
"""Bytes of a notebook; code hosts show no larger ones than some 10 MB, and take long for one."""

named = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


@named
def test_a_notebook_has_been_run_from_top_to_bottom(path: Path) -> None:
    counts = [cell["execution_count"] for cell in read(path)["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))


@named
def test_nothing_in_it_changes_from_run_to_run_or_tells_of_a_machine(path: Path) -> None:
    text = json.dumps(outputs(read(path)))
    text = re.sub(r'data:[a-z/+]+;base64,[^"]*', "", text)
    assert not re.findall(r"/(?:home|root|tmp|usr|work|Users|var)/|site-packages|ipykernel_\d+", text)
    assert not re.findall(r" at 0x[0-9a-f]{6,}", text)
    assert set(re.findall(r"(?:127\.0\.0\.1|localhost):(\d+)", text)) <= {"8765"}
    assert set(read(path)["metadata"]) == {"kernelspec", "language_info"}
    assert read(path)["metadata"]["language_info"] == {"name": "python"}
    assert all(set(cell["metadata"]) <= {"tags"} for cell in read(path)["cells"])


@named
def test_it_is_small(path: Path) -> None:
    assert path.stat().st_size < MOST


@named
def test_what_it_shows_is_text_or_drawn_as_svg_or_html(path: Path) -> None:
    kinds = {kind for output in outputs(read(path)) for kind in output.get("data", {})}
    assert kinds <= {"text/plain", "text/html", "image/svg+xml", "text/markdown"}


@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if path.name != "glossary.ipynb"], ids=lambda path: path.name
)
def test_a_lesson_has_what_each_lesson_has(path: Path) -> None:
    notebook = read(path)
    texts = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    number = int(path.name[:2])
    assert texts[0].startswith(f"# {number}. ")
    assert re.search(r"About (?:15|20|25) minutes", texts[0])
    assert "you will be able to" in texts[0]
    assert "EchoServer()" in code[0]
    assert code[-1] == "opened.close()"
    headings = re.findall(r"^### Exercise (\d)", "\n".join(texts), re.MULTILINE)
    assert headings == ["1", "2", "3"]
    drawn = [output for output in outputs(notebook) if "image/svg+xml" in output.get("data", {})]
    assert len(drawn) >= 3
    assert any("raises-exception" in cell["metadata"].get("tags", []) for cell in notebook["cells"])


@named
def test_its_links_lead_somewhere(path: Path) -> None:
    text = "\n".join("".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert target.startswith("https://") or (path.parent / target).is_file(), target


GLOSSARY = "\n".join("".join(cell["source"]) for cell in read(REPOSITORY / "notebooks" / "glossary.ipynb")["cells"])
TERMS = [
    (term, int(lesson))
    for terms, lesson in re.findall(r"^- ((?:\*\*[^*]+\*\*(?:, )?)+) \(\[(\d)\]", GLOSSARY, re.MULTILINE)
    for term in re.findall(r"\*\*([^*]+)\*\*", terms)
]


def prose(number: int) -> str:
    """What a lesson says: without its beginning, headings, links, and code."""
    (path,) = (path for path in NOTEBOOKS if path.name.startswith(f"0{number}-") and ".solution" not in path.name)
    texts = ["".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "markdown"]
    return re.sub(r"^#.*$|`[^`]*`|\[[^]]*\]\([^)]*\)", "", "\n".join(texts[1:]), flags=re.MULTILINE)


def test_the_glossary_is_in_order() -> None:
    terms = [term.lower() for term, _ in TERMS]
    assert len(terms) > 40
    assert terms == sorted(terms)


@pytest.mark.parametrize(("term", "lesson"), TERMS)
def test_a_term_is_explained_where_it_is_used_first(term: str, lesson: int) -> None:
    stem = re.escape(term.removesuffix("e"))  # subscribe, subscribed, subscribing
    bold = re.search(rf"\*\*{stem}\w*\*\*", prose(lesson), re.IGNORECASE)
    assert bold, f"lesson {lesson} does not explain {term}"
    before = [prose(number) for number in range(1, lesson)] + [prose(lesson)[: bold.start()]]
    assert not re.search(rf"\b{stem}\w*", "\n".join(before), re.IGNORECASE)


def test_each_term_that_a_lesson_explains_is_in_the_glossary() -> None:
    stems = [term.removesuffix("e").lower() for term, _ in TERMS]
    bold = {word.lower() for number in range(1, 10) for word in re.findall(r"\*\*([^*]+)\*\*", prose(number))}
    assert {word for word in bold if not any(word.startswith(stem) for stem in stems)} == set()
