"""The kernel's `overlay.origin`: which lower inode an upper one was copied from.

struct ovl_fb in fs/overlayfs/overlayfs.h: version, magic, length, flags, type
of the kernel file handle, uuid of the filesystem, the handle's bytes.
"""

from __future__ import annotations

import errno
import fcntl
import struct
import sys
from typing import Final

from index.syscalls import RealHandle

_VERSION: Final = 0
_MAGIC: Final = 0xFB
_BIG_ENDIAN: Final = 1
_HEAD: Final = struct.Struct("BBBBB16s")
_FS_IOC_GETFSUUID: Final = 0x80111500
_UUID_SIZE: Final = 16


def origin_value(fd: int, real: RealHandle) -> bytes | None:
    """The attribute's value for a lower inode; None where the filesystem's uuid is not to be had.

    `fd` may be any descriptor on the lower inode's filesystem that takes an ioctl.
    """
    uuid = filesystem_uuid(fd)
    if uuid is None:
        return None
    flags = _BIG_ENDIAN if sys.byteorder == "big" else 0
    length = _HEAD.size + len(real.data)
    return _HEAD.pack(_VERSION, _MAGIC, length, flags, real.type, uuid) + real.data


def filesystem_uuid(fd: int) -> bytes | None:
    """The uuid of the filesystem that `fd` lies on, as the kernel's superblock has it."""
    buffer = bytearray(1 + _UUID_SIZE)
    try:
        fcntl.ioctl(fd, _FS_IOC_GETFSUUID, buffer)
    except OSError as problem:
        if problem.errno in (errno.ENOTTY, errno.EOPNOTSUPP, errno.EBADF):
            return None
        raise
    return bytes(buffer[1 : 1 + buffer[0]]).ljust(_UUID_SIZE, b"\0")
