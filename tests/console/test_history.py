"""The history's file: what is in it, who may read it, and what happens when it cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rxecho.console.history import KEPT, LONGEST, History


def history(path: Path | None, told: list[str] | None = None) -> History:
    def tell(what: str) -> None:
        assert told is not None, what
        told.append(what)

    return History(path, tell)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=20))
def test_lines_come_back_as_they_were(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "history"
    path.unlink(missing_ok=True)
    for line in lines:
        history(path).add(line)
    assert history(path).load() == tuple(lines)


def test_a_line_that_is_sent_again_and_again_is_kept_once_in_the_next_run_too(tmp_path: Path) -> None:
    for _ in range(2):
        book = history(tmp_path / "history")
        book.load()
        for line in ("one", "two", "two"):
            book.add(line)
        book.add("two")
    assert history(tmp_path / "history").load() == ("one", "two", "one", "two")


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "config" / "history"
    previous = os.umask(0)
    try:
        history(path).add("secret")
    finally:
        os.umask(previous)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_of_a_shortened_file_the_newest_lines_are_left_and_nobody_else_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "history"
    book = history(path)
    for number in range(KEPT + 5):
        book.add(str(number))
    book.shorten()
    assert history(path).load() == tuple(str(number) for number in range(5, KEPT + 5))
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_several_consoles_add_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "history"
    one, other = history(path), history(path)
    for book in (one, other):
        assert book.load() == ()
    one.add("from one")
    other.add("from the other")
    one.add("from one again")
    one.shorten()
    other.shorten()
    assert history(path).load() == ("from one", "from the other", "from one again")


def test_a_line_that_is_very_long_is_not_kept(tmp_path: Path) -> None:
    book = history(tmp_path / "history")
    book.add("x" * (LONGEST + 1))
    book.add("x" * LONGEST)
    assert [len(line) for line in book.load()] == [LONGEST]


def test_what_is_no_line_in_the_file_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(b'"one"\n\xff\xfe\n\n{"a": 1}\n"\\ud800"\n' + b"[" * 100_000 + b'\n"two"\n"thr')
    assert history(path).load() == ("one", "two")


def test_without_a_path_nothing_is_kept() -> None:
    book = history(None)
    book.add("one")
    book.shorten()
    assert book.load() == ()


def test_what_cannot_be_read_is_told_once_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.mkdir()
    said: list[str] = []
    book = history(path, said)
    assert book.load() == ()
    book.add("one")
    book.shorten()
    assert said == [f"no history is kept: {path} cannot be read: Is a directory; see --no-history"]


def test_what_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file")
    path = tmp_path / "config" / "history"
    said: list[str] = []
    book = history(path, said)
    for line in ("one", "two"):
        book.add(line)
    assert len(said) == 1
    assert "cannot be written: " in said[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is full here")
def test_a_full_disk_is_told_once() -> None:
    said: list[str] = []
    book = history(Path("/dev/full"), said)
    for line in ("one", "two"):
        book.add(line)
    assert said == ["no history is kept: /dev/full cannot be written: No space left on device; see --no-history"]
