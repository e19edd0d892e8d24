"""How long a start takes, by what is in the index."""

from __future__ import annotations

import time
from typing import Final

from nfsd.xdr.generated.nfs3 import SETATTR3args, diropargs3
from tests.bench.figures import number, table
from tests.bench.growth.site import GrowthSite, make_files
from tests.bench.load import Plan, Shape, call, shared_out
from tests.bench.processes import family, resident_bytes
from tests.conformance.server import Server, Stack
from tests.wire import Wire, sattr

_SHAPE: Final = Shape(4, 4)
_PER_DIRECTORY: Final = 1000
_LIMIT: Final = 600.0
_TEXT: Final = """\
Seconds from the command to the line that says what is served, and MiB held then by all processes.
The index has an entry for each file that was changed (here: its mode).

"""


def measure(site: GrowthSite) -> str:
    """The section."""
    lower = site.directory("start")
    stack = site.stack([lower])
    directories = max(1, site.effort.copied // _PER_DIRECTORY)
    for at in range(directories):
        (lower / f"d{at}").mkdir()
        make_files(lower / f"d{at}", [f"f{each}" for each in range(_PER_DIRECTORY)])
    rows = [_starts(site, stack, "0")]
    with site.serving(stack) as server:
        wire = Wire(server.port)
        calls = []
        for at in range(directories):
            handle = wire.lookup(f"d{at}")
            calls += [
                call("SETATTR", SETATTR3args(entry, sattr(0o600), None))
                for entry in _handles(wire, handle)
            ]
        wire.close()
        plan = Plan(shared_out(calls, _SHAPE.lanes), once=True)
        outcome, _ = site.run(server, plan, _SHAPE, _LIMIT)
    rows.append(_starts(site, stack, f"{outcome.made:,}"))
    assert stack.work is not None
    entries = sum(1 for _ in (stack.work / "inodes").iterdir())
    assert entries >= outcome.made, f"{entries} entries in the index"
    head = ["in the index", "after a stop", "after a kill", "after a stop, disk cold", "MiB"]
    return "## Start\n\n" + _TEXT + table(head, rows)


def _handles(wire: Wire, directory: bytes) -> list[bytes]:
    calls = [("LOOKUP", diropargs3(directory, b"f%d" % at)) for at in range(_PER_DIRECTORY)]
    return [bytes(each.resok.object) for each in wire.client.pipeline(calls)]


def _starts(site: GrowthSite, stack: Stack, what: str) -> list[str]:
    server = Server(stack, site.disk.at / "server.log")
    seconds: list[float] = []
    server.start()  # the first time is not what is measured
    try:
        for end in (server.stop, server.kill, server.stop):
            end()
            if len(seconds) == 2:
                site.disk.chill()
            begun = time.perf_counter()
            server.start()
            seconds.append(time.perf_counter() - begun)
        held = resident_bytes(family(server.pid))
        server.stop()
    finally:
        server.kill()
    return [what, *map(number, seconds), number(held / (1 << 20))]
