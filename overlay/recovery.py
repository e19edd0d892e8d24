"""What is done about a crash: of the server, before the first request, or of one of its processes.

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
    _settle_removals(tree)
    for name in tree.workdir.leftovers():
        tree.workdir.discard(name)


def take_over(tree: Tree) -> None:
    """Go on in place of a process that died with the namespace lock, which is held now.

    What it changed is on the disk, but it may have told nobody.
    """
    _settle_removals(tree)
    tree.forget_facts()


def _settle_removals(tree: Tree) -> None:
    for removal in tree.index.unfinished_removals():
        if _happened(tree, removal):
            tree.index.bury(removal.fileid)
        tree.index.cancel_removal(removal.fileid)


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
