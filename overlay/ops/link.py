"""Making another name for an object (RFC 1813 section 3.3.15)."""

from __future__ import annotations

import errno

from index.linux.syscalls import link_fd, rename
from overlay.base.credentials import Credentials
from overlay.base.errors import error
from overlay.lookup import nlink
from overlay.lookup.adopt import mark_if_impure
from overlay.lookup.lookup import lookup
from overlay.lookup.redirect import has_redirect
from overlay.lookup.resolve import resolve
from overlay.model.attributes import Change
from overlay.model.node import DirNode, FileNode, Node
from overlay.model.outcomes import BeginAgain
from overlay.model.protection import require_changeable
from overlay.model.tree import Tree
from overlay.ops.common import (
    check_new_name,
    has_whiteout,
    refreshed,
    renamed,
    require_writable,
    take_back,
    upper_of,
)
from overlay.ops.copy_up import copy_up_data, copy_up_file
from overlay.ops.copy_up_dir import copy_up_dir


def link(tree: Tree, node: Node, parent: DirNode, name: bytes, cred: Credentials) -> Change:
    """Give a non-directory the further name `name` in `parent`; returns the parent's change.

    Raises EPERM for a directory (as link(2) does), EEXIST for a name in use.
    """
    check_new_name(name)
    if isinstance(node, DirNode):
        raise error(errno.EPERM)
    with tree.changing():
        parent = refreshed(tree, parent)
        before = require_writable(tree, parent, cred)
        if lookup(tree, parent, name) is not None:
            raise error(errno.EEXIST)
        now = resolve(tree, node.handle)
        assert isinstance(now, FileNode)
        tree.attributes(now)  # raises ESTALE if the last name went meanwhile
        require_changeable(tree, now)
        if parent.upper is not None and _is_ready(now):
            try:
                _link(tree, now, parent, name)
            except OSError:
                take_back(tree, parent, name)
                raise
            finally:
                tree.changed_attributes(now.fileid)
            return renamed(tree, parent, name, before, now)
    copy_up_dir(tree, parent)
    copied = copy_up_file(tree, now)
    if not _is_ready(copied):
        copy_up_data(tree, copied)
    raise BeginAgain


def _is_ready(node: FileNode) -> bool:
    """Return whether a further name leads to the object with all that it has, wherever that is."""
    return node.is_upper and (not node.is_metacopy or has_redirect(node))


def _link(tree: Tree, node: FileNode, parent: DirNode, name: bytes) -> None:
    upper = upper_of(parent)
    if not node.identity.is_upper:
        nlink.relate_to_upper(tree, node)
    mark_if_impure(tree, upper, node.identity)
    if has_whiteout(parent, name):
        aside = tree.workdir.new_name()
        link_fd(node.fd, tree.workdir.staging, aside)
        rename(tree.workdir.staging, aside, upper, name)
    else:
        link_fd(node.fd, upper, name)
