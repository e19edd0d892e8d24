"""Which numbers the index may have an entry of, for all processes of one overlay.

A new object asks whether its inode's number was another's, and a lower one whether it was
changed; mostly the answer is no.  A byte in shared memory says so for less than a system
call.  It is set before an entry is made and never cleared, so a number that the index has
is never missed.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from itertools import islice
from typing import Final

# A prime, so that the numbers of inodes, which are alike in their low bits, are spread.
# Each overlay has so many bytes, and there may be hundreds of overlays.
_SLOTS: Final = 262_139
# With more entries at the start the memory would not say much, and would take long to fill.
ENTRIES_MAX: Final = 50_000


class NumberFilter:
    """Bytes by number, each of which stands for several numbers."""

    def __init__(self, numbers: Iterable[int]) -> None:
        """`numbers`: what the index has at the start."""
        self._bytes: Final = mmap.mmap(-1, _SLOTS)
        rest = iter(numbers)
        for number in islice(rest, ENTRIES_MAX):
            self._bytes[number % _SLOTS] = 1
        self._is_full: Final = next(rest, None) is not None

    def add(self, number: int) -> None:
        """Record that the index is about to have an entry of a number."""
        self._bytes[number % _SLOTS] = 1

    def may_have(self, number: int) -> bool:
        """Return whether the index may have an entry of a number; False is certain."""
        return self._is_full or self._bytes[number % _SLOTS] != 0
