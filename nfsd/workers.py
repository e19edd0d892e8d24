"""The parent process: it owns the listening socket and the workers, and serves nothing itself.

Every worker is forked from the parent as that was before it served anything, so
that one may die, however it does, and another takes its place; its clients lose
a connection and nothing else.  The parent accepts connections and gives each to
a worker, so that none is lost in the queue of a dead one, and they are spread
evenly (nfsd.balance).  Workers die with the parent.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import itertools
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn

from nfsd.balance import Balance
from nfsd.handover import Given, channel, give
from nfsd.log import LOGGER, ONCE
from nfsd.server import CONNECTIONS_MAX

_BACKLOG: Final = 1024
_ACCEPT_AT_ONCE: Final = 64
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_STOP_SECONDS: Final = 10.0  # until workers that do not stop are killed
_PAUSE_SECONDS: Final = 1.0  # after what would fail again if it were tried again at once
_MOMENT_SECONDS: Final = 0.01  # while all workers have as many new connections as can wait
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker is given: its slot, from 0; a number that no other ever had; connections."""

    slot: int
    number: int
    channel: socket.socket
    closed: Callable[[int], None]  # to be called with the place of a connection that is closed


@dataclass(frozen=True, slots=True)
class _Worker:
    pid: int
    pidfd: int
    channel: socket.socket
    started: float  # seconds of the monotonic clock


