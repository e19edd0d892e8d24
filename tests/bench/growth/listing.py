"""READDIRPLUS of directories of all sizes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nfsd.xdr.nfs3 import READDIRPLUS3args
from tests.bench.figures import NONE, number, table
from tests.bench.growth.site import MIB, GrowthSite, make_files
from tests.bench.processes import Most
from tests.conformance.server import Server
from tests.wire import Wire

SIZES: Final = (100, 10_000, 1_000_000)
_AGAIN: Final = 100_000  # names; more are listed once, which takes minutes
_COUNT: Final = 32 << 10  # bytes of a reply, as Linux asks for
_TEXT: Final = """\
READDIRPLUS of a directory in a lower layer, 32 KiB a reply, each after the other. The server has
just been started; "again" is the same once more. Milliseconds until a reply came. The client, which
is written in Python, takes its time too in what the whole took. MiB: what the worker holds more
than before, at most. Aims: the first reply under 2 s, later ones under 10 ms.

"""


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing took: seconds of each reply and of all, entries."""

    replies: list[float]
    whole: float
    entries: int


def measure(site: GrowthSite) -> str:
    """The section."""
    lower = site.directory("listing")
    rows = []
    for size in [each for each in SIZES if each <= site.effort.names]:
        (lower / str(size)).mkdir()
        make_files(lower / str(size), [f"name{at:07}" for at in range(size)])
        site.disk.sync()
        with site.serving(site.stack([lower]), "--workers", "1") as server:
            most = Most(server.workers)
            for what in ("", "again") if size <= _AGAIN else ("",):
                found = list_plus(server, str(size))
                assert found.entries == size + 2, f"{found.entries} of {size} names"
                rows.append([f"{size:,}", what, *_cells(found), number(most.held / MIB)])
            most.stop()
    head = ["names", "", "first", "later: median", "99 %", "the longest", "all replies", "MiB"]
    return "## Directories\n\n" + _TEXT + table(head, rows)


def list_plus(server: Server, path: str, over: Callable[[], bool] = lambda: False) -> Listed:
    """List a directory with attributes, or what of it comes before it is over."""
    wire = Wire(server.port)
    handle = wire.lookup(path)
    replies, entries, cookie, eof = [], 0, 0, False
    begun = time.perf_counter()
    while not eof and not over():
        asked = time.perf_counter()
        arguments = READDIRPLUS3args(handle, cookie, bytes(8), _COUNT, _COUNT)
        reply = wire.call("READDIRPLUS", arguments).reply
        replies.append(time.perf_counter() - asked)
        page = list(reply.entries)
        entries, cookie, eof = entries + len(page), page[-1].cookie, reply.eof
    whole = time.perf_counter() - begun
    wire.close()
    return Listed(replies, whole, entries)


def _cells(found: Listed) -> list[str]:
    first, later = found.replies[0], sorted(found.replies[1:])
    cells = [number(first * 1e3)]
    for share in (0.5, 0.99, 1.0):
        at = min(len(later) - 1, int(share * len(later)))
        cells.append(number(later[at] * 1e3) if later else NONE)
    return [*cells, number(found.whole * 1e3)]
