"""How the locks get from the process that owns them to the one that takes its place.

They do when the configuration is read anew: who retires leaves them in memory that
both have, and who comes waits until the other is gone.  Who dies leaves nothing.
"""

from __future__ import annotations

import fcntl
import mmap
import os

from overlay.descriptor import Fd


class LockHandover:
    """The memory, made before the first of them is forked."""

    def __init__(self) -> None:
        self._file = Fd(os.memfd_create("locks", os.MFD_CLOEXEC))

    def take(self) -> bytes:
        """What the last owner has left, empty if nothing; waits until it is gone."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)  # goes with the process
        size = os.fstat(self._file).st_size
        if size == 0:
            return b""
        with mmap.mmap(self._file, size, prot=mmap.PROT_READ) as left:
            contents = left[:]
        os.ftruncate(self._file, 0)
        return contents

    def leave(self, contents: bytes) -> None:
        """Leave this to the next owner; the last thing that is done."""
        written = 0
        while written < len(contents):
            written += os.pwrite(self._file, contents[written:], written)
