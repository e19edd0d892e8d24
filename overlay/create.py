"""Making new objects: files, directories, symbolic links, devices, FIFOs, sockets.

A new object is made in the real upper parent, as its user, so that owner,
group, default ACL and project quota follow the filesystem's own rules.  What
cannot be made complete in one system call is made without a name (O_TMPFILE)
or in a directory that looks like the parent, and then moved in.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

from index import xattrs
from index.fd import Fd, open_at, open_dir, open_path
from index.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, link_fd, rename
from overlay import permission, setattr
from overlay.attributes import Attributes, Changes
from overlay.credentials import Credentials
from overlay.decode import resolve
from overlay.errors import error
from overlay.lookup import lookup, new_file, upper_dir
from overlay.names import (
    Created,
    acting_as,
    check_new_name,
    has_whiteout,
    mode_of_new,
    refreshed,
    renamed,
    unchanged,
    upper_of,
    writable_parent,
)
from overlay.node import DirNode, Node, Place
from overlay.tree import Tree

_DEFAULT_MODE: Final = 0o600
_NOTHING: Final = Changes()
_SPECIAL_TYPES: Final = (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
# An exclusive create's verifier is kept in the times, as knfsd does: without the
# top bit of each word, which not every filesystem's seconds can hold.
_VERIFIER: Final = struct.Struct(">II")
_VERIFIER_MASK: Final = 0x7FFFFFFF
_SECOND: Final = 1_000_000_000


def create(
    tree: Tree, parent: DirNode, name: bytes, cred: Credentials, changes: Changes, *, guarded: bool
) -> Created:
    """Create a regular file; one that exists is opened and, for size 0, truncated.

    RFC 1813 section 3.3.8, UNCHECKED and GUARDED.  Raises EEXIST when guarded
    or when the name is not a regular file's.
    """
    check_new_name(name)
    found = lookup(tree, parent, name)
    if found is not None:
        if guarded or not stat.S_ISREG(found.type):
            permission.require(tree, parent, cred, permission.EXECUTE)
            raise error(errno.EEXIST)
        return _open_existing(tree, parent, found, cred, changes)
    with _new_name(tree, parent, name, cred) as (parent, before):
        return _make_file(tree, parent, name, cred, changes, before)


def create_exclusive(
    tree: Tree, parent: DirNode, name: bytes, cred: Credentials, verifier: bytes
) -> Created:
    """Create a regular file; repeating the call with the same verifier succeeds.

    RFC 1813 section 3.3.8, EXCLUSIVE.  Raises EEXIST for anybody else's file.
    """
    check_new_name(name)
    first, second = (word & _VERIFIER_MASK for word in _VERIFIER.unpack(verifier))
    atime, mtime = first * _SECOND, second * _SECOND
    found = lookup(tree, parent, name)
    if found is not None:
        permission.require(tree, parent, cred, permission.EXECUTE)
        had = tree.attributes(found)
        if stat.S_ISREG(had.mode) and (had.atime, had.mtime, had.size) == (atime, mtime, 0):
            return Created(found, unchanged(tree, parent))
        raise error(errno.EEXIST)
    with _new_name(tree, parent, name, cred) as (parent, before):
        changes = Changes(mode=_DEFAULT_MODE, atime=atime, mtime=mtime)
        return _make_file(tree, parent, name, cred, changes, before)


def mkdir(tree: Tree, parent: DirNode, name: bytes, cred: Credentials, changes: Changes) -> Created:
    """Create a directory (RFC 1813 section 3.3.9)."""
    check_new_name(name)
    mode = 0o755 if changes.mode is None else changes.mode
    with _new_name(tree, parent, name, cred) as (parent, before):
        # What one system call cannot make complete is made aside.
        aside = bool(mode & (stat.S_ISUID | stat.S_ISGID))
        aside |= replace(changes, mode=None, size=None) != _NOTHING

        def make(directory: Fd, new: bytes) -> None:
            with acting_as(cred):
                os.mkdir(new, mode & 0o1777, dir_fd=directory)
            made = open_dir(directory, new)
            if parent.lowers:
                # Needed where a whiteout goes; elsewhere it keeps the directory
                # what it is when a layer that has this name is added later.
                tree.kernel.put(made, xattrs.OPAQUE, b"y")
            if mode & (stat.S_ISUID | stat.S_ISGID):
                os.chmod(made, stat.S_IMODE(os.fstat(made).st_mode) | mode & 0o7000)
            _finish_new(made, changes, cred)

        _place(tree, parent, name, make, aside=aside)
        return _created(tree, parent, name, before)


def symlink(
    tree: Tree, parent: DirNode, name: bytes, cred: Credentials, target: bytes, changes: Changes
) -> Created:
    """Create a symbolic link (RFC 1813 section 3.3.10)."""
    check_new_name(name)
    if not target or b"\0" in target:
        raise error(errno.EINVAL)

    def make(directory: Fd, new: bytes) -> None:
        with acting_as(cred):
            os.symlink(target, new, dir_fd=directory)

    with _new_name(tree, parent, name, cred) as (parent, before):
        _place(tree, parent, name, make)
        return _created(tree, parent, name, before)


def mknod(
    tree: Tree,
    parent: DirNode,
    name: bytes,
    cred: Credentials,
    type_: int,
    rdev: int,
    changes: Changes,
) -> Created:
    """Create a device, FIFO or socket (RFC 1813 section 3.3.11).

    Raises EPERM for devices unless root asks, and for the device 0:0, which
    would be a whiteout.
    """
    check_new_name(name)
    if type_ not in _SPECIAL_TYPES:
        raise error(errno.EINVAL)
    if type_ in (stat.S_IFCHR, stat.S_IFBLK) and not cred.is_root:
        raise error(errno.EPERM)
    if type_ == stat.S_IFCHR and rdev == 0:
        raise error(errno.EPERM)
    mode = _DEFAULT_MODE if changes.mode is None else changes.mode

    def make(directory: Fd, new: bytes) -> None:
        with acting_as(cred):
            os.mknod(new, type_ | mode & 0o7777, rdev, dir_fd=directory)

    with _new_name(tree, parent, name, cred) as (parent, before):
        _place(tree, parent, name, make)
        return _created(tree, parent, name, before)


@contextmanager
def _new_name(
    tree: Tree, parent: DirNode, name: bytes, cred: Credentials
) -> Iterator[tuple[DirNode, Attributes]]:
    """Hold the namespace with `name` known to be free: the parent copied up, and its attributes."""
    permission.require(tree, parent, cred, permission.WRITE | permission.EXECUTE)
    if lookup(tree, parent, name) is not None:
        raise error(errno.EEXIST)
    parent = writable_parent(tree, parent, cred)
    with tree.changing():
        parent = refreshed(tree, parent)
        if lookup(tree, parent, name) is not None:
            raise error(errno.EEXIST)
        yield parent, tree.attributes(parent)


def _open_existing(
    tree: Tree, parent: DirNode, node: Node, cred: Credentials, changes: Changes
) -> Created:
    permission.require(tree, parent, cred, permission.EXECUTE)
    if changes.size is not None:
        setattr.setattr(tree, node, cred, Changes(size=changes.size))
    return Created(resolve(tree, node.handle), unchanged(tree, parent))


def _make_file(
    tree: Tree,
    parent: DirNode,
    name: bytes,
    cred: Credentials,
    changes: Changes,
    before: Attributes,
) -> Created:
    mode = _DEFAULT_MODE if changes.mode is None else changes.mode
    mode = mode_of_new(before, mode, cred)
    rest = replace(changes, mode=None, size=changes.size or None)
    fd = None
    if rest == _NOTHING:
        with acting_as(cred), suppress(FileExistsError):  # a whiteout
            fd = open_at(upper_of(parent), name, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)
    if fd is None:
        fd = _make_file_aside(tree, parent, name, cred, mode, rest)
    node = new_file(tree, fd, os.fstat(fd), Place(parent.handle, name))
    return Created(node, renamed(tree, parent, name, before, node))


def _make_file_aside(
    tree: Tree, parent: DirNode, name: bytes, cred: Credentials, mode: int, changes: Changes
) -> Fd:
    """Make a file that is complete before it has its name, or whose name is a whiteout's."""
    upper = upper_of(parent)
    with acting_as(cred):
        fd = Fd(os.open(b".", os.O_TMPFILE | os.O_RDWR, mode, dir_fd=upper))
    _finish_new(fd, changes, cred)
    if has_whiteout(parent, name):
        aside = tree.workdir.new_name()
        link_fd(fd, tree.workdir.staging, aside)
        rename(tree.workdir.staging, aside, upper, name)
    else:
        link_fd(fd, upper, name)
    return fd


