"""Measure this server beside others, on the same layers: `python -m tests.bench`.

It takes a machine that does nothing else, root, and some minutes.  Everything runs in namespaces
and on a filesystem of its own, and nothing of it is left behind.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.bench import figures, isolation
from tests.bench.contest import Contest, Effort, Results
from tests.bench.figures import OURS, REFERENCE
from tests.bench.ground import Ground
from tests.bench.machine import description
from tests.bench.measure import SHAPES, Placement
from tests.bench.peers import Ganesha, Ours, Peer, Portmapper, Unfs3
from tests.bench.plot import plot
from tests.bench.report import Setting, rates, ratios, report
from tests.bench.workloads import COLD, FIRST_WRITES, REMOVED, WARM, Workload
from tests.conformance.machine import UnavailableError
from tests.conformance.server import PROJECT

_GROUND: Final = Path("/run/ground")
_PORT: Final = 20490  # of the first of the others; each has two


def main() -> int:
    """Run it; returns the exit status."""
    options = _parser().parse_args()
    if os.geteuid() != 0:
        print("tests.bench: servers open files by handle, which only root may", file=sys.stderr)
        return 2
    isolation.enter("tests.bench")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with ExitStack() as stack:
            # Written before the servers are stopped: whatever that brings, the figures are there.
            _write(options, *_measured(options, Console(stderr=True), stack))
    except UnavailableError as error:
        print(f"tests.bench: {error}", file=sys.stderr)
        return 2
    return 0


def _write(options: argparse.Namespace, results: Results, setting: Setting) -> None:
    if options.report is None:
        print(rates(results, setting, figures.rate))
        print(rates(results, setting, figures.per_cpu_second))
        return
    options.report.write_text(report(results, setting))
    drawn = plot(f"Rate: {OURS} / {setting.reference}", SHAPES, ratios(results, setting))
    options.report.with_name(setting.plot).write_text(drawn)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each run (default: 1)")
    parser.add_argument("--rounds", type=int, default=3, help="runs for a figure (default: 3)")
    parser.add_argument(
        "--starts", type=int, default=1, help="times that the servers are started (default: 1)"
    )
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write it, and FILE.svg")
    parser.add_argument("--workloads", metavar="NAME,...", help="only these")
    parser.add_argument("--warm", action="store_true", help="no cold caches, no large file")
    parser.add_argument("--servers", metavar="PART,...", help="only those with this in their name")
    parser.add_argument("--serve", default="", help="further options of `overlay-nfsd serve`")
    parser.add_argument("--also", metavar="OPTIONS", help="this server again, with these instead")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout, beside it")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="has room for some GiB")
    return parser


def _measured(
    options: argparse.Namespace, console: Console, stack: ExitStack
) -> tuple[Results, Setting]:
    effort = Effort(options.seconds, options.rounds, options.starts)
    load = os.getloadavg()[0]
    console.print("making the layers")
    runs = len(SHAPES) * effort.rounds * effort.starts
    ground = Ground(_GROUND, options.scratch, FIRST_WRITES * runs, REMOVED * runs)
    peers, absent = _peers(options, ground)
    for name, why in absent.items():
        console.print(f"not measured: {name}: {why}")
    if any(isinstance(peer, Ganesha) for peer in peers):
        stack.callback(Portmapper().stop)
    for peer in peers:
        console.print(f"starting {peer.name} {peer.version}")
        peer.start()
        stack.callback(peer.stop)
    placement = Placement(frozenset(os.sched_getaffinity(0)))
    contest = Contest(peers, ground, placement, effort)
    _run(contest, _workloads(options), effort, console)
    if not options.warm:
        contest.change_large()
    name = options.report.with_suffix(".svg").name if options.report else ""
    servers = {peer.name: peer.version for peer in peers}
    return contest.results, Setting(description(placement, load), servers, absent, effort, name)


def _run(contest: Contest, workloads: Sequence[Workload], effort: Effort, console: Console) -> None:
    columns = TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("", total=effort.starts * sum(map(contest.runs, workloads)))
        for start in range(effort.starts):
            if start:
                contest.start_anew(start)
            for workload in workloads:
                cold = ", cold" if workload.cold else ""
                progress.update(task, description=workload.name + cold)
                contest.run(workload, lambda: progress.advance(task))


def _workloads(options: argparse.Namespace) -> list[Workload]:
    every = WARM if options.warm else WARM + COLD
    if not options.workloads:
        return [*every]
    names = options.workloads.split(",")
    unknown = set(names) - {each.name for each in every}
    if unknown:
        raise UnavailableError(f"no workload {', '.join(unknown)}")
    return [each for each in every if each.name in names]


def _peers(options: argparse.Namespace, ground: Ground) -> tuple[list[Peer], dict[str, str]]:
    """The servers that are wanted, and why those of them that cannot be had are absent."""

    def ours(name: str, project: Path, more: str) -> Peer:
        stack = ground.stack(name)
        return Ours(name, project, stack, ground.at / f"{name}.log", more.split())

    makers: dict[str, Callable[[str], Peer]] = {}
    makers[OURS] = lambda name: ours(name, PROJECT, options.serve)
    if options.also is not None:
        makers[f"{OURS} {options.also}"] = lambda name: ours(name, PROJECT, options.also)
    if options.against is not None:
        where = options.against.resolve()
        makers[f"{OURS} in {where.name}"] = lambda name: ours(name, where, options.serve)
    overlay, plain = ground.kernel_overlay, ground.plain
    makers[REFERENCE] = lambda name: Ganesha(name, lambda: overlay("ganesha"), _PORT)
    makers["Ganesha, ext4"] = lambda name: Ganesha(name, lambda: plain("ganesha-plain"), _PORT + 2)
    makers["unfs3, overlay"] = lambda name: Unfs3(name, lambda: overlay("unfs3"), _PORT + 4)
    makers["unfs3, ext4"] = lambda name: Unfs3(name, lambda: plain("unfs3-plain"), _PORT + 6)
    wanted = options.servers.split(",") if options.servers else [""]
    peers: list[Peer] = []
    absent: dict[str, str] = {}
    for name, make in makers.items():
        if any(part in name for part in wanted):
            try:
                peers.append(make(name))
            except UnavailableError as error:
                absent[name] = str(error)
    return peers, absent


sys.exit(main())
