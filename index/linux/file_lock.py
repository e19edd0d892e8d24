"""Locks between processes, which go with the process that holds them, however it ends.

`hold` keeps a whole directory from other servers.  The processes of one server
exclude each other by `ProcessLock`: one byte of a file, held by a record lock
of an open file description of the process's own (fcntl(2), F_OFD_SETLK), never of
one that a forked process has inherited, which would be in both processes' hands.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from typing import Final
from weakref import WeakSet

from index.linux.fd import Fd, open_at

_FLOCK: Final = struct.Struct("hhqqi4x")  # struct flock: type, whence, start, length, pid
# How long a server that was killed may take to be gone with all its processes.
_DYING_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.02


def hold(directory: Fd, patience: float = _DYING_SECONDS) -> None:
    """Keep a directory for this process and those forked from it.

    Raises EBUSY when another server has it, and still has it after `patience` seconds.
    """
    _take(directory, fcntl.LOCK_EX, patience)


def hold_shared(directory: Fd, patience: float = _DYING_SECONDS) -> None:
    """Keep a directory from those that want it for themselves; raises EBUSY as `hold`."""
    _take(directory, fcntl.LOCK_SH, patience)


def _take(directory: Fd, how: int, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(directory, how | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from problem
            time.sleep(_LOOK_SECONDS)
        else:
            return


def let_go(directory: Fd) -> None:
    """Give back what `hold` took; in every process that was forked since, too."""
    fcntl.flock(directory, fcntl.LOCK_UN)


class ProcessLock:
    """One byte of a file.  It may not exclude other threads of this process."""

    def __init__(
        self, file: Fd, byte: int, *, wait: bool = True, of: LockFile | None = None
    ) -> None:
        """Without `wait` to take it raises BlockingIOError where another process has it.

        The file was opened for it alone, or is kept for others as well.
        """
        self._file, self._of = file, of
        self._take = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
        self._lock = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        self._unlock = _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, byte, 1, 0)

    def acquire(self) -> None:
        """Take the lock, however long that needs."""
        fcntl.fcntl(self._file, self._take, self._lock)

    def release(self) -> None:
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, self._unlock)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        try:
            self.release()
        except OSError:  # closing the file, which follows, gives it back too
            if self._of is not None:
                self._of.forget(self._file)


class LockFile:
    """A file whose bytes are locks, kept open by each process that has used one."""

    def __init__(self, directory: Fd, name: bytes) -> None:
        self._directory, self._name = directory, name
        self._file: Fd | None = None
        _kept.add(self)

    def lock(self, byte: int, *, wait: bool) -> ProcessLock:
        """Return the lock of one byte, not taken yet; no other thread of this process has it."""
        file = self._file
        if file is None:
            flags = os.O_RDWR | os.O_CREAT
            self._file = file = open_at(self._directory, self._name, flags, 0o600)
        return ProcessLock(file, byte, wait=wait, of=self)

    def forget(self, file: Fd | None = None) -> None:
        """Open it anew for the next lock; it is closed with the last that was taken by it."""
        if file is None or self._file is file:
            self._file = None


_kept: Final[WeakSet[LockFile]] = WeakSet()


def _forget_inherited() -> None:
    for each in list(_kept):
        each.forget()


os.register_at_fork(after_in_child=_forget_inherited)
