"""Making another name for an object (RFC 1813 section 3.3.15)."""

from __future__ import annotations

import errno

from index.syscalls import link_fd, rename
from overlay import nlink, permission
from overlay.attributes import Change
from overlay.copy_up import copy_up_file, mark_impure
from overlay.credentials import Credentials
from overlay.decode import resolve
from overlay.errors import error
from overlay.lookup import lookup
from overlay.names import (
    check_new_name,
    has_whiteout,
    refreshed,
    renamed,
    upper_of,
    writable_parent,
)
from overlay.node import DirNode, FileNode, Node
from overlay.tree import Tree


def link(tree: Tree, node: Node, parent: DirNode, name: bytes, cred: Credentials) -> Change:
    """Give a non-directory the further name `name` in `parent`; returns the parent's change.

    Raises EPERM for a directory (as link(2) does), EEXIST for a name in use.
    """
    check_new_name(name)
    if isinstance(node, DirNode):
        raise error(errno.EPERM)
    permission.require(tree, parent, cred, permission.WRITE | permission.EXECUTE)
    if lookup(tree, parent, name) is not None:
        raise error(errno.EEXIST)
    parent = writable_parent(tree, parent, cred)
    copied = copy_up_file(tree, node)
    with tree.changing():
        parent = refreshed(tree, parent)
        if lookup(tree, parent, name) is not None:
            raise error(errno.EEXIST)
        before = tree.attributes(parent)
        now = resolve(tree, copied.handle)
        assert isinstance(now, FileNode)
        tree.attributes(now)  # raises ESTALE if the last name went meanwhile
        _link(tree, now, parent, name)
        tree.changed_attributes(now.fileid)
        return renamed(tree, parent, name, before, now)


def _link(tree: Tree, node: FileNode, parent: DirNode, name: bytes) -> None:
    upper = upper_of(parent)
    if not node.identity.is_upper:
        nlink.relate_to_upper(node)
        mark_impure(tree, upper)
    if has_whiteout(parent, name):
        aside = tree.workdir.new_name()
        link_fd(node.fd, tree.workdir.staging, aside)
        rename(tree.workdir.staging, aside, upper, name)
    else:
        link_fd(node.fd, upper, name)
