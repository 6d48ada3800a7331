"""Shell completion: the script that a shell reads, and what it then offers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rxecho.cli import main

TIMEOUT = 20.0


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """A directory with `rxecho` in it, as an installation has it."""
    file = tmp_path / "rxecho"
    file.write_text(f'#!/bin/sh\nexec {sys.executable} -m rxecho "$@"\n')
    file.chmod(0o755)
    return tmp_path


def offered_by_bash(command: Path, *words: str) -> list[str]:
    """What bash has to offer when Tab is pressed behind these words."""
    script = """
        eval "$(rxecho completion bash)"
        compopt() { printf 'compopt %s %s\\n' "$@"; }  # which works only while a completion is under way
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        "$(complete -p rxecho | sed 's/.*-F \\([^ ]*\\).*/\\1/')" rxecho
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    environment = {**os.environ, "PATH": f"{command}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", *words],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
        env=environment,
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")


@needs_bash
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["con"], ["connect"]),
        (["connect", "--show"], ["--show-ping-pong"]),
        (["connect", "--js"], ["--json"]),
        (["connect", "ws://127.0.0.1/", "--json", "--no-h"], ["--no-history"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["connect", "--ca", ""], ["compopt -o default", ""]),
        (["ws://127.0.0.1/", "con"], ["connect"]),
        (["connect", "-p", "exit(7)", "--bin"], ["--binary"]),
    ],
)
def test_bash_completes_commands_options_and_files(command: Path, words: list[str], offered: list[str]) -> None:
    assert offered_by_bash(command, "rxecho", *words) == offered


@pytest.mark.parametrize(
    ("shell", "says"), [("zsh", "#compdef rxecho"), ("fish", "complete --no-files --command rxecho")]
)
def test_the_script_of_another_shell_is_printed_too(shell: str, says: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    out, err = capfd.readouterr()
    assert says in out
    assert err == ""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_that_shell_can_read_it(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    main(["completion", shell])
    done = subprocess.run([shell, "-n"], input=capfd.readouterr().out, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0


def test_without_a_name_it_is_for_the_shell_that_is_used(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert main(["completion"]) == 0
    assert "complete --no-files" in capfd.readouterr().out


@pytest.mark.parametrize(("args", "shell"), [([], "/bin/tcsh"), ([], ""), (["tcsh"], "/bin/bash")])
def test_a_shell_without_completion_is_wrong_usage(
    args: list[str], shell: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELL", shell)
    assert main(["completion", *args]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "fish" in err
    assert err.count("\n") == 1


def test_what_is_completed_needs_no_more_than_click() -> None:
    program = """if True:
        import sys
        from rxecho.cli import main
        try:
            main([])
        except SystemExit:
            heavy = {"asyncio", "prompt_toolkit", "reactivex", "rich", "ssl", "websocket", "websockets"}
            print(heavy & set(sys.modules))
    """
    asked = {
        "COMP_WORDS": "rxecho connect -p ops.map(str) --pl",
        "COMP_CWORD": "4",
        "_RXECHO_COMPLETE": "bash_complete",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=TIMEOUT, check=True, env={**os.environ, **asked}
    )
    assert done.stdout.decode() == "plain,--plain\nset()\n"
