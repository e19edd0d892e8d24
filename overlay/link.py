"""Making another name for an object (RFC 1813 section 3.3.15)."""

from __future__ import annotations

import errno

from index.syscalls import link_fd, rename
from overlay import nlink
from overlay.adopt import mark_if_impure
from overlay.attributes import Change
from overlay.copy_up import copy_up_data, copy_up_file
from overlay.copy_up_dir import copy_up_dir
from overlay.credentials import Credentials
from overlay.decode import resolve
from overlay.errors import Overtaken, error
from overlay.lookup import lookup
from overlay.names import (
    TRIES,
    check_new_name,
    has_whiteout,
    refreshed,
    renamed,
    require_writable,
    take_back,
    upper_of,
)
from overlay.node import DirNode, FileNode, Node
from overlay.protection import require_changeable
from overlay.redirect import has_redirect
from overlay.tree import Tree


def link(tree: Tree, node: Node, parent: DirNode, name: bytes, cred: Credentials) -> Change:
    """Give a non-directory the further name `name` in `parent`; returns the parent's change.

    Raises EPERM for a directory (as link(2) does), EEXIST for a name in use.
    """
    check_new_name(name)
    if isinstance(node, DirNode):
        raise error(errno.EPERM)
    for _ in range(TRIES):
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
        parent = copy_up_dir(tree, parent)
        copied = copy_up_file(tree, now)
        if not _is_ready(copied):
            copy_up_data(tree, copied)
    raise Overtaken


def _is_ready(node: FileNode) -> bool:
    """Whether a further name leads to the object with all that it has, wherever that is."""
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
