"""READDIRPLUS of directories of all sizes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nfsd.xdr.codec import decode, encode
from nfsd.xdr.generated.nfs3 import NFS3_OK, NFS_PROGRAM, NFS_V3, READDIRPLUS3args, entryplus3
from tests.bench.figures import NONE, number, table
from tests.bench.growth.site import MIB, GrowthSite, make_files
from tests.bench.processes import Most, cpu_seconds
from tests.client import NFS, Client, check
from tests.conformance.server import Server, Stack
from tests.wire import Wire

SIZES: Final = (100, 10_000, 1_000_000)
_AGAIN: Final = 100_000  # names; more are listed once, which takes minutes
_COUNT: Final = 32 << 10  # bytes of a reply, as Linux asks for
_SHARES: Final = (0.5, 0.99, 1.0)
_FIRST: Final = 2.0  # seconds, at most
_LATER: Final = 10.0  # milliseconds
_SELDOM: Final = 5.0  # seconds between two looks at the memory, which each spoil a reply
_READDIRPLUS: Final = NFS["READDIRPLUS"]
_TEXT: Final = """\
READDIRPLUS of a directory in a lower layer, 32 KiB a reply, each after the other. The server has
just been started; "again" is the same once more; "merged": a tenth of the names are in a layer
above, too. Milliseconds until the first reply was there, each of the later ones, and all; in the
last the client, which is written in Python, has a large part. CPU: milliseconds that the worker
used for the first, and for each later one on average. MiB: what the worker holds more than before,
at most.

"""


@dataclass(frozen=True, slots=True)
class Reply:
    """Seconds until a reply was there, and of a processor for it."""

    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Listed:
    """A listing: its replies, how long it took altogether, the number of entries."""

    replies: list[Reply]
    whole: float
    entries: int

    @property
    def first(self) -> Reply:
        return self.replies[0]

    def later(self, share: float) -> float | None:
        """Seconds in which such a share of the later replies was there; None if there are none."""
        later = sorted(each.seconds for each in self.replies[1:])
        return later[min(len(later) - 1, int(share * len(later)))] if later else None

    @property
    def later_cpu(self) -> float | None:
        """Of each of the later replies, on average."""
        later = [each.cpu for each in self.replies[1:]]
        return sum(later) / len(later) if later else None


def measure(site: GrowthSite) -> str:
    """The section."""
    lower = site.directory("listing/lower")
    rows = []
    sizes = [each for each in SIZES if each <= site.effort.names]
    for size in sizes:
        (lower / str(size)).mkdir()
        make_files(lower / str(size), [f"name{at:07}" for at in range(size)])
        site.disk.sync()
        with site.serving(site.stack([lower]), "--workers", "1") as server:
            most = Most(server.workers, _SELDOM)
            for what in ("", "again") if size <= _AGAIN else ("",):
                found = list_plus(server, str(size))
                most.look()
                assert found.entries == size + 2, f"{found.entries} of {size} names"
                rows.append([f"{size:,}", what, *_cells(found), number(most.held / MIB)])
                if not what:
                    _aim(site, size, found)
            most.stop()
    for size in sizes[-1:]:
        rows += [_merged(site, lower, size), _in_upper(site, lower, size)]
    columns = "first", "CPU", "later: median", "99 %", "the longest", "CPU", "all", "MiB"
    return "## Directories\n\n" + _TEXT + table(["names", "", *columns], rows)


def _merged(site: GrowthSite, lower: Path, size: int) -> list[str]:
    """A row: a tenth of the names are in a layer above, too."""
    above = site.directory("listing/above")
    (above / str(size)).mkdir()
    make_files(above / str(size), [f"name{at:07}" for at in range(0, size, 10)])
    return _first_reply(site, site.stack([above, lower]), size, "merged")


def _in_upper(site: GrowthSite, lower: Path, size: int) -> list[str]:
    """A row: the directory is one of the upper layer's own."""
    stack = site.stack([site.directory("listing/empty")])
    assert stack.upper is not None
    (lower / str(size)).rename(stack.upper / str(size))
    return _first_reply(site, stack, size, "in the upper")


def _first_reply(site: GrowthSite, stack: Stack, size: int, what: str) -> list[str]:
    site.disk.sync()
    with site.serving(stack, "--workers", "1") as server:
        most, wanted = Most(server.workers), iter((False,))
        found = list_plus(server, str(size), lambda: next(wanted, True))
        most.stop()
    site.aim(f"first reply of {size:,} names, {what}", _FIRST, found.first.seconds, "s")
    return [f"{size:,}", what, *_cells(found)[:-1], NONE, number(most.held / MIB)]


def _aim(site: GrowthSite, size: int, found: Listed) -> None:
    later = (found.later(_SHARES[1]) or 0.0) * 1e3
    site.aim(f"first reply of {size:,} names", _FIRST, found.first.seconds, "s")
    site.aim(f"99 % of later replies of {size:,} names", _LATER, later, "ms")


def list_plus(server: Server, path: str, over: Callable[[], bool] = lambda: False) -> Listed:
    """List a directory with attributes, or what of it comes before it is over."""
    wire, workers = Wire(server.port), server.workers
    handle = wire.lookup(path)
    replies, entries, cookie, eof = [], 0, 0, False
    begun = time.perf_counter()
    while not eof and not over():
        arguments = READDIRPLUS3args(handle, cookie, bytes(8), _COUNT, _COUNT)
        page, eof, took = _page(workers, wire.client, arguments)
        replies.append(took)
        entries, cookie = entries + len(page), page[-1].cookie
    whole = time.perf_counter() - begun
    wire.close()
    return Listed(replies, whole, entries)


def _page(
    workers: Sequence[int], client: Client, arguments: READDIRPLUS3args
) -> tuple[list[entryplus3], bool, Reply]:
    """Entries, whether they are the last, and what the reply took."""
    message = client.message(
        NFS_PROGRAM, NFS_V3, _READDIRPLUS.number, encode(_READDIRPLUS.pack_arguments, arguments)
    )
    begun, used = time.perf_counter(), cpu_seconds(workers)
    client.send(message)
    (_, body), packed = client.reply()
    took = Reply(time.perf_counter() - begun, cpu_seconds(workers) - used)
    check(body)
    result = decode(_READDIRPLUS.unpack_results, packed)
    assert result.status == NFS3_OK, f"status {result.status}"
    return list(result.resok.reply.entries), bool(result.resok.reply.eof), took


def _cells(found: Listed) -> list[str]:
    seconds = found.first.seconds, found.first.cpu, *map(found.later, _SHARES), found.later_cpu
    return [number(None if each is None else each * 1e3) for each in (*seconds, found.whole)]
