"""What a start does about a crash, before the first request.

Only removals need settling (index.entries); everything else in the staging
directory was never visible and is thrown away.
"""

from __future__ import annotations

import errno
import os

from index.entries import Removal
from index.fd import DIR_FLAGS
from overlay.tree import Tree


def recover(tree: Tree) -> None:
    """Make the index agree with the upper layer, and empty the staging directory."""
    for removal in tree.index.unfinished_removals():
        if _happened(tree, removal):
            tree.index.bury(removal.fileid)
    for name in tree.workdir.leftovers():
        tree.workdir.discard(name)


def _happened(tree: Tree, removal: Removal) -> bool:
    """Whether the upper layer covers the lower name, by a whiteout or what was renamed over it."""
    assert tree.layers.upper is not None
    try:
        parent = tree.layers.upper.open_handle(removal.parent, DIR_FLAGS)
        os.stat(removal.name, dir_fd=parent, follow_symlinks=False)
    except OSError as problem:
        if problem.errno in (errno.ENOENT, errno.ESTALE):
            return False
        raise
    return True
