"""Where directories are, told so that two can be compared however they are reached.

The path that somebody writes says little: there are symbolic links, and bind mounts, which
show one directory in two places.  A directory's path within its filesystem, from the root
of that, is one, whatever mounts show; the kernel compares the layers of an overlay by it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from index.linux.fd import Fd, components, proc_path

_OCTAL: Final = re.compile(rb"\\([0-7]{3})")
_DELETED: Final = b"//deleted"


class Mount(NamedTuple):
    """A mount that a process sees (proc_pid_mountinfo(5))."""

    id: int
    device: bytes  # of the filesystem: major:minor
    root: bytes  # the directory of the filesystem that is mounted
    point: bytes  # where, for the process
    type: bytes
    options: bytes  # the filesystem's, still escaped


class Location(NamedTuple):
    """A directory: its filesystem, and its path from the root of that."""

    device: bytes
    names: tuple[bytes, ...]

    def holds(self, other: Location) -> bool:
        """Return whether the other directory is this one or lies in it."""
        return self.device == other.device and other.names[: len(self.names)] == self.names

    def meets(self, other: Location) -> bool:
        """Return whether they are one directory, or one lies in the other."""
        return self.holds(other) or other.holds(self)


def mounts() -> Iterator[Mount]:
    """Yield the mounts that this process sees, those below others first."""
    return map(_mount, _lines())


def _lines() -> list[bytes]:
    with open("/proc/self/mountinfo", "rb") as file:
        return file.read().splitlines()


def _mount(line: bytes) -> Mount:
    head, _, tail = line.partition(b" - ")
    number, _, device, root, point, *_ = head.split(b" ")
    kind, _, options = tail.split(b" ", 2)
    return Mount(int(number), device, unescape(root), unescape(point), kind, options)


def unescape(text: bytes) -> bytes:
    """Return what the kernel has written with a backslash and three digits for some bytes."""
    if b"\\" not in text:
        return text
    return _OCTAL.sub(lambda found: bytes((int(found[1], 8),)), text)


def locate(fd: Fd) -> Location:
    """Return where an open directory is."""
    number, path = b"%d " % _mount_of(fd), os.readlink(proc_path(fd))
    for line in _lines():
        if not line.startswith(number):
            continue  # there may be a thousand, so only the one is taken apart
        mount = _mount(line)
        below = _below(path, mount.point)
        if below is not None:
            root = mount.root.removesuffix(_DELETED)
            return Location(mount.device, (*components(root), *components(below)))
    # No mount that is seen holds it, as in a chroot.
    return Location(b"%d" % os.fstat(fd).st_dev, tuple(components(path)))


def ways_to(location: Location) -> Iterator[bytes]:
    """Yield the paths that may lead to a directory, by the mounts that this process sees."""
    device = b" %s " % location.device
    for mount in (_mount(line) for line in _lines() if device in line):
        root = tuple(components(mount.root))
        if mount.device == location.device and location.names[: len(root)] == root:
            yield os.path.join(mount.point, *location.names[len(root) :])


def _mount_of(fd: Fd) -> int:
    with open(proc_path(fd).replace(b"/fd/", b"/fdinfo/"), "rb") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(b"mnt_id:"))


def _below(path: bytes, above: bytes) -> bytes | None:
    """Return what is left of a path below a directory; None if it is not below it."""
    if path == above or above == b"/":
        return path.removeprefix(above)
    return path.removeprefix(above) if path.startswith(above + b"/") else None
