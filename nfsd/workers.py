"""The parent process: it owns the listening sockets and the workers, and serves nothing itself.

Every worker is forked from the parent as that was before it served anything, so
that one may die, however it does, and another takes its place; its clients lose
a connection and nothing else.  The parent accepts connections and gives each to
a worker, so that none is lost in the queue of a dead one, and they are spread
evenly (nfsd.balance).  Workers die with the parent.

When something else is to be served, the workers retire: each gives its connections
back and leaves, while those that begin in their place are given them.  No client
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
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Final, NamedTuple

from nfsd.accepting import PAUSE_SECONDS, Acceptor
from nfsd.agenda import Agenda, Attended
from nfsd.balance import Balance
from nfsd.connections import CONNECTIONS_MAX
from nfsd.handover import Given, LostError, channel, give, take
from nfsd.log import LOGGER
from nfsd.metrics import Staff
from nfsd.pacing import prepare
from nfsd.pulse import Pulse
from nfsd.worker import RELOAD, STOPS, Crew, Post, Worker, how_it_ended, start

WORKERS_MAX: Final = 64
SLOTS: Final = 2 * WORKERS_MAX  # those who leave and those who begin
_ACCEPT_AT_ONCE: Final = 64
_STOP_SECONDS: Final = 10.0  # until workers that do not stop are killed
_LEAVE_SECONDS: Final = 60.0  # until one is that retires: a copy-up may take long
_PAUSE_SECONDS: Final = 1.0  # after what would fail again if it were tried again at once
_MOMENT_SECONDS: Final = 0.01  # while all workers have as many new connections as can wait


class _Waiting(NamedTuple):
    """A connection that has no worker yet."""

    sock: socket.socket
    address: str
    begun: bytes = b""


class Workers:
    """The workers; `ended` is told slot and pid of each that is gone."""

    def __init__(self, ended: Callable[[int, int], None]) -> None:
        self._ended = ended
        self._agenda = Agenda()
        self._acceptor = Acceptor()
        self._workers: dict[int, Worker] = {}  # by seat
        self._leaving: set[Worker] = set()
        self._numbers = itertools.count(1)
        self._listeners: tuple[socket.socket, ...] = ()
        self._waiting: deque[_Waiting] = deque()
        self._attended: list[Attended] = []
        self._accepted = self._deaths = 0
        self._is_stopping = self._is_to_reload = False

    def attend(self, to: Attended) -> None:
        """Do this too, once `run` is called."""
        self._attended.append(to)
        self._agenda.on(to, to.step)

    def attend_no_more(self, to: Attended) -> None:
        """Let go of what was attended."""
        self._attended.remove(to)
        self._agenda.off(to)
        to.close()

    def begin(
        self,
        number: int,
        work: Callable[[Post], None],
        *,
        by_client: Callable[[str], str] | None = None,
        others: int = 0,
    ) -> None:
        """From now on there are so many workers, which do `work`.

        `by_client`: all connections of a client, which is called so, go to one of them.
        `others` do so in the seats after theirs, and are given no connections.
        The first ones start when `run` does; any that there were must have retired.
        """
        assert not self._workers
        balance = Balance(number, CONNECTIONS_MAX, by_client=by_client)
        self._crew = Crew(number, others, work, balance, Pulse(number + others))
        # What was let go of before is gone from the memory that they begin with, and
        # the rest stays shared with them.
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        for seat in self._crew.seats:
            self._agenda.later(partial(self._start_again, seat), 0)

    def retire(self) -> None:
        """Have all workers give back what they have and leave."""
        for worker in self._workers.values():
            worker.channel.shutdown(socket.SHUT_WR)
            self._leaving.add(worker)
            self._agenda.later(partial(self._leave_no_later, worker), _LEAVE_SECONDS)
        self._workers.clear()

    def _leave_no_later(self, worker: Worker) -> None:
        if worker in self._leaving:
            LOGGER.warning("worker %d does not leave and is killed", worker.pid)
            worker.signal(signal.SIGKILL)

    def await_retired(self) -> None:
        """Wait until those that retired are gone; clients wait meanwhile."""
        self._await_end(self._leaving)

    def listen(self, listeners: Iterable[socket.socket]) -> None:
        """Accept connections on these sockets and on no others, once `run` is called."""
        before, self._listeners = self._listeners, tuple(listeners)
        for listener in self._listeners:
            prepare(listener)
        for listener in set(before) - set(self._listeners):
            self._agenda.off(listener)
            self._accept_all(listener)

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
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno())
        for number in STOPS:
            signal.signal(number, self._told_to_stop)
        if reload is not None:
            signal.signal(RELOAD, self._told_to_reload)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would take their status away
        self._agenda.on(self._wake, self._woken)
        for seat in self._crew.seats:
            self._start(seat)
        self._accept_more()
        ready()
        while not self._is_stopping:
            self._agenda.wait(self._agenda.next_due)
            if self._is_to_reload and reload is not None:
                self._is_to_reload = False
                reload()
            self._agenda.do_due()
        stopping()
        self._stop()

    def _told_to_stop(self, number: int, frame: object) -> None:
        self._is_stopping = True

    def _told_to_reload(self, number: int, frame: object) -> None:
        self._is_to_reload = True

    def _woken(self) -> None:
        self._wake.recv(1024)

    def reload_soon(self) -> None:
        """Have `reload` called as upon SIGHUP, when what is being done now is done."""
        self._is_to_reload = True

    def later(self, action: Callable[[], None], seconds: float) -> None:
        """Have something done here after so much time."""
        self._agenda.later(action, seconds)

    @property
    def number(self) -> int:
        """How many workers there are, or are about to be."""
        return self._crew.number

    @property
    def connections(self) -> int:
        """How many connections they have."""
        return sum(self._crew.balance.connections().values())

    def staff(self) -> Staff:
        """What is to be told of the workers."""
        workers = (*self._workers.values(), *self._leaving)
        pids = {each.slot: each.pid for each in workers if each.is_worker}
        others = [each.pid for each in workers if not each.is_worker]
        clients = self._crew.balance.connections()
        return Staff(pids, others, self._deaths, self._accepted, clients)

    def silent(self, seconds: float) -> list[Worker]:
        """The workers that have shown no sign of life for so long."""
        silence = self._crew.pulse.silence
        return [each for each in self._workers.values() if silence(each.seat) > seconds]

    def _accept_more(self) -> None:
        for listener in self._listeners:
            self._agenda.on(listener, partial(self._accept, listener))

    def _accept_no_more(self) -> None:
        for listener in self._listeners:
            self._agenda.off(listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            if self._waiting or not self._accept_one(listener):
                return
            self._distribute()

    def _accept_all(self, listener: socket.socket) -> None:
        """Accept what is in the queue of a socket that is to be closed."""
        while self._accept_one(listener):
            pass
        self._distribute()

    def _accept_one(self, listener: socket.socket) -> bool:
        """Whether there was a connection to be accepted."""
        try:
            accepted = self._acceptor.accept(listener)
        except OSError as error:
            if self._acceptor.refuse(listener, error):
                return True
            self._accept_no_more()
            self._agenda.later(self._accept_more, PAUSE_SECONDS)
            return False
        if accepted is None:
            return False
        sock, address = accepted
        self._accepted += 1
        self._waiting.append(_Waiting(sock, address[0]))
        return True

    def _distribute(self) -> None:
        """Give each connection that waits to a worker; accept more when none waits."""
        while self._waiting:
            if not self._give(*self._waiting[0]):
                self._accept_no_more()
                self._agenda.later(self._distribute, _MOMENT_SECONDS)
                return
            self._waiting.popleft().sock.close()
        self._accept_more()

    def _give(self, sock: socket.socket, address: str, begun: bytes) -> bool:
        """Whether there was a worker to give a connection to."""
        balance = self._crew.balance
        for seat in balance.order(address):
            worker = self._workers.get(seat)
            if worker is None:
                continue
            place = balance.enter(seat, address)
            if give(worker.channel, Given(sock, place, begun)):
                return True
            balance.leave(seat, place)
        return False

    def _take_back(self, worker: Worker) -> None:
        """Take the connections that a worker gives back."""
        while True:
            try:
                given = take(worker.channel)
            except (EOFError, ConnectionError):
                self._agenda.off(worker.channel)
                break
            except LostError as error:
                LOGGER.error("cannot take a connection back: %s", error.strerror)
                continue
            if given is None:
                break
            try:
                address = given.sock.getpeername()[0]
            except OSError:
                given.sock.close()  # the client is gone already
            else:
                self._waiting.append(_Waiting(given.sock, address, given.begun))
        if self._waiting and not self._is_stopping:
            self._distribute()

    def _start(self, seat: int) -> None:
        balance, pulse = self._crew.balance, self._crew.pulse
        slot = self._free_slot()
        ours, its = channel()
        if seat < self._crew.number:
            balance.clear(seat)
        pulse.beat(seat)
        post = Post(
            seat,
            self._crew.number,
            slot,
            next(self._numbers),
            its,
            partial(balance.leave, seat),
            partial(pulse.beat, seat),
        )
        try:
            worker = start(post, ours, partial(self._be_one, post))
        except OSError:
            ours.close()
            raise
        finally:
            its.close()
        self._workers[seat] = worker
        self._agenda.on(worker.pidfd, partial(self._gone, worker))
        self._agenda.on(worker.channel, partial(self._take_back, worker))

    def _free_slot(self) -> int:
        taken = {each.slot for each in (*self._workers.values(), *self._leaving)}
        for slot in range(SLOTS):
            if slot not in taken:
                return slot
        raise OSError(errno.EAGAIN, "too many workers have not left yet")

    def _be_one(self, post: Post) -> None:
        """In a process just forked, which has the parent's descriptors and must not keep them."""
        self._agenda.close()
        self._acceptor.close()
        for sock in (*self._listeners, self._wake, self._waker):
            sock.close()
        for each in self._attended:
            each.close()
        for connection in self._waiting:
            connection.sock.close()
        for other in (*self._workers.values(), *self._leaving):
            other.channel.close()
            os.close(other.pidfd)
        self._crew.work(post)

    def _gone(self, worker: Worker) -> None:
        """A worker has ended; unless that was wanted, another takes its place."""
        self._take_back(worker)
        self._agenda.off(worker.channel)
        self._agenda.off(worker.pidfd)
        os.close(worker.pidfd)
        worker.channel.close()
        _, status = os.waitpid(worker.pid, 0)
        try:
            self._ended(worker.slot, worker.pid)
        except OSError as error:
            LOGGER.error("what worker %d was making is left: %s", worker.pid, error)
        if worker in self._leaving:
            self._leaving.remove(worker)
            if status and not self._is_stopping:
                LOGGER.error("worker %d, which was leaving, %s", worker.pid, how_it_ended(status))
            return
        self._deaths += 1
        del self._workers[worker.seat]
        LOGGER.error("worker %d %s; another is started", worker.pid, how_it_ended(status))
        lived = time.monotonic() - worker.started
        wait = max(0.0, _PAUSE_SECONDS - lived)
        self._agenda.later(partial(self._start_again, worker.seat), wait)

    def _start_again(self, seat: int) -> None:
        if seat in self._workers or seat not in self._crew.seats:
            return  # there are others meanwhile
        try:
            self._start(seat)
        except OSError as error:
            LOGGER.error("cannot start a worker: %s", error.strerror)
            self._agenda.later(partial(self._start_again, seat), _PAUSE_SECONDS)

    def _stop(self) -> None:
        """Accept no more, let the workers answer what they have read."""
        self._accept_no_more()
        for listener in self._listeners:
            listener.close()
        for connection in self._waiting:
            connection.sock.close()
        self._leaving.update(self._workers.values())
        self._workers.clear()
        for worker in self._leaving:
            worker.signal(signal.SIGTERM)
        self._await_end(self._leaving)

    def _await_end(self, workers: Collection[Worker]) -> None:
        """Wait until they are gone, which they are in `_STOP_SECONDS` one way or another."""
        deadline = time.monotonic() + _STOP_SECONDS
        while workers and time.monotonic() < deadline:
            self._agenda.wait(deadline)
        for worker in workers:
            LOGGER.warning("worker %d does not stop and is killed", worker.pid)
            worker.signal(signal.SIGKILL)
        while workers:
            self._agenda.wait(None)
