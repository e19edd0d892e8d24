"""A worker as the parent sees it, and how it comes to be: forked, and dead when the parent is."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from index.linux import fd_limit, malloc
from nfsd.base.log import LOGGER
from nfsd.process.balance import Balance
from nfsd.process.heartbeat import Heartbeat
from nfsd.process.signals import RELOAD, STOPS, die_with
from nfsd.process.title import LOCKS, be_called


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker is given, and what it is to call."""

    worker_id: int  # from 0, among the `workers` that begin together
    workers: int
    slot: int  # from 0, among all that there are, and those that are leaving
    number: int  # from 1, that no other ever had
    channel: socket.socket  # where connections come from
    closed: Callable[[int], None]  # to be called with the row of a connection that is closed
    beat: Callable[[], None]  # to be called twice in a second (nfsd.process.heartbeat)


class WorkerGroup(NamedTuple):
    """What the workers that began together have in common."""

    number: int
    others: int  # with the ids after theirs, which are given no connections
    work: Callable[[WorkerContext], None]
    balance: Balance
    heartbeat: Heartbeat

    @property
    def ids(self) -> range:
        """Return all their ids."""
        return range(self.number + self.others)


@dataclass(frozen=True, slots=True, eq=False)
class Worker:
    """A worker that runs, or has just ended."""

    pid: int
    pidfd: int
    worker_id: int
    slot: int
    channel: socket.socket
    started: float  # seconds of the monotonic clock
    is_worker: bool  # rather than one that is given no connections

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        signal.pidfd_send_signal(self.pidfd, number)


def start(context: WorkerContext, ours: socket.socket, in_child: Callable[[], None]) -> Worker:
    """Fork a worker, which does `in_child` and no more; `ours` is the parent's end of its channel.

    Raises OSError if there can be no more processes.
    """
    parent = os.getpid()
    # Until it has handlers of its own, a signal to the worker is not one to the parent.
    signal.pthread_sigmask(signal.SIG_BLOCK, (*STOPS, RELOAD))
    try:
        pid = os.fork()
        if pid == 0:
            _be_worker(parent, context, ours, in_child)
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
        context.worker_id,
        context.slot,
        ours,
        time.monotonic(),
        context.worker_id < context.workers,
    )


def _be_worker(
    parent: int, context: WorkerContext, ours: socket.socket, in_child: Callable[[], None]
) -> None:
    status = 1
    try:
        be_called(
            f"worker {context.worker_id + 1}" if context.worker_id < context.workers else LOCKS
        )
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # The parent's to hear; a terminal sends SIGINT to all.
        for number in (RELOAD, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*STOPS, RELOAD))
        ours.close()
        malloc.tune()
        fd_limit.enlarge_table()
        die_with(parent)
        in_child()
        status = 0
    except BaseException as error:
        LOGGER.critical("a worker failed", exc_info=error)
    finally:
        os._exit(status)


def how_it_ended(status: int) -> str:
    """Return how a process ended, by its wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with status {code}" if code else "ended"
