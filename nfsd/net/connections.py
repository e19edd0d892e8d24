"""The connections of one process: how many there may be, whose, and which goes when one must.

Rule: a client that is let into an export never gives way to a stranger.  Among clients that
are let in, the one with the most connections gives way: of these, the one is closed that has
been waiting for the client for longest.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic_ns
from typing import Final

from index.linux import malloc
from nfsd.base.log import LOGGER, ONCE
from nfsd.net.allowance import FOR_CLIENTS, FOR_STRANGERS, FOR_UNKNOWN
from nfsd.net.client_usage import PAUSE_SECONDS, Source, source_name
from nfsd.net.connection import Connection
from nfsd.net.event_loop import Loop
from nfsd.net.lingering import Lingering
from nfsd.net.offload import SlowCalls
from nfsd.net.receive_memory import Memory
from nfsd.net.tcp import answers
from nfsd.net.thread_pool import FairPool
from nfsd.rpc.dispatcher import Dispatcher

CONNECTIONS_MAX: Final = 1000
NO_ROW: Final = -1  # the row of a connection that is not counted (nfsd.process.balance)
# Parts of what there may be: of one client; of strangers together, and of one of them.
_OF_ONE_CLIENT: Final = 4
_OF_STRANGERS: Final = 8
_OF_ONE_STRANGER: Final = 64
_OF_DESCRIPTORS: Final = 3  # a part of those that the process may have
_LOOK_SECONDS: Final = 0.5
_LOOKS_UNTIL_AGAIN: Final = 10  # at which clients are let in
_STALLED: Final = 1_000_000_000  # ns; one that has not gone on for so long may be closed for memory
_MUCH: Final = 16 << 20  # bytes held, and
_LITTLE: Final = 1 << 20
STRANGERS: Final = "strangers"


class Connections:
    """Opens, keeps and closes; used on the event loop's thread.

    `lets_in` says whether an address, with a port, is let into any export, None if that is
    not known yet; it never waits.  `left` is told the row (nfsd.process.balance) of each
    connection that is gone.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        loop: Loop,
        pool: FairPool,
        lets_in: Callable[[str, int], bool | None],
        left: Callable[[int], None],
    ) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.limit = min(CONNECTIONS_MAX, max(16, soft // _OF_DESCRIPTORS))
        self._dispatcher = dispatcher
        self._loop = loop
        self._slow_calls = SlowCalls(dispatcher, loop, pool)
        self._lets_in = lets_in
        self._left = left
        self.memory = Memory()
        self._looks = 0
        self._most_held = 0  # since memory was given back
        self._lingering = Lingering(loop, self.memory.shared)
        self._rows: dict[Connection, int] = {}  # the newest last
        self._names: dict[Connection, str] = {}  # whose they are (nfsd.net.client_usage)
        self._strangers: dict[Connection, None] = {}
        self._turn_of_strangers = Source(STRANGERS, loop, PAUSE_SECONDS)
        self._sources: dict[str, Source] = {}  # of clients that are let in

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._rows))

    def __len__(self) -> int:
        return len(self._rows)

    def answers(self, address: str, port: int) -> bool:
        """Return whether the client is there at the other end of a connection.

        Waits for that, 3 s at most: on no event loop.
        """
        for connection in list(self._rows):
            if (connection.peer.address, connection.peer.port) == (address, port):
                with suppress(OSError):  # it is closed meanwhile
                    return answers(connection.fd)
        return False

    def begin(self) -> None:
        """Look after them from now on."""
        self._look()

    def open(self, sock: socket.socket, row: int = NO_ROW, begun: bytes = b"") -> None:
        """Serve a connection, if there may be one more of its client; else close it."""
        try:
            connection = Connection(
                sock,
                self._dispatcher,
                self._loop,
                self._slow_calls,
                self.memory,
                self._closed,
                self._lingering.add,
                begun,
            )
        except OSError:
            sock.close()  # the client is gone already
            self._left(row)
            return
        self._rows[connection] = row
        self._names[connection] = source_name(connection.peer.address)
        self._classify(connection)

    def _classify(self, connection: Connection) -> None:
        """Have a connection be what its client is, as far as that is known now."""
        peer = connection.peer
        is_let_in = self._lets_in(peer.address, peer.port)
        allowance = FOR_UNKNOWN if is_let_in is None else FOR_STRANGERS
        source = self._turn_of_strangers
        if is_let_in:
            allowance, name = FOR_CLIENTS, self._names[connection]
            source = self._sources.get(name) or Source(name, self._loop, is_alone=self._is_of_one)
        if connection.source is source and connection.allowance is allowance:
            return
        self._unlist(connection)
        source.connections += 1
        if is_let_in:
            self._sources[source.name] = source
        else:
            self._strangers[connection] = None
        self.memory.sources = len(self._sources)
        connection.belong_to(source, allowance)
        if connection in self._rows:
            self._evict_for(connection)

    def _is_of_one(self) -> bool:
        """Return whether all connections are of one client."""
        return len(self._sources) <= 1 and not self._strangers

    def _unlist(self, connection: Connection) -> None:
        """Take a connection off the list of its client or of the strangers."""
        self._strangers.pop(connection, None)
        source = connection.source
        if source is not None:
            source.connections -= 1
            if not source.connections and self._sources.get(source.name) is source:
                del self._sources[source.name]
        self.memory.sources = len(self._sources)

    def _closed(self, connection: Connection) -> None:
        self._unlist(connection)
        del self._names[connection]
        self._left(self._rows.pop(connection))

    def _evict_for(self, newest: Connection) -> None:
        """Close what is too much, now that there is one more; it may be this one."""
        if newest in self._strangers:
            mine = [each for each in self._strangers if self._names[each] == self._names[newest]]
            if len(mine) > max(2, self.limit // _OF_ONE_STRANGER):
                self._close(mine[0], "of one that is not let in")
            elif len(self._strangers) > max(4, self.limit // _OF_STRANGERS):
                self._close(next(iter(self._strangers)), "of those that are not let in")
        elif newest.source is not None and newest.source.connections > self._of_one_client:
            self._close(self._longest(newest.source, newest), "of one client")
        if len(self._rows) > self.limit and newest in self._rows:
            self.close_one(newest)

    @property
    def _of_one_client(self) -> int:
        return max(8, self.limit // _OF_ONE_CLIENT)

    def close_one(self, newest: Connection | None = None) -> None:
        """Close one connection, as there must be room for another: for `newest`, if it is here."""
        if self._strangers:
            self._close(next(iter(self._strangers)), "of all")
        elif self._sources:
            most = max(self._sources.values(), key=lambda each: each.connections)
            self._close(self._longest(most, newest), "of all")

    def _longest(self, source: Source, newest: Connection | None) -> Connection:
        """Return the connection of a client that has waited for it for longest.

        Where for all others a call is under way, the newest.
        """
        waiting = [
            each
            for each in self._rows
            if each.source is source and each is not newest and not each.is_working
        ]
        if waiting:
            return min(waiting, key=lambda each: each.waits_since)
        return newest or next(each for each in self._rows if each.source is source)

    def _close(self, connection: Connection, kind: str) -> None:
        if ONCE.first("too many", connection.peer.address, kind):
            LOGGER.warning(
                "%s: too many connections %s: one is closed", connection.peer.address, kind
            )
        connection.close()

    def _look(self) -> None:
        """Close what does not go on; look again at which clients are let in."""
        now = monotonic_ns()
        self._looks += 1
        is_time = self._looks % _LOOKS_UNTIL_AGAIN == 0
        for connection in list(self._rows):
            why = connection.overdue(now)
            if why:
                if connection.is_let_in and ONCE.first("stuck", connection.peer.address, why):
                    LOGGER.warning("%s: connection closed: %s", connection.peer.address, why)
                connection.close()
            elif is_time or connection.allowance is FOR_UNKNOWN:
                self._classify(connection)  # whether it is let in may change
        self._make_memory(now)
        self._give_back()
        for connection in list(self._rows):
            connection.resume()
        self._loop.call_later(_LOOK_SECONDS, self._look)

    def _give_back(self) -> None:
        """Let the kernel have what was much and is no more."""
        held = self.memory.held
        self._most_held = max(self._most_held, held)
        if self._most_held >= _MUCH > _LITTLE >= held:
            malloc.trim()
            self._most_held = held

    def _make_memory(self, now: int) -> None:
        """While more is held than there may be, close what holds it and does not go on."""
        memory = self.memory
        if memory.held <= memory.budget:
            return
        stalled = [
            each
            for each in self._rows
            if each.held and now - each.waits_since > _STALLED and not each.is_working
        ]
        stalled.sort(key=_most_held)
        while stalled and memory.held > memory.budget:
            connection = stalled.pop()
            if ONCE.first("memory", connection.peer.address):
                LOGGER.warning(
                    "%s: connection closed: replies that are not taken take too much memory",
                    connection.peer.address,
                )
            connection.close()


def _most_held(connection: Connection) -> tuple[bool, int, int]:
    source = connection.source
    return not connection.is_let_in, 0 if source is None else source.held, connection.held
