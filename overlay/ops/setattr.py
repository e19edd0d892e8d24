"""Changing attributes: mode, owner, size, times (RFC 1813 section 3.3.2).

Permissions follow notify_change() in Linux: the owner may change mode and
times, root the owner, the owner the group to one of its own; the size and "now"
for the times need write permission.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from functools import partial

from index.linux.fd import Fd
from overlay.base.credentials import Credentials
from overlay.base.errors import error
from overlay.lookup.resolve import current
from overlay.model import permission
from overlay.model.attributes import NOW, Attributes, Change, Changes, Now
from overlay.model.node import DirNode, FileNode, Node
from overlay.model.protection import require_settable
from overlay.model.sole import Sole
from overlay.model.tree import Tree
from overlay.ops.copy_up import copy_up, copy_up_data


def setattr(
    tree: Tree, node: Node, cred: Credentials, changes: Changes, guard: int | None = None
) -> Change:
    """Change attributes; `guard` is the ctime (ns) the object must still have, else ECANCELED.

    Raises EPERM or EACCES where `cred` may not, EISDIR or EINVAL for the size
    of what has none, EROFS without an upper layer.
    """
    is_cut = False
    if changes and not _is_ready(node, changes):
        node = current(tree, node)
        had = tree.attributes(node)
        _check(tree, node, had, cred, changes, guard)
        guard = None  # it held; copying up changes the ctime
        if changes.size is not None and isinstance(node, FileNode):
            is_cut = changes.size < had.size
            node = _copy_up_cut(tree, node, changes.size)
        else:
            node = copy_up(tree, node)
    if not is_cut:
        return _made(tree, node, cred, changes, guard)
    try:
        change = _made(tree, node, cred, changes, guard, is_cut=True)
    except OSError:  # which is no answer, as some of it was made
        change = _made(tree, node, cred, changes, guard, is_cut=True)
    return Change(None, change.after)


def _copy_up_cut(tree: Tree, node: FileNode, size: int) -> FileNode:
    """Do as `copy_up_data`; what fails after the file has its new size is done again."""
    try:
        return copy_up_data(tree, node, size=size)
    except OSError:
        found = current(tree, node)
        if not isinstance(found, FileNode) or tree.attributes(found).size != size:
            raise
        return copy_up_data(tree, found, size=size)


def _made(
    tree: Tree,
    node: Node,
    cred: Credentials,
    changes: Changes,
    guard: int | None,
    *,
    is_cut: bool = False,
) -> Change:
    """Make the changes to an object that is ready; `is_cut`: it may have its new size already."""
    with tree.changing():
        node = current(tree, node)
        sole = Sole(tree, node)
        sole.begin()  # quicker than `with`, where this is compiled
        is_done = False
        try:
            before = sole.before
            _check(tree, node, before, cred, changes, guard)
            if changes:
                changes = _without_privilege(before, cred, changes)
                if is_cut and changes.size == before.size:
                    changes = changes.without_size()
                _change_or_restore(tree, node, before, changes)
                change = sole.change()
            else:
                change = Change(before, before)
            is_done = True
        finally:
            sole.end(is_done=is_done)
    return change


def _change_or_restore(tree: Tree, node: Node, had: Attributes, changes: Changes) -> None:
    """Make `changes` to an object of the upper layer that has these attributes, or none of them."""
    try:
        if tree.budget is None or changes.size is None:
            _change(node, had.mode, changes)
        else:
            with tree.budget.growing(node.fileid, node.real, 0):
                _change(node, had.mode, changes)
    except OSError:
        tree.workdir.finish(partial(_restore, node, had))
        raise


def _change(node: Node, mode: int, changes: Changes) -> None:
    """Make `changes` to an object of the upper layer, which has this type and mode."""
    fd: Fd = node.real
    if changes.size is not None and isinstance(node, FileNode):
        fd = node.writer()
    apply(fd, node.changing_target(), mode, changes)


def _restore(node: Node, had: Attributes) -> None:
    """Undo some of several changes, as the rest has failed; but not if the file was cut."""
    st = os.fstat(node.real)
    if not node.is_dir and st.st_size != had.size:
        return
    if (st.st_uid, st.st_gid) != (had.uid, had.gid):
        os.chown(node.target, had.uid, had.gid)
    if not stat.S_ISLNK(had.mode) and os.fstat(node.real).st_mode != had.mode:
        os.chmod(node.target, stat.S_IMODE(had.mode))
    if (st.st_atime_ns, st.st_mtime_ns) != (had.atime, had.mtime):
        os.utime(node.target, ns=(had.atime, had.mtime))


def _is_ready(node: Node, changes: Changes) -> bool:
    """Return whether an object is in the upper layer, and its data if the size is to change."""
    if changes.size is None or isinstance(node, DirNode):
        return node.is_upper
    return node.is_upper and not node.is_metacopy


def _check(
    tree: Tree, node: Node, had: Attributes, cred: Credentials, changes: Changes, guard: int | None
) -> None:
    """Raise unless `cred` may make the changes to an object that has these attributes."""
    _check_permission(tree, node, had, cred, changes)
    require_settable(tree, node, changes)
    if guard is not None and guard != had.ctime:
        raise error(errno.ECANCELED)


def _check_permission(
    tree: Tree, node: Node, had: Attributes, cred: Credentials, changes: Changes
) -> None:
    owner = cred.is_root or cred.uid == had.uid
    if changes.size is not None:
        if not stat.S_ISREG(had.mode):
            raise error(errno.EISDIR if node.is_dir else errno.EINVAL)
        check_size(changes.size)
        permission.require_data(tree, node, cred, permission.WRITE)
    if changes.mode is not None and not owner:
        raise error(errno.EPERM)
    check_owner_change(had.uid, had.gid, changes, cred)
    if not owner:
        times = (changes.atime, changes.mtime)
        if any(isinstance(when, int) for when in times):
            raise error(errno.EPERM)
        if NOW in times:
            permission.require(tree, node, cred, permission.WRITE)


def check_size(size: int) -> None:
    """Raise EFBIG for more bytes than any file can have."""
    if size >= 1 << 63:
        raise error(errno.EFBIG)


def check_owner_change(uid: int, gid: int, changes: Changes, cred: Credentials) -> None:
    """Raise EPERM unless `cred` may give an object of this owner and group the new ones."""
    if cred.is_root:
        return
    if changes.uid is not None and (changes.uid != uid or cred.uid != uid):
        raise error(errno.EPERM)
    if changes.gid is not None and (
        cred.uid != uid or (changes.gid != gid and not cred.in_group(changes.gid))
    ):
        raise error(errno.EPERM)


def _without_privilege(had: Attributes, cred: Credentials, changes: Changes) -> Changes:
    """Return what the kernel makes of a change by a user other than root.

    Truncating and giving away take setuid and setgid; setting a setgid mode from
    outside the file's group leaves setgid out.
    """
    if cred.is_root:
        return changes
    mode = changes.mode
    if mode is not None and not cred.in_group(had.gid if changes.gid is None else changes.gid):
        mode &= ~stat.S_ISGID
    owner = changes.uid is not None or changes.gid is not None
    if mode is None and (changes.size is not None or (owner and not had.is_dir)):
        mode = mode_after_write(had, cred)
    return changes.with_mode(mode)


def mode_after_write(had: Attributes, cred: Credentials) -> int | None:
    """Return the permission bits a file must get when `cred` changes its data; None if they stay.

    As setattr_should_drop_suidgid() in Linux: setuid goes, and setgid where the
    group may execute or the writer is not in it.
    """
    if cred.is_root or not had.mode & (stat.S_ISUID | stat.S_ISGID):
        return None
    drop = stat.S_ISUID
    if had.mode & stat.S_IXGRP or not cred.in_group(had.gid):
        drop |= stat.S_ISGID
    return stat.S_IMODE(had.mode) & ~drop if had.mode & drop else None


def apply(fd: Fd, target: Fd | bytes, mode: int, changes: Changes) -> None:
    """Make `changes` to the real inode behind `fd`, which has this type and mode.

    `target` is the same inode, as a descriptor that was opened or by its path.
    For a size, `fd` must be open for writing.  The owner goes first: changing
    it clears the setuid and setgid bits that a mode may then set.  The size comes after what can
    be undone, before the times that it would change.
    """
    if changes.uid is not None or changes.gid is not None:
        uid = -1 if changes.uid is None else changes.uid
        gid = -1 if changes.gid is None else changes.gid
        os.chown(target, uid, gid)
    if changes.mode is not None and not stat.S_ISLNK(mode):
        os.chmod(target, changes.mode & 0o7777)
    if changes.size is not None:
        os.truncate(fd, changes.size)
    if changes.atime is not None or changes.mtime is not None:
        st, now = os.fstat(fd), time.time_ns()
        atime = _time(changes.atime, st.st_atime_ns, now)
        mtime = _time(changes.mtime, st.st_mtime_ns, now)
        os.utime(target, ns=(atime, mtime))


def _time(wanted: int | Now | None, had: int, now: int) -> int:
    if wanted is None:
        return had
    return now if isinstance(wanted, Now) else wanted
