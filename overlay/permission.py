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
import struct
from typing import Final, NamedTuple

from index import xattrs
from overlay.attributes import Attributes
from overlay.credentials import Credentials
from overlay.errors import error
from overlay.node import Node
from overlay.tree import Tree

READ: Final = os.R_OK
WRITE: Final = os.W_OK
EXECUTE: Final = os.X_OK

ACCESS_ACL: Final = b"system.posix_acl_access"
DEFAULT_ACL: Final = b"system.posix_acl_default"
_ACL_VERSION: Final = 2
_HEADER: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<HHI")

USER_OBJ: Final = 0x01
USER: Final = 0x02
GROUP_OBJ: Final = 0x04
GROUP: Final = 0x08
MASK: Final = 0x10
OTHER: Final = 0x20


class AclEntry(NamedTuple):
    """One entry of a POSIX ACL."""

    tag: int
    perm: int
    id: int


Acl = tuple[AclEntry, ...]


def parse_acl(value: bytes) -> Acl:
    """The entries in the value of a system.posix_acl_* attribute; raises EINVAL."""
    body = len(value) - _HEADER.size
    if body < 0 or body % _ENTRY.size or _HEADER.unpack_from(value)[0] != _ACL_VERSION:
        raise error(errno.EINVAL)
    return tuple(AclEntry(*entry) for entry in _ENTRY.iter_unpack(value[_HEADER.size :]))


def granted(mode: int, uid: int, gid: int, acl: Acl | None, cred: Credentials) -> int:
    """The READ, WRITE and EXECUTE bits that `cred` has on an inode.

    `acl` is the inode's access ACL, None where the mode bits say it all.
    """
    if cred.is_root:
        executable = stat.S_ISDIR(mode) or mode & 0o111
        return READ | WRITE | (EXECUTE if executable else 0)
    if cred.uid == uid:
        return mode >> 6 & 7
    if acl is not None and mode & stat.S_IRWXG:  # else the mask grants nothing: not looked at
        return _granted_by_acl(acl, gid, cred)
    return mode >> 3 & 7 if cred.in_group(gid) else mode & 7


def _granted_by_acl(acl: Acl, gid: int, cred: Credentials) -> int:
    mask = next((entry.perm for entry in acl if entry.tag == MASK), 7)
    other = 0
    groups = []
    for entry in acl:
        if entry.tag == USER and entry.id == cred.uid:
            return entry.perm & mask
        if (entry.tag == GROUP_OBJ and cred.in_group(gid)) or (
            entry.tag == GROUP and cred.in_group(entry.id)
        ):
            groups.append(entry.perm & mask)
        if entry.tag == OTHER:
            other = entry.perm
    if not groups:
        return other
    # Any matching group that grants all of a request suffices, so a request for
    # one right is granted when any group has it.
    bits = 0
    for perm in groups:
        bits |= perm
    return bits


def access_acl(node: Node) -> Acl | None:
    """The access ACL of an object, None where it has none."""
    if stat.S_ISLNK(node.type):
        return None
    value = xattrs.get(node.real, ACCESS_ACL)
    return None if value is None else parse_acl(value)


def rights(node: Node, attributes: Attributes, cred: Credentials) -> int:
    """The bits that `cred` has on an object now."""
    acl = None
    if not cred.is_root and cred.uid != attributes.uid:
        acl = access_acl(node)
    return granted(attributes.mode, attributes.uid, attributes.gid, acl, cred)


def require(tree: Tree, node: Node, cred: Credentials, wanted: int) -> Attributes:
    """Raise EACCES unless `cred` has all the `wanted` bits; returns the attributes checked."""
    attributes = tree.attributes(node)
    if wanted & ~rights(node, attributes, cred):
        raise error(errno.EACCES)
    return attributes


def require_data(tree: Tree, node: Node, cred: Credentials, wanted: int) -> Attributes:
    """As `require`, with NFSv3's customs for a file's data."""
    attributes = tree.attributes(node)
    if cred.uid == attributes.uid:
        return attributes
    held = rights(node, attributes, cred)
    if wanted == READ and held & EXECUTE:
        held |= READ
    if wanted & ~held:
        raise error(errno.EACCES)
    return attributes


def require_unsticky(parent: Attributes, victim: Attributes, cred: Credentials) -> None:
    """Raise EPERM if the directory's sticky bit keeps `cred` from removing the entry."""
    if parent.mode & stat.S_ISVTX and not cred.is_root and cred.uid not in (victim.uid, parent.uid):
        raise error(errno.EPERM)
