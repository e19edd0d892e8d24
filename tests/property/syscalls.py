"""System calls that Python lacks and the oracle needs: mounts, users of one thread, times.

Rule: nothing here comes from the code under test.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
from typing import Final

UTIME_NOW: Final = (1 << 30) - 1
UTIME_OMIT: Final = (1 << 30) - 2
_MS_NOATIME: Final = 1024
_MNT_DETACH: Final = 2
_CLONE_NEWNS: Final = 0x20000
_MS_REC: Final = 0x4000
_MS_PRIVATE: Final = 1 << 18
_PR_SET_SECUREBITS: Final = 28
_CAPABILITY_VERSION: Final = 0x20080522
_CAP_FOWNER: Final = 1 << 3

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@functools.cache
def private_mounts() -> None:
    """Let the calling thread, and what it starts, see mounts that go with it, however it ends."""
    _check(_libc.unshare(_CLONE_NEWNS))
    _check(_libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None))


def mount(source: bytes, target: bytes, kind: bytes, options: bytes) -> None:
    """mount(2), without access times."""
    _check(_libc.mount(source, target, kind, ctypes.c_ulong(_MS_NOATIME), options))


def unmount(target: bytes, *, lazily: bool = False) -> None:
    """umount(2); lazily: at once, though files may still be open."""
    _check(_libc.umount2(target, _MNT_DETACH if lazily else 0))


def plain_root_rules() -> None:
    """Let this thread lose root's rights over files while it acts as another user."""
    _check(_libc.prctl(_PR_SET_SECUREBITS, 0, 0, 0, 0))


def become(uid: int, gid: int, groups: frozenset[int]) -> None:
    """Be this user towards filesystems, on this thread; groups are the whole process's."""
    os.setgroups(sorted(groups))
    _libc.setfsgid(gid)
    _libc.setfsuid(uid)


def set_times(fd: int, atime: int, mtime: int) -> None:
    """utimensat(2) of the inode behind `fd`: nanoseconds, or UTIME_NOW or UTIME_OMIT."""
    values = struct.pack("qqqq", *_timespec(atime), *_timespec(mtime))
    _check(_libc.utimensat(-100, b"/proc/self/fd/%d" % fd, values, 0))


def _timespec(when: int) -> tuple[int, int]:
    return (0, when) if when in (UTIME_NOW, UTIME_OMIT) else divmod(when, 1_000_000_000)


class OwnerRights:
    """While entered, this thread may act on files as if it owned them (CAP_FOWNER)."""

    def __enter__(self) -> None:
        self._header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION, 0))
        self._before = ctypes.create_string_buffer(24)
        _check(_libc.capget(self._header, self._before))
        sets = list(struct.unpack("6I", self._before.raw))
        sets[0] |= _CAP_FOWNER
        _check(_libc.capset(self._header, struct.pack("6I", *sets)))

    def __exit__(self, *_: object) -> None:
        _check(_libc.capset(self._header, self._before))
