"""Giving a metacopy its data, before it is first written or cut.

Until its mark goes the lower file's data is what counts, up to the size of the upper
inode.  So the data is copied without touching that size; cutting the file is one system
call, and only then goes the mark.  Whatever fails leaves the metacopy as it was, in size and
times, and without the space that the data had taken.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial

from index import xattrs
from index.linux.fd import Fd
from index.linux.syscalls import punch_hole
from overlay.base.copy_inode import copy_data, set_times
from overlay.lookup.resolve import current, resolve
from overlay.model.copy_up_counts import Kind, copying
from overlay.model.node import FileNode, Node
from overlay.model.tree import Tree


def length_of(st: os.stat_result, size: int | None) -> int:
    """Return how many bytes of a regular file truncating to `size` leaves."""
    return st.st_size if size is None else min(size, st.st_size)


def looked_at_again(tree: Tree, node: Node) -> Node:
    """Return an object whose data was completed, and maybe cut, as it is now.

    The change was made, so a look that fails is no answer; it is taken a second time.
    """
    try:
        return current(tree, node)
    except OSError:
        return current(tree, node)


def space_of(data: os.stat_result, length: int) -> int:
    """Return how many bytes of disk the first `length` bytes of a file's data take."""
    return min(data.st_blocks * 512, length + data.st_blksize)


def complete_data(tree: Tree, handle: bytes, size: int | None) -> None:
    """Give the object of a handle its data, if it is a metacopy, cut to `size`."""
    node = resolve(tree, handle)
    if not isinstance(node, FileNode) or not node.is_metacopy:
        return
    growth: AbstractContextManager[None] = nullcontext()
    length = length_of(os.fstat(node.fd), size)
    if tree.budget is not None:
        data = os.fstat(node.fd if node.data is None else node.data)
        growth = tree.budget.growing(node.fileid, node.fd, space_of(data, length))
    with copying(Kind.DATA, length), growth:
        writer = node.writer()
        st = os.fstat(writer)
        capability = xattrs.get(node.fd, xattrs.CAPABILITY)  # a write clears it
        try:
            _copy(tree, node, writer, st, length_of(st, size), capability)
            _unmark(tree, node, writer, size, st)
        except BaseException:
            _take_back(tree, node, writer, st, capability)
            raise


def _copy(
    tree: Tree,
    node: FileNode,
    writer: Fd,
    st: os.stat_result,
    length: int,
    capability: bytes | None,
) -> None:
    """Copy the data and bring it to the disk; clients see nothing of it."""
    if length:  # what is emptied needs no data, which may be missing
        with tree.reserve.left():
            reader = node.reader()
            copy_data(reader, os.fstat(reader), writer, tree.not_cloned, length)
    if capability is not None:
        xattrs.put(node.fd, xattrs.CAPABILITY, capability)
    set_times(writer, st)
    with tree.copy_ups.waiting():
        tree.sync(writer)


def _unmark(tree: Tree, node: FileNode, writer: Fd, size: int | None, st: os.stat_result) -> None:
    """Let the data of the upper inode count."""
    with tree.changing():
        try:
            if size is not None and size < st.st_size:
                os.truncate(writer, size)
            xattrs.drop(node.fd, xattrs.METACOPY)
            with suppress(OSError):  # it says nothing any more
                xattrs.drop(node.fd, xattrs.DATA)
        finally:
            tree.changed_object(node.fileid)


def _take_back(
    tree: Tree, node: FileNode, writer: Fd, st: os.stat_result, capability: bytes | None
) -> None:
    """Make it the metacopy that it was."""
    finish = tree.workdir.finish
    with tree.changing():
        if os.fstat(writer).st_size != st.st_size:
            finish(partial(_cut, writer, st.st_size))
        finish(partial(punch_hole, writer, st.st_size))
        if capability is not None:
            finish(partial(xattrs.put, node.fd, xattrs.CAPABILITY, capability))
        finish(partial(set_times, writer, st))
        tree.changed_object(node.fileid)


def _cut(fd: Fd, size: int) -> None:
    os.truncate(fd, size)
