"""The reply cache: replies to be given again while all that they say still holds.

A call that only reads gets the same answer whenever its arguments and its user
are the same and nothing has changed that the answer was made of.  What that is
the overlay knows (overlay.base.generations): a change through any process moves
counters, and the reply is then made anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from nfsd.rpc.record import mark
from overlay.base.generations import Basis
from overlay.base.lru import SLOT_BYTES, Cache, CacheBudget

# What was asked, by which caller: a number for the procedure and the user, and the
# arguments as they were sent.
Question: TypeAlias = tuple[int, bytes]

_SHARE: Final = 1 / 2  # of the budget
# Bytes that an entry takes besides the data: the question, the reply, headers of objects.
_ENTRY_BYTES: Final = SLOT_BYTES + 340


@dataclass(slots=True)
class CachedReply:
    """A reply, and what it was made of."""

    mark: bytes  # what comes before its xid
    body: bytes  # and behind it
    size: int  # of both and the xid, in bytes
    basis: Basis
    outcome: int  # what is counted when it is given (nfsd.rpc.call_stats)


class ReplyCache(Cache[Question, CachedReply]):
    """Replies by question, in a budget which other caches share."""

    def __init__(self, budget: CacheBudget) -> None:
        super().__init__(budget, _SHARE, _bytes)

    def get(self, question: Question) -> CachedReply | None:
        """Return the reply to a question, if there is one and it still holds."""
        cached = self._young.get(question)
        if cached is None:
            cached = super().get(question)
            if cached is None:
                return None
        return cached if cached.basis.holds() else None

    def add(self, question: Question, body: bytes, basis: Basis, outcome: int = 0) -> None:
        """Cache a reply, `body` being what comes behind its xid."""
        size = 4 + len(body)
        cached = CachedReply(mark(size), body, 4 + size, basis, outcome)
        if _bytes(question, cached) <= self.share:
            self.put(question, cached)


def _bytes(question: Question, cached: CachedReply) -> int:
    return _ENTRY_BYTES + len(question[1]) + len(cached.body) + cached.basis.size
