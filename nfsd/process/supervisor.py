"""The parent process: it owns the listening sockets and the workers, and serves nothing itself.

Every worker is forked from the parent as that was before it served anything, so
that one may die, however it does, and another replaces it; its clients lose
a connection and nothing else.  The parent accepts connections and gives each to
a worker, so that none is lost in the queue of a dead one, and they are spread
evenly (nfsd.process.balance).  Workers die with the parent.

When something else is to be served, the workers retire: each gives its connections
back and leaves, while those that begin after them are given them.  No client
loses a connection, and no call is lost.
"""

from __future__ import annotations

import errno
import gc
import itertools
import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, NamedTuple

from nfsd.base.log import LOGGER
from nfsd.net.acceptor import Acceptor
from nfsd.net.connections import CONNECTIONS_MAX
from nfsd.net.event_loop import READABLE, Call, Loop
from nfsd.net.pacing import prepare
from nfsd.process.balance import Balance
from nfsd.process.heartbeat import Heartbeat
from nfsd.process.pass_connection import Given, LostError, channel, give, take
from nfsd.process.signals import RELOAD, STOPS
from nfsd.process.worker_numbers import WorkerNumbers
from nfsd.process.worker_process import Worker, WorkerContext, WorkerGroup, how_it_ended, start

WORKERS_MAX: Final = 64
SLOTS: Final = 2 * WORKERS_MAX  # those that leave and those that begin
_STOP_SECONDS: Final = 10.0  # until workers that do not stop are killed
_LEAVE_SECONDS: Final = 60.0  # until one is that retires: a copy-up may take long
_PAUSE_SECONDS: Final = 1.0  # after what would fail again if it were tried again at once
_MOMENT_SECONDS: Final = 0.01  # while all workers have as many new connections as can wait
_BREATH_SECONDS: Final = 0.02  # after what failed, and may come up again at once


class _Waiting(NamedTuple):
    """A connection that has no worker yet."""

    sock: socket.socket
    address: str
    begun: bytes = b""


