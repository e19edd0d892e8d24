"""One cell of the tables: a workload in one shape on one server, in several rounds.

Rule: figures are medians of rounds, and the rounds of the servers alternate, so that what else the
machine does falls on all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, Protocol

from tests.bench.load import Generator, Shape
from tests.bench.processes import Cpus, cpu_seconds, family, pin

SHAPES: Final = (Shape(1, 1), Shape(1, 16), Shape(8, 8))
COLD_SHAPE: Final = Shape(1, 16)


class Process(Protocol):
    """What is measured: it has a port and a process."""

    @property
    def port(self) -> int: ...

    @property
    def pid(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One round; rates are units a second, latencies seconds."""

    rate: float
    per_cpu_second: float
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Key:
    """Which cell."""

    workload: str
    shape: Shape
    server: str
    cold: bool = False


class Placement:
    """Where the two ends run.

    One call at a time: both on the first processor, so that neither waits for the other processor
    to wake.  More: the generator on the last processor, the server on any.
    """

    def __init__(self, cpus: Cpus) -> None:
        self._all = cpus

    def server(self, shape: Shape) -> Cpus:
        """The processors of the server."""
        return frozenset([min(self._all)]) if shape.lanes == 1 else self._all

    def generator(self, shape: Shape) -> Cpus:
        """The processors of the generator."""
        return frozenset([min(self._all) if shape.lanes == 1 else max(self._all)])

    def described(self) -> list[str]:
        """The same for a reader."""
        first, last = min(self._all), max(self._all)
        return [
            f"one call at a time: server and generator on processor {first}",
            f"more: the generator on processor {last}, the server on any of {len(self._all)}",
        ]


def sample(
    generator: Generator,
    server: Process,
    plan: Path,
    shape: Shape,
    placement: Placement,
    seconds: float,
) -> Sample:
    """Run a plan once; raises LoadError."""
    processes = family(server.pid)
    pin(processes, placement.server(shape))
    begun = cpu_seconds(processes)
    outcome = generator.run(server.port, plan, seconds, placement.generator(shape))
    used = cpu_seconds(processes) - begun
    return Sample(
        outcome.rate,
        outcome.units * outcome.made / outcome.counted / used,
        outcome.percentile(0.5),
        outcome.percentile(0.99),
    )


def medians(samples: Sequence[Sample]) -> Sample:
    """The median of each figure."""
    return Sample(
        median(each.rate for each in samples),
        median(each.per_cpu_second for each in samples),
        median(each.p50 for each in samples),
        median(each.p99 for each in samples),
    )
