"""Telling an upper inode from a copy of it that an administrator has made.

A copy with all attributes (`cp -a`) within the upper layer has the marks of what it was
copied from.  A mark says for which inode it was made, by the kernel handle in `upper`; on
any other it is not believed, as long as the one that it was made for is there.  The
copy then is an object of its own.

The copy of a directory that is redirected shows the same lower directories as the
directory itself.  What it shows of them becomes its own as well: each file a copy of the
lower one, without its data where the kernel can be told where that is; each directory one
that is redirected to the lower ones, of which the same is true.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from index import xattrs
from index.identity import Identity
from index.index import DirectoryEntry, UpperInode
from index.linux.fd import Fd, open_dir, open_name, open_path, reopen
from index.linux.file_handle import RealHandle, handle_of, pack_real
from index.linux.syscalls import RENAME_NOREPLACE, rename
from index.paths import holds
from overlay.base.blocking import may_block
from overlay.base.copy_inode import copy_data, copy_metadata
from overlay.lookup.lower import LowerFile, find_lower, is_opaque, redirect_of
from overlay.model.node import LowerDir
from overlay.model.tree import Tree

_MARKS: Final = (
    xattrs.FH,
    xattrs.UPPER,
    xattrs.PATH,
    xattrs.NLINK,
    xattrs.LINKS,
    xattrs.ORIGIN,
)


def is_file_of(tree: Tree, fd: Fd, st: os.stat_result, identity: Identity) -> bool:
    """Return whether the mark on an upper non-directory was made for this inode."""
    if tree.index.marks.get(fd, xattrs.UPPER) == pack_real(handle_of(fd)):
        return True
    entry = tree.index.find(identity)
    return isinstance(entry, UpperInode) and os.path.samestat(entry.st, st)


def is_directory_of(tree: Tree, fd: Fd, identity: Identity) -> bool:
    """Return whether the mark on an upper directory was made for this inode.

    Where the inode that it was made for is no more, it is this one's from now on.
    """
    own = handle_of(fd)
    if tree.index.marks.get(fd, xattrs.UPPER) == pack_real(own):
        return True
    if is_elsewhere(tree, fd, identity):
        return False
    tree.index.marks.put(fd, xattrs.UPPER, pack_real(own))
    return True


def is_elsewhere(tree: Tree, fd: Fd, identity: Identity) -> bool:
    """Return whether the object has another directory in the upper layer than this one."""
    entry = tree.index.find(identity)
    real = entry.upper if isinstance(entry, DirectoryEntry) else None
    if real is None and identity.is_upper:
        real = identity.real
    return real is not None and real != handle_of(fd) and _is_in_upper(tree, real)


def _is_in_upper(tree: Tree, real: RealHandle) -> bool:
    assert tree.layers.upper is not None
    try:
        fd = tree.layers.upper.open_handle(real, os.O_PATH | os.O_DIRECTORY)
    except NotADirectoryError:
        return False
    return fd is not None and os.fstat(fd).st_nlink > 0 and holds(tree.layers.upper.root, fd)


def disown(tree: Tree, fd: Fd) -> None:
    """Take the marks of another inode from a copy."""
    with tree.changing():
        for attribute in _MARKS:
            tree.index.marks.drop(fd, tree.kernel.on_disk(attribute))


def share(tree: Tree, fd: Fd, identity: Identity) -> None:
    """Mark a directory as one of its own whose lower ones are another's, yet to be set apart."""
    tree.index.marks.put(fd, xattrs.SHARES, b"y")
    tree.index.marks.put(fd, xattrs.FH, identity.pack())


