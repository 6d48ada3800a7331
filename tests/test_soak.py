"""The soak itself, for some seconds: it goes through everything, and finds what is wrong."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from numbered_peer import Ending
from soak import Sample, growth

COMMAND = [sys.executable, str(Path(__file__).with_name("soak.py"))]


def test_some_seconds_pass_and_have_seen_every_kind_of_end() -> None:
    soak = subprocess.run([*COMMAND, "--minutes", "0.08"], capture_output=True, text=True, timeout=50)
    assert (soak.returncode, soak.stderr) == (0, "")
    figures, verdict = soak.stdout.splitlines()[-2:]
    assert verdict == "seed 1: PASSED"
    sent, received = re.findall(r"([\d,]+) (?:sent|received)", figures)
    assert int(sent.replace(",", "")) > 1000
    assert int(received.replace(",", "")) > 1000
    assert all(re.search(rf"[(,] ?{ending}: [1-9]", figures) for ending in Ending), figures
    assert not re.search(r" 0 (over TLS|stalls)", figures)


@pytest.mark.parametrize(
    ("sabotage", "fault"),
    [
        ("lose", "instead of"),
        ("double", "instead of"),
        ("swap", "instead of"),
        ("forget", "messages were added before the close, and"),
        ("boast", "the peer said"),
    ],
)
def test_a_peer_that_lies_is_found_out(sabotage: str, fault: str) -> None:
    command = [*COMMAND, "--minutes", "0.5", "--seed", "2", "--sabotage", sabotage]
    soak = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert (soak.returncode, soak.stderr) == (1, "")
    faults = [line for line in soak.stdout.splitlines() if line.startswith("FAULT: ")]
    assert faults
    assert all(fault in line for line in faults)
    assert soak.stdout.endswith("seed 2: FAILED\n")


def test_an_interrupt_ends_it_with_the_verdict_so_far() -> None:
    with subprocess.Popen([*COMMAND, "--minutes", "1"], stdout=subprocess.PIPE, text=True) as soak:
        assert soak.stdout
        soak.stdout.readline()
        soak.send_signal(signal.SIGINT)
        assert soak.stdout.read().endswith("seed 1: PASSED\n")
    assert soak.returncode == 0


def test_what_grows_and_does_not_shrink_again_is_found_out() -> None:
    before = [Sample(20, 40, 100.0)] * 10
    assert list(growth([*before, Sample(99, 99, 999.0), *before])) == []
    assert list(growth([*before, *[Sample(22, 44, 104.0)] * 10])) == []
    assert list(growth([*before, *[Sample(23, 45, 105.0)] * 10])) == [
        "threads grew from 20.0 to 23.0",
        "descriptors grew from 40.0 to 45.0",
        "mebibytes grew from 100.0 to 105.0",
    ]
