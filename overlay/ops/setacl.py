"""Reading and changing the ACLs of objects, as set_posix_acl() in Linux does.

The upper filesystem itself keeps an access ACL and the permission bits in step.
"""

from __future__ import annotations

import errno
import os
import stat

from index import xattrs
from index.xattrs import NoXattrSpaceError
from overlay.base.credentials import Credentials
from overlay.base.errors import error
from overlay.lookup.resolve import resolve
from overlay.model import permission
from overlay.model.acl import ACCESS_ACL, DEFAULT_ACL, Acl, acl_of_mode, pack_acl
from overlay.model.attributes import Attributes
from overlay.model.node import FileNode, Node
from overlay.model.protection import require_changeable
from overlay.model.tree import Tree
from overlay.ops.copy_up import copy_up, copy_up_data


def get_acls(tree: Tree, node: Node) -> tuple[Acl, Acl]:
    """Return the access ACL, or what stands for it in the mode; and the default ACL, or nothing."""
    access = permission.access_acl(tree, node)
    default = permission.read_acl(node, DEFAULT_ACL) if node.is_dir else None
    return access or acl_of_mode(tree.attributes(node).mode), default or ()


def set_acls(
    tree: Tree, node: Node, cred: Credentials, access: Acl | None, default: Acl | None
) -> None:
    """Replace an object's ACLs; `None` leaves one alone, one without entries goes.

    Raises EPERM for anybody but the owner, EINVAL for what is no ACL, EACCES for a
    default ACL of what is no directory, EOPNOTSUPP where there are none.
    """
    if not node.is_dir and not default:
        if access is None:
            return
        default = None  # nothing is what it has
    _check(tree, node, cred, default)
    node = copy_up(tree, node)
    try:
        _set(tree, node, cred, access, default)
    except NoXattrSpaceError:
        if not isinstance(node, FileNode) or not node.is_metacopy:
            raise
        # Then no path to its data has to be on it.
        _set(tree, copy_up_data(tree, node), cred, access, default)


def _set(
    tree: Tree, node: Node, cred: Credentials, access: Acl | None, default: Acl | None
) -> None:
    with tree.changing():
        if not tree.is_true(node):
            node = resolve(tree, node.handle)
        had = _check(tree, node, cred, default)
        at = tree.writers.enter(node.fileid)  # for writes of data meanwhile (overlay.model.sole)
        try:
            if access is not None:
                _without_privilege(node, had, cred)
                _put(tree, node, ACCESS_ACL, access)
            if default is not None:
                _put(tree, node, DEFAULT_ACL, default)
        finally:
            tree.changed_attributes(node.fileid)
            tree.writers.leave(at)


def _check(tree: Tree, node: Node, cred: Credentials, default: Acl | None) -> Attributes:
    """Return the object's attributes, if `cred` may change its ACLs."""
    had = tree.attributes(node)
    if stat.S_ISLNK(had.mode):
        raise error(errno.EOPNOTSUPP)
    if default and not node.is_dir:
        raise error(errno.EACCES)
    if not cred.is_root and cred.uid != had.uid:
        raise error(errno.EPERM)
    require_changeable(tree, node)
    return had


def _put(tree: Tree, node: Node, name: bytes, acl: Acl) -> None:
    if acl:
        tree.put_attribute(node.real, name, pack_acl(acl))
    else:
        xattrs.drop(node.real, name)


def _without_privilege(node: Node, had: Attributes, cred: Credentials) -> None:
    """Clear setgid for a user not in the group (posix_acl_update_mode() in Linux)."""
    if had.mode & stat.S_ISGID and not cred.is_root and not cred.in_group(had.gid):
        os.chmod(node.target, stat.S_IMODE(had.mode) & ~stat.S_ISGID)
