"""The directories of an overlay, opened from their paths, or a clear refusal.

A command that only looks makes the same checks as the server, and makes, changes and keeps nothing.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from index import xattrs
from index.identity import fits_wire
from index.layers import RECORD, Opened, Record, parse_record
from index.linux.fd import Fd, components, open_dir
from index.linux.file_handle import handle_of, open_by_handle
from index.linux.file_lock import hold
from index.linux.syscalls import (
    FUSE_MAGIC,
    NFS_MAGIC,
    OVERLAYFS_MAGIC,
    clone_mount,
    filesystem_magic,
)
from index.workdir import read_file
from overlay.model.config import ConfigError, OverlayConfig
from overlay.model.overlap import check_layers
from overlay.model.state_directory import (
    check_workdir,
    look_for_state_directory,
    open_private,
    state_directory,
)
from overlay.startup.in_use import Held, is_mounted, share_lower, which

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def open_directories(config: OverlayConfig) -> tuple[list[Opened], Fd]:
    """Return the layers from the upper down, and the work directory, for this process alone.

    Nothing is made or changed before all is checked: it may belong to another server.
    Raises ConfigError.
    """
    opened, work = _opened(config, frozenset(), is_looking=False)
    assert work is not None
    return opened, work


def look_at_directories(config: OverlayConfig, held: Held) -> tuple[list[Opened], Fd | None]:
    """Return the layers, and the work directory if there is one, for a look alone.

    Those `held` may be in use.  Raises ConfigError.
    """
    return _opened(config, held, is_looking=True)


def _opened(
    config: OverlayConfig, held: Held, *, is_looking: bool
) -> tuple[list[Opened], Fd | None]:
    _check_names(config)
    check_layers(config)
    opened = []
    work: Fd | None
    if config.upperdir is not None and config.workdir is not None:
        top, work = open_upper(config.upperdir, config.workdir)
        open_private(config.workdir, "put upper and workdir elsewhere")
        where = f"workdir {os.fsdecode(config.workdir)}"
        opened.append(top)
    else:
        find = look_for_state_directory if is_looking else state_directory
        work, where = find(config.lowerdirs[-1], config.name), "the state directory"
    if work is not None:
        check_workdir(work, where, is_looking=is_looking)
    opened += [_open_lower(path, held) for path in (*config.lowerdirs, *config.datadirs)]
    if work is not None:
        _hold_workdir(work, held, read_only=config.upperdir is None)
        if config.workdir is not None:
            check_filesystem(opened[0], work)
            _check_upper(opened[0], config.workdir, held)
    return opened, work


def identity_of(work: Fd) -> Fd | None:
    """Return what a work directory knows of its export; None if it has not been used yet."""
    try:
        return open_dir(work, b"identity")
    except FileNotFoundError:
        return None


def recorded(identity: Fd) -> Record | None:
    """Return what an earlier run recorded; None at the first start.  Raises ConfigError."""
    data = read_file(identity, RECORD)
    try:
        return None if data is None else parse_record(data)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ConfigError(
            f"identity/{os.fsdecode(RECORD)} in the workdir, which says what the layers are, is "
            f"damaged ({problem}): put back a copy of it, or use another upper and workdir"
        ) from problem


def _check_names(config: OverlayConfig) -> None:
    if not config.lowerdirs:
        raise ConfigError("no lower layer given: name at least one as lowerdir")
    if (config.upperdir is None) != (config.workdir is None):
        raise ConfigError("upperdir and workdir go together: give both, or none to serve read-only")


def _real(option: str, path: bytes) -> bytes:
    resolved = os.path.realpath(path)
    if not os.path.isdir(resolved):
        reason = "is not a directory" if os.path.exists(resolved) else "does not exist"
        raise ConfigError(f"{option} {os.fsdecode(path)} {reason}: name an existing directory")
    return resolved


def _clone(option: str, path: bytes, *, read_only: bool) -> Fd:
    try:
        return clone_mount(path, read_only=read_only)
    except OSError as problem:
        cure = "run with CAP_SYS_ADMIN, on Linux 5.12 or newer"
        raise ConfigError(f"{option} {os.fsdecode(path)}: {problem.strerror}: {cure}") from problem


def _open_lower(path: bytes, held: Held = frozenset()) -> Opened:
    real = _real("lower layer", path)
    root = _clone("lower layer", real, read_only=True)
    share_lower(root, real, held)
    # These have handles made of those of other filesystems, which may be several.
    is_made_of_others = filesystem_magic(root) in (OVERLAYFS_MAGIC, NFS_MAGIC)
    return Opened(
        root, real, has_handles=_has_handles(root), has_equal_handles=not is_made_of_others
    )


def _has_handles(root: Fd) -> bool:
    """Return whether inodes of this filesystem can be opened by handle at any later time."""
    if filesystem_magic(root) == FUSE_MAGIC:
        return False  # it encodes handles, but most FUSE filesystems cannot decode them
    try:
        real = handle_of(root)
        opened = open_by_handle(root, real, os.O_PATH)
    except PermissionError as problem:
        raise ConfigError(
            "files cannot be opened by handle: run with CAP_DAC_READ_SEARCH, outside a container "
            "that takes it away"
        ) from problem
    except OSError:
        return False
    return opened is not None and fits_wire(real)


def open_upper(upperdir: bytes, workdir: bytes) -> tuple[Opened, Fd]:
    """Return both directories below one private mount, so that names can be linked across."""
    upper, work = _real("upperdir", upperdir), _real("workdir", workdir)
    common = os.path.commonpath([upper, work])
    mount = _clone("upperdir", common, read_only=False)
    names = os.path.relpath(upper, common), os.path.relpath(work, common)
    fds = [_walk(mount, components(name)) for name in names]
    for fd, path in zip(fds, (upper, work), strict=True):
        # That of the common directory may be another mount of the same filesystem.
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            raise _read_only(path)
        if fd is None or not os.path.samestat(os.fstat(fd), os.stat(path)):
            raise ConfigError(
                f"upperdir {os.fsdecode(upper)} and workdir {os.fsdecode(work)} are on "
                "different filesystems or mounts: put the workdir beside the upperdir"
            )
    assert fds[0] is not None
    assert fds[1] is not None
    return Opened(fds[0], upper, b"/" + names[0], is_upper=True), fds[1]


def _walk(mount: Fd, names: list[bytes]) -> Fd | None:
    fd = mount
    for name in names:
        try:
            fd = open_dir(fd, name)
        except FileNotFoundError:
            return None
    return fd


def _hold_workdir(work: Fd, held: Held, *, read_only: bool) -> None:
    if which(work) in held:
        return
    try:
        hold(work)
    except OSError as problem:
        if problem.errno != errno.EBUSY:
            raise
        cure = (
            "set STATE_DIRECTORY to another directory"
            if read_only
            else "use another upper and workdir"
        )
        raise ConfigError(
            f"{'an export of this name over this layer' if read_only else 'the workdir'} is "
            f"in use by another server: stop that one, or {cure}"
        ) from problem


def _check_upper(upper: Opened, workdir: bytes, held: Held) -> None:
    where = _named(upper)
    if which(upper.root) in held:
        return
    try:
        hold(upper.root)
    except OSError as problem:
        if problem.errno != errno.EBUSY:
            raise
        raise ConfigError(f"{where} is in use by another server: stop that one first") from problem
    for path, name in ((upper.path, where), (workdir, "the workdir")):
        # By its path: the kernel takes nothing from a mount that is in no namespace for a layer.
        if is_mounted(Fd(os.open(path, os.O_RDONLY | os.O_DIRECTORY))):
            raise ConfigError(f"{name} is mounted by the kernel's overlayfs: unmount it first")


def check_filesystem(upper: Opened, work: Fd) -> None:
    """Have the filesystem be one that can be written to as it must be; raises ConfigError."""
    where = _named(upper)
    if not _has_handles(upper.root):
        raise ConfigError(
            f"{where}: its filesystem has no file handles; use ext4, xfs, btrfs or tmpfs"
        )
    try:
        probe = Fd(os.open(b".", os.O_TMPFILE | os.O_WRONLY, 0o600, dir_fd=work))
        xattrs.put(probe, xattrs.OPAQUE, b"n")
    except OSError as problem:
        if problem.errno == errno.EROFS:
            raise _read_only(upper.path) from problem
        if problem.errno in _FULL:
            return  # its clients empty it
        raise ConfigError(
            f"{where}: its filesystem keeps no trusted.* extended attributes "
            f"({problem.strerror}); use ext4, xfs, btrfs or tmpfs"
        ) from problem


def _read_only(path: bytes) -> ConfigError:
    return ConfigError(
        f"{os.fsdecode(path)} is read-only: mount it writable; under systemd name the parent of "
        "upperdir and workdir with ReadWritePaths="
    )


def _named(upper: Opened) -> str:
    return f"upperdir {os.fsdecode(upper.path)}"
