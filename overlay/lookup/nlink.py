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

While the server is stopped a lower inode may get more links, of which an offset to the
upper inode does not know: `links` says how many were counted.  No count is below the
number of names in the upper layer.
"""

from __future__ import annotations

import os
import re
from typing import Final

from index import xattrs
from index.identity import Identity
from index.linux.fd import Fd
from overlay.model.node import FileNode
from overlay.model.tree import Tree

_INDEX_LINK: Final = 1
INITIAL: Final = b"L+0"
_FORM: Final = re.compile(rb"[UL][+-]\d+")


def count(tree: Tree, identity: Identity, fd: Fd, st: os.stat_result) -> int:
    """Return the overlay link count of an indexed upper inode; 0 when the object is gone."""
    visible = recorded(tree, identity, fd, st)
    if visible < st.st_nlink - _INDEX_LINK:
        return max(visible, _upper_names(tree, fd, st))
    return visible


def recorded(tree: Tree, identity: Identity, fd: Fd, st: os.stat_result) -> int:
    """Return what `overlay.nlink` says of it, be that too few."""
    if identity.is_upper:
        return st.st_nlink - _INDEX_LINK
    value = tree.index.marks.get(fd, xattrs.NLINK) or b""
    if _FORM.fullmatch(value) is None:
        return st.st_nlink - _INDEX_LINK
    base = st.st_nlink if value.startswith(b"U") else _lower_links(tree, identity, fd)
    return base + int(value[1:])


def _lower_links(tree: Tree, identity: Identity, fd: Fd) -> int:
    """Return how many links of the lower inode an offset counts from: the most ever seen.

    A link that it has lost may be one of a name that the upper layer has by now.
    """
    links, counted = lower_nlink(tree, identity), _counted(tree, fd)
    if counted is not None and links > counted:
        tree.index.marks.put(fd, xattrs.LINKS, b"%d" % links)
    return links if counted is None else max(links, counted)


def _counted(tree: Tree, fd: Fd) -> int | None:
    value = tree.index.marks.get(fd, xattrs.LINKS)
    return None if value is None or not value.isdigit() else int(value)


def _upper_names(tree: Tree, fd: Fd, st: os.stat_result) -> int:
    """Return how many names an indexed inode has in the upper layer."""
    origin = tree.kernel.get(fd, xattrs.ORIGIN)
    held = None if origin is None else tree.kernel_index.find(origin)
    in_kernels = held is not None and os.path.samestat(os.fstat(held), st)
    return st.st_nlink - _INDEX_LINK - in_kernels


def _growth(tree: Tree, fd: Fd, links: int) -> int:
    """Return how many links a lower inode has more than were counted."""
    counted = _counted(tree, fd)
    return 0 if counted is None else max(0, links - counted)


def recount(tree: Tree, identity: Identity, fd: Fd, links: int) -> bool:
    """Count the names that an indexed file has got in the lower layers, now that its lower
    inode has `links`; whether there are any.
    """
    if identity.is_upper or not _growth(tree, fd, links):
        return False
    with tree.changing():
        st = os.fstat(fd)
        visible = count(tree, identity, fd, st)
        visible += _growth(tree, fd, links)  # none, if an offset to the lower inode has shown it
        _write(tree, fd, b"U%+d" % (visible - st.st_nlink))
        tree.index.marks.put(fd, xattrs.LINKS, b"%d" % links)  # last: never too few are counted
        tree.changed_object(identity.fileid)
    return True


def kernel_count(tree: Tree, fd: Fd, upper: os.stat_result, lower: os.stat_result) -> int:
    """Return the link count of an upper inode that the kernel's overlayfs copied up."""
    value = xattrs.get(fd, tree.kernel.nlink) or b""
    if _FORM.fullmatch(value) is None:
        return upper.st_nlink
    return (upper if value.startswith(b"U") else lower).st_nlink + int(value[1:])


def has_more(tree: Tree, node: FileNode) -> bool:
    """Count further names that a copied-up file has got, and return whether there are any."""
    identity = node.identity
    return not identity.is_upper and recount(tree, identity, node.fd, lower_nlink(tree, identity))


def is_upper_only(node: FileNode) -> bool:
    """Return whether each name of a copied-up file is a link of its upper inode."""
    return node.nlink_adjust == -_INDEX_LINK


def relate_to_upper(tree: Tree, node: FileNode) -> None:
    """Prepare for an operation that makes or removes a name of `node`."""
    if not node.identity.is_upper:
        _write(tree, node.fd, b"U%+d" % node.nlink_adjust)


def relate_to_lower(tree: Tree, node: FileNode) -> None:
    """Prepare for giving a lower name of `node` its upper link."""
    visible = os.fstat(node.fd).st_nlink + node.nlink_adjust
    _write(tree, node.fd, b"L%+d" % (visible - _lower_links(tree, node.identity, node.fd)))


def _write(tree: Tree, fd: Fd, value: bytes) -> None:
    marks = tree.index.marks
    if marks.get(fd, xattrs.NLINK) != value:
        marks.put(fd, xattrs.NLINK, value)


def lower_nlink(tree: Tree, identity: Identity) -> int:
    """Return the link count of the lower inode that an object comes from; 1 when that is gone."""
    opened = tree.open_origin(identity, os.O_PATH)
    return 1 if opened is None else names_of(identity, os.fstat(opened[1]))


def names_of(identity: Identity, lower: os.stat_result) -> int:
    """Return how many names the lower inode gives an object that comes from it.

    Known by its path, each name of an inode is an object of its own.
    """
    return 1 if identity.is_by_path else lower.st_nlink