def set_apart(tree: Tree, fd: Fd, lowers: tuple[LowerDir, ...]) -> None:
    """Make what a copied directory shows of another's lower ones its own.

    May block.  Cut short it is done again: until then the directory goes on to show them.
    """
    may_block()
    redirect = redirect_of(tree, fd)
    if redirect is None or not redirect.startswith(b"/"):
        redirect = lowers[0].layer.path_of(lowers[0].fd)
    with tree.changing():
        upper = open_dir(fd, b".")
        st = os.fstat(upper)
        present = set(map(os.fsencode, os.listdir(upper)))
        for name in present:
            _redirect(tree, upper, name, lowers, redirect)
        for name in _lower_names(lowers) - present:
            below = find_lower(tree, lowers, name)
            if isinstance(below, LowerFile):
                _copy_file(tree, upper, name, below, redirect + b"/" + name)
            elif below:
                _copy_directory(tree, upper, name, below[0], redirect + b"/" + name)
        tree.put_attribute(upper, xattrs.OPAQUE, b"y")
        xattrs.drop(upper, xattrs.REDIRECT)
        tree.index.marks.drop(upper, xattrs.SHARES)
        os.utime(upper, ns=(st.st_atime_ns, st.st_mtime_ns))


def _lower_names(lowers: tuple[LowerDir, ...]) -> set[bytes]:
    return {os.fsencode(name) for lower in lowers for name in os.listdir(open_dir(lower.fd, b"."))}


def _redirect(
    tree: Tree, upper: Fd, name: bytes, lowers: tuple[LowerDir, ...], path: bytes
) -> None:
    """Have an upper directory go on to merge with what lower ones, at `path`, have."""
    found = open_name(upper, name)
    if found is None or not stat.S_ISDIR(found[1].st_mode) or is_opaque(tree, found[0]):
        return
    own = redirect_of(tree, found[0])
    if not tree.kernel.has_redirects or (own is not None and own.startswith(b"/")):
        return
    below = find_lower(tree, lowers, own or name)
    if below and not isinstance(below, LowerFile):
        tree.put_attribute(found[0], xattrs.REDIRECT, path + b"/" + (own or name))


def _copy_file(tree: Tree, upper: Fd, name: bytes, found: LowerFile, path: bytes) -> None:
    staging, aside = tree.workdir.staging, tree.workdir.new_name()
    mode = found.st.st_mode
    if stat.S_ISREG(mode):
        copy = Fd(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600, dir_fd=staging))
        if not tree.kernel.makes_metacopies or not _refers(copy, found, path):
            copy_data(reopen(found.fd, os.O_RDONLY), found.st, copy, tree.not_cloned)
    elif stat.S_ISLNK(mode):
        os.symlink(os.readlink(b"", dir_fd=found.fd), aside, dir_fd=staging)
        copy = open_path(staging, aside)
    else:
        os.mknod(aside, stat.S_IFMT(mode) | 0o600, found.st.st_rdev, dir_fd=staging)
        copy = open_path(staging, aside)
    copy_metadata(found.fd, found.st, copy)
    rename(staging, aside, upper, name, RENAME_NOREPLACE)


def _refers(copy: Fd, found: LowerFile, path: bytes) -> bool:
    """Make a metacopy of the file at `path`, if there is room for that."""
    try:
        xattrs.put(copy, xattrs.REDIRECT, path)
        xattrs.put(copy, xattrs.METACOPY, b"")
    except xattrs.NoXattrSpaceError:
        xattrs.drop(copy, xattrs.REDIRECT)
        return False
    os.truncate(copy, found.st.st_size)
    return True


def _copy_directory(tree: Tree, upper: Fd, name: bytes, top: LowerDir, path: bytes) -> None:
    assert tree.layers.upper is not None
    staging, aside = tree.workdir.staging, tree.workdir.new_name()
    os.mkdir(aside, 0o700, dir_fd=staging)
    copy = open_dir(staging, aside)
    copy_metadata(top.fd, os.fstat(top.fd), copy)
    xattrs.put(copy, xattrs.REDIRECT, path)
    share(tree, copy, tree.layers.upper.identity(copy, os.fstat(copy), is_dir=True))
    rename(staging, aside, upper, name, RENAME_NOREPLACE)
