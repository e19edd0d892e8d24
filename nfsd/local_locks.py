"""The locks of clients as processes of the server's machine see them: on the upper files.

Each locked file is open once, and has by fcntl(2) (F_OFD_SETLK) what all clients together
have. A file that is not in an upper layer nobody there uses, so it need not be locked;
one that is copied up while it is locked is, when it is next looked at.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable
from typing import Final

from nfsd.lock import END, Client, Lock, Owner
from overlay.descriptor import Fd

_FLOCK: Final = struct.Struct("hhqqi4x")  # type, whence, start, length, process
_LAST: Final = (1 << 63) - 1  # byte of a file
_LOCAL: Final = Client("", b"local")


class LocalLocks:
    """Of all files, each known by the bytes of its handle."""

    def __init__(self, open_upper: Callable[[bytes], Fd | None]) -> None:
        """`open_upper` gives a descriptor of an upper file, which is closed when let go of."""
        self._open_upper = open_upper
        self._files: dict[bytes, Fd] = {}

    def is_open(self, key: bytes) -> bool:
        """Whether a file's locks are seen."""
        return key in self._files

    def take(self, key: bytes, lock: Lock) -> bool:
        """Lock, in place of what is held there; whether no process here is in the way."""
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
        """A process of this machine that is in the way."""
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
        """Let go of a file that is not locked any more."""
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
