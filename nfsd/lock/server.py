"""The process that owns all locks, and serves NLM and NSM over TCP and UDP.

There is one, whatever the number of workers.  It is forked and replaced as they are.  A process
that replaces one that died begins as after a restart of the server.  If the earlier one
retired (at a reload), its successor has all its locks.
"""

from __future__ import annotations

import gc
import pickle
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from nfsd.base.log import LOGGER, log_exception_once
from nfsd.export.exports import Exports
from nfsd.lock.access import LockAccess
from nfsd.lock.callbacks import Callbacks
from nfsd.lock.client_list import LockClients
from nfsd.lock.dispatcher import LockDispatcher
from nfsd.lock.handover import LockHandover
from nfsd.lock.local_files import LocalLocks
from nfsd.lock.manager import LockManager
from nfsd.lock.messenger import LockMessenger
from nfsd.lock.nlm import lock_programs
from nfsd.lock.nsm import StatusProgram
from nfsd.lock.outside import NOBODY
from nfsd.lock.sockets import LockSockets
from nfsd.lock.store import NoStore, OverlayStore
from nfsd.net.acceptor import Acceptor
from nfsd.net.connections import Connections
from nfsd.net.datagrams import Datagrams
from nfsd.net.event_loop import READABLE, Call, Loop
from nfsd.net.thread_pool import FairPool
from nfsd.process import interpreter
from nfsd.process.heartbeat import BEAT_SECONDS
from nfsd.process.removal_listener import RemovalListener
from nfsd.rpc.call_stats import CallStats
from overlay.base.blocking import allow_blocking, forbid_blocking
from overlay.filesystem import Overlay

_THREADS: Final = 5  # of which one client has 4 at most (nfsd.net.thread_pool)
_LOOK_SECONDS: Final = 1.0  # between two checks for locks that local processes have released
_TEND_SECONDS: Final = 60.0  # between two searches for clients without locks
_DEAF_SECONDS: Final = 1.0  # between two looks for removals by workers: few files are locked


@dataclass(frozen=True, slots=True)
class LockSetup:
    """What the process serves, and what it hands over to the next one."""

    exports: Exports
    overlays: Sequence[Overlay]  # open in this process and in the workers
    sockets: LockSockets
    handover: LockHandover
    grace: float  # seconds
    store: Overlay | None  # which has the list of clients
    local: bool  # whether processes of this machine see the locks
    stats: CallStats

    def clients(self, *, is_new: bool) -> LockClients:
        """Return the list of clients; `is_new`: all locks are lost."""
        store = NoStore() if self.store is None else OverlayStore(self.store)
        return LockClients(store, is_new=is_new)


class LockServer:
    """Serves until SIGTERM, or until the parent's end of `channel` says that it is to retire."""

    def __init__(
        self, setup: LockSetup, channel: socket.socket, beat: Callable[[], None], *, trace: bool
    ) -> None:
        """Wait until the process before this one has ended, and go on from its state."""
        self._setup = setup
        self._channel = channel
        self._beat = beat
        left = setup.handover.take()
        gc.disable()  # what is made now stays, so there is nothing to collect
        self._clients = setup.clients(is_new=not left)
        self._untold = self._clients.all()
        self._saved = b""
        if left:
            self._untold, self._saved = pickle.loads(left)
        self._loop = Loop()
        self._is_retiring = False
        callbacks = Callbacks(setup.sockets.datagrams)
        self._messenger = LockMessenger(callbacks, self._loop)
        grace = setup.grace if self._clients.before else 0.0
        if grace and not left:
            LOGGER.info(
                "locks are lost: %d clients are notified, and have %g s to reclaim them",
                len(self._clients.before),
                grace,
            )
        access = LockAccess(setup.exports)
        outside = LocalLocks(access.open_upper) if setup.local else NOBODY
        self._manager = LockManager(access, self._clients, self._messenger, grace, outside)
        programs = (
            *lock_programs(self._manager, self._messenger),
            StatusProgram(self._manager, self._clients.state).program(),
        )
        self._dispatcher = LockDispatcher(
            callbacks, programs, setup.exports.access.basis, setup.stats
        )
        self._dispatcher.trace = trace
        self._pool = FairPool(_THREADS, "locks")
        self._connections = Connections(
            self._dispatcher, self._loop, self._pool, setup.exports.access.lets_in, _leave
        )

    def run(self) -> None:
        """Serve; hand the locks over to the next process when this one retires."""
        self._begin()
        forbid_blocking()
        try:
            self._loop.run()
        finally:
            allow_blocking()
            for connection in self._connections:
                connection.close()
            self._pool.shutdown()
            self._loop.close()
        if self._is_retiring:
            self._setup.handover.leave(pickle.dumps((self._messenger.untold, self._manager.save())))

    def _begin(self) -> None:
        loop, setup = self._loop, self._setup
        loop.on_signal(signal.SIGTERM, loop.stop)
        loop.watch(self._channel.fileno(), READABLE, self._retire)
        self._go_on()
        self._messenger.begin(self._manager, self._untold, self._clients.state)
        if self._saved:
            self._manager.restore(self._saved)
            self._saved = b""
        interpreter.tune()
        gc.enable()
        for overlay in setup.overlays:
            RemovalListener(overlay, loop, _DEAF_SECONDS).listen()
        self._connections.begin()
        acceptor = Acceptor(loop, self._connections.open, self._connections.close_one)
        acceptor.listen(setup.sockets.listeners)
        for sock in setup.sockets.datagrams:
            Datagrams(sock, self._dispatcher, loop, self._pool, lambda: None)
        if setup.local:
            # There is no event when a local process releases a lock.
            self._repeat(_LOOK_SECONDS, self._manager.look_outside)
        self._repeat(_TEND_SECONDS, self._tend)

    def _retire(self, _: int) -> None:
        self._is_retiring = True
        self._loop.stop()

    def _go_on(self) -> None:
        self._beat()
        self._setup.stats.locks_are(*self._manager.counts)
        self._loop.call_later(BEAT_SECONDS, self._go_on)

    def _repeat(self, seconds: float, work: Call) -> None:
        """Have work done on a thread again and again, with so long a pause before."""
        do = partial(self._do, seconds, work)
        self._loop.call_later(seconds, partial(self._pool.submit, "", do))

    def _do(self, seconds: float, work: Call) -> None:
        try:
            work()
        except Exception as error:
            log_exception_once("looking after locks", error)
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(partial(self._repeat, seconds, work))

    def _tend(self) -> None:
        """Remove clients without locks from the list."""
        if not self._manager.is_grace:
            among = self._clients.all() - self._messenger.untold
            self._clients.drop(self._manager.idle_clients(among))


def _leave(row: int) -> None:
    """Do nothing: these connections are not counted."""
