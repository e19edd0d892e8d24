"""A large tree, walked once: memory under its budget, descriptors bounded."""

from __future__ import annotations

import time
from typing import Final

from nfsd.base.size import size_of
from nfsd.xdr.generated.nfs3 import diropargs3
from tests.bench.figures import number, table
from tests.bench.growth.listing import list_plus
from tests.bench.growth.site import MIB, GrowthSite, make_files
from tests.bench.load import Call, Plan, Shape, call, shared_out
from tests.bench.processes import Most
from tests.conformance.server import Server
from tests.wire import Wire

_DIRECTORIES: Final = 1000
_BUDGETS: Final = "64M", "256M"
_SHAPE: Final = Shape(8, 8)
_LOOKED_UP: Final = 100_000  # files
_LIMIT: Final = 600.0
_TEXT: Final = """\
A tree of {names:,} files in {directories:,} directories, all listed once with READDIRPLUS, one call
at a time, and then {looked_up:,} of them looked up, 64 calls at a time. MiB: what the workers
together hold more than before the walk, at most, under the budget on the left (`--cache-size`).
Descriptors: of the worker that has the most open.

"""


def measure(site: GrowthSite) -> str:
    """The section."""
    lower = site.directory("walk")
    files = site.effort.names // _DIRECTORIES
    for at in range(_DIRECTORIES):
        (lower / f"d{at}").mkdir()
        make_files(lower / f"d{at}", [f"f{each}" for each in range(files)])
    site.disk.sync()
    rows = []
    for budget in _BUDGETS:
        with site.serving(site.stack([lower]), "--cache-size", budget) as server:
            most = Most(server.workers)
            begun = time.perf_counter()
            listed = sum(list_plus(server, f"d{at}").entries for at in range(_DIRECTORIES))
            assert listed == _DIRECTORIES * (files + 2), f"{listed} names"
            walked = time.perf_counter() - begun
            listing = most.held
            plan = Plan(shared_out(_lookups(server, files), _SHAPE.lanes), once=True)
            outcome, _ = site.run(server, plan, _SHAPE, _LIMIT)
            most.stop()
        site.aim(
            f"memory beside a walk with `--cache-size {budget}`",
            size_of(budget) / MIB,
            most.held / MIB,
            "MiB",
        )
        rows.append(
            [
                budget,
                number(walked),
                number(listing / MIB),
                number(outcome.rate / 1e3),
                number(most.held / MIB),
                f"{most.opened:,}",
            ]
        )
    text = _TEXT.format(names=site.effort.names, directories=_DIRECTORIES, looked_up=_LOOKED_UP)
    head = ["budget", "listed in s", "MiB then", "k LOOKUPs/s", "MiB at most", "descriptors"]
    return "## Trees\n\n" + text + table(head, rows)


def _lookups(server: Server, files: int) -> list[Call]:
    wire = Wire(server.port)
    found: list[Call] = []
    for at in range(min(_DIRECTORIES, _LOOKED_UP // files)):
        directory = wire.lookup(f"d{at}")
        found += [call("LOOKUP", diropargs3(directory, b"f%d" % each)) for each in range(files)]
    wire.close()
    return found
