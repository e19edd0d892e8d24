"""Bringing changes of names and attributes to stable storage before they are answered.

The filesystem's journal has changes in order, so it is enough to wait for it up to
the last change of the directory or file itself.
"""

from __future__ import annotations

import stat

from index.linux.syscalls import syncfs
from overlay.base.blocking import may_block
from overlay.lookup.resolve import resolve
from overlay.model.node import DirNode
from overlay.model.tree import Tree
from overlay.ops.io import sync


def sync_object(tree: Tree, handle: bytes) -> None:
    """Wait until what was changed of an object, or of a directory's names, is on the disk."""
    may_block()
    node = resolve(tree, handle)
    if isinstance(node, DirNode):
        if node.upper is not None:
            sync(tree, node.upper)
    elif node.is_upper and stat.S_ISREG(node.mode):
        sync(tree, node.reader())
    elif node.is_upper:
        syncfs(tree.workdir.root)  # others cannot be opened
