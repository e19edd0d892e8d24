"""Who may do what: one pure function on attributes, ACL and credentials.

The operation is then done with the server's own rights, as overlayfs does, so
the answer is the same before and after copy-up.  The rules are those of
inode_permission() and posix_acl_permission() in Linux, with NFSv3's customs on
top (RFC 1813 section 4.4): a file's owner may always read and write its data,
because the client checked at open, and what may be executed may be read.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from index import xattrs
from overlay.base.credentials import Credentials
from overlay.base.errors import error
from overlay.model.acl import ACCESS_ACL, GROUP, GROUP_OBJ, MASK, OTHER, USER, Acl, parse_acl
from overlay.model.attributes import Attributes
from overlay.model.node import Node
from overlay.model.tree import Tree

READ: Final = os.R_OK
WRITE: Final = os.W_OK
EXECUTE: Final = os.X_OK

# Sets of READ, WRITE and EXECUTE bits: a request is granted that one set grants as a whole.
Rights = tuple[int, ...]


def granted(mode: int, uid: int, gid: int, acl: Acl | None, cred: Credentials) -> Rights:
    """Return what `cred` may do with an inode.

    There are several sets only where several groups of an ACL are the caller's.
    `acl` is the inode's access ACL, None where the mode bits say it all.
    """
    if cred.is_root:
        executable = stat.S_ISDIR(mode) or mode & 0o111
        return (READ | WRITE | (EXECUTE if executable else 0),)
    if cred.uid == uid:
        return (mode >> 6 & 7,)
    if acl is not None and mode & stat.S_IRWXG:  # else the mask grants nothing: not looked at
        return _granted_by_acl(acl, gid, cred)
    return (mode >> 3 & 7 if cred.in_group(gid) else mode & 7,)


def permits(rights: Rights, wanted: int) -> bool:
    """Return whether all the `wanted` bits are granted together."""
    return any(wanted & ~each == 0 for each in rights)


def _granted_by_acl(acl: Acl, gid: int, cred: Credentials) -> Rights:
    mask = next((entry.perm for entry in acl if entry.tag == MASK), 7)
    other = 0
    groups = []
    for entry in acl:
        if entry.tag == USER and entry.id == cred.uid:
            return (entry.perm & mask,)
        if (entry.tag == GROUP_OBJ and cred.in_group(gid)) or (
            entry.tag == GROUP and cred.in_group(entry.id)
        ):
            groups.append(entry.perm & mask)
        if entry.tag == OTHER:
            other = entry.perm
    return tuple(groups) or (other,)


def access_acl(tree: Tree, node: Node) -> Acl | None:
    """Return the access ACL of an object, None where it has none; cached as its attributes are."""
    generation = tree.attribute_counters.of(node.identity.fileid)
    cached = node.cached_acl
    if cached is not None and cached[0] == generation:
        return cached[1]
    acl = read_acl(node, ACCESS_ACL)
    node.cached_acl = generation, acl
    return acl


def read_acl(node: Node, name: bytes) -> Acl | None:
    """Return the ACL in an attribute of an object, None where it has none."""
    if stat.S_ISLNK(node.type):
        return None
    value = xattrs.get(node.real, name)
    return None if value is None else parse_acl(value)


def rights(tree: Tree, node: Node, attributes: Attributes, cred: Credentials) -> Rights:
    """Return what `cred` may do with an object now."""
    acl = None
    if not cred.is_root and cred.uid != attributes.uid:
        acl = access_acl(tree, node)
    return granted(attributes.mode, attributes.uid, attributes.gid, acl, cred)


def require(tree: Tree, node: Node, cred: Credentials, wanted: int) -> Attributes:
    """Raise EACCES unless `cred` has all the `wanted` bits; returns the attributes checked."""
    attributes = tree.attributes(node)
    if not permits(rights(tree, node, attributes, cred), wanted):
        raise error(errno.EACCES)
    return attributes


def require_data(tree: Tree, node: Node, cred: Credentials, wanted: int) -> Attributes:
    """Do as `require`, with NFSv3's customs for a file's data."""
    attributes = tree.attributes(node)
    if cred.uid == attributes.uid:
        return attributes
    held = rights(tree, node, attributes, cred)
    if permits(held, wanted) or (wanted == READ and permits(held, EXECUTE)):
        return attributes
    raise error(errno.EACCES)


def require_unsticky(parent: Attributes, victim: Attributes, cred: Credentials) -> None:
    """Raise EPERM if the directory's sticky bit keeps `cred` from removing the entry."""
    if parent.mode & stat.S_ISVTX and not cred.is_root and cred.uid not in (victim.uid, parent.uid):
        raise error(errno.EPERM)
