"""The copy-ups of every overlay that this process and those forked from it serve, counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Final, NamedTuple

from overlay.base.counters import Rows


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
    """Return what all processes have copied up so far."""
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
        for field, number in enumerate(more, kind * _FIELDS):
            _COUNTED.own[field] += number
