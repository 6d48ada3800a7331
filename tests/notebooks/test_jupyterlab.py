"""Lesson 6 in JupyterLab, in a browser, as its reader sees it: the display changes while a message arrives."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_connection
from threading import Thread
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

import pytest
from kernel import lessons_group

lessons_group("jupyterlab")
playwright = lessons_group("playwright.sync_api")

CHROMIUM = shutil.which("chromium")
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ARTIFACTS = Path(__file__).parents[2] / "build"
"""Where the screenshots are kept."""
LESSON = "06-from-stream-to-screen.ipynb"
DISPLAY = "# this picture changes while messages arrive"
STARTS = 60.0
APPEARS = 30_000
"""Milliseconds."""

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here: Debian's package of that name has it"),
]


@contextmanager
def running_jupyterlab(folder: Path, own: Path) -> Iterator[str]:
    """A JupyterLab that shows a folder, keeps what it writes in another, and asks nobody outside; its address."""
    settings = {
        # So that every cell is in the page, also one that is not in view.
        "notebook-extension/tracker": {"windowingMode": "none"},
        "apputils-extension/notification": {"fetchNews": "false"},
    }
    for name, values in settings.items():
        file = own / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values))
    places = {f"JUPYTER_{kind}_DIR": str(own / kind.lower()) for kind in ("CONFIG", "RUNTIME")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1"]
    options = [
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.user_settings_dir={own / 'settings'}",
        f"--LabApp.workspaces_dir={own / 'workspaces'}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]
    address: Future[str] = Future()
    with subprocess.Popen(
        [*command, *options],
        env={**os.environ, **places},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        reading = Thread(target=_find_address, args=(process.stdout, address))
        reading.start()
        try:
            url, token = address.result(STARTS).split("lab?")
            _wait_until_listening(url, process)
            yield f"{url}lab/tree/{{}}?{token}"
        finally:
            process.terminate()
            process.wait(30)
            reading.join()


def _find_address(log: Iterable[str], address: Future[str]) -> None:
    """Read all that the server says, and find in it where it is."""
    said = []
    for line in log:
        said.append(line)
        if not address.done() and (found := re.search(r"http://127\.0\.0\.1:\d+/lab\?token=\w+", line)):
            address.set_result(found[0])
    if not address.done():
        address.set_exception(AssertionError("".join(said)))


def _wait_until_listening(url: str, process: subprocess.Popen[str]) -> None:
    """A Jupyter server says where it is before it listens there: that is the first thing that its event loop does."""
    where = urlsplit(url)
    deadline = monotonic() + STARTS
    while process.poll() is None:
        with suppress(ConnectionRefusedError), create_connection((where.hostname, where.port), STARTS):
            return
        assert monotonic() < deadline, f"nobody listens at {url}"
        sleep(0.05)
    raise AssertionError(f"JupyterLab has ended with {process.returncode}")


@pytest.fixture
def page() -> Iterator[Any]:
    playwright.expect.set_options(timeout=APPEARS)
    ARTIFACTS.mkdir(exist_ok=True)
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=quiet)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(APPEARS)
        try:
            yield page
        finally:
            page.screenshot(path=ARTIFACTS / "lesson-6-end.png")
            browser.close()


class Lab:
    """A notebook that is open in JupyterLab."""

    def __init__(self, page: Any, notebook: Path) -> None:
        self._page = page
        self._cells = json.loads(notebook.read_text())["cells"]
        self.shown = page.locator(".jp-Notebook .jp-Cell")
        playwright.expect(self.shown).to_have_count(len(self._cells))
        page.get_by_text("| Idle").wait_for()  # in the status bar: there is a kernel now, and it is ready

    def find(self, part: str, start: int = 0) -> int:
        """The number of the first code cell from `start` on with that in its source."""
        return next(
            number
            for number, cell in enumerate(self._cells)
            if number >= start and cell["cell_type"] == "code" and part in "".join(cell["source"])
        )

    def run(self, first: int, last: int) -> None:
        """Shift+Enter from one cell on to another, each when the one before has been run."""
        self.shown.nth(first).locator(".cm-content").click()
        for number in range(first, last + 1):
            playwright.expect(self.shown.nth(number)).to_have_class(re.compile("jp-mod-active"))
            self._page.keyboard.press("Shift+Enter")
            if self._cells[number]["cell_type"] == "code":
                playwright.expect(self.prompt(number)).to_have_text(re.compile(r"\[\d+\]:"))

    def output(self, number: int) -> Any:
        return self.shown.nth(number).locator(".jp-OutputArea-output").first

    def prompt(self, number: int) -> Any:
        return self.shown.nth(number).locator(".jp-InputPrompt")

    def photograph(self, number: int, name: str) -> bytes:
        """What this cell shows; the page with it in view is kept as an artifact."""
        self.shown.nth(number).scroll_into_view_if_needed()
        self._page.screenshot(path=ARTIFACTS / name)
        picture: bytes = self.output(number).screenshot()
        return picture


@pytest.fixture
def lab(page: Any, tmp_path: Path) -> Iterator[Lab]:
    folder, own = tmp_path / "lessons", tmp_path / "own"
    folder.mkdir()
    own.mkdir()
    notebook = json.loads((NOTEBOOKS / LESSON).read_text())
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)  # or it could be the picture that was committed
    (folder / LESSON).write_text(json.dumps(notebook))
    with running_jupyterlab(folder, own) as address:
        page.goto(address.format(LESSON))
        yield Lab(page, folder / LESSON)


def test_the_display_of_lesson_6_changes_while_a_message_arrives(lab: Lab) -> None:
    display = lab.find(DISPLAY)
    sending = lab.find("channel.sink.add(", display)
    lab.run(lab.find("EchoServer()"), display)
    output = lab.output(display)
    playwright.expect(output).to_have_text("Nothing yet")
    has_run = lab.prompt(display).text_content()
    before = lab.photograph(display, "lesson-6-before.png")

    lab.run(lab.find("", display + 1), sending)
    playwright.expect(output).to_have_text("The server says: Hello, screen!")
    assert lab.prompt(display).text_content() == has_run, "it has not been run again"
    assert lab.photograph(display, "lesson-6-after.png") != before


def test_a_live_timeline_grows_while_its_cell_runs(lab: Lab, page: Any) -> None:
    drawing = lab.find("with Live(timeline)")
    page.evaluate("""() => {
        window.pictures = new Set();
        new MutationObserver(() => document.querySelectorAll(".jp-RenderedSVG img").forEach(
            image => window.pictures.add(image.src)
        )).observe(document.querySelector(".jp-Notebook"), {childList: true, subtree: true, attributes: true});
    }""")
    lab.run(lab.find("EchoServer()"), drawing)
    assert page.evaluate("() => window.pictures.size") > 3
    assert lab.shown.nth(drawing).locator(".jp-RenderedSVG img").count() == 1, "all of them in one place"
    lab.photograph(drawing, "lesson-6-live.png")
