"""From a name in a directory to the object: the merging of layers.

The upper layer decides if it has the name, else the lower ones do
(overlay.lookup.lower).  Beyond the kernel's overlayfs, every lower inode that is met
is looked for in the index, because it may have been copied up under another
name, or under none.
"""

from __future__ import annotations

import os
import stat

from index import xattrs
from index.identity import Identity
from index.index import GONE, DirectoryEntry, Entry, UpperInode
from index.layers import Layer
from index.linux.fd import Fd, components, is_whiteout, open_name
from index.linux.syscalls import open_rare_name
from overlay.base.generations import NEVER, last_change
from overlay.lookup import nlink
from overlay.lookup.adopt import (
    adopt_dir,
    adopt_file,
    is_copy,
    kernel_origin,
    mark_if_impure,
    own_identity,
)
from overlay.lookup.layer_copies import disown, is_directory_of, is_file_of, set_apart
from overlay.lookup.lower import LowerFile, find_lower, is_opaque, redirect_of, search
from overlay.lookup.metacopy import Data, data_of, data_of_lower, is_metacopy, leads_to
from overlay.model.caches import Known
from overlay.model.listing import Place
from overlay.model.node import Dentry, DirNode, FileNode, LowerDir, Node
from overlay.model.tree import Tree


def lookup(tree: Tree, parent: DirNode, name: bytes, place: Place | None = None) -> Node | None:
    """Return the object called `name` in `parent`; None where there is none.

    Permission is the caller's to check, `.` and `..` are the caller's to handle.
    `place`: where a listing has it.  While that holds, the layers above are not asked.
    """
    key = parent.handle + name
    generation = tree.name_counters.of(hash(key))
    known = tree.caches.names.get(key)
    if known is not None and known.generation == generation:
        if known.handle is None:
            return None
        node = tree.cached(known.handle)
        if node is not None:
            return node
    # After the counter of the name: its own moves later (Tree.changed_name).
    if place is not None and tree.listing_counters.of(parent.fileid) != place.generation:
        place = None
    node = _look(tree, parent, name, None if place is None else place.layer)
    if tree.is_true(parent):
        tree.caches.names.put(key, Known(generation, node.handle if node else None))
    return node


def _look(tree: Tree, parent: DirNode, name: bytes, layer: Layer | None) -> Node | None:
    """Look in the layers from the topmost one down, or from `layer`, which has the name."""
    last = last_change()
    node: Node | None
    if parent.upper is not None and (layer is None or layer.is_upper):
        opened = open_rare_name if parent.lowers and layer is None else open_name
        found = opened(parent.upper, name)
        if found is not None:
            fd, st = found
            node = _in_upper(tree, parent, name, fd, st)
            if node is not None and node.real is fd:
                tree.learn(node, st, last)
            return node
    below = _look_below(tree, parent.lowers, name, layer)
    if isinstance(below, LowerFile):
        node = lower_file(tree, below, Dentry(parent.handle, name))
        if node is not None and node.real is below.fd:
            tree.learn(node, below.st, last)
        return node
    return _lower_dir(tree, parent, name, below) if below else None


def _look_below(
    tree: Tree, lowers: tuple[LowerDir, ...], name: bytes, layer: Layer | None
) -> LowerFile | tuple[LowerDir, ...]:
    if layer is not None:
        for position, lower in enumerate(lowers):
            if lower.layer is layer:
                found = search(tree, lowers[position:], [name], is_there=True)
                if found:
                    return found
    return find_lower(tree, lowers, name)


def _in_upper(tree: Tree, parent: DirNode, name: bytes, fd: Fd, st: os.stat_result) -> Node | None:
    if is_whiteout(st):
        return None
    node: Node | None
    if stat.S_ISDIR(st.st_mode):
        node = upper_dir(tree, parent, name, fd)
    else:
        node = upper_file(tree, fd, st, parent, name)
    # Where nobody has come by yet: of what has an origin the directory is impure already.
    if node is not None and node.identity.is_upper and parent.upper is not None:
        mark_if_impure(tree, parent.upper, node.identity)
    return node


