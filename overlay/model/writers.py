"""Which objects are being changed, by whichever process: bytes in shared memory.

It excludes no change.  One that is made asks whether it was alone at the object since
it entered (overlay.model.sole).  Each slot has a byte for each kind of object: odd while the
change that has the slot is under way, and another whenever one has begun or ended.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections import Counter
from typing import Final

_PROCESSES: Final = 256  # whose slots are told apart
_SLOTS: Final = 8  # of one process
_KINDS: Final = 256  # of objects, by the last byte of their numbers
_ROW: Final = _PROCESSES * _SLOTS  # bytes of one kind: those of one process after the other
_PARITY: Final = bytes(value & 1 for value in range(256))


class Writers:
    """The objects that are being changed, by their numbers, by all processes of one overlay."""

    def __init__(self) -> None:
        self._bytes: Final = memoryview(mmap.mmap(-1, _KINDS * _ROW))
        words = memoryview(mmap.mmap(-1, (1 + _PROCESSES) * 8)).cast("Q")
        # How many bytes of each row are in use, and which process has which slots.
        self._used: Final = words[:1]
        self._pids: Final = words[1:]
        self._lock: Final = threading.Lock()  # for `_crowd`
        # The part of each row that is in use, as far as this process has learnt; threads replace
        # the list as a whole, and each uses the one that it has looked at.
        self._rows = [self._bytes[:0]]
        self.join(0)

    def join(self, process: int) -> None:
        """Be the process of this number, which is another for each ever forked."""
        owner = process % _PROCESSES
        first = owner * _SLOTS
        self._pids[owner] = os.getpid()
        self._clear(owner)
        # What the bytes of its own slots are: reading the memory takes longer.
        self._values = [0] * (_KINDS * _SLOTS)
        # The last slot is of all that have none of their own: how many, by kind.
        self._crowded = first + _SLOTS - 1
        self._crowd = Counter[int]()
        # Threads take from it and give back: each call of a list's is one step.
        self._free: list[int] = [*range(self._crowded - 1, first - 1, -1)]
        # By slot, the parities of a row where the change that has it is the only one.
        self._alone = [b""] * _SLOTS
        self._used[0] = max(self._used[0], first + _SLOTS)

    def died(self, pid: int) -> None:
        """Forget what a process was at that has ended."""
        for owner in range(_PROCESSES):
            if self._pids[owner] == pid:
                self._pids[owner] = 0
                self._clear(owner)

    def _clear(self, owner: int) -> None:
        for at in range(owner * _SLOTS, _KINDS * _ROW, _ROW):
            self._bytes[at : at + _SLOTS] = bytes(_SLOTS)

    def enter(self, number: int) -> int:
        """Say that an object is being changed; return what `leave` has to be told."""
        kind = number % _KINDS
        try:
            slot = self._free.pop()
        except IndexError:
            return self._enter_crowd(kind)
        at = kind * _ROW + slot
        self._step(at, 1)
        return at

    def leave(self, at: int) -> None:
        """Say that it is done."""
        slot = at % _ROW
        if slot == self._crowded:
            self._leave_crowd(at)
            return
        self._step(at, 1)
        self._free.append(slot)

    def _enter_crowd(self, kind: int) -> int:
        at = kind * _ROW + self._crowded
        with self._lock:
            self._crowd[kind] += 1
            self._step(at, 1 if self._crowd[kind] == 1 else 2)
        return at

    def _leave_crowd(self, at: int) -> None:
        kind = at // _ROW
        with self._lock:
            self._crowd[kind] -= 1
            self._step(at, 2 if self._crowd[kind] else 1)

    def _step(self, at: int, step: int) -> None:
        """Change a byte of a slot's, which no other thread changes meanwhile.

        That of the crowd is odd from when the first enters until the last leaves: the others
        make it two more.
        """
        index = at // _ROW * _SLOTS + at % _SLOTS
        value = self._values[index] + step & 0xFF
        self._values[index] = value
        self._bytes[at] = value

    def seen(self, at: int) -> bytes:
        """Return which changes are at objects of a kind, for `is_alone`; the caller has entered."""
        rows, used = self._rows, self._used[0]
        if len(rows[0]) != used:
            rows = [self._bytes[row : row + used] for row in range(0, _KINDS * _ROW, _ROW)]
            self._rows = rows
        return rows[at // _ROW].tobytes()

    def is_alone(self, at: int, seen: bytes) -> bool:
        """Return whether the caller, which entered there, was alone since it has `seen` them.

        A change that has no slot of its own cannot know.
        """
        slot = at % _ROW
        if self.seen(at) != seen or slot == self._crowded:
            return False
        alone = self._alone[slot % _SLOTS]
        if len(alone) != len(seen):
            alone = bytes(slot) + b"\1" + bytes(len(seen) - slot - 1)
            self._alone[slot % _SLOTS] = alone
        return seen.translate(_PARITY) == alone
