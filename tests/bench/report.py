"""The report: what a run found, as Markdown.

Rule: every figure in it comes from the run; what was not measured is a dash, what failed says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median as middle
from typing import Final

from tests.bench import figures
from tests.bench.aims import AIMS, STREAM_AIM
from tests.bench.contest import RESPONDER, Effort, Results
from tests.bench.figures import NONE, OURS, REFERENCE, Figure, amount, micros, number, table, times
from tests.bench.load import Shape
from tests.bench.measure import COLD_SHAPE, SHAPES, Key
from tests.bench.workloads import COLD, WARM, Workload

_MIB: Final = 1 << 20
_READ: Final = "read 1m"


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a run was made: lines about the machine, what each server is, and how long it took.

    `absent` has why a server was not measured; `plot` is the name of the file beside the report.
    """

    machine: Sequence[str]
    servers: dict[str, str]
    absent: dict[str, str]
    effort: Effort
    plot: str

    @property
    def reference(self) -> str | None:
        """The server that others are compared with."""
        others = [name for name in self.servers if name != OURS]
        return REFERENCE if REFERENCE in others else others[0] if others else None


def report(results: Results, setting: Setting) -> str:
    """The whole document."""
    sections = {
        "Aims": _aims(results, setting),
        "Rates, caches warm": rates(results, setting, figures.rate),
        "Work for a second of one processor": rates(results, setting, figures.per_cpu_second),
        "Latency, caches warm": _latencies(results, setting),
        "Caches cold": _cold(results, setting),
        "Memory": _memory(results, setting),
        "Changes of a large file": _large(results, setting),
        "Limits of the measurement": _limits(results),
        "What failed": _failures(results),
    }
    parts = [f"## {title}\n\n{text}" for title, text in sections.items() if text]
    return "\n".join([_heading(setting), *parts])


def rates(results: Results, setting: Setting, figure: Figure) -> str:
    """A row for each workload: the figures in all shapes, of each server, and the ratios."""
    head = ["", "unit", *setting.servers]
    reference = setting.reference
    if reference:
        head.append(f"{OURS} / {reference}")
    rows = []
    for workload in WARM:
        keys = [Key(workload.name, shape, OURS) for shape in SHAPES]
        row = [workload.name, figures.UNITS[workload.unit][1]]
        row += [_shapes(results, workload, name, figure) for name in setting.servers]
        if reference:
            found = [figures.ratio(results, key, figure, reference) for key in keys]
            row.append(" / ".join(map(times, found)))
        rows.append(row)
    return _in_shapes() + table(head, _measured(rows))


def ratios(results: Results, setting: Setting) -> dict[str, list[float | None]]:
    """The ratios of rates in all shapes, of each workload that has any."""
    reference = setting.reference
    if reference is None:
        return {}
    found = {
        workload.name: [
            figures.ratio(results, Key(workload.name, shape, OURS), figures.rate, reference)
            for shape in SHAPES
        ]
        for workload in WARM
    }
    return {name: values for name, values in found.items() if any(values)}


def _heading(setting: Setting) -> str:
    effort = setting.effort
    times = "once" if effort.starts == 1 else f"{effort.starts} times"
    lines = [
        "# Benchmarks\n",
        "Written by `make bench`, which runs all servers side by side and drives each in turn",
        "with one load generator. A figure is the median of "
        f"{effort.rounds * effort.starts} rounds of {effort.seconds:g} s,",
        "after one that is not counted where caches are to be warm, and a ratio that of what the",
        f"rounds say each; the servers were started {times}. Compare figures",
        "of one run only, and ratios rather than figures.\n",
        *(f"* {line}" for line in setting.machine),
        "",
        *(f"* **{name}**: {what}" for name, what in setting.servers.items()),
        *(f"* {name}: not measured: {why}" for name, why in setting.absent.items()),
        "",
        "All servers start from the same two lower layers, ours and each kernel overlay with an",
        "upper of its own. `tests/bench/workloads.py` has what is called in each workload. A",
        "shape is the number of connections by that of calls outstanding on each.\n",
        f"![Ratios of rates]({setting.plot})\n",
    ]
    return "\n".join(lines)


def _in_shapes() -> str:
    return f"Each cell: {' / '.join(map(str, SHAPES))}.\n\n"


def _measured(rows: list[list[str]]) -> list[list[str]]:
    """The rows that have figures."""
    return [row for row in rows if any(sign.isdigit() for cell in row[2:] for sign in cell)]


def _shapes(results: Results, workload: Workload, name: str, figure: Figure) -> str:
    found = [figures.median(results, Key(workload.name, shape, name)) for shape in SHAPES]
    return " / ".join(amount(None if each is None else figure(each), workload) for each in found)


