"""How the locks get from the process that owns them to the one that replaces it.

This happens at a reload: the retiring process leaves them in memory that both share, and the next
one waits until it has ended.  A process that dies leaves nothing.
"""

from __future__ import annotations

import fcntl
import mmap
import os

from index.linux.fd import Fd


class LockHandover:
    """The memory, made before the first such process is forked."""

    def __init__(self) -> None:
        self._file = Fd(os.memfd_create("locks", os.MFD_CLOEXEC))

    def take(self) -> bytes:
        """Return what the last process has left, or nothing; waits until that has ended."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)  # released when the process ends
        size = os.fstat(self._file).st_size
        if size == 0:
            return b""
        with mmap.mmap(self._file, size, prot=mmap.PROT_READ) as left:
            contents = left[:]
        os.ftruncate(self._file, 0)
        return contents

    def leave(self, contents: bytes) -> None:
        """Leave this to the next process; call it last."""
        written = 0
        while written < len(contents):
            written += os.pwrite(self._file, contents[written:], written)
