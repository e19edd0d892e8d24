"""What `overlay-nfsd top` shows: two scrapes, and what happened between them.

The rates, shares and times are of that interval; what is left out did not happen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from nfsd.metrics import metrics
from nfsd.metrics.prometheus import Family, Labels, Sample

_BAR: Final = 20  # characters of the longest bar
# Of the table of procedures, with how wide a terminal must be for each to be there.
_COLUMNS: Final = {
    "procedure": 0,
    "calls/s": 0,
    "errors/s": 52,
    "cached": 62,
    "mean": 30,
    "99 % in": 42,
    "": 80,  # a bar
}
_LEFT: Final = ("procedure", "")
_CLIENTS: Final = 8  # that are named
_EXPORTS: Final = 8  # the busiest
_UNBOUNDED: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Scraped:
    """All samples at one time, in seconds of a clock that only goes forward."""

    when: float
    samples: tuple[Sample, ...]

    def total(self, family: Family | str, **labels: str) -> float:
        """Return the sum over all samples of this name that have these labels."""
        return sum(sample.value for sample in self._of(family) if _has(sample.labels, labels))

    def by(self, family: Family | str, label: str, **labels: str) -> dict[str, float]:
        """Return such a sum for each value of a label."""
        sums: dict[str, float] = {}
        for sample in self._of(family):
            if _has(sample.labels, labels):
                key = sample.labels[label]
                sums[key] = sums.get(key, 0) + sample.value
        return sums

    def _of(self, family: Family | str) -> Iterable[Sample]:
        name = family if isinstance(family, str) else family.name
        return (sample for sample in self.samples if sample.name == name)


def _has(labels: Labels, wanted: Labels) -> bool:
    return wanted.items() <= labels.items()


class Interval:
    """What happened between two scrapes of one server."""

    def __init__(self, before: Scraped, after: Scraped) -> None:
        self.after = after
        self._before = before
        self.seconds = max(after.when - before.when, 1e-6)

    def rate(self, family: Family | str, **labels: str) -> float:
        """Return the increase of such a sum per second."""
        more = self.after.total(family, **labels) - self._before.total(family, **labels)
        return more / self.seconds

    def rates(self, family: Family | str, label: str, **labels: str) -> dict[str, float]:
        """Return such an increase for each value of a label, the largest first, without zeros."""
        rates = self._rates(family, label, **labels)
        return {key: rate for key, rate in sorted(rates.items(), key=_largest_first) if rate}

    def _rates(self, family: Family | str, label: str, **labels: str) -> dict[str, float]:
        was = self._before.by(family, label, **labels)
        now = self.after.by(family, label, **labels)
        return {key: (value - was.get(key, 0)) / self.seconds for key, value in now.items()}

    def seconds_within(self, share: float, **labels: str) -> float:
        """Return the time within which this share of the calls was answered, by the classes."""
        classes = self._rates(metrics.DURATION.series[0], "le", **labels)
        up_to = sorted((float(bound), rate) for bound, rate in classes.items())
        wanted = share * up_to[-1][1] if up_to else 0.0
        lower = below = 0.0
        for bound, rate in up_to:
            if not wanted or bound == _UNBOUNDED:
                break
            if rate >= wanted:
                return lower + (bound - lower) * (wanted - below) / (rate - below)
            lower, below = bound, rate
        return lower


def _largest_first(item: tuple[str, float]) -> tuple[float, str]:
    return -item[1], item[0]


def view(interval: Interval, where: str, width: int) -> RenderableType:
    """Return the whole picture, for a terminal of so many columns."""
    panels = [_exports(interval), _copy_ups(interval), _clients(interval.after)]
    panels.append(_trouble(interval))
    return Group(
        _head(interval, where), _procedures(interval, width), Columns(panels, padding=(0, 1))
    )


def _head(interval: Interval, where: str) -> Text:
    now, data = interval.after, interval.rates(metrics.DATA, "direction")
    text = Text.assemble(("overlay-nfsd ", "bold"), f"at {where}: ")
    text.append(f"{_number(interval.rate(metrics.CALLS))} calls/s", "bold green")
    for direction in ("read", "written"):
        text.append(f", {_size(data.get(direction, 0))}/s {direction}")
    return text.append(
        f"\n{now.total(metrics.WORKERS):.0f} workers, {_size(now.total(metrics.MEMORY))}, "
        f"{interval.rate(metrics.CPU):.0%} of a processor\n"
    )


def _procedures(interval: Interval, width: int) -> Table:
    """Return a row for each that was called.

    What there is no room for is left out, last of all names.
    """
    table = Table(box=None, header_style="bold cyan", padding=(0, 2, 0, 0))
    names = [name for name, least in _COLUMNS.items() if width >= least]
    for name in names:
        table.add_column(name, justify="left" if name in _LEFT else "right", no_wrap=True)
    rates = interval.rates(metrics.CALLS, "procedure")
    cached = interval.rates(metrics.CACHED, "procedure")
    errors = interval.rates(metrics.ERRORS, "procedure")
    took = interval.rates(metrics.DURATION.series[1], "procedure")
    for name, rate in rates.items():
        failed = errors.get(name, 0)
        cells: dict[str, str | Text] = {
            "procedure": name,
            "calls/s": _number(rate),
            "errors/s": Text(_number(failed), "yellow") if failed else "",
            "cached": f"{cached[name] / rate:.0%}" if name in cached else "",
            "mean": _time(took.get(name, 0) / rate),
            "99 % in": _time(interval.seconds_within(0.99, procedure=name)),
            "": Text("█" * max(1, round(_BAR * rate / max(rates.values()))), "green"),
        }
        table.add_row(*(cells[each] for each in names))
    if not rates:
        table.add_row("no calls")
    return table


def _exports(interval: Interval) -> Panel:
    rates = interval.rates(metrics.EXPORT_CALLS, "export")
    moved = interval.rates(metrics.EXPORT_DATA, "export")
    failed = interval.rates(metrics.EXPORT_ERRORS, "export")
    rows = []
    for export, rate in list(rates.items())[:_EXPORTS]:
        cells = [f"{_number(rate)} calls/s"]
        cells += [f"{_number(failed[export])} errors/s"] if export in failed else []
        cells += [f"{_size(moved[export])}/s"] if export in moved else []
        rows.append((export, ", ".join(cells)))
    rest = len(rates) - len(rows)
    return _panel("exports", rows + ([("more", f"{rest}")] if rest else []))


def _copy_ups(interval: Interval) -> Panel:
    going = interval.after.by(metrics.COPYING, "kind")
    done = interval.rates(metrics.COPY_UPS, "kind")
    rows = [
        (kind, f"{number:.0f} under way, {_number(done.get(kind, 0))}/s")
        for kind, number in going.items()
        if number or kind in done
    ]
    rows.append(("bytes", f"{_size(interval.rate(metrics.COPY_UP_BYTES))}/s"))
    return _panel("copy-ups", rows)


def _clients(now: Scraped) -> Panel:
    connections = sorted(now.by(metrics.CONNECTIONS, "client").items(), key=_largest_first)
    rows = [
        (client, f"{number:.0f} connections" if number > 1 else "1 connection")
        for client, number in connections[:_CLIENTS]
    ]
    rest = now.total(metrics.CLIENTS) - len(rows)
    return _panel("clients", rows + ([("more", f"{rest:.0f}")] if rest > 0 else []))


def _trouble(interval: Interval) -> Panel:
    rows = []
    for title, family, label in (
        ("error", metrics.ERRORS, "status"),
        ("stale", metrics.STALE, "cause"),
        ("refused", metrics.REFUSED, "reason"),
        ("repeated", metrics.REPEATED, "was"),
    ):
        for name, rate in interval.rates(family, label).items():
            rows.append((f"{title}: {name}", f"{_number(rate)}/s"))
    deaths = interval.after.total(metrics.DEATHS)
    return _panel("trouble", rows + ([("workers died", f"{deaths:.0f}")] if deaths else []))


def _panel(title: str, rows: Iterable[tuple[str, str]]) -> Panel:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    if not table.row_count:
        table.add_row(Text("none", "dim"))
    return Panel(table, title=title, title_align="left", border_style="dim", expand=False)


def _number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size or unit == "us":
            return f"{seconds / size:.3g} {unit}"
    raise AssertionError("the last unit takes all")


def _size(number: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} B"
