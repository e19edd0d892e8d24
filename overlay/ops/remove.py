"""Removing names (RFC 1813 sections 3.3.12 and 3.3.13).

What a lower layer has under the name is hidden by a whiteout, in the same
instant in which the upper name goes.  When an object that comes from a lower
inode loses its last name, the index remembers for ever that its handles are
stale.
"""

from __future__ import annotations

import errno
import os
from functools import partial

from index.linux.syscalls import RENAME_EXCHANGE, rename
from overlay.base.credentials import Credentials
from overlay.base.errors import error
from overlay.model.attributes import Change
from overlay.model.node import DirNode
from overlay.model.outcomes import BeginAgain
from overlay.model.tree import Tree
from overlay.ops.common import (
    check_old_name,
    existing,
    has_lower,
    is_empty,
    is_removable,
    lose_directory,
    lose_name,
    make_removable,
    put_whiteout,
    refreshed,
    renamed,
    require_removable,
    require_writable,
    upper_of,
)
from overlay.ops.copy_up_dir import copy_up_dir


def remove(tree: Tree, parent: DirNode, name: bytes, cred: Credentials) -> Change:
    """Remove a non-directory's name; returns the parent's change.

    Raises EISDIR for a directory, EPERM where the sticky bit forbids it.
    """
    check_old_name(name)
    with tree.changing():
        parent = refreshed(tree, parent)
        before = require_writable(tree, parent, cred)
        node = existing(tree, parent, name)
        if isinstance(node, DirNode):
            raise error(errno.EISDIR)
        require_removable(tree, parent, node, cred)
        if parent.upper is not None and is_removable(parent, name, node):
            lose_name(tree, parent, name, node, partial(_take_name, tree, parent, name))
            return renamed(tree, parent, name, before, None)
    parent = copy_up_dir(tree, parent)
    make_removable(tree, parent, name, node)
    raise BeginAgain


def _take_name(tree: Tree, parent: DirNode, name: bytes) -> None:
    if has_lower(tree, parent, name):
        put_whiteout(tree, parent, name)
    else:
        os.unlink(name, dir_fd=upper_of(parent))


def rmdir(tree: Tree, parent: DirNode, name: bytes, cred: Credentials) -> Change:
    """Remove an empty directory; returns the parent's change.

    Raises ENOTDIR, ENOTEMPTY, or EPERM where the sticky bit forbids it.
    """
    check_old_name(name)
    with tree.changing():
        parent = refreshed(tree, parent)
        before = require_writable(tree, parent, cred)
        node = existing(tree, parent, name)
        if not isinstance(node, DirNode):
            raise error(errno.ENOTDIR)
        require_removable(tree, parent, node, cred)
        if parent.upper is not None:
            take = partial(_remove_directory, tree, parent, name, node)
            lose_directory(tree, parent, name, node, take)
            return renamed(tree, parent, name, before, None)
        _require_empty(tree, node)  # a refusal writes nothing
    copy_up_dir(tree, parent)
    raise BeginAgain


def _require_empty(tree: Tree, node: DirNode) -> None:
    if not is_empty(tree, node):
        raise error(errno.ENOTEMPTY)


def _remove_directory(tree: Tree, parent: DirNode, name: bytes, node: DirNode) -> None:
    hides = has_lower(tree, parent, name)
    if not hides and not node.lowers and _is_removed(parent, name):
        return
    _require_empty(tree, node)
    if node.upper is None:
        put_whiteout(tree, parent, name)
        return
    workdir, upper = tree.workdir, upper_of(parent)
    if hides:
        aside = workdir.new_whiteout()
        rename(workdir.staging, aside, upper, name, RENAME_EXCHANGE)
    else:
        aside = workdir.new_name()
        rename(upper, name, workdir.staging, aside)
    tree.changed_object(node.fileid)  # before the whiteouts in it go
    workdir.finish_discarding(aside)


def _is_removed(parent: DirNode, name: bytes) -> bool:
    """Remove an upper directory, unless there is something in it, be it a whiteout."""
    try:
        os.rmdir(name, dir_fd=upper_of(parent))
    except OSError as problem:
        if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True
