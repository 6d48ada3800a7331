"""`check`, which says what is off with an answer, and the command that copies the lessons."""

from __future__ import annotations

import io
import re
import shlex
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops
from rich.console import Console
from rich.panel import Panel

import rxecho.lessons
from rxecho.cli import main
from rxecho.lessons import check, copy_to, notebooks, one_by_one
from rxecho.marbles import MarbleDiagram, Timeline, cold, expect


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """The lines that somebody reads whose answer is not right."""

    def read(answer: Callable[[], Any], marbles: str = "-a-|", **options: Any) -> list[str]:
        assert not check("Exercise 7", answer, marbles, **options)
        return capsys.readouterr().out.splitlines()

    return read


# check


@pytest.mark.parametrize(
    ("answer", "marbles", "options"),
    [
        (lambda: cold("-a-|"), "-a-|", {}),
        (lambda: MarbleDiagram.parse("-a-|"), "-a-|", {}),
        (lambda: reactivex.of((1, 2)), "(a,|)", {"lookup": {"a": (1, 2)}}),
        (lambda: cold("-#", timespan=0.1), "-#", {"timespan": 0.1}),
        (lambda: cold("#", error=OSError("gone")), "#", {"error": OSError("gone")}),
    ],
)
def test_an_answer_that_does_what_it_is_to_do_is_solved(
    answer: Callable[[], Any], marbles: str, options: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check("Exercise 7", answer, marbles, hint="not needed", **options)
    assert capsys.readouterr().out == "✓ Exercise 7 is solved.\n"


def test_a_timeline_is_compared_by_the_lane_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    timeline = Timeline(resolution=1)
    reactivex.of("a").pipe(timeline.trace("in"), ops.map(str.upper), timeline.trace("out")).run()  # type: ignore[misc]
    assert check("Exercise 7", lambda: timeline, "(a,|)", lane="in")
    assert check("Exercise 7", lambda: timeline, "(A,|)")


def test_an_answer_that_does_something_else_is_told_where_and_drawn_beside_what_is_expected(
    told: Callable[..., list[str]],
) -> None:
    what, below, expected, actual, mark, _, hint = told(lambda: cold("-b-|"), hint="Begin with a.")
    assert what == "✗ Exercise 7 is not there yet: at 1 s, expected 'a', but got 'b'."
    assert below == "The mark is where the two differ:"
    assert re.fullmatch("expected ├─+a─+┤", expected)
    assert re.fullmatch("actual   ├─+b─+┤", actual)
    assert mark.index("▲") == expected.index("a")
    assert hint == "Hint: Begin with a."


@pytest.mark.parametrize(
    "answer",
    [
        lambda: ...,
        lambda: reactivex.of(...),
        lambda: cold("-a-|").pipe(...),  # type: ignore[call-overload]
        lambda: cold("-a-|").pipe(ops.map(lambda _: ...)),
        lambda: MarbleDiagram.parse(...),  # type: ignore[arg-type]
        lambda: len(...),  # type: ignore[arg-type]
        lambda: Console(file=io.StringIO()).print(Panel(...)),  # type: ignore[arg-type]
    ],
)
def test_three_dots_are_an_exercise_that_is_open_still(
    answer: Callable[[], Any], told: Callable[..., list[str]]
) -> None:
    what, below, expected, actual, *_, hint = told(answer, hint="Begin with a.")
    assert what == "○ Exercise 7 is still open: write your answer in place of the three dots."
    assert below == "This is what it is to do:"
    assert re.fullmatch("expected ├─+a─+┤", expected)
    assert re.fullmatch("actual   ├─+▸", actual)
    assert hint == "Hint: Begin with a."


def test_what_is_to_do_nothing_is_open_without_a_drawing(told: Callable[..., list[str]]) -> None:
    assert told(lambda: ..., "----") == [
        "○ Exercise 7 is still open: write your answer in place of the three dots.",
    ]


def test_of_a_lane_that_is_not_there_yet_an_open_exercise_says_nothing(told: Callable[..., list[str]]) -> None:
    assert told(lambda: ..., lane="out")[0].startswith("○ Exercise 7 is still open")


def test_a_forgotten_return_is_guessed(told: Callable[..., list[str]]) -> None:
    assert told(lambda: None) == [
        "✗ Exercise 7 is not there yet: it gave None, where an observable is expected; is a return missing?",
    ]


@pytest.mark.parametrize("alone", [ops.map, ops.map(str)])
def test_an_operator_that_stands_alone_is_guessed(alone: object, told: Callable[..., list[str]]) -> None:
    (what,) = told(lambda: alone)
    assert what.endswith("it gave a function, where an observable is expected; is it to be called, or put into a pipe?")


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (
            lambda _: None,
            """error AttributeError("'NoneType' object has no attribute 'subscribe'"); is a return missing?""",
        ),
        (None, "raised TypeError: 'NoneType' object is not callable; is a return missing?"),
        (
            ops.merge(ops.map),  # type: ignore[arg-type]
            """AttributeError("'function' object has no attribute 'subscribe'"); is a function to be called there?""",
        ),
        (
            ops.catch(lambda _, __: "offline"),  # type: ignore[arg-type, return-value]
            "raised AttributeError: 'str' object has no attribute 'subscribe'; an observable is wanted there.",
        ),
        (
            ops.map(lambda value: value.upper().lowest),  # type: ignore[attr-defined]
            """error AttributeError("'str' object has no attribute 'lowest'").""",
        ),
    ],
)
def test_a_mistake_that_python_tells_in_its_own_way_is_guessed(
    answer: Any, what: str, told: Callable[..., list[str]]
) -> None:
    said = told(lambda: cold("-a-#").pipe(answer, ops.map(str)), "-A-(b,|)")
    assert said[0].endswith(what)


