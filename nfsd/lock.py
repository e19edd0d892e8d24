"""What a lock is, whose it is, and what may become of the wish for one."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

END: Final = 1 << 64  # behind the last byte that a lock can cover


class Client(NamedTuple):
    """A machine, by where it calls from and what it calls itself.

    By both, since addresses are shared behind a translator, and names are often alike.
    """

    address: str
    name: bytes


class Owner(NamedTuple):
    """Whose a lock is: a process of a client, in words that only the client understands."""

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
        """Whether only one of the two can be held."""
        return (
            (self.exclusive or other.exclusive)
            and self.begin < other.end
            and other.begin < self.end
            and self.owner != other.owner
        )


class Outcome(enum.Enum):
    """What becomes of a wish to lock."""

    GRANTED = enum.auto()
    DENIED = enum.auto()  # somebody else has a lock in its way
    WAITS = enum.auto()
    DEADLOCK = enum.auto()  # who has it waits, himself or by others, for the one who asks
    FULL = enum.auto()  # there is no room for more of this client's
    LATER = enum.auto()  # too much is in its way that was given up and is still to be cleared


class TryLaterError(Exception):
    """Too much was given up at once to know at once what is in the way of a lock."""
