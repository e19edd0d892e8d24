"""Whether to wait for a lock would close a circle, in which everybody waits for ever."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from nfsd.lock import Lock, Owner
from nfsd.lock_file import File, Waiter

# Of a search: owners and locks that are looked at.  A circle beyond is not found (Linux looks at
# 10, fs/locks.c): who waits in it can be interrupted.
_STEPS: Final = 512


class Search:
    """One search, among those who wait, from the wish of one owner on."""

    def __init__(self, waits: Mapping[Owner, Mapping[int, Waiter]], owner: Owner) -> None:
        self._waits = waits
        self._owner = owner
        self._left = _STEPS

    def closes_circle(self, file: File, wanted: Lock) -> bool:
        """Whether who is in the way waits for something that the owner has, or others who do."""
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
        """Who has what is in the way of a lock: the owner himself, and those who wait.

        They are looked for among those who wait, or those who hold, whoever are fewer.
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
        """Whether an owner has something that is in the way of a lock."""
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
