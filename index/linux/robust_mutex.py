"""Locks in memory that forked processes share, each of which goes with the thread that holds it.

They are robust mutexes of the C library (pthread_mutexattr_setrobust(3)): when a holder
dies, however it does, the kernel gives the mutex to the next thread.  To take one and to
give it back costs 0.2 us and no system call where no other thread wants it; a record lock
(index.linux.file_lock) costs 0.7 us.  They must be made before the processes are forked.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
import time
from typing import Final

_BYTES: Final = 64  # for each: more than a pthread_mutex_t of any machine, and a cache line
_SHARED: Final = 1  # PTHREAD_PROCESS_SHARED
_ROBUST: Final = 1  # PTHREAD_MUTEX_ROBUST
_RECURSIVE: Final = 1  # PTHREAD_MUTEX_RECURSIVE
_TIMESPEC: Final = struct.Struct("@ll")

# Never waits, so other threads need not be let go on meanwhile.
_quick: Final = ctypes.PyDLL(None)
_trylock: Final = _quick.pthread_mutex_trylock
_unlock: Final = _quick.pthread_mutex_unlock
_patient: Final = ctypes.CDLL(None)
_lock: Final = _patient.pthread_mutex_lock
_timedlock: Final = _patient.pthread_mutex_timedlock


class Mutex:
    """A recursive mutex: a thread that holds it may take it again, and releases it as often."""

    __slots__ = ("_it",)

    def __init__(self, memory: mmap.mmap, offset: int) -> None:
        # A reference, which is what ctypes passes on fastest; it keeps the memory mapped.
        self._it = ctypes.byref(ctypes.c_char.from_buffer(memory, offset))
        attributes = ctypes.byref(ctypes.create_string_buffer(_BYTES))
        _check(_quick.pthread_mutexattr_init(attributes))
        _check(_quick.pthread_mutexattr_setpshared(attributes, _SHARED))
        _check(_quick.pthread_mutexattr_setrobust(attributes, _ROBUST))
        _check(_quick.pthread_mutexattr_settype(attributes, _RECURSIVE))
        _check(_quick.pthread_mutex_init(self._it, attributes))

    def acquire(self) -> None:
        """Take it, however long that needs."""
        result: int = _trylock(self._it)
        if result:
            self._taken(_lock(self._it) if result == errno.EBUSY else result)

    def acquire_at_once(self) -> bool:
        """Take it if nobody has it; returns whether it was taken."""
        result: int = _trylock(self._it)
        return not result or (result != errno.EBUSY and self._taken(result))

    def acquire_within(self, seconds: float, awake: float = 0) -> bool:
        """Take it as soon as it is free, within so long; returns whether it was taken.

        `awake`: seconds to try again and again before sleeping.  Until they are over no other
        thread of this process gets anything done.
        """
        enough = time.monotonic_ns() + int(awake * 1e9)
        while time.monotonic_ns() < enough:
            if self.acquire_at_once():
                return True
        until = time.time_ns() + int(seconds * 1e9)
        result: int = _timedlock(self._it, _TIMESPEC.pack(*divmod(until, 10**9)))
        return result != errno.ETIMEDOUT and self._taken(result)

    def release(self) -> None:
        """Release it."""
        _unlock(self._it)

    def _taken(self, result: int) -> bool:
        """Return True if it was taken, also from a dead holder; else raise OSError."""
        if result == errno.EOWNERDEAD:
            result = _quick.pthread_mutex_consistent(self._it)
        _check(result)
        return True


def mutexes(number: int) -> tuple[Mutex, ...]:
    """Return so many mutexes, for this process and those forked from it."""
    memory = mmap.mmap(-1, number * _BYTES)
    return tuple(Mutex(memory, slot * _BYTES) for slot in range(number))


def _check(result: int) -> None:
    if result:
        raise OSError(result, os.strerror(result))
