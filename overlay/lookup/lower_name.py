"""Where in the lower layers a file is that was opened by its handle: a name, if one can be had."""

from __future__ import annotations

import errno
import os

from index.layers import Layer
from index.linux.fd import Fd, components, open_dir
from index.linux.file_handle import handle_of
from index.paths import short_path
from overlay.base.errors import error
from overlay.lookup.resolve import from_lower
from overlay.model.node import Dentry, FileNode
from overlay.model.tree import Tree


def find_dentry(tree: Tree, node: FileNode) -> Dentry | None:
    """Return a name of a lower file that was opened by handle, if the kernel happens to know one.

    A handle does not say which layer of its filesystem the file is in, and only by
    way of that layer's mount has it a path.
    """
    if node.identity.is_by_path:
        return _dentry_of(tree, node.layer, node.fd, tree.index.lower_path(node.identity))
    real = handle_of(node.fd)
    for layer in tree.layers.lowers:
        if layer.filesystem == node.layer.filesystem and layer.has_handles:
            fd = layer.open_handle(real, os.O_PATH)
            if fd is None:
                raise error(errno.ESTALE)
            # A long path is not to be had, as nothing leads up from a file.
            dentry = _dentry_of(tree, layer, fd, short_path(fd))
            if dentry is not None:
                return dentry
    return None


def _dentry_of(tree: Tree, layer: Layer, fd: Fd, path: bytes | None) -> Dentry | None:
    names = [] if path is None else components(path)
    if not names:
        return None
    st, real = os.fstat(fd), layer.root
    try:
        for name in names[:-1]:
            real = open_dir(real, name)
        found = os.stat(names[-1], dir_fd=real, follow_symlinks=False)
        parent = from_lower(tree, layer, real) if os.path.samestat(st, found) else None
    except (FileNotFoundError, NotADirectoryError):
        return None  # the path was of something else
    return None if parent is None else Dentry(parent.handle, names[-1])
