"""Several processes that serve one overlay: each is forked from the one that opened it.

The one that opened the overlay holds it against other servers, and calls
nothing of it but what is here.  What the others know of each other's changes
lies in memory that they share; what they exclude each other by goes with the
one that holds it, so that each may be killed at any moment.
"""

from __future__ import annotations

from functools import partial

from index.locks import NAMESPACE
from overlay import generations
from overlay.departures import Departures
from overlay.recovery import take_over
from overlay.tree import Tree


def share(tree: Tree, processes: int) -> None:
    """Prepare for so many processes at a time, before the first is forked."""
    if processes > 1:
        tree.departures = Departures(processes)
    tree.caches.nodes.clear()  # nobody would ever tell this process that one of them is gone


def join(tree: Tree, slot: int, number: int) -> None:
    """Be a process, just forked: the one in this slot, from 0, and of this number, from 1.

    A slot is given again when its process has died, a number never.
    """
    generations.join(number)
    others = None
    if tree.departures is not None:
        others = tree.workdir.lock(NAMESPACE)
        tree.departures.join(slot)
    tree.namespace.join(number, others, partial(take_over, tree))


def died(tree: Tree, pid: int) -> None:
    """A process has died: what it knew nobody knows, what it was making is thrown away.

    If it was in the middle of a change, the next process that makes one mends that.
    """
    tree.forget_facts()
    if tree.departures is not None:
        tree.departures.tell_of_death()
    tree.workdir.discard_of(pid)


def hear(tree: Tree) -> None:
    """Let go of what other processes have removed."""
    assert tree.departures is not None
    handles = tree.departures.hear()
    if handles is None:
        tree.caches.nodes.clear()
        return
    for handle in handles:
        tree.caches.nodes.forget(handle)
