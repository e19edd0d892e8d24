"""One worker and several, for clients that ask for as much as there is."""

from __future__ import annotations

import os
from typing import Final

from tests.bench.figures import number, table
from tests.bench.growth.site import GrowthSite, make_files
from tests.bench.load import Plan, Shape, call
from tests.wire import Wire

_SHAPE: Final = Shape(8, 8)
_FILES: Final = 1000
_TEXT: Final = f"""\
GETATTR of {_FILES:,} files, 8 connections with 8 calls outstanding on each. Aim: with two
workers 1.6 times the calls of one where there is a processor for each and one for the generator.
Where there are only two the generator takes one of them; then the server's processor time for a
call tells whether the workers are in each other's way.

"""


def measure(site: GrowthSite) -> str:
    """The section."""
    lower = site.directory("crew")
    make_files(lower, [f"f{at}" for at in range(_FILES)])
    stack = site.stack([lower])
    rows = []
    for workers in range(1, max(2, len(os.sched_getaffinity(0))) + 1):
        with site.serving(stack, "--workers", str(workers)) as server:
            wire = Wire(server.port)
            calls = [call("GETATTR", wire.lookup(f"f{at}")) for at in range(_FILES)]
            wire.close()
            plan = Plan([calls] * _SHAPE.lanes)
            site.run(server, plan, _SHAPE, site.effort.seconds / 4)  # all is in the caches then
            outcome, cpu = site.run(server, plan, _SHAPE, site.effort.seconds)
        rows.append([str(workers), number(outcome.rate / 1e3), number(cpu * 1e6)])
    return "## Workers\n\n" + _TEXT + table(["workers", "k/s", "CPU µs each"], rows)
