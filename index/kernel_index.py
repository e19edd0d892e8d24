"""The kernel's own index beside ours: `workdir/index/`, from a mount with `index=on`.

An entry is named after `overlay.origin` in hexadecimal and, for anything but a
directory, is a hard link to the upper inode.  It holds hard links of a lower
inode together.  Objects that the kernel indexed are taken over with their
identity, and lower inodes with several names are entered here as well, so that
a kernel mount after us finds their names to be one file.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from index.linux.fd import Fd, is_whiteout, open_dir, open_name, open_path
from index.linux.syscalls import link_fd
from index.workdir import Workdir

_NAME = b"index"


class KernelIndex:
    """The directory `index/` of one work directory."""

    def __init__(self, workdir: Workdir) -> None:
        self._workdir = workdir
        self._root = workdir.root
        self._opened: Fd | None = None

    @property
    def _entries(self) -> Fd | None:
        """Return the directory, if there is one yet: another process may make it."""
        if self._opened is None:
            with contextlib.suppress(FileNotFoundError):
                self._opened = open_dir(self._root, _NAME)
        return self._opened

    def find(self, origin: bytes) -> Fd | None:
        """Return the upper inode of a lower one with this `overlay.origin`; None if not indexed."""
        entries = self._entries
        if entries is None:
            return None
        try:
            fd = open_path(entries, origin.hex().encode())
        except FileNotFoundError:
            return None
        return None if is_whiteout(os.fstat(fd)) else fd

    def enter(self, origin: bytes, fd: Fd) -> None:
        """Make the inode behind `fd` the entry for `origin`, unless there is one."""
        entries = self._entries
        if entries is None:
            with contextlib.suppress(FileExistsError):
                os.mkdir(_NAME, 0o700, dir_fd=self._root)
            entries = open_dir(self._root, _NAME)
        with contextlib.suppress(FileExistsError):
            link_fd(fd, entries, origin.hex().encode())

    def entries(self) -> Iterator[tuple[bytes, Fd, os.stat_result]]:
        """Yield all entries for non-directories: name, inode and its attributes."""
        entries = self._entries
        for raw in [] if entries is None else os.listdir(entries):
            name = os.fsencode(raw)
            found = None if entries is None else open_name(entries, name)
            if found is not None and not stat.S_ISDIR(found[1].st_mode):
                fd, st = found
                if not is_whiteout(st):
                    yield name, fd, st

    def discard(self, name: bytes) -> None:
        """Remove an entry for a non-directory."""
        entries = self._entries
        if entries is not None:
            self._workdir.unlink(entries, name)

    def remove(self, origin: bytes) -> None:
        """Record that the object is gone; the kernel then keeps no entry either."""
        entries = self._entries
        if entries is not None:
            with contextlib.suppress(FileNotFoundError):
                self._workdir.unlink(entries, origin.hex().encode())
