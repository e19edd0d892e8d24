"""What clients say that they have mounted, in memory that all workers share.

The list is what clients last said, as everywhere: it informs people and decides
nothing.  It is bounded, and what was mounted longest ago goes first.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nfsd.xdr.generated.mount import MNTNAMLEN, MNTPATHLEN, mountbody

_MOUNTS_MAX: Final = 1024
_HEAD: Final = 8  # bytes: twice how much of an area is used, plus which one counts
_AREA: Final = _MOUNTS_MAX * (MNTNAMLEN + 1 + MNTPATHLEN + 1)  # each part ends with a zero byte


class Mounts:
    """The list, from the oldest mount to the newest.

    It lies in one of two areas.  A change is written to the other, so a process
    that dies before it is done has changed nothing.
    """

    def __init__(self) -> None:
        self._file = os.memfd_create("mounts", os.MFD_CLOEXEC)
        os.ftruncate(self._file, _HEAD + 2 * _AREA)
        self._map = mmap.mmap(self._file, _HEAD + 2 * _AREA)
        self._state = memoryview(self._map)[:_HEAD].cast("Q")
        self._threads = threading.Lock()

    def all(self) -> list[mountbody]:
        """Return the list."""
        with self._alone():
            return self._read()

    def enter(self, mount: mountbody) -> None:
        """Add a mount, or make it the newest."""
        with self._alone():
            others = [each for each in self._read() if each != mount]
            self._write([*others, mount][-_MOUNTS_MAX:])

    def remove(self, mount: mountbody) -> None:
        """Take a mount out, if it is there."""
        with self._alone():
            self._write([each for each in self._read() if each != mount])

    def remove_all_of(self, host: bytes) -> None:
        """Take out whatever a host has mounted."""
        with self._alone():
            self._write([each for each in self._read() if each.ml_hostname != host])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Exclude threads, and other processes by a lock that goes with its holder."""
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _read(self) -> list[mountbody]:
        size, area = divmod(self._state[0], 2)
        begin = _HEAD + area * _AREA
        parts = self._map[begin : begin + size].split(b"\0")
        return list(map(mountbody, parts[:-1:2], parts[1::2]))

    def _write(self, mounts: list[mountbody]) -> None:
        data = b"".join(b"%s\0%s\0" % (each.ml_hostname, each.ml_directory) for each in mounts)
        area = 1 - self._state[0] % 2
        begin = _HEAD + area * _AREA
        self._map[begin : begin + len(data)] = data
        self._state[0] = len(data) * 2 + area
