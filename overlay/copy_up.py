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
import stat
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Final, NamedTuple

from index import xattrs
from index.entries import GONE, UpperInode
from index.fd import Fd, open_path
from index.handles import handle_of, pack_real
from index.identity import Identity
from index.syscalls import link_fd
from index.xattrs import NoRoomError
from overlay import nlink
from overlay.adopt import mark_impure
from overlay.blocking import may_block
from overlay.completion import complete_data, length_of, looked_at_again, space_of
from overlay.copy_up_dir import copy_up_dir, put_origin, require_upper, times_kept
from overlay.counts import Kind, copying
from overlay.decode import resolve
from overlay.errors import error
from overlay.lookup import indexed_file, is_entry_of
from overlay.metacopy import place_of
from overlay.node import DirNode, FileNode, Node, Place, directory
from overlay.place import find_place
from overlay.redirect import lower_path
from overlay.search import LowerFile, find_lower
from overlay.transfer import copy_data, copy_metadata
from overlay.tree import Tree

_SMALL: Final = 1 << 20  # bytes of data
_TRIES: Final = 10  # to find somebody else's work done; after that it never will be


class _Name(NamedTuple):
    """A lower name, and its directory in the upper layer."""

    parent: DirNode
    name: bytes


def copy_up(tree: Tree, node: Node) -> Node:
    """The node of `node` in the upper layer, copied there first if need be, without its data.

    May block.  Raises ESTALE if the object is gone, EROFS without an upper
    layer, ENOSPC or EDQUOT when the upper layer is full.
    """
    return copy_up_dir(tree, node) if isinstance(node, DirNode) else copy_up_file(tree, node)


def copy_up_file(tree: Tree, node: FileNode) -> FileNode:
    """As `copy_up`, for anything but a directory.

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
    """As `copy_up_file`, with the data; only so much of it as truncating to `size` leaves.

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
    """One step towards that: the job that is under way may be somebody else's."""
    data = data or not tree.kernel.makes_metacopies
    require_upper(tree)
    may_block()
    place = node.place or find_place(tree, node)
    is_quick = not data or _is_small(tree, node)
    work = partial(_copy_file, tree, node, place, data, size)
    tree.copy_ups.do(node.fileid, work, is_quick=is_quick)
    copied = _file(resolve(tree, node.handle))
    if place is None or not copied.is_upper or nlink.is_upper_only(copied):
        return copied
    return link_up(tree, copied, place)


def _is_small(tree: Tree, node: FileNode) -> bool:
    """Whether to copy the data takes less time than to give it to a thread and to wait for that."""
    return tree.attributes(node).size <= _SMALL


def _file(node: Node) -> FileNode:
    if isinstance(node, DirNode):
        raise error(errno.ESTALE)
    return node


def _copy_file(
    tree: Tree, node: FileNode, place: Place | None, data: bool, size: int | None
) -> None:
    if _is_indexed(tree, node.identity):
        return  # another process was faster
    where = None if place is None else _in_upper(tree, place)
    with tree.changing():  # or a directory on the way might be moved meanwhile
        path = None if where is None else lower_path(tree, where.parent, where.name)
    is_regular = stat.S_ISREG(node.mode)
    lower = None
    if not data and is_regular and where is not None:
        # The kernel finds the data of a metacopy by path alone.
        lower = _lower_file(tree, node, where)
    if lower is not None:
        with copying(Kind.METADATA), _promised(tree, 0), suppress(NoRoomError):
            _make_copy(tree, node, where, path, data_place=place_of(lower), size=None)
            return
    length, space = (length_of(node.fd, size), space_of(node, size)) if is_regular else (0, 0)
    with copying(Kind.DATA, length), _promised(tree, space):
        _make_copy(tree, node, where, path, data_place=None, size=size)


def _promised(tree: Tree, space: int) -> AbstractContextManager[None]:
    """What to hold while a copy is made that takes so much, where the upper layer has limits."""
    return nullcontext() if tree.budget is None else tree.budget.making(space)


