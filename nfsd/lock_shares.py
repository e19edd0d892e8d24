"""Share reservations, as DOS has them: who has a file open, and what others may not do with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from nfsd.lock_table import Client

SHARES_MAX: Final = 1 << 16  # of all files


class Sharer(NamedTuple):
    """Whose a reservation is."""

    client: Client
    oh: bytes


class Share(NamedTuple):
    """What one does with a file and what others may not, each as bits: 1 to read, 2 to write."""

    access: int
    deny: int

    def conflicts(self, other: Share) -> bool:
        """Whether only one of the two can be had."""
        return bool(self.access & other.deny or self.deny & other.access)


class Shares:
    """The reservations on all files, each known by the bytes of its handle."""

    def __init__(self, shares_max: int = SHARES_MAX) -> None:
        self._shares_max = shares_max
        self._files: dict[bytes, dict[Sharer, Share]] = {}
        self._count = 0

    def share(self, key: bytes, sharer: Sharer, wanted: Share) -> bool:
        """Reserve, in place of what the sharer had of the file; whether that is possible."""
        file = self._files.get(key, {})
        if any(wanted.conflicts(share) for other, share in file.items() if other != sharer):
            return False
        self._count += sharer not in file
        self._files.setdefault(key, {})[sharer] = wanted
        return True

    @property
    def is_full(self) -> bool:
        """Whether there are as many as there may be."""
        return self._count >= self._shares_max

    def unshare(self, key: bytes, sharer: Sharer) -> None:
        """Give up what the sharer has of the file."""
        file = self._files.get(key)
        if file is not None and file.pop(sharer, None) is not None:
            self._count -= 1
            if not file:
                del self._files[key]

    def all(self) -> Iterator[tuple[bytes, Sharer, Share]]:
        """Every reservation."""
        for key, file in self._files.items():
            yield from ((key, sharer, share) for sharer, share in file.items())

    def free(self, client: Client) -> None:
        """Give up all that a client has."""
        for key, file in list(self._files.items()):
            for sharer in [each for each in file if each.client == client]:
                self.unshare(key, sharer)
