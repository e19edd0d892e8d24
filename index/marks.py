"""Attributes of ours on inodes of the upper layer, also where these have no room for them.

A filesystem may have 4 KiB for all attributes of an inode, and those that a user or the
kernel's overlayfs gave it come first.  What of ours does not fit is on a file in `marks/`
that is called by the inode's kernel handle, which no other inode ever has.  It has `fh`
in any case, for a start to find the inode by where the layer was copied.

Rule: what is on the inode itself counts.  So a value is written aside before the older one
on the inode goes.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Final

from index import xattrs
from index.linux.fd import Fd, open_path
from index.linux.file_handle import RealHandle, handle_of, pack_real, unpack_real
from index.linux.syscalls import open_rare_name, rename
from index.workdir import Workdir

# Those that may be aside.
OURS: Final = (
    xattrs.LONG_REDIRECT,
    xattrs.UPPER,
    xattrs.NLINK,
    xattrs.LINKS,
    xattrs.SHARES,
    xattrs.FH,
)


class Marks:
    """The attributes of ours, by the inode's descriptor, in one work directory."""

    def __init__(self, workdir: Workdir) -> None:
        self._directory = workdir.marks

    def get(self, fd: Fd, name: bytes) -> bytes | None:
        """Return the value of an attribute, None where the inode has none."""
        value = xattrs.get(fd, name)
        if value is not None:
            return value
        aside = self.aside(fd)
        return None if aside is None else xattrs.get(aside, name)

    def put(self, fd: Fd, name: bytes, value: bytes) -> None:
        """Set an attribute, on the inode if that has room for it."""
        try:
            xattrs.put(fd, name, value)
        except xattrs.NoXattrSpaceError:
            self.put_aside(fd, name, value)
        else:
            aside = self.aside(fd) if name == xattrs.FH else None
            if aside is not None:
                xattrs.put(aside, name, value)

    def put_new(self, fd: Fd, name: bytes, value: bytes, *, is_open: bool) -> None:
        """Do as `put` for an inode that was just made, `fh` before the others.

        Nothing of it is aside yet.  `is_open`: as for `xattrs.put`.
        """
        try:
            xattrs.put(fd, name, value, is_open=is_open)
        except xattrs.NoXattrSpaceError:
            self.put_aside(fd, name, value)

    def put_aside(self, fd: Fd, name: bytes, value: bytes) -> None:
        """Set an attribute, not on the inode."""
        directory, called = self._directory, _name(fd)
        with contextlib.suppress(FileExistsError):
            os.mknod(called, stat.S_IFREG | 0o600, dir_fd=directory)
        aside, mark = open_path(directory, called), xattrs.get(fd, xattrs.FH)
        if mark is not None:
            xattrs.put(aside, xattrs.FH, mark)
        xattrs.put(aside, name, value)
        xattrs.drop(fd, name)

    def hint(self, fd: Fd, name: bytes, value: bytes | None, *, is_open: bool = False) -> None:
        """Set one that can be done without: not where this would take a file of its own.

        `is_open`: as for `xattrs.put`.
        """
        if value is not None:
            with contextlib.suppress(xattrs.NoXattrSpaceError):
                xattrs.put(fd, name, value, is_open=is_open)
                return
            aside = self.aside(fd)
            if aside is not None:
                with contextlib.suppress(xattrs.NoXattrSpaceError):
                    xattrs.put(aside, name, value)
                    xattrs.drop(fd, name)
                    return
        self.drop(fd, name)

    def drop(self, fd: Fd, name: bytes) -> None:
        """Remove an attribute; it may be absent already."""
        aside = self.aside(fd)
        if aside is not None:
            xattrs.drop(aside, name)
        xattrs.drop(fd, name)

    def move_aside(self, fd: Fd) -> None:
        """Have none of them on the inode itself, for one that must be there.

        The `redirect` of a file that has its data is ours too.
        """
        had = xattrs.names(fd)
        is_free = xattrs.METACOPY not in had and not stat.S_ISDIR(os.fstat(fd).st_mode)
        for name in (*OURS, xattrs.REDIRECT) if is_free else OURS:
            value = xattrs.get(fd, name) if name in had else None
            if value is not None:
                self.put_aside(fd, name, value)
        # Without it all can be found: it is there only if there is room for it.
        self.hint(fd, xattrs.PATH, None)

    def aside(self, fd: Fd) -> Fd | None:
        """Return the file with what did not fit; None if there is none."""
        found = open_rare_name(self._directory, _name(fd))
        return None if found is None else found[0]

    def forget(self, fd: Fd) -> None:
        """Record that the object is no more: neither is what is aside."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_name(fd), dir_fd=self._directory)

    # What follows is for a start.

    def all(self) -> Iterator[tuple[bytes, RealHandle | None, Fd]]:
        """Yield the files with what did not fit: name, inode that is meant, and the file."""
        for raw in os.listdir(self._directory):
            name = os.fsencode(raw)
            try:
                real = unpack_real(bytes.fromhex(raw))
            except ValueError:
                real = None
            yield name, real, open_path(self._directory, name)

    def move(self, name: bytes, fd: Fd) -> None:
        """Let a file be that of another inode, as the upper layer was copied."""
        rename(self._directory, name, self._directory, _name(fd))

    def discard(self, name: bytes) -> None:
        """Remove a file whose inode is no more."""
        os.unlink(name, dir_fd=self._directory)


def _name(fd: Fd) -> bytes:
    return pack_real(handle_of(fd)).hex().encode()
