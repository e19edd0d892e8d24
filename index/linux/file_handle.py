"""Kernel file handles: what name_to_handle_at(2) gives for an inode, and opening by them.

Rule: a handle to be opened comes from this program, as it can name any inode of the
filesystem.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass
from typing import Final

from index.linux.fd import Fd
from index.linux.syscalls import AT_EMPTY_PATH, failure

_MAX_HANDLE: Final = 128  # MAX_HANDLE_SZ
_HEAD: Final = struct.Struct("Ii")  # of struct file_handle: handle_bytes, handle_type
_HANDLE: Final = struct.Struct(f"Ii{_MAX_HANDLE}s")  # the whole

_open_by_handle_at: Final = ctypes.CDLL(None, use_errno=True).open_by_handle_at
# It never waits, so other threads need not be let go on meanwhile.
_name_to_handle_at: Final = ctypes.PyDLL(None, use_errno=True).name_to_handle_at
_mount_id: Final = ctypes.byref(ctypes.c_int())  # written, never read


@dataclass(slots=True, init=False)
class RealHandle:
    """A kernel file handle; it is not to be changed."""

    type: Final[int]
    data: Final[bytes]

    def __init__(self, type: int, data: bytes) -> None:  # quicker (overlay.model.attributes)
        self.type = type
        self.data = data

    def __hash__(self) -> int:
        return hash((self.type, self.data))


def pack_real(real: RealHandle) -> bytes:
    """Return a kernel handle as the value of an xattr: one byte of type, then the handle."""
    return bytes((real.type,)) + real.data


def unpack_real(value: bytes | None) -> RealHandle | None:
    """Return what `pack_real` packed."""
    return RealHandle(value[0], value[1:]) if value else None


class _Buffer:
    """A struct file_handle, for one thread at a time."""

    __slots__ = ("at", "memory")

    def __init__(self) -> None:
        self.memory = bytearray(_HANDLE.size)
        # A reference, which is what ctypes passes on fastest; it keeps the memory.
        self.at = ctypes.byref(ctypes.c_char.from_buffer(self.memory))


_spare: Final[list[_Buffer]] = []


def handle_of(fd: Fd) -> RealHandle:
    """Return the kernel file handle of an open inode.

    Raises EOPNOTSUPP where the filesystem has none.
    """
    return _handle(fd, b"", AT_EMPTY_PATH)


def handle_at(directory: Fd, name: bytes) -> RealHandle:
    """Return the kernel file handle of what is called `name`, never following a link."""
    return _handle(directory, name, 0)


def _handle(fd: Fd, name: bytes, flags: int) -> RealHandle:
    buffer = _take()
    _HEAD.pack_into(buffer.memory, 0, _MAX_HANDLE, 0)
    # A plain number, which ctypes takes without asking what it is.
    if _name_to_handle_at(int(fd), name, buffer.at, _mount_id, flags) < 0:
        raise failure()
    size, kind, data = _HANDLE.unpack(buffer.memory)
    _spare.append(buffer)
    return RealHandle(kind, data[:size])


def _take() -> _Buffer:
    try:
        return _spare.pop()
    except IndexError:  # the first time, or another thread has it
        return _Buffer()


def open_by_handle(mount: Fd, real: RealHandle, flags: int) -> Fd | None:
    """Open an inode by kernel handle on the filesystem that `mount` is a directory of.

    None if the inode is gone, or its number was given to another.
    """
    handle = _HEAD.pack(len(real.data), real.type) + real.data
    found = _open_by_handle_at(int(mount), handle, flags | os.O_CLOEXEC)
    if found >= 0:
        return Fd(found)
    problem = failure()
    if problem.errno != errno.ESTALE:
        raise problem
    return None
