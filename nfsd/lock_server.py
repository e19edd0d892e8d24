"""The process that owns all locks, and serves NLM and NSM over TCP and UDP.

There is one, whatever the number of workers.  It is forked and replaced as they are.  The
one that takes the place of one that died begins as after a restart of the server; of
one that retired (the configuration was read anew) it has all locks.
"""

from __future__ import annotations

import asyncio
import gc
import pickle
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from nfsd import interpreter
from nfsd.accepting import PAUSE_SECONDS, Acceptor
from nfsd.asyncio_loop import AsyncioLoop
from nfsd.bell import Bell
from nfsd.callbacks import Callbacks
from nfsd.connections import Connections
from nfsd.datagrams import Datagrams
from nfsd.exports import Exports
from nfsd.local_locks import LocalLocks
from nfsd.lock_clients import LockClients
from nfsd.lock_dispatcher import LockDispatcher
from nfsd.lock_handover import LockHandover
from nfsd.lock_manager import LockManager
from nfsd.lock_messenger import LockMessenger
from nfsd.lock_outside import NOBODY
from nfsd.lock_sockets import LockSockets
from nfsd.lock_store import NoStore, OverlayStore
from nfsd.log import LOGGER
from nfsd.nlm import lock_programs
from nfsd.nsm import StatusProgram
from nfsd.pool import FairPool
from nfsd.pulse import BEAT_SECONDS
from nfsd.tally import Tally
from overlay.blocking import allow_blocking, forbid_blocking
from overlay.filesystem import Overlay

_AT_ONCE: Final = 8  # connections, before others have their turn
_THREADS: Final = 5  # of which one client has 4 at most (nfsd.pool)
_LOOK_SECONDS: Final = 1.0
_DEAF_SECONDS: Final = 1.0  # between two times that an overlay hears: few files are locked


@dataclass(frozen=True, slots=True)
class LockOffer:
    """What is served, and what goes from one process that does so to the next."""

    exports: Exports
    overlays: Sequence[Overlay]  # that it has open, and the workers too
    sockets: LockSockets
    handover: LockHandover
    grace: float  # seconds
    store: Overlay | None  # where the list of clients is kept
    local: bool  # whether processes of this machine see the locks
    tally: Tally

    def clients(self, *, is_new: bool) -> LockClients:
        """The list; `is_new` if all locks are lost."""
        store = NoStore() if self.store is None else OverlayStore(self.store)
        return LockClients(store, is_new=is_new)


class LockServer:
    """Serves until it is told to stop, or the parent's end of `channel` says that it retires."""

    def __init__(
        self, offer: LockOffer, channel: socket.socket, beat: Callable[[], None], *, trace: bool
    ) -> None:
        """Wait until any process before this one is gone, and begin where it was."""
        self._offer = offer
        self._channel = channel
        self._beat = beat
        left = offer.handover.take()
        gc.disable()  # what comes now will stay: there is nothing to be found among it
        self._clients = offer.clients(is_new=not left)
        self._untold = self._clients.all()
        self._saved = b""
        if left:
            self._untold, self._saved = pickle.loads(left)
        self._callbacks = Callbacks(offer.sockets.datagrams)
        self._messenger = LockMessenger(self._callbacks)
        grace = offer.grace if self._clients.before else 0.0
        if grace and not left:
            LOGGER.info(
                "locks are lost: %d clients are told, and have %g s to take them back",
                *(len(self._clients.before), grace),
            )
        outside = LocalLocks(offer.exports.open_upper) if offer.local else NOBODY
        self._manager = LockManager(
            *(offer.exports, self._clients, self._messenger, grace, outside)
        )
        programs = (
            *lock_programs(self._manager, self._messenger),
            StatusProgram(self._manager, self._clients.state).program(),
        )
        self._dispatcher = LockDispatcher(
            *(self._callbacks, programs, offer.exports.access.basis, offer.tally)
        )
        self._dispatcher.trace = trace
        self._pool = FairPool(_THREADS, "locks")
        self._acceptor = Acceptor()

    def run(self) -> None:
        """Serve; leave what there is to the next process, if it is there to have it."""
        try:
            is_retiring = asyncio.run(self._run())
        finally:
            self._pool.shutdown()
        if is_retiring:
            self._offer.handover.leave(pickle.dumps((self._messenger.untold, self._manager.save())))

    async def _run(self) -> bool:
        """Whether the end is a retirement."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bool] = loop.create_future()
        loop.add_signal_handler(signal.SIGTERM, _settle, done, False)
        loop.add_reader(self._channel, _settle, done, True)
        self._go_on()
        self._messenger.begin(self._manager, self._clients, self._untold)
        if self._saved:
            self._manager.restore(self._saved)
            self._saved = b""
        interpreter.tune()
        gc.enable()
        for overlay in self._offer.overlays:
            Bell(overlay, AsyncioLoop(), _DEAF_SECONDS).listen()
        self._connections = Connections(
            *(self._dispatcher, AsyncioLoop(), self._pool, self._offer.exports.lets_in, _leave)
        )
        self._connections.begin()
        for listener in self._offer.sockets.listeners:
            loop.add_reader(listener, self._accept, listener)
        for sock in self._offer.sockets.datagrams:
            Datagrams(sock, self._dispatcher, AsyncioLoop(), self._pool, lambda: None)
        looking = loop.create_task(self._look_outside()) if self._offer.local else None
        forbid_blocking()
        try:
            return await done
        finally:
            if looking is not None:
                looking.cancel()
            allow_blocking()
            for connection in self._connections:
                connection.close()

    def _go_on(self) -> None:
        self._beat()
        self._offer.tally.locks_are(*self._manager.counts)
        asyncio.get_running_loop().call_later(BEAT_SECONDS, self._go_on)

    async def _look_outside(self) -> None:
        """Nobody says when a process of this machine lets go of a lock: ask again and again."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await asyncio.to_thread(self._manager.look_outside)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted = self._acceptor.accept(listener)
            except OSError as error:
                self._accept_later(listener, error)
                return
            if accepted is None:
                return
            self._connections.open(accepted[0])

    def _accept_later(self, listener: socket.socket, error: OSError) -> None:
        """After an error that lasts: make room, and try again a little later."""
        self._connections.close_one()
        self._acceptor.refuse(listener, error)
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(PAUSE_SECONDS, loop.add_reader, listener, self._accept, listener)


def _leave(place: int) -> None:
    """Nobody counts these connections."""


def _settle(future: asyncio.Future[bool], result: bool) -> None:
    """Set a result, unless there is one."""
    if not future.done():
        future.set_result(result)
