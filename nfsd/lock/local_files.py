"""The locks of clients as processes of the server's machine see them: on the upper files.

Each locked file is open once, and is locked by fcntl(2) (F_OFD_SETLK) where any client has a lock.
A file without an upper inode is not locked, as local processes do not use it; when it is
copied up, it is locked the next time that files are checked.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable
from typing import Final

from index.linux.fd import Fd
from nfsd.lock.types import END, Client, Lock, Owner

_FLOCK: Final = struct.Struct("hhqqi4x")  # type, whence, start, length, process
_LAST: Final = (1 << 63) - 1  # byte of a file
_LOCAL: Final = Client("", b"local")


class LocalLocks:
    """The locks on all files; the key of a file is its handle."""

    def __init__(self, open_upper: Callable[[bytes], Fd | None]) -> None:
        """`open_upper` returns a descriptor of the upper inode, None if there is none."""
        self._open_upper = open_upper
        self._files: dict[bytes, Fd] = {}

    def is_open(self, key: bytes) -> bool:
        """Return whether local processes see the locks of a file."""
        return key in self._files

    def take(self, key: bytes, lock: Lock) -> bool:
        """Lock, instead of what is held there; return whether no local lock conflicts."""
        if lock.begin > _LAST or not self._open(key):
            return True
        try:
            self._call(key, fcntl.F_OFD_SETLK, _kind(lock), lock.begin, lock.end)
        except BlockingIOError:
            return False
        return True

    def give(self, key: bytes, begin: int, end: int) -> None:
        """Unlock."""
        if key in self._files and begin <= _LAST:
            self._call(key, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, begin, end)

    def holder(self, key: bytes, wanted: Lock) -> Lock | None:
        """Return a lock of a local process that conflicts."""
        if wanted.begin > _LAST or not self._open(key):
            return None
        kind, _, begin, length, process = self._call(
            key, fcntl.F_OFD_GETLK, _kind(wanted), wanted.begin, wanted.end
        )
        if kind == fcntl.F_UNLCK:
            return None
        owner = Owner(_LOCAL, max(process, 0), b"")
        return Lock(owner, begin, begin + length if length else END, kind == fcntl.F_WRLCK)

    def drop(self, key: bytes) -> None:
        """Close a file that is not locked any more."""
        self._files.pop(key, None)

    def _open(self, key: bytes) -> bool:
        if key not in self._files:
            file = self._open_upper(key)
            if file is None:
                return False
            self._files[key] = file
        return True

    def _call(self, key: bytes, command: int, kind: int, begin: int, end: int) -> tuple[int, ...]:
        length = 0 if end > _LAST else end - begin
        packed = _FLOCK.pack(kind, os.SEEK_SET, begin, length, 0)
        return _FLOCK.unpack(fcntl.fcntl(self._files[key], command, packed))


def _kind(lock: Lock) -> int:
    return fcntl.F_WRLCK if lock.exclusive else fcntl.F_RDLCK
