"""From a file handle to the object, with no memory of earlier requests.

A non-directory needs no path: its index entry, or its own inode, is all there
is to find.  A directory must be connected to the merged tree, because what it
merges with depends on where it is: one that was copied up is walked to by its
upper path, one that was not from its nearest ancestor that was, by the names of
its lower path.  Each step of a walk must meet the very object that it is meant
to meet, else the handle is stale.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, NamedTuple

from index import xattrs
from index.identity import Identity
from index.index import GONE, DirectoryEntry, Entry, UpperInode
from index.layers import Layer
from index.linux.fd import DIR_FLAGS, Fd, components
from index.linux.file_handle import RealHandle
from index.paths import above, name_in, short_path
from overlay.base.errors import error
from overlay.base.generations import last_change
from overlay.lookup.lookup import identified_file, indexed_file, is_entry_of, lookup, upper_file
from overlay.lookup.lower import LowerFile, find_lower
from overlay.model.node import DirNode, FileNode, LowerDir, Node
from overlay.model.tree import Tree

_DEEP: Final = 32  # directories


def resolve(tree: Tree, handle: bytes) -> Node:
    """Return the object a handle was given out for.

    Raises EBADF for bytes that are no handle of this export, ESTALE when the
    object is gone.
    """
    node = tree.cached(handle)
    if node is not None:
        return node
    identity = tree.signer.decode(handle)
    found: Node | None
    if identity.is_dir:
        found = _find_locked_if_gone(tree, partial(_directory, tree, identity))
    elif identity.is_upper:
        found = _pure_upper_file(tree, identity)
    else:
        found = _file_from_lower(tree, identity)
    if found is None or found.handle != handle:
        raise error(errno.ESTALE)
    return found


def current(tree: Tree, node: Node) -> Node:
    """Return the node as it is now: the same object may have been copied up or removed since."""
    return node if tree.is_true(node) else resolve(tree, node.handle)


def _pure_upper_file(tree: Tree, identity: Identity) -> FileNode | None:
    upper = tree.layers.upper
    if upper is None:
        return None
    if not upper.has_made(identity):
        entry = tree.index.find(identity)
        return _indexed(tree, identity, entry) if isinstance(entry, UpperInode) else None
    last = last_change()
    fd = upper.open_handle(identity.real, os.O_PATH)
    if fd is None:
        return None
    st = os.fstat(fd)
    node = upper_file(tree, fd, st, None, b"") if st.st_nlink else None
    if node is not None and node.real is fd:
        tree.learn(node, st, last)
    return node


def _indexed(tree: Tree, identity: Identity, entry: UpperInode) -> FileNode | None:
    return (
        indexed_file(tree, identity, entry.fd, None) if is_entry_of(tree, entry, identity) else None
    )


def _file_from_lower(tree: Tree, identity: Identity) -> FileNode | None:
    last, generation = last_change(), tree.object_counters.of(identity.fileid)
    entry = tree.index.find(identity)
    if entry == GONE:
        return None
    if isinstance(entry, UpperInode):
        return _indexed(tree, identity, entry)
    opened = tree.open_origin(identity, os.O_PATH)
    if opened is None:
        return None
    layer, fd = opened
    found = LowerFile(layer, fd, os.fstat(fd))
    node = identified_file(tree, found, identity, generation, entry, None)
    if node is not None and node.real is fd:
        tree.learn(node, found.st, last)
    return node


def _find_locked_if_gone(tree: Tree, find: Callable[[], DirNode | None]) -> DirNode | None:
    """Return what a walk finds, whatever is being renamed on its way.

    A walk takes no lock, so it may see a rename half done: the names changed, but
    not yet what is known of them.  Before it calls a directory gone it looks
    again when nothing is being changed.
    """
    try:
        found = find()
    except OSError as problem:
        if problem.errno not in (errno.ESTALE, errno.ENOENT, errno.ENOTDIR):
            raise
        found = None
    if found is None:
        with tree.changing():
            found = find()
    return found


def _directory(tree: Tree, identity: Identity) -> DirNode | None:
    upper = tree.layers.upper
    if identity.is_upper and upper is not None and upper.has_made(identity):
        node = from_upper_handle(tree, identity.real)
        if node is not None and node.identity == identity:
            return node
    entry = tree.index.find(identity)
    if entry == GONE:
        return None
    if isinstance(entry, DirectoryEntry):
        node = _from_entry(tree, entry)
        if node is not None:
            return node
    if identity.is_upper:
        return None
    opened = tree.open_origin(identity, DIR_FLAGS)
    return None if opened is None else from_lower(tree, *opened)


def _from_entry(tree: Tree, entry: DirectoryEntry) -> DirNode | None:
    """Return the directory an index entry leads to; None when it leads nowhere.

    It does so after a crash between entry and directory: the lower directory
    then is where it always was.
    """
    node = None
    if entry.upper is not None:
        node = from_upper_handle(tree, entry.upper)
    if node is None and entry.path is not None:
        node = _walk(tree, tree.root, components(entry.path))
    if node is None and entry.lower is not None:
        node = _directory(tree, entry.lower)
    return node


def from_upper_handle(tree: Tree, real: RealHandle) -> DirNode | None:
    """Return the merged directory of an upper one by its kernel handle; None if that is gone."""
    upper = tree.layers.upper
    fd = None if upper is None else upper.open_handle(real, DIR_FLAGS)
    return None if fd is None else from_upper(tree, fd)


def from_upper(tree: Tree, fd: Fd) -> DirNode | None:
    """Return the merged directory that an upper directory belongs to.

    None if it has no name any more.
    """
    st = os.fstat(fd)
    while st.st_nlink:
        path = tree.upper_path(fd)
        if path is None:
            return _from_above(tree, fd) if short_path(fd) is None else None
        node = _walk(tree, tree.root, components(path))
        if (
            node is not None
            and node.upper is not None
            and os.path.samestat(st, os.fstat(node.upper))
        ):
            return node
        if path == tree.upper_path(fd):
            return None  # else it was renamed during the walk
    return None


def _from_above(tree: Tree, fd: Fd) -> DirNode | None:
    """Return it for a long path: by way of the nearest directory above that is at hand."""
    names: list[bytes] = []
    node: DirNode | None = None
    here = fd
    while node is None:
        directory = above(here)
        if os.path.samestat(os.fstat(directory), os.fstat(here)):
            return None  # the root of the mount: it is not in the upper layer
        names.append(name_in(directory, here))
        node = _at_hand(tree, directory)
        if node is None and short_path(directory) is not None:
            node = from_upper(tree, directory)
            if node is None:
                return None
        here = directory
    found = _walk(tree, node, reversed(names))
    if found is None or found.upper is None:
        return None
    return found if os.path.samestat(os.fstat(fd), os.fstat(found.upper)) else None


def _at_hand(tree: Tree, fd: Fd) -> DirNode | None:
    """Return the merged directory of an upper one, if it is known without a walk."""
    upper = tree.layers.upper
    assert upper is not None
    mark, st = xattrs.get(fd, xattrs.FH), os.fstat(fd)
    identity = upper.identity(fd, st, is_dir=True) if mark is None else Identity.unpack(mark)
    node = None if identity is None else tree.cached(tree.signer.encode(identity))
    if isinstance(node, DirNode) and node.upper is not None:
        return node if os.path.samestat(st, os.fstat(node.upper)) else None
    return None


def _walk(tree: Tree, start: DirNode, names: Iterable[bytes]) -> DirNode | None:
    node: Node | None = start
    for name in names:
        node = lookup(tree, node, name) if isinstance(node, DirNode) else None
    return node if isinstance(node, DirNode) else None


class _Step(NamedTuple):
    """A directory of a lower layer on the way down to another.

    It is not kept open: a way may have more of them than a process may have descriptors.
    """

    name: bytes
    real: os.stat_result
    own: Identity  # of the directory itself
    origin: Identity  # of a merged directory that it is in: of what is at the bottom below it


def from_lower(tree: Tree, layer: Layer, fd: Fd) -> DirNode | None:
    """Return the merged directory whose stack has this directory of a lower layer.

    One that is at hand, else from the nearest ancestor that is known, or else from the root,
    down by names: an ancestor may have been renamed, by the upper layer or by a lower one, or
    removed after what is below it was moved away.
    """
    at_hand = _lower_at_hand(tree, layer, fd)
    if at_hand is not None:
        return at_hand
    path = layer.path_of(fd)
    if path.count(b"/") > _DEEP:
        found = _below_known(tree, layer, fd, path.rpartition(b"/")[2])
        if found is not None:
            return found
    steps = _way_down(tree, layer, components(path))
    if steps is None:
        return None
    start: DirNode = tree.root
    for position in reversed(range(len(steps))):
        entry = tree.index.find(steps[position].origin)
        if entry == GONE:
            return None
        known = _known(tree, steps[position], entry)
        if known is not None:
            start, steps = known, steps[position + 1 :]
            break
    node: Node | None = start
    for step in steps:
        node = lookup(tree, node, step.name) if isinstance(node, DirNode) else None
        if not isinstance(node, DirNode) or not _has(node.lowers, step.real):
            return None
    return node if isinstance(node, DirNode) else None


def _below_known(tree: Tree, layer: Layer, fd: Fd, name: bytes) -> DirNode | None:
    """Return what `from_lower` does, if the directory that holds this one is at hand."""
    node = _lower_at_hand(tree, layer, above(fd))
    found = None if node is None else lookup(tree, node, name)
    return found if isinstance(found, DirNode) and _has(found.lowers, os.fstat(fd)) else None


def _lower_at_hand(tree: Tree, layer: Layer, fd: Fd) -> DirNode | None:
    """Return the merged directory that has a lower one at its bottom, if it is at hand."""
    node = tree.cached(tree.signer.encode(LowerDir(layer, fd).identity()))
    return node if isinstance(node, DirNode) and _has(node.lowers, os.fstat(fd)) else None


def _way_down(tree: Tree, layer: Layer, names: list[bytes]) -> list[_Step] | None:
    """Return the steps by `names` in a layer; None where it has them no more.

    What merges with a directory from its layer down depends on its path there alone.
    """
    roots = tree.root.lowers
    stack = roots[[one.layer for one in roots].index(layer) :]
    steps: list[_Step] = []
    for name in names:
        below = find_lower(tree, stack, name)
        if isinstance(below, LowerFile) or not below or below[0].layer is not layer:
            return None
        stack = below
        own = stack[0].identity()
        origin = own if len(stack) == 1 else stack[-1].identity()
        steps.append(_Step(name, os.fstat(stack[0].fd), own, origin))
    return steps


def _known(tree: Tree, step: _Step, entry: Entry | None) -> DirNode | None:
    """Return the merged directory that the index leads to from one on the way."""
    if not _is_lead(entry, step.own) and step.own != step.origin:
        entry = tree.index.find(step.own)
    if not isinstance(entry, DirectoryEntry) or not _is_lead(entry, step.own):
        return None
    node = _from_entry(tree, entry)
    return node if node is not None and _has(node.lowers, step.real) else None


def _is_lead(entry: Entry | None, own: Identity) -> bool:
    """Return whether an entry leads to another directory than the one that names lead to anyway."""
    if not isinstance(entry, DirectoryEntry):
        return False
    return entry.upper is not None or entry.lower not in (None, own)


def _has(stack: tuple[LowerDir, ...], st: os.stat_result) -> bool:
    return any(os.path.samestat(st, os.fstat(lower.fd)) for lower in stack)


def _above(tree: Tree, upper: Fd) -> DirNode | None:
    """Return the directory that holds an upper one."""
    return from_upper(tree, above(upper))


def parent_of(tree: Tree, node: DirNode) -> DirNode:
    """Return the directory that holds a directory; the root holds itself.

    Raises ESTALE when it was removed meanwhile.
    """
    if node is tree.root or node.handle == tree.root.handle:
        return tree.root
    found: Node | None
    if node.upper is not None:
        found = _find_locked_if_gone(tree, partial(_above, tree, node.upper))
    else:
        assert node.dentry is not None
        found = resolve(tree, node.dentry.parent)
    if not isinstance(found, DirNode):
        raise error(errno.ESTALE)
    return found
