"""What the verbs that change names have in common.

Each verb takes the namespace lock, looks, checks permission, acts, and bumps the
counters of what it changed.  Where something has to be copied up first, it lets
go of the lock, copies (which may block, and changes nothing that clients see)
and begins again.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from index import xattrs
from index.linux.fd import Fd, is_whiteout, open_dir, open_path
from index.linux.syscalls import RENAME_EXCHANGE, rename, set_fs_ids
from overlay.base.credentials import Credentials
from overlay.base.errors import error
from overlay.lookup import nlink
from overlay.lookup.lookup import lookup
from overlay.lookup.lower import find_lower, is_xattr_whiteout
from overlay.lookup.resolve import current, resolve
from overlay.model import permission, protection
from overlay.model.attributes import Attributes, Change
from overlay.model.node import Dentry, DirNode, FileNode, Node, directory
from overlay.model.outcomes import BeginAgain
from overlay.model.tree import Tree
from overlay.ops.copy_up import copy_up_file, current_file, link_up
from overlay.ops.last_name import take_last_name

T = TypeVar("T")
NAME_MAX: Final = 255
_TRIES: Final = 10  # after so many another was always faster: the client is to ask again
_SPECIAL: Final = (b".", b"..")
_SLASH: Final = ord("/")


@dataclass(slots=True, init=False)
class Created:
    """A new object and what making it did to its parent."""

    node: Final[Node]
    parent: Final[Change]

    def __init__(self, node: Node, parent: Change) -> None:  # quicker (overlay.model.attributes)
        self.node = node
        self.parent = parent


def by_name(tree: Tree, verb: Callable[[], T], *nodes: Node) -> T:
    """Return what a verb returns that changes names of these objects, or in these directories.

    It begins again if what it has found is gone, or is another's, when it has the namespace lock,
    and when it had to copy something up.
    """
    for _ in range(_TRIES):
        try:
            return verb()
        except OSError as problem:
            if problem.errno != errno.ESTALE and not isinstance(problem, BeginAgain):
                raise
        for node in nodes:
            tree.attributes(current(tree, node))  # raises ESTALE if it is this that is gone
    raise BeginAgain


def check_name(name: bytes) -> None:
    """Raise EINVAL for what cannot be a name, ENAMETOOLONG for one of over 255 bytes."""
    if not name or _SLASH in name or 0 in name:  # to look for a number takes a tenth of the time
        raise error(errno.EINVAL)
    if len(name) > NAME_MAX:
        raise error(errno.ENAMETOOLONG)


def check_new_name(name: bytes) -> None:
    """Do as `check_name`, and EEXIST for `.` and `..`."""
    check_name(name)
    if name in _SPECIAL:
        raise error(errno.EEXIST)


def check_old_name(name: bytes) -> None:
    """Do as `check_name`, and EINVAL for `.` and `..`, which cannot be removed or renamed."""
    check_name(name)
    if name in _SPECIAL:
        raise error(errno.EINVAL)


def upper_of(node: DirNode) -> Fd:
    """Return the upper directory of one that was copied up."""
    assert node.upper is not None
    return node.upper


def require_writable(tree: Tree, parent: DirNode, cred: Credentials) -> Attributes:
    """Return the attributes of a directory in which `cred` may make names.

    Raises EACCES or EPERM.
    """
    attributes = permission.require(tree, parent, cred, permission.WRITE | permission.EXECUTE)
    protection.require_growable(tree, parent)
    return attributes


def require_removable(tree: Tree, directory: DirNode, victim: Node, cred: Credentials) -> None:
    """Raise EPERM if a directory's sticky bit, or protection, keeps `cred` from removing a name."""
    protection.require_removable(tree, directory, victim)
    parent = tree.attributes(directory)
    if parent.mode & stat.S_ISVTX:
        permission.require_unsticky(parent, tree.attributes(victim), cred)


def existing(tree: Tree, parent: DirNode, name: bytes) -> Node:
    """Return the object called `name`; raises ENOENT."""
    node = lookup(tree, parent, name)
    if node is None:
        raise error(errno.ENOENT)
    return node


class AsUser:
    """While an object is created as its user would, so that owner, group and quota are right."""

    __slots__ = ("_gid", "_uid")

    def __init__(self, cred: Credentials) -> None:
        self._uid = cred.uid
        self._gid = cred.gid

    def __enter__(self) -> None:
        if self._uid or self._gid:
            set_fs_ids(self._uid, self._gid)

    def __exit__(self, *_: object) -> None:
        if self._uid or self._gid:
            set_fs_ids(0, 0)


def has_lower(tree: Tree, parent: DirNode, name: bytes) -> bool:
    """Return whether removing the upper `name` would lay bare a lower one."""
    return bool(find_lower(tree, parent.lowers, name)) if parent.lowers else False


def covered_by(parent: DirNode, name: bytes) -> os.stat_result | None:
    """Return what the upper directory itself has as `name`, whiteouts included."""
    try:
        return os.stat(name, dir_fd=upper_of(parent), follow_symlinks=False)
    except FileNotFoundError:
        return None


def has_whiteout(parent: DirNode, name: bytes) -> bool:
    """Return whether the upper directory has a whiteout called `name`."""
    st = covered_by(parent, name)
    return st is not None and is_whiteout(st)


def put_whiteout(tree: Tree, parent: DirNode, name: bytes) -> None:
    """Hide the lower `name`, replacing in the same instant what non-directory the upper has."""
    whiteout = tree.workdir.new_whiteout()
    rename(tree.workdir.staging, whiteout, upper_of(parent), name)


