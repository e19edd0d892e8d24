"""A call in the duplicate request cache, and its sender (nfsd.rpc.duplicate_cache)."""

from __future__ import annotations

from enum import Enum
from hashlib import blake2b
from typing import Final
from zlib import crc32

DIGEST: Final = 16  # bytes
NUMBERS: Final = 1 << 32  # calls of one connection
_CLIENT_MASK: Final = 0xFFFF


class Fate(Enum):
    """What is known of a call."""

    NEW = "new"
    RUNNING = "running"  # in a process that lives
    UNKNOWN = "unknown"  # begun by a process that died
    SENT = "sent"  # answered on another connection, which may still deliver the answer
    DONE = "done"


class Sender:
    """The sender of calls: a client, on one of its connections.

    For the thread of the connection; calls in other threads only enter and finish calls.
    """

    __slots__ = (
        "ack_slot",
        "arrived",
        "client",
        "connection",
        "entered",
        "new_hash",
        "unacknowledged",
    )

    def __init__(self, source: str, connection: int = 0) -> None:
        """`source` is the client's address, by UDP with its port.

        `connection` is a number that no other connection of this boot has; 0 by UDP.
        """
        address = source.encode()
        # A copy of one that has been made costs a third of making one.
        self.new_hash: Final = blake2b(address + b"\0", digest_size=DIGEST).copy
        self.client: Final = crc32(address) & _CLIENT_MASK
        self.connection: Final = connection
        self.ack_slot = 0  # in nfsd.rpc.acknowledged; 0 if it has none
        self.entered = 0  # calls
        self.arrived = 0  # the last of those whose answers have arrived
        self.unacknowledged: list[Entry] = []  # answers that may not have arrived

    def has_taken(self, connection: int, number: int) -> bool:
        """Return whether an answer is known to have arrived on this connection.

        The numbers of calls begin anew after `NUMBERS`.
        """
        if connection != self.connection or not connection:
            return False
        return (self.arrived - number) % NUMBERS < NUMBERS // 2


class Entry:
    """A call's slot in the cache, if it has one; `reply` is its first answer, if there is one."""

    __slots__ = ("digest", "fate", "reply", "sender", "slot")

    def __init__(
        self, digest: bytes, slot: int, fate: Fate, sender: Sender, reply: bytes = b""
    ) -> None:
        self.digest = digest
        self.slot = slot
        self.fate = fate
        self.sender = sender
        self.reply = reply
