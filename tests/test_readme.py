"""README is true: its program runs, its commands are the ones that work, its picture is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


RECIPE, LASTING = PROGRAMS


@pytest.mark.parametrize(
    ("program", "shown"), [(RECIPE, "The server says: Hello number 4!"), (LASTING, "{'number': 2}")]
)
def test_the_programs_in_readme_show_what_the_server_echoed(program: str, shown: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(program)
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=50)
    assert ran.stderr == ""
    assert ran.stdout.strip() == shown


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_in_readme_has_at_most_30_lines(program: str) -> None:
    assert len(program.splitlines()) <= 30


def test_the_recipe_in_readme_has_all_four_steps() -> None:
    assert re.findall(r"# (connect|listen|send|close)$", RECIPE, re.MULTILINE) == [
        "connect",
        "listen",
        "send",
        "close",
    ]


def test_readme_gives_the_two_commands_that_do_all_the_set_up() -> None:
    commands = re.findall(r"^```console\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    lessons = "uv run --group notebooks jupyter lab notebooks\n"
    assert commands == ["pip install uv && uv run rxecho\n", lessons, "pip install uv && uv run pytest\n"]


def test_every_file_that_readme_links_to_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
