"""What the figures of echo.py say: whether rxecho reaches what it aims at, and README's tables."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

Results = dict[str, Any]
"""What is in echo.json."""

NOISY = 0.25
"""Where either client's runs are further apart than this part of their median, CPU time says which is faster."""

FLAT = 1.2
"""What costs no more than so many times the least of its kind has not grown."""

MAX_SECONDS = 10
MAX_KIB_A_CHANNEL = 120
MAX_THREADS = 1001
"""For a thousand channels: one each, and the flusher that they share."""
MAX_KIB_MORE = 1024

ACCELERATORS = {"picows": ["uvloop"], "websockets": ["uvloop"], "aiohttp": ["uvloop"], "websocket-client": ["wsaccel"]}
"""The package with which a client is faster, its own documentation says."""

TIMES = "\N{MULTIPLICATION SIGN}"

IN_README = ("small", "round_trip", "kilobyte", "hundred_kilobytes", "megabyte", "tls")
README_BEGIN, README_END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"


@dataclass(frozen=True)
class Figures:
    """What was measured of a client at a work, run by run."""

    speeds: list[float]
    """Messages a second."""
    costs: list[float]
    """CPU microseconds a message."""

    @property
    def speed(self) -> float:
        return statistics.median(self.speeds)

    @property
    def cost(self) -> float:
        return statistics.median(self.costs)

    @property
    def spread(self) -> float:
        return (max(self.speeds) - min(self.speeds)) / self.speed


def figures_of(results: Results, work: str) -> dict[str, Figures]:
    """Of each client."""
    return {
        client: Figures(runs["messages_a_second"], runs["cpu_microseconds_a_message"])
        for client, runs in results["works"][work]["clients"].items()
    }


@dataclass(frozen=True)
class Verdict:
    work: str
    target: str
    figure: str
    is_reached: bool
    accelerator: str = ""
    """The package that helps the peer."""


@dataclass(frozen=True)
class Target:
    """What rxecho is to be to a peer: so many times as fast, or no more than so many times the time for a message."""

    work: str
    peer: str
    ratio: float
    is_time: bool = False

    def judge(self, results: Results) -> Iterator[Verdict]:
        """Compare with the peer alone, and with the package that accelerates it, as far as they were measured."""
        figures = figures_of(results, self.work)
        for accelerator in ("", *ACCELERATORS.get(self.peer, ())):
            theirs = figures.get(f"{self.peer} + {accelerator}" if accelerator else self.peer)
            if theirs and "rxecho" in figures:
                yield self._compare(results["works"][self.work]["title"], figures["rxecho"], theirs, accelerator)

    def _compare(self, work: str, ours: Figures, theirs: Figures, accelerator: str) -> Verdict:
        is_noisy = max(ours.spread, theirs.spread) > NOISY
        ratio = theirs.cost / ours.cost if is_noisy else ours.speed / theirs.speed
        if self.is_time:
            ratio = 1 / ratio
        return Verdict(
            work,
            f"{'at most' if self.is_time else 'at least'} {self.ratio:.1f} {TIMES} {self.peer}",
            f"{ratio:.2f} {TIMES}{' (CPU)' if is_noisy else ''}",
            ratio <= self.ratio if self.is_time else ratio >= self.ratio,
            accelerator,
        )


TARGETS = (
    Target("small", "picows", 1.0),
    Target("small", "RxJS", 1.2),
    Target("small", "websockets", 2.5),
    Target("small", "websocket-client", 4.0),
    Target("round_trip", "bare socket", 1.3, is_time=True),
    Target("round_trip", "picows", 1.2, is_time=True),
    Target("round_trip", "websocket-client", 0.8, is_time=True),
    Target("round_trip_main", "websockets sync", 1.0, is_time=True),
    Target("kilobyte", "picows", 1.0),
    Target("hundred_kilobytes", "websockets", 1.2),
    Target("hundred_kilobytes", "aiohttp", 1.0),
    Target("hundred_kilobytes", "picows", 0.8),
    Target("megabyte", "websockets", 1.0),
    Target("megabyte", "picows", 1.0),
    Target("main_sends", "websocket-client", 3.0),
    Target("main_sends", "websockets sync", 2.5),
    Target("tls", "websockets", 1.0),
)


def judge(results: Results) -> Iterator[Verdict]:
    """All that can be said of what was measured."""
    for target in TARGETS:
        if target.work in results["works"]:
            yield from target.judge(results)
    if "channels" in results:
        yield from judge_channels(results["channels"])
    if "growth" in results:
        yield from judge_growth(results["growth"])


def judge_channels(runs: list[dict[str, float]]) -> Iterator[Verdict]:
    work = "1,000 channels in one process, each echoing once"
    seconds, memory = (statistics.median(run[name] for run in runs) for name in ("seconds", "kib_a_channel"))
    threads = max(run["threads"] for run in runs)
    yield Verdict(work, f"under {MAX_SECONDS} s", f"{seconds:.1f} s", seconds < MAX_SECONDS)
    yield Verdict(work, f"at most {MAX_KIB_A_CHANNEL} KiB each", f"{memory:.0f} KiB", memory <= MAX_KIB_A_CHANNEL)
    yield Verdict(work, f"at most {MAX_THREADS:,} threads", f"{threads:,.0f}", threads <= MAX_THREADS)


