"""Locks of many owners on one file, found by their bytes: each step costs O(log n).

They are a tree in the order of the first byte, balanced by random priorities (a treap), so that no
client can choose locks that make it deep.  Each node has the last end of all locks below it,
the holder that has it, and the last end of all other holders.  So a search for a lock of another
holder skips the locks of this one.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any, Final

_serials = itertools.count()  # the order of those that begin at the same byte


class Span:
    """One lock that is held, as a node of the tree; holders are compared by identity.

    It has no `holder` when it was removed from the tree.
    """

    __slots__ = (
        "begin",
        "end",
        "exclusive",
        "farthest",
        "farthest_of",
        "farthest_other",
        "holder",
        "is_doomed",
        "left",
        "priority",
        "queue",
        "right",
        "serial",
    )

    def __init__(self, holder: object, begin: int, end: int, exclusive: bool) -> None:
        self.holder: Any = holder
        self.begin = begin
        self.end = end
        self.exclusive = exclusive
        self.is_doomed = False  # released, and to be removed from the tree
        self.queue: dict[int, Any] | None = None  # its waiters, in the order in which they came
        self.serial = next(_serials)
        self.priority = random.random()
        self.left: Span | None = None
        self.right: Span | None = None
        # Of this and all below: the last end, its holder, and the last end of all other holders.
        self.farthest = end
        self.farthest_of = holder
        self.farthest_other = 0


class Intervals:
    """The locks of one kind on one file."""

    __slots__ = ("_root",)

    def __init__(self, spans: Sequence[Span] = ()) -> None:
        """Make a tree of locks that are in none; O(n) if they are in order already."""
        self._root = _built(sorted(spans, key=lambda span: (span.begin, span.serial)))

    def __bool__(self) -> bool:
        """Return whether there are any locks."""
        return self._root is not None

    def add(self, new: Span) -> None:
        """Add a lock."""
        above: Span | None = None
        is_left = False
        node = self._root
        while node is not None and node.priority >= new.priority:
            _extend(node, new.end, new.holder, 0)
            above, is_left = node, _is_before(new, node)
            node = node.left if is_left else node.right
        new.left, new.right = _split(node, new)
        _measure(new)
        self._hang(above, is_left, new)

    def remove(self, old: Span) -> None:
        """Remove a lock, which is in the tree."""
        path: list[Span] = []
        node = self._root
        while node is not old:
            assert node is not None, "it is not there"
            path.append(node)
            node = node.left if _is_before(old, node) else node.right
        above = path[-1] if path else None
        self._hang(above, above is not None and above.left is old, _joined(old.left, old.right))
        for node in reversed(path):
            _measure(node)
        old.left = old.right = None

    def of_another(self, begin: int, end: int, holder: object) -> Span | None:
        """Return the first lock on some of these bytes that is another holder's."""
        node = self._root
        while node is not None:
            if node.begin >= end:
                node = node.left
                continue
            if node.left is not None and _farthest_of_others(node.left, holder) > begin:
                return _leftmost(node.left, begin, holder)
            if node.end > begin and node.holder is not holder:
                return node
            node = node.right
        return None

    def farthest_end(self, at: int) -> int:
        """Return the last end of the locks that begin here or before; 0 if there are none."""
        found, node = 0, self._root
        while node is not None:
            if node.begin > at:
                node = node.left
                continue
            found = max(found, node.end, 0 if node.left is None else node.left.farthest)
            node = node.right
        return found

    def next_after(self, at: int, limit: int) -> int:
        """Return where the next lock after this byte begins, `limit` at most."""
        found, node = limit, self._root
        while node is not None:
            if node.begin > at:
                found = min(found, node.begin)
                node = node.left
            else:
                node = node.right
        return found

    def _hang(self, above: Span | None, is_left: bool, node: Span | None) -> None:
        if above is None:
            self._root = node
        elif is_left:
            above.left = node
        else:
            above.right = node


def _is_before(one: Span, other: Span) -> bool:
    return one.begin < other.begin or (one.begin == other.begin and one.serial < other.serial)


def _farthest_of_others(node: Span, holder: object) -> int:
    """Return the last end of the locks of other holders, of a node and all below."""
    return node.farthest_other if node.farthest_of is holder else node.farthest


def _leftmost(node: Span, begin: int, holder: object) -> Span:
    """Return the first lock of another holder that ends after `begin`; the tree has one."""
    while True:
        if node.left is not None and _farthest_of_others(node.left, holder) > begin:
            node = node.left
        elif node.end > begin and node.holder is not holder:
            return node
        else:
            assert node.right is not None, "the tree has one"
            node = node.right


def _extend(node: Span, end: int, holder: object, other: int) -> None:
    """Count locks of a holder up to `end`, and those of all others up to `other`."""
    if node.farthest_of is holder:
        node.farthest = max(node.farthest, end)
        node.farthest_other = max(node.farthest_other, other)
    elif end > node.farthest:
        node.farthest_other = max(node.farthest, other)
        node.farthest, node.farthest_of = end, holder
    else:
        node.farthest_other = max(node.farthest_other, end)


def _measure(node: Span) -> None:
    """Compute the ends that a node has of itself and all below."""
    node.farthest, node.farthest_of, node.farthest_other = node.end, node.holder, 0
    child = node.left
    if child is not None:
        _extend(node, child.farthest, child.farthest_of, child.farthest_other)
    child = node.right
    if child is not None:
        _extend(node, child.farthest, child.farthest_of, child.farthest_other)


def _split(node: Span | None, at: Span) -> tuple[Span | None, Span | None]:
    """Return the part of a tree before a lock, and the part after it."""
    if node is None:
        return None, None
    if _is_before(node, at):
        node.right, behind = _split(node.right, at)
        _measure(node)
        return node, behind
    before, node.left = _split(node.left, at)
    _measure(node)
    return before, node


def _joined(one: Span | None, other: Span | None) -> Span | None:
    """Join two trees, all of the first before all of the other."""
    if one is None or other is None:
        return one or other
    if one.priority >= other.priority:
        one.right = _joined(one.right, other)
        _measure(one)
        return one
    other.left = _joined(one, other.left)
    _measure(other)
    return other


def _built(spans: Sequence[Span]) -> Span | None:
    """Return the root of a tree of locks that are in order."""
    edge: list[Span] = []  # from the root to the right
    for span in spans:
        below: Span | None = None
        while edge and edge[-1].priority < span.priority:
            below = edge.pop()
            _measure(below)
        span.left = below
        if edge:
            edge[-1].right = span
        edge.append(span)
    root: Final = edge[0] if edge else None
    while edge:
        _measure(edge.pop())
    return root
