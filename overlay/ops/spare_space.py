"""Removals on a full upper layer, which take space that was set aside for them (index.spare)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from overlay.base.errors import WouldBlock
from overlay.model.tree import Tree

T = TypeVar("T")
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
# Each time twice as many, so that the seventh time is as good as all.
_PIECES: Final = (1, 2, 4, 8, 16, 32, 64)
_AT_ONCE: Final = 16  # pieces to set aside again, which takes a millisecond or less


def with_spare(tree: Tree, remove: Callable[[], T]) -> T:
    """Return what `remove` returns, tried again with ever more spare space where there is none."""
    for pieces in _PIECES:
        try:
            done = remove()
        except OSError as problem:
            if problem.errno not in _FULL or not _release(tree, pieces):
                raise
        else:
            if tree.workdir.spare.is_due():
                _refill(tree)
            return done
    return remove()


def _release(tree: Tree, pieces: int) -> bool:
    with tree.changing():
        return tree.workdir.spare.release(pieces)


def _refill(tree: Tree) -> None:
    with suppress(WouldBlock), tree.changing():  # the removal was made, and is not made again
        tree.workdir.spare.fill(_AT_ONCE)


def fill_spare(tree: Tree) -> None:
    """Set space aside, if there is an upper layer and enough is free."""
    if tree.layers.upper is not None:
        with tree.changing():
            tree.workdir.spare.fill()