def test_a_subscription_is_called_so(told: Callable[..., list[str]]) -> None:
    (what,) = told(lambda: reactivex.never().subscribe())
    assert what == "✗ Exercise 7 is not there yet: it gave a subscription, where an observable is expected."


def test_what_is_no_observable_is_told(told: Callable[..., list[str]]) -> None:
    assert told(lambda: [1, 2], hint="Use of.") == [
        "✗ Exercise 7 is not there yet: it gave [1, 2], where an observable is expected.",
        "Hint: Use of.",
    ]


def test_what_the_answer_raises_is_told_with_its_line(told: Callable[..., list[str]]) -> None:
    cell: dict[str, Any] = {}
    exec(compile("def answer():\n    missing = nothing\n    return missing\n", "<cell>", "exec"), cell)
    what, where = told(cell["answer"])
    assert what == "✗ Exercise 7 is not there yet: running it raised NameError: name 'nothing' is not defined"
    assert where.startswith("  in line 2 of your answer:")


def test_what_the_check_itself_raises_says_what_is_off(told: Callable[..., list[str]]) -> None:
    def answer() -> None:
        raise TimeoutError("it has not returned within 3 seconds")

    assert told(answer) == ["✗ Exercise 7 is not there yet: it has not returned within 3 seconds."]


@pytest.mark.parametrize("fault", [ValueError("first\nsecond"), ValueError()])
def test_of_what_has_several_lines_the_first_is_told(fault: Exception, told: Callable[..., list[str]]) -> None:
    cell: dict[str, Any] = {"fault": fault}
    exec(compile("def answer():\n    raise fault\n", "<cell>", "exec"), cell)
    first = ("running it raised ValueError: first", "running it raised ValueError")
    assert told(cell["answer"])[0].endswith(first)


def test_an_answer_that_expects_something_itself_is_drawn_as_that(told: Callable[..., list[str]]) -> None:
    what, below, expected, actual, *_ = told(lambda: expect(cold("-b-|"), "-c-|"))
    assert what == "✗ Exercise 7 is not there yet: at 1 s, expected 'c', but got 'b'."
    assert below == "The mark is where the two differ:"
    assert re.fullmatch("expected ├─+c─+┤", expected)
    assert re.fullmatch("actual   ├─+b─+┤", actual)


def test_a_list_is_compared_one_by_one() -> None:
    assert check("Exercise 7", lambda: one_by_one([1, (2, 3)]), "1-x-|", {"x": (2, 3)})
    assert check("Exercise 7", lambda: one_by_one([]), "|")
    assert check("Exercise 7", lambda: one_by_one(iter("ab")), "a-b-|")


