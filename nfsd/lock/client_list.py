"""The list of clients that have locks, on stable storage, so that a restart can notify them.

A client is written to it before it gets its first lock.  The list also has the number that NSM
calls the state of the server: it is odd, and changes with each start.

The file has the list as it was when it was last rewritten, and a line for each client added since:
adding a client costs one line, however many there are.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from nfsd.base.log import LOGGER
from nfsd.lock.budget import Budget, taker_at
from nfsd.lock.types import Client
from overlay.base.blocking import may_block

CLIENTS_MAX: Final = 4096
# New clients of one address, which may be a NAT gateway: so many at once, so many a second.
BURST: Final = 64
_PER_SECOND: Final = 8
_ADDRESSES_KNOWN: Final = 4096  # that had a new client lately
_LINES: Final = 512  # after the list, until it is rewritten
_STATE_MASK: Final = 0x7FFFFFFF  # it is sent as a signed number of 32 bits
# Names are bytes; in JSON each is a character.
_BYTES: Final = "latin-1"


class Store(Protocol):
    """The file that has the list."""

    def read(self) -> bytes | None:
        """Return its contents, None if there is no file."""

    def write(self, contents: bytes) -> None:
        """Replace it, whole or not at all, on stable storage; raises OSError."""

    def append(self, contents: bytes) -> None:
        """Append to it, on stable storage; raises OSError, and may have written a part."""


class TooManyError(Exception):
    """No more clients are taken; `passes` if they are again soon."""

    def __init__(self, *, passes: bool) -> None:
        super().__init__()
        self.passes = passes


class _Stored(NamedTuple):
    """What the file had at the start."""

    state: int
    clients: frozenset[Client]
    late: frozenset[Client]


class _Batch:
    """Clients that came while others were being written, and are written together."""

    def __init__(self) -> None:
        self.clients: dict[Client, None] = {}
        self.is_done = threading.Event()
        self.error: OSError | None = OSError(errno.EIO, os.strerror(errno.EIO))  # until it is done


class LockClients:
    """The list; to be used by any thread."""

    def __init__(self, store: Store, *, is_new: bool = True) -> None:
        """Read the list; `is_new`: the locks are lost, so that a new state begins."""
        last, self.before, late = _parsed(store.read())
        self.state = (last + 2 | 1) & _STATE_MASK if is_new else last
        self._store = store
        self._writing = threading.Lock()  # held during writes to the disk
        self._lock = threading.Lock()  # for what is below; taken after the other, for a moment
        self._clients = set(self.before)
        # Clients that did not reclaim their locks in time, and may not have been notified.
        self._late = set(late - self.before)
        self._names = Budget(CLIENTS_MAX)
        for client in self.before:
            self._names.take(client.address, 1)
        self._coming: _Batch | None = None
        self._used: set[Client] = set()  # since the last call of drop()
        self._rates: dict[str, tuple[float, float]] = {}  # of new ones, and since when
        self._lines = 0  # after the list
        self._grace_ended = threading.Event()
        if is_new:
            self._begin()

    def _begin(self) -> None:
        """Write the new state; if that fails, it is written with the next client."""
        try:
            with self._writing:
                self._save()
        except OSError as problem:
            self._lines = _LINES
            LOGGER.warning("the list of clients with locks cannot be written: %s", problem)

    def add(self, client: Client) -> None:
        """Add a client to the list, unless it is there.  Raises OSError, TooManyError."""
        with self._lock:
            if client in self._clients:
                self._used.add(client)
                return
            if not self._names.has(client.address, 1):
                raise TooManyError(passes=False)
            if self._may_come(client.address)[0] < 1:
                raise TooManyError(passes=True)
        may_block()
        with self._lock:
            is_first = self._coming is None
            batch = self._coming = self._coming or _Batch()
            batch.clients[client] = None
        if is_first:
            self._write(batch)
        else:
            batch.is_done.wait()
        if batch.error is not None:
            raise OSError(batch.error.errno, batch.error.strerror)

    def _write(self, batch: _Batch) -> None:
        """Write all clients that have come by the time that others are written."""
        try:
            with self._writing:
                with self._lock:
                    self._coming = None
                    new = [each for each in batch.clients if each not in self._clients]
                if new:
                    self._append(new)
                with self._lock:
                    self._used.update(batch.clients)
                    for client in new:
                        self._clients.add(client)
                        self._late.discard(client)
                        self._names.take(client.address, 1)
                        self._came(client.address)
            batch.error = None
        except OSError as problem:
            batch.error = problem
        finally:
            batch.is_done.set()

    def end_grace(self, has_locks: Callable[[Client], bool]) -> None:
        """End the grace period: a client that has reclaimed nothing cannot do so any more.

        Call it before any client gets a new lock, which may conflict with what another had.
        """
        if self._grace_ended.is_set():
            return
        may_block()
        with self._writing:
            if self._grace_ended.is_set():
                return
            with self._lock:
                late = {each for each in self.before if not has_locks(each)}
                self._forget(late)
                self._late |= late
            if late:
                self._save()
            self._grace_ended.set()

    def drop(self, idle: Collection[Client]) -> None:
        """Remove clients from the list, except those that were used since the last call."""
        may_block()
        with self._writing:
            with self._lock:
                gone = (self._clients | self._late) & set(idle) - self._used
                self._used.clear()
                self._forget(gone)
                self._late -= gone
            if gone:
                self._save()

    def all(self) -> frozenset[Client]:
        """Return the clients on the list: with locks, or still to be notified."""
        with self._lock:
            return frozenset(self._clients | self._late)

    def _forget(self, clients: Iterable[Client]) -> None:
        for client in clients:
            if client in self._clients:
                self._clients.discard(client)
                self._names.take(client.address, -1)

    def _may_come(self, address: str) -> tuple[float, float]:
        """Return how many new clients may come now from an address; and the time."""
        now = time.monotonic()
        left, since = self._rates.get(taker_at(address), (BURST, now))
        return min(BURST, left + (now - since) * _PER_SECOND), now

    def _came(self, address: str) -> None:
        left, now = self._may_come(address)
        address = taker_at(address)
        self._rates.pop(address, None)
        if len(self._rates) >= _ADDRESSES_KNOWN:
            del self._rates[next(iter(self._rates))]
        self._rates[address] = left - 1, now

    def _append(self, clients: list[Client]) -> None:
        """Append a line for each; rewrite the list after many, or if a line may be damaged."""
        if self._lines >= _LINES:
            self._save(*clients)
            return
        self._lines += len(clients)
        lines = (json.dumps(_row(client)).encode() + b"\n" for client in clients)
        try:
            self._store.append(b"".join(lines))
        except OSError:
            self._lines = _LINES
            raise

    def _save(self, *more: Client) -> None:
        with self._lock:
            clients, late = [*self._clients, *more], list(self._late)
        rows, told = sorted(map(_row, clients)), sorted(map(_row, late))
        contents = {"state": self.state, "clients": rows, "late": told}
        self._store.write(json.dumps(contents, indent=1).encode() + b"\n")
        self._lines = 0


def _row(client: Client) -> list[str]:
    return [client.address, client.name.decode(_BYTES)]


def _client(row: Sequence[str]) -> Client:
    address, name = row
    return Client(str(address), name.encode(_BYTES))


def _parsed(contents: bytes | None) -> _Stored:
    """Return what a file has; nothing if it is missing or damaged.

    The last line may be cut off: then the server died, and the client got no lock.
    """
    if contents is None:
        return _Stored(-1, frozenset(), frozenset())
    try:
        text = contents.decode()
        found, at = json.JSONDecoder().raw_decode(text)
        lines = text[at:].split("\n")[:-1]
        rows = [*found["clients"], *(json.loads(line) for line in lines if line)]
        late = frozenset(map(_client, found.get("late", ())))
        return _Stored(int(found["state"]), frozenset(map(_client, rows)), late)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        LOGGER.error("the list of clients with locks is damaged, none is notified: %s", problem)
        return _Stored(-1, frozenset(), frozenset())