def _finish_new(fd: Fd, changes: Changes, cred: Credentials) -> None:
    """Set what the creating call could not, on an object that nobody sees yet."""
    st = os.fstat(fd)
    setattr.check_owner_change(st.st_uid, st.st_gid, changes, cred)
    setattr.apply(fd, st, replace(changes, mode=None))


def _place(
    tree: Tree,
    parent: DirNode,
    name: bytes,
    make: Callable[[Fd, bytes], None],
    *,
    aside: bool = False,
) -> None:
    """Make an object as `name`; where a whiteout is, make it aside and exchange the two."""
    covered = has_whiteout(parent, name)
    if not covered and not aside:
        make(upper_of(parent), name)
        return
    workdir = tree.workdir
    room = workdir.new_name()
    directory = _room_like(tree, parent, room)
    try:
        make(directory, name)
        flag = RENAME_EXCHANGE if covered else RENAME_NOREPLACE
        rename(directory, name, upper_of(parent), name, flag)
    finally:
        workdir.discard(room)


def _room_like(tree: Tree, parent: DirNode, room: bytes) -> Fd:
    """A directory aside in which new objects inherit what they would in `parent`."""
    os.mkdir(room, 0o700, dir_fd=tree.workdir.staging)
    directory = open_dir(tree.workdir.staging, room)
    st = os.fstat(upper_of(parent))
    os.chown(directory, st.st_uid, st.st_gid)
    os.chmod(directory, stat.S_IMODE(st.st_mode))
    default = xattrs.get(upper_of(parent), permission.DEFAULT_ACL)
    if default is not None:
        xattrs.put(directory, permission.DEFAULT_ACL, default)
    return directory


def _created(tree: Tree, parent: DirNode, name: bytes, before: Attributes) -> Created:
    """The new object, just made under its name."""
    fd = open_path(upper_of(parent), name)
    st = os.fstat(fd)
    node: Node
    if stat.S_ISDIR(st.st_mode):
        node = upper_dir(tree, parent, name, open_dir(fd, b"."))
    else:
        node = new_file(tree, fd, st, Place(parent.handle, name))
    return Created(node, renamed(tree, parent, name, before, node))
