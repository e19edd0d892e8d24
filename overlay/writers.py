"""Which objects are being changed, by whichever process: a word for each, in shared memory.

It excludes nobody.  Who has made a change asks whether he was alone (overlay.sole).
"""

from __future__ import annotations

import mmap
import struct
from typing import Final

_PROCESSES: Final = 256  # whose places are told apart
_PLACES: Final = 8  # of one process
_WORD: Final = 8  # bytes
_ANY: Final = (1 << 64) - 1  # of a process that has no place left: it may be at any object
_PACK: Final = struct.Struct("=Q").pack
_ANY_BYTES: Final = _PACK(_ANY)
_HEAD: Final = 1  # words: how many processes' places are in use
_NOBODY: Final = bytes(_PROCESSES * _PLACES * _WORD)


class Writers:
    """The objects that are being changed, by their numbers, by all processes of one overlay."""

    def __init__(self) -> None:
        words = _HEAD + _PROCESSES * _PLACES
        self._map: Final = mmap.mmap(-1, words * _WORD)
        self._words: Final = memoryview(self._map).cast("Q")
        self._crowd = 0  # changes of this process without a place of their own
        self.join(0)

    def join(self, process: int) -> None:
        """Be the process of this number, which is another for each ever forked."""
        place = process % _PROCESSES
        self._first = _HEAD + place * _PLACES
        self._crowded = self._first + _PLACES - 1  # the place of those that have none
        for each in range(self._first, self._first + _PLACES):
            self._words[each] = 0
        self._words[0] = max(self._words[0], place + 1)

    def enter(self, number: int) -> int:
        """Say that an object is being changed; returns the place to `leave`."""
        words, place = self._words, self._first
        while place < self._crowded:
            if not words[place]:
                words[place] = number
                return place
            place += 1
        self._crowd += 1
        words[place] = _ANY
        return place

    def leave(self, place: int) -> None:
        """Say that it is done."""
        if place == self._crowded:
            self._crowd -= 1
            if self._crowd:
                return
        self._words[place] = 0

    def is_alone(self, number: int, place: int) -> bool:
        """Whether the caller, who has entered at this place, is the only one at an object."""
        used = self._map[_WORD : (_HEAD + self._words[0] * _PLACES) * _WORD]
        own, at = _PACK(number), (place - _HEAD) * _WORD
        if used == _NOBODY[:at] + own + _NOBODY[at + _WORD : len(used)]:
            return True  # nobody is at any other
        return used.count(own) == 1 and _ANY_BYTES not in used
