"""A change of an object's attributes, with what they were just before (RFC 1813 section 2.6).

A client that is told what was before takes all that is new for its own work, and keeps
what it has cached.  Data is written under no lock, so what was before is told only where
nobody else changed the object from before that was read until what is after was.
"""

from __future__ import annotations

from typing import Final

from overlay.attributes import Attributes, Change
from overlay.node import Node
from overlay.tree import Tree


class Sole:
    """To be begun before the attributes are read that count as those before."""

    __slots__ = ("_ended", "_node", "_place", "_stood", "_tree", "before")

    def __init__(self, tree: Tree, node: Node) -> None:
        self._tree: Final = tree
        self._node: Final = node

    def begin(self) -> None:
        """Read what is before; `end` must follow."""
        number, writers = self._node.fileid, self._tree.writers
        self._place = writers.enter(number)
        try:
            self._ended = writers.ended(number)
            self._stood = self._tree.stats.of(number)
            self.before: Attributes = self._tree.attributes(self._node)
        except BaseException:
            writers.leave(self._place, number)
            raise

    def end(self, *, is_done: bool) -> None:
        """Others need not be seen any more."""
        if not is_done:
            self._tree.changed_attributes(self._node.fileid)  # some of them, perhaps
        self._tree.writers.leave(self._place, self._node.fileid)

    def change(self) -> Change:
        """What came of it, when it was made."""
        tree, number = self._tree, self._node.fileid
        was_sole = tree.stats.of(number) == self._stood
        stands = tree.stats.bump(number)
        after = tree.ask(self._node, stands)
        # A bump just before this one cannot be seen any more, but that its maker has left.
        is_sole = tree.stats.of(number) == stands and self._is_alone(number)
        return Change(self.before if was_sole and is_sole else None, after)

    def _is_alone(self, number: int) -> bool:
        writers = self._tree.writers
        return writers.is_alone(number, self._place) and writers.ended(number) == self._ended
