"""Objects that are gone, for the other processes to let go of.

A cached node keeps its inode open, so what one process removes takes up space
for as long as another has a node of it.  The handles of removed objects are
therefore written, in shared memory, into a ring for all processes to read.
A process that has missed some, because the ring has gone round or because another died
before it could write, lets go of everything: nothing but speed is lost.

An event is sent once, until its process has listened: a byte in shared memory says
that it was.  A process that stops listening must have read nothing the last time,
as a handle written in the moment that it clears the byte may send no event.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from typing import Final

from index.linux.fd import Fd

_SLOTS: Final = 4096
_SLOT_BYTES: Final = 65  # bytes: the length of a handle, and the handle of 64 at most
_COUNTS: Final = 16  # bytes: how many were written, how many processes died


class RemovalRing:
    """What has gone, as `processes` forked from this one tell each other."""

    def __init__(self, processes: int) -> None:
        self._ring = _COUNTS + processes  # where it begins, behind a byte for each event
        self._map = mmap.mmap(-1, self._ring + _SLOTS * _SLOT_BYTES)
        self._counts = memoryview(self._map)[:_COUNTS].cast("Q")
        self._is_notified = memoryview(self._map)[_COUNTS : self._ring]
        flags = os.EFD_NONBLOCK | os.EFD_CLOEXEC
        self._events = [Fd(os.eventfd(0, flags)) for _ in range(processes)]

    def join(self, slot: int) -> None:
        """Be the process in this slot, 0 or more; what went before does not concern it."""
        self._slot = slot
        self._others = [other for other in range(len(self._events)) if other != slot]
        self._read, self._deaths = self._counts
        self._is_notified[slot] = 0

    @property
    def event(self) -> int:
        """Return a descriptor, by number, that can be read when there is something to `hear`."""
        return int(self._events[self._slot])

    def tell(self, handle: bytes) -> None:
        """Tell that an object is gone; the namespace lock is held, so there is one writer."""
        written = self._counts[0]
        at = self._ring + written % _SLOTS * _SLOT_BYTES
        self._map[at : at + 1 + len(handle)] = bytes((len(handle),)) + handle
        self._counts[0] = written + 1
        for other in self._others:
            if not self._is_notified[other]:
                self._notify(other)

    def tell_of_death(self) -> None:
        """Tell that a process is gone, so that what it did not tell will not be told."""
        self._counts[1] += 1
        for each in range(len(self._events)):
            self._notify(each)

    def hear(self) -> list[bytes] | None:
        """Return the handles told since the last time; None if there may have been others."""
        self._is_notified[self._slot] = 0
        with suppress(BlockingIOError):
            os.eventfd_read(self.event)
        written, deaths = self._counts
        handles = [self._at(number) for number in range(self._read, written)]
        missed = self._counts[0] - self._read > _SLOTS or deaths != self._deaths
        self._read, self._deaths = written, deaths
        return None if missed else handles

    def _at(self, number: int) -> bytes:
        begin = self._ring + number % _SLOTS * _SLOT_BYTES + 1
        return self._map[begin : begin + self._map[begin - 1]]

    def _notify(self, slot: int) -> None:
        self._is_notified[slot] = 1
        os.eventfd_write(self._events[slot], 1)
