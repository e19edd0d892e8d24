"""What a start does when the layers were copied since the last one.

A copy has other inodes, so nothing that names an inode holds any more: the kernel
handles and numbers in clients' handles, `upper` in the index, `origin` on upper
inodes.  What names an object by its name or by a mark still holds: the seal, the
paths in the index, and `fh` on every upper inode.  So

    lower layers   are walked, and the seal says from then on which inode has which
                   identity; of a layer that was not sealed only what the index
                   has a path of is found again
    the upper one  is walked, and each inode with a mark becomes the index entry of
                   its object again, or the entry leads to it again; links that the
                   copy made files of their own are made one file again

Rule: each step can be repeated, and where the layers are now is recorded only
when all is done.  So a start that was cut short is made up for by the next one.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from typing import Final

from index import xattrs
from index.identity import Identity
from index.layers import Layer
from index.linux.fd import Fd, components, is_whiteout
from index.linux.file_handle import handle_of, unpack_real
from index.seal import SealWriter
from index.workdir import COPIED, LAST_MOUNT
from overlay.base.progress import Progress, silent
from overlay.lookup.lower import LowerFile, search, search_below
from overlay.lookup.metacopy import recorded_layer
from overlay.lookup.resolve import from_upper_handle
from overlay.model.tree import Tree
from overlay.startup.relocate_lower import LowerWalk, Walked
from overlay.startup.relocate_upper import UpperWalk

_LOGGER: Final = logging.getLogger("overlay-nfsd.start")


def mend_copied(
    tree: Tree,
    copied: Mapping[Layer, tuple[int, ...]],
    progress: Progress = silent,
) -> None:
    """Find every object again whose layer was copied; `copied`: of which recorded layers."""
    unsealed, _ = _find_lowers(tree, copied, progress)
    if unsealed:
        # Has the names looked at (overlay.maintenance.kernel_mounts).
        tree.workdir.write(LAST_MOUNT, COPIED)
    if tree.layers.upper is not None:
        walk = UpperWalk(tree, progress)
        if tree.layers.upper in copied:
            walk.find_marks()
        walk.run()
        if walk.unmarked and tree.layers.upper in copied:
            _LOGGER.warning(
                "%d objects of the upper layer have no mark: their old handles are stale; seal "
                "with `overlay-nfsd index seal` before layers are copied",
                walk.unmarked,
            )
    tree.caches.nodes.clear()
    tree.caches.names.clear()


def look_for_copied(
    tree: Tree, copied: Mapping[Layer, tuple[int, ...]], progress: Progress
) -> None:
    """Find the objects of lower layers, so that an overlay can be checked that was copied.

    Of the upper layer, and in the index, nothing is changed: that is left to a start.
    """
    _, lost_names = _find_lowers(tree, copied, progress)
    tree.note_copies(has_copied_upper=tree.layers.upper in copied, lost_names=lost_names)


def _find_lowers(
    tree: Tree, copied: Mapping[Layer, tuple[int, ...]], progress: Progress
) -> tuple[list[Layer], int]:
    """Find the objects of lower layers; return those not sealed, and how many names are lost."""
    names = ", ".join(os.fsdecode(layer.path) for layer in copied)
    _LOGGER.info("copied since the last start: %s; finding their objects again", names)
    seal = tree.layers.seal
    assert seal is not None
    task = repr(sorted((layer.id, layer.path, layer.filesystem) for layer in copied)).encode()
    unsealed, lost_names = [], 0
    with seal.writer() as writer:
        writer.begin(task)
        for layer, sources in copied.items():
            if layer.is_upper:
                continue
            if all(seal.is_sealed(source) for source in sources):
                walked = LowerWalk(layer, sources, tree.kernel, writer, progress).run()
                lost_names += walked.gone
                _told(layer, walked)
            else:
                unsealed.append(layer)
        if unsealed:
            _find_recorded(tree, unsealed, writer)
        writer.end()
    return unsealed, lost_names


def _told(layer: Layer, walked: Walked) -> None:
    path = os.fsdecode(layer.path)
    _LOGGER.info("%s: %d names found again", path, walked.names)
    if walked.gone:
        _LOGGER.warning("%s: %d names are missing: their handles are stale", path, walked.gone)


def _find_recorded(tree: Tree, layers: list[Layer], writer: SealWriter) -> None:
    """Find what the index has a path of, in layers that were not sealed."""
    for layer in layers:
        _LOGGER.warning(
            "%s was copied but never sealed: handles of its unchanged objects are stale; "
            "seal with `overlay-nfsd index seal` before layers are copied",
            os.fsdecode(layer.path),
        )
    for _, fd, st in tree.index.entries():
        identity = Identity.unpack(tree.index.marks.get(fd, xattrs.FH))
        path = tree.index.lower_path_of(fd)
        if identity is None or path is None or is_whiteout(st) or identity.is_upper:
            continue
        found = _at_path(tree, identity, path, st, recorded_layer(fd))
        if found is not None and found[0] in layers and _is_part(tree, fd, found[2]):
            layer, lower, lower_st = found
            number = lower_st.st_ino
            writer.put_inode(layer.filesystem, number, layer.id, handle_of(lower), identity)


def _is_part(tree: Tree, entry: Fd, lower: os.stat_result) -> bool:
    """Return whether what an entry leads to may have this lower inode; a directory's walk tells.

    One that was renamed while its layer had no such directory does not merge with what a later
    image has under its first name: that is another object.
    """
    real = unpack_real(xattrs.get(entry, xattrs.UPPER)) if stat.S_ISDIR(lower.st_mode) else None
    node = None if real is None else from_upper_handle(tree, real)
    if node is None:
        return True  # the upper layer was copied too, or nothing of the directory is there
    return any(os.path.samestat(os.fstat(one.fd), lower) for one in node.lowers)


def _at_path(
    tree: Tree, identity: Identity, path: bytes, st: os.stat_result, layer_id: int | None
) -> tuple[Layer, Fd, os.stat_result] | None:
    """Return the lower inode at a path that the index recorded: a directory's is one in its layer.

    In a layer above that of a metacopy there may be another file by now.
    """
    if identity.is_dir:
        layer = tree.layers.by_id(identity.source)
        fd = None if layer is None else layer.open_path(path, os.O_PATH | os.O_DIRECTORY)
        return None if layer is None or fd is None else (layer, fd, os.fstat(fd))
    found = search(tree, tree.root.lowers, components(path))
    while layer_id is not None and isinstance(found, LowerFile) and found.layer.id != layer_id:
        found = search_below(tree, found)
    if not isinstance(found, LowerFile) or not found.layer.has_handles:
        return None
    alike = stat.S_IFMT(found.st.st_mode) == stat.S_IFMT(st.st_mode)
    return (found.layer, found.fd, found.st) if alike else None
