"""The Autobahn driver itself: what it lets pass and what not, and what it does on a machine that lacks something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import autobahn
import pytest
from autobahn import BEGIN, END, GROUPS, SKIPPED, Case, FuzzingServer, Verdict
from raw_server import CLOSE, TEXT, Peer, raw_server

from rxecho import ProtocolError

ALL = [Case(f"{group}.{number + 1}", 0.0, None) for group, (_, count) in GROUPS.items() for number in range(count)]


def said(behavior: str = "OK", close: str = "OK") -> dict[str, str]:
    """An entry in the suite's index."""
    return {"behavior": behavior, "behaviorClose": close}


def faults(cases: Sequence[Case], report: Mapping[str, Mapping[str, str]], *, is_all: bool = False) -> list[str]:
    return autobahn.faults(autobahn.judge(cases, report), Path("no such folder"), is_all=is_all)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_all_cases_are_the_301_of_the_protocol_and_the_216_of_compression() -> None:
    assert len([case for case in ALL if case.group <= 10]) == 301
    assert len([case for case in ALL if case.group in (12, 13)]) == 216


def test_a_report_in_which_every_case_is_ok_or_informational_passes() -> None:
    report = {case.id: said() for case in ALL} | {"7.1": said("INFORMATIONAL", "INFORMATIONAL")}
    assert faults(ALL, report, is_all=True) == []


@pytest.mark.parametrize("behavior", ["NON-STRICT", "UNIMPLEMENTED", "FAILED", "WRONG CODE", "something new"])
def test_a_case_with_any_other_behavior_fails(behavior: str) -> None:
    (fault,) = faults([Case("6.4.1", 0.0, None)], {"6.4.1": said(behavior)})
    assert f"6.4.1: behavior {behavior}," in fault


@pytest.mark.parametrize("close", ["WRONG CODE", "UNCLEAN", "FAILED", "FAILED BY CLIENT", "NON-STRICT"])
def test_a_case_that_was_closed_in_any_other_way_fails(close: str) -> None:
    (fault,) = faults([Case("7.3.1", 0.0, None)], {"7.3.1": said("OK", close)})
    assert f"close {close}" in fault


def test_a_case_that_the_report_leaves_out_fails() -> None:
    (fault,) = faults([Case("1.1.1", 0.0, None), Case("1.1.2", 0.0, None)], {"1.1.2": said()})
    assert "1.1.1: behavior MISSING," in fault


def test_a_case_that_did_not_end_in_time_fails_whatever_the_report_says() -> None:
    (fault,) = faults([Case("9.1.1", 240.0, TimeoutError("it did not end within 240 s"))], {"9.1.1": said()})
    assert "it did not end within 240 s" in fault


def test_cases_that_were_not_run_fail_where_all_were_to_be() -> None:
    report = {case.id: said() for case in ALL}
    assert faults(ALL[1:], report) == []
    (fault,) = faults(ALL[1:], report, is_all=True)
    assert "{1: 15, " in fault


@pytest.mark.parametrize("is_all", [True, False])
def test_no_case_at_all_fails(is_all: bool) -> None:
    assert faults([], {}, is_all=is_all)


def test_a_failed_case_is_explained_by_the_report_on_it(tmp_path: Path) -> None:
    details = {
        "description": "Send <b>text</b>.",
        "expectation": "Echo.<br>Clean close.",
        "expected": {"OK": [["message", "Hello", False]]},
        "received": [["message", "Hell", False]],
        "result": "Actual events differ from any expected.",
        "resultClose": "The close code should have been 1000 or empty",
        "remoteCloseCode": 1002,
    }
    (tmp_path / "rxecho_case_1_1_2.json").write_text(json.dumps(details))
    verdict = Verdict(Case("1.1.2", 0.0, ProtocolError("no")), "FAILED", "WRONG CODE")
    (fault,) = autobahn.faults([verdict], tmp_path, is_all=False)
    assert fault.splitlines() == [
        "1.1.2: behavior FAILED, close WRONG CODE; the stream ended with ProtocolError('no')",
        "    description: Send text .",
        "    expectation: Echo. Clean close.",
        "    expected: {'OK': [['message', 'Hello', False]]}",
        "    received: [['message', 'Hell', False]]",
        "    result: Actual events differ from any expected.",
        "    resultClose: The close code should have been 1000 or empty",
        "    remoteCloseCode: 1002",
    ]


