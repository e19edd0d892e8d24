"""Bringing a lower directory into the upper layer, before its first change.

It cannot be linked as a file is (overlay.ops.copy_up): it is made aside, entered into the
index and renamed into place, after all the directories that it lies in.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from index import xattrs
from index.linux.fd import Fd, open_dir
from index.linux.file_handle import handle_of, pack_real
from index.linux.syscalls import RENAME_NOREPLACE, rename
from overlay.base.copy_inode import copy_metadata, set_times
from overlay.base.errors import error
from overlay.lookup.adopt import enter_dir, mark_impure
from overlay.lookup.lookup import lookup
from overlay.lookup.resolve import current, resolve
from overlay.model.copy_up_counts import Kind, copying
from overlay.model.node import DirNode, directory
from overlay.model.protection import copy_protection
from overlay.model.tree import Tree


def require_upper(tree: Tree) -> None:
    """Raise EROFS when there is nowhere to write to."""
    if tree.layers.upper is None:
        raise error(errno.EROFS)


def copy_up_dir(tree: Tree, node: DirNode) -> DirNode:
    """Return the node of a directory with an upper directory, made if there is none yet."""
    if node.upper is not None:
        return node
    require_upper(tree)
    missing = [node]
    while True:
        dentry = missing[-1].dentry
        assert dentry is not None
        parent = directory(resolve(tree, dentry.parent))
        if parent.upper is not None:
            break
        missing.append(parent)
    for lower in reversed(missing):
        with tree.changing():  # of each anew: there may be thousands
            parent = _copied_dir(tree, directory(current(tree, parent)), lower)
    return parent


def _copied_dir(tree: Tree, parent: DirNode, node: DirNode) -> DirNode:
    """Return a directory with its upper one, given the one that holds it."""
    node = directory(current(tree, node))
    if node.upper is not None:
        return node
    assert node.dentry is not None
    if parent.handle != node.dentry.parent:
        raise error(errno.ESTALE)
    with copying(Kind.DIRECTORY):
        _copy_dir(tree, parent, node)
    # Found anew by its name, as by its handle it would be walked to from the root.
    copied = lookup(tree, parent, node.dentry.name)
    if copied is None or copied.handle != node.handle:
        copied = resolve(tree, node.handle)
    return directory(copied)


def _copy_dir(tree: Tree, parent: DirNode, node: DirNode) -> None:
    assert node.dentry is not None
    if parent.upper is None:
        raise error(errno.ESTALE)
    workdir = tree.workdir
    name = workdir.new_name()
    try:
        os.mkdir(name, 0o700, dir_fd=workdir.staging)
        copy = open_dir(workdir.staging, name)
        top = node.lowers[0]
        copy_metadata(top.fd, os.fstat(top.fd), copy)
        copy_protection(tree, node, copy)
        put_origin(tree, copy, top.layer.origin(top.fd), is_open=True)
        marks = tree.index.marks
        marks.put(copy, xattrs.UPPER, pack_real(handle_of(copy)))
        # By this it is known again, should it not get its name (overlay.startup.recover).
        marks.put(copy, xattrs.FH, node.identity.pack())
        path = tree.upper_path_in(parent.upper, node.dentry.name)
        enter_dir(tree, node.identity, copy, node.lowers[-1], path)
        with restored_times(tree, parent, os.fstat(parent.upper)) as upper:
            mark_impure(tree, upper)
            rename(workdir.staging, name, upper, node.dentry.name, RENAME_NOREPLACE)
    finally:
        tree.changed_object(node.identity.fileid)
    if tree.budget is not None:
        tree.budget.gained(os.fstat(copy))


@contextmanager
def restored_times(tree: Tree, parent: DirNode, had: os.stat_result) -> Iterator[Fd]:
    """Restore a directory's access and modification times after a change clients must not see."""
    assert parent.upper is not None
    restore = partial(set_times, parent.upper, had)
    try:
        yield parent.upper
    finally:
        tree.workdir.finish(restore)
        tree.changed_attributes(parent.fileid)


def put_origin(tree: Tree, copy: Fd, value: bytes | None, *, is_open: bool = False) -> bytes | None:
    """Say for the kernel which lower inode was copied up; returns what is said.

    Without room it is left out: a kernel mount then shows the number of the upper inode.
    `is_open`: as for `xattrs.put`.
    """
    if value is not None:
        with suppress(xattrs.NoXattrSpaceError):
            tree.kernel.put(copy, xattrs.ORIGIN, value, is_open=is_open)
            return value
    return None
