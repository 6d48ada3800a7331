"""The course: where its notebooks are, and `check`, which tells whether an exercise of theirs is solved.

The notebooks themselves are written by `docs/course.py` and come with the package; `rxecho lessons` copies them.
"""

from __future__ import annotations

import linecache
import sys
import traceback
from concurrent.futures import Future, wait
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from reactivex import Observable

    from rxecho.marbles import MarbleDiagram

__all__ = ["check", "copy_to", "notebooks", "one_by_one"]

_T = TypeVar("_T")

_LIMIT = 20.0
"""Seconds that an answer may take."""


def check(
    exercise: str,
    answer: Callable[[], Any],
    marbles: str,
    lookup: Mapping[str | float, Any] | None = None,
    *,
    hint: str = "",
    error: Exception | None = None,
    timespan: float = 1.0,
    lane: str | None = None,
) -> bool:
    """Say whether an exercise is solved, and where it is not, what is off: in a sentence, and drawn.

    It never raises because of the answer, and waits for it for 20 seconds at most, so that a notebook runs on to its
    end.

    >>> from reactivex import operators as ops
    >>> from rxecho.marbles import cold
    >>> check("Exercise 1", lambda: cold("-a-b-|").pipe(ops.map(str.upper)), "-A-B-|")
    ✓ Exercise 1 is solved.
    True
    >>> check("Exercise 2", lambda: ..., "-a-|", hint="Look at ops.take again.")
    ○ Exercise 2 is still open: write your answer in place of the three dots.
    This is what it is to do:
    expected ├──...a──...┤
    actual   ├──...▸
    ...
    Hint: Look at ops.take again.
    False

    Args:
        exercise: Its name.
        answer: A function that gives what the answer does: an observable, a `Timeline` or a diagram. `...`, as it
            stands where an answer is to be written, is an exercise that is still open.
        marbles: What is expected, in RxPY's syntax.
        lookup: What a marble stands for, where that is not the text or the number itself.
        hint: What to try, in a sentence.
        error: What `#` stands for; without it, `#` is any error.
        timespan: Seconds that a character takes.
        lane: Which lane of a timeline is meant, by name; the last one that is no inner lane, unless given.
    """
    from reactivex import Observable, never

    from rxecho.marbles import Kind, MarbleDiagram, Mismatch, Timeline, expect

    def not_yet(what: str, diagram: MarbleDiagram | None = None) -> bool:
        print(what)
        if diagram:
            _show(diagram)
        if hint:
            print(f"Hint: {hint}")
        return False

    def compare() -> Any:
        given = answer()
        if isinstance(given, Timeline | MarbleDiagram | Observable):
            expect(given, marbles, lookup, error=error, timespan=timespan, lane=lane)
            return solved
        return given

    solved = object()
    outcome = _started(compare)
    if wait([outcome], _LIMIT).not_done:
        what = f"it has not come to an end within {_LIMIT:g} seconds; does it wait for what never comes?"
        return not_yet(f"✗ {exercise} is not there yet: {what}")
    try:
        given = outcome.result()
        if given is solved:
            print(f"✓ {exercise} is solved.")
            return True
    except Mismatch as mismatch:
        actual = mismatch.diagram.lanes[1]
        if all(one.value is not ... for one in actual.notifications):
            faults = [str(one.value) for one in actual.notifications if one.kind is Kind.ERROR]
            off = mismatch.what + ("".join(map(_guess, faults)) or ".")
            what = f"✗ {exercise} is not there yet: {off}\nThe mark is where the two differ:"
            return not_yet(what, mismatch.diagram)
        given = ...
    except Exception as fault:  # noqa: BLE001 - whatever a learner's code may raise is told kindly
        if "ellipsis" not in str(fault).lower():
            checking = sys._getframe(1).f_code.co_filename
            return not_yet(f"✗ {exercise} is not there yet: {_told(fault, checking)}")
        given = ...
    if given is not ...:
        gave = "a function" if callable(given) else "a subscription" if _is_subscription(given) else f"{given!r:.100}"
        guess = "; is a return missing?" if given is None else "; is it to be called, or put into a pipe?"
        what = f"✗ {exercise} is not there yet: it gave {gave}, where an observable is expected"
        return not_yet(what + (guess if given is None or callable(given) else "."))
    what = f"○ {exercise} is still open: write your answer in place of the three dots."
    try:
        expect(never(), marbles, lookup, error=error, timespan=timespan)
    except Mismatch as wanted:
        return not_yet(f"{what}\nThis is what it is to do:", wanted.diagram)
    return not_yet(what)