def test_an_answer_that_never_ends_is_left_alone_after_a_while(
    told: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rxecho.lessons, "_LIMIT", 0.1)
    comes = threading.Event()
    try:
        (what,) = told(lambda: comes.wait(30))
    finally:
        comes.set()
        for thread in threading.enumerate():
            if thread.name == "check":
                thread.join(10)
    assert what == (
        "✗ Exercise 7 is not there yet: "
        "it has not come to an end within 0.1 seconds; does it wait for what never comes?"
    )


def test_an_answer_that_ends_the_program_does(told: Callable[..., list[str]]) -> None:
    with pytest.raises(SystemExit):
        told(sys.exit)


def test_what_is_raised_elsewhere_is_told_without_a_line(told: Callable[..., list[str]]) -> None:
    (what,) = told(lambda: MarbleDiagram.parse("-(a"))
    assert what.startswith("✗ Exercise 7 is not there yet: running it raised ValueError: line 1")


# rxecho lessons


def test_the_lessons_are_copied_and_it_says_how_to_open_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "my course"
    assert main(["lessons", str(target)]) == 0
    said = capsys.readouterr()
    assert {path.name for path in target.iterdir()} == {path.name for path in notebooks().glob("*.ipynb")}
    number = len(list(target.iterdir()))
    assert number >= 2
    first, *others = said.out.splitlines()
    assert first == f"Copied {number} notebooks into {target}."
    assert others[-2] == f"Open them with: {shlex.quote(sys.executable)} -m jupyter lab '{target}'"
    assert "01-connect-listen-send-close.ipynb" in others[-1]
    assert said.err == ""


def test_without_a_folder_they_go_into_one_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lessons"]) == 0
    assert (tmp_path / "rxecho-lessons" / "01-connect-listen-send-close.ipynb").is_file()


def test_a_folder_whose_name_looks_like_an_option_is_told_as_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lessons", "--", "-x"]) == 0
    assert " -m jupyter lab ./-x\n" in capsys.readouterr().out


def test_what_was_worked_on_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "01-connect-listen-send-close.ipynb"
    mine.write_text("my answers")
    assert main(["lessons", str(tmp_path)]) == 0
    assert mine.read_text() == "my answers"
    assert "; 1 that were there already stayed as they are." in capsys.readouterr().out
    copied, there = copy_to(tmp_path)
    assert (copied, there) == (0, len(list(notebooks().glob("*.ipynb"))))


def test_copies_can_be_written_to_where_the_package_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "01-one.ipynb").write_text("{}")
    (package / "01-one.ipynb").chmod(0o444)
    monkeypatch.setattr(rxecho.lessons, "notebooks", lambda: package)
    copy_to(tmp_path / "copy")
    assert (tmp_path / "copy" / "01-one.ipynb").stat().st_mode & stat.S_IWUSR


def test_a_copy_that_fails_half_way_leaves_no_half_of_a_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "01-one.ipynb").mkdir()  # which cannot be read
    monkeypatch.setattr(rxecho.lessons, "notebooks", lambda: package)
    with pytest.raises(OSError, match="directory"):
        copy_to(tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["lessons", str(tmp_path / "file" / "under")]) == 1
    assert capfd.readouterr().err == f"rxecho: {tmp_path}/file/under cannot be written: Not a directory\n"


def test_the_folder_is_no_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["lessons", str(tmp_path / "file")]) == 2
    assert "is a file" in capfd.readouterr().err


@pytest.mark.parametrize(("pip", "advice"), [("sys", " -m pip install "), ("None", ": uv pip install --python ")])
def test_where_jupyterlab_is_missing_it_says_how_to_install_it(pip: str, advice: str, tmp_path: Path) -> None:
    without = f"import sys; sys.modules['jupyterlab'], sys.modules['pip'] = None, {pip}"
    command = f"{without}; from rxecho.cli import main; main(['lessons', sys.argv[1]])"
    done = subprocess.run(
        [sys.executable, "-c", command, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    (line,) = (line for line in done.stdout.splitlines() if "install" in line)
    assert advice in line
    assert line.endswith(" jupyterlab")
