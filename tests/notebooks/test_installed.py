"""The lessons come with the package: what `rxecho lessons` copies out of a wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
UV = shutil.which("uv")


@pytest.mark.timeout(240)
@pytest.mark.skipif(UV is None, reason="there is no uv here, which builds the wheel")
def test_the_lessons_are_copied_out_of_the_installed_package(tmp_path: Path) -> None:
    assert UV is not None
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", tmp_path, REPOSITORY], check=True, timeout=200)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    done = subprocess.run(
        [sys.executable, "-m", "rxecho", "lessons", "course"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    copied = {path.name: path.read_bytes() for path in (tmp_path / "course").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in (REPOSITORY / "notebooks").glob("*.ipynb")}
    assert done.stdout.startswith(f"Copied {len(copied)} notebooks into course.\n")
    assert " -m jupyter lab course\n" in done.stdout
