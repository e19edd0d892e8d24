"""Renaming (RFC 1813 section 3.3.14).

The object moves by one rename of its upper inode, which also replaces the
target and, by RENAME_WHITEOUT, hides what a lower layer has under the old
name.  A directory that merges takes a redirect along, which says where its
lower directories are; one that does not is opaque where it could merge.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial

from index import xattrs
from index.linux.fd import Fd
from index.linux.syscalls import RENAME_EXCHANGE, RENAME_WHITEOUT
from index.linux.syscalls import rename as rename_at
from index.paths import holds
from overlay.base.credentials import Credentials
from overlay.base.errors import error
from overlay.lookup.adopt import mark_if_impure
from overlay.lookup.lookup import lookup
from overlay.lookup.redirect import movable, set_redirect
from overlay.lookup.resolve import parent_of
from overlay.model import permission
from overlay.model.attributes import Change
from overlay.model.node import Dentry, DirNode, FileNode, Node
from overlay.model.outcomes import BeginAgain
from overlay.model.tree import Tree
from overlay.ops.common import (
    check_old_name,
    clear_whiteouts,
    existing,
    has_lower,
    has_whiteout,
    is_empty,
    is_removable,
    listing_changed,
    lose_directory,
    lose_name,
    make_removable,
    refreshed,
    require_removable,
    require_writable,
    upper_of,
)
from overlay.ops.copy_up import copy_up_file, link_up
from overlay.ops.copy_up_dir import copy_up_dir


def rename(
    tree: Tree,
    old_dir: DirNode,
    old: bytes,
    new_dir: DirNode,
    new: bytes,
    cred: Credentials,
) -> tuple[Change, Change]:
    """Rename an object; returns the changes of the old and of the new directory.

    Raises EINVAL for a directory moved below itself, EISDIR, ENOTDIR, EEXIST or
    ENOTEMPTY for a target of the wrong kind, EXDEV for a directory that merges where no
    redirects are made.
    """
    check_old_name(old)
    check_old_name(new)
    with tree.changing():
        old_dir, new_dir = refreshed(tree, old_dir), refreshed(tree, new_dir)
        before = require_writable(tree, old_dir, cred), require_writable(tree, new_dir, cred)
        node, target = existing(tree, old_dir, old), lookup(tree, new_dir, new)
        _check(tree, old_dir, node, new_dir, target, cred)
        if target is not None and target.handle == node.handle:
            return Change(before[0], before[0]), Change(before[1], before[1])
        if _is_ready(old_dir, old, node, new_dir, new, target):
            _rename(tree, old_dir, old, node, new_dir, new, target)
            first = listing_changed(tree, old_dir, before[0])
            if new_dir is old_dir:
                return first, first
            return first, listing_changed(tree, new_dir, before[1])
    old_dir, new_dir = copy_up_dir(tree, old_dir), copy_up_dir(tree, new_dir)
    _make_movable(tree, old_dir, old, node)
    if isinstance(target, FileNode):
        make_removable(tree, new_dir, new, target)
    raise BeginAgain


def _check(
    tree: Tree,
    old_dir: DirNode,
    node: Node,
    new_dir: DirNode,
    target: Node | None,
    cred: Credentials,
) -> None:
    """Permission and kinds: what rename(2) checks in the merged tree, in the kernel's order."""
    require_removable(tree, old_dir, node, cred)
    is_elsewhere = old_dir.handle != new_dir.handle
    if node.is_dir and is_elsewhere:
        # Moving a directory elsewhere changes its `..`.
        permission.require(tree, node, cred, permission.WRITE)
    if is_elsewhere and _is_above(tree, node, new_dir):
        raise error(errno.EINVAL)
    if target is not None and target.handle == node.handle:
        return
    if target is not None:
        if is_elsewhere and _is_above(tree, target, old_dir):
            raise error(errno.ENOTEMPTY)
        require_removable(tree, new_dir, target, cred)
        if node.is_dir and not target.is_dir:
            raise error(errno.ENOTDIR)
        if target.is_dir and not node.is_dir:
            raise error(errno.EISDIR)
    if isinstance(node, DirNode) and node.lowers and not tree.kernel.makes_redirects:
        raise error(errno.EXDEV)  # as a mount with redirect_dir=off or userxattr: copy it
    if isinstance(target, DirNode) and not is_empty(tree, target):
        raise error(errno.ENOTEMPTY)


