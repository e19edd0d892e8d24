"""How much one overlay's upper layer may hold: space on disk, and objects of any type.

It is counted where upper inodes come, grow and go.  For a file whose data changes the
count follows st_blocks, as it stands when the change is done: so holes cost nothing, and
of several changes at once none is counted twice.  What is not seen here (attributes that
take a block of their own) is put right by the walk of the next start after a crash.

Directories that are copied up are counted, and never refused: without them nothing could be
removed where all is taken.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from index.linux.fd import Fd
from overlay.base.errors import error
from overlay.model.config import Limits

_SECTOR: Final = 512  # bytes, the unit of st_blocks
_BLOCK: Final = 4096


@dataclass(frozen=True, slots=True)
class Taken:
    """What it holds."""

    space: int
    files: int


class Budget:
    """The limits of one overlay, and what is taken; for all threads of the one process it is in."""

    def __init__(self, limits: Limits, taken: Taken, changing: Callable[[], None]) -> None:
        """`changing` is called once, before what is taken changes, and again after each `save`."""
        self.limits = limits
        self._space, self._files = taken.space, taken.files
        self._promised_space = self._promised_files = 0
        self._changing = changing
        self._is_told = False
        self._lock = threading.Lock()
        self._counted: dict[int, tuple[int, int]] = {}  # by number: changes under way, bytes
        self._emptying: set[int] = set()  # threads

    @property
    def taken(self) -> Taken:
        with self._lock:
            return Taken(max(0, self._space), max(0, self._files))

    def save(self, write: Callable[[Taken], None]) -> None:
        """Have what is taken written, unless something is being changed just now."""
        with self._lock:
            if not self._counted and not self._promised_files:
                write(Taken(max(0, self._space), max(0, self._files)))
                self._is_told = False

    def left(self, space: os.statvfs_result) -> os.statvfs_result:
        """Return what a filesystem has of space and files, as far as the limits let it be had."""
        taken, unit = self.taken, space.f_frsize
        blocks, free, files, free_files = space.f_blocks, space.f_bavail, *space[5:7]
        if self.limits.space is not None:
            blocks = min(blocks, self.limits.space // unit)
            free = min(free, max(0, self.limits.space - taken.space) // unit)
        if self.limits.files is not None:
            spare = max(0, self.limits.files - taken.files)
            free_files = min(free_files, spare) if files else spare
            files = min(files, self.limits.files) if files else self.limits.files
        sizes = space.f_bsize, unit, blocks, free, free
        counts = files, free_files, free_files
        return os.statvfs_result((*sizes, *counts, space.f_flag, space.f_namemax))

    def gained(self, st: os.stat_result) -> None:
        """Record that an upper inode has come."""
        self._change(space_of(st), 1)

    def lost(self, st: os.stat_result) -> None:
        """Record that an upper inode has lost its last name."""
        self._change(-space_of(st), -1)

    def grew(self, size: int) -> None:
        """Record that an upper inode takes so many bytes more, or less."""
        if size:
            self._change(size, 0)

    def _change(self, space: int, files: int) -> None:
        with self._lock:
            self._tell()
            self._space += space
            self._files += files

    def _tell(self) -> None:
        if not self._is_told:
            self._changing()
            self._is_told = True

    def making(self, space: int = _BLOCK) -> Promise:
        """Return what is held while an upper inode is made that takes so much; raises EDQUOT."""
        return Promise(self, space, 1)

    def writing(self, number: int, fd: Fd, offset: int, length: int) -> Growth:
        """To be held while data of an upper file is written; raises EDQUOT where it would grow."""
        return self.growing(number, fd, _unallocated(fd, offset, length))

    def growing(self, number: int, fd: Fd, space: int) -> Growth:
        """To be held while the upper file behind `fd` grows, by so much at most; raises EDQUOT."""
        return Growth(self, number, fd, space)

    def emptying(self) -> Emptying:
        """Return what is held while something is made so that something can be removed."""
        return Emptying(self._emptying)

    def promise(self, space: int, files: int) -> None:
        """Set so much aside; raises EDQUOT."""
        limits = self.limits
        with self._lock:
            if threading.get_ident() not in self._emptying:
                _require(limits.space, self._space + self._promised_space, space)
                _require(limits.files, self._files + self._promised_files, files)
            self._promised_space += space
            self._promised_files += files

    def keep(self, space: int, files: int) -> None:
        """Record that what was set aside is used, and counted, or not."""
        with self._lock:
            self._promised_space -= space
            self._promised_files -= files

    def watch(self, number: int, fd: Fd) -> None:
        """Record that a file's data begins to change."""
        with self._lock:
            self._tell()
            changes, size = self._counted.get(number, (0, 0))
            size = size if changes else space_of(os.fstat(fd))
            self._counted[number] = changes + 1, size

    def count(self, number: int, fd: Fd) -> None:
        """It has changed."""
        with self._lock:
            changes, had = self._counted.pop(number)
            size = space_of(os.fstat(fd))
            self._space += size - had
            if changes > 1:
                self._counted[number] = changes - 1, size


class Promise:
    """So much that is set aside while it is entered."""

    __slots__ = ("_budget", "_files", "_space")

    def __init__(self, budget: Budget, space: int, files: int) -> None:
        self._budget = budget
        self._space = space
        self._files = files

    def __enter__(self) -> None:
        self._budget.promise(self._space, self._files)

    def __exit__(self, *_: object) -> None:
        self._budget.keep(self._space, self._files)


class Growth:
    """A change of one file's data while it is entered."""

    __slots__ = ("_budget", "_fd", "_number", "_space")

    def __init__(self, budget: Budget, number: int, fd: Fd, space: int) -> None:
        self._budget: Final = budget
        self._number: Final = number
        self._fd: Final = fd
        self._space: Final = space

    def __enter__(self) -> None:
        self._budget.promise(self._space, 0)
        self._budget.watch(self._number, self._fd)

    def __exit__(self, *_: object) -> None:
        self._budget.count(self._number, self._fd)
        self._budget.keep(self._space, 0)


class Emptying:
    """While it is entered nothing is refused to this thread."""

    __slots__ = ("_threads",)

    def __init__(self, threads: set[int]) -> None:
        self._threads = threads

    def __enter__(self) -> None:
        self._threads.add(threading.get_ident())

    def __exit__(self, *_: object) -> None:
        self._threads.discard(threading.get_ident())


def _require(limit: int | None, taken: int, more: int) -> None:
    if limit is not None and more > 0 and taken + more > limit:
        raise error(errno.EDQUOT)


def space_of(st: os.stat_result) -> int:
    """Return how many bytes of disk an inode takes, but for what XFS has ready behind its end."""
    space = st.st_blocks * _SECTOR
    if stat.S_ISREG(st.st_mode):
        return min(space, st.st_size + -st.st_size % _BLOCK)
    return space


def _unallocated(fd: Fd, offset: int, length: int) -> int:
    """Return how many bytes more a file takes, at most, when this range is written."""
    at, end, missing = offset - offset % _BLOCK, offset + length, 0
    end += -end % _BLOCK
    while at < end:
        try:
            data = min(os.lseek(fd, at, os.SEEK_DATA), end)
            missing += data - at
            at = min(os.lseek(fd, data, os.SEEK_HOLE), end) if data < end else end
        except OSError as problem:
            if problem.errno != errno.ENXIO:
                raise
            return missing + end - at  # there is only a hole, or nothing
    return missing
