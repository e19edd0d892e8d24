"""What is done about what was left half done: by a crash, or by a system call that failed.

Removals are settled (overlay.removal), and a directory that was being copied up
is where it always was.  Everything else in the staging directory was never
visible and is thrown away.  A start does so with all that is there, who takes the
namespace lock after one that died or could not with what was begun under that, and
who fails himself with what he began.  A crash in here loses nothing: the next does
it again.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from index import xattrs
from index.entries import DirectoryEntry
from index.fd import open_name
from index.handles import RealHandle, handle_of
from index.identity import Identity
from index.layers import Layer
from index.workdir import REMOVING
from overlay.changing import Mending
from overlay.removal import settle
from overlay.tree import Tree


def recover(tree: Tree) -> None:
    """Make the index agree with the upper layer, and empty the staging directory."""
    for name in _in_order(tree.workdir.leftovers()):
        _settle(tree, name)
    _discard_marks(tree)


def _discard_marks(tree: Tree) -> None:
    """Throw away attributes that inodes had no room for which are no more (index.marks)."""
    upper = tree.layers.upper
    for name, real, _ in tree.index.marks.all():
        if upper is None or real is None or _is_gone(upper, real):
            tree.index.marks.discard(name)


def mend_failures(tree: Tree) -> None:
    """From now on changes that fail are mended while the tree is served."""
    tree.mending = Mending(_take_back, _take_over)


def _take_back(tree: Tree) -> None:
    """Settle what was begun under the namespace lock, which is held, by a change that failed."""
    names = tree.workdir.unfinished.names
    for name in filter(_is_removal, list(names)):
        _settle(tree, name)
    while names:
        _settle(tree, names[-1])
        names.pop()


def _take_over(tree: Tree) -> None:
    """Go on in place of one that died with the namespace lock, or could not; it is held now.

    What it changed is on the disk, but it may have told nobody.
    """
    for name in _in_order(tree.workdir.leftovers()):
        if not tree.workdir.is_apart(name):
            _settle(tree, name)
    tree.forget_facts()


def _in_order(names: list[bytes]) -> list[bytes]:
    """Removals come first: a removed directory may be here as well, like one never finished."""
    return sorted(names, key=_is_removal, reverse=True)


def _is_removal(name: bytes) -> bool:
    return name.startswith(REMOVING)


def _settle(tree: Tree, name: bytes) -> None:
    """Finish or take back what is called so in the staging directory, if anything is."""
    removal = tree.index.removals.find(name)
    if removal is not None:
        settle(tree, removal)
        tree.index.removals.end(removal.identity)
        return
    _abandon_copy(tree, name)
    with suppress(FileNotFoundError):
        tree.workdir.discard(name)


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
