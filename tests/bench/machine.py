"""The machine in words, for the report."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from tests.bench.ground import KERNEL_OPTIONS
from tests.bench.measure import Placement
from tests.bench.stream import chosen


def description(placement: Placement, load: float) -> list[str]:
    """Lines that tell a reader what the figures are worth; `load` is what else was running."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.+)", cpuinfo)
    cpus = model[1] if model else platform.machine()
    if "hypervisor" in cpuinfo:
        cpus += ", virtual"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return [
        f"{len(os.sched_getaffinity(0))} processors ({cpus}), {memory:.0f} GiB of memory",
        f"Linux {platform.release()}, Python {platform.python_version()}",
        f"TCP congestion control: {chosen()} (bbr paces what is sent)",
        f"load average before the run: {load:.1f} (0 on a quiet machine)",
        f"layers on ext4 in a loop device; kernel overlays mounted with `{KERNEL_OPTIONS}`",
        *placement.described(),
    ]
