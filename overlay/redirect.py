"""Where the lower directories of a renamed directory are (overlayfs.rst, redirect_dir).

A merged directory that moves away from the path of its lower directories gets
`overlay.redirect`: the path under which the lower layers have it, as seen from
the root of the topmost lower layer.  It is made of the names on the way up,
with the redirects of the ancestors in place of their names.
"""

from __future__ import annotations

import os

from index import xattrs
from index.fd import DIR_FLAGS, Fd, path_of
from overlay.names import upper_of
from overlay.node import DirNode
from overlay.tree import Tree


def set_redirect(tree: Tree, node: DirNode, parent: DirNode, name: bytes) -> None:
    """Give a merged directory, still called `name` in `parent`, its redirect."""
    upper = upper_of(node)
    present = xattrs.get(upper, xattrs.REDIRECT)
    if present is None or not present.startswith(b"/"):
        xattrs.put(upper, xattrs.REDIRECT, _lower_path(tree, parent, present or name))


def _lower_path(tree: Tree, parent: DirNode, name: bytes) -> bytes:
    root = os.fstat(upper_of(tree.root))
    names = [name]
    fd = upper_of(parent)
    while not os.path.samestat(os.fstat(fd), root):
        redirect = xattrs.get(fd, xattrs.REDIRECT)
        names.append(redirect or os.path.basename(path_of(fd)))
        if redirect is not None and redirect.startswith(b"/"):
            return b"/".join(reversed(names))
        fd = Fd(os.open(b"..", DIR_FLAGS, dir_fd=fd))
    return b"/" + b"/".join(reversed(names))
