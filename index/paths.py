"""Where a directory is, however deep.

The kernel tells a path of less than a page (PATH_MAX).  Beyond that the names are found one
by one: `..` is opened, and read until a name leads back to where one came from.  So
what is deep costs more, but nothing has a limit.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from index.linux.fd import DIR_FLAGS, Fd, components, proc_path

_CACHED_MAX: Final = 8  # paths; each may have a megabyte


class KnownPaths:
    """The long paths that were found last, in a layer that never changes."""

    def __init__(self) -> None:
        self._paths: dict[tuple[int, int], bytes] = {}

    def get(self, st: os.stat_result) -> bytes | None:
        """Return the path of the directory that has these attributes."""
        return self._paths.get((st.st_dev, st.st_ino))

    def put(self, st: os.stat_result, path: bytes) -> None:
        """Keep a path, in place of older ones."""
        known = dict(list(self._paths.items())[1 - _CACHED_MAX :])
        known[st.st_dev, st.st_ino] = path
        self._paths = known


def short_path(fd: Fd) -> bytes | None:
    """Return the path of a directory within its mount, from the mount's root; None for a long one.

    Only directories have one that can be trusted: the kernel always connects
    them to the root, while another inode opened by handle may hang loose.
    """
    try:
        return os.readlink(proc_path(fd))
    except OSError as problem:
        if problem.errno != errno.ENAMETOOLONG:
            raise
        return None


def path_of(fd: Fd, known: KnownPaths | None = None) -> bytes:
    """Do as `short_path`, however long; raises ESTALE if it is moved or removed meanwhile."""
    path, names = short_path(fd), []
    first = None if path is not None or known is None else os.fstat(fd)
    here = fd
    while path is None:
        directory = above(here)
        names.append(name_in(directory, here))
        path = None if known is None else known.get(os.fstat(directory))
        path = short_path(directory) if path is None else path
        here = directory
    if names:
        path = b"/".join((path.rstrip(b"/"), *reversed(names)))
    if first is not None and known is not None:
        known.put(first, path)
    return path


def above(directory: Fd) -> Fd:
    """Return the directory that holds another; the root of a mount holds itself."""
    return Fd(os.open(b"..", DIR_FLAGS, dir_fd=directory))


def name_in(directory: Fd, below: Fd) -> bytes:
    """Return the name that a directory has in the one that holds it.

    Raises ESTALE if it has none.
    """
    st = os.fstat(below)
    others = []
    with os.scandir(Fd(os.open(b".", DIR_FLAGS, dir_fd=directory))) as entries:
        for entry in entries:
            if entry.inode() != st.st_ino:
                others.append(entry.name)
            elif _leads_to(directory, entry.name, st):
                return os.fsencode(entry.name)
    # Where filesystems meet, a directory's entry may tell another number than the inode.
    for name in others:
        if _leads_to(directory, name, st):
            return os.fsencode(name)
    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


def _leads_to(directory: Fd, name: str, st: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(name, dir_fd=directory, follow_symlinks=False), st)
    except FileNotFoundError:
        return False


def way_up(directory: Fd, top: Fd) -> Iterator[tuple[Fd, bytes]]:
    """Yield a directory and all that it lies in, below `top`, each with its name.

    Raises ESTALE if it does not lie below `top`, or one of them is moved meanwhile.
    """
    end, names = os.fstat(top), None
    while not os.path.samestat(os.fstat(directory), end):
        if names is None:
            path = short_path(directory)
            names = None if path is None else components(path)
        up = above(directory)
        yield directory, names.pop() if names else name_in(up, directory)
        directory = up


def holds(directory: Fd, other: Fd) -> bool:
    """Return whether `other` is `directory` or lies in it, at whatever depth."""
    wanted, st = os.fstat(directory), os.fstat(other)
    while not os.path.samestat(st, wanted):
        below = st
        try:
            other = above(other)
        except FileNotFoundError:
            return False  # it lies beside the root of the mount
        st = os.fstat(other)
        if os.path.samestat(st, below):
            return False  # the root of the mount
    return True
