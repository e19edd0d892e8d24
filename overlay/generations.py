"""Counters that tell whether what was learnt about an object still holds.

Whoever changes what a cached fact depends on bumps the object's counter
afterwards; whoever caches a fact reads the counter before learning it.  The
fact is valid while the counter stands still.  Objects share counters by the
low bits of a number: a needless miss, never a stale hit.  The number is a
fileid, or for a name the hash that processes forked from one have in common.

The counters lie in shared memory, so that processes forked from this one see
each other's changes.  To bump a counter is to store a number in it that no
process stores there before or after: so it needs no lock, and of two bumps at
once it does not matter which comes last.
"""

from __future__ import annotations

import array
import itertools
import mmap
from typing import Final

NEVER: Final = -1  # of what may not be kept: no counter ever stands so
_SLOTS: Final = 1 << 16
_MASK: Final = _SLOTS - 1
_PROCESS_SHIFT: Final = 48  # below: what one process can count, 89 years of 100,000 a second
_PROCESSES: Final = 1 << 16


class Generations:
    """Counters for one kind of fact, by number."""

    def __init__(self) -> None:
        self._counters = memoryview(mmap.mmap(-1, _SLOTS * 8)).cast("Q")
        self.join(0)

    def join(self, process: int) -> None:
        """Bump with numbers of this process alone: `process` is another for each ever forked."""
        self._next = itertools.count((process % _PROCESSES << _PROCESS_SHIFT) + 1).__next__

    def of(self, number: int) -> int:
        return self._counters[number & _MASK]

    def bump(self, number: int) -> None:
        self._counters[number & _MASK] = self._next()

    def bump_all(self) -> None:
        """Nothing that was learnt so far holds."""
        self._counters[:] = memoryview(array.array("Q", [self._next()]) * _SLOTS)
