"""What the samples of a run come to: medians, ratios, and how they are written in a table.

Rule: a ratio compares figures of one run only; above 1 this server is ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median as middle
from typing import Final, TypeAlias

from tests.bench.contest import Results
from tests.bench.measure import Key, Sample, medians
from tests.bench.workloads import Workload

OURS: Final = "overlay-nfsd"
REFERENCE: Final = "Ganesha, overlay"
NONE: Final = "-"

Figure: TypeAlias = Callable[[Sample], float]

# Of each unit: by how much a figure is divided, and what it is called then.
UNITS: Final = {"calls": (1e3, "k"), "entries": (1e6, "M entries"), "bytes": (1e9, "GB")}


def rate(sample: Sample) -> float:
    """Units in a second."""
    return sample.rate


def per_cpu_second(sample: Sample) -> float:
    """Units for each second of a processor that the server used."""
    return sample.per_cpu_second


def median(results: Results, key: Key) -> Sample | None:
    """The medians of a cell, unless it failed or was not measured."""
    samples = results.samples.get(key)
    return None if key in results.failures or not samples else medians(samples)


def ratio(results: Results, key: Key, figure: Figure, reference: str) -> float | None:
    """A server's figure by that of the reference: the median of what the rounds say."""
    other = replace(key, server=reference)
    if median(results, key) is None or median(results, other) is None:
        return None
    rounds = zip(results.samples[key], results.samples[other], strict=True)
    return middle(figure(ours) / figure(theirs) for ours, theirs in rounds)


def number(value: float | None) -> str:
    """At least two digits."""
    if value is None:
        return NONE
    digits = 0 if value >= 10 else 1 if value >= 1 else 2
    return f"{value:,.{digits}f}"


def times(value: float | None) -> str:
    """A ratio."""
    return NONE if value is None else f"{value:.2f}"


def amount(value: float | None, workload: Workload) -> str:
    """A figure in the unit of its workload."""
    return number(None if value is None else value / UNITS[workload.unit][0])


def micros(seconds: float) -> str:
    """Microseconds."""
    return f"{seconds * 1e6:,.0f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
