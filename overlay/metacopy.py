"""The data of files that have only their metadata in a layer (overlayfs.rst, metacopy).

`overlay.metacopy` marks such a file, in the upper layer or in a lower one.  Its
data is the next lower file's, found by `overlay.redirect` or under the same
name; that one may be a metacopy too.
"""

from __future__ import annotations

import errno
import os

from index import xattrs
from index.fd import Fd, components
from index.identity import Identity
from overlay.errors import error
from overlay.node import DirNode, LowerDir, Place
from overlay.search import LowerFile, redirect_of, search
from overlay.tree import Tree


def data_of(tree: Tree, fd: Fd, identity: Identity, place: Place | None) -> Fd | None:
    """The inode with the data of an upper file; None if that is its own.

    Raises EIO when the layer with the data is missing.
    """
    if not is_metacopy(tree, fd):
        return None
    origin = _origin(tree, identity)
    if origin is not None and not is_metacopy(tree, origin):
        return origin
    return _follow(tree, fd, tree.root.lowers, place)


def data_of_lower(tree: Tree, found: LowerFile, place: Place | None) -> Fd | None:
    """The inode with the data of a lower file; None if that is its own."""
    if not is_metacopy(tree, found.fd):
        return None
    return _follow(tree, found.fd, _below(tree, found), place)


def is_metacopy(tree: Tree, fd: Fd) -> bool:
    """Whether a file's data is elsewhere."""
    return tree.kernel.has_redirects and xattrs.has(fd, xattrs.METACOPY)


def _origin(tree: Tree, identity: Identity) -> Fd | None:
    opened = tree.open_origin(identity, os.O_PATH)
    return None if opened is None else opened[1]


def _follow(tree: Tree, fd: Fd, bases: tuple[LowerDir, ...], place: Place | None) -> Fd:
    """Go down from one metacopy to the next until there is data."""
    while True:
        redirect = redirect_of(tree, fd)
        if redirect is not None and redirect.startswith(b"/"):
            found = search(tree, bases + tree.data_roots, components(redirect))
        else:
            found = search(tree, _same_directory(tree, bases, place), [redirect or _name(place)])
        if not isinstance(found, LowerFile):
            raise error(errno.EIO)
        if not is_metacopy(tree, found.fd):
            return found.fd
        fd, bases = found.fd, _below(tree, found)


def _below(tree: Tree, found: LowerFile) -> tuple[LowerDir, ...]:
    layers = [lower.layer for lower in tree.root.lowers]
    if found.layer not in layers:
        return ()
    return tree.root.lowers[layers.index(found.layer) + 1 :]


def _same_directory(
    tree: Tree, bases: tuple[LowerDir, ...], place: Place | None
) -> tuple[LowerDir, ...]:
    """The directories of the layers in `bases` that the file's own directory merges."""
    parent = None if place is None else tree.cached(place.parent)
    if not isinstance(parent, DirNode):
        return ()
    layers = [base.layer for base in bases]
    return tuple(lower for lower in parent.lowers if lower.layer in layers)


def _name(place: Place | None) -> bytes:
    if place is None:
        raise error(errno.EIO)
    return place.name