def _make_copy(
    tree: Tree,
    node: FileNode,
    where: _Name | None,
    path: bytes | None,
    *,
    data_place: bytes | None,
    size: int | None,
) -> None:
    """Make the copy, to be called `where`; by `data_place` its data stays at `path` below."""
    if stat.S_ISREG(node.mode):
        copy = Fd(os.open(b".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=tree.workdir.staging))
        origin = _fill(tree, node, copy, path, data_place=data_place, size=size)
        _commit(tree, node, copy, origin, where, None, size)
        return
    name = tree.workdir.new_name_apart()
    try:
        copy = _make_aside(tree, node, name)
        origin = _fill(tree, node, copy, path, data_place=None, size=None)
        _commit(tree, node, copy, origin, where, name, None)
    finally:
        tree.workdir.discard_apart(name)


def _fill(
    tree: Tree,
    node: FileNode,
    copy: Fd,
    path: bytes | None,
    *,
    data_place: bytes | None,
    size: int | None,
) -> bytes | None:
    """Give an inode that nobody sees yet all that the object has; returns its `origin`."""
    is_regular = stat.S_ISREG(node.mode)
    if data_place is not None:
        os.truncate(copy, os.fstat(node.fd).st_size)
    elif is_regular and size != 0:
        with tree.reserve.left():
            copy_data(node.reader(), copy, size)
    had = copy_metadata(node.fd, copy)
    origin = _mark_copy(tree, node, copy, path, data_place)
    if size is not None:
        os.utime(copy, ns=(had.st_atime_ns, time.time_ns()))  # cutting it is a change
    if is_regular and data_place is None:
        with tree.copy_ups.waiting():
            os.fsync(copy)
    return origin


def _mark_copy(
    tree: Tree, node: FileNode, copy: Fd, path: bytes | None, data_place: bytes | None
) -> bytes | None:
    """Write on a copy what it is, for the kernel and for the index; returns its `origin`."""
    if data_place is not None and path is not None:
        tree.kernel.put(copy, xattrs.REDIRECT, path)
        tree.kernel.put(copy, xattrs.METACOPY, b"")
        xattrs.put(copy, xattrs.DATA, data_place)
    origin = put_origin(tree, copy, node.layer.origin(node.fd))
    values = {
        xattrs.FH: node.identity.pack(),
        xattrs.UPPER: pack_real(handle_of(copy)),
        xattrs.NLINK: nlink.INITIAL,
        xattrs.LINKS: b"%d" % nlink.names_of(node.identity, os.fstat(node.fd)),
    }
    for key, value in values.items():
        tree.index.marks.put(copy, key, value)
    if path is not None and data_place is None:
        tree.index.put_lower_path(copy, path)
    return origin


def _is_indexed(tree: Tree, identity: Identity) -> bool:
    """Whether a file has its upper inode; raises ESTALE if it is gone."""
    entry = tree.index.find(identity)
    if entry == GONE:
        raise error(errno.ESTALE)
    return isinstance(entry, UpperInode) and is_entry_of(tree, entry, identity)


def _commit(
    tree: Tree,
    node: FileNode,
    copy: Fd,
    origin: bytes | None,
    where: _Name | None,
    aside: bytes | None,
    size: int | None,
) -> None:
    """Let the copy be the object, and give it its upper name, if one is known.

    The name that it may have `aside` becomes its entry in the index.  A copy that was cut
    has changed by then, so that to lack its upper name is no failure.
    """
    with tree.changing():
        if _is_indexed(tree, node.identity):
            return  # taken over from the kernel meanwhile (overlay.adopt)
        try:
            _enter(tree, node, copy, origin, aside)
            if where is not None and _is_name_of(tree, node, where):
                name_it = partial(_link_name, tree, copy, where)
                if size is None:
                    name_it()
                else:
                    tree.workdir.finish(name_it)
        finally:
            tree.changed_object(node.fileid)
        made = indexed_file(tree, node.identity, UpperInode(copy, os.fstat(copy)), node.place)
        if made is not None and stat.S_ISREG(made.mode) and not made.is_metacopy:
            made.opened_for_both(copy)


def _enter(tree: Tree, node: FileNode, copy: Fd, origin: bytes | None, aside: bytes | None) -> None:
    """Enter a copy into the index; that of a lower inode with several names in the kernel's too."""
    # A mount fails where an entry does not say itself what its origin is.
    if os.fstat(node.fd).st_nlink <= 1 or tree.kernel.get(copy, xattrs.ORIGIN) is None:
        origin = None
    if origin is not None:
        tree.kernel_index.enter(origin, copy)
    try:
        tree.index.commit(node.identity, copy, aside)
    except OSError:
        if origin is not None:
            tree.workdir.finish(partial(tree.kernel_index.remove, origin))
        raise
    if tree.budget is not None:
        tree.budget.gained(os.fstat(copy))


def _in_upper(tree: Tree, place: Place) -> _Name | None:
    """The name with its directory copied up; None if that was removed meanwhile."""
    try:
        return _Name(copy_up_dir(tree, directory(resolve(tree, place.parent))), place.name)
    except OSError as problem:
        if problem.errno != errno.ESTALE:
            raise
        return None


def _make_aside(tree: Tree, node: FileNode, name: bytes) -> Fd:
    """An inode of the same type, not that of a regular file, called `name` in `staging/`."""
    staging = tree.workdir.staging
    if stat.S_ISLNK(node.mode):
        os.symlink(os.readlink(b"", dir_fd=node.fd), name, dir_fd=staging)
    else:
        os.mknod(name, stat.S_IFMT(node.mode) | 0o600, os.fstat(node.fd).st_rdev, dir_fd=staging)
    return open_path(staging, name)


def link_up(tree: Tree, node: FileNode, place: Place) -> FileNode:
    """Give a copied-up file the upper link for one of its lower names, if it lacks it.

    Nothing that clients see changes, the parent's times included.
    """
    where = _in_upper(tree, place)
    if where is None:
        return node  # the name went with it
    with tree.changing():
        if not _is_name_of(tree, node, where):
            return node  # renamed or removed meanwhile: it has its names
        node = current_file(tree, node)
        try:
            nlink.relate_to_lower(tree, node)
            _link_name(tree, node.fd, where)
        finally:
            tree.changed_object(node.identity.fileid)
        return current_file(tree, node, place)


def _is_name_of(tree: Tree, node: FileNode, where: _Name) -> bool:
    """Whether the lower layers have the file under a name, in a directory that is still there."""
    return _lower_file(tree, node, where) is not None and not _is_removed(where.parent)


def _lower_file(tree: Tree, node: FileNode, where: _Name) -> LowerFile | None:
    """The file as the lower layers have it under a name, if they do."""
    below = find_lower(tree, where.parent.lowers, where.name)
    return below if isinstance(below, LowerFile) and is_same_lower(node, below) else None


def _link_name(tree: Tree, fd: Fd, where: _Name) -> None:
    """Make the upper link for a lower name, of an inode whose link count is related to the lower.

    What the upper directory has under the name, be it a whiteout, stays.
    """
    with times_kept(tree, where.parent) as upper:
        tree.index.note_path(fd, tree.upper_path_in(upper, where.name))
        mark_impure(tree, upper)
        with suppress(FileExistsError):
            link_fd(fd, upper, where.name)


def _is_removed(node: DirNode) -> bool:
    """Whether a directory of the upper layer has lost its name."""
    assert node.upper is not None
    return not os.fstat(node.upper).st_nlink


def is_same_lower(node: FileNode, below: LowerFile) -> bool:
    """Whether the lower inode found by name is the origin of `node`."""
    return below.identity() == node.identity


def current_file(tree: Tree, node: FileNode, place: Place | None = None) -> FileNode:
    """The node of the same indexed file with its link count as it is now."""
    entry = tree.index.find(node.identity)
    found = None
    if isinstance(entry, UpperInode):
        found = indexed_file(tree, node.identity, entry, place or node.place)
    if found is None:
        raise error(errno.ESTALE)
    return found
