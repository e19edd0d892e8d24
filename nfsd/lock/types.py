"""Locks, their owners, and the outcome of a request for one."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

END: Final = 1 << 64  # behind the last byte that a lock can cover


class Client(NamedTuple):
    """A client machine, by its address and the name that it gives itself.

    Both count, as machines behind a NAT gateway share an address, and names are often the same.
    """

    address: str
    name: bytes


class Owner(NamedTuple):
    """The owner of a lock: a process of a client, in terms that only the client understands."""

    client: Client
    svid: int
    oh: bytes


class Lock(NamedTuple):
    """A lock on the bytes from `begin` up to `end`, not included, which is END if it has none."""

    owner: Owner
    begin: int
    end: int
    exclusive: bool

    def conflicts(self, other: Lock) -> bool:
        """Return whether only one of the two can be held."""
        return (
            (self.exclusive or other.exclusive)
            and self.begin < other.end
            and other.begin < self.end
            and self.owner != other.owner
        )


class Outcome(enum.Enum):
    """The outcome of a request to lock."""

    GRANTED = enum.auto()
    DENIED = enum.auto()  # another owner has a lock that conflicts
    WAITS = enum.auto()
    DEADLOCK = enum.auto()  # the holder waits, directly or through others, for this owner
    FULL = enum.auto()  # the client may have no more
    LATER = enum.auto()  # too many released locks on these bytes are still to be removed


class TryLaterError(Exception):
    """Too many released locks are still to be removed to tell at once what conflicts."""
