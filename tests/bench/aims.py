"""What the figures should come to: ratios of this server to NFS-Ganesha on a kernel overlay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.bench import figures
from tests.bench.figures import Figure


@dataclass(frozen=True, slots=True)
class Aim:
    """The least ratio of one workload, for each shape."""

    workload: str
    least: tuple[float, float, float]
    figure: Figure = figures.rate


_SINGLE: Final = 0.9  # one call at a time: it is the network's latency
_CPU: Final = (1.5, 1.5, 1.5)

AIMS: Final = (
    Aim("getattr", (_SINGLE, 2.0, 2.0)),
    Aim("lookup", (_SINGLE, 2.0, 2.0)),
    Aim("access", (_SINGLE, 2.0, 2.0)),
    Aim("setattr", (_SINGLE, 1.5, 1.5)),
    Aim("create + remove", (_SINGLE, 1.5, 1.5)),
    Aim("rename", (_SINGLE, 1.5, 1.5)),
    Aim("readdirplus", (_SINGLE, 1.0, 1.0)),
    Aim("mix", (_SINGLE, 1.5, 1.5)),
    Aim("read 1m", (1.0, 1.0, 1.0)),
    Aim("write 1m", (1.0, 1.0, 1.0)),
    Aim("getattr", _CPU, figures.per_cpu_second),
    Aim("lookup", _CPU, figures.per_cpu_second),
    Aim("mix", _CPU, figures.per_cpu_second),
)
STREAM_AIM: Final = 0.6  # read 1m, of what plain TCP streams
