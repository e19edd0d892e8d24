"""System calls that Python's `os` module lacks, with errors raised as `OSError`."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Mapping
from typing import Final

from index.linux.fd import Fd, open_name

AT_EMPTY_PATH: Final = 0x1000
_AT_SYMLINK_NOFOLLOW: Final = 0x100
RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2
RENAME_WHITEOUT: Final = 4
_PUNCH_HOLE: Final = 3  # with FALLOC_FL_KEEP_SIZE

_OPEN_TREE: Final = 428  # the same number on every architecture, as all calls since Linux 5.0
_FSOPEN: Final = 430
_FSCONFIG: Final = 431
_FSOPEN_CLOEXEC: Final = 1
_FSCONFIG_SET_STRING: Final = 1
_FSCONFIG_CMD_CREATE: Final = 6
_MOUNT_SETATTR: Final = 442
_OPEN_TREE_CLONE: Final = 1
_MOUNT_ATTR_RDONLY: Final = 1
_MOUNT_ATTR_NOSUID: Final = 2
_MOUNT_ATTR_NODEV: Final = 4
_PR_SET_SECUREBITS: Final = 28
_SECBIT_NO_SETUID_FIXUP: Final = 4
_CAPABILITY_VERSION: Final = 0x20080522
_CAP_SYS_RESOURCE: Final = 24
# f_type of statfs(2)
FUSE_MAGIC: Final = 0x65735546
EXT4_MAGIC: Final = 0xEF53
XFS_MAGIC: Final = 0x58465342
TMPFS_MAGIC: Final = 0x01021994
OVERLAYFS_MAGIC: Final = 0x794C7630
NFS_MAGIC: Final = 0x6969
EROFS_MAGIC: Final = 0xE0F5E1E2
# stx_attributes of statx(2)
STATX_ATTR_IMMUTABLE: Final = 0x10
STATX_ATTR_APPEND: Final = 0x20
_STATX_SIZE: Final = 256
_STATX_ATTRIBUTES: Final = 8  # where they are
_STATFS_SIZE: Final = 256  # more than struct statfs on any architecture

_libc = ctypes.CDLL(None, use_errno=True)


class _Capabilities(ctypes.Structure):
    """Of a thread, as capget(2) has them: three sets for the first 32, then for the others."""

    _fields_ = (("sets", ctypes.c_uint32 * 6),)


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def failure() -> OSError:
    """Return what the system call has said that failed just now on this thread."""
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def _check(result: int) -> int:
    if result < 0:
        raise failure()
    return result


def _function(name: str, *argtypes: type, restype: type = ctypes.c_int) -> Callable[..., int]:
    function: ctypes._NamedFuncPointer = getattr(_libc, name)
    function.argtypes = argtypes
    function.restype = restype
    return function


_faccessat = _libc.faccessat
_linkat = _function(
    "linkat", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int
)
_renameat2 = _function(
    "renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint
)
_fallocate = _function("fallocate", ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_setfsuid = _function("setfsuid", ctypes.c_uint, restype=ctypes.c_uint)
_setfsgid = _function("setfsgid", ctypes.c_uint, restype=ctypes.c_uint)


def is_there(directory: Fd, name: bytes) -> bool:
    """Return whether a directory has a name, whatever that is."""
    if _faccessat(directory, name, os.F_OK, _AT_SYMLINK_NOFOLLOW) < 0:
        if ctypes.get_errno() == errno.ENOENT:
            return False
        raise failure()
    return True


def open_rare_name(directory: Fd, name: bytes) -> tuple[Fd, os.stat_result] | None:
    """Do as `open_name`, for what mostly is not there: to ask costs half of a failure to open."""
    return open_name(directory, name) if is_there(directory, name) else None


def link_fd(fd: Fd, directory: Fd, name: bytes) -> None:
    """Give the inode behind `fd` another name; also for O_TMPFILE and O_PATH descriptors."""
    _check(_linkat(fd, b"", directory, name, AT_EMPTY_PATH))


def rename(old_dir: Fd, old: bytes, new_dir: Fd, new: bytes, flags: int = 0) -> None:
    """renameat2(2): `flags` are RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT."""
    _check(_renameat2(old_dir, old, new_dir, new, flags))


def clone_mount(path: bytes, *, read_only: bool) -> Fd:
    """Return a private copy of the mount that holds directory `path`, rooted there.

    It is in no namespace and has no mounts below, so nothing opened relative to
    it can cross into another filesystem; this is how the kernel's overlayfs
    isolates its layers too.  With `read_only` the kernel itself refuses every
    write through it.  Needs CAP_SYS_ADMIN.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    tree = Fd(_check(_libc.syscall(_OPEN_TREE, -100, ctypes.c_char_p(path), flags)))
    wanted = _MOUNT_ATTR_NODEV | _MOUNT_ATTR_NOSUID | (_MOUNT_ATTR_RDONLY if read_only else 0)
    attributes = _MountAttr(attr_set=wanted)
    size = ctypes.sizeof(attributes)
    _check(_libc.syscall(_MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH, ctypes.byref(attributes), size))
    return Fd(os.open(b".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=tree))


def create_filesystem(kind: bytes, options: Mapping[bytes, bytes]) -> None:
    """Have the kernel make a superblock with these options, and let go of it at once."""
    context = Fd(_check(_libc.syscall(_FSOPEN, ctypes.c_char_p(kind), _FSOPEN_CLOEXEC)))
    for option, value in options.items():
        words = ctypes.c_char_p(option), ctypes.c_char_p(value)
        _check(_libc.syscall(_FSCONFIG, context, _FSCONFIG_SET_STRING, *words, 0))
    _check(_libc.syscall(_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0))


def filesystem_magic(fd: Fd) -> int:
    """Return the type of the filesystem that `fd` lies on: f_type of fstatfs(2)."""
    buffer = ctypes.create_string_buffer(_STATFS_SIZE)
    _check(_libc.fstatfs(fd, buffer))
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF


def file_attributes(fd: Fd) -> int:
    """Return the attributes of an inode that chattr(1) sets, as statx(2) has them."""
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    _check(_libc.statx(fd, b"", AT_EMPTY_PATH, 0, buffer))
    return ctypes.c_uint64.from_buffer(buffer, _STATX_ATTRIBUTES).value


def punch_hole(fd: Fd, length: int) -> None:
    """Give back the space of a file's first `length` bytes, where its filesystem can.

    They then read as zeros; the file's size stays.
    """
    if length and _fallocate(fd, _PUNCH_HOLE, 0, length) < 0:
        problem = failure()
        if problem.errno != errno.EOPNOTSUPP:
            raise problem


def syncfs(fd: Fd) -> None:
    """syncfs(2): bring everything of the filesystem that `fd` lies on to stable storage."""
    _check(_libc.syncfs(fd))


def keep_capabilities() -> None:
    """Let this thread, and threads it starts, keep all capabilities while it acts as a user.

    When it acts for nobody it acts as root, whatever user the process belongs to.
    """
    _check(_libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
    set_fs_ids(0, 0)


def forgo_reserves() -> None:
    """Let this thread, and threads it starts, have no space kept for root, nor pass a quota.

    It gives CAP_SYS_RESOURCE up, as the kernel's overlayfs and NFS server do.
    """
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    had = _Capabilities()
    _check(_libc.capget(header, ctypes.byref(had)))
    for each in range(3):
        had.sets[each] &= ~(1 << _CAP_SYS_RESOURCE)
    _check(_libc.capset(header, ctypes.byref(had)))


def capabilities() -> int:
    """Return the effective capabilities of this process, a bit for each (capabilities(7))."""
    with open("/proc/self/status", "rb") as file:
        found = next(line for line in file if line.startswith(b"CapEff:"))
    return int(found.split()[1], 16)


def set_fs_user(uid: int) -> None:
    """Take space of filesystems as this user from now on, on this thread alone."""
    _setfsuid(uid)


def set_fs_ids(uid: int, gid: int) -> None:
    """Create files as this user and group from now on, on this thread alone.

    Raises EPERM, acting as nobody else than before, where the kernel takes one of them for no id.
    """
    # Both calls return the former id and tell of no failure.
    former_gid, former_uid = _setfsgid(gid), _setfsuid(uid)
    if _setfsgid(gid) != gid or _setfsuid(uid) != uid:
        _setfsgid(former_gid)
        _setfsuid(former_uid)
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
