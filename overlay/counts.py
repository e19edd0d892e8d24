"""What has happened so far, counted in memory that processes forked from this one share.

A process that serves has a row of words that nobody else writes, so that it
takes no lock between processes to count.  The one that takes the place of a dead one
counts on in the same row: the sum of all rows never goes backwards, whatever is
killed at whatever moment.  Here are the rows, and the copy-ups of every overlay
that this process and those forked from it serve.
"""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Final, NamedTuple

PROCESSES: Final = 256  # that serve at a time, at most


class Rows:
    """Words that count, `width` in each row, a row for each of so many writers."""

    def __init__(self, width: int, writers: int = PROCESSES) -> None:
        self._width = width
        words = memoryview(mmap.mmap(-1, 8 * (1 + width) * writers)).cast("Q")
        self._is_used, self._words = words[:writers], words[writers:]

    def row(self, writer: int) -> memoryview:
        """The words of one writer, from 0."""
        self._is_used[writer] = 1
        return self._row(writer)

    def _row(self, writer: int) -> memoryview:
        begin = writer * self._width
        return self._words[begin : begin + self._width]

    def sums(self) -> list[int]:
        """Each word, summed over all rows."""
        used = [self._row(writer) for writer, is_used in enumerate(self._is_used) if is_used]
        return [sum(column) for column in zip(*used, strict=True)]


class Kind(IntEnum):
    """What is copied up of an object."""

    DATA = 0  # a non-directory with its data, or the data of one that had all else
    METADATA = 1  # all but the data
    DIRECTORY = 2


class CopyUps(NamedTuple):
    """What was copied up of one kind."""

    done: int
    failed: int
    size: int  # bytes of data, those included that the filesystem shares
    nanoseconds: int
    under_way: int


_FIELDS: Final = len(CopyUps._fields)
_UNDER_WAY: Final = CopyUps._fields.index("under_way")


class _Counted:
    """The rows, and the one of this process, which its threads write in turn."""

    def __init__(self) -> None:
        self.rows = Rows(_FIELDS * len(Kind))
        self.lock = threading.Lock()
        self.own = self.rows.row(0)


_COUNTED: Final = _Counted()


def join(slot: int) -> None:
    """Be the process in this slot, from 0, alone in it; what its last one made is made no more."""
    _COUNTED.lock = threading.Lock()
    _COUNTED.own = _COUNTED.rows.row(slot)
    for kind in Kind:
        _COUNTED.own[kind * _FIELDS + _UNDER_WAY] = 0


def copy_ups() -> dict[Kind, CopyUps]:
    """What all processes have copied up so far."""
    sums = _COUNTED.rows.sums()
    return {kind: CopyUps(*sums[kind * _FIELDS : (kind + 1) * _FIELDS]) for kind in Kind}


@contextmanager
def copying(kind: Kind, size: int = 0) -> Iterator[None]:
    """Count what is done within as one copy-up, of `size` bytes of data."""
    begun = time.perf_counter_ns()
    _add(kind, CopyUps(0, 0, 0, 0, 1))
    try:
        yield
    except BaseException:
        _add(kind, CopyUps(0, 1, 0, time.perf_counter_ns() - begun, -1))
        raise
    _add(kind, CopyUps(1, 0, size, time.perf_counter_ns() - begun, -1))


def _add(kind: Kind, more: CopyUps) -> None:
    with _COUNTED.lock:
        for place, number in enumerate(more, kind * _FIELDS):
            _COUNTED.own[place] += number
