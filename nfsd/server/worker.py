"""A worker's event loop: connections, threads for what may block, a clean stop.

Everything runs on one thread, in place; only calls that would block run in a
small pool.  Nothing that a client sends and nothing that a handler raises ends
the worker.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Final

from nfsd.base.log import LOGGER, ONCE
from nfsd.net.client_usage import PAUSE_SECONDS
from nfsd.net.connections import Connections
from nfsd.net.datagrams import NO_DATAGRAMS, Datagrams, DatagramService
from nfsd.net.event_loop import READABLE, Loop
from nfsd.net.thread_pool import FairPool
from nfsd.process import interpreter
from nfsd.process.heartbeat import BEAT_SECONDS
from nfsd.process.pass_connection import Given, LostError, give, take
from nfsd.process.removal_listener import RemovalListener
from nfsd.rpc.dispatcher import Dispatcher
from overlay.base.blocking import allow_blocking, forbid_blocking
from overlay.filesystem import Overlay

THREADS: Final = 20  # of which one client has 16 at most (nfsd.net.thread_pool)
_TAKE_AT_ONCE: Final = 8  # connections; then they have a pause, and calls their turn
_STOP_SECONDS: Final = 5.0
_ATTEND_SECONDS: Final = 5.0
_MOMENT_SECONDS: Final = 0.01  # while the parent has as many connections as can wait
_DEAF_SECONDS: Final = 0.01  # between two times that the removals by other processes are read


class Server:
    """Serves a dispatcher's programs on the connections that it is given, until it is told to stop.

    They come through `channel` (nfsd.process.pass_connection), and go back that way when no more
    come; `closed` is told the row of each that it has no longer.  `beat` is called
    again and again, to show that the event loop goes on, and `attend` is told the
    addresses of the clients that call, and of all that are connected, and says whether
    they may do something else by now; `lets_in`: see Connections.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        channel: socket.socket,
        closed: Callable[[int], None],
        beat: Callable[[], None],
        overlays: Iterable[Overlay],
        lets_in: Callable[[str, int], bool | None],
        attend: Callable[[Collection[str], Collection[str]], bool],
        datagrams: DatagramService = NO_DATAGRAMS,
    ) -> None:
        self._dispatcher = dispatcher
        self._channel = channel
        self._closed = closed
        self._beat = beat
        self._overlays = tuple(overlays)
        self._attend = attend
        self._datagram_service = datagrams
        self._datagrams: list[Datagrams] = []
        self._pool = FairPool(THREADS, "blocking")
        self._loop = Loop()
        self._connections = Connections(dispatcher, self._loop, self._pool, lets_in, self._left)
        self._is_stopping = self._is_leaving = False
        self._on_their_way = 0  # connections that the parent has not taken back yet

    def answers(self, address: str, port: int) -> bool:
        """Return whether a client is at the other end of a connection; see Connections."""
        return self._connections.answers(address, port)

    def run(self) -> None:
        """Serve until SIGTERM."""
        interpreter.tune()
        self._loop.on_signal(signal.SIGTERM, self.stop)
        self._loop.watch(self._channel.fileno(), READABLE, self._take)
        for overlay in self._overlays:
            RemovalListener(overlay, self._loop, _DEAF_SECONDS).listen()
        self._go_on()
        self._look_around()
        self._connections.begin()
        service = self._datagram_service
        for sock in service.sockets:
            reader = Datagrams(sock, service.dispatcher, self._loop, self._pool, self._stop_if_done)
            self._datagrams.append(reader)
        forbid_blocking()
        try:
            self._loop.run()
        finally:
            allow_blocking()
            for connection in self._connections:
                connection.close()
            self._pool.shutdown()
            self._loop.close()

    def stop(self) -> None:
        """Take and read no more, answer what was read, then let `run` return.

        It may be called again: a signal to all processes comes here, and once more from the
        parent.
        """
        if self._is_stopping:
            return
        self._is_stopping = True
        self._loop.forget(self._channel.fileno())
        self._channel.close()
        self._loop.call_later(_STOP_SECONDS, self._loop.stop)
        for datagrams in self._datagrams:
            datagrams.finish()
        for connection in self._connections:
            connection.finish()
        self._stop_if_done()

    def _go_on(self) -> None:
        self._beat()
        for connection in self._connections:
            connection.look_for_acknowledgement()
        self._loop.call_later(BEAT_SECONDS, self._go_on)

    def _leave(self) -> None:
        """Take no more, give back what there is, then let `run` return."""
        self._is_leaving = True
        self._loop.forget(self._channel.fileno())
        for datagrams in self._datagrams:
            datagrams.finish()
        for connection in self._connections:
            connection.hand_over(self._give_back)
        self._stop_if_done()

    def _give_back(self, sock: socket.socket, begun: bytes) -> None:
        """Give a connection to the parent, as soon as it can take it."""
        self._on_their_way += 1
        self._try_to_give_back(Given(sock, begun=begun))

    def _try_to_give_back(self, connection: Given) -> None:
        if not self._is_stopping and not give(self._channel, connection):
            again = partial(self._try_to_give_back, connection)
            self._loop.call_later(_MOMENT_SECONDS, again)
            return
        connection.sock.close()
        self._on_their_way -= 1
        self._stop_if_done()

    def _stop_if_done(self) -> None:
        is_ending = self._is_stopping or self._is_leaving
        is_idle = not self._on_their_way and all(each.is_idle for each in self._datagrams)
        if is_ending and is_idle and not self._connections:
            self._loop.stop()

    def _take(self, _: int) -> None:
        """Take the connections that the parent has given."""
        for _ in range(_TAKE_AT_ONCE):
            try:
                given = take(self._channel)
            except EOFError:
                self._leave()
                return
            except LostError as lost:
                if ONCE.first("take"):
                    LOGGER.error("cannot take a connection: %s", lost.strerror)
                self._closed(lost.row)
                self._connections.close_one()
                continue
            if given is None:
                return
            self._connections.open(*given)
        self._loop.forget(self._channel.fileno())
        self._loop.call_later(PAUSE_SECONDS, self._take_more)

    def _take_more(self) -> None:
        if not self._is_stopping and not self._is_leaving:
            self._loop.watch(self._channel.fileno(), READABLE, self._take)

    def _left(self, row: int) -> None:
        """Record that a connection is gone."""
        self._closed(row)
        self._stop_if_done()

    def _look_around(self) -> None:
        """Say who is active."""
        since = time.monotonic_ns() - int(_ATTEND_SECONDS * 1e9)
        active = {
            connection.peer.address
            for connection in self._connections
            if connection.last_used >= since or not connection.is_idle
        }
        connected = {connection.peer.address for connection in self._connections}
        if self._attend(active, connected):
            for connection in self._connections:
                # With the numbers that cached replies have.
                self._dispatcher.forget(connection.peer)
        self._loop.call_later(_ATTEND_SECONDS, self._look_around)
