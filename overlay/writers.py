"""Which objects are being changed, by whichever process: a word for each, in shared memory.

It excludes nobody.  Who has made a change asks whether nobody else was at the object from
when he entered (overlay.sole): who still is has its number in his place, and who has left
since then has counted that, by the number's last byte.
"""

from __future__ import annotations

import mmap
import struct
import threading
from typing import Final

_PROCESSES: Final = 256  # whose places are told apart
_PLACES: Final = 8  # of one process
_WORD: Final = 8  # bytes
_ANY: Final = (1 << 64) - 1  # of a process that has no place left: it may be at any object
_PACK: Final = struct.Struct("=Q").pack
_ANY_BYTES: Final = _PACK(_ANY)
_HEAD: Final = 1  # words: how many processes' places are in use
_NOBODY: Final = bytes(_PROCESSES * _PLACES * _WORD)
_KINDS: Final = 256  # of objects, by their numbers, whose changes are counted together


class Writers:
    """The objects that are being changed, by their numbers, by all processes of one overlay."""

    def __init__(self) -> None:
        words = _HEAD + _PROCESSES * _PLACES
        self._map: Final = mmap.mmap(-1, words * _WORD)
        self._words: Final = memoryview(self._map).cast("Q")
        # For each place, how many changes of each kind of object have ended: a byte that wraps.
        self._ended: Final = mmap.mmap(-1, _PROCESSES * _PLACES * _KINDS)
        self._lock: Final = threading.Lock()  # for `_crowd`
        self.join(0)

    def join(self, process: int) -> None:
        """Be the process of this number, which is another for each ever forked."""
        place = process % _PROCESSES
        first = _HEAD + place * _PLACES
        self._crowded = first + _PLACES - 1  # the place of those that have none
        self._crowd = 0  # how many those are
        # Threads take from it and give back: each call of a list's is one step.
        self._free: list[int] = [*range(self._crowded - 1, first - 1, -1)]
        for each in range(first, first + _PLACES):
            self._words[each] = 0
        self._words[0] = max(self._words[0], place + 1)

    def enter(self, number: int) -> int:
        """Say that an object is being changed; returns the place to `leave`."""
        try:
            place = self._free.pop()
        except IndexError:
            return self._enter_crowd()
        self._words[place] = number
        return place

    def leave(self, place: int, number: int) -> None:
        """Say that it is done."""
        at = (place - _HEAD) * _KINDS + number % _KINDS
        if place == self._crowded:
            self._leave_crowd(at)
            return
        self._ended[at] = self._ended[at] + 1 & 0xFF
        self._words[place] = 0
        self._free.append(place)

    def _enter_crowd(self) -> int:
        with self._lock:
            self._crowd += 1
            self._words[self._crowded] = _ANY
        return self._crowded

    def _leave_crowd(self, at: int) -> None:
        with self._lock:
            self._ended[at] = self._ended[at] + 1 & 0xFF
            self._crowd -= 1
            if not self._crowd:
                self._words[self._crowded] = 0

    def ended(self, number: int) -> bytes:
        """What has to be the same before and after a change that nobody else's ended in."""
        return self._ended[number % _KINDS : self._words[0] * _PLACES * _KINDS : _KINDS]

    def is_alone(self, number: int, place: int) -> bool:
        """Whether the caller, who has entered at this place, is the only one at an object now.

        To be asked before `ended`: who leaves counts that first.
        """
        used = self._map[_WORD : (_HEAD + self._words[0] * _PLACES) * _WORD]
        own, at = _PACK(number), (place - _HEAD) * _WORD
        if used == _NOBODY[:at] + own + _NOBODY[at + _WORD : len(used)]:
            return True  # nobody is at any other
        return used.count(own) == 1 and _ANY_BYTES not in used
