"""Locks that others than clients have on the same files; to them all clients are one owner."""

from __future__ import annotations

from typing import Final, Protocol

from nfsd.lock.types import Lock


class Outside(Protocol):
    """Such locks; the key of a file is its handle."""

    def is_open(self, key: bytes) -> bool:
        """Return whether the others see the locks of a file."""

    def take(self, key: bytes, lock: Lock) -> bool:
        """Lock for the clients; return whether no other lock conflicts."""

    def give(self, key: bytes, begin: int, end: int) -> None:
        """Unlock bytes that no client has locked any more."""

    def holder(self, key: bytes, wanted: Lock) -> Lock | None:
        """Return another lock that conflicts."""

    def drop(self, key: bytes) -> None:
        """Record that clients have no locks on this file any more."""


class _Nobody:
    """No locks but those of clients."""

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
