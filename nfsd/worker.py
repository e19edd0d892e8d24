"""A worker as the parent sees it, and how it comes to be: forked, and dead when the parent is."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from nfsd import descriptors, heap
from nfsd.balance import Balance
from nfsd.log import LOGGER
from nfsd.process_title import LOCKS, be_called
from nfsd.pulse import Pulse

STOPS: Final = (signal.SIGTERM, signal.SIGINT)
RELOAD: Final = signal.SIGHUP
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker is given, and what it is to call."""

    seat: int  # from 0, among the `seats` workers that begin together
    seats: int
    slot: int  # from 0, among all that there are, and those who are leaving
    number: int  # from 1, that no other ever had
    channel: socket.socket  # where connections come from
    closed: Callable[[int], None]  # to be called with the place of a connection that is closed
    beat: Callable[[], None]  # to be called twice in a second (nfsd.pulse)


class Crew(NamedTuple):
    """What the workers that began together have in common."""

    number: int
    others: int  # in the seats after theirs, who are given no connections
    work: Callable[[Post], None]
    balance: Balance
    pulse: Pulse

    @property
    def seats(self) -> range:
        """All their seats."""
        return range(self.number + self.others)


@dataclass(frozen=True, slots=True, eq=False)
class Worker:
    """A worker that runs, or has just ended."""

    pid: int
    pidfd: int
    seat: int
    slot: int
    channel: socket.socket
    started: float  # seconds of the monotonic clock
    is_worker: bool  # rather than one that is given no connections

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        signal.pidfd_send_signal(self.pidfd, number)


def start(post: Post, ours: socket.socket, in_child: Callable[[], None]) -> Worker:
    """Fork a worker, which does `in_child` and no more; `ours` is the parent's end of its channel.

    Raises OSError if there can be no more processes.
    """
    parent = os.getpid()
    # Until it has handlers of its own, a signal to the worker is not one to the parent.
    signal.pthread_sigmask(signal.SIG_BLOCK, (*STOPS, RELOAD))
    try:
        pid = os.fork()
        if pid == 0:
            _be_worker(parent, post, ours, in_child)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*STOPS, RELOAD))
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return Worker(
        pid,
        pidfd,
        post.seat,
        post.slot,
        ours,
        time.monotonic(),
        post.seat < post.seats,
    )


def _be_worker(parent: int, post: Post, ours: socket.socket, in_child: Callable[[], None]) -> None:
    status = 1
    try:
        be_called(f"worker {post.seat + 1}" if post.seat < post.seats else LOCKS)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # The parent's to hear; a terminal sends SIGINT to all.
        for number in (RELOAD, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*STOPS, RELOAD))
        ours.close()
        heap.tune()
        descriptors.make_room()
        die_with(parent)
        in_child()
        status = 0
    except BaseException as error:
        LOGGER.critical("a worker failed", exc_info=error)
    finally:
        os._exit(status)


def how_it_ended(status: int) -> str:
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