def test_the_table_counts_the_cases_of_each_group_by_what_became_of_them() -> None:
    cases = [Case(case_id, 0.5, None) for case_id in ("1.1", "1.2", "10.1", "10.2", "10.3")]
    report = {
        "1.1": said(),
        "1.2": said("INFORMATIONAL"),
        "10.1": said("OK", "UNCLEAN"),
        "10.2": said("NON-STRICT"),
        "10.3": said("OK", "INFORMATIONAL"),
    }
    shown = autobahn.table(autobahn.judge(cases, report), with_time=True).splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in shown] == [
        ["Autobahn cases", "run", "OK", "informational", "other", "seconds"],
        ["---", "---:", "---:", "---:", "---:", "---:"],
        ["1. Framing", "2", "1", "1", "0", "1.0"],
        ["10. Auto-fragmentation", "3", "1", "0", "2", "1.5"],
        ["all", "5", "2", "1", "2", "2.5"],
    ]


def test_the_table_for_readme_is_the_same_whatever_the_time() -> None:
    slow, fast = (
        autobahn.table(autobahn.judge([Case("1.1", seconds, None)], {"1.1": said()}), with_time=False)
        for seconds in (99.0, 0.1)
    )
    assert slow == fast


def test_readme_changes_between_its_markers_only_and_twice_the_same_changes_nothing() -> None:
    readme = f"before\n{BEGIN}old\n{END}after\n"
    written = autobahn.with_table(readme, "| new |\n")
    assert written == f"before\n{BEGIN}\n| new |\n\n{END}after\n"
    assert autobahn.with_table(written, "| new |\n") == written


@pytest.mark.parametrize("readme", ["", f"{BEGIN}", f"{END}", f"{END}{BEGIN}"])
def test_a_readme_without_both_markers_in_order_is_refused(readme: str) -> None:
    with pytest.raises(ValueError, match="autobahn: begin"):
        autobahn.with_table(readme, "| new |\n")


def test_where_there_is_no_python_2_7_it_says_so_and_that_is_no_failure(tmp_path: Path) -> None:
    script(tmp_path / "python2.7", "echo 'python2.7: command not found' >&2; exit 127")
    ran = subprocess.run(
        [sys.executable, autobahn.__file__],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": str(tmp_path)},
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{SKIPPED}\n", "")


def test_a_python_that_was_asked_for_and_is_not_2_7_is_refused() -> None:
    ran = subprocess.run(
        [sys.executable, autobahn.__file__, "--python2", sys.executable], capture_output=True, text=True
    )
    assert ran.returncode == 2
    assert f"{sys.executable} is not a Python 2.7 with pip" in ran.stderr


def test_an_installation_that_was_cut_short_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autobahn, "ROOT", tmp_path)
    # The arguments are: -m pip install --target FOLDER PACKAGE.
    failing = script(tmp_path / "failing", 'mkdir "$5"; touch "$5/half"; echo "no network" >&2; exit 1')
    with pytest.raises(SystemExit, match="no network"):
        autobahn.install(failing)
    working = script(tmp_path / "working", 'mkdir "$5"; touch "$5/whole"')
    site = autobahn.install(working)
    assert [file.name for file in site.iterdir()] == ["whole"]
    assert autobahn.install(failing) == site


@contextmanager
def suite(conduct: Callable[[Peer], object]) -> Iterator[FuzzingServer]:
    """A server that has the case 1.1.1, where the client meets that conduct."""

    def serve(peer: Peer) -> None:
        with suppress(EOFError, ConnectionError):  # a case may be given up at any time
            head = peer.read_head()
            peer.open(head=head)
            if b"/getCaseInfo?case=1 " in head:
                peer.send(TEXT, b'{"id": "1.1.1"}')
                peer.close()
            else:
                assert b"/runCase?case=1&agent=rxecho " in head
                conduct(peer)

    with raw_server(serve) as port, subprocess.Popen(["sleep", "60"]) as process:
        try:
            yield FuzzingServer(f"ws://127.0.0.1:{port}", process)
        finally:
            process.kill()


def test_a_case_is_echoed_until_the_stream_ends() -> None:
    def conduct(peer: Peer) -> None:
        peer.send(TEXT, b"Hello")
        assert peer.receive() == (TEXT, b"Hello")
        peer.close()

    with suite(conduct) as server:
        case = autobahn.run_case(server, 1)
    assert (case.id, case.end) == ("1.1.1", None)


def test_a_case_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autobahn, "DEADLINE", 0.5)

    with suite(lambda peer: peer.receive_until(CLOSE)) as server:
        case = autobahn.run_case(server, 1)
    assert case.id == "1.1.1"
    assert repr(case.end) == "TimeoutError('it did not end within 0.5 s')"
