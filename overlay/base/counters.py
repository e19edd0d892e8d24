"""Words that count, in memory that processes forked from this one share.

A process that serves has a row of words that nobody else writes, so that it
takes no lock between processes to count.  The one that takes the place of a dead one
counts on in the same row: the sum of all rows never goes backwards, whatever is
killed at whatever moment.
"""

from __future__ import annotations

import mmap
from typing import Final

PROCESSES: Final = 256  # that serve at a time, at most


class Rows:
    """Words that count, `width` in each row, a row for each of so many writers."""

    def __init__(self, width: int, writers: int = PROCESSES) -> None:
        self._width = width
        words = memoryview(mmap.mmap(-1, 8 * (1 + width) * writers)).cast("Q")
        self._is_used, self._words = words[:writers], words[writers:]

    def row(self, writer: int) -> memoryview:
        """Return the words of one writer, from 0."""
        self._is_used[writer] = 1
        return self._row(writer)

    def _row(self, writer: int) -> memoryview:
        begin = writer * self._width
        return self._words[begin : begin + self._width]

    def sums(self, first: int | None = None) -> list[int]:
        """Return each word, or each of so many first ones, summed over all rows."""
        used = [writer for writer, is_used in enumerate(self._is_used) if is_used]
        rows = (self._row(writer)[:first] for writer in used)
        return [sum(column) for column in zip(*rows, strict=True)]
