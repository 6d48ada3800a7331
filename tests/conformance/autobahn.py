"""The Autobahn|Testsuite against rxecho: how a WebSocket client has to behave, judged by somebody else.

Run as `uv run python tests/conformance/autobahn.py`. The suite is a server that misbehaves on purpose, and one case
is one connection to it: rxecho sends back what it receives until the stream ends, and the suite says afterwards
what it thought of that. It needs a Python 2.7; without one this says so and is content.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from time import monotonic
from typing import Any, Final

from reactivex import operators as ops

from rxecho import WebSocketChannel

ROOT: Final = Path(__file__).parent.parent.parent
README: Final = ROOT / "README.md"
BEGIN: Final = "<!-- autobahn: begin -->\n"
END: Final = "<!-- autobahn: end -->\n"

SUITE: Final = "autobahntestsuite==25.10.1"
SKIPPED: Final = "SKIPPED: no Python 2.7 here, which the Autobahn test suite needs"

GROUPS: Final = {
    1: ("Framing", 16),
    2: ("Pings and pongs", 11),
    3: ("Reserved bits", 7),
    4: ("Opcodes", 10),
    5: ("Fragmentation", 20),
    6: ("UTF-8", 145),
    7: ("Closing", 37),
    9: ("Limits and performance", 54),
    10: ("Auto-fragmentation", 1),
    12: ("Compression of different payloads", 90),
    13: ("Compression with different parameters", 126),
}
"""What each group of cases is about, and how many it has. There are no others."""

DEADLINE: Final = 240.0
"""Seconds that a case may take. On an idle machine the slowest takes 20, which is the suite's own time."""

GOOD: Final = ("OK", "INFORMATIONAL")

EXPLANATION: Final = (
    "description",
    "expectation",
    "expected",
    "received",
    "result",
    "resultClose",
    "remoteCloseCode",
)
"""What to show of the suite's report on a failed case, which is HTML in part."""


@dataclass(frozen=True)
class Case:
    """A case that was run."""

    id: str
    seconds: float
    end: Exception | None
    """How the stream ended: `TimeoutError` where it did not."""

    @property
    def group(self) -> int:
        return int(self.id.partition(".")[0])


@dataclass(frozen=True)
class Verdict:
    """What the suite said of a case."""

    case: Case
    behavior: str
    close: str

    @property
    def is_good(self) -> bool:
        return self.behavior in GOOD and self.close in GOOD


def judge(cases: Sequence[Case], report: Mapping[str, Mapping[str, Any]]) -> list[Verdict]:
    """What became of each case, by the suite's report on them."""
    verdicts = []
    for case in cases:
        said = report.get(case.id, {})
        behavior = "NO END" if isinstance(case.end, TimeoutError) else said.get("behavior", "MISSING")
        verdicts.append(Verdict(case, behavior, said.get("behaviorClose", "MISSING")))
    return verdicts


def faults(verdicts: Sequence[Verdict], report: Path, *, is_all: bool) -> list[str]:
    """What is wrong with each case that is not good, and with the number of cases.

    Args:
        verdicts: On the cases that were run.
        report: The folder with the suite's report on each.
        is_all: Whether all cases were to be run.
    """
    found = [explain(verdict, report) for verdict in verdicts if not verdict.is_good]
    counts = Counter(verdict.case.group for verdict in verdicts)
    if is_all and counts != (wanted := {group: count for group, (_, count) in GROUPS.items()}):
        found.append(f"cases of each group: there should be {wanted}, and {dict(counts)} were run")
    if not verdicts:
        found.append("no case was run")
    return found


def explain(verdict: Verdict, report: Path) -> str:
    """What went wrong in a case, by the report on that case."""
    case = verdict.case
    lines = [f"{case.id}: behavior {verdict.behavior}, close {verdict.close}; the stream ended with {case.end!r}"]
    file = report / f"rxecho_case_{case.id.replace('.', '_')}.json"
    if file.exists():
        details = json.loads(file.read_text())
        for name in EXPLANATION:
            words = re.sub(r"<[^>]*>", " ", str(details[name])).split()
            lines.append(f"{name}: {' '.join(words):.1000}")
    return "\n    ".join(lines)


