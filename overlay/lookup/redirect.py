"""Where lower objects are, as the kernel looks for them (overlayfs.rst, redirect_dir).

A merged directory that moves away from the path of its lower directories gets
`overlay.redirect`: the path under which the lower layers have it, as seen from
the root of the topmost lower layer.  It is made of the names on the way up,
with the redirects of the ancestors in place of their names.  A metacopy has
one that leads to its data in the same way.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from index import xattrs
from index.paths import way_up
from overlay.base.errors import error
from overlay.lookup.resolve import parent_of
from overlay.model.node import KEPT_PATH_MAX, DirNode, Node
from overlay.model.tree import Tree


def set_redirect(tree: Tree, node: Node, parent: DirNode, name: bytes) -> None:
    """Give a merged directory or metacopy of the upper layer, `name` in `parent`, its redirect."""
    present = xattrs.get(node.real, xattrs.REDIRECT)
    if present is None or not present.startswith(b"/"):
        path = lower_path(tree, parent, present or name)
        with movable():
            tree.put_attribute(node.real, xattrs.REDIRECT, path)


def has_redirect(node: Node) -> bool:
    """Return whether an upper object's redirect leads to its lower ones wherever it is."""
    return (xattrs.get(node.real, xattrs.REDIRECT) or b"").startswith(b"/")


@contextmanager
def movable() -> Iterator[None]:
    """Raise EXDEV where an object has no room for the attribute with which it can be moved.

    As in the kernel's overlayfs: mv(1) then copies it.
    """
    try:
        yield
    except xattrs.NoXattrSpaceError as problem:
        raise error(errno.EXDEV) from problem


def lower_path(tree: Tree, parent: DirNode, name: bytes) -> bytes:
    """Return the path by which the lower layers have what they have as `name` in `parent`.

    That of a directory with lower ones is kept with it: wherever it or what it lies in is moved,
    a redirect leads to where they were.
    """
    path = parent.lower_path
    if path is None:
        path = _path_of(tree, parent)
        if parent.lowers and len(path) <= KEPT_PATH_MAX:
            parent.lower_path = path
    return path + b"/" + name


def _path_of(tree: Tree, node: DirNode) -> bytes:
    """Return the path by which the lower layers have what a directory has; b"" for the root."""
    names: list[bytes] = []
    root = tree.root
    while node.upper is None and node.handle != root.handle:
        assert node.dentry is not None
        names.append(node.dentry.name)
        node = parent_of(tree, node)
    if node.upper is not None and root.upper is not None:
        for directory, own in way_up(node.upper, root.upper):
            redirect = xattrs.get(directory, xattrs.REDIRECT)
            if redirect is not None and redirect.startswith(b"/"):
                return b"/".join((redirect, *reversed(names)))
            names.append(redirect or own)
    return b"".join(b"/" + name for name in reversed(names))
