"""Others who lock the same files, and see the locks of all clients as one owner's."""

from __future__ import annotations

from typing import Final, Protocol

from nfsd.lock import Lock


class Outside(Protocol):
    """Those others; each file is known by the bytes of its handle."""

    def is_open(self, key: bytes) -> bool:
        """Whether they see the locks of a file."""

    def take(self, key: bytes, lock: Lock) -> bool:
        """Lock as the table does; whether none of them is in the way."""

    def give(self, key: bytes, begin: int, end: int) -> None:
        """Unlock what nobody in the table has any more."""

    def holder(self, key: bytes, wanted: Lock) -> Lock | None:
        """The lock of one of them that is in the way."""

    def drop(self, key: bytes) -> None:
        """There are no locks on this file any more."""


class _Nobody:
    """There are no others."""

    def is_open(self, key: bytes) -> bool:
        return True

    def take(self, key: bytes, lock: Lock) -> bool:
        return True

    def give(self, key: bytes, begin: int, end: int) -> None:
        return

    def holder(self, key: bytes, wanted: Lock) -> Lock | None:
        return None

    def drop(self, key: bytes) -> None:
        return


NOBODY: Final[Outside] = _Nobody()