def table(verdicts: Sequence[Verdict], *, with_time: bool) -> str:
    """A line for each group of cases, and one for all, in Markdown."""
    rows = [
        ("Autobahn cases", "run", "OK", "informational", "other", "seconds"),
        ("---", *["---:"] * 5),
    ]

    def add(name: str, chosen: Sequence[Verdict]) -> None:
        counts = Counter(verdict.behavior if verdict.is_good else "other" for verdict in chosen)
        seconds = sum(verdict.case.seconds for verdict in chosen)
        figures = len(chosen), counts["OK"], counts["INFORMATIONAL"], counts["other"], f"{seconds:.1f}"
        rows.append((name, *map(str, figures)))

    for group, (name, _) in GROUPS.items():
        if chosen := [verdict for verdict in verdicts if verdict.case.group == group]:
            add(f"{group}. {name}", chosen)
    add("all", verdicts)
    return "".join(
        f"| {name:41} | {' | '.join(f'{figure:>13}' for figure in (figures if with_time else figures[:-1]))} |\n"
        for name, *figures in rows
    )


def with_table(readme: str, table: str) -> str:
    """README with this table between its two markers.

    Raises:
        ValueError: It does not have them.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"README.md lacks the lines between which the table goes: {BEGIN}{END}")
    return f"{before}{begin}\n{table}\n{end}{after}"


# The suite: finding a Python for it, installing it, running it.


def find_python(candidates: Sequence[str]) -> str | None:
    """The first that is a Python 2.7 with pip."""
    probe = "import pip, sys; sys.exit(sys.version_info[:2] != (2, 7))"
    for candidate in candidates:
        # Also where there is a file of that name it may be no more than pyenv's hint at other versions.
        if shutil.which(candidate) and not subprocess.run([candidate, "-c", probe], capture_output=True).returncode:
            return candidate
    return None


def pythons_of_pyenv() -> list[str]:
    if not shutil.which("pyenv"):
        return []
    listed = subprocess.run(["pyenv", "whence", "--path", "python2.7"], capture_output=True, text=True)
    return listed.stdout.splitlines()


def install(python: str) -> Path:
    """The folder with the suite in it, filled on the first run."""
    site = ROOT / "build" / SUITE
    if not site.exists():
        site.parent.mkdir(exist_ok=True)
        # What an interrupted run leaves is never taken for the whole.
        with tempfile.TemporaryDirectory(dir=site.parent) as temporary:
            command = [python, "-m", "pip", "install", "--target", f"{temporary}/site", SUITE]
            pip = subprocess.run(command, capture_output=True, text=True)
            if pip.returncode:
                raise SystemExit(f"{SUITE} could not be installed on {python}:\n{pip.stderr}")
            Path(temporary, "site").rename(site)
    return site


# `wstest` by itself listens on every interface. The socket that it is given is on loopback, and already listens.
WSTEST = """
import site, socket, sys
listening, installed = int(sys.argv.pop()), sys.argv.pop()
sys.path.insert(0, installed)
site.addsitedir(installed)  # for the .pth file that makes a package of zope
from autobahntestsuite import wstest  # chooses the reactor, so it comes first
from twisted.internet import reactor
reactor.listenTCP = lambda port, factory, *others: reactor.adoptStreamPort(listening, socket.AF_INET, factory)
wstest.run()
"""


@dataclass(frozen=True)
class FuzzingServer:
    """The suite's server, and where it is."""

    url: str
    process: subprocess.Popen[bytes]

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """Meanwhile it does nothing, and answers nobody."""
        self.process.send_signal(signal.SIGSTOP)
        yield
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def fuzzing_server(python: str, patterns: Sequence[str], folder: Path) -> Iterator[FuzzingServer]:
    """Run the suite's server, which reports and logs into that folder."""
    site = install(python)
    with socket.create_server(("127.0.0.1", 0)) as listening, (folder / "wstest.log").open("w") as log:
        listening.setblocking(False)  # as Twisted wants it
        url = f"ws://127.0.0.1:{listening.getsockname()[1]}"
        spec = folder / "spec.json"
        spec.write_text(json.dumps({"url": url, "outdir": str(folder), "cases": patterns}))
        options = ["-m", "fuzzingserver", "-s", str(spec), "--webport", "0"]
        process = subprocess.Popen(
            [python, "-u", "-c", WSTEST, *options, str(site), str(listening.fileno())],
            pass_fds=[listening.fileno()],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield FuzzingServer(url, process)
    except Exception:
        print((folder / "wstest.log").read_text()[-2000:], file=sys.stderr)
        raise
    finally:
        process.kill()
        process.wait()


# rxecho's side.


def ask(url: str) -> Any:
    """The one message that the suite answers with."""
    with WebSocketChannel.connect(url, connect_timeout=DEADLINE) as channel:  # it may only just have been started
        return json.loads(channel.stream.pipe(ops.first()).run())


def run_case(server: FuzzingServer, number: int) -> Case:
    """Send back what comes in the case of that number, until the stream ends."""
    case_id = ask(f"{server.url}/getCaseInfo?case={number}")["id"]
    ends: Queue[Exception | None] = Queue()
    began = monotonic()
    with server.asleep():  # or, on a busy machine, it may have said all before there is a subscriber who answers
        channel = WebSocketChannel.connect(f"{server.url}/runCase?case={number}&agent=rxecho")
        channel.stream.subscribe(channel.sink.on_next, ends.put, lambda: ends.put(None))
    try:
        end = ends.get(timeout=DEADLINE)
    except Empty:
        end = TimeoutError(f"it did not end within {DEADLINE:g} s")
        channel.sink.close()
    return Case(case_id, monotonic() - began, end)


def run(python: str, patterns: Sequence[str], folder: Path) -> list[Verdict]:
    """Run the cases, and have the suite report on them into that folder."""
    with fuzzing_server(python, patterns, folder) as server:
        cases: list[Case] = []
        for number in range(1, ask(f"{server.url}/getCaseCount") + 1):
            case = run_case(server, number)
            if not cases or case.group != cases[-1].group:
                print(f"{case.group}. {GROUPS[case.group][0]} ...", flush=True)
            cases.append(case)
        with WebSocketChannel.connect(f"{server.url}/updateReports?agent=rxecho") as channel:
            channel.ready.result()
            channel.sink.done.result(DEADLINE)
    index = json.loads((folder / "index.json").read_text())
    return judge(cases, index.get("rxecho", {}))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python2", metavar="PATH", help="the Python 2.7 to run the suite on, instead of finding one")
    parser.add_argument("--cases", nargs="+", metavar="PATTERN", help="only these, such as 1.1.1 or '6.4.*'")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the suite's full report there, as HTML and JSON")
    options = parser.parse_args(arguments)
    if options.readme:
        if options.cases:
            parser.error("README.md shows all cases: leave out --cases")
        try:  # now, and not only after all cases were run
            with_table(README.read_text(), "")
        except ValueError as error:
            parser.error(str(error))
    python = find_python([options.python2] if options.python2 else ["python2.7", *pythons_of_pyenv()])
    if not python:
        if options.python2:
            parser.error(f"{options.python2} is not a Python 2.7 with pip")
        print(SKIPPED)
        return 0

    # Whoever ends this ends the suite's server, too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary)
        try:
            verdicts = run(python, options.cases or ["*"], report)
        finally:
            if options.keep:
                shutil.copytree(report, options.keep, dirs_exist_ok=True)
        found = faults(verdicts, report, is_all=not options.cases)

    closes = Counter(verdict.close for verdict in verdicts)
    print(f"\n{table(verdicts, with_time=True)}")
    print("closing behaviour:", ", ".join(f"{count} {close}" for close, count in closes.items()))
    for fault in found:
        print(f"\n{fault}")
    if options.readme:
        README.write_text(with_table(README.read_text(), table(verdicts, with_time=False)))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