def _aims(results: Results, setting: Setting) -> str:
    if setting.reference != REFERENCE or OURS not in setting.servers:
        return ""
    rows = []
    for aim in AIMS:
        what = "per CPU second" if aim.figure is figures.per_cpu_second else "rate"
        row = [aim.workload, what]
        for shape, least in zip(SHAPES, aim.least, strict=True):
            key = Key(aim.workload, shape, OURS)
            row.append(_held_against(figures.ratio(results, key, aim.figure, REFERENCE), least))
        rows.append(row)
    for what, streams in _streams(results).items():
        row = [_READ, f"by {what}"]
        for shape in SHAPES:
            ours = figures.median(results, Key(_READ, shape, OURS))
            plain = streams.get(shape)
            share = ours.rate / middle(plain) if ours and plain else None
            row.append(_held_against(share, STREAM_AIM))
        rows.append(row)
    text = (
        f"Ratios to {REFERENCE}, and the least that they should be; bold where they fall short.\n\n"
    )
    return text + table(["", "figure", *map(str, SHAPES)], rows)


def _streams(results: Results) -> dict[str, Mapping[Shape, Sequence[float]]]:
    """What plain TCP streamed, by its name in the tables."""
    return {"plain TCP": results.streams, "plain TCP, not paced": results.unpaced}


def _held_against(found: float | None, least: float) -> str:
    text = f"{times(found)} (≥ {least:g})"
    return f"**{text}**" if found is None or found < least else text


def _latencies(results: Results, setting: Setting) -> str:
    parts = ["Microseconds for one call: the median / the 99th percentile.\n"]
    for shape in SHAPES:
        rows = [
            [workload.name, *(_latency(results, workload, shape, name) for name in setting.servers)]
            for workload in WARM
        ]
        parts.append(f"### {shape}\n\n" + table(["", *setting.servers], rows))
    return "\n".join(parts)


def _latency(
    results: Results, workload: Workload, shape: Shape, name: str, cold: bool = False
) -> str:
    found = figures.median(results, Key(workload.name, shape, name, cold))
    return NONE if found is None else f"{micros(found.p50)} / {micros(found.p99)}"


def _cold(results: Results, setting: Setting) -> str:
    rows = []
    for workload in COLD:
        row = [workload.name, figures.UNITS[workload.unit][1]]
        for name in setting.servers:
            found = figures.median(results, Key(workload.name, COLD_SHAPE, name, True))
            row.append(amount(found.rate if found else None, workload))
            row.append(_latency(results, workload, COLD_SHAPE, name, True))
        rows.append(row)
    if not _measured(rows):
        return ""
    head = ["", "unit"]
    for name in setting.servers:
        head += [name, "µs"]
    return (
        "The server has just been started; the kernel has forgotten all pages, names and inodes.\n"
        f"Every call is made once; {COLD_SHAPE}. Rate, and median / 99th percentile of latency.\n\n"
    ) + table(head, rows)


def _memory(results: Results, setting: Setting) -> str:
    rows = []
    for name in setting.servers:
        found = results.memory.get(name)
        if found:
            rows.append([name, *(f"{size / _MIB:,.0f}" for size in (found[0], max(found)))])
    return "MiB resident, what processes share counted once.\n\n" + table(
        ["", "at the start", "at most, after a workload"], rows
    )


def _large(results: Results, setting: Setting) -> str:
    names = [name for name in setting.servers if results.large.get(name)]
    if not names:
        return ""
    rows = [
        [change, *(number(results.large[name][change] * 1e3) for name in names)]
        for change in results.large[names[0]]
    ]
    return "A file of 1 GiB in the bottom layer; milliseconds, each once.\n\n" + table(
        ["", *names], rows
    )


def _limits(results: Results) -> str:
    rows = []
    for workload in WARM:
        if workload.ceiling is not None:
            unit = figures.UNITS[workload.unit][1]
            cells = [
                figures.median(results, Key(workload.name, shape, RESPONDER)) for shape in SHAPES
            ]
            found = [amount(each.rate if each else None, workload) for each in cells]
            rows.append([f"responder, {workload.name}", unit, *found])
    for what, streams in _streams(results).items():
        plain = [streams.get(shape) for shape in SHAPES]
        rows.append([what, "GB", *(number(middle(each) / 1e9 if each else None) for each in plain)])
    return (
        "What the load generator reaches with a responder that answers every call at once, and\n"
        "what one process streams to another over loopback TCP; placed as the servers are.\n\n"
    ) + table(["", "unit", *map(str, SHAPES)], rows)


def _failures(results: Results) -> str:
    return "".join(
        f"* {key.server}, {key.workload}, {key.shape}{', cold' if key.cold else ''}: {why}\n"
        for key, why in results.failures.items()
    )
