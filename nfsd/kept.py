"""Replies that are kept, to be given again while all that they say still holds.

A call that only reads gets the same answer whenever its arguments and its user
are the same and nothing has changed that the answer was made of.  What that is
the overlay knows (overlay.generations): a change through any process moves
counters, and the reply is then made anew.

New replies push out those that nobody asked for lately: each is young until
half of the room is taken, then old, and what is old and not asked for until the
next time is let go of.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from nfsd.record import mark
from overlay.generations import Basis

# What was asked, by whom: a number for the procedure and the user, and the
# arguments as they were sent.
Question: TypeAlias = tuple[int, bytes]

# Bytes that an entry takes besides the data: dictionary, tuples, headers of objects.
_OVERHEAD: Final = 400


class Kept(NamedTuple):
    """A reply, and what it was made of."""

    mark: bytes  # what comes before its xid
    body: bytes  # and behind it
    size: int  # of both and the xid, in bytes
    basis: Basis
    room: int  # bytes of memory that it takes
    outcome: int  # what is counted when it is given (nfsd.tally)


class KeptReplies:
    """Replies by question, which take `room` bytes of memory at most; 0 keeps none."""

    def __init__(self, room: int) -> None:
        self._half = room // 2
        self._young: dict[Question, Kept] = {}
        self._old: dict[Question, Kept] = {}
        self._taken = 0  # by the young ones

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, question: Question) -> Kept | None:
        """The reply to a question, if there is one and it still holds."""
        kept = self._young.get(question)
        if kept is None:
            kept = self._old.pop(question, None)
            if kept is None:
                return None
            self._put(question, kept)
        return kept if kept.basis.holds() else None

    def put(self, question: Question, body: bytes, basis: Basis, outcome: int = 0) -> None:
        """Keep a reply, `body` being what comes behind its xid."""
        size = 4 + len(body)
        room = _OVERHEAD + len(question[1]) + size + basis.size
        if room <= self._half:
            self._put(question, Kept(mark(size), body, 4 + size, basis, room, outcome))

    def _put(self, question: Question, kept: Kept) -> None:
        before = self._young.get(question)
        if before is not None:
            self._taken -= before.room
        elif self._taken + kept.room > self._half:
            self._old, self._young, self._taken = self._young, {}, 0
        self._young[question] = kept
        self._taken += kept.room