def one_by_one(values: Iterable[_T]) -> Observable[_T]:
    """The values of a list, of which only the order counts, as an observable: one every two seconds, then the end.

    What is expected of three is written as `a-b-c-|`, and drawn with room for each.

    >>> check("Exercise 3", lambda: one_by_one(["a", "b"]), "a-b-|")
    ✓ Exercise 3 is solved.
    True
    """
    import reactivex
    from reactivex import operators as ops

    listed = list(values)
    places: Observable[int] = reactivex.timer(0.0, 2.0)

    def is_one(place: int) -> bool:
        return place < len(listed)

    def value(place: int) -> _T:
        return listed[place]

    return places.pipe(ops.take_while(is_one), ops.map(value))


def _started(function: Callable[[], _T]) -> Future[_T]:
    """What a function returns or raises, from a thread of its own: an answer may wait for what never comes."""
    outcome: Future[_T] = Future()

    def call() -> None:
        try:
            outcome.set_result(function())
        except BaseException as fault:  # noqa: BLE001 - raised again by whoever asks for the outcome
            outcome.set_exception(fault)

    Thread(target=call, name="check", daemon=True).start()
    return outcome


def _show(diagram: MarbleDiagram) -> None:
    from rich import get_console

    if get_console().is_jupyter:
        from IPython.display import display

        display(diagram)
    else:
        print(diagram._repr_mimebundle_()["text/plain"])


def _told(fault: Exception, checking: str) -> str:
    """What went wrong, in a line, and the learner's line that it comes from.

    Args:
        fault: What was raised.
        checking: The name of the file, or the cell, that checks. What that raises by itself says what is off.
    """
    frames = traceback.extract_tb(fault.__traceback__)
    if frames[-1].filename == checking and str(fault):
        return f"{fault}."
    last = -1 if isinstance(fault, SyntaxError) else 0
    what = "".join(traceback.format_exception_only(fault)).strip().splitlines()[last] + _guess(str(fault))
    cells = [frame for frame in frames if frame.filename != checking and _is_cell(frame.filename)]
    if not cells:
        return f"running it raised {what}"
    line = cells[-1].line or linecache.getline(cells[-1].filename, cells[-1].lineno or 0).strip()
    return f"running it raised {what}\n  in line {cells[-1].lineno} of your answer: {line}"


def _guess(fault: str) -> str:
    """What the mistake probably is, where Python's own words for it lead nowhere."""
    if fault in ("'NoneType' object is not callable", "'NoneType' object has no attribute 'subscribe'"):
        return "; is a return missing?"
    if fault == "'function' object has no attribute 'subscribe'":
        return "; is a function to be called there?"
    if fault.endswith("has no attribute 'subscribe'"):
        return "; an observable is wanted there."
    return ""


def _is_subscription(given: object) -> bool:
    return hasattr(given, "dispose") and not hasattr(given, "on_next")


def _is_cell(filename: str) -> bool:
    return "ipykernel_" in filename or filename.startswith("<cell")


def notebooks() -> Path:
    """The folder with the notebooks: in the package, or, where that runs from its repository, there.

    >>> sorted(path.name for path in notebooks().glob("*.ipynb"))[0]
    '01-connect-listen-send-close.ipynb'
    """
    package = Path(__file__).parent
    installed = package / "notebooks"
    return installed if installed.is_dir() else package.parent / "notebooks"


def copy_to(directory: Path) -> tuple[int, int]:
    """Copy the notebooks into a folder, which is made where there is none. What is there already stays as it is.

    Returns:
        How many were copied, and how many were there already.

    Raises:
        OSError: The folder cannot be written.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     copied, there = copy_to(Path(directory))
    ...     copy_to(Path(directory)) == (0, copied)
    True
    """
    directory.mkdir(parents=True, exist_ok=True)
    copied = there = 0
    for notebook in sorted(notebooks().glob("*.ipynb")):
        target = directory / notebook.name
        try:
            with target.open("xb") as copy:
                copied += 1
                try:
                    copy.write(notebook.read_bytes())
                    copy.flush()
                except BaseException:
                    target.unlink()  # a half of one would be taken for a whole one the next time
                    raise
        except FileExistsError:
            there += 1
    return copied, there
