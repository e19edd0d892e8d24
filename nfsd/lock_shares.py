"""Share reservations, as DOS has them: who has a file open, and what others may not do with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from nfsd.lock import Client
from nfsd.lock_budget import Budget

_SHARE_BYTES: Final = 700  # of memory, about
_BITS: Final = (1, 2)  # to read, to write


class Sharer(NamedTuple):
    """Whose a reservation is."""

    client: Client
    oh: bytes


class Share(NamedTuple):
    """What one does with a file and what others may not, each as bits: 1 to read, 2 to write."""

    access: int
    deny: int


class _File:
    """The reservations on one file, and of each bit how many have it."""

    __slots__ = ("access", "deny", "shares")

    def __init__(self) -> None:
        self.shares: dict[Sharer, Share] = {}
        self.access = [0, 0]
        self.deny = [0, 0]

    def count(self, share: Share, number: int) -> None:
        for place, bit in enumerate(_BITS):
            self.access[place] += number * bool(share.access & bit)
            self.deny[place] += number * bool(share.deny & bit)

    def is_in_the_way(self, wanted: Share) -> bool:
        return any(
            (wanted.access & bit and self.deny[place]) or (wanted.deny & bit and self.access[place])
            for place, bit in enumerate(_BITS)
        )


class Shares:
    """The reservations on all files, each known by the bytes of its handle."""

    def __init__(self, memory: Budget) -> None:
        """`memory` is what they are taken of, and other things too."""
        self._memory = memory
        self._files: dict[bytes, _File] = {}
        self._by_address: dict[str, dict[Client, dict[tuple[bytes, Sharer], None]]] = {}

    def share(self, key: bytes, sharer: Sharer, wanted: Share) -> bool:
        """Reserve, in place of what the sharer had of the file; whether that is possible."""
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

    def has_room(self, sharer: Sharer) -> bool:
        """Whether a sharer may have one more."""
        return self._memory.has(sharer.client.address, _cost_of(sharer))

    def unshare(self, key: bytes, sharer: Sharer) -> None:
        """Give up what the sharer has of the file."""
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
        """Every reservation."""
        for key, file in self._files.items():
            yield from ((key, sharer, share) for sharer, share in file.shares.items())

    def has(self, client: Client) -> bool:
        """Whether a client has any."""
        return client in self._by_address.get(client.address, ())

    def clients(self, address: str) -> set[Client]:
        """Whoever has any, of those at an address."""
        return set(self._by_address.get(address, ()))

    def free(self, client: Client) -> None:
        """Give up all that a client has."""
        for key, sharer in list(self._by_address.get(client.address, {}).get(client, ())):
            self.unshare(key, sharer)


def _cost_of(sharer: Sharer) -> int:
    return _SHARE_BYTES + len(sharer.oh) + len(sharer.client.name)
