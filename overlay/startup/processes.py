"""Several processes that serve one overlay: each is forked from the one that opened it.

The one that opened the overlay holds it against other servers, and calls
nothing of it but what is here.  What the others know of each other's changes
lies in memory that they share; what they exclude each other by goes with the
one that holds it, so that each may be killed at any moment.
"""

from __future__ import annotations

from overlay.base import generations
from overlay.model.caches import Caches
from overlay.model.tree import Tree


def share(tree: Tree, processes: int, caches: Caches) -> None:
    """Prepare for so many processes at a time, before the first of them is forked.

    Each keeps what it learns in `caches`, which are empty, and stay so in this process:
    nobody would ever tell it that something is gone.
    Those that were forked before do not tell these what they remove, but that they
    have ended (`died`).
    """
    tree.share(processes, caches)


def join(tree: Tree, slot: int, number: int) -> None:
    """Be a process, just forked: the one in this slot, from 0, and of this number, from 1.

    A slot is given again when its process has died, a number never.
    """
    generations.join(number)
    if tree.removal_ring is not None:
        tree.removal_ring.join(slot)
    tree.writers.join(number)
    tree.namespace.join(number)


def died(tree: Tree, pid: int) -> None:
    """Record that a process has died: what it knew nobody knows, what it was making is thrown away.

    If it was in the middle of a change, the next process that makes one mends that.
    """
    generations.bump_all()
    tree.writers.died(pid)
    if tree.removal_ring is not None:
        tree.removal_ring.tell_of_death()
    tree.workdir.discard_of(pid)


def hear(tree: Tree) -> bool:
    """Let go of what other processes have removed; returns whether there was something."""
    assert tree.removal_ring is not None
    handles = tree.removal_ring.hear()
    if handles is None:
        tree.caches.nodes.clear()
        return True
    for handle in handles:
        tree.caches.nodes.forget(handle)
    return bool(handles)