def upper_file(
    tree: Tree, fd: Fd, st: os.stat_result, parent: DirNode | None, name: bytes
) -> FileNode | None:
    """Return the node of a non-directory of the upper layer; None when it has no name left.

    `parent` is None where it was opened by its handle.
    """
    assert tree.layers.upper is not None
    dentry = None if parent is None else Dentry(parent.handle, name)
    marks = xattrs.names(fd)
    if not marks:
        return _plain_file(tree, fd, st, dentry)
    identity = Identity.unpack(tree.index.marks.get(fd, xattrs.FH))
    is_indexed = identity is not None and (not identity.is_upper or is_copy(fd, identity))
    if identity is not None and is_indexed and not is_file_of(tree, fd, st, identity):
        disown(tree, fd)
        identity, is_indexed = None, False
    if identity is None and not _is_astray(tree, fd, st, parent, name):
        identity = adopt_file(tree, fd, st)
        is_indexed = identity is not None
    if identity is None:
        identity = own_identity(tree, fd, st)
    elif is_indexed:
        return indexed_file(tree, identity, fd, dentry, parent)
    generation = tree.object_counters.of(identity.fileid)
    data = _data(tree, fd, st, identity, parent, name)
    return tree.add_file(
        identity,
        generation,
        tree.layers.upper,
        fd,
        st.st_mode,
        dentry=dentry,
        data=data.fd,
        lacks_data=data.is_missing,
    )


def _is_astray(tree: Tree, fd: Fd, st: os.stat_result, parent: DirNode | None, name: bytes) -> bool:
    """Return whether the data of a metacopy of the kernel's is another file's than its origin's.

    So it is where layers were replaced by copies of them.  Then the file is on its own.
    """
    if parent is None or not stat.S_ISREG(st.st_mode) or not is_metacopy(tree, fd):
        return False
    origin = kernel_origin(tree, fd, st)
    if origin is None or leads_to(tree, fd, parent, name, origin[0]) is not None:
        return False
    tree.index.marks.put(fd, xattrs.FH, own_identity(tree, fd, st).pack())
    return True


def new_file(tree: Tree, parent: Fd, fd: Fd, st: os.stat_result, dentry: Dentry | None) -> FileNode:
    """Return the node of a non-directory that was just made in an upper directory."""
    node = _plain_file(tree, fd, st, dentry)
    mark_if_impure(tree, parent, node.identity)
    return node


def _plain_file(tree: Tree, fd: Fd, st: os.stat_result, dentry: Dentry | None) -> FileNode:
    """Return the node of an upper file that comes from no lower one and has no attributes."""
    assert tree.layers.upper is not None
    identity = own_identity(tree, fd, st)
    generation = tree.object_counters.of(identity.fileid)
    return tree.add_file(identity, generation, tree.layers.upper, fd, st.st_mode, dentry=dentry)


def new_dir(tree: Tree, parent: Fd, fd: Fd, st: os.stat_result) -> DirNode:
    """Return the node of an upper directory, just made in another, that merges with nothing."""
    identity = own_identity(tree, fd, st)
    mark_if_impure(tree, parent, identity)
    generation = tree.object_counters.of(identity.fileid)
    return tree.add_dir(identity, generation, fd, (), None)


def indexed_file(
    tree: Tree,
    identity: Identity,
    fd: Fd,
    dentry: Dentry | None,
    way: DirNode | LowerFile | None = None,
    *,
    visible: int | None = None,
) -> FileNode | None:
    """Return the node of a copied-up non-directory; None when it has no name left.

    `way`: what it was found by, as for `data_of`; `visible`: how many names it has, if
    that is known.
    """
    assert tree.layers.upper is not None
    generation = tree.object_counters.of(identity.fileid)
    st = os.fstat(fd)
    if visible is None:
        visible = nlink.count(tree, identity, fd, st)
    if visible <= 0:
        return None
    name = b"" if dentry is None else dentry.name
    data = _data(tree, fd, st, identity, way, name)
    return tree.add_file(
        identity,
        generation,
        tree.layers.upper,
        fd,
        st.st_mode,
        nlink_adjust=visible - st.st_nlink,
        dentry=dentry,
        data=data.fd,
        lacks_data=data.is_missing,
        was_copied=identity.is_upper,
    )


def _data(
    tree: Tree,
    fd: Fd,
    st: os.stat_result,
    identity: Identity,
    way: DirNode | LowerFile | None,
    name: bytes,
) -> Data:
    return data_of(tree, fd, identity, way, name) if stat.S_ISREG(st.st_mode) else Data()


def upper_dir(tree: Tree, parent: DirNode, name: bytes, fd: Fd) -> DirNode:
    """Return the node of a directory of the upper layer, with what it merges with."""
    lowers = _below_upper_dir(tree, parent, name, fd)
    identity = Identity.unpack(tree.index.marks.get(fd, xattrs.FH))
    was_copied = identity is not None and is_copy(fd, identity)
    is_indexed = was_copied or (identity is not None and not identity.is_upper)
    if identity is not None and is_indexed and not is_directory_of(tree, fd, identity):
        disown(tree, fd)
        identity, was_copied = None, False
    if identity is None:
        identity = adopt_dir(tree, fd, lowers)
    if lowers and identity.is_upper and tree.index.marks.get(fd, xattrs.SHARES) is not None:
        set_apart(tree, fd, lowers)
        lowers = ()
    generation = tree.object_counters.of(identity.fileid)
    return tree.add_dir(identity, generation, fd, lowers, None, was_copied=was_copied)


