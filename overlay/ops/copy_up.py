"""Bringing a lower object into the upper layer, before its first change.

A non-directory is made aside, whole and on stable storage, and becomes the
object by one link into the index: the commit point.  Its upper name is linked
after that, where a name is known; until then lookups find the object through
the index.  The handle, the number and the times that clients see stay what they
were.
"""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Final, NamedTuple

from index import xattrs
from index.identity import Identity
from index.index import GONE, UpperInode
from index.linux.fd import Fd
from index.linux.syscalls import link_fd
from index.xattrs import NoXattrSpaceError
from overlay.base.blocking import may_block
from overlay.base.errors import error
from overlay.base.generations import last_change
from overlay.lookup import nlink
from overlay.lookup.adopt import mark_impure
from overlay.lookup.lookup import indexed_file, is_entry_of
from overlay.lookup.lower import LowerFile, find_lower
from overlay.lookup.lower_name import find_dentry
from overlay.lookup.metacopy import data_location_of
from overlay.lookup.redirect import lower_path
from overlay.lookup.resolve import resolve
from overlay.model.copy_up_counts import Kind, copying
from overlay.model.node import Dentry, DirNode, FileNode, Node, directory
from overlay.model.tree import Tree
from overlay.ops.complete_metacopy import complete_data, length_of, looked_at_again, space_of
from overlay.ops.copy_up_dir import copy_up_dir, require_upper, restored_times
from overlay.ops.file_copy import Copy, Wanted, fill, make_aside, make_nameless, wanted_of

_SMALL: Final = 1 << 20  # bytes of data
_TRIES: Final = 10  # to find somebody else's work done; after that it never will be


class _Name(NamedTuple):
    """A lower name, and its directory in the upper layer."""

    parent: DirNode
    name: bytes
    is_sure: bool = False  # that the lower layers have the file by it: it was found by it


def copy_up(tree: Tree, node: Node) -> Node:
    """Return the node of `node` in the upper layer, copied there if need be, without its data.

    May block.  Raises ESTALE if the object is gone, EROFS without an upper
    layer, ENOSPC or EDQUOT when the upper layer is full.
    """
    return copy_up_dir(tree, node) if isinstance(node, DirNode) else copy_up_file(tree, node)


def copy_up_file(tree: Tree, node: FileNode) -> FileNode:
    """Do as `copy_up`, for anything but a directory.

    A regular file becomes a metacopy, unless the overlay is to have none: owner, mode, times
    and attributes are in the upper layer, the data stays in the lower one until it is first
    written.
    """
    for _ in range(_TRIES):
        if node.is_upper:
            return node
        node = _copied_up(tree, node, data=False, size=None)
    raise error(errno.EIO)


def copy_up_data(tree: Tree, node: FileNode, *, size: int | None = None) -> FileNode:
    """Do as `copy_up_file`, with the data; only so much of it as truncating to `size` leaves.

    That is then the file's size already.
    """
    if size is not None and size >= tree.attributes(node).size:
        size = None
    for _ in range(_TRIES):
        if node.is_upper and not node.is_metacopy:
            return node
        if node.is_upper:
            may_block()
            work = partial(complete_data, tree, node.handle, size)
            tree.copy_ups.do(node.fileid, work, is_quick=_is_small(tree, node))
            node = _file(looked_at_again(tree, node))
        else:
            # A metacopy is made first, so that copying up changes nothing that clients see.
            node = _copied_up(tree, node, data=size is None, size=size)
    raise error(errno.EIO)


def _copied_up(tree: Tree, node: FileNode, *, data: bool, size: int | None) -> FileNode:
    """Do one step of that: the job that is under way may be another thread's."""
    data = data or not tree.kernel.makes_metacopies
    require_upper(tree)
    may_block()
    dentry = node.dentry or find_dentry(tree, node)
    is_quick = not data or _is_small(tree, node)
    work = partial(_copy_file, tree, node, dentry, data, size)
    tree.copy_ups.do(node.fileid, work, is_quick=is_quick)
    copied = _file(resolve(tree, node.handle))
    if dentry is None or not copied.is_upper or nlink.is_upper_only(copied):
        return copied
    return link_up(tree, copied, dentry)


