"""How far the clients have acknowledged what was answered, for each connection.

A connection numbers its calls (nfsd.rpc.duplicate_cache), so one number says of all of them
whether their answers have arrived.  It lies in memory that the processes of a server share, as a
call may come again to another of them.  A reader has to know that the process that wrote it
lives.
"""

from __future__ import annotations

import mmap
import threading
from typing import Final

from nfsd.rpc.duplicate_entry import NUMBERS

_SLOTS: Final = 1 << 16  # a number of two bytes in nfsd.rpc.duplicate_cache; 0 stands for none


class Acknowledged:
    """A slot for each connection: which it is, and the last call whose answer has arrived."""

    def __init__(self, processes: int) -> None:
        self._words: Final = memoryview(mmap.mmap(-1, 2 * 8 * _SLOTS)).cast("Q")
        self._share: Final = _SLOTS // processes
        self._lock: Final = threading.Lock()
        self._free: list[int] = []
        self._next = self._end = 0

    def join(self, process: int) -> None:
        """Be the process of this number, from 0, which has slots of its own."""
        self._free = []
        self._next = max(process * self._share, 1)
        self._end = (process + 1) * self._share

    def begin(self, connection: int) -> int:
        """Return a slot for a connection; 0 if none is left, so that nothing is known of it."""
        with self._lock:
            if self._free:
                slot = self._free.pop()
            elif self._next < self._end:
                slot = self._next
                self._next += 1
            else:
                return 0
        self._words[2 * slot + 1] = 0
        self._words[2 * slot] = connection
        return slot

    def put(self, slot: int, number: int) -> None:
        """Record that the answers to all calls up to this one have arrived."""
        self._words[2 * slot + 1] = number

    def has(self, connection: int, number: int, slot: int) -> bool:
        """Return whether an answer has arrived.

        When a connection is at its end, all have that were not called lost.
        """
        if not slot:
            return False
        words = self._words
        if words[2 * slot] != connection:
            return True
        return (words[2 * slot + 1] - number) % NUMBERS < NUMBERS // 2

    def end(self, slot: int) -> None:
        """Record that the connection is at its end, and let others have its slot."""
        self._words[2 * slot] = 0
        with self._lock:
            self._free.append(slot)
