"""The kernel's `overlay.origin`: which lower inode an upper one was copied from.

struct ovl_fb in fs/overlayfs/overlayfs.h: version, magic, length, flags, type
of the kernel file handle, uuid of the filesystem, the handle's bytes.
"""

from __future__ import annotations

import errno
import fcntl
import struct
import sys
from typing import Final, NamedTuple

from index.linux.fd import Fd
from index.linux.file_handle import RealHandle

_VERSION: Final = 0
_MAGIC: Final = 0xFB
_BIG_ENDIAN: Final = 1
_ANY_ENDIAN: Final = 2
_FLAGS: Final = _BIG_ENDIAN if sys.byteorder == "big" else 0
_HEAD: Final = struct.Struct("BBBBB16s")
_FS_IOC_GETFSUUID: Final = 0x80111500  # Linux 6.9
_UUID_SIZE: Final = 16
_BTRFS_IOC_FS_INFO: Final = 0x8400941F
_BTRFS_FS_INFO_SIZE: Final = 1024
_BTRFS_FSID: Final = slice(16, 32)  # struct btrfs_ioctl_fs_info_args, after two 64-bit counts


class Origin(NamedTuple):
    """A lower inode as `overlay.origin` names it."""

    uuid: bytes  # of its filesystem; all zero where that has none
    real: RealHandle

    def pack(self) -> bytes:
        """Return the attribute's value, as the kernel of this machine writes it."""
        length = _HEAD.size + len(self.real.data)
        head = _HEAD.pack(_VERSION, _MAGIC, length, _FLAGS, self.real.type, self.uuid)
        return head + self.real.data

    @staticmethod
    def is_sound(value: bytes) -> bool:
        """Return whether this is an origin of any machine's, known here or not."""
        if len(value) < _HEAD.size:
            return False
        _, magic, length, *_ = _HEAD.unpack_from(value)
        return bool(magic == _MAGIC and length == len(value))

    @classmethod
    def unpack(cls, value: bytes | None) -> Origin | None:
        """Return the origin in an attribute; None for one of another byte order or version."""
        if value is None or len(value) < _HEAD.size:
            return None
        version, magic, length, flags, real_type, uuid = _HEAD.unpack_from(value)
        known = (version, magic, length) == (_VERSION, _MAGIC, len(value))
        if not known or flags & (_BIG_ENDIAN | _ANY_ENDIAN) not in (_FLAGS, _ANY_ENDIAN):
            return None
        return cls(uuid, RealHandle(real_type, value[_HEAD.size :]))


def filesystem_uuid(fd: Fd) -> bytes | None:
    """Return the uuid of the filesystem that `fd` lies on, as the kernel's superblock has it.

    None where it cannot be had; no origins are written then.
    """
    generic = _ioctl(fd, _FS_IOC_GETFSUUID, 1 + _UUID_SIZE)  # struct fsuuid2: length, uuid
    if generic is not None:
        return generic[1 : 1 + generic[0]].ljust(_UUID_SIZE, b"\0")
    info = _ioctl(fd, _BTRFS_IOC_FS_INFO, _BTRFS_FS_INFO_SIZE)
    return None if info is None else info[_BTRFS_FSID]


def _ioctl(fd: Fd, request: int, size: int) -> bytes | None:
    buffer = bytearray(size)
    try:
        fcntl.ioctl(fd, request, buffer)
    except OSError as problem:
        if problem.errno in (errno.ENOTTY, errno.EOPNOTSUPP):
            return None
        raise
    return bytes(buffer)
