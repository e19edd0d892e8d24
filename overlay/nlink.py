"""How many names an object has in the merged tree.

A copied-up inode has one link more than clients may see (the index entry), and
fewer while names of it still are the lower layer's.  The count is therefore
kept in `overlay.nlink` as the kernel keeps it: as an offset to the link count
of the upper inode (`U+1`) or of the lower inode (`L-2`).

Rule: before an operation that changes how many names there are, the offset is
to the upper inode, whose own count then changes in the same instant as the
name does.  Before one that gives a lower name an upper link, and so changes no
count, it is to the lower inode.  So the count is right after a crash at any
moment, and an object is gone exactly when it is zero.
"""

from __future__ import annotations

import os
import re
from typing import Final

from index import xattrs
from index.fd import Fd
from index.identity import Identity
from overlay.node import FileNode
from overlay.tree import Tree

_INDEX_LINK: Final = 1
INITIAL: Final = b"L+0"
_FORM: Final = re.compile(rb"[UL][+-]\d+")


def count(tree: Tree, identity: Identity, fd: Fd, st: os.stat_result) -> int:
    """The overlay link count of an indexed upper inode; 0 when the object is gone."""
    if identity.is_upper:
        return st.st_nlink - _INDEX_LINK
    value = xattrs.get(fd, xattrs.NLINK) or b""
    if _FORM.fullmatch(value) is None:
        return st.st_nlink - _INDEX_LINK
    base = st.st_nlink if value.startswith(b"U") else lower_nlink(tree, identity)
    return base + int(value[1:])


def kernel_count(fd: Fd, upper: os.stat_result, lower: os.stat_result) -> int:
    """The link count of an upper inode that the kernel's overlayfs copied up."""
    value = xattrs.get(fd, xattrs.NLINK) or b""
    if _FORM.fullmatch(value) is None:
        return upper.st_nlink
    return (upper if value.startswith(b"U") else lower).st_nlink + int(value[1:])


def is_upper_only(node: FileNode) -> bool:
    """Whether each name of a copied-up file is a link of its upper inode."""
    return node.nlink_adjust == -_INDEX_LINK


def relate_to_upper(node: FileNode) -> None:
    """Prepare for an operation that makes or removes a name of `node`."""
    if not node.identity.is_upper:
        _write(node.fd, b"U%+d" % node.nlink_adjust)


def relate_to_lower(tree: Tree, node: FileNode) -> None:
    """Prepare for giving a lower name of `node` its upper link."""
    visible = os.fstat(node.fd).st_nlink + node.nlink_adjust
    _write(node.fd, b"L%+d" % (visible - lower_nlink(tree, node.identity)))


def _write(fd: Fd, value: bytes) -> None:
    if xattrs.get(fd, xattrs.NLINK) != value:
        xattrs.put(fd, xattrs.NLINK, value)


def lower_nlink(tree: Tree, identity: Identity) -> int:
    """The link count of the lower inode that an object comes from; 1 when that is gone."""
    opened = tree.open_origin(identity, os.O_PATH)
    return 1 if opened is None or identity.is_by_path else os.fstat(opened[1]).st_nlink
