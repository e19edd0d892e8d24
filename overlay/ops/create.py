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
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from index import xattrs
from index.linux.fd import Fd, open_at, open_dir, open_path, proc_path
from index.linux.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, link_fd, rename
from overlay.base.credentials import Credentials
from overlay.base.errors import error
from overlay.base.generations import last_change
from overlay.lookup.lookup import lookup, new_dir, new_file
from overlay.lookup.resolve import resolve
from overlay.model import permission
from overlay.model.acl import DEFAULT_ACL
from overlay.model.attributes import Attributes, Changes
from overlay.model.node import Dentry, DirNode, Node
from overlay.model.outcomes import BeginAgain
from overlay.model.protection import NOTHING
from overlay.model.tree import Tree
from overlay.ops import setattr
from overlay.ops.common import (
    AsUser,
    Created,
    check_new_name,
    has_whiteout,
    mode_of_new,
    refreshed,
    renamed,
    require_writable,
    take_back,
    unchanged,
    upper_of,
)
from overlay.ops.copy_up_dir import copy_up_dir

# Makes an object in an upper directory, under a name; its first system call
# raises FileExistsError where the name is taken.
_MakeAt: TypeAlias = Callable[[Fd, bytes], None]
# Makes an object in a copied-up parent, which has these attributes.
_Make: TypeAlias = Callable[[DirNode, Attributes], Created]

