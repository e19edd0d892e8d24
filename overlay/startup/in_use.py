"""Whether somebody else uses a directory: another server, or a mount of the kernel's overlayfs.

A server holds its upper layer and work directory for itself and its lower layers together
with others (index.linux.file_lock).  The kernel marks the inodes of upper layers and work
directories that are mounted, in whatever namespace and by whatever path, and says so
when one is to be a lower layer of a mount that can be exported.
"""

from __future__ import annotations

import errno
import os
import time
from typing import Final, TypeAlias

from index.linux.fd import Fd, proc_path
from index.linux.file_lock import hold_shared, let_go
from index.linux.mounts import Location, locate, mounts, unescape, ways_to
from index.linux.syscalls import FUSE_MAGIC, create_filesystem, filesystem_magic
from overlay.model.config import ConfigError

# Where a lock may be another machine's business: nfs, cifs, smb2, 9p
_REMOTE: Final = frozenset((FUSE_MAGIC, 0x6969, 0xFF534D42, 0xFE534D42, 0x01021997))
# To be a second layer beside the one in question: on filesystems with file handles.
_BESIDE: Final = (b"/dev", b"/run", b"/dev/shm", b"/")
_fitting: Final[list[bytes]] = []  # the one that did last: each that does not costs some ms
_EXPORTABLE: Final = {b"nfs_export": b"on", b"redirect_dir": b"nofollow"}
_LEAVING_SECONDS: Final = 1.0  # a mount that was just taken away
_LOOK_SECONDS: Final = 0.02


# Directories, by device and inode, that the server has in use which is to have them.
Held: TypeAlias = frozenset[tuple[int, int]]


def which(directory: Fd) -> tuple[int, int]:
    """Return what tells a directory from all others."""
    st = os.fstat(directory)
    return st.st_dev, st.st_ino


def share_lower(root: Fd, path: bytes, held: Held = frozenset()) -> None:
    """Keep a lower layer from becoming an upper one while it is served.

    Raises ConfigError if it is one already, or lies in one, or in a work directory.
    """
    if filesystem_magic(root) in _REMOTE:
        return
    here = Fd(os.open(path, os.O_RDONLY | os.O_DIRECTORY))
    location = locate(here)
    for depth in range(1, len(location.names)):
        above = _open(Location(location.device, location.names[:depth]))
        if above is None or which(above) in held:
            continue
        try:
            _try_share(above)
        except OSError as problem:
            if problem.errno == errno.EBUSY:
                raise _taken(path, f"lies in {os.fsdecode(_path(above))}, which is") from problem
            raise
    if which(root) in held:
        return
    try:
        hold_shared(root)
    except OSError as problem:
        if problem.errno == errno.EBUSY:
            raise _taken(path, "is") from problem
    if is_mounted(here):
        raise ConfigError(
            f"lower layer {os.fsdecode(path)} is the upper layer or workdir of a mount of the "
            "kernel's overlayfs, and changes: unmount that first"
        )


def _taken(path: bytes, how: str) -> ConfigError:
    return ConfigError(
        f"lower layer {os.fsdecode(path)} {how} in use by another server as its upper layer or "
        "workdir, and changes: stop that one first, or name another layer"
    )


def _path(directory: Fd) -> bytes:
    return os.readlink(proc_path(directory))


def _try_share(directory: Fd) -> None:
    hold_shared(directory)
    let_go(directory)


def _open(location: Location) -> Fd | None:
    """Return a directory by any mount that shows it."""
    for way in ways_to(location):
        try:
            fd = Fd(os.open(way, os.O_RDONLY | os.O_DIRECTORY))
        except OSError:
            continue  # hidden by another mount
        if locate(fd) == location:
            return fd
    return None


def is_mounted(fd: Fd) -> bool:
    """Return whether a mount of the kernel's overlayfs has this directory to write to."""
    deadline = time.monotonic() + _LEAVING_SECONDS
    while True:
        said = _kernel_says(fd)
        if not (_is_listed(fd) if said is None else said):
            return False
        if time.monotonic() > deadline:
            return True
        time.sleep(_LOOK_SECONDS)


def _kernel_says(fd: Fd) -> bool | None:
    """Return what the kernel's own mark says; None if it cannot be asked."""
    for beside in (*_fitting, *_BESIDE):
        layers = proc_path(fd) + b":" + beside
        try:
            create_filesystem(b"overlay", {b"lowerdir": layers, **_EXPORTABLE})
        except OSError as problem:
            if problem.errno == errno.EBUSY:
                return True
            if problem.errno == errno.ENODEV:
                return False  # there is no overlayfs
        else:
            _fitting[:] = [beside]
            return False
    return None


def _is_listed(fd: Fd) -> bool:
    """Return whether it is among the mounts that this process sees."""
    st = os.fstat(fd)
    for mount in mounts():
        for option in mount.options.split(b",") if mount.type == b"overlay" else ():
            name, _, path = option.partition(b"=")
            if name in (b"upperdir", b"workdir"):
                try:
                    found = os.stat(unescape(path))
                except OSError:
                    continue
                if os.path.samestat(found, st):
                    return True
    return False
