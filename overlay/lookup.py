"""From a name in a directory to the object: the merging of layers.

The rules are the kernel's (fs/overlayfs/namei.c, overlayfs.rst): the topmost
layer that has the name decides.  A whiteout hides what is below it; a directory
merges with directories below it until one is opaque or something else is met;
a redirect says under what name or path the layers below are searched.

Beyond the kernel, every lower inode that is met is looked for in the index,
because it may have been copied up under another name, or under none.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from index import xattrs
from index.entries import GONE, UpperInode
from index.fd import Fd, components, is_whiteout, open_name
from index.identity import Identity
from index.layers import Layer
from overlay import nlink
from overlay.adopt import adopt_dir, adopt_file
from overlay.node import DirNode, FileNode, LowerDir, Node, Place
from overlay.tree import Tree


@dataclass(frozen=True, slots=True)
class LowerFile:
    """A non-directory found in a lower layer."""

    layer: Layer
    fd: Fd
    st: os.stat_result


@dataclass(frozen=True, slots=True)
class _Step:
    """What one layer says of a path: the object if it has it, and where to go on below."""

    found: tuple[Fd, os.stat_result] | None = None
    stop: bool = False
    redirect: bytes | None = None


def lookup(tree: Tree, parent: DirNode, name: bytes) -> Node | None:
    """The object called `name` in `parent`; None where there is none.

    Permission is the caller's to check, `.` and `..` are the caller's to handle.
    """
    if parent.upper is not None:
        found = open_name(parent.upper, name)
        if found is not None:
            fd, st = found
            if is_whiteout(st):
                return None
            if stat.S_ISDIR(st.st_mode):
                return upper_dir(tree, parent, name, fd)
            return upper_file(tree, fd, st, Place(parent.handle, name))
    below = find_lower(tree, parent.lowers, name)
    if isinstance(below, LowerFile):
        return lower_file(tree, below, Place(parent.handle, name))
    return lower_dir(tree, below, Place(parent.handle, name)) if below else None


def find_lower(
    tree: Tree, lowers: Sequence[LowerDir], name: bytes
) -> LowerFile | tuple[LowerDir, ...]:
    """What the lower layers alone have under `name`: a file, or a stack of directories."""
    return _search(tree, lowers, [name])


def _search(
    tree: Tree, bases: Sequence[LowerDir], path: list[bytes]
) -> LowerFile | tuple[LowerDir, ...]:
    stack: list[LowerDir] = []
    redirected: list[LowerDir] = []  # directories of the stack that redirect the search below
    position = 0
    while position < len(bases):
        base = bases[position]
        position += 1
        step = _look_in_layer(tree, base, path)
        if step.found is not None:
            fd, st = step.found
            if not stat.S_ISDIR(st.st_mode):
                return tuple(stack) if stack else LowerFile(base.layer, fd, st)
            here = LowerDir(base.layer, fd)
            stack.append(here)
            for source in redirected[-1:]:
                _note_redirect(tree, source, here)
            if step.redirect is not None:
                redirected.append(here)
        if step.stop:
            break
        if step.redirect is not None:
            path = components(step.redirect)
            if step.redirect.startswith(b"/"):
                bases = _roots_below(tree, base.layer)
                position = 0
    return tuple(stack)


def _look_in_layer(tree: Tree, base: LowerDir, path: list[bytes]) -> _Step:
    """Walk `path` below one directory of one layer."""
    fd, st, last = base.fd, None, base.layer is tree.layers.lowers[-1]
    redirect: bytes | None = None
    stop = False
    for depth, name in enumerate(path):
        found = open_name(fd, name)
        if found is None:
            return _Step(None, stop, redirect)
        fd, st = found
        if is_whiteout(st):
            return _Step(None, True)
        if not stat.S_ISDIR(st.st_mode):
            at_end = depth == len(path) - 1
            return _Step((fd, st), True) if at_end else _Step(None, True)
        if not last:
            stop = stop or is_opaque(fd)
            value = xattrs.get(fd, xattrs.REDIRECT)
            if value is not None:
                redirect = _replaced(path, depth, value)
    assert st is not None
    return _Step((fd, st), stop, redirect)


def _replaced(path: list[bytes], depth: int, redirect: bytes) -> bytes:
    """The path to search below, when the component at `depth` is redirected."""
    rest = path[depth + 1 :]
    if redirect.startswith(b"/"):
        return b"/".join([redirect, *rest])
    return b"/".join([*path[:depth], redirect, *rest])


def _roots_below(tree: Tree, layer: Layer) -> tuple[LowerDir, ...]:
    lowers = tree.root.lowers
    above = [lower.layer for lower in lowers].index(layer)
    return lowers[above + 1 :]


def _note_redirect(tree: Tree, source: LowerDir, target: LowerDir) -> None:
    """Record which directory of a higher layer leads to `target`, so that it can be found again."""
    fileid = target.layer.fileid(os.fstat(target.fd).st_ino)
    if tree.index.find(fileid) is None:
        identity = target.layer.identity(target.fd, os.fstat(target.fd), is_dir=True)
        lower = source.layer.identity(source.fd, os.fstat(source.fd), is_dir=True)
        with tree.changing():
            tree.index.put_directory(identity, lower=lower)


def is_opaque(fd: int) -> bool:
    """Whether a directory hides what is below it."""
    return xattrs.get(fd, xattrs.OPAQUE) == b"y"


def upper_file(tree: Tree, fd: Fd, st: os.stat_result, place: Place | None) -> FileNode | None:
    """The node of a non-directory of the upper layer; None when it has no name left."""
    assert tree.layers.upper is not None
    mark = xattrs.get(fd, xattrs.FH)
    identity = None if mark is None else Identity.unpack(mark)
    if identity is None:
        identity = adopt_file(tree, fd, st)
        if identity is not None:
            st = os.fstat(fd)
    if identity is None:
        identity = tree.layers.upper.identity(fd, st, is_dir=False)
        generation = tree.objects.of(identity.fileid)
        return tree.add_file(identity, generation, tree.layers.upper, fd, st.st_mode, place=place)
    return indexed_file(tree, identity, UpperInode(fd, st), place)


def indexed_file(
    tree: Tree, identity: Identity, inode: UpperInode, place: Place | None
) -> FileNode | None:
    """The node of a copied-up non-directory; None when it has no name left."""
    assert tree.layers.upper is not None
    generation = tree.objects.of(identity.fileid)
    visible = nlink.count(tree, identity, inode.fd, inode.st)
    if visible <= 0:
        return None
    return tree.add_file(
        identity,
        generation,
        tree.layers.upper,
        inode.fd,
        inode.st.st_mode,
        nlink_adjust=visible - inode.st.st_nlink,
        place=place,
    )


def upper_dir(tree: Tree, parent: DirNode, name: bytes, fd: Fd) -> DirNode:
    """The node of a directory of the upper layer, with what it merges with."""
    lowers = _below_upper_dir(tree, parent, name, fd)
    mark = xattrs.get(fd, xattrs.FH)
    identity = None if mark is None else Identity.unpack(mark)
    if identity is None:
        identity = adopt_dir(tree, fd, lowers)
    generation = tree.objects.of(identity.fileid)
    return tree.add_dir(identity, generation, fd, lowers, None)


def _below_upper_dir(tree: Tree, parent: DirNode, name: bytes, fd: Fd) -> tuple[LowerDir, ...]:
    if is_opaque(fd):
        return ()
    redirect = xattrs.get(fd, xattrs.REDIRECT)
    if redirect is not None and redirect.startswith(b"/"):
        below = _search(tree, tree.root.lowers, components(redirect))
    else:
        below = find_lower(tree, parent.lowers, redirect or name)
    return () if isinstance(below, LowerFile) else below


def lower_file(tree: Tree, found: LowerFile, place: Place | None) -> FileNode | None:
    """The node of a non-directory found in a lower layer, wherever it lives now."""
    identity = found.layer.identity(found.fd, found.st, is_dir=False)
    generation = tree.objects.of(identity.fileid)
    entry = tree.index.find(identity.fileid)
    if entry is None and found.st.st_nlink > 1:
        entry = _indexed_by_kernel(tree, found, identity)
    if isinstance(entry, UpperInode):
        return indexed_file(tree, identity, entry, place)
    if entry == GONE:
        return None
    return tree.add_file(identity, generation, found.layer, found.fd, found.st.st_mode, place=place)


def _indexed_by_kernel(tree: Tree, found: LowerFile, identity: Identity) -> UpperInode | None:
    """The upper inode of a lower one with several names, from the kernel's index."""
    origin = found.layer.origin(identity.real)
    fd = None if origin is None else tree.kernel_index.find(origin)
    if fd is None or adopt_file(tree, fd, os.fstat(fd)) != identity:
        return None
    return UpperInode(fd, os.fstat(fd))


def lower_dir(tree: Tree, stack: tuple[LowerDir, ...], place: Place) -> DirNode:
    """The node of a directory that only lower layers have."""
    bottom = stack[-1]
    identity = bottom.layer.identity(bottom.fd, os.fstat(bottom.fd), is_dir=True)
    generation = tree.objects.of(identity.fileid)
    return tree.add_dir(identity, generation, None, stack, place)
