"""What a run found, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.table import Table

from nfsd.torture.ledger import Column, Ledger

_GOOD: Final = "0"
_WIDE: Final = 105  # columns of a terminal that take the whole table


@dataclass(frozen=True, slots=True)
class Line:
    """One scenario's line."""

    ledger: Ledger
    live: int
    dead: int


@dataclass(frozen=True, slots=True)
class Report:
    """All that is to be said about a run."""

    target: str
    seed: int
    options: str  # with which another run does the same operations
    seconds: float
    lines: Sequence[Line]
    calls: int
    resent: int
    delayed: int
    events: dict[str, int]
    skipped: Sequence[str]

    @property
    def checks(self) -> int:
        """Handle checks of all scenarios."""
        return sum(line.ledger.checks for line in self.lines)

    @property
    def wrong(self) -> int:
        """Errors of all scenarios."""
        return sum(line.ledger.wrong for line in self.lines)

    def table(self, width: int = 140) -> Table:
        """One line a scenario, one column a way to be wrong; a narrow one leaves out the rest."""
        title = f"{self.target}  seed {self.seed}  {self.seconds:.0f} s"
        table = Table(
            title=title,
            title_justify="left",
            header_style="bold",
            show_footer=True,
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        table.add_column("scenario", no_wrap=True)
        narrow = width < _WIDE
        for name in ("checks",) if narrow else ("alive", "dead", "operations", "checks"):
            table.add_column(name, justify="right", no_wrap=True)
        for column in Column:
            table.add_column(column.replace(" ", "\n"), justify="right", no_wrap=True)
        rows = [_cells(line, narrow) for line in self.lines]
        for line, row in zip(self.lines, rows, strict=True):
            cells = [*(f"{each:,}" for each in row), *map(_red, line.ledger.errors.values())]
            table.add_row(line.ledger.scenario, *cells)
        sums = [f"{sum(numbers):,}" for numbers in zip(*rows, strict=True)]
        wrong = [_red(sum(line.ledger.errors[each] for line in self.lines)) for each in Column]
        for each, footer in zip(table.columns, ["all", *sums, *wrong], strict=False):
            each.footer = footer
        return table

    def summary(self) -> str:
        """Return what does not fit into the table."""
        happened = ", ".join(f"{count} x {kind}" for kind, count in self.events.items() if count)
        replays = sum(line.ledger.replays for line in self.lines)
        refused = sum(line.ledger.refused for line in self.lines)
        reused = sum(line.ledger.reused for line in self.lines)
        text = (
            f"{self.checks:,} checks, {self.checks / max(self.seconds, 0.001):,.0f} a second; "
            f"{self.calls:,} calls, {self.resent:,} resent, {self.delayed:,} asked to come later, "
            f"{replays:,} found done before, {refused:,} refused; "
            f"{reused:,} inode numbers used again"
        )
        kinds = sum((line.ledger.kinds for line in self.lines), Counter[str]())
        if kinds:
            told = ", ".join(f"{count:,} x {kind}" for kind, count in kinds.most_common())
            text += f"\nother errors: {told}"
        if happened:
            text += f"\n{happened}"
        if self.skipped:
            text += f"\nnot run: {', '.join(self.skipped)}"
        verdict = f"{self.wrong:,} ERRORS" if self.wrong else "no errors"
        return f"{text}\n{verdict}; {self.options} does the same operations again"

    def faults(self) -> str:
        """Return the first errors of each kind, in full."""
        return "\n".join(str(fault) for line in self.lines for fault in line.ledger.faults)

    def json(self) -> str:
        """Return all of it as one object."""
        return json.dumps(
            {
                "target": self.target,
                "seed": self.seed,
                "options": self.options,
                "seconds": round(self.seconds, 3),
                "checks": self.checks,
                "errors": self.wrong,
                "calls": self.calls,
                "resent": self.resent,
                "delayed": self.delayed,
                "events": self.events,
                "skipped": list(self.skipped),
                "scenarios": [_row(line) for line in self.lines],
                "faults": [
                    {
                        "scenario": fault.scenario,
                        "column": fault.column.value,
                        "subject": fault.subject,
                        "expected": fault.expected,
                        "came": fault.came,
                        "history": list(fault.history),
                    }
                    for line in self.lines
                    for fault in line.ledger.faults
                ],
            }
        )


def _cells(line: Line, narrow: bool) -> tuple[int, ...]:
    """Return a line's numbers that are no errors."""
    ledger = line.ledger
    return (ledger.checks,) if narrow else (line.live, line.dead, ledger.operations, ledger.checks)


def _red(number: int) -> str:
    return f"[bold red]{number:,}[/]" if number else _GOOD


def _row(line: Line) -> dict[str, object]:
    ledger = line.ledger
    counted = {column.value: ledger.errors[column] for column in Column}
    return {
        "scenario": ledger.scenario,
        "alive": line.live,
        "dead": line.dead,
        "operations": ledger.operations,
        "checks": ledger.checks,
        "replays": ledger.replays,
        "refused": ledger.refused,
        "reused": ledger.reused,
        "kinds": dict(ledger.kinds),
        **counted,
    }
