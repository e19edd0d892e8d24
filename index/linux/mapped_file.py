"""Memory that the processes of a server share, and that a file keeps, whatever ends them.

Rule: what is written to the memory is in the file once `save` was called.  On most filesystems
the mapped file is the memory.  Others (btrfs) write each page to a new block, and where none is
free, who writes to the mapping is ended by SIGBUS.  There the file is a copy, which is not kept
up while the filesystem is full.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from typing import Final

from index.linux.fd import Fd
from index.linux.syscalls import EXT4_MAGIC, TMPFS_MAGIC, XFS_MAGIC, filesystem_magic

_IN_PLACE: Final = (EXT4_MAGIC, XFS_MAGIC, TMPFS_MAGIC)


class FileBackedMemory:
    """So many bytes, which begin as the file has them, or as zeros; forked processes share them."""

    def __init__(self, fd: Fd, size: int) -> None:
        if os.fstat(fd).st_size != size:
            os.ftruncate(fd, 0)
            os.pwrite(fd, bytes(size), 0)  # a hole would have to be filled under a client's call
        self._file = fd
        self._is_mapped: Final = filesystem_magic(fd) in _IN_PLACE
        self.map: Final = mmap.mmap(fd, size) if self._is_mapped else mmap.mmap(-1, size)
        if not self._is_mapped:
            self.map[:] = os.pread(fd, size, 0)

    def save(self, begin: int, end: int) -> None:
        """Have the file keep these bytes, if it can."""
        if not self._is_mapped:
            with suppress(OSError):  # the calls of clients go on without
                os.pwrite(self._file, self.map[begin:end], begin)
