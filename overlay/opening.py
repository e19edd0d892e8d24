"""From paths on the command line to an opened overlay, or to a clear refusal."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import Enum, auto
from typing import Final, NamedTuple

from index import xattrs
from index.entries import Index
from index.fd import Fd, components, open_dir
from index.handles import handle_of, open_by_handle
from index.identity import Signer, fits_wire
from index.layers import (
    Layer,
    Opened,
    Record,
    load_record,
    make_layers,
    save_record,
    up_to_date,
)
from index.locks import hold
from index.recognise import recognise, root_identity
from index.seal import Seal, open_seal
from index.syscalls import (
    FUSE_MAGIC,
    NFS_MAGIC,
    OVERLAYFS_MAGIC,
    capabilities,
    clone_mount,
    filesystem_magic,
    forgo_reserves,
    keep_capabilities,
)
from index.workdir import Workdir
from overlay import umask
from overlay.caches import Caches
from overlay.config import ConfigError, OverlayConfig
from overlay.in_use import is_mounted, share_lower
from overlay.moved import look_for_copied, mend_copied
from overlay.oci_whiteouts import look_for
from overlay.overlap import check_layers
from overlay.presence import check_filled, check_present, missing, note_filled
from overlay.progress import Progress, silent
from overlay.stack import Layers
from overlay.state_directory import check_workdir, open_private, state_directory
from overlay.tree import Tree

# What it needs, whoever it is (linux/capability.h).
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_CAPABILITIES: Final = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_SYS_ADMIN": 21,
    "CAP_MKNOD": 27,
    "CAP_SETFCAP": 31,
}


class Purpose(Enum):
    """What an overlay is opened for."""

    SERVE = auto()
    LOOK = auto()  # nothing is recorded
    REPAIR = auto()  # all layers that are recorded must be there


class _Opening(NamedTuple):
    """How an overlay is opened."""

    purpose: Purpose
    without: Collection[bytes]
    caches: Caches


def open_tree(
    config: OverlayConfig,
    *,
    purpose: Purpose = Purpose.SERVE,
    without: Collection[bytes] = (),
    progress: Progress = silent,
    caches: Caches | None = None,
) -> Tree:
    """Open the layers and the work directory, held until the tree is dropped.

    If layers were copied since the last time their objects are found again; for who only
    looks they must have been sealed, and nothing of it is kept.
    `without`: recorded layers that a repair does not insist on.
    Raises ConfigError, a line that says what is wrong and how to mend it.
    """
    prepare_process()
    try:
        opening = _Opening(purpose, without, caches or Caches())
        tree, copied, changed = _opened_tree(config, opening)
    except BaseException:
        umask.restore()
        raise
    # Nothing is known of data-only layers but paths, which stay.
    if copied and purpose is Purpose.LOOK:
        look_for_copied(tree, copied, progress)
    elif copied:
        _mend(tree, copied, progress)
    if purpose is Purpose.SERVE:
        for layer in tree.layers.lowers:
            look_for(layer)
    if changed is not None and purpose is not Purpose.LOOK:
        save_record(tree.workdir, changed)
    return tree


def _opened_tree(
    config: OverlayConfig, how: _Opening
) -> tuple[Tree, Mapping[Layer, tuple[int, ...]], Record | None]:
    """The tree; the layers that were copied, and of which ones; what is to be recorded now."""
    _check_names(config)
    opened, workdir = _open_directories(config)
    first_data = len(opened) - len(config.datadirs)
    seal = open_seal(workdir.identity)
    known = load_record(workdir)
    recognised = recognise(up_to_date(known, workdir), opened, seal, bottom=first_data - 1)
    check_filled(known, recognised.known, opened)
    if how.purpose is Purpose.REPAIR:
        check_present(known, recognised, how.without)
    if recognised.copied and how.purpose is Purpose.LOOK:
        seal = _seal_to_look(seal, workdir)
    if recognised.copied and seal is None:
        seal = Seal.within(workdir.identity)
    record = note_filled(recognised.record, recognised.known, opened)
    if config.upperdir is not None:  # where state is kept besides, there may be no handles
        record = replace(record, workdir=root_identity(Opened(workdir.root, b"")))
    index = Index(workdir)
    layers = make_layers(opened, recognised.known, seal, index, record)
    top = 0 if config.upperdir is None else 1
    upper, lowers, data = layers[:top], layers[top:first_data], layers[first_data:]
    stack = Layers(upper[0] if upper else None, tuple(lowers), tuple(data), seal)
    copied = {layers[i]: of for i, of in recognised.copied.items() if i < first_data}
    tree = _make_tree(config, stack, workdir, index, record, how.caches)
    tree.is_whole = known is None or missing(known, record.stack, how.without) is None
    return tree, copied, None if record == known else record


def _seal_to_look(seal: Seal | None, workdir: Workdir) -> Seal:
    """What can be written to while the seal stays as it is."""
    if seal is None:
        raise ConfigError(
            "layers were copied that were never sealed: start the server once, which finds again "
            "what can be found; seal with overlay-nfsd index seal before layers are copied"
        )
    try:
        return seal.nameless_copy(workdir.root)
    except OSError as problem:
        raise ConfigError(
            f"cannot copy the seal within the workdir: {problem.strerror}: make room there"
        ) from problem


def _check_names(config: OverlayConfig) -> None:
    if not config.lowerdirs:
        raise ConfigError("no lower layer given: name at least one with --lowerdir")
    if (config.upperdir is None) != (config.workdir is None):
        raise ConfigError(
            "--upperdir and --workdir go together: give both, or none to serve read-only"
        )


def _open_directories(config: OverlayConfig) -> tuple[list[Opened], Workdir]:
    """The layers from the upper down, and the work directory, for this process alone."""
    check_layers(config)
    opened = []
    if config.upperdir is not None and config.workdir is not None:
        top, work = open_upper(config.upperdir, config.workdir)
        open_private(config.workdir, "put upper and workdir elsewhere")
        check_workdir(work, f"--workdir {os.fsdecode(config.workdir)}")
        opened.append(top)
    else:
        work = state_directory(config.lowerdirs[-1], config.name)
        check_workdir(work, "the state directory")
    opened += [_open_lower(path) for path in (*config.lowerdirs, *config.datadirs)]
    # Nothing is made before all is looked at: the work directory may be somebody else's.
    _hold_workdir(work, read_only=config.upperdir is None)
    if config.upperdir is not None:
        _check_upper(opened[0], work)
    return opened, _open_workdir(work)


def prepare_process() -> None:
    """Set this process up to serve overlays, before it has threads; raises ConfigError."""
    take_rights()
    umask.clear()


def _make_tree(
    config: OverlayConfig,
    layers: Layers,
    workdir: Workdir,
    index: Index,
    record: Record,
    caches: Caches,
) -> Tree:
    prefix = xattrs.USER_PREFIX if config.userxattr else xattrs.PREFIX
    kernel = xattrs.Kernel(prefix, config.metacopy, config.redirect_dir)
    signer = Signer(workdir.key(), record.export)
    tree = Tree(layers, workdir, index, signer, kernel, record, caches)
    if config.inode_bits == 32:
        tree.shorten_numbers()
    return tree


def _mend(tree: Tree, copied: Mapping[Layer, tuple[int, ...]], progress: Progress) -> None:
    tree.workdir.tidy()
    try:
        mend_copied(tree, copied, progress)
    except BaseException:
        tree.close()
        raise


def take_rights() -> None:
    """Act as root from now on, whoever this process belongs to; raises ConfigError if it may not.

    Sockets are then root's, too, as are files; all must be of the same user.
    """
    had = capabilities()
    missing = ", ".join(name for name, bit in _CAPABILITIES.items() if not had >> bit & 1)
    if missing and os.geteuid() != 0:
        raise ConfigError(
            f"must run as root, to open files by handle and to act for any user, or with {missing}"
        )
    if missing:
        raise ConfigError(
            f"root here lacks {missing}: in a container run it with "
            f"--cap-add={missing.replace(', ', ',')}, in a unit name them in CapabilityBoundingSet="
        )
    keep_capabilities()
    forgo_reserves()


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


def _open_lower(path: bytes) -> Opened:
    real = _real("lower layer", path)
    root = _clone("lower layer", real, read_only=True)
    share_lower(root, real)
    # These have handles made of those of other filesystems, which may be several.
    is_made_of_others = filesystem_magic(root) in (OVERLAYFS_MAGIC, NFS_MAGIC)
    return Opened(
        root, real, has_handles=_has_handles(root), has_equal_handles=not is_made_of_others
    )


def _has_handles(root: Fd) -> bool:
    """Whether inodes of this filesystem can be opened by handle at any later time."""
    if filesystem_magic(root) == FUSE_MAGIC:
        return False  # it encodes handles, but most FUSE filesystems cannot decode them
    try:
        real = handle_of(root)
        open_by_handle(root, real, os.O_PATH)
    except PermissionError as problem:
        raise ConfigError(
            "files cannot be opened by handle: run with CAP_DAC_READ_SEARCH, outside a container "
            "that takes it away"
        ) from problem
    except OSError:
        return False
    return fits_wire(real)


def open_upper(upperdir: bytes, workdir: bytes) -> tuple[Opened, Fd]:
    """Both directories below one private mount, so that names can be linked across."""
    upper, work = _real("--upperdir", upperdir), _real("--workdir", workdir)
    common = os.path.commonpath([upper, work])
    mount = _clone("--upperdir", common, read_only=False)
    names = os.path.relpath(upper, common), os.path.relpath(work, common)
    fds = [_walk(mount, components(name)) for name in names]
    for fd, path in zip(fds, (upper, work), strict=True):
        if fd is None or not os.path.samestat(os.fstat(fd), os.stat(path)):
            raise ConfigError(
                f"--upperdir {os.fsdecode(upper)} and --workdir {os.fsdecode(work)} are on "
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


def _hold_workdir(work: Fd, *, read_only: bool) -> None:
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


def _open_workdir(work: Fd) -> Workdir:
    try:
        return Workdir(work)
    except OSError as problem:
        cure = ": it must be writable; under systemd name its parent with ReadWritePaths="
        cure = cure if problem.errno == errno.EROFS else ""
        raise ConfigError(f"cannot use the workdir: {problem.strerror}{cure}") from problem


def _check_upper(upper: Opened, work: Fd) -> None:
    where = f"--upperdir {os.fsdecode(upper.path)}"
    if not _has_handles(upper.root):
        raise ConfigError(
            f"{where}: its filesystem has no file handles; use ext4, xfs, btrfs or tmpfs"
        )
    try:
        hold(upper.root)
    except OSError as problem:
        if problem.errno != errno.EBUSY:
            raise
        raise ConfigError(f"{where} is in use by another server: stop that one first") from problem
    for fd, name in ((upper.root, where), (work, "the workdir")):
        if is_mounted(fd):
            raise ConfigError(f"{name} is mounted by the kernel's overlayfs: unmount it first")
    try:
        probe = Fd(os.open(b".", os.O_TMPFILE | os.O_WRONLY, 0o600, dir_fd=work))
        xattrs.put(probe, xattrs.OPAQUE, b"n")
    except OSError as problem:
        if problem.errno == errno.EROFS:
            raise ConfigError(
                f"{where}: it is read-only: mount it writable; under systemd name the parent of "
                "upperdir and workdir with ReadWritePaths="
            ) from problem
        if problem.errno in _FULL:
            return  # its clients empty it
        raise ConfigError(
            f"{where}: its filesystem keeps no trusted.* extended attributes "
            f"({problem.strerror}); use ext4, xfs, btrfs or tmpfs"
        ) from problem
