"""What is counted of calls by export, in memory that the processes of a server share.

Each path that is exported has a number as long as the server runs, given by the parent
process before the workers begin that count: what was counted of an export goes on when it
has been taken out of the configuration and is put in again.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from overlay.base.counters import PROCESSES, Rows

NUMBERS_MAX: Final = 1000  # of the paths that a server has ever exported; of others nothing is told
# What is counted of each, in this order.
CALLS: Final = 0
ERRORS: Final = 1
READ: Final = 2
WRITTEN: Final = 3
WIDTH: Final = 4


class ExportCounts(NamedTuple):
    """What was counted of one export."""

    calls: int = 0
    errors: int = 0  # calls whose reply has another status than OK
    read: int = 0  # bytes of file contents
    written: int = 0


class ExportStats:
    """What all workers count of each export, the calls of none under number 0."""

    def __init__(self) -> None:
        self._rows = Rows(WIDTH * (1 + NUMBERS_MAX), 2 * PROCESSES)
        self._numbers: dict[bytes, int] = {}

    def number(self, path: bytes) -> int:
        """Return what an export is counted under; 0 if too many had a number before it."""
        if path not in self._numbers and len(self._numbers) < NUMBERS_MAX:
            self._numbers[path] = 1 + len(self._numbers)
        return self._numbers.get(path, 0)

    def row(self, writer: int) -> memoryview:
        """Return the words that one writer counts in."""
        return self._rows.row(writer)

    def totals(self) -> dict[bytes, ExportCounts]:
        """Return what was counted so far, by path."""
        sums = self._rows.sums(WIDTH * (1 + len(self._numbers)))
        return {
            path: ExportCounts(*sums[number * WIDTH : (number + 1) * WIDTH])
            for path, number in self._numbers.items()
        }
