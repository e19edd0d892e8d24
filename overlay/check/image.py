"""What a repair may change, as it is at one moment: names, types and private attributes.

That is all of the upper layer but the contents of its files, and the work directory but
for what a running server has in it.  Two images say what was changed between them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

from index import xattrs
from index.layers import RECORD
from index.linux.fd import Fd, is_whiteout, open_dir, open_name, reopen
from index.linux.file_handle import handle_of

UPPER: Final = b"upper"
WORK: Final = b"work"
REPAIRED: Final = b"repaired"
_PRIVATE: Final = (xattrs.PREFIX, xattrs.USER_PREFIX)
_IDENTITY: Final = (b"key", RECORD)
_OTHERS: Final = (b"work", b"spare", REPAIRED)  # the kernel's, room, and what repairs kept
_SMALL: Final = 1 << 20  # bytes


class Thing(NamedTuple):
    """An object under a name."""

    inode: str  # which it is, by its kernel handle: a number may come back
    mode: int
    uid: int
    gid: int
    rdev: int
    mtime: int  # nanoseconds
    content: bytes | None  # of a symbolic link, and of a file in the work directory
    attributes: dict[bytes, bytes]

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_whiteout(self) -> bool:
        return stat.S_ISCHR(self.mode) and self.rdev == 0

    def is_like(self, other: Thing | None) -> bool:
        """Return whether this is the same in all but when it was changed.

        Two whiteouts are alike.
        """
        if other is None:
            return False
        alike = self._replace(mtime=0) == other._replace(mtime=0)
        return alike or (self.is_whiteout and other.is_whiteout)


Image = dict[bytes, Thing]


def take(upper: Fd, work: Fd) -> Image:
    """Return what there is now, by path: in `upper/...` and `work/...`."""
    found: Image = {}
    pending: list[tuple[bytes, Fd]] = [(UPPER, upper), (WORK, work)]
    while pending:
        path, directory = pending.pop()
        found[path] = _thing(path, directory, os.fstat(directory))
        for name in _names(path, directory):
            child = open_name(directory, name)
            if child is None:
                continue
            if stat.S_ISDIR(child[1].st_mode):
                pending.append((path + b"/" + name, child[0]))
            else:
                found[path + b"/" + name] = _thing(path + b"/" + name, *child)
    return found


def _names(path: bytes, directory: Fd) -> Iterator[bytes]:
    for name in map(os.fsencode, os.listdir(open_dir(directory, b"."))):
        if path == WORK and name in _OTHERS:
            continue
        if path != WORK + b"/identity" or name in _IDENTITY:
            yield name


def which_inode(fd: Fd) -> str:
    """Return what no other inode of the filesystem is called, nor one that gets its number."""
    real = handle_of(fd)
    return f"{real.type}:{real.data.hex()}"


def _thing(path: bytes, fd: Fd, st: os.stat_result) -> Thing:
    values = {name: xattrs.get(fd, name) for name in xattrs.names(fd) if name.startswith(_PRIVATE)}
    return Thing(
        *(which_inode(fd), st.st_mode, st.st_uid, st.st_gid, st.st_rdev, st.st_mtime_ns),
        _content(path, fd, st),
        {name: value for name, value in values.items() if value is not None},
    )


def _content(path: bytes, fd: Fd, st: os.stat_result) -> bytes | None:
    if stat.S_ISLNK(st.st_mode):
        return os.readlink(b"", dir_fd=fd)
    is_ours = path.startswith((WORK + b"/identity/", WORK + b"/marks/", WORK + b"/paths/"))
    if not is_ours or is_whiteout(st) or not stat.S_ISREG(st.st_mode) or st.st_size > _SMALL:
        return None
    with open(os.dup(reopen(fd, os.O_RDONLY)), "rb") as file:
        return file.read()
