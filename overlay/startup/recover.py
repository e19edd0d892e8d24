"""What is done about what was left half done: by a crash, or by a system call that failed.

Removals are finished (overlay.ops.last_name), and a directory that was being copied up
is where it always was.  Everything else in the staging directory was never
visible and is thrown away.  A start does so with all that is there; the process that
takes the namespace lock after one that died or could not, with what was begun under the
lock; and a change that fails, with what it began itself.  A crash in here loses nothing: the
next start does it again.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from index import xattrs
from index.identity import Identity
from index.index import DirectoryEntry
from index.layers import Layer
from index.linux.fd import open_name
from index.linux.file_handle import RealHandle, handle_of
from index.workdir import REMOVING
from overlay.base.generations import bump_all
from overlay.model.changing import Mending
from overlay.model.tree import Tree
from overlay.ops.last_name import finish_removal


def recover(tree: Tree) -> None:
    """Make the index agree with the upper layer, and empty the staging directory."""
    for name in _in_order(tree.workdir.leftovers()):
        _finish(tree, name)
    _discard_marks(tree)


def _discard_marks(tree: Tree) -> None:
    """Throw away attributes that inodes had no room for which are no more (index.marks)."""
    upper = tree.layers.upper
    for name, real, _ in tree.index.marks.all():
        if upper is None or real is None or _is_gone(upper, real):
            tree.index.marks.discard(name)


def mend_failures(tree: Tree) -> None:
    """Have changes that fail mended from now on, while the tree is served."""
    tree.mend_by(Mending(_take_back, _take_over))


def _take_back(tree: Tree) -> None:
    """Finish or undo what a failed change began; the namespace lock is held."""
    names = tree.workdir.unfinished.names
    for name in filter(_is_removal, list(names)):
        _finish(tree, name)
    while names:
        _finish(tree, names[-1])
        names.pop()


def _take_over(tree: Tree) -> None:
    """Go on in place of one that died with the namespace lock, or could not; it is held now.

    What it changed is on the disk, but it may have told nobody.
    """
    for name in _in_order(tree.workdir.leftovers()):
        if not tree.workdir.is_apart(name):
            _finish(tree, name)
    bump_all()


def _in_order(names: list[bytes]) -> list[bytes]:
    """Removals come first: a removed directory may be here as well, like one never finished."""
    return sorted(names, key=_is_removal, reverse=True)


def _is_removal(name: bytes) -> bool:
    return name.startswith(REMOVING)


def _finish(tree: Tree, name: bytes) -> None:
    """Finish or take back what is called so in the staging directory, if anything is."""
    removal = tree.index.removals.find(name)
    if removal is not None:
        finish_removal(tree, removal)
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
    identity = Identity.unpack(tree.index.marks.get(found[0], xattrs.FH))
    entry = None if identity is None else tree.index.find(identity)
    if identity is None or not isinstance(entry, DirectoryEntry):
        return
    if entry.upper == handle_of(found[0]):
        tree.index.forget_upper(identity)


def _is_gone(upper: Layer, real: RealHandle) -> bool:
    try:
        return upper.open_handle(real, os.O_PATH) is None
    except OSError as problem:
        if problem.errno != errno.EINVAL:
            raise
        return True
