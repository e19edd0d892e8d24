"""Taking over objects that the kernel's overlayfs brought into the upper layer.

An upper inode with `overlay.origin` comes from a lower inode, and that is its
identity.  It gets an index entry like one that was copied up here, before a
handle to it is given out.  As in the kernel, the origin of a lower inode with
several names counts only where an index holds the names together.
"""

from __future__ import annotations

import os
import stat

from index import xattrs
from index.identity import Identity
from index.index import GONE, DirectoryEntry, UpperInode
from index.layers import HASHED, Layer
from index.linux.fd import Fd
from index.linux.file_handle import handle_of, pack_real
from index.origin import Origin
from overlay.lookup import nlink
from overlay.lookup.layer_copies import is_elsewhere, share
from overlay.model.node import LowerDir
from overlay.model.tree import Tree


def adopt_file(tree: Tree, fd: Fd, st: os.stat_result) -> Identity | None:
    """Return the identity of an upper non-directory without our mark; None if it has no origin."""
    found = kernel_origin(tree, fd, st)
    if found is None:
        return None
    identity, lower_st = found
    with tree.changing():
        entry = tree.index.find(identity)
        if entry is None:
            _enter(tree, identity, fd, st, lower_st)
        elif not isinstance(entry, UpperInode) or not os.path.samestat(entry.st, st):
            return None  # the lower inode became another object: this one is on its own
        tree.index.marks.put(fd, xattrs.FH, identity.pack())  # last: without it, this is done again
        tree.changed_object(identity.fileid)
    return identity


def kernel_origin(tree: Tree, fd: Fd, st: os.stat_result) -> tuple[Identity, os.stat_result] | None:
    """Return the lower inode that the kernel takes for this one's origin, and its attributes."""
    found = _lower_origin(tree, fd)
    if found is None:
        return None
    layer, lower = found
    lower_st = os.fstat(lower)
    identity = layer.identity(lower, lower_st, is_dir=False)
    origin = layer.origin(lower)
    if lower_st.st_nlink > 1:
        indexed = None if origin is None else tree.kernel_index.find(origin)
        if indexed is None or not os.path.samestat(os.fstat(indexed), st):
            return None
    return identity, lower_st


def _enter(
    tree: Tree, identity: Identity, fd: Fd, st: os.stat_result, lower_st: os.stat_result
) -> None:
    visible = nlink.kernel_count(tree, fd, st, lower_st)
    # To the lower inode, so that the index link made next does not count.
    tree.index.marks.put(fd, xattrs.NLINK, b"L%+d" % (visible - lower_st.st_nlink))
    tree.index.marks.put(fd, xattrs.LINKS, b"%d" % lower_st.st_nlink)
    tree.index.marks.put(fd, xattrs.UPPER, pack_real(handle_of(fd)))
    tree.index.commit(identity, fd)


def _lower_origin(tree: Tree, fd: Fd) -> tuple[Layer, Fd] | None:
    """Return the lower inode that `overlay.origin` names, if it is in a layer of ours."""
    origin = Origin.unpack(tree.kernel.get(fd, xattrs.ORIGIN))
    layer = None if origin is None else tree.layers.with_uuid(origin.uuid)
    if origin is None or layer is None:
        return None
    lower = layer.open_handle(origin.real, os.O_PATH)
    if lower is None:
        return None
    # Several layers may have that uuid: btrfs subvolumes, each with inode numbers of its own.
    layer = tree.layers.on_device(os.fstat(lower).st_dev)
    return None if layer is None else (layer, lower)


def own_identity(tree: Tree, fd: Fd, st: os.stat_result) -> Identity:
    """Return the identity of an upper inode that comes from no lower one and has no mark.

    In a sealed overlay it is marked before anybody has a handle of it, so that it
    is known again when the layers were copied; and so it is where its number was
    another's.
    """
    assert tree.layers.upper is not None
    identity = tree.layers.upper.identity(fd, st, is_dir=stat.S_ISDIR(st.st_mode))
    if tree.sealed or not tree.layers.upper.is_own_number(identity, st):
        tree.index.marks.put(fd, xattrs.FH, identity.pack())
        tree.changed_attributes(identity.fileid)
    return identity


def is_copy(fd: Fd, identity: Identity) -> bool:
    """Return whether an upper inode is not the one that its identity names.

    Its handle then leads to it by the index alone.
    """
    return identity.is_upper and identity.real != handle_of(fd)


def is_impure(tree: Tree, fd: Fd) -> bool:
    """Return whether entries of an upper directory may have other numbers than their inodes."""
    if tree.kernel.get(fd, xattrs.IMPURE) is not None:
        return True
    aside = tree.index.marks.aside(fd)
    return aside is not None and xattrs.get(aside, xattrs.IMPURE) is not None


def mark_impure(tree: Tree, upper: Fd) -> None:
    """Mark an upper directory with entries whose objects' numbers are not their inodes'.

    For the kernel this is a hint to readdir(3), so without room it is aside.
    """
    if not is_impure(tree, upper):
        try:
            tree.put_attribute(upper, xattrs.IMPURE, b"y")
        except xattrs.NoXattrSpaceError:
            tree.index.marks.put_aside(upper, xattrs.IMPURE, b"y")


def mark_if_impure(tree: Tree, upper: Fd, identity: Identity) -> None:
    """Mark an upper directory so if an object that gets a name in it has another number."""
    if not identity.is_upper or identity.fileid & HASHED:
        mark_impure(tree, upper)


def adopt_dir(tree: Tree, fd: Fd, lowers: tuple[LowerDir, ...]) -> Identity:
    """Return the identity of an upper directory without our mark, entered if it merges."""
    if not lowers:
        return own_identity(tree, fd, os.fstat(fd))
    identity = lowers[-1].identity()
    with tree.changing():
        if tree.index.find(identity) == GONE:
            # What it seems to merge with was removed: it is on its own.
            return own_identity(tree, fd, os.fstat(fd))
        if is_elsewhere(tree, fd, identity):
            own = own_identity(tree, fd, os.fstat(fd))
            share(tree, fd, own)
            return own
        enter_dir(tree, identity, fd, lowers[-1], tree.upper_path(fd))
        tree.index.marks.put(fd, xattrs.UPPER, pack_real(handle_of(fd)))
        tree.index.marks.put(fd, xattrs.FH, identity.pack())  # last: without it, this is done again
    return identity


def enter_dir(tree: Tree, identity: Identity, fd: Fd, bottom: LowerDir, path: bytes | None) -> None:
    """Enter an upper directory into the index.

    `path` is where it is in the upper layer, or is about to be.
    """
    known = tree.index.find(identity)
    tree.index.put_directory(
        identity,
        upper=handle_of(fd),
        path=path,
        redirect=bottom.layer.path_of(bottom.fd),
        lower=known.lower if isinstance(known, DirectoryEntry) else None,
    )