class Workers:
    """So many workers, each in a slot; `work` is what one does, `ended` is told slot and pid.

    In the slots after theirs there may be `others`, who are given no connections.
    """

    def __init__(
        self,
        number: int,
        work: Callable[[Post], None],
        ended: Callable[[int, int], None],
        others: int = 0,
    ) -> None:
        self._number = number
        self._work = work
        self._ended = ended
        self._balance = Balance(number, CONNECTIONS_MAX)
        self._workers: dict[int, _Worker] = {}  # by slot
        self._numbers = itertools.count(1)
        self._selector = selectors.DefaultSelector()
        self._listeners: list[socket.socket] = []
        now = time.monotonic()
        # What is to be done, and when: workers to be started, a pause in accepting to end.
        self._due: dict[Callable[[], None], float] = {
            partial(self._start, slot): now for slot in range(number + others)
        }
        self._is_stopping = False

    def listen(self, family: socket.AddressFamily, address: tuple[Any, ...]) -> tuple[str, int]:
        """Listen on a TCP address more; returns it with the port that port 0 became.

        One of IPv6 is for IPv6 alone, so that the same port of IPv4 can be another.
        Raises OSError if the address is taken or is not this machine's.
        """
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(_BACKLOG)
        except OSError:
            sock.close()
            raise
        sock.setblocking(False)
        self._listeners.append(sock)
        host, port = sock.getsockname()[:2]
        return host, port

    def run(self, ready: Callable[[], None]) -> None:
        """Have clients served until SIGTERM or SIGINT; `ready` is called when they can connect."""
        assert threading.active_count() == 1, "what is forked has one thread"
        gc.collect()
        gc.freeze()  # so that it stays shared with the workers
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno())
        for number in _STOPS:
            signal.signal(number, self._told_to_stop)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would take their status away
        self._selector.register(self._wake, selectors.EVENT_READ, self._woken)
        self._do_due()
        self._listen()
        ready()
        while not self._is_stopping:
            self._wait(min(self._due.values(), default=None))
            self._do_due()
        self._stop()

    def _told_to_stop(self, number: int, frame: object) -> None:
        self._is_stopping = True

    def _woken(self) -> None:
        self._wake.recv(1024)

    def _wait(self, until: float | None) -> None:
        """Do what comes up, at the latest until that time."""
        patience = None if until is None else max(0.0, until - time.monotonic())
        for key, _ in self._selector.select(patience):
            key.data()

    def _do_due(self) -> None:
        now = time.monotonic()
        for action in [each for each, when in self._due.items() if when <= now]:
            del self._due[action]
            action()

    def _later(self, action: Callable[[], None], seconds: float) -> None:
        self._due[action] = time.monotonic() + seconds

    def _listen(self) -> None:
        for listener in self._listeners:
            self._selector.register(listener, selectors.EVENT_READ, partial(self._accept, listener))

    def _listen_no_more(self) -> None:
        for listener in self._listeners:
            if listener in self._selector.get_map():
                self._selector.unregister(listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, ConnectionError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                if ONCE.first("accept", error.errno):
                    LOGGER.error("cannot accept connections: %s", error.strerror)
                self._listen_no_more()
                self._later(self._listen, _PAUSE_SECONDS)
                return
            if not self._give(sock, address[0]):
                self._listen_no_more()
                self._later(partial(self._give_again, sock, address[0]), _MOMENT_SECONDS)
                return

    def _give(self, sock: socket.socket, address: str) -> bool:
        """Whether there was a worker to give a connection to."""
        for slot in self._balance.order(address):
            worker = self._workers.get(slot)
            if worker is None:
                continue
            place = self._balance.enter(slot, address)
            if give(worker.channel, Given(sock, place)):
                sock.close()
                return True
            self._balance.leave(slot, place)
        return False

    def _give_again(self, sock: socket.socket, address: str) -> None:
        """Accept more when the last connection has found its worker."""
        if self._give(sock, address):
            self._listen()
        else:
            self._later(partial(self._give_again, sock, address), _MOMENT_SECONDS)

    def _start(self, slot: int) -> None:
        ours, its = channel()
        if slot < self._number:
            self._balance.clear(slot)
        post = Post(slot, next(self._numbers), its, partial(self._balance.leave, slot))
        parent = os.getpid()
        # Until it has handlers of its own, a signal to the worker is not one to the parent.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            pid = os.fork()
            if pid == 0:
                ours.close()
                self._be_worker(post, parent)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        its.close()
        worker = _Worker(pid, os.pidfd_open(pid), ours, time.monotonic())
        self._workers[slot] = worker
        self._selector.register(
            worker.pidfd, selectors.EVENT_READ, partial(self._gone, slot, worker)
        )

    def _be_worker(self, post: Post, parent: int) -> NoReturn:
        """The forked process; it has the parent's descriptors, and must not keep them."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _STOPS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
            self._selector.close()
            for sock in (*self._listeners, self._wake, self._waker):
                sock.close()
            for other in self._workers.values():
                other.channel.close()
                os.close(other.pidfd)
            die_with(parent)
            self._work(post)
            status = 0
        except BaseException as error:
            LOGGER.critical("a worker failed", exc_info=error)
        finally:
            os._exit(status)

    def _gone(self, slot: int, worker: _Worker) -> None:
        """A worker has ended; unless that was wanted, another takes its place."""
        self._selector.unregister(worker.pidfd)
        os.close(worker.pidfd)
        worker.channel.close()
        _, status = os.waitpid(worker.pid, 0)
        del self._workers[slot]
        try:
            self._ended(slot, worker.pid)
        except OSError as error:
            LOGGER.error("what worker %d was making is left: %s", worker.pid, error)
        if self._is_stopping:
            return
        LOGGER.error("worker %d %s; another is started", worker.pid, _how(status))
        lived = time.monotonic() - worker.started
        self._later(partial(self._start_again, slot), max(0.0, _PAUSE_SECONDS - lived))

    def _start_again(self, slot: int) -> None:
        try:
            self._start(slot)
        except OSError as error:
            LOGGER.error("cannot start a worker: %s", error.strerror)
            self._later(partial(self._start_again, slot), _PAUSE_SECONDS)

    def _stop(self) -> None:
        """Accept no more, let the workers answer what they have read."""
        self._listen_no_more()
        for listener in self._listeners:
            listener.close()
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while self._workers and time.monotonic() < deadline:
            self._wait(deadline)
        for worker in self._workers.values():
            LOGGER.warning("worker %d does not stop and is killed", worker.pid)
        self._signal(signal.SIGKILL)
        while self._workers:
            self._wait(None)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            signal.pidfd_send_signal(worker.pidfd, number)


def _how(status: int) -> str:
    """How a process ended, by its wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with status {code}" if code else "ended"


def die_with(parent: int) -> None:
    """Have this process killed when its parent dies (PR_SET_PDEATHSIG).

    The kernel keeps the wish for each thread, and drops it when the thread acts
    as another user, as those do that make files: so one thread does nothing else.
    """

    def wait() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Event().wait()

    threading.Thread(target=wait, name="dies with the parent", daemon=True).start()
