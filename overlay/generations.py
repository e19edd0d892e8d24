"""Counters that tell whether what was learnt about an object still holds.

Whoever changes what a cached fact depends on bumps the object's counter
afterwards; whoever caches a fact reads the counter before learning it.  The
fact is valid while the counter stands still.  Objects share counters by the
low bits of a number: a needless miss, never a stale hit.  The number is a
fileid, or for a name the hash that processes forked from one have in common.

The counters lie in shared memory, so that processes forked from this one see
each other's changes.
"""

from __future__ import annotations

import mmap
import threading
from typing import Final

_SLOTS: Final = 1 << 16
_MASK: Final = _SLOTS - 1


class Generations:
    """Counters for one kind of fact, by number."""

    def __init__(self) -> None:
        self._counters = memoryview(mmap.mmap(-1, _SLOTS * 8)).cast("Q")
        self._lock = threading.Lock()

    def of(self, number: int) -> int:
        return self._counters[number & _MASK]

    def bump(self, number: int) -> None:
        slot = number & _MASK
        with self._lock:
            self._counters[slot] = (self._counters[slot] + 1) & 0xFFFFFFFFFFFFFFFF