def take_back(tree: Tree, parent: DirNode, name: bytes) -> None:
    """Undo what a failed change has made in a copied-up directory, under a name that was nobody's.

    The namespace lock has been held all the time.
    """
    tree.workdir.finish(partial(_clear_name, tree, parent, name))
    tree.changed_name(parent, name, None)
    tree.attribute_counters.bump_with(tree.listing_counters, parent.fileid)


def _clear_name(tree: Tree, parent: DirNode, name: bytes) -> None:
    st = covered_by(parent, name)
    if st is None or is_whiteout(st):
        return
    workdir, upper = tree.workdir, upper_of(parent)
    if has_lower(tree, parent, name):
        aside = workdir.new_whiteout()
        rename(workdir.staging, aside, upper, name, RENAME_EXCHANGE)
    else:
        aside = workdir.new_name()
        rename(upper, name, workdir.staging, aside)
    workdir.finish_discarding(aside)


def is_removable(parent: DirNode, name: bytes, node: FileNode) -> bool:
    """Return whether one system call can take `name` from the object.

    It can if the upper directory has the name as a link of the object, or if
    the object is a lower inode with no other name.
    """
    if not node.is_upper:
        return os.fstat(node.fd).st_nlink + node.nlink_adjust == 1
    return node.identity.is_upper or covered_by(parent, name) is not None


def make_removable(tree: Tree, parent: DirNode, name: bytes, node: FileNode) -> None:
    """Bring about `is_removable`, which changes nothing that clients see.  May block."""
    if is_removable(parent, name, node):
        return
    dentry = Dentry(parent.handle, name)
    if tree.budget is None:
        link_up(tree, copy_up_file(tree, node), dentry)
        return
    with tree.budget.emptying():
        link_up(tree, copy_up_file(tree, node), dentry)


def lose_name(
    tree: Tree, parent: DirNode, name: bytes, node: FileNode, take: Callable[[], None]
) -> None:
    """Let `take`, one system call, take `name` from a removable non-directory.

    A crash on either side of the call leaves the object either whole or gone
    (overlay.ops.last_name, overlay.lookup.nlink).
    """
    if node.is_upper:
        if tree.attributes(node).nlink <= 1 and nlink.has_more(tree, node):
            node = current_file(tree, node)
        nlink.relate_to_upper(tree, node)
        if tree.attributes(node).nlink > 1:
            try:
                take()
            finally:
                tree.changed_attributes(node.fileid)
            return
    take_last_name(tree, node, upper_of(parent), name, take)
    tree.gone(node)


def lose_directory(
    tree: Tree, parent: DirNode, name: bytes, node: DirNode, take: Callable[[], None]
) -> None:
    """Do as `lose_name`, for an empty directory."""
    take_last_name(tree, node, upper_of(parent), name, take)
    tree.gone(node)


def is_empty(tree: Tree, node: DirNode) -> bool:
    """Return whether a merged directory shows no entries: whiteouts do not count."""
    hidden: set[bytes] = set()
    stack = [] if node.upper is None else [(node.upper, False)]
    stack += [(lower.fd, lower.xwhiteouts) for lower in node.lowers]
    for real, xwhiteouts in stack:
        for raw in os.listdir(open_dir(real, b".")):
            name = os.fsencode(raw)
            if name in hidden:
                continue
            fd = open_path(real, name)
            st = os.fstat(fd)
            if not is_whiteout(st) and not (xwhiteouts and is_xattr_whiteout(tree, fd, st)):
                return False
            hidden.add(name)
    return True


def clear_whiteouts(tree: Tree, node: DirNode) -> None:
    """Empty the upper directory of a merged directory that shows no entries.

    It is made opaque first, so that it goes on showing none.
    """
    fd = open_dir(upper_of(node), b".")
    whiteouts = os.listdir(fd)
    if not whiteouts:
        return
    try:
        tree.put_attribute(fd, xattrs.OPAQUE, b"y")
    finally:
        tree.changed_object(node.fileid)  # before what hid the lower entries goes
    for name in whiteouts:
        os.unlink(name, dir_fd=fd)


def renamed(
    tree: Tree, parent: DirNode, name: bytes, before: Attributes, now: Node | None
) -> Change:
    """Return the change of a directory in which `name` is now this object, or nothing."""
    tree.changed_name(parent, name, now)
    return listing_changed(tree, parent, before)


def listing_changed(tree: Tree, parent: DirNode, before: Attributes) -> Change:
    """Return the change of a directory of which names were changed."""
    after = tree.changed_listing(parent)
    if tree.budget is not None:
        tree.budget.grew(after.used - before.used)
    return Change(before, after)


def unchanged(tree: Tree, node: DirNode) -> Change:
    """Return the change of a directory that an operation left as it was."""
    attributes = tree.attributes(node)
    return Change(attributes, attributes)


def refreshed(tree: Tree, node: DirNode) -> DirNode:
    """Return the directory as it is now; raises ESTALE when it was removed meanwhile."""
    return node if tree.is_true(node) else directory(resolve(tree, node.handle))


def mode_of_new(parent: Attributes, mode: int, cred: Credentials) -> int:
    """Return a new file's permission bits: setgid is not for those outside the parent's group."""
    if (
        mode & (stat.S_ISGID | stat.S_IXGRP) == stat.S_ISGID | stat.S_IXGRP
        and parent.mode & stat.S_ISGID
        and not cred.is_root
        and not cred.in_group(parent.gid)
    ):
        mode &= ~stat.S_ISGID
    return mode
