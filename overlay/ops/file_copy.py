"""Making an inode of the upper filesystem that is to be an object of a lower layer.

Nobody sees it yet.  It gets all that the object has, and the attributes that say what it
is, and is brought to stable storage with its data.
"""

from __future__ import annotations

import os
import stat
import time
from typing import NamedTuple

from index import xattrs
from index.linux.fd import Fd, open_path
from index.linux.file_handle import handle_of, pack_real
from overlay.base.copy_inode import copy_data, copy_metadata
from overlay.lookup import nlink
from overlay.model.node import FileNode
from overlay.model.tree import Tree
from overlay.ops.copy_up_dir import put_origin


class Wanted(NamedTuple):
    """A copy that is to be made of a lower file."""

    node: FileNode
    st: os.stat_result  # of its inode, asked once: lower layers do not change
    data: os.stat_result  # of the inode that has its data
    path: bytes | None  # by which the lower layers have it, if it is to have an upper name
    size: int | None  # that it is cut to
    location: bytes | None = None  # of a metacopy: where its data stays, below `path`

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.st.st_mode)


class Copy(NamedTuple):
    """An inode that is to be an object of a lower layer."""

    fd: Fd
    origin: bytes | None
    names: int  # that the object has


def wanted_of(node: FileNode, path: bytes | None, size: int | None) -> Wanted:
    """Return what a copy with its data needs."""
    st = os.fstat(node.fd)
    return Wanted(node, st, st if node.data is None else os.fstat(node.data), path, size)


def make_nameless(tree: Tree, mode: int) -> Fd:
    """Return a regular file that gets its name later; its set-id bits, when it has its owner."""
    flags = os.O_TMPFILE | os.O_RDWR
    return Fd(os.open(b".", flags, mode & 0o777, dir_fd=tree.workdir.staging))


def make_aside(tree: Tree, wanted: Wanted, name: bytes) -> Fd:
    """Return an inode of the same type, not that of a regular file, called `name` in `staging/`."""
    staging, st = tree.workdir.staging, wanted.st
    if stat.S_ISLNK(st.st_mode):
        os.symlink(os.readlink(b"", dir_fd=wanted.node.fd), name, dir_fd=staging)
    else:
        os.mknod(name, stat.S_IFMT(st.st_mode) | 0o600, st.st_rdev, dir_fd=staging)
    return open_path(staging, name)


def fill(tree: Tree, wanted: Wanted, copy: Fd) -> Copy:
    """Give an inode that nobody sees yet all that the object has."""
    node, size = wanted.node, wanted.size
    if wanted.location is not None:
        os.truncate(copy, wanted.st.st_size)
    elif wanted.is_regular and size != 0:
        with tree.reserve.left():
            copy_data(node.reader(), wanted.data, copy, tree.not_cloned, size)
    copy_metadata(node.fd, wanted.st, copy, os.fstat(copy) if wanted.is_regular else None)
    filled = _mark(tree, wanted, copy)
    if size is not None:
        os.utime(copy, ns=(wanted.st.st_atime_ns, time.time_ns()))  # cutting it is a change
    if wanted.is_regular and wanted.location is None:
        with tree.copy_ups.waiting():
            os.fsync(copy)
    return filled


def _mark(tree: Tree, wanted: Wanted, copy: Fd) -> Copy:
    """Write on a copy what it is, for the kernel and for the index."""
    identity, path, is_open = wanted.node.identity, wanted.path, wanted.is_regular
    if wanted.location is not None and path is not None:
        tree.kernel.put(copy, xattrs.REDIRECT, path)
        tree.kernel.put(copy, xattrs.METACOPY, b"")
        xattrs.put(copy, xattrs.DATA, wanted.location)
    origin = put_origin(tree, copy, _origin(tree, wanted.node), is_open=is_open)
    names = nlink.names_of(identity, wanted.st)
    values = {
        xattrs.FH: identity.pack(),
        xattrs.UPPER: pack_real(handle_of(copy)),
        xattrs.NLINK: nlink.INITIAL,
        xattrs.LINKS: b"%d" % names,
    }
    for key, value in values.items():
        tree.index.marks.put_new(copy, key, value, is_open=is_open)
    if path is not None and wanted.location is None:
        tree.index.put_lower_path(copy, path, is_open=is_open)
    return Copy(copy, origin, names)


def _origin(tree: Tree, node: FileNode) -> bytes | None:
    """Return what `overlay.origin` is to say: the kernel handle is known, unless it is a copy's."""
    if tree.layers.seal is None and not node.identity.is_by_path:
        return node.layer.origin_of(node.identity.real)
    return node.layer.origin(node.fd)
