"""rxecho beside its peers, in one run: messages that go to a server and back.

Run as `uv run --group bench python benchmarks/echo.py`. Every figure is a median of several runs, each in a fresh
process and in turn with those of the other clients, after a round that is not counted. All talk to the same picows
server, in a process of its own, and none compresses. The clients are used as their documentation says, where it has
something to say about speed; where that is another package, they are measured with it and without.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

import chart
import report
from report import TIMES
from servers import running, running_tls_echo

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
RXJS = HERE / "echo_clients" / "rxjs"

CLIENTS = {
    "rxecho": ["rxecho_channel.py"],
    "picows": ["picows_listener.py"],
    "picows + uvloop": ["picows_listener.py", "--accelerated"],
    "aiohttp": ["aiohttp_client.py"],
    "aiohttp + uvloop": ["aiohttp_client.py", "--accelerated"],
    "RxJS": ["rxjs/client.mjs"],
    "websockets": ["websockets_asyncio.py"],
    "websockets + uvloop": ["websockets_asyncio.py", "--accelerated"],
    "websockets sync": ["websockets_sync.py"],
    "websocket-client": ["websocket_client.py"],
    "websocket-client + wsaccel": ["websocket_client.py", "--accelerated"],
    "bare socket": ["bare_socket.py"],
}
WITH_THREADS = ("rxecho", "websockets sync", "websocket-client", "websocket-client + wsaccel")


@dataclass(frozen=True)
class Work:
    title: str
    options: str
    clients: Sequence[str] = tuple(CLIENTS)
    is_tls: bool = False


WORKS = {
    "small": Work("32 B text, 256 in flight", "--size 32 --in-flight 256"),
    "round_trip": Work("32 B text, one in flight", "--size 32 --in-flight 1"),
    "round_trip_main": Work(
        "32 B text, one in flight, sent by the main thread", "--size 32 --in-flight 1 --main", WITH_THREADS
    ),
    "kilobyte": Work("1 kB text, 256 in flight", "--size 1000 --in-flight 256"),
    "hundred_kilobytes": Work("100 kB text, 256 in flight", "--size 100000 --in-flight 256"),
    "megabyte": Work("1 MiB binary, 16 in flight", "--size 1048576 --binary --in-flight 16"),
    "main_sends": Work(
        "32 B text, 256 in flight, sent by the main thread", "--size 32 --in-flight 256 --main", WITH_THREADS
    ),
    "tls": Work("32 B text, 256 in flight, over TLS", "--size 32 --in-flight 256", is_tls=True),
}
OTHER_WORKS = ("channels", "growth")

PACKAGES = [
    "rxecho",
    "reactivex",
    "websocket-client",
    "websockets",
    "aiohttp",
    "picows",
    "aiofastnet",
    "uvloop",
    "wsaccel",
]

# Together never more than 16 MiB, and 256 messages, in flight.
BYTES = (32, *(1024 * 4**power for power in range(8)))
BYTES_IN_FLIGHT = 16 * 2**20

ATTEMPTS = 2
"""On a machine that does something else as well, a handshake may come too late for the server: what is measured is not
that, and what failed is said on standard error."""


def run(*command: str) -> dict[str, float]:
    """Run a program of ours in a fresh process; what it reports."""
    interpreter = "node" if command[0].endswith(".mjs") else sys.executable
    for _ in range(ATTEMPTS):
        done = subprocess.run(
            [interpreter, str(HERE / command[0]), *command[1:]],
            check=False,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            timeout=600,
        )
        if not done.returncode:
            break
    else:
        sys.exit(f"{' '.join(command)} failed")
    reported: dict[str, float] = json.loads(done.stdout)
    return reported


def run_client(client: str, *arguments: str) -> tuple[float, float]:
    """Messages a second, and CPU microseconds a message."""
    file, *options = CLIENTS[client]
    reported = run(f"echo_clients/{file}", *options, *arguments)
    return reported["messages"] / reported["seconds"], reported["cpu"] / reported["messages"] * 1e6


@contextmanager
def server_for(work: Work) -> Iterator[list[str]]:
    """Yields what a client has to be told of it."""
    if work.is_tls:
        with running_tls_echo() as (url, ca):
            yield [f"{url}/", "--ca", ca]
    else:
        with running("echo") as url:
            yield [f"{url}/"]


def measure(work: Work, clients: Sequence[str], runs: int, seconds: float) -> report.Results:
    """What each client does, taken A B C A B C … after one round that warms up."""
    measured: report.Results = {
        client: {"messages_a_second": [], "cpu_microseconds_a_message": []}
        for client in clients
        if client in work.clients
    }
    with server_for(work) as server:
        for round_ in range(runs + 1):
            for client, its in measured.items():
                speed, cost = run_client(client, *server, *work.options.split(), "--seconds", f"{seconds}")
                if round_:
                    its["messages_a_second"].append(round(speed, 1))
                    its["cpu_microseconds_a_message"].append(round(cost, 3))
    return {"title": work.title, "clients": measured}


def measure_channels(runs: int) -> list[dict[str, float]]:
    with running("echo") as url:
        return [run("channels.py", f"{url}/") for _ in range(runs + 1)][1:]


def measure_growth(runs: int, seconds: float) -> report.Results:
    """Without a round that warms up: each run warms up by itself, and this is long enough."""
    costs: dict[str, dict[int, list[float]]] = {
        client: {size: [] for size in BYTES} for client in ("rxecho", "bare socket")
    }
    with running("echo") as echo, running("push") as push:
        for _ in range(runs):
            for size in BYTES:
                in_flight = min(256, BYTES_IN_FLIGHT // size)
                options = f"--binary --size {size} --in-flight {in_flight} --seconds {seconds}".split()
                for client, its in costs.items():
                    its[size].append(round(run_client(client, f"{echo}/", *options)[1], 3))
        return {
            "bytes": costs,
            "fragments": [run("growth.py", "fragments", push) for _ in range(runs)],
            "messages": [run("growth.py", "messages", f"{echo}/") for _ in range(runs)],
        }


def is_here(client: str) -> bool:
    """Whether what a client needs is installed; for RxJS it is, where there is Node.js."""
    if client == "RxJS":
        missing = next((program for program in ("node", "npm") if not shutil.which(program)), "")
        if not missing and not (RXJS / "node_modules").exists():
            subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=RXJS, check=True)
    else:
        package = client.partition(" + ")[2]
        missing = package if package and not find_spec(package) else ""
    if missing:
        print(f"{client} is left out: there is no {missing}.")
    return not missing


def made() -> dict[str, object]:
    """When, on what, and of what."""
    versions = {one.name: one.version for one in distributions() if one.name in PACKAGES}
    if (RXJS / "node_modules").exists():
        versions["node"] = subprocess.check_output(["node", "--version"], text=True).strip().lstrip("v")
        for package in ("rxjs", "ws", "bufferutil"):
            manifest = RXJS / "node_modules" / package / "package.json"
            if manifest.exists():
                versions[package] = json.loads(manifest.read_text())["version"]
    models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": models[0] if models else platform.processor(),
        "processors": os.cpu_count(),
        "versions": versions,
    }


def measure_all(names: Sequence[str], clients: Sequence[str], runs: int, seconds: float) -> report.Results:
    """Measure what is named, and print it as it comes."""
    print(f"Medians of {runs}, Python {platform.python_version()}, {os.cpu_count()} processors")
    results: report.Results = {"made": made(), "runs": runs, "seconds": seconds, "works": {}}
    for name, work in WORKS.items():
        if name in names:
            results["works"][name] = measure(work, clients, runs, seconds)
            print_work(results, name)
            sys.stdout.flush()
    if "channels" in names:
        results["channels"] = measure_channels(runs)
    if "growth" in names:
        results["growth"] = measure_growth(runs, seconds)
        print_growth(results["growth"])
    return results


def print_work(results: report.Results, work: str) -> None:
    figures = report.figures_of(results, work)
    ours = figures.get("rxecho")
    print(f"\n{results['works'][work]['title']}")
    print(f"{'':30}{'messages/s':>12}{'spread':>8}{'CPU µs':>11}   rxecho is  by CPU")
    for client, its in sorted(figures.items(), key=lambda figure: -figure[1].speed):
        ratios = f"{ours.speed / its.speed:10.2f} {TIMES}{its.cost / ours.cost:6.2f} {TIMES}" if ours else ""
        print(f"  {client:28}{its.speed:12,.0f}{its.spread:8.0%}{its.cost:11,.2f}{ratios}")


def print_growth(growth: report.Results) -> None:
    print("\nCost by number")
    messages = report.medians(growth["messages"], "microseconds_a_message")
    print("  CPU µs a message, after so many:   ", ", ".join(f"{n:,}: {cost:.2f}" for n, cost in messages.items()))
    fragments = report.medians(growth["fragments"], "microseconds_a_fragment")
    print("  CPU µs a fragment, of so many:     ", ", ".join(f"{n:,}: {cost:.2f}" for n, cost in fragments.items()))
    print("  CPU ns a byte, in messages of so many, apart from what a message of 32 bytes costs:")
    for client, costs in report.nanoseconds_a_byte(growth).items():
        print(f"    {client:33}", ", ".join(f"{size // 1024:,} KiB: {cost:.2f}" for size, cost in costs.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each, after one that is not")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each run, after a quarter that is not counted")
    names = (*WORKS, *OTHER_WORKS)
    parser.add_argument("--only", nargs="+", choices=names, metavar="WORK", help=f"only these of {', '.join(names)}")
    parser.add_argument(
        "--clients", nargs="+", choices=CLIENTS, metavar="CLIENT", help=f"only these of {', '.join(CLIENTS)}"
    )
    parser.add_argument("--from", dest="given", type=Path, metavar="FILE", help="measure nothing; take these figures")
    parser.add_argument("--json", type=Path, default=HERE / "echo.json", help="where the figures go, run by run")
    parser.add_argument("--chart", type=Path, default=HERE.parent / "docs" / "echo.svg", help="where they are drawn")
    parser.add_argument("--readme", action="store_true", help="put the tables into README.md, too")
    options = parser.parse_args()
    if options.readme:
        report.around_tables(README)  # lest it fail at the end
    if options.given:
        results = json.loads(options.given.read_text())
    else:
        # As an installed program has it: compiled by the run that is not counted. And no proxy is on the way.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["no_proxy"] = "*"
        clients = [client for client in options.clients or CLIENTS if is_here(client)]
        results = measure_all(options.only or names, clients, options.runs, options.seconds)
    print("\nrxecho is to be")
    for verdict in report.judge(results):
        print(f"  {report.as_text(verdict)}")
    if options.only or options.clients:
        print("\nNo file is written: this is not the whole of it.")
        return
    if not options.given:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    options.chart.write_text(chart.draw(results), encoding="utf-8")
    if options.readme:
        report.write_tables(README, results)


if __name__ == "__main__":
    main()
