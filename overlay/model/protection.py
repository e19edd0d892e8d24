"""Objects that may not be changed, or only grow: immutable and append-only, as chattr(1) has them.

A lower object has these flags from its inode.  A copy cannot have them, as it could not be
linked, nor get attributes: there the kernel's overlayfs notes them in `protattr`, and
refuses itself what they forbid.  So it is here; flags of an upper inode itself are its
filesystem's affair.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from index import xattrs
from index.linux.fd import Fd
from index.linux.syscalls import (
    EROFS_MAGIC,
    STATX_ATTR_APPEND,
    STATX_ATTR_IMMUTABLE,
    file_attributes,
    filesystem_magic,
)
from overlay.base.errors import error
from overlay.model.attributes import Changes
from overlay.model.node import DirNode, Node
from overlay.model.tree import Tree

NOTHING: Final = 0
IMMUTABLE: Final = 1
APPEND: Final = 2
# In the order in which the kernel writes them.
_LETTERS: Final = {ord("a"): APPEND, ord("i"): IMMUTABLE}


def protection(tree: Tree, node: Node) -> int:
    """IMMUTABLE and APPEND as far as an object is protected; kept with the node."""
    found = node.protection
    if found is None:
        if node.is_upper:
            found = _parse(tree.kernel.get(node.real, xattrs.PROTATTR) or b"")
        else:
            found = _of_inode(node.real)
        node.protection = found
    return found


def _of_inode(fd: Fd) -> int:
    flags = file_attributes(fd)
    if flags and filesystem_magic(fd) == EROFS_MAGIC:
        return NOTHING  # that says of each of its files that nothing can change it, as it is so
    immutable = IMMUTABLE if flags & STATX_ATTR_IMMUTABLE else NOTHING
    return immutable | (APPEND if flags & STATX_ATTR_APPEND else NOTHING)


def _parse(value: bytes) -> int:
    """Return what `protattr` says; the kernel stops at the first letter that it does not know."""
    found = NOTHING
    for letter in value:
        flag = _LETTERS.get(letter)
        if flag is None:
            break
        found |= flag
    return found


def left_of(tree: Tree, node: Node, rights: tuple[int, ...]) -> tuple[int, ...]:
    """Return what protection leaves of rights to an object (overlay.model.permission)."""
    may_write = 0
    for each in rights:
        may_write |= each & os.W_OK
    if not may_write:
        return rights
    found = protection(tree, node)
    if found & IMMUTABLE or (found and not node.is_dir):
        return tuple([each & ~os.W_OK for each in rights])
    return rights


def copy_protection(tree: Tree, node: Node, copy: Fd) -> None:
    """Note on the copy of a lower object what that is protected from."""
    found = protection(tree, node)
    if found:
        letters = [letter for letter, flag in _LETTERS.items() if found & flag]
        tree.kernel.put(copy, xattrs.PROTATTR, bytes(letters))


def require_changeable(tree: Tree, node: Node) -> None:
    """Raise EPERM for an object whose data, names or attributes are protected."""
    if protection(tree, node):
        raise error(errno.EPERM)


def require_settable(tree: Tree, node: Node, changes: Changes) -> None:
    """Raise EPERM for changes that a protected object does not take.

    An append-only one takes the times of just now (may_setattr() in Linux).
    """
    found = protection(tree, node)
    if not found or not changes:
        return
    is_touched = changes.mode is changes.uid is changes.gid is changes.size is None and not (
        isinstance(changes.atime, int) or isinstance(changes.mtime, int)
    )
    if found & IMMUTABLE or not is_touched:
        raise error(errno.EPERM)


def require_growable(tree: Tree, parent: DirNode) -> None:
    """Raise EPERM for a directory that takes no new names."""
    if protection(tree, parent) & IMMUTABLE:
        raise error(errno.EPERM)


def require_removable(tree: Tree, parent: DirNode, victim: Node) -> None:
    """Raise EPERM for a name that may not go, be it for the directory or the object."""
    if protection(tree, parent) or protection(tree, victim):
        raise error(errno.EPERM)