def _below_upper_dir(tree: Tree, parent: DirNode, name: bytes, fd: Fd) -> tuple[LowerDir, ...]:
    if is_opaque(tree, fd):
        return ()
    redirect = redirect_of(tree, fd)
    if redirect is not None and redirect.startswith(b"/"):
        below = search(tree, tree.root.lowers, components(redirect))
    else:
        below = find_lower(tree, parent.lowers, redirect or name)
    return () if isinstance(below, LowerFile) else below


def lower_file(tree: Tree, found: LowerFile, dentry: Dentry | None) -> FileNode | None:
    """Return the node of a non-directory found in a lower layer, wherever it lives now."""
    identity = found.identity()
    generation = tree.object_counters.of(identity.fileid)
    entry = tree.index.find(identity)
    return identified_file(tree, found, identity, generation, entry, dentry)


def identified_file(
    tree: Tree,
    found: LowerFile,
    identity: Identity,
    generation: int,
    entry: Entry | None,
    dentry: Dentry | None,
) -> FileNode | None:
    """Return the node of such a file by its identity and index entry, read at this generation."""
    if entry is None and found.st.st_nlink > 1:
        entry = _indexed_by_kernel(tree, found, identity)
    if isinstance(entry, UpperInode) and is_entry_of(tree, entry, identity):
        if found.st.st_nlink > 1 and not identity.is_by_path:
            nlink.recount(tree, identity, entry.fd, nlink.names_of(identity, found.st))
        return indexed_file(tree, identity, entry.fd, dentry, found)
    if entry == GONE:
        return None
    if identity.is_by_path and found.parent is not None:  # else its path was what led to it
        _remember(tree, identity, found.path())
    is_regular = stat.S_ISREG(found.st.st_mode)
    data = data_of_lower(tree, found, identity, entry) if is_regular else Data()
    return tree.add_file(
        identity,
        generation,
        found.layer,
        found.fd,
        found.st.st_mode,
        # Known by its path, each name of an inode is an object of its own.
        nlink_adjust=1 - found.st.st_nlink if identity.is_by_path else 0,
        dentry=dentry,
        data=data.fd,
        lacks_data=data.is_missing,
    )


def _remember(tree: Tree, identity: Identity, path: bytes) -> None:
    """Record the path of a lower object that cannot be found by handle."""
    if tree.index.find(identity) is None:
        with tree.changing():
            if tree.index.find(identity) is None:
                tree.index.put_directory(identity, redirect=path)


def is_entry_of(tree: Tree, entry: UpperInode, identity: Identity) -> bool:
    """Return whether an index entry is this object's; one that was being adopted may not be."""
    return entry.is_marked or adopt_file(tree, entry.fd, entry.st) == identity


def _indexed_by_kernel(tree: Tree, found: LowerFile, identity: Identity) -> UpperInode | None:
    """Return the upper inode of a lower one with several names, from the kernel's index."""
    origin = found.layer.origin(found.fd)
    fd = None if origin is None else tree.kernel_index.find(origin)
    if fd is None or adopt_file(tree, fd, os.fstat(fd)) != identity:
        return None
    return UpperInode(fd, os.fstat(fd))


def _lower_dir(
    tree: Tree, parent: DirNode, name: bytes, stack: tuple[LowerDir, ...]
) -> Node | None:
    """Return the node of a directory that the upper layer does not have, or what it has by now."""
    identity = stack[-1].identity()
    if identity.is_by_path:
        _remember(tree, identity, stack[-1].layer.path_of(stack[-1].fd))
    generation = tree.object_counters.of(identity.fileid)
    if parent.upper is not None:
        found = open_name(parent.upper, name)
        if found is not None:
            return _in_upper(tree, parent, name, *found)
    if not tree.is_true(parent):
        generation = NEVER
    if stack[-1].is_redirected:
        _record_top(tree, identity, stack)
    return tree.add_dir(identity, generation, None, stack, Dentry(parent.handle, name))


def _record_top(tree: Tree, identity: Identity, stack: tuple[LowerDir, ...]) -> None:
    """Record which lower directory a redirected one is found by: names do not lead to the others.

    The topmost has its visible name, in a directory that its parent is merged in.
    """
    top, bottom = stack[0].identity(), stack[-1]
    if top == identity:
        return
    entry = tree.index.find(identity)
    if isinstance(entry, DirectoryEntry) and entry.lower == top:
        return
    with tree.changing():
        entry = tree.index.find(identity)
        if entry is None or (isinstance(entry, DirectoryEntry) and entry.upper is None):
            path = bottom.layer.path_of(bottom.fd)
            tree.index.put_directory(identity, lower=top, redirect=path)
