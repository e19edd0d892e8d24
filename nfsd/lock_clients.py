"""Which clients have locks, on stable storage, so that they can be told when the locks are lost.

A client is written down before it is given its first lock.  With the list goes
the number that NSM calls our state: it is odd, and another one after each start.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection
from typing import Final

from nfsd.lock_table import Client
from nfsd.log import LOGGER
from overlay.blocking import may_block

CLIENTS_MAX: Final = 4096
_STATE_MASK: Final = 0x7FFFFFFF  # it is sent as a signed number of 32 bits
# Names are bytes; in JSON each is a character.
_BYTES: Final = "latin-1"


class LockClients:
    """The list; `write` replaces its contents, whole or not at all, on stable storage."""

    def __init__(
        self, contents: bytes | None, write: Callable[[bytes], None], *, is_new: bool = True
    ) -> None:
        """Begin a new state, unless locks are as they were; the list is as it was left."""
        last, self.before = _parsed(contents)
        self.state = (last + 2 | 1) & _STATE_MASK if is_new else last
        self._write = write
        self._writing = threading.Lock()  # who has it may wait for the disk
        self._lock = threading.Lock()  # on what is below; taken after the other, for a moment
        self._clients = self.before
        self._used: set[Client] = set()  # since the last time that others were dropped
        if is_new:
            self._save(self.before)

    def add(self, client: Client) -> bool:
        """Have a client on the list; whether there is room for it.  Raises OSError."""
        with self._lock:
            self._used.add(client)
            if client in self._clients:
                return True
        may_block()
        with self._writing:
            if len(self._clients) >= CLIENTS_MAX:
                return False
            clients = self._clients | {client}
            self._save(clients)
            with self._lock:
                self._clients = clients
        return True

    def drop(self, idle: Collection[Client]) -> None:
        """Take clients off the list, but for those that were added since the last time."""
        may_block()
        with self._writing:
            with self._lock:
                gone = self._clients & set(idle) - self._used
                self._used.clear()
                self._clients -= gone
            if gone:
                self._save(self._clients)

    def all(self) -> frozenset[Client]:
        """Who is on the list."""
        return self._clients

    def _save(self, clients: Collection[Client]) -> None:
        rows = sorted((address, name.decode(_BYTES)) for address, name in clients)
        self._write(json.dumps({"state": self.state, "clients": rows}, indent=1).encode())


def _parsed(contents: bytes | None) -> tuple[int, frozenset[Client]]:
    """State and clients in a file; none in a file that is not there, or was damaged."""
    if contents is None:
        return -1, frozenset()
    try:
        found = json.loads(contents)
        rows = [Client(str(address), name.encode(_BYTES)) for address, name in found["clients"]]
        return int(found["state"]), frozenset(rows)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        LOGGER.error("the list of clients with locks is damaged, they are not told: %s", problem)
        return -1, frozenset()