def _is_small(tree: Tree, node: FileNode) -> bool:
    """Return whether copying the data takes less time than to give it to a thread and wait."""
    return tree.attributes(node).size <= _SMALL


def _file(node: Node) -> FileNode:
    if isinstance(node, DirNode):
        raise error(errno.ESTALE)
    return node


def _copy_file(
    tree: Tree, node: FileNode, dentry: Dentry | None, data: bool, size: int | None
) -> None:
    # What a process has done that died before it told anybody is met under the namespace lock.
    if not tree.is_true(node) and _is_indexed(tree, node.identity):
        return  # another process was faster
    where = None if dentry is None else _in_upper(tree, dentry, is_sure=dentry is node.dentry)
    with tree.changing():  # or a directory on the way might be moved meanwhile
        path = None if where is None else lower_path(tree, where.parent, where.name)
    wanted = wanted_of(node, path, size)
    lower = None
    if not data and wanted.is_regular and where is not None:
        # The kernel finds the data of a metacopy by path alone.
        lower = _lower_file(tree, node, where)
    if lower is not None:
        wanted = wanted._replace(size=None, location=data_location_of(lower))
        with copying(Kind.METADATA), _promised(tree, 0), suppress(NoXattrSpaceError):
            _make_copy(tree, wanted, where)
            return
        wanted = wanted._replace(size=size, location=None)
    length, space = 0, 0
    if wanted.is_regular:
        length = length_of(wanted.st, size)
        space = space_of(wanted.data, length)
    with copying(Kind.DATA, length), _promised(tree, space):
        _make_copy(tree, wanted, where)


def _promised(tree: Tree, space: int) -> AbstractContextManager[None]:
    """Return what to hold while a copy is made that takes so much, where there are limits."""
    return nullcontext() if tree.budget is None else tree.budget.making(space)


def _make_copy(tree: Tree, wanted: Wanted, where: _Name | None) -> None:
    """Make the copy, to be called `where`."""
    if wanted.is_regular:
        copy = make_nameless(tree, wanted.st.st_mode)
        _commit(tree, wanted, fill(tree, wanted, copy), where, None)
        return
    name = tree.workdir.new_name_apart()
    try:
        copy = make_aside(tree, wanted, name)
        _commit(tree, wanted, fill(tree, wanted, copy), where, name)
    finally:
        tree.workdir.discard_apart(name)


def _is_indexed(tree: Tree, identity: Identity) -> bool:
    """Return whether a file has its upper inode; raises ESTALE if it is gone."""
    entry = tree.index.find(identity)
    if entry == GONE:
        raise error(errno.ESTALE)
    return isinstance(entry, UpperInode) and is_entry_of(tree, entry, identity)


def _commit(
    tree: Tree, wanted: Wanted, copy: Copy, where: _Name | None, aside: bytes | None
) -> None:
    """Let the copy be the object, and give it its upper name, if one is known.

    The name that it may have `aside` becomes its entry in the index.  A copy that was cut
    has changed by then, so that to lack its upper name is no failure.
    """
    node = wanted.node
    with tree.changing():
        if _is_indexed(tree, node.identity):
            return  # by one that died, or taken over from the kernel (overlay.lookup.adopt)
        try:
            _enter(tree, wanted, copy, aside)
            if where is not None and (where.is_sure or _is_name_of(tree, node, where)):
                name_it = partial(_link_name, tree, copy.fd, where, is_open=wanted.is_regular)
                if wanted.size is None:
                    name_it()
                else:
                    tree.workdir.finish(name_it)
        finally:
            tree.changed_object(node.fileid)
        _add_node(tree, wanted, copy)


def _add_node(tree: Tree, wanted: Wanted, copy: Copy) -> None:
    """Keep at hand what was just made; the namespace lock is held."""
    node, upper = wanted.node, tree.layers.upper
    if upper is None or not wanted.is_regular or wanted.location is not None:
        indexed_file(tree, node.identity, copy.fd, node.dentry, visible=copy.names)
        return
    generation, last = tree.object_counters.of(node.fileid), last_change()
    st = os.fstat(copy.fd)
    adjust = copy.names - st.st_nlink
    made = tree.add_file(
        node.identity,
        generation,
        upper,
        copy.fd,
        st.st_mode,
        nlink_adjust=adjust,
        dentry=node.dentry,
    )
    made.opened_for_both(copy.fd)
    tree.learn(made, st, last)


