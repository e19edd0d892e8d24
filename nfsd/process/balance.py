"""Which worker gets a new connection: the one that has the fewest of the same client.

Where clients have overlays of their own, which one worker each can have open, it is
always the same worker for a client: that with the fewest clients when it first came.

A mount with `nconnect` so spreads evenly over the workers, whatever other
clients do and however often it connects again.  The parent enters a connection
where it gives it, the worker takes it out when it is closed: both in memory
that they share, where each word has one writer at a time.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Callable
from typing import Final

from nfsd.net.address import address_of
from nfsd.net.connections import NO_ROW

_FREE: Final = 0
_CLIENTS_MAX: Final = 100_000  # that are remembered
_MASK: Final = (1 << 63) - 1


class Balance:
    """The connections of each worker, as many as `rows`, by the client they come from."""

    def __init__(
        self, workers: int, rows: int, *, by_client: Callable[[str], str] | None = None
    ) -> None:
        """`by_client`: what the client of an address is called, if it is to have one worker."""
        maps = [mmap.mmap(-1, 8 * rows) for _ in range(workers)]
        self._clients = [memoryview(each).cast("Q") for each in maps]
        self._names: dict[int, str] = {}  # the addresses of these clients, and of some before
        self._by_client = by_client
        self._homes: dict[str, int] = {}  # the worker of each client
        self._inhabitants = [0] * workers

    def order(self, address: str) -> list[int]:
        """Return the workers that may get a connection from `address`, the one that is to first."""
        if self._by_client is not None:
            return [self._home(self._by_client(str(address_of(address))))]
        client = _number(address)
        used = []
        for worker, column in enumerate(self._clients):
            clients = column.tolist()
            used.append((clients.count(client), -clients.count(_FREE), worker))
        return [worker for _, _, worker in sorted(used)]

    def _home(self, client: str) -> int:
        home = self._homes.get(client)
        if home is None:
            home = self._inhabitants.index(min(self._inhabitants))
            if len(self._homes) >= _CLIENTS_MAX:
                return hash(client) % len(self._inhabitants)  # it need not be remembered
            self._homes[client] = home
            self._inhabitants[home] += 1
        return home

    def enter(self, worker: int, address: str) -> int:
        """Count a connection for a worker; returns its row, NO_ROW if there is none left."""
        column = self._clients[worker]
        try:
            row = column.tolist().index(_FREE)
        except ValueError:
            return NO_ROW
        client = column[row] = _number(address)
        self._names[client] = address
        if len(self._names) > _CLIENTS_MAX:
            present = set().union(*(each.tolist() for each in self._clients))
            self._names = {each: name for each, name in self._names.items() if each in present}
        return row

    def leave(self, worker: int, row: int) -> None:
        """Record that the connection in this row is closed."""
        if row != NO_ROW:
            self._clients[worker][row] = _FREE

    def connections(self) -> dict[str, int]:
        """Return how many connections each client has."""
        number = Counter(client for column in self._clients for client in column.tolist())
        del number[_FREE]
        return {self._names[client]: each for client, each in number.items()}

    def clear(self, worker: int) -> None:
        """Record that a worker is gone, and all its connections."""
        column = self._clients[worker]
        column[:] = memoryview(bytes(column.nbytes)).cast("Q")


def _number(address: str) -> int:
    return hash(address) & _MASK | 1
