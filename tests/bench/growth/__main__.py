"""Measure growth: `python -m tests.bench.growth`.  It takes root and some minutes.

Everything runs in namespaces and on a filesystem of its own, and nothing of it is left behind.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from tests.bench import isolation
from tests.bench.ground import Disk
from tests.bench.growth import aims, crew, crowd, layers, listing, slow, start, walk
from tests.bench.growth.site import Effort, GrowthSite
from tests.bench.machine import description
from tests.conformance.machine import UnavailableError

_GROUND: Final = Path("/run/ground")
_INODES: Final = 4_000_000
_PARTS: Final = {
    "layers": layers.measure,
    "listing": listing.measure,
    "crowd": crowd.measure,
    "crew": crew.measure,
    "walk": walk.measure,
    "start": start.measure,
    "slow": slow.measure,
}
_HEADING: Final = """\
# Growth

Written by `python -m tests.bench.growth`: what many layers, names, connections and files cost, and
what slow calls do to fast ones. On a machine that does something else too, times are longer.

"""


def main() -> int:
    """Run it; returns the exit status."""
    options = _parser().parse_args()
    if os.geteuid() != 0:
        print("tests.bench.growth: servers open files by handle, which only root may")
        return 2
    wanted = options.parts.split(",") if options.parts else [*_PARTS]
    unknown = set(wanted) - set(_PARTS)
    if unknown:
        print(f"tests.bench.growth: no part {', '.join(unknown)}", file=sys.stderr)
        return 2
    isolation.enter("tests.bench.growth")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    load = os.getloadavg()[0]
    begun = time.monotonic()
    effort = Effort(options.names, options.copied, options.large << 20, options.seconds)
    try:
        site = GrowthSite(Disk(_GROUND, options.scratch, _INODES), effort)
        sections = [_told(name, site) for name in _PARTS if name in wanted]
        sections.insert(0, aims.section(site.aims))
    except UnavailableError as error:
        print(f"tests.bench.growth: {error}", file=sys.stderr)
        return 2
    lines = [*description(site.placement, load), f"{_minutes(begun)} for all of it"]
    text = _HEADING + "".join(f"* {line}\n" for line in lines) + "\n" + "\n".join(sections)
    if options.report is not None:
        options.report.write_text(text)
    return 0


def _told(name: str, site: GrowthSite) -> str:
    print(f"measuring: {name}", file=sys.stderr)
    begun = time.monotonic()
    section = _PARTS[name](site)
    print(f"measured in {_minutes(begun)}: {name}", file=sys.stderr)
    print(section, flush=True)
    return section


def _minutes(begun: float) -> str:
    return f"{(time.monotonic() - begun) / 60:.1f} minutes"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    parser.add_argument("--parts", metavar="NAME,...", help=f"only these of {', '.join(_PARTS)}")
    parser.add_argument("--names", type=int, default=1_000_000, help="of the largest directory")
    parser.add_argument("--copied", type=int, default=100_000, help="files in the index")
    parser.add_argument("--large", type=int, default=4096, help="MiB of a large file")
    parser.add_argument("--seconds", type=float, default=2.0, help="of what is repeated")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write it")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="has room for some GiB")
    return parser


sys.exit(main())
