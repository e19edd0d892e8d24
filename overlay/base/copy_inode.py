"""Copying an inode's data and metadata from a lower to the upper filesystem."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import Final

import xattr

from index import xattrs
from index.linux.fd import Fd, proc_path

_FICLONE: Final = 0x40049409
_PRIVATE: Final = (xattrs.PREFIX, xattrs.USER_PREFIX)
_CHUNK: Final = 16 << 20
_SET_IDS: Final = stat.S_ISUID | stat.S_ISGID
_BLOCK_MAX: Final = 64 << 10  # st_blksize of some filesystems is no block, but what is quick
# What says nothing of the file, but that there is no cloning from its filesystem.
_NEVER_CLONES: Final = (errno.EOPNOTSUPP, errno.EXDEV, errno.ENOTTY, errno.ENOSYS)
_CANNOT_CLONE: Final = (*_NEVER_CLONES, errno.EINVAL, errno.EPERM)


class NotCloned:
    """Devices from which no file can be cloned to one filesystem, as it has said."""

    __slots__ = ("_devices",)

    def __init__(self) -> None:
        self._devices: set[int] = set()

    def clone(self, source: Fd, had: os.stat_result, target: Fd) -> bool:
        """Let a file share all blocks of another, which has these attributes, if that can be."""
        if had.st_dev in self._devices:
            return False
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError as problem:
            if problem.errno not in _CANNOT_CLONE:
                raise
            if problem.errno in _NEVER_CLONES:
                self._devices.add(had.st_dev)
            return False
        return True


def copy_data(
    source: Fd, had: os.stat_result, target: Fd, not_cloned: NotCloned, size: int | None = None
) -> None:
    """Copy a regular file's first `size` bytes (all by default) into one without data.

    `had` is what fstat(2) says of the source.  The target is made longer if need be, never
    shorter.  Shares the blocks where the filesystem can (FICLONE), else copies inside the
    kernel where it can.  Holes stay holes.
    """
    wanted = had.st_size if size is None else min(size, had.st_size)
    if wanted == 0 or (wanted == had.st_size and not_cloned.clone(source, had, target)):
        return
    # In one block is no hole, unless it is one itself.
    one_block = wanted <= min(had.st_blksize, _BLOCK_MAX) and had.st_blocks
    if one_block and _copy_range(source, target, 0, wanted) == wanted:
        return
    if os.fstat(target).st_size < wanted:
        os.truncate(target, wanted)
    position = 0
    while position < wanted:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError as problem:
            if problem.errno != errno.ENXIO:
                raise
            return  # only a hole is left
        end = min(os.lseek(source, start, os.SEEK_HOLE), wanted)
        _copy_range(source, target, start, end)
        position = end


def _copy_range(source: Fd, target: Fd, start: int, end: int) -> int:
    """Copy what is there from `start` to `end`; return up to where that was."""
    in_kernel = True
    while start < end:
        count = min(_CHUNK, end - start)
        if in_kernel:
            try:
                done = os.copy_file_range(source, target, count, start, start)
            except OSError as problem:
                if problem.errno not in _CANNOT_CLONE:
                    raise
                in_kernel = False
                continue
        else:
            done = os.pwrite(target, os.pread(source, count, start), start)
        if done == 0:
            break  # the file is shorter than it was: a lower layer changed under us
        start += done
    return start


def copy_metadata(
    source: Fd, had: os.stat_result, target: Fd, made: os.stat_result | None = None
) -> None:
    """Give `target` the owner, mode, extended attributes and times of `source`.

    Attributes of overlayfs itself are left out.  `had` is what fstat(2) says of the source;
    `made` what it has said of a target that was just made: what is right already stays.
    A regular file or directory is open, not only named.
    """
    is_open = stat.S_ISREG(had.st_mode) or stat.S_ISDIR(had.st_mode)
    at = target if is_open else proc_path(target)
    if made is None or (made.st_uid, made.st_gid) != (had.st_uid, had.st_gid):
        os.chown(at, had.st_uid, had.st_gid)
        made = made if made is None or not made.st_mode & _SET_IDS else None  # chown clears them
    mode = stat.S_IMODE(had.st_mode)
    if not stat.S_ISLNK(had.st_mode) and (made is None or stat.S_IMODE(made.st_mode) != mode):
        os.chmod(at, mode)
    for name in _public_names(source):
        _copy_xattr(source, target, name)
    os.utime(at, ns=(had.st_atime_ns, had.st_mtime_ns))


def set_times(fd: Fd, had: os.stat_result) -> None:
    """Give an inode the access and modification times that were asked of one."""
    os.utime(fd, ns=(had.st_atime_ns, had.st_mtime_ns))


def _public_names(source: Fd) -> list[str]:
    try:
        names = xattr.listxattr(os.fsdecode(proc_path(source)))
    except OSError as problem:
        if problem.errno == errno.EOPNOTSUPP:
            return []
        raise
    return [name for name in names if not os.fsencode(name).startswith(_PRIVATE)]


def _copy_xattr(source: Fd, target: Fd, name: str) -> None:
    value = xattr.getxattr(os.fsdecode(proc_path(source)), name)
    try:
        xattr.setxattr(os.fsdecode(proc_path(target)), name, value)
    except OSError as problem:
        # The upper filesystem may lack a namespace of attributes; the kernel's
        # overlayfs lets ACLs and foreign attributes go then as well.
        if problem.errno != errno.EOPNOTSUPP:
            raise
