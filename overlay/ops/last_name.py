"""Taking the last name of an object that comes from a lower inode.

Two marks must agree afterwards: the name is gone, and the index has buried the
object, so that its handles are stale for ever.  An intent in `staging/`, made
before both, lets a start after a crash make the second agree with the first.
Whether the name went is not recorded: the upper layer shows it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial

from index import xattrs
from index.identity import Identity
from index.index import DirectoryEntry, UpperInode
from index.linux.fd import DIR_FLAGS, Fd, open_name
from index.linux.file_handle import handle_of
from index.removals import Removal
from overlay.lookup import nlink
from overlay.model.node import Node
from overlay.model.tree import Tree


def take_last_name(
    tree: Tree, node: Node, upper: Fd, name: bytes, take: Callable[[], None]
) -> None:
    """Have the last name, `name` in the upper directory `upper`, taken from an object.

    A crash anywhere leaves the object whole, or gone with the next start.  A failure that
    is raised leaves it whole.
    """
    if not node.is_indexed:
        take()
        return
    removal = Removal(node.identity, handle_of(upper), tree.upper_path(upper), name)
    _begin(tree, removal, node)
    try:
        take()
    except OSError:
        if not _happened(tree, removal):
            tree.workdir.finish(partial(tree.index.removals.end, node.identity))
            raise
        # It did, and what failed came after that.
    finally:
        tree.changed_object(node.fileid)
    tree.workdir.finish(partial(bury, tree, node.identity))
    if not tree.workdir.unfinished.is_left:  # else the intent says that it is to be buried
        tree.workdir.finish(partial(tree.index.removals.end, node.identity))


def _begin(tree: Tree, removal: Removal, node: Node) -> None:
    """Make the intent.  What is in the upper layer can be removed however full that is."""
    try:
        tree.index.removals.begin(removal)
    except OSError as problem:
        if not node.is_upper or problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        if not tree.workdir.spare.release(1, last=True):
            raise
        tree.index.removals.begin(removal)


def finish_removal(tree: Tree, removal: Removal) -> None:
    """Make the index agree with whether the name went."""
    if _happened(tree, removal):
        bury(tree, removal.identity)
    tree.changed_object(removal.identity.fileid)


def _happened(tree: Tree, removal: Removal) -> bool:
    entry = tree.index.find(removal.identity)
    if isinstance(entry, UpperInode):
        identity = Identity.unpack(tree.index.marks.get(entry.fd, xattrs.FH))
        return identity is not None and nlink.count(tree, identity, entry.fd, entry.st) <= 0
    there = _now(tree, removal)
    if isinstance(entry, DirectoryEntry) and entry.upper is not None:
        return there is None or handle_of(there) != entry.upper
    return there is not None  # a whiteout, or what was renamed over the lower object


def _now(tree: Tree, removal: Removal) -> Fd | None:
    """Return what the upper layer has under the name."""
    upper = tree.layers.upper
    assert upper is not None
    parent = upper.open_handle(removal.parent, DIR_FLAGS)
    if parent is None and removal.path is not None:  # the layer was copied, or it is gone
        parent = upper.open_path(removal.path, DIR_FLAGS)
    if parent is None:
        return None
    found = open_name(parent, removal.name)
    return None if found is None else found[0]


def bury(tree: Tree, identity: Identity) -> None:
    """Make the handles of an object stale for ever, and let go of its upper inode."""
    fd = tree.index.open(identity)
    origin = None if fd is None else tree.kernel.get(fd, xattrs.ORIGIN)
    if origin is not None:
        tree.kernel_index.remove(origin)  # first: the index entry is what leads here
    tree.index.bury(identity)
