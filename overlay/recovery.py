"""What is done about a crash: of the server, before the first request, or of one of its processes.

Removals are settled (overlay.removal), and a directory that was being copied up
is where it always was.  Everything else in the staging directory was never
visible and is thrown away.  A crash in here loses nothing: the next start does
it again.
"""

from __future__ import annotations

import errno
import os
import stat

from index import xattrs
from index.entries import DirectoryEntry
from index.fd import open_name
from index.handles import RealHandle, handle_of
from index.identity import Identity
from index.layers import Layer
from overlay.removal import settle
from overlay.tree import Tree


def recover(tree: Tree) -> None:
    """Make the index agree with the upper layer, and empty the staging directory."""
    _settle_removals(tree)
    for name in tree.workdir.leftovers():
        _abandon_copy(tree, name)
        tree.workdir.discard(name)
    _discard_marks(tree)


def _discard_marks(tree: Tree) -> None:
    """Throw away attributes that inodes had no room for which are no more (index.marks)."""
    upper = tree.layers.upper
    for name, real, _ in tree.index.marks.all():
        if upper is None or real is None or _is_gone(upper, real):
            tree.index.marks.discard(name)


def take_over(tree: Tree) -> None:
    """Go on in place of a process that died with the namespace lock, which is held now.

    What it changed is on the disk, but it may have told nobody.
    """
    _settle_removals(tree)
    tree.forget_facts()


def _settle_removals(tree: Tree) -> None:
    for removal in tree.index.removals.unfinished():
        settle(tree, removal)
        tree.index.removals.end(removal.identity)


def _abandon_copy(tree: Tree, name: bytes) -> None:
    """Let the index forget a directory that it was to lead to and that never got its name."""
    found = open_name(tree.workdir.staging, name)
    if found is None or not stat.S_ISDIR(found[1].st_mode):
        return
    mark = tree.index.marks.get(found[0], xattrs.FH)
    identity = None if mark is None else Identity.unpack(mark)
    entry = None if identity is None else tree.index.find(identity)
    if identity is None or not isinstance(entry, DirectoryEntry):
        return
    if entry.upper == handle_of(found[0]):
        tree.index.forget_upper(identity)


def _is_gone(upper: Layer, real: RealHandle) -> bool:
    try:
        upper.open_handle(real, os.O_PATH)
    except OSError as problem:
        if problem.errno not in (errno.ESTALE, errno.EINVAL):
            raise
        return True
    return False
