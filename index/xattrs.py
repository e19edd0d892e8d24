"""The private extended attributes of layers, by the names the kernel's overlayfs uses.

`trusted.overlay.*`, described in overlayfs.rst and in docs/formats.md.  They
are read on every cold lookup, so by the `os` module's own calls (0.7 us each);
copying all of a file's attributes goes through the `xattr` library.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Final

from index.linux.fd import Fd, proc_path

PREFIX: Final = b"trusted.overlay."
USER_PREFIX: Final = b"user.overlay."

# The kernel's.
OPAQUE: Final = PREFIX + b"opaque"
REDIRECT: Final = PREFIX + b"redirect"  # also: path of the lower inode, on an indexed inode
ORIGIN: Final = PREFIX + b"origin"
NLINK: Final = PREFIX + b"nlink"
IMPURE: Final = PREFIX + b"impure"
WHITEOUT: Final = PREFIX + b"whiteout"
METACOPY: Final = PREFIX + b"metacopy"
PROTATTR: Final = PREFIX + b"protattr"
# The security module's.
CAPABILITY: Final = b"security.capability"
# The index's.
FH: Final = PREFIX + b"fh"
UPPER: Final = PREFIX + b"upper"
SHARES: Final = PREFIX + b"shares"  # an upper directory whose lower ones are another's
LINKS: Final = PREFIX + b"links"  # of the lower inode, when they were last counted
PATH: Final = PREFIX + b"path"
LOWER: Final = PREFIX + b"lower"
DATA: Final = PREFIX + b"data"
LONG_REDIRECT: Final = PREFIX + b"redirect.long"  # a path in `paths/`, in place of `redirect`


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel's names in one overlay: `trusted.overlay.*`, or `user.overlay.*` (userxattr).

    A mount with `userxattr` follows no redirects and knows no metacopies, so an
    overlay that is to be shared with one has none.  Our own attributes are
    always trusted: they are nobody's business but the server's.
    """

    prefix: bytes = PREFIX
    metacopy: bool = True  # as the mount options: whether new ones are made
    redirect_dir: bool = True

    @property
    def has_redirects(self) -> bool:
        """Return whether redirects and metacopies that are there are followed."""
        return self.prefix == PREFIX

    @property
    def makes_redirects(self) -> bool:
        """Return whether directories get redirects."""
        return self.has_redirects and self.redirect_dir

    @property
    def makes_metacopies(self) -> bool:
        """Return whether copying up may leave a file's data in its lower layer."""
        return self.has_redirects and self.metacopy

    @property
    def nlink(self) -> bytes:
        """Return the name of the kernel's own `nlink`, which ours is only without userxattr."""
        return self.prefix + NLINK.removeprefix(PREFIX)

    def on_disk(self, name: bytes) -> bytes:
        """Return the name that OPAQUE, ORIGIN, IMPURE, WHITEOUT or PROTATTR has in this overlay."""
        return self.prefix + name.removeprefix(PREFIX) if name in _SHARED else name

    def get(self, fd: Fd, name: bytes) -> bytes | None:
        """Do as `get` below, by the name in this overlay."""
        return get(fd, self.on_disk(name))

    def put(self, fd: Fd, name: bytes, value: bytes, *, is_open: bool = False) -> None:
        """Do as `put` below, by the name in this overlay.

        A symbolic link or device has no user attributes: there they are left out.
        """
        try:
            put(fd, self.on_disk(name), value, is_open=is_open)
        except PermissionError:
            if self.prefix != USER_PREFIX or name not in _SHARED:
                raise


_SHARED: Final = (OPAQUE, ORIGIN, IMPURE, WHITEOUT, PROTATTR)
_TOO_MANY: Final = (errno.ENOSPC, errno.E2BIG, errno.ERANGE)
_ABSENT: Final = (errno.ENODATA, errno.EOPNOTSUPP)


class NoXattrSpaceError(OSError):
    """An inode cannot have an attribute beside those that it has, whatever space there is."""


def get(fd: Fd, name: bytes) -> bytes | None:
    """Return the value of attribute `name`, None where the inode has none."""
    try:
        return os.getxattr(proc_path(fd), name)
    except OSError as problem:
        if problem.errno in _ABSENT:
            return None
        raise


def has(fd: Fd, name: bytes) -> bool:
    """Return whether the inode behind `fd` has an attribute, which most have not."""
    return name in names(fd)


def put(fd: Fd, name: bytes, value: bytes, *, is_open: bool = False) -> None:
    """Set one attribute of the inode behind `fd`; raises NoXattrSpaceError.

    Which `is_open`, for reading or writing, need not be found by its path: that is quicker.
    """
    try:
        os.setxattr(fd if is_open else proc_path(fd), name, value)
    except OSError as problem:
        if problem.errno in _TOO_MANY and not _is_full(fd):
            raise NoXattrSpaceError(problem.errno, problem.strerror) from problem
        raise


def _is_full(fd: Fd) -> bool:
    """Return whether it is the filesystem that has no space left."""
    space = os.fstatvfs(fd)
    return space.f_blocks != 0 and space.f_bavail == 0


def drop(fd: Fd, name: bytes) -> None:
    """Remove one attribute; it may be absent already."""
    try:
        os.removexattr(proc_path(fd), name)
    except OSError as problem:
        if problem.errno not in _ABSENT:
            raise


def names(fd: Fd) -> frozenset[bytes]:
    """Return the names of all attributes of the inode behind `fd`."""
    try:
        return frozenset(map(os.fsencode, os.listxattr(proc_path(fd))))
    except OSError as problem:
        if problem.errno in _ABSENT:
            return frozenset()
        raise
