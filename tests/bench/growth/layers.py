"""LOOKUP through many lower layers."""

from __future__ import annotations

import random
from typing import Final

from nfsd.xdr.generated.nfs3 import diropargs3
from tests.bench.figures import micros, table, times
from tests.bench.growth.site import GrowthSite, make_files
from tests.bench.load import Plan, Shape, call
from tests.conformance.server import Stack
from tests.wire import Wire

LAYERS: Final = (1, 4, 16, 64)
_DIRECTORIES: Final = 20
_FILES: Final = 100  # in each directory of the bottom layer
_OWN: Final = 10  # in each directory of each layer above it
_SHAPE: Final = Shape(1, 1)
_ONE: Final = 60.0  # seconds that calls made once may take
_TEXT: Final = f"""\
{_DIRECTORIES * _FILES:,} files in {_DIRECTORIES} directories of the bottom layer, which every layer
above has too, with {_OWN} other names in each; one LOOKUP at a time. "Cold": the server has just
been started, and each name is looked up once. "Disk cold": besides, the kernel has forgotten all
names, inodes and pages. "Warm": again and again. Microseconds of the server's processor for a
LOOKUP / until the reply came, the median (the former by that of one layer).

"""


def measure(site: GrowthSite) -> str:
    """The section."""
    bottom = site.directory("layers/bottom")
    layers = [bottom]
    for number in range(max(LAYERS)):
        top = bottom if number == 0 else site.directory(f"layers/{number}")
        for each in range(_DIRECTORIES):
            (top / f"d{each}").mkdir()
            named, size = ("f", _FILES) if number == 0 else (f"own{number}-", _OWN)
            make_files(top / f"d{each}", [f"{named}{at}" for at in range(size)])
        if number:
            layers.insert(0, top)
    rows = []
    found: list[tuple[float, ...]] = []
    for number in LAYERS:
        found.append(_times(site, site.stack(layers[len(layers) - number :])))
        row = [str(number)]
        for at in range(0, 6, 2):
            ratio = times(found[-1][at] / found[0][at])
            row.append(f"{micros(found[-1][at])} / {micros(found[-1][at + 1])} ({ratio})")
        rows.append(row)
    for what, at, most in (("cold", 0, 6.0), ("disk cold", 2, 6.0), ("warm", 4, 1.1)):
        found_times = found[-1][at] / found[0][at]
        site.aim(f"LOOKUP in {LAYERS[-1]} layers by one in one, {what}", most, found_times, "times")
    return "## Layers\n\n" + _TEXT + table(["layers", "cold", "disk cold", "warm"], rows)


def _times(site: GrowthSite, stack: Stack) -> tuple[float, ...]:
    """CPU and median seconds of a LOOKUP: cold, with a cold disk, warm."""
    with site.serving(stack, "--workers", "1") as server:
        wire = Wire(server.port)
        calls = []
        for each in range(_DIRECTORIES):
            directory = wire.lookup(f"d{each}")
            calls += [call("LOOKUP", diropargs3(directory, b"f%d" % at)) for at in range(_FILES)]
        wire.close()
    random.Random(5).shuffle(calls)
    once = Plan([calls], once=True)
    with site.serving(stack, "--workers", "1") as server:
        cold = site.run(server, once, _SHAPE, _ONE)
        warm = site.run(server, Plan([calls]), _SHAPE, site.effort.seconds)
    site.disk.chill()
    with site.serving(stack, "--workers", "1") as server:
        disk = site.run(server, once, _SHAPE, _ONE)
    return tuple(
        value for outcome, cpu in (cold, disk, warm) for value in (cpu, outcome.percentile(0.5))
    )
