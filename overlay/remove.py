"""Removing names (RFC 1813 sections 3.3.12 and 3.3.13).

What a lower layer has under the name is hidden by a whiteout, in the same
instant in which the upper name goes.  When an object that comes from a lower
inode loses its last name, the index remembers for ever that its handles are
stale.
"""

from __future__ import annotations

import errno
import os

from index.syscalls import RENAME_EXCHANGE, rename
from overlay import permission
from overlay.attributes import Change
from overlay.credentials import Credentials
from overlay.errors import error
from overlay.names import (
    check_old_name,
    clear_whiteouts,
    existing,
    has_lower,
    is_empty,
    is_removable,
    losing_directory,
    losing_name,
    make_removable,
    put_whiteout,
    refreshed,
    renamed,
    upper_of,
    writable_parent,
)
from overlay.node import DirNode
from overlay.tree import Tree


def remove(tree: Tree, parent: DirNode, name: bytes, cred: Credentials) -> Change:
    """Remove a non-directory's name; returns the parent's change.

    Raises EISDIR for a directory, EPERM where the sticky bit forbids it.
    """
    check_old_name(name)
    permission.require(tree, parent, cred, permission.WRITE | permission.EXECUTE)
    node = existing(tree, parent, name)
    if isinstance(node, DirNode):
        raise error(errno.EISDIR)
    permission.require_unsticky(tree.attributes(parent), tree.attributes(node), cred)
    parent = writable_parent(tree, parent, cred)
    make_removable(tree, parent, name, node)
    with tree.changing():
        parent = refreshed(tree, parent)
        node = existing(tree, parent, name)
        if isinstance(node, DirNode) or not is_removable(parent, name, node):
            raise error(errno.EAGAIN)  # another took its place just now
        before = tree.attributes(parent)
        with losing_name(tree, parent, name, node):
            if has_lower(tree, parent, name):
                put_whiteout(tree, parent, name)
            else:
                os.unlink(name, dir_fd=upper_of(parent))
        return renamed(tree, parent, name, before, None)


def rmdir(tree: Tree, parent: DirNode, name: bytes, cred: Credentials) -> Change:
    """Remove an empty directory; returns the parent's change.

    Raises ENOTDIR, ENOTEMPTY, or EPERM where the sticky bit forbids it.
    """
    check_old_name(name)
    permission.require(tree, parent, cred, permission.WRITE | permission.EXECUTE)
    _removable_directory(tree, parent, name, cred)  # a refusal writes nothing
    parent = writable_parent(tree, parent, cred)
    with tree.changing():
        parent = refreshed(tree, parent)
        node = _removable_directory(tree, parent, name, cred)
        before = tree.attributes(parent)
        with losing_directory(tree, parent, name, node):
            _remove_directory(tree, parent, name, node)
        return renamed(tree, parent, name, before, None)


def _removable_directory(tree: Tree, parent: DirNode, name: bytes, cred: Credentials) -> DirNode:
    node = existing(tree, parent, name)
    if not isinstance(node, DirNode):
        raise error(errno.ENOTDIR)
    permission.require_unsticky(tree.attributes(parent), tree.attributes(node), cred)
    if not is_empty(tree, node):
        raise error(errno.ENOTEMPTY)
    return node


def _remove_directory(tree: Tree, parent: DirNode, name: bytes, node: DirNode) -> None:
    hides = has_lower(tree, parent, name)
    if node.upper is None:
        put_whiteout(tree, parent, name)
        return
    clear_whiteouts(tree, node)
    if not hides:
        os.rmdir(name, dir_fd=upper_of(parent))
        return
    workdir = tree.workdir
    aside = workdir.new_whiteout()
    rename(workdir.staging, aside, upper_of(parent), name, RENAME_EXCHANGE)
    os.rmdir(aside, dir_fd=workdir.staging)
