"""File descriptors that close themselves, and the one way files are opened.

An `Fd` is an int that owns the descriptor: it is closed when the last
reference goes, so a descriptor that one thread dropped from a cache stays open
for as long as another thread still works with it, and its number cannot be
reused under that thread's feet.

So what holds one is declared an `Fd`.  Declared an `int` it would be a bare number
in compiled code, and the descriptor be closed while that number is still used.
Closing lets other threads run, which in compiled code must not be while an attribute
is given another value: one that holds an Fd is set once (docs/design/compiled-code.md).

Every open names a single component relative to a directory descriptor and
never follows a symbolic link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Final

DIR_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
PATH_FLAGS: Final = os.O_PATH | os.O_NOFOLLOW
REOPEN_FLAGS: Final = os.O_NONBLOCK | os.O_NOCTTY


class Fd(int):
    """A descriptor number that closes the descriptor when it is collected."""

    __slots__ = ()

    # `close` is bound early: module globals may be gone at interpreter exit.
    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self >= 0:
            close(self)


def open_at(directory: Fd, name: bytes, flags: int, mode: int = 0) -> Fd:
    """Open the single component `name` in `directory`, never following a link."""
    return Fd(os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=directory))


def open_path(directory: Fd, name: bytes) -> Fd:
    """Return a descriptor for `name` whatever its type, good for stat, xattrs and reopening."""
    return Fd(os.open(name, PATH_FLAGS, dir_fd=directory))


def open_dir(directory: Fd, name: bytes) -> Fd:
    """Open the subdirectory `name` for listing and for opens below it."""
    return Fd(os.open(name, DIR_FLAGS, dir_fd=directory))


def open_name(directory: Fd, name: bytes) -> tuple[Fd, os.stat_result] | None:
    """Return the object `name` and its attributes, or None where there is none.

    A directory comes back as a descriptor that can be read; anything else as
    one that only names it, so that devices and FIFOs are never opened.
    """
    try:
        fd = open_path(directory, name)
    except FileNotFoundError:
        return None
    st = os.fstat(fd)
    if stat.S_ISDIR(st.st_mode):
        fd = open_dir(fd, b".")
    return fd, st


def proc_path(fd: Fd) -> bytes:
    """Return a path that means the descriptor's own inode, for calls that take no O_PATH one.

    For a symbolic link opened with O_PATH this is the link itself: the kernel
    jumps to it and does not go on to its target.

    It means nothing any more when the descriptor is closed: the caller's own
    parameter lives as long as the call, while a local variable, in compiled code,
    lives only until it is last used.
    """
    return b"/proc/self/fd/%d" % fd


def reopen(fd: Fd, flags: int) -> Fd:
    """Open the regular file or directory behind an O_PATH descriptor for I/O."""
    return Fd(os.open(proc_path(fd), flags | REOPEN_FLAGS))


def components(path: bytes) -> list[bytes]:
    """Return the names in a path, none for the root."""
    return [name for name in path.split(b"/") if name]


def is_whiteout(st: os.stat_result) -> bool:
    """Return whether this is a character device 0:0, overlayfs's mark for a removed name."""
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0
