"""A change of an object's attributes, with what they were just before (RFC 1813 section 2.6).

A client that is told what was before takes all that is new for its own work, and keeps
what it has cached.  Data is written under no lock, so what was before is told only where
nobody else changed the object from before that was read until what is after was.

LINK, RENAME and REMOVE change a file's link count and ctime, and are not looked for: clients
take both from what is after, and what they have cached of the file still holds.
"""

from __future__ import annotations

from typing import Final

from overlay.model.attributes import Attributes, Change
from overlay.model.node import Node
from overlay.model.tree import Tree


class Sole:
    """To be begun before the attributes are read that count as those before."""

    __slots__ = ("_at", "_node", "_seen", "_tree", "before")

    def __init__(self, tree: Tree, node: Node) -> None:
        self._tree: Final = tree
        self._node: Final = node

    def begin(self) -> None:
        """Read what is before; `end` must follow."""
        writers = self._tree.writers
        self._at = writers.enter(self._node.fileid)
        try:
            self._seen = writers.seen(self._at)
            self.before: Attributes = self._tree.attributes(self._node)
        except BaseException:
            writers.leave(self._at)
            raise

    def end(self, *, is_done: bool) -> None:
        """Others need not be seen any more."""
        if not is_done:
            self._tree.changed_attributes(self._node.fileid)  # some of them, perhaps
        self._tree.writers.leave(self._at)

    def change(self) -> Change:
        """Return what came of it, when it was made."""
        tree, node = self._tree, self._node
        after = tree.ask(node, tree.attribute_counters.bump(node.fileid))
        is_sole = tree.writers.is_alone(self._at, self._seen)
        return Change(self.before if is_sole else None, after)
