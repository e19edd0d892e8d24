"""How many entries the index has, counted a little at a time.

A million are counted in half a second, which is too long for whoever asks: so each
time he is told what was counted last, and a part of the next count is done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Final

from index.fd import open_dir

_AT_ONCE: Final = 1000  # entries between two looks at the clock
_TICK_NS: Final = 10**9  # changes that are closer together may leave the same mtime


class Census:
    """Counts what is in a directory."""

    def __init__(self, directory: int) -> None:
        self._directory = directory
        self._counted: int | None = None
        self._mtime = 0  # of the directory before it was counted, if it had been still by then
        self._steps = self._count_for_ever()

    def count(self, seconds: float) -> int | None:
        """How many there were when they were last counted, None at first; takes so long at most."""
        deadline = time.monotonic() + seconds
        while not next(self._steps) and time.monotonic() < deadline:
            pass
        return self._counted

    def _count_for_ever(self) -> Iterator[bool]:
        """Count a little more with each step, which says whether all is counted."""
        while True:
            mtime = os.fstat(self._directory).st_mtime_ns
            if mtime != self._mtime:
                number = 0
                directory = open_dir(self._directory, b".")
                with os.scandir(directory) as entries:
                    for number, _ in enumerate(entries, 1):
                        if number % _AT_ONCE == 0:
                            yield False
                self._counted = number
                self._mtime = mtime if time.time_ns() - mtime > _TICK_NS else 0
            yield True
