"""Replies that are kept, to be given again while all that they say still holds.

A call that only reads gets the same answer whenever its arguments and its user
are the same and nothing has changed that the answer was made of.  What that is
the overlay knows (overlay.generations): a change through any process moves
counters, and the reply is then made anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from nfsd.record import mark
from overlay.cache import PLACE_BYTES, Cache, Room
from overlay.generations import Basis

# What was asked, by whom: a number for the procedure and the user, and the
# arguments as they were sent.
Question: TypeAlias = tuple[int, bytes]

_SHARE: Final = 1 / 2  # of a room
# Bytes that an entry takes besides the data: the question, what is kept, headers of objects.
_ENTRY_BYTES: Final = PLACE_BYTES + 340


@dataclass(slots=True)
class Kept:
    """A reply, and what it was made of."""

    mark: bytes  # what comes before its xid
    body: bytes  # and behind it
    size: int  # of both and the xid, in bytes
    basis: Basis
    outcome: int  # what is counted when it is given (nfsd.tally)


class KeptReplies(Cache[Question, Kept]):
    """Replies by question, in a room with what else is kept."""

    def __init__(self, room: Room) -> None:
        super().__init__(room, _SHARE, _bytes)

    def get(self, question: Question) -> Kept | None:
        """The reply to a question, if there is one and it still holds."""
        kept = self._young.get(question)
        if kept is None:
            kept = super().get(question)
            if kept is None:
                return None
        return kept if kept.basis.holds() else None

    def keep(self, question: Question, body: bytes, basis: Basis, outcome: int = 0) -> None:
        """Keep a reply, `body` being what comes behind its xid."""
        size = 4 + len(body)
        kept = Kept(mark(size), body, 4 + size, basis, outcome)
        if _bytes(question, kept) <= self.share:
            self.put(question, kept)


def _bytes(question: Question, kept: Kept) -> int:
    return _ENTRY_BYTES + len(question[1]) + len(kept.body) + kept.basis.size
