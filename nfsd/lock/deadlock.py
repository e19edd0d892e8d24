"""Deadlocks: a circle of owners that would wait for each other for ever."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from nfsd.lock.file import File, Waiter
from nfsd.lock.types import Lock, Owner

# How many owners and locks a search looks at.  A longer circle is not found (Linux looks at 10,
# fs/locks.c); its processes can be interrupted.
_STEPS: Final = 512


class Search:
    """One search among the waiting owners, for a circle with this owner."""

    def __init__(self, waits: Mapping[Owner, Mapping[int, Waiter]], owner: Owner) -> None:
        self._waits = waits
        self._owner = owner
        self._left = _STEPS

    def closes_circle(self, file: File, wanted: Lock) -> bool:
        """Return whether a conflicting owner waits for this one, directly or through others."""
        seen: set[Owner] = set()
        unseen = [(file, wanted)]
        while unseen:
            for owner in self._in_the_way(*unseen.pop()):
                if owner == self._owner:
                    return True
                if owner not in seen:
                    seen.add(owner)
                    unseen += [(each.file, each.lock) for each in self._waiting(owner)]
        return False

    def _in_the_way(self, file: File, lock: Lock) -> Iterator[Owner]:
        """Yield owners that hold a conflicting lock: this one, and those that wait.

        The search goes through the waiting owners or the holding ones, whichever are fewer.
        """
        if len(self._waits) < len(file.holdings):
            candidates: Iterable[Owner] = (self._owner, *self._waits)
        else:
            candidates = file.holdings
        for owner in candidates:
            self._left -= 1
            if self._left < 0:
                return
            if (owner == self._owner or owner in self._waits) and self._has(file, owner, lock):
                yield owner

    def _has(self, file: File, owner: Owner, lock: Lock) -> bool:
        """Return whether an owner holds a lock that conflicts."""
        holding = file.holdings.get(owner)
        if holding is None or holding.account.is_gone or owner == lock.owner:
            return False
        near = holding.near(lock.begin, lock.end)
        for span in islice(holding.spans, near.start, near.stop):
            self._left -= 1
            if self._left < 0:
                break
            if (span.exclusive or lock.exclusive) and (
                span.begin < lock.end and lock.begin < span.end
            ):
                return True
        return False

    def _waiting(self, owner: Owner) -> list[Waiter]:
        return [each for each in self._waits.get(owner, {}).values() if not each.account.is_gone]