def _make_movable(tree: Tree, parent: DirNode, name: bytes, node: Node) -> None:
    """Give the object an upper inode under its name; changes nothing that clients see."""
    if isinstance(node, DirNode):
        copy_up_dir(tree, node)
    elif not _is_movable(parent, name, node):
        link_up(tree, copy_up_file(tree, node), Dentry(parent.handle, name))


def _is_movable(parent: DirNode, name: bytes, node: Node) -> bool:
    return node.is_upper and (isinstance(node, DirNode) or is_removable(parent, name, node))


def _is_ready(
    old_dir: DirNode, old: bytes, node: Node, new_dir: DirNode, new: bytes, target: Node | None
) -> bool:
    """Return whether all is in the upper layer that one system call is to move or to replace."""
    return (
        old_dir.upper is not None
        and new_dir.upper is not None
        and _is_movable(old_dir, old, node)
        and (not isinstance(target, FileNode) or is_removable(new_dir, new, target))
    )


def _rename(
    tree: Tree,
    old_dir: DirNode,
    old: bytes,
    node: Node,
    new_dir: DirNode,
    new: bytes,
    target: Node | None,
) -> None:
    _prepare(tree, node, old_dir, old, new_dir)
    mark_if_impure(tree, upper_of(new_dir), node.identity)
    if target is None:
        _move(tree, old_dir, old, new_dir, new, node)
    else:
        move = partial(_move, tree, old_dir, old, new_dir, new, node)
        if isinstance(target, FileNode):
            lose_name(tree, new_dir, new, target, move)
        else:
            lose_directory(tree, new_dir, new, target, partial(_replace, tree, target, move))
    if node.is_indexed:
        tree.workdir.finish(partial(_record_path, tree, node, new_dir, new))
    tree.changed_attributes(node.fileid)
    if isinstance(node, DirNode):
        tree.changed_listing(node)  # its `..` is another directory now
    tree.changed_name(old_dir, old, None)
    tree.changed_name(new_dir, new, node)


def _replace(tree: Tree, target: DirNode, move: Callable[[], None]) -> None:
    """Move a directory to the name of an empty one."""
    if target.upper is not None:
        clear_whiteouts(tree, target)
    move()


def _is_above(tree: Tree, node: Node, directory: DirNode) -> bool:
    """Return whether `node` is `directory` or holds it, at whatever depth."""
    if not isinstance(node, DirNode):
        return False
    # What is in the upper layer lies in directories of the upper layer alone.
    while directory.upper is None and directory.handle != tree.root.handle:
        if directory.handle == node.handle:
            return True
        directory = parent_of(tree, directory)
    if directory.upper is None or node.upper is None:
        return False
    return holds(node.upper, directory.upper)


def _prepare(tree: Tree, node: Node, old_dir: DirNode, old: bytes, new_dir: DirNode) -> None:
    """Have what moves say where its lower objects are, or that it has none."""
    if isinstance(node, FileNode):
        if node.is_metacopy:
            set_redirect(tree, node, old_dir, old)
    elif node.lowers:
        set_redirect(tree, node, old_dir, old)
    elif new_dir.lowers:
        with movable():
            tree.put_attribute(upper_of(node), xattrs.OPAQUE, b"y")


def _move(
    tree: Tree, old_dir: DirNode, old: bytes, new_dir: DirNode, new: bytes, node: Node
) -> None:
    source, destination = upper_of(old_dir), upper_of(new_dir)
    hides = has_lower(tree, old_dir, old)
    if node.is_dir and has_whiteout(new_dir, new):
        # A directory cannot replace a whiteout, but it can change places with one.
        rename_at(source, old, destination, new, RENAME_EXCHANGE)
        if not hides:
            tree.workdir.finish(partial(_unlink, source, old))
    else:
        rename_at(source, old, destination, new, RENAME_WHITEOUT if hides else 0)


def _unlink(directory: Fd, name: bytes) -> None:
    os.unlink(name, dir_fd=directory)


def _record_path(tree: Tree, node: Node, new_dir: DirNode, new: bytes) -> None:
    """Note where an indexed object is now; it may lag behind after a crash, `upper` counts."""
    path = tree.upper_path_in(upper_of(new_dir), new)
    if isinstance(node, DirNode):
        tree.index.move_directory(node.identity, path)
    else:
        tree.index.note_path(node.fd, path)