def judge_growth(growth: Results) -> Iterator[Verdict]:
    messages = medians(growth["messages"], "microseconds_a_message")
    yield judge_flat("CPU a message, after 10^4 to 10^7 of them", messages.values(), "µs")
    yield judge_flat(
        "CPU a byte beyond the bare socket's, up to 64 KiB and up to 16 MiB", own_nanoseconds_a_byte(growth), "ns"
    )
    fragments = medians(growth["fragments"], "microseconds_a_fragment")
    yield judge_flat("CPU a fragment, of 10^3 to 10^6 in a message", fragments.values(), "µs")
    memory = medians(growth["messages"], "resident_kib")
    more = memory[10**7] - memory[10**5]
    yield Verdict(
        "resident memory, from 10^5 to 10^7 messages",
        f"at most {MAX_KIB_MORE:,} KiB more",
        f"{more:,.0f} KiB",
        more <= MAX_KIB_MORE,
    )


def medians(runs: list[dict[str, dict[str, float]]], name: str) -> dict[int, float]:
    """At each number of messages or fragments."""
    return {int(number): statistics.median(run[name][number] for run in runs) for number in runs[0][name]}


def nanoseconds_a_byte(growth: Results) -> dict[str, dict[int, float]]:
    """What a byte costs each client in messages of so many, apart from what a message of 32 costs."""
    costs = {
        client: {int(size): statistics.median(runs) for size, runs in sizes.items()}
        for client, sizes in growth["bytes"].items()
    }
    return {
        client: {size: (cost - sizes[32]) / (size - 32) * 1e3 for size, cost in sizes.items() if size > 32}
        for client, sizes in costs.items()
    }


def own_nanoseconds_a_byte(growth: Results) -> tuple[float, float]:
    """What rxecho adds to what a byte costs the bare socket: in the smaller half of the sizes, and in the larger.

    What the kernel does for a byte depends on whether messages fit the processor's caches: that is in both. A half,
    and its median, since for a small message the figure is a small difference of large ones.
    """
    costs = nanoseconds_a_byte(growth)
    own = [cost - costs["bare socket"][size] for size, cost in sorted(costs["rxecho"].items())]
    return statistics.median(own[: len(own) // 2]), statistics.median(own[len(own) // 2 :])


def judge_flat(work: str, costs: Collection[float], unit: str) -> Verdict:
    """The first is the one of the least number."""
    first, most = next(iter(costs)), max(costs)
    return Verdict(work, f"at most {FLAT} {TIMES} the first", f"{first:.2f} to {most:.2f} {unit}", most <= FLAT * first)


def as_text(verdict: Verdict) -> str:
    target = verdict.target + (f" + {verdict.accelerator}" if verdict.accelerator else "")
    return f"{'reached' if verdict.is_reached else 'NOT REACHED':13}{verdict.figure:18}{target:42}{verdict.work}"


def as_markdown(results: Results) -> str:
    """The verdicts, and the medians behind them."""
    made = results["made"]
    machine = f"{made['processors']} processors ({made['processor']}), Python {made['python']}"
    lines = [f"Measured on {made['date']}: {machine}, medians of {results['runs']} runs.", ""]
    verdicts = list(judge(results))
    columns = ["rxecho to be", "it is"]
    if any(verdict.accelerator for verdict in verdicts):
        columns.append("with the peer on uvloop or wsaccel")
    lines += [f"| | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    last = ""
    for (work, target), verdicts_in_row in groupby(verdicts, lambda verdict: (verdict.work, verdict.target)):
        cells = {bool(verdict.accelerator): as_cell(verdict) for verdict in verdicts_in_row}
        figures_in_row = [target, *(cells.get(is_accelerated, "") for is_accelerated in (False, True))]
        lines.append(f"| {work if work != last else ''} | {' | '.join(figures_in_row[: len(columns)])} |")
        last = work
    works = [work for work in IN_README if work in results["works"]]
    lines += [
        "",
        "Messages a second, and CPU time a message in the client:",
        "",
        f"| | {' | '.join(results['works'][work]['title'] for work in works)} |",
        f"| --- |{' --- |' * len(works)}",
    ]
    figures = {work: figures_of(results, work) for work in works}
    for client in figures[works[0]]:
        its = [figures[work][client] for work in works]
        lines.append(f"| {client} | {' | '.join(f'{one.speed:,.0f} ({microseconds(one.cost)})' for one in its)} |")
    return "\n".join(lines)


def as_cell(verdict: Verdict) -> str:
    return verdict.figure if verdict.is_reached else f"**{verdict.figure}, not reached**"


def microseconds(cost: float) -> str:
    return f"{cost:.1f} µs" if cost < 100 else f"{cost:,.0f} µs"


def around_tables(readme: Path) -> tuple[str, str]:
    """What README has before and after the place for the tables."""
    before, begin, rest = readme.read_text(encoding="utf-8").partition(README_BEGIN)
    _, end, after = rest.partition(README_END)
    if not end:
        raise SystemExit(f"{readme.name} has no place for the tables: {README_BEGIN} and, below it, {README_END}")
    return before + begin, end + after


def write_tables(readme: Path, results: Results) -> None:
    """Replace what is there by them."""
    before, after = around_tables(readme)
    readme.write_text(f"{before}\n\n{as_markdown(results)}\n\n{after}", encoding="utf-8")
