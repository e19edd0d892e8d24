"""Counters that tell whether what was learnt about an object still holds.

A thread that changes what a cached fact depends on bumps the object's counter
afterwards; one that caches a fact reads the counter before learning it.  The
fact is valid while the counter stands still.  Objects share counters, of a kind a
million: a needless miss, never a stale hit.  The number is a fileid, or for a name
the hash that processes forked from one have in common.

The counters lie in memory that processes forked from this one share, so that
they see each other's changes.  To bump a counter is to store a number in it
that no process stores anywhere before or after: so it needs no lock, and of two
bumps at once it does not matter which comes last.  Before its counter and after
it, each bump stores a number as the last change of all.  While that one stands
still, what was found to hold still holds, and what is learnt holds from before.

What a reply to a client says is learnt from many facts.  `watched` notes which
counters were consulted on the way, so that the whole holds while they stand.
"""

from __future__ import annotations

import errno
import itertools
import mmap
import os
from array import array
from collections.abc import Callable
from operator import itemgetter
from threading import get_ident
from typing import Final, TypeVar

from index.linux.fd import Fd

T = TypeVar("T")

NEVER: Final = -1  # of what may not be kept: no counter ever stands so
# A prime, as inode numbers of directories tend to be alike in their low bits: ext4
# puts each into another of its groups.  So many that the objects that are changed
# all the time, some hundreds, share a counter with hardly any other.
_SLOTS: Final = 999_983
_KINDS: Final = 4
_LAST: Final = 0  # where the last bump of all is; the counters come behind it
_PROCESS_SHIFT: Final = 48  # below: what one process can count, 89 years of 100,000 a second
_PROCESSES: Final = 1 << 16
_TOGETHER: Final = 1 << 13  # that are written at once; they stay in the processor's cache
_WORD: Final = 8  # bytes of a counter

# Bytes of shared memory that the counters take, sooner or later.
COUNTERS_BYTES: Final = (1 + _KINDS * _SLOTS) * _WORD


class _Counters:
    """The counters of every overlay that this process and those forked from it serve."""

    def __init__(self) -> None:
        self.file = Fd(os.memfd_create("generations", os.MFD_CLOEXEC))
        os.ftruncate(self.file, COUNTERS_BYTES)
        self.words = memoryview(mmap.mmap(self.file, COUNTERS_BYTES)).cast("Q")
        self.next = itertools.count(2, 2).__next__
        self.watching: Final = dict[int, dict[int, int]]()  # by thread, while it watches


_COUNTERS: Final = _Counters()
_WORDS: Final = _COUNTERS.words


def join(process: int) -> None:
    """Bump with numbers of this process alone: `process` is another for each ever forked."""
    first = process % _PROCESSES << _PROCESS_SHIFT
    _COUNTERS.next = itertools.count(first + 2, 2).__next__


def bump_all() -> None:
    """Record that nothing that was learnt so far holds.

    A page that is not there yet was never read: nothing was learnt by its counters.
    """
    _WORDS[_LAST] = stamp = _COUNTERS.next()
    stamp += 1
    stamps = memoryview(array("Q", [stamp]) * _TOGETHER)
    for begin, end in _touched():
        for first in range(max(begin, _LAST + 1), end, _TOGETHER):
            part = _WORDS[first : min(first + _TOGETHER, end)]
            part[:] = stamps[: len(part)]
    _WORDS[_LAST] = stamp


def _touched() -> list[tuple[int, int]]:
    """Return the ranges of words in the pages that some process has read or written."""
    found: list[tuple[int, int]] = []
    end = 0
    while end < COUNTERS_BYTES:
        try:
            begin = os.lseek(_COUNTERS.file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # only a hole is left
        end = os.lseek(_COUNTERS.file, begin, os.SEEK_HOLE)
        found.append((begin // _WORD, end // _WORD))
    return found


class Generations:
    """Counters for one kind of fact, by number; `kind` is 0 to 3."""

    def __init__(self, kind: int) -> None:
        self._first = 1 + kind * _SLOTS

    def of(self, number: int) -> int:
        slot = self._first + number % _SLOTS
        stands = _WORDS[slot]
        watching = _COUNTERS.watching
        if watching:
            noted = watching.get(get_ident())
            if noted is not None:
                noted.setdefault(slot, stands)
        return stands

    def bump(self, number: int) -> int:
        """Invalidate facts of an object; return how the counter stands from now on."""
        _WORDS[_LAST] = stamp = _COUNTERS.next()
        stamp += 1
        _WORDS[self._first + number % _SLOTS] = stamp
        _WORDS[_LAST] = stamp
        return stamp

    def bump_after(self, other: Generations, others: int, number: int) -> int:
        """Invalidate a fact of a number, and before it those that `other` has of another number.

        So whoever reads the counter of the fact first, and then finds that the other still
        stands, has read the former one.
        """
        _WORDS[_LAST] = stamp = _COUNTERS.next()
        stamp += 1
        _WORDS[other._first + others % _SLOTS] = stamp
        _WORDS[self._first + number % _SLOTS] = stamp
        _WORDS[_LAST] = stamp
        return stamp

    def bump_with(self, other: Generations, number: int) -> int:
        """Invalidate facts of two kinds of an object; return how both counters stand now."""
        slot = number % _SLOTS
        _WORDS[_LAST] = stamp = _COUNTERS.next()
        stamp += 1
        _WORDS[self._first + slot] = _WORDS[other._first + slot] = stamp
        _WORDS[_LAST] = stamp
        return stamp


def last_change() -> int:
    """Whatever was learnt since this was asked for holds if it is still the same."""
    return _WORDS[_LAST]


class Basis:
    """What something was learnt from: counters, and how they stood before."""

    __slots__ = ("_last", "_now", "_stood")

    def __init__(self, last: int, noted: dict[int, int]) -> None:
        self._last = last
        slots, stood = tuple(noted), tuple(noted.values())
        # The first is asked for twice: of one alone itemgetter makes no tuple.
        self._now = itemgetter(*slots, slots[0]) if slots else None
        self._stood = stood + stood[:1]

    def holds(self) -> bool:
        """Return whether none of the counters has moved."""
        last = _WORDS[_LAST]
        if last != self._last:
            if self._now is not None and self._now(_WORDS) != self._stood:
                return False
            self._last = last
        return True

    @property
    def size(self) -> int:
        """Return how many bytes of memory it takes, about."""
        return 256 + 80 * len(self._stood)


def watched(learn: Callable[[], T]) -> tuple[T, Basis]:
    """Return what `learn` returns, and what it was learnt from, on this thread."""
    last, noted = _WORDS[_LAST], dict[int, int]()
    watching, thread = _COUNTERS.watching, get_ident()
    watching[thread] = noted
    try:
        result = learn()
    finally:
        del watching[thread]
    return result, Basis(last, noted)
