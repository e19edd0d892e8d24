"""GETATTR while something slow runs in the same worker."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.bench.figures import number, table
from tests.bench.growth.listing import list_plus
from tests.bench.growth.site import MIB, GrowthSite, make_files
from tests.bench.load import NoAnswerError, Outcome, Plan, Shape, call
from tests.conformance.server import Server
from tests.wire import Wire

_FILES: Final = 1000
_SHAPE: Final = Shape(1, 1)
_PLACED: Final = Shape(1, 16)  # the server on any processor: what is slow takes one
_LISTED_SECONDS: Final = 120.0  # at most
_WINDOW: Final = 0.5  # seconds
_MOST: Final = 5.0  # milliseconds
_TEXT: Final = """\
GETATTR of {files:,} files, one at a time, with one worker, while another client does what is named.
Milliseconds.

"""
_ONE_THAT_WAITED: Final = Outcome(1, 1, 1, _WINDOW, ((int(_WINDOW * 1e9), 1),))
Work = Callable[[Wire, Callable[[], bool]], None]


def measure(site: GrowthSite) -> str:
    """The section."""
    lower = site.directory("slow")
    make_files(lower, [f"f{at}" for at in range(_FILES)])
    large, names = site.effort.large_bytes, site.effort.names
    for name in ("copied", "read"):
        _write(lower / name, large)
    (lower / "synced").write_bytes(b"")
    (lower / "many").mkdir()
    make_files(lower / "many", [f"name{at:07}" for at in range(names)])
    works: dict[str, Callable[[Server, Callable[[], bool]], None]] = {
        "nothing": lambda server, over: _idle(over),
        f"copy-up of {large >> 20:,} MiB": lambda server, over: _copy_up(server),
        f"cold read of {large >> 20:,} MiB": lambda server, over: _read(server, large),
        "fsyncs (WRITE of 1 MiB, FILE_SYNC)": lambda server, over: _sync(server, over),
        f"READDIRPLUS of {names:,} names": lambda server, over: _list(server, over),
        f"READDIR of {names:,} names": lambda server, over: _names(server, over),
    }
    rows = [[what, *_beside(site, lower, what, work)] for what, work in works.items()]
    head = ["", "seconds", "GETATTR k/s", "median", "99 %", "99.9 %", "the longest"]
    return "## Slow beside fast\n\n" + _TEXT.format(files=_FILES) + table(head, rows)


def _beside(
    site: GrowthSite, lower: Path, what: str, work: Callable[[Server, Callable[[], bool]], None]
) -> list[str]:
    stack = site.stack([lower])
    site.disk.chill()
    with site.serving(stack, "--workers", "1") as server:
        wire = Wire(server.port)
        calls = [call("GETATTR", wire.lookup(f"f{at}")) for at in range(_FILES)]
        wire.close()
        plan, deadline = Plan([calls]), time.monotonic() + site.effort.seconds
        took: list[float] = []

        def run() -> None:
            begun = time.monotonic()
            work(server, lambda: time.monotonic() > deadline)
            took.append(time.monotonic() - begun)

        worker = threading.Thread(target=run)
        latency: dict[int, int] = {}
        seconds, made = 0.0, 0
        worker.start()
        while worker.is_alive():
            try:
                outcome, _ = site.run(server, plan, _SHAPE, _WINDOW, placed=_PLACED)
            except NoAnswerError:
                outcome = _ONE_THAT_WAITED
            if worker.is_alive() or not made:  # else this was partly beside nothing
                seconds, made = seconds + outcome.seconds, made + outcome.counted
                for nanoseconds, count in outcome.latency:
                    latency[nanoseconds] = latency.get(nanoseconds, 0) + count
        worker.join()
        assert took, "the slow work failed"
    found = [_percentile(latency, share) * 1e3 for share in (0.5, 0.99, 0.999, 1.0)]
    site.aim(f"99 % of GETATTR beside {what}", _MOST, found[1], "ms")
    cells = map(number, found)
    return [number(took[0]), number(made / seconds / 1e3 if seconds else None), *cells]


def _percentile(latency: dict[int, int], share: float) -> float:
    wanted, reached = share * sum(latency.values()), 0
    for nanoseconds in sorted(latency):
        reached += latency[nanoseconds]
        if reached >= wanted:
            return nanoseconds / 1e9
    return 0.0


def _write(path: Path, size: int) -> None:
    chunk = os.urandom(MIB)
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(chunk)


def _idle(over: Callable[[], bool]) -> None:
    while not over():
        time.sleep(0.05)


def _copy_up(server: Server) -> None:
    wire = Wire(server.port)
    wire.write(wire.lookup("copied"), b"!")
    wire.close()


def _read(server: Server, size: int) -> None:
    wire = Wire(server.port)
    handle = wire.lookup("read")
    for offset in range(0, size, MIB):
        wire.read(handle, offset, MIB)
    wire.close()


def _sync(server: Server, over: Callable[[], bool]) -> None:
    wire = Wire(server.port)
    handle, data = wire.lookup("synced"), os.urandom(MIB)
    while not over():
        wire.write(handle, data)
    wire.close()


def _list(server: Server, over: Callable[[], bool]) -> None:
    """All of it, if that does not take too long: what is to be seen is seen soon."""
    begun = time.monotonic()
    list_plus(server, "many", lambda: time.monotonic() - begun > _LISTED_SECONDS)


def _names(server: Server, over: Callable[[], bool]) -> None:
    """The listing is made anew each time, as a name in the directory has changed."""
    wire = Wire(server.port)
    handle = wire.lookup("many")
    number = 0
    while not over():
        wire.create(f"many/new{number}")
        wire.page(handle, 0, 32 << 10)
        number += 1
    wire.close()