_CREATE: Final = os.O_CREAT | os.O_EXCL | os.O_RDWR
_DEFAULT_MODE: Final = 0o600
_SET_IDS: Final = stat.S_ISUID | stat.S_ISGID  # mkdir(2) does not set them
_SPECIAL_TYPES: Final = (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
# An exclusive create's verifier is kept in the times, as knfsd does.  Not every filesystem's
# seconds can hold the top bit of each word: that is a nanosecond.
_VERIFIER: Final = struct.Struct(">II")
_SECONDS_BITS: Final = 31
_SECOND: Final = 1_000_000_000


def create(
    tree: Tree, parent: DirNode, name: bytes, cred: Credentials, changes: Changes, *, guarded: bool
) -> Created:
    """Create a regular file; one that exists is opened and, for size 0, truncated.

    RFC 1813 section 3.3.8, UNCHECKED and GUARDED.  Raises EEXIST when guarded
    or when the name is not a regular file's.
    """
    make = partial(_make_file, tree, name, cred, changes)
    found = _made_or_found(tree, parent, name, cred, make)
    if isinstance(found, Created):
        return found
    parent = refreshed(tree, parent)
    permission.require(tree, parent, cred, permission.EXECUTE)
    if guarded or not stat.S_ISREG(found.type):
        raise error(errno.EEXIST)
    if changes.size is not None:
        setattr.setattr(tree, found, cred, Changes(size=changes.size))
    return Created(resolve(tree, found.handle), unchanged(tree, refreshed(tree, parent)))


def create_exclusive(
    tree: Tree, parent: DirNode, name: bytes, cred: Credentials, verifier: bytes
) -> Created:
    """Create a regular file; repeating the call with the same verifier succeeds.

    RFC 1813 section 3.3.8, EXCLUSIVE.  Raises EEXIST for anybody else's file.
    """
    atime, mtime = map(_time_of, _VERIFIER.unpack(verifier))
    changes = Changes(mode=_DEFAULT_MODE, atime=atime, mtime=mtime)
    make = partial(_make_file, tree, name, cred, changes)
    found = _made_or_found(tree, parent, name, cred, make)
    if isinstance(found, Created):
        return found
    parent = refreshed(tree, parent)
    permission.require(tree, parent, cred, permission.EXECUTE)
    had = tree.attributes(found)
    if had.ctime % _SECOND == 0:  # a filesystem without nanoseconds
        atime, mtime = atime // _SECOND * _SECOND, mtime // _SECOND * _SECOND
    if stat.S_ISREG(had.mode) and (had.atime, had.mtime, had.size) == (atime, mtime, 0):
        return Created(found, unchanged(tree, parent))
    raise error(errno.EEXIST)


def _time_of(word: int) -> int:
    """Return the time that a word of a verifier is kept as."""
    return (word & (1 << _SECONDS_BITS) - 1) * _SECOND + (word >> _SECONDS_BITS)


def mkdir(tree: Tree, parent: DirNode, name: bytes, cred: Credentials, changes: Changes) -> Created:
    """Create a directory (RFC 1813 section 3.3.9)."""
    return _made(tree, parent, name, cred, partial(_make_dir, tree, name, cred, changes))


def symlink(
    tree: Tree, parent: DirNode, name: bytes, cred: Credentials, target: bytes, changes: Changes
) -> Created:
    """Create a symbolic link (RFC 1813 section 3.3.10)."""
    if not target or b"\0" in target:
        raise error(errno.EINVAL)
    make = partial(_make_special, tree, name, cred, partial(_symlink, target), changes)
    return _made(tree, parent, name, cred, make)


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
    if type_ not in _SPECIAL_TYPES:
        raise error(errno.EINVAL)
    if type_ in (stat.S_IFCHR, stat.S_IFBLK) and not cred.is_root:
        raise error(errno.EPERM)
    if type_ == stat.S_IFCHR and rdev == 0:
        raise error(errno.EPERM)
    mode = _DEFAULT_MODE if changes.mode is None else changes.mode
    make = partial(_make_node, tree, name, cred, type_ | mode & 0o7777, rdev, changes)
    return _made(tree, parent, name, cred, make)


def _made(tree: Tree, parent: DirNode, name: bytes, cred: Credentials, make: _Make) -> Created:
    """Return what `make` makes; raises EEXIST when something has the name."""
    found = _made_or_found(tree, parent, name, cred, make)
    if isinstance(found, Created):
        return found
    require_writable(tree, refreshed(tree, parent), cred)
    raise error(errno.EEXIST)


def _made_or_found(
    tree: Tree, parent: DirNode, name: bytes, cred: Credentials, make: _Make
) -> Created | Node:
    """Return what has the name already, or what `make` makes of it in the copied-up parent."""
    check_new_name(name)
    with tree.changing():
        parent = refreshed(tree, parent)
        found = lookup(tree, parent, name)
        if found is not None:
            return found
        before = require_writable(tree, parent, cred)
        if parent.upper is not None:
            try:
                if tree.budget is None:
                    return make(parent, before)
                with tree.budget.making():
                    made = make(parent, before)
                    tree.budget.gained(os.fstat(made.node.real))
                    return made
            except OSError:
                take_back(tree, parent, name)
                raise
    copy_up_dir(tree, parent)
    raise BeginAgain


def _make_dir(
    tree: Tree,
    name: bytes,
    cred: Credentials,
    changes: Changes,
    parent: DirNode,
    before: Attributes,
) -> Created:
    mode = 0o755 if changes.mode is None else changes.mode
    rest = _after_making(changes)
    # An opaque directory is needed where a whiteout goes; elsewhere it stays
    # what it is when a layer that has this name is added later.
    make_at = partial(_make_dir_at, tree, cred, mode, rest, bool(parent.lowers))
    _make(tree, parent, name, make_at, aside=bool(mode & _SET_IDS or rest))
    fd = open_dir(upper_of(parent), name)
    last, st = last_change(), os.fstat(fd)
    node = new_dir(tree, upper_of(parent), fd, st)
    node.protection = NOTHING
    tree.learn(node, st, last)
    return Created(node, renamed(tree, parent, name, before, node))


def _make_dir_at(
    tree: Tree,
    cred: Credentials,
    mode: int,
    rest: Changes,
    opaque: bool,
    directory: Fd,
    name: bytes,
) -> None:
    with AsUser(cred):
        os.mkdir(name, mode & 0o1777, dir_fd=directory)
    special = mode & _SET_IDS
    if opaque or special or rest:
        made = open_dir(directory, name)
        if opaque:
            tree.kernel.put(made, xattrs.OPAQUE, b"y")
        if special:
            os.chmod(made, stat.S_IMODE(os.fstat(made).st_mode) | mode & 0o7000)
        _finish_new(made, rest, cred)


def _symlink(target: bytes, directory: Fd, name: bytes) -> None:
    os.symlink(target, name, dir_fd=directory)


def _mknod(mode: int, rdev: int, directory: Fd, name: bytes) -> None:
    os.mknod(name, mode, rdev, dir_fd=directory)


def _make_special_at(
    cred: Credentials, make: _MakeAt, rest: Changes, directory: Fd, name: bytes
) -> None:
    with AsUser(cred):
        make(directory, name)
    if rest:
        _finish_new(open_path(directory, name), rest, cred)


def _make_node(
    tree: Tree,
    name: bytes,
    cred: Credentials,
    mode: int,
    rdev: int,
    changes: Changes,
    parent: DirNode,
    before: Attributes,
) -> Created:
    """Make a device, FIFO or socket, of a type and with permission bits as in `mode`."""
    make = partial(_mknod, mode_of_new(before, mode, cred), rdev)
    return _make_special(tree, name, cred, make, changes, parent, before)


def _make_special(
    tree: Tree,
    name: bytes,
    cred: Credentials,
    make: _MakeAt,
    changes: Changes,
    parent: DirNode,
    before: Attributes,
) -> Created:
    """Make something that is neither a file nor a directory; all but its mode is in `changes`."""
    rest = _after_making(changes)
    make_at = partial(_make_special_at, cred, make, rest)
    _make(tree, parent, name, make_at, aside=bool(rest))
    fd = open_path(upper_of(parent), name)
    last, st = last_change(), os.fstat(fd)
    node = new_file(tree, upper_of(parent), fd, st, Dentry(parent.handle, name))
    node.protection = NOTHING
    tree.learn(node, st, last)
    return Created(node, renamed(tree, parent, name, before, node))


def _make_file(
    tree: Tree,
    name: bytes,
    cred: Credentials,
    changes: Changes,
    parent: DirNode,
    before: Attributes,
) -> Created:
    mode = _DEFAULT_MODE if changes.mode is None else changes.mode
    mode = mode_of_new(before, mode, cred)
    if changes.size is not None:
        setattr.check_size(changes.size)
    rest = _after_making(changes, changes.size or None)
    fd = None
    try:
        if not rest:
            with AsUser(cred):
                fd = open_at(upper_of(parent), name, _CREATE, mode)
    except FileExistsError:
        fd = None  # a whiteout
    if fd is None:
        fd = _make_file_aside(tree, parent, name, cred, mode, rest)
    last, st = last_change(), os.fstat(fd)
    node = new_file(tree, upper_of(parent), fd, st, Dentry(parent.handle, name))
    node.opened_for_both(fd)
    node.protection = NOTHING
    tree.learn(node, st, last)
    return Created(node, renamed(tree, parent, name, before, node))


def _make_file_aside(
    tree: Tree, parent: DirNode, name: bytes, cred: Credentials, mode: int, changes: Changes
) -> Fd:
    """Make a file that is complete before it has its name, or whose name is a whiteout's."""
    upper = upper_of(parent)
    with AsUser(cred):
        fd = Fd(os.open(b".", os.O_TMPFILE | os.O_RDWR, mode, dir_fd=upper))
    _finish_new(fd, changes, cred)
    if has_whiteout(parent, name):
        aside = tree.workdir.new_name()
        link_fd(fd, tree.workdir.staging, aside)
        rename(tree.workdir.staging, aside, upper, name)
    else:
        link_fd(fd, upper, name)
    return fd


def _after_making(changes: Changes, size: int | None = None) -> Changes:
    """Return what the call that makes an object does not set of its attributes, but for the mode.

    The size is a regular file's alone; what else has none is made whatever size is asked for.
    """
    return Changes(None, changes.uid, changes.gid, size, changes.atime, changes.mtime)


def _finish_new(fd: Fd, changes: Changes, cred: Credentials) -> None:
    """Set what the creating call could not, but for the mode, on an object that nobody sees yet.

    The mode stays what it is: to give it to its owner must not take its setuid and setgid bits.
    """
    st = os.fstat(fd)
    setattr.check_owner_change(st.st_uid, st.st_gid, changes, cred)
    uid = None if changes.uid == st.st_uid else changes.uid
    gid = None if changes.gid == st.st_gid else changes.gid
    mode = None
    if st.st_mode & _SET_IDS and not (uid is None and gid is None):
        mode = stat.S_IMODE(st.st_mode)
    rest = Changes(mode, uid, gid, changes.size, changes.atime, changes.mtime)
    setattr.apply(fd, proc_path(fd), st.st_mode, rest)


def _make(
    tree: Tree, parent: DirNode, name: bytes, make_at: _MakeAt, *, aside: bool = False
) -> None:
    """Make an object as `name`.

    Where a whiteout is, and where one system call cannot make it complete, it is
    made `aside` and moved in.
    """
    if not aside:
        try:
            make_at(upper_of(parent), name)
        except FileExistsError:
            pass
        else:
            return
    workdir = tree.workdir
    staged = workdir.new_name()
    directory = _staging_like(tree, parent, staged)
    try:
        make_at(directory, name)
        flag = RENAME_EXCHANGE if has_whiteout(parent, name) else RENAME_NOREPLACE
        rename(directory, name, upper_of(parent), name, flag)
    finally:
        workdir.finish_discarding(staged)


def _staging_like(tree: Tree, parent: DirNode, staged: bytes) -> Fd:
    """Return a directory aside in which new objects inherit what they would in `parent`."""
    os.mkdir(staged, 0o700, dir_fd=tree.workdir.staging)
    directory = open_dir(tree.workdir.staging, staged)
    st = os.fstat(upper_of(parent))
    os.chown(directory, st.st_uid, st.st_gid)
    os.chmod(directory, stat.S_IMODE(st.st_mode))
    default = xattrs.get(upper_of(parent), DEFAULT_ACL)
    if default is not None:
        xattrs.put(directory, DEFAULT_ACL, default)
    return directory
