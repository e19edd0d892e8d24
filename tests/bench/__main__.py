"""Measure servers side by side: `python -m tests.bench`."""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench import isolation
from tests.bench.load import Generator, write_plan
from tests.bench.measure import SHAPES, Placement, medians, sample
from tests.bench.peers import Ours
from tests.bench.site import Site
from tests.bench.tree import make_layers
from tests.bench.workloads import FIRST_WRITES, WARM
from tests.conformance.server import PROJECT, Stack


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workloads", default="null,getattr,lookup")
    options = parser.parse_args()
    isolation.enter()
    chosen = options.workloads.split(",")
    with tempfile.TemporaryDirectory(prefix="overlay-nfsd-bench.") as name, ExitStack() as stack:
        scratch = Path(name)
        top, bottom = scratch / "top", scratch / "bottom"
        make_layers(top, bottom, FIRST_WRITES * len(SHAPES) * options.rounds)
        ours = Ours(
            "overlay-nfsd",
            PROJECT,
            Stack.over([top, bottom], scratch / "ours"),
            scratch / "log",
            [],
        )
        ours.start()
        stack.callback(ours.stop)
        generator = Generator(scratch)
        placement = Placement(frozenset(os.sched_getaffinity(0)))
        site = Site(ours.wire())
        for workload in WARM:
            if workload.name not in chosen and options.workloads != "all":
                continue
            for shape in SHAPES:
                samples = []
                for _ in range(options.rounds):
                    write_plan(workload.plan(site, shape), shape, scratch / "plan")
                    samples.append(
                        sample(generator, ours, scratch / "plan", shape, placement, options.seconds)
                    )
                found = medians(samples)
                print(
                    f"{workload.name:<16}{shape!s:<8}{found.rate:>12,.0f}/s {found.per_cpu_second:>12,.0f}/cpu s  {found.p50 * 1e6:>8.1f} us {found.p99 * 1e6:>8.1f} us",
                    flush=True,
                )


main()
