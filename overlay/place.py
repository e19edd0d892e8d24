"""Where in the lower layers a file is that was opened by its handle: a name, if one can be had."""

from __future__ import annotations

import os

from index.fd import Fd, components, open_dir
from index.handles import handle_of
from index.layers import Layer
from index.paths import short_path
from overlay.decode import from_lower
from overlay.node import FileNode, Place
from overlay.tree import Tree


def find_place(tree: Tree, node: FileNode) -> Place | None:
    """A name of a lower file that was opened by handle, if the kernel happens to know one.

    A handle does not say which layer of its filesystem the file is in, and only by
    way of that layer's mount has it a path.
    """
    if node.identity.is_by_path:
        return _place_of(tree, node.layer, node.fd, tree.index.lower_path(node.identity))
    real = handle_of(node.fd)
    for layer in tree.layers.lowers:
        if layer.filesystem == node.layer.filesystem and layer.has_handles:
            fd = layer.open_handle(real, os.O_PATH)
            # A long path is not to be had, as nothing leads up from a file.
            place = _place_of(tree, layer, fd, short_path(fd))
            if place is not None:
                return place
    return None


def _place_of(tree: Tree, layer: Layer, fd: Fd, path: bytes | None) -> Place | None:
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
    return None if parent is None else Place(parent.handle, names[-1])
