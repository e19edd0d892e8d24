"""How much of something that all clients share one address may take: as much as is still free.

So one takes half of it at most, whoever comes next half of the rest; and a little is
everybody's, whatever others have taken.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from nfsd.sources import source_name

_KNOWN: Final = 4096  # addresses of IPv6, of which one client may have very many
_LITTLES: Final = 4096  # in all: for so many addresses there is a little


_source_name: Final = lru_cache(_KNOWN)(source_name)


def taker_at(address: str) -> str:
    """Who takes what an address takes: all of a client's of IPv6 are one (nfsd.sources)."""
    return _source_name(address) if ":" in address else address


class Budget:
    """What is taken by each address: `total` in all, and as much again in small parts."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._little = max(1, total // _LITTLES)
        self._taken: dict[str, int] = {}
        self._sum = 0

    def has(self, address: str, amount: int) -> bool:
        """Whether an address may take so much more."""
        taken = self._taken.get(taker_at(address), 0) + amount
        return taken <= self._total - self._sum or (
            taken <= self._little and self._sum + amount <= 2 * self._total
        )

    def take(self, address: str, amount: int) -> None:
        """Count so much more, or less if it is negative, whether or not it may."""
        self._sum += amount
        address = taker_at(address)
        taken = self._taken.get(address, 0) + amount
        if taken:
            self._taken[address] = taken
        else:
            self._taken.pop(address, None)

    def __len__(self) -> int:
        """How much is taken."""
        return self._sum
