"""Which processes of a server live, by numbers of which each process has one and none comes again.

They lie in memory that processes forked from one share.  A process that was killed gives no sign:
its parent says that it has ended.
"""

from __future__ import annotations

import mmap
from typing import Final


class Living:
    """The numbers of the processes that live, each in a slot; 0 is nobody's."""

    def __init__(self, processes: int) -> None:
        self._numbers: Final = memoryview(mmap.mmap(-1, 8 * processes)).cast("Q")
        # The slots of numbers that were asked for.  A number that was in none is in none later.
        self._slots: dict[int, int] = {}

    def join(self, slot: int, number: int) -> None:
        """Have a process live from now on; nobody has been asked for its number."""
        self._numbers[slot] = number

    def died(self, slot: int) -> None:
        """Record that the process in this slot has ended."""
        self._numbers[slot] = 0

    def has(self, number: int) -> bool:
        """Return whether the process of this number lives."""
        slot = self._slots.get(number)
        if slot is None:
            numbers = self._numbers.tolist()
            slot = self._slots[number] = numbers.index(number) if number in numbers else 0
        return number != 0 and self._numbers[slot] == number
