"""Many connections, most of them idle."""

from __future__ import annotations

from typing import Final

from tests.bench.figures import micros, number, table
from tests.bench.growth.site import MIB, GrowthSite, make_files
from tests.bench.load import Plan, Shape, call
from tests.bench.processes import descriptors, family, resident_bytes
from tests.client import Client
from tests.wire import Wire

_IDLE: Final = 1000
_OF_ONE: Final = 50  # connections
_BUSY: Final = 200
_FILES: Final = 1000
_TEXT: Final = f"""\
GETATTR of {_FILES:,} files on so many busy connections, one call at a time on each, while others
are idle. At the end each idle connection makes a call; none may have been closed.

"""


def measure(site: GrowthSite) -> str:
    """The section."""
    lower = site.directory("crowd")
    make_files(lower, [f"f{at}" for at in range(_FILES)])
    rows = []
    with site.serving(site.stack([lower])) as server:
        wire = Wire(server.port)
        calls = [call("GETATTR", wire.lookup(f"f{at}")) for at in range(_FILES)]
        wire.close()
        for idle, busy in ((0, 8), (0, _BUSY), (_IDLE, _BUSY)):
            crowd = [Client(server.port, source=_source(at)) for at in range(idle)]
            for each in crowd:
                each.nfs("NULL")
            shape = Shape(busy, 1)
            outcome, cpu = site.run(server, Plan([calls] * busy), shape, site.effort.seconds)
            held = resident_bytes(family(server.pid))
            opened = descriptors(family(server.pid))
            for each in crowd:
                each.nfs("NULL")
                each.close()
            rows.append(
                [
                    f"{idle:,} idle, {busy} busy",
                    number(outcome.rate / 1e3),
                    micros(cpu),
                    *(number(outcome.percentile(share) * 1e3) for share in (0.5, 0.99)),
                    number(held / MIB),
                    f"{opened:,}",
                ]
            )
    head = ["connections", "k/s", "CPU µs each", "median ms", "99 % ms", "MiB", "descriptors"]
    return "## Connections\n\n" + _TEXT + table(head, rows)


def _source(at: int) -> tuple[str, int]:
    """An address of this machine: a client has no more than a part of the connections."""
    return f"127.0.0.{2 + at // _OF_ONE}", 0
