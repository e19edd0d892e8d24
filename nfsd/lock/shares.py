"""Share reservations, as DOS has them: what a file is open for, and what that denies others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from nfsd.lock.budget import Budget
from nfsd.lock.types import Client

_SHARE_BYTES: Final = 700  # of memory, about
_BITS: Final = (1, 2)  # to read, to write


class Sharer(NamedTuple):
    """The owner of a reservation."""

    client: Client
    oh: bytes


class Share(NamedTuple):
    """What the owner does with a file and what others may not: 1 to read, 2 to write, or both."""

    access: int
    deny: int


class _File:
    """The reservations on one file, and how many have each bit."""

    __slots__ = ("access", "deny", "shares")

    def __init__(self) -> None:
        self.shares: dict[Sharer, Share] = {}
        self.access = [0, 0]
        self.deny = [0, 0]

    def count(self, share: Share, number: int) -> None:
        for at, bit in enumerate(_BITS):
            self.access[at] += number * bool(share.access & bit)
            self.deny[at] += number * bool(share.deny & bit)

    def is_in_the_way(self, wanted: Share) -> bool:
        return any(
            (wanted.access & bit and self.deny[at]) or (wanted.deny & bit and self.access[at])
            for at, bit in enumerate(_BITS)
        )


class Shares:
    """The reservations on all files; the key of a file is its handle."""

    def __init__(self, memory: Budget) -> None:
        """`memory` is a budget that they share with other things."""
        self._memory = memory
        self._files: dict[bytes, _File] = {}
        self._by_address: dict[str, dict[Client, dict[tuple[bytes, Sharer], None]]] = {}

    def share(self, key: bytes, sharer: Sharer, wanted: Share) -> bool:
        """Reserve, instead of what the sharer had of the file; return whether that is possible."""
        file = self._files.get(key) or _File()
        had = file.shares.get(sharer)
        if had is not None:
            file.count(had, -1)
        is_possible = not file.is_in_the_way(wanted)
        now = wanted if is_possible else had
        if now is not None:
            file.count(now, 1)
            file.shares[sharer] = now
            self._files[key] = file
        if is_possible and had is None:
            clients = self._by_address.setdefault(sharer.client.address, {})
            clients.setdefault(sharer.client, {})[key, sharer] = None
            self._memory.take(sharer.client.address, _cost_of(sharer))
        return is_possible

    def may_have_more(self, sharer: Sharer) -> bool:
        """Return whether a sharer may have one more reservation."""
        return self._memory.has(sharer.client.address, _cost_of(sharer))

    def unshare(self, key: bytes, sharer: Sharer) -> None:
        """Remove the reservation of a sharer on a file."""
        file = self._files.get(key)
        share = None if file is None else file.shares.pop(sharer, None)
        if file is None or share is None:
            return
        file.count(share, -1)
        if not file.shares:
            del self._files[key]
        clients = self._by_address[sharer.client.address]
        del clients[sharer.client][key, sharer]
        if not clients[sharer.client]:
            del clients[sharer.client]
        if not clients:
            del self._by_address[sharer.client.address]
        self._memory.take(sharer.client.address, -_cost_of(sharer))

    def all(self) -> Iterator[tuple[bytes, Sharer, Share]]:
        """Yield every reservation."""
        for key, file in self._files.items():
            yield from ((key, sharer, share) for sharer, share in file.shares.items())

    def has(self, client: Client) -> bool:
        """Return whether a client has a reservation."""
        return client in self._by_address.get(client.address, ())

    def clients(self, address: str) -> set[Client]:
        """Return the clients at an address that have reservations."""
        return set(self._by_address.get(address, ()))

    def free(self, client: Client) -> None:
        """Remove all reservations of a client."""
        for key, sharer in list(self._by_address.get(client.address, {}).get(client, ())):
            self.unshare(key, sharer)


def _cost_of(sharer: Sharer) -> int:
    return _SHARE_BYTES + len(sharer.oh) + len(sharer.client.name)