def _enter(tree: Tree, wanted: Wanted, copy: Copy, aside: bytes | None) -> None:
    """Enter a copy into the index; that of a lower inode with several names in the kernel's too."""
    # A mount fails where an entry does not say itself what its origin is.
    origin = None
    if wanted.st.st_nlink > 1 and tree.kernel.get(copy.fd, xattrs.ORIGIN) is not None:
        origin = copy.origin
    if origin is not None:
        tree.kernel_index.enter(origin, copy.fd)
    try:
        tree.index.commit(wanted.node.identity, copy.fd, aside)
    except OSError:
        if origin is not None:
            tree.workdir.finish(partial(tree.kernel_index.remove, origin))
        raise
    if tree.budget is not None:
        tree.budget.gained(os.fstat(copy.fd))


def _in_upper(tree: Tree, dentry: Dentry, *, is_sure: bool = False) -> _Name | None:
    """Return the name with its directory copied up; None if that was removed meanwhile."""
    try:
        parent = copy_up_dir(tree, directory(resolve(tree, dentry.parent)))
        return _Name(parent, dentry.name, is_sure and bool(parent.lowers))
    except OSError as problem:
        if problem.errno != errno.ESTALE:
            raise
        return None


def link_up(tree: Tree, node: FileNode, dentry: Dentry) -> FileNode:
    """Give a copied-up file the upper link for one of its lower names, if it lacks it.

    Nothing that clients see changes, the parent's times included.
    """
    where = _in_upper(tree, dentry)
    if where is None:
        return node  # the name went with it
    with tree.changing():
        if not _is_name_of(tree, node, where) or _is_removed(where.parent):
            return node  # renamed or removed meanwhile: it has its names
        node = current_file(tree, node)
        try:
            nlink.relate_to_lower(tree, node)
            _link_name(tree, node.fd, where)
        finally:
            tree.changed_object(node.identity.fileid)
        return current_file(tree, node, dentry)


def _is_name_of(tree: Tree, node: FileNode, where: _Name) -> bool:
    """Return whether the lower layers have the file under a name."""
    return _lower_file(tree, node, where) is not None


def _lower_file(tree: Tree, node: FileNode, where: _Name) -> LowerFile | None:
    """Return the file as the lower layers have it under a name, if they do."""
    below = find_lower(tree, where.parent.lowers, where.name)
    return below if isinstance(below, LowerFile) and is_same_lower(node, below) else None


def _link_name(tree: Tree, fd: Fd, where: _Name, *, is_open: bool = False) -> None:
    """Make the upper link for a lower name, of an inode whose link count is related to the lower.

    What the upper directory has under the name, be it a whiteout, stays.  One that was removed
    meanwhile gets none.  `is_open`: as for `xattrs.put`.
    """
    parent = where.parent
    assert parent.upper is not None
    st = os.fstat(parent.upper)
    if not st.st_nlink:
        return
    with restored_times(tree, parent, st) as upper:
        path = tree.upper_path_in(upper, where.name)
        tree.index.note_path(fd, path, is_open=is_open)
        if not parent.is_impure:
            mark_impure(tree, upper)
            parent.is_impure = True
        with suppress(FileExistsError):
            link_fd(fd, upper, where.name)


def _is_removed(node: DirNode) -> bool:
    """Return whether a directory of the upper layer has lost its name."""
    assert node.upper is not None
    return not os.fstat(node.upper).st_nlink


def is_same_lower(node: FileNode, below: LowerFile) -> bool:
    """Return whether the lower inode found by name is the origin of `node`."""
    if below.layer is node.layer and not node.identity.is_by_path:
        # It is open, so that no other inode has its number.
        return os.path.samestat(os.fstat(node.fd), below.st)
    return below.identity() == node.identity


def current_file(tree: Tree, node: FileNode, dentry: Dentry | None = None) -> FileNode:
    """Return the node of the same indexed file with its link count as it is now."""
    entry = tree.index.find(node.identity)
    found = None
    if isinstance(entry, UpperInode):
        found = indexed_file(tree, node.identity, entry.fd, dentry or node.dentry)
    if found is None:
        raise error(errno.ESTALE)
    return found
