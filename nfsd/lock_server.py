"""The process that owns all locks, and serves NLM and NSM over TCP and UDP.

There is one, whatever the number of workers.  It is forked and replaced as they are;
the one that takes its place begins as after a restart of the server.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import socket
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final

from nfsd.callbacks import Callbacks
from nfsd.calls import Peer
from nfsd.connection import Connection, Memory
from nfsd.exports import Exports
from nfsd.lock_clients import LockClients
from nfsd.lock_manager import LockManager
from nfsd.lock_messenger import LockMessenger
from nfsd.lock_sockets import LockSockets
from nfsd.log import LOGGER, ONCE
from nfsd.nlm import LockProgram
from nfsd.nsm import StatusProgram
from nfsd.rpc import Dispatcher
from nfsd.xdr.codec import Parts
from overlay.blocking import allow_blocking, forbid_blocking
from overlay.errors import WouldBlock
from overlay.filesystem import Overlay

PROCESS_NAME: Final = b"overlay-locks"
_CONNECTIONS_MAX: Final = 1000
_AT_ONCE: Final = 64  # connections or datagrams, before others have their turn
_DATAGRAM_MAX: Final = 65536
_THREADS: Final = 4
_MARK: Final = 4  # bytes of a record mark, which datagrams have not
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_PR_SET_NAME: Final = 15


class LockServer:
    """Serves until it is told to stop."""

    def __init__(
        self,
        exports: Exports,
        clients: LockClients,
        sockets: LockSockets,
        overlays: Sequence[Overlay],
        grace: float,
    ) -> None:
        self._sockets = sockets
        self._overlays = overlays
        self._clients = clients
        self._callbacks = Callbacks(sockets.datagrams)
        self._messenger = LockMessenger(self._callbacks)
        self._manager = LockManager(exports, clients, self._messenger.grant, grace)
        programs = (
            LockProgram(self._manager, self._messenger).program(),
            StatusProgram(self._manager, clients.state).program(),
        )
        self._dispatcher = Dispatcher(programs, standing=exports.standing)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="locks")
        self._memory = Memory()
        self._connections: dict[Connection, None] = {}

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        ctypes.CDLL(None).prctl(_PR_SET_NAME, PROCESS_NAME, 0, 0, 0)
        try:
            asyncio.run(self._run())
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        for number in _STOPS:
            loop.add_signal_handler(number, done.set)
        self._messenger.begin(self._manager, self._clients)
        for overlay in self._overlays:
            if overlay.bell is not None:
                loop.add_reader(overlay.bell, overlay.hear)
        for listener in self._sockets.listeners:
            loop.add_reader(listener, self._accept, listener)
        for sock in self._sockets.datagrams:
            loop.add_reader(sock, self._receive, sock)
        forbid_blocking()
        try:
            await done.wait()
        finally:
            allow_blocking()
            for connection in list(self._connections):
                connection.close()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                if ONCE.first("accept", error.errno):
                    LOGGER.error("cannot accept connections: %s", error.strerror)
                self._close_one()
                return
            if len(self._connections) >= _CONNECTIONS_MAX:
                self._close_one()
            self._connect(sock)

    def _connect(self, sock: socket.socket) -> None:
        try:
            connection = Connection(
                sock, self._dispatcher, self._pool, self._memory, self._disconnected
            )
        except OSError:
            sock.close()  # the client is gone already
            return
        self._connections[connection] = None

    def _close_one(self) -> None:
        """Close the connection that has been idle for longest; clients connect again."""
        if self._connections:
            min(self._connections, key=lambda each: (not each.is_idle, each.last_used)).close()

    def _disconnected(self, connection: Connection) -> None:
        self._connections.pop(connection, None)

    def _receive(self, sock: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                datagram, address = sock.recvfrom(_DATAGRAM_MAX)
            except OSError:
                return  # there is none, or one that was sent has not arrived
            if not self._callbacks.heard(datagram, address[0]):
                self._answer(sock, datagram, address)

    def _answer(self, sock: socket.socket, datagram: bytes, address: tuple[str, int]) -> None:
        parts: Parts = []
        peer = Peer(*address[:2])
        try:
            self._dispatcher.answer(datagram, peer, parts)
        except WouldBlock:
            waiting = self._pool.submit(self._answer_waiting, datagram, peer)
            waiting.add_done_callback(partial(self._notify, sock, address))
        else:
            _send(sock, parts, address)

    def _answer_waiting(self, datagram: bytes, peer: Peer) -> Parts:
        parts: Parts = []
        self._dispatcher.answer_waiting(datagram, peer, parts)
        return parts

    def _notify(self, sock: socket.socket, address: tuple[str, int], future: Future[Parts]) -> None:
        """On the thread: send the reply, which needs nothing of the event loop."""
        if not future.cancelled():
            _send(sock, future.result(), address)


def _send(sock: socket.socket, parts: Parts, address: tuple[str, int]) -> None:
    """Send a reply without its record mark; if that fails it is lost, as a datagram may be."""
    reply = b"".join(parts)[_MARK:]
    if reply:
        try:
            sock.sendto(reply, address)
        except OSError as error:
            if ONCE.first("datagram", error.errno):
                LOGGER.warning("%s: a reply is lost: %s", address[0], error.strerror)
