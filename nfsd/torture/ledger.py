"""What was checked and what was wrong, by scenario; the columns of the table.

An error keeps all that is needed to look into it: what was expected, what came,
and what was done to the object before.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_DETAILED: Final = 5  # errors told in full, for each scenario and column


class Column(StrEnum):
    """The ways to be wrong."""

    STALE_ALIVE = "stale when alive"
    ALIVE_DEAD = "alive when dead"
    WRONG_OBJECT = "wrong object"
    CHANGED_HANDLE = "changed handle"
    CHANGED_FILEID = "changed fileid"
    OTHER = "other errors"


@dataclass(frozen=True, slots=True)
class Fault:
    """One error, told in full."""

    scenario: str
    column: Column
    subject: str
    expected: str
    came: str
    history: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"{self.scenario}: {self.column}: {self.subject}",
            f"  expected  {self.expected}",
            f"  came      {self.came}",
            f"  the last {len(self.history)} operations on it:",
        ]
        return "\n".join(lines + [f"    {each}" for each in self.history])


@dataclass(slots=True, eq=False)
class Ledger:
    """One scenario's counters."""

    scenario: str
    checks: int = 0
    operations: int = 0
    replays: int = 0  # work found done by a call whose answer was lost
    refused: int = 0  # operations that the server may refuse, and did
    reused: int = 0  # inode numbers that a dead object had before
    errors: dict[Column, int] = field(default_factory=lambda: dict.fromkeys(Column, 0))
    kinds: Counter[str] = field(default_factory=Counter)  # of other errors
    faults: list[Fault] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """Errors in all columns."""
        return sum(self.errors.values())

    def fail(
        self, column: Column, subject: str, history: list[str], expected: str, came: str, kind: str
    ) -> None:
        """Count an error, and keep the first ones."""
        self.errors[column] += 1
        if column == Column.OTHER:
            self.kinds[kind] += 1
        if self.errors[column] <= _DETAILED:
            fault = Fault(self.scenario, column, subject, expected, came, tuple(history))
            self.faults.append(fault)
