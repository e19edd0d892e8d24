"""How many entries the index has, counted a little at a time.

To count a million takes half a second, which is too long for one request.  So each request
returns the result of the last count, and does a part of the next one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Final

from index.linux.fd import Fd, open_dir

_AT_ONCE: Final = 1000  # entries between two looks at the clock
_TICK_NS: Final = 10**9  # changes that are closer together may leave the same mtime


class EntryCount:
    """Counts what is in a directory."""

    def __init__(self, directory: Fd) -> None:
        self._counted: int | None = None
        self._steps = _counts(directory)

    def count(self, seconds: float) -> int | None:
        """Return how many there were when they were last counted, None at first.

        It takes so long at most.
        """
        deadline = time.monotonic() + seconds
        while (number := next(self._steps)) is None and time.monotonic() < deadline:
            pass
        if number is not None:
            self._counted = number
        return self._counted


def _counts(directory: Fd) -> Iterator[int | None]:
    """Yield how many entries there are, again and again; None while they are being counted."""
    number = still_since = 0  # the mtime, if the directory had been still by then
    while True:
        mtime = os.fstat(directory).st_mtime_ns
        if mtime != still_since:
            number = 0
            with os.scandir(open_dir(directory, b".")) as entries:
                for seen, entry in enumerate(entries, 1):
                    number += "." not in entry.name  # else the number has an entry, too
                    if seen % _AT_ONCE == 0:
                        yield None
            still_since = mtime if time.time_ns() - mtime > _TICK_NS else 0
        yield number
