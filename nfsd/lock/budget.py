"""How much one address may take of what all clients share: as much as is still free.

So one address takes half of it at most, the next one half of the rest. Each may take a little,
whatever the others have taken.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from nfsd.net.client_usage import source_name

_KNOWN: Final = 4096  # IPv6 addresses: one client may have very many
_LITTLES: Final = 4096  # so many addresses may take a little each


_source_name: Final = lru_cache(_KNOWN)(source_name)


def taker_at(address: str) -> str:
    """Return the name that an address is counted under: one for all IPv6 addresses of a client.

    See nfsd.net.client_usage.
    """
    return _source_name(address) if ":" in address else address


class Budget:
    """What each address takes: together `total`, and as much again in little parts."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._little = max(1, total // _LITTLES)
        self._taken: dict[str, int] = {}
        self._sum = 0

    def has(self, address: str, amount: int) -> bool:
        """Return whether an address may take so much more."""
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
        """Return how much is taken."""
        return self._sum
