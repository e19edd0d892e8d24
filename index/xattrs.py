"""The private extended attributes of layers, by the names the kernel's overlayfs uses.

`trusted.overlay.*`, described in overlayfs.rst and in docs/formats.md.  They
are read on every cold lookup, so by the `os` module's own calls (0.7 us each);
copying all of a file's attributes goes through the `xattr` library.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from index.fd import proc_path

PREFIX: Final = b"trusted.overlay."

# The kernel's.
OPAQUE: Final = PREFIX + b"opaque"
REDIRECT: Final = PREFIX + b"redirect"  # also: path of the lower inode, on an indexed inode
ORIGIN: Final = PREFIX + b"origin"
NLINK: Final = PREFIX + b"nlink"
IMPURE: Final = PREFIX + b"impure"
WHITEOUT: Final = PREFIX + b"whiteout"
METACOPY: Final = PREFIX + b"metacopy"
# The security module's.
CAPABILITY: Final = b"security.capability"
# The index's.
FH: Final = PREFIX + b"fh"
UPPER: Final = PREFIX + b"upper"
PATH: Final = PREFIX + b"path"
LOWER: Final = PREFIX + b"lower"

_ABSENT: Final = (errno.ENODATA, errno.EOPNOTSUPP)


def get(fd: int, name: bytes) -> bytes | None:
    """The value of attribute `name`, None where the inode has none."""
    try:
        return os.getxattr(proc_path(fd), name)
    except OSError as problem:
        if problem.errno in _ABSENT:
            return None
        raise


def put(fd: int, name: bytes, value: bytes) -> None:
    """Set one attribute of the inode behind `fd`."""
    os.setxattr(proc_path(fd), name, value)


def drop(fd: int, name: bytes) -> None:
    """Remove one attribute; it may be absent already."""
    try:
        os.removexattr(proc_path(fd), name)
    except OSError as problem:
        if problem.errno not in _ABSENT:
            raise


def names(fd: int) -> frozenset[bytes]:
    """The names of all attributes of the inode behind `fd`."""
    try:
        return frozenset(map(os.fsencode, os.listxattr(proc_path(fd))))
    except OSError as problem:
        if problem.errno in _ABSENT:
            return frozenset()
        raise