class Workers:
    """The workers; `ended` is told slot and pid of each that is gone."""

    def __init__(self, ended: Callable[[int, int], None]) -> None:
        self._ended = ended
        self.loop = Loop(_BREATH_SECONDS)  # of the parent
        # What a worker does first, just forked: it closes what the parent alone may have.
        self.after_in_child: list[Call] = []
        self._acceptor = Acceptor(self.loop, self._accept)
        self._workers: dict[int, Worker] = {}  # by worker_id
        self._leaving: set[Worker] = set()
        self._numbers = itertools.count(1)
        self._wanted = range(0)  # the ids of those that there are to be
        self._waiting: deque[_Waiting] = deque()
        self._accepted = self._deaths = 0
        self._is_stopping = self._is_to_reload = self._is_to_distribute = False
        self._is_frozen = False  # whether what there was at the last `begin` is never collected

    def begin(
        self,
        number: int,
        work: Callable[[WorkerContext], None],
        *,
        by_client: Callable[[str], str] | None = None,
        others: int = 0,
    ) -> None:
        """Have so many workers from now on, which do `work`.

        `by_client`: all connections of a client, which is called so, go to one of them.
        `others` do so with the ids after theirs, and are given no connections.
        The first ones start when `run` does; any that there were must have retired.
        """
        assert not self._workers
        balance = Balance(number, CONNECTIONS_MAX, by_client=by_client)
        self._group = WorkerGroup(number, others, work, balance, Heartbeat(number + others))
        # What was let go of before is gone from the memory that they begin with, and
        # the rest stays shared with them.
        if self._is_frozen:
            gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._is_frozen = True
        self._wanted = self._group.ids
        for worker_id in self._wanted:
            self.loop.call_soon(partial(self._start_again, worker_id))

    def retire(self) -> None:
        """Have all workers give back what they have and leave."""
        for worker in self._workers.values():
            worker.channel.shutdown(socket.SHUT_WR)
        self._let_leave("leave", _LEAVE_SECONDS)

    def _let_leave(self, what: str, seconds: float) -> None:
        """Have no workers any more; kill those that there are if they do not end in time."""
        self._wanted = range(0)
        self._leaving.update(self._workers.values())
        self._workers.clear()
        self.loop.call_later(seconds, partial(self._kill, what, frozenset(self._leaving)))

    def _kill(self, what: str, workers: frozenset[Worker]) -> None:
        for worker in workers & self._leaving:
            LOGGER.warning("worker %d does not %s and is killed", worker.pid, what)
            worker.signal(signal.SIGKILL)

    def await_retired(self) -> None:
        """Wait until those that retired are gone; clients wait meanwhile."""
        self._let_leave("stop", _STOP_SECONDS)
        while self._leaving:
            self.loop.run()

    def listen(self, listeners: Iterable[socket.socket]) -> None:
        """Accept connections on these sockets and on no others, once `run` is called."""
        wanted = tuple(listeners)
        for listener in wanted:
            prepare(listener)
        self._acceptor.listen(wanted)

    def run(
        self,
        ready: Callable[[], None],
        reload: Callable[[], None] | None = None,
        stopping: Callable[[], None] = lambda: None,
    ) -> None:
        """Have clients served until SIGTERM or SIGINT; `ready` is called when they can connect.

        `reload` is called upon SIGHUP, which without it ends the process, as is usual;
        `stopping` when clients can connect no more.
        """
        assert threading.active_count() == 1, "what is forked has one thread"
        for number in STOPS:
            self.loop.on_signal(number, self._stop_soon)
        if reload is not None:
            self.loop.on_signal(RELOAD, self.reload_soon)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would take their status away
        for worker_id in self._wanted:
            self._start(worker_id)
        ready()
        while not self._is_stopping:
            if self._is_to_reload and reload is not None:
                self._is_to_reload = False
                reload()
            else:
                self.loop.run()
        stopping()
        self._stop()

    def _stop_soon(self) -> None:
        self._is_stopping = True
        self.loop.stop()

    def reload_soon(self) -> None:
        """Have `reload` called as upon SIGHUP, when what is being done now is done."""
        self._is_to_reload = True
        self.loop.stop()

    @property
    def number(self) -> int:
        """Return how many workers there are, or are about to be."""
        return self._group.number

    @property
    def connections(self) -> int:
        """Return how many connections they have."""
        return sum(self._group.balance.connections().values())

    def worker_numbers(self) -> WorkerNumbers:
        """Return what is to be told of the workers."""
        workers = (*self._workers.values(), *self._leaving)
        pids = {each.slot: each.pid for each in workers if each.is_worker}
        others = [each.pid for each in workers if not each.is_worker]
        clients = self._group.balance.connections()
        return WorkerNumbers(pids, others, self._deaths, self._accepted, clients)

    def silent(self, seconds: float) -> list[Worker]:
        """Return the workers that have shown no sign of life for so long."""
        silence = self._group.heartbeat.silence
        return [each for each in self._workers.values() if silence(each.worker_id) > seconds]

    def _accept(self, sock: socket.socket) -> None:
        self._accepted += 1
        self._await_worker(sock)
        self._distribute()

    def _await_worker(self, sock: socket.socket, begun: bytes = b"") -> None:
        try:
            address = sock.getpeername()[0]
        except OSError:
            sock.close()  # the client is gone already
        else:
            self._waiting.append(_Waiting(sock, address, begun))

    def _distribute(self) -> None:
        """Give each connection that waits to a worker; accept more when none waits."""
        while self._waiting and not self._is_stopping:
            if not self._give(*self._waiting[0]):
                self._acceptor.hold()
                self._distribute_later()
                return
            self._waiting.popleft().sock.close()
        self._acceptor.resume()

    def _distribute_later(self) -> None:
        if not self._is_to_distribute:
            self._is_to_distribute = True
            self.loop.call_later(_MOMENT_SECONDS, self._distribute_again)

    def _distribute_again(self) -> None:
        self._is_to_distribute = False
        self._distribute()

    def _give(self, sock: socket.socket, address: str, begun: bytes) -> bool:
        """Return whether there was a worker to give a connection to."""
        balance = self._group.balance
        for worker_id in balance.order(address):
            worker = self._workers.get(worker_id)
            if worker is None:
                continue
            row = balance.enter(worker_id, address)
            if give(worker.channel, Given(sock, row, begun)):
                return True
            balance.leave(worker_id, row)
        return False

    def _take_back(self, worker: Worker, _: int) -> None:
        """Take the connections that a worker gives back."""
        while True:
            try:
                given = take(worker.channel)
            except (EOFError, ConnectionError):
                self.loop.forget(worker.channel.fileno())
                break
            except LostError as error:
                LOGGER.error("cannot take a connection back: %s", error.strerror)
                continue
            if given is None:
                break
            self._await_worker(given.sock, given.begun)
        self._distribute()

    def _start(self, worker_id: int) -> None:
        balance, heartbeat = self._group.balance, self._group.heartbeat
        slot = self._free_slot()
        ours, its = channel()
        if worker_id < self._group.number:
            balance.clear(worker_id)
        heartbeat.beat(worker_id)
        context = WorkerContext(
            worker_id,
            self._group.number,
            slot,
            next(self._numbers),
            its,
            partial(balance.leave, worker_id),
            partial(heartbeat.beat, worker_id),
        )
        try:
            worker = start(context, ours, partial(self._be_one, context))
        except OSError:
            ours.close()
            raise
        finally:
            its.close()
        self._workers[worker_id] = worker
        self.loop.watch(worker.pidfd, READABLE, partial(self._gone, worker))
        self.loop.watch(ours.fileno(), READABLE, partial(self._take_back, worker))

    def _free_slot(self) -> int:
        taken = {each.slot for each in (*self._workers.values(), *self._leaving)}
        for slot in range(SLOTS):
            if slot not in taken:
                return slot
        raise OSError(errno.EAGAIN, "too many workers have not left yet")

    def _be_one(self, context: WorkerContext) -> None:
        """Be a worker: just forked, it must not keep the parent's descriptors."""
        self.loop.close()
        self._acceptor.close()
        for each in self.after_in_child:
            each()
        for connection in self._waiting:
            connection.sock.close()
        for other in (*self._workers.values(), *self._leaving):
            other.channel.close()
            os.close(other.pidfd)
        self._group.work(context)

    def _gone(self, worker: Worker, events: int) -> None:
        """Start another worker for one that has ended, unless that was wanted."""
        self._take_back(worker, events)
        self.loop.forget(worker.channel.fileno())
        self.loop.forget(worker.pidfd)
        os.close(worker.pidfd)
        worker.channel.close()
        _, status = os.waitpid(worker.pid, 0)
        try:
            self._ended(worker.slot, worker.pid)
        except OSError as error:
            LOGGER.error("what worker %d was making is left: %s", worker.pid, error)
        if worker in self._leaving:
            self._leaving.remove(worker)
            self.loop.stop()  # as it may be the last one that is waited for
            if status and not self._is_stopping:
                LOGGER.error("worker %d, which was leaving, %s", worker.pid, how_it_ended(status))
            return
        self._deaths += 1
        del self._workers[worker.worker_id]
        LOGGER.error("worker %d %s; another is started", worker.pid, how_it_ended(status))
        lived = time.monotonic() - worker.started
        wait = max(0.0, _PAUSE_SECONDS - lived)
        self.loop.call_later(wait, partial(self._start_again, worker.worker_id))

    def _start_again(self, worker_id: int) -> None:
        if worker_id in self._workers or worker_id not in self._wanted:
            return  # there are others meanwhile
        try:
            self._start(worker_id)
        except OSError as error:
            LOGGER.error("cannot start a worker: %s", error.strerror)
            self.loop.call_later(_PAUSE_SECONDS, partial(self._start_again, worker_id))

    def _stop(self) -> None:
        """Accept no more, let the workers answer what they have read."""
        self._acceptor.close()
        for connection in self._waiting:
            connection.sock.close()
        for worker in (*self._leaving, *self._workers.values()):
            worker.signal(signal.SIGTERM)
        self.await_retired()
