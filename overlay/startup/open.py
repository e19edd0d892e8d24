"""From paths on the command line to an opened overlay, or to a clear refusal."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import Enum, auto
from typing import Final, NamedTuple

from index import xattrs
from index.identity import Signer
from index.index import Index
from index.layers import (
    Layer,
    Opened,
    Record,
    make_layers,
    save_record,
    up_to_date,
)
from index.linux.fd import Fd
from index.linux.syscalls import capabilities, forgo_reserves, keep_capabilities
from index.match_layers import recognise, root_identity
from index.seal import Seal, open_seal
from index.workdir import Workdir, check_format
from overlay.base import umask
from overlay.base.progress import Progress, silent
from overlay.lookup.oci_whiteouts import look_for
from overlay.model.caches import Caches
from overlay.model.config import ConfigError, OverlayConfig
from overlay.model.stack import Layers
from overlay.model.tree import Tree
from overlay.startup.directories import (
    identity_of,
    look_at_directories,
    open_directories,
    recorded,
)
from overlay.startup.in_use import Held
from overlay.startup.presence import check_filled, check_present, missing, note_filled
from overlay.startup.relocate import look_for_copied, mend_copied

# What the process needs, whichever user it runs as (linux/capability.h).
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

    If layers were copied since the last time their objects are found again; for a command that only
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
    """Return the tree, the layers that were copied and of which, and what is to be recorded."""
    opened, work = open_directories(config)
    workdir = _open_workdir(work)
    first_data = len(opened) - len(config.datadirs)
    seal = open_seal(workdir.identity)
    known = recorded(workdir.identity)
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
    is_whole = known is None or missing(known, record.stack, how.without) is None
    tree = _make_tree(config, stack, workdir, index, record, how.caches, is_whole)
    return tree, copied, None if record == known else record


def _seal_to_look(seal: Seal | None, workdir: Workdir) -> Seal:
    """Return what can be written to while the seal stays as it is."""
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


def check_openable(config: OverlayConfig, held: Held = frozenset()) -> None:
    """Raise ConfigError unless the overlay could be opened to be served; nothing is changed.

    Directories that are `held` are in use by the server that is to serve it.
    """
    take_rights()
    opened, work = look_at_directories(config, held)
    if work is None:
        return
    try:
        check_format(work)
    except OSError as problem:
        raise _cannot_use(problem) from problem
    identity = identity_of(work)
    if identity is not None:
        known, bottom = recorded(identity), len(opened) - len(config.datadirs) - 1
        recognised = recognise(known, opened, open_seal(identity), bottom=bottom)
        check_filled(known, recognised.known, opened)


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
    is_whole: bool,
) -> Tree:
    prefix = xattrs.USER_PREFIX if config.userxattr else xattrs.PREFIX
    kernel = xattrs.Kernel(prefix, config.metacopy, config.redirect_dir)
    signer = Signer(workdir.key(), record.export)
    tree = Tree(layers, workdir, index, signer, kernel, record, caches, is_whole)
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
    """Act as root from now on, whichever user runs the process; raises ConfigError if it may not.

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


def _open_workdir(work: Fd) -> Workdir:
    try:
        return Workdir(work)
    except OSError as problem:
        raise _cannot_use(problem) from problem


def _cannot_use(problem: OSError) -> ConfigError:
    cure = ": it must be writable; under systemd name its parent with ReadWritePaths="
    cure = cure if problem.errno == errno.EROFS else ""
    return ConfigError(f"cannot use the workdir: {problem.strerror}{cure}")
