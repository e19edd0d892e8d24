"""Long work that goes on whether or not somebody still waits for it.

One job at a time for each object, in all processes that serve the overlay:
whoever needs the same work joins the job that is under way, or has his own wait
for the one in another process.  Who has waited `PATIENCE` seconds is told EAGAIN (a client
hears NFS3ERR_JUKEBOX and asks again later) while the job goes on.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Final

from overlay.errors import error

PATIENCE: Final = 3.0
_THREADS: Final = 4


class Jobs:
    """Jobs by the number of the object they work on; `alone` excludes other processes from it."""

    def __init__(self, alone: Callable[[int], AbstractContextManager[None]]) -> None:
        self._alone = alone
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="copy-up")
        self._running: dict[int, Future[None]] = {}
        self._lock = threading.RLock()  # a job may be done before its callback is set

    def do(self, number: int, work: Callable[[], None]) -> None:
        """Have `work` done for object `number`, or join the job under way for it.

        That may have been other work: the caller looks whether what it needs is
        done now, and `work` whether another process has done it.  Raises what the work
        raised, or EAGAIN when it takes longer than `PATIENCE`.
        """
        with self._lock:
            job = self._running.get(number)
            if job is None or job.done():
                job = self._running[number] = self._pool.submit(self._work, number, work)
                job.add_done_callback(lambda done: self._finished(number, done))
        try:
            job.result(PATIENCE)
        except TimeoutError:
            raise error(errno.EAGAIN) from None

    def _work(self, number: int, work: Callable[[], None]) -> None:
        with self._alone(number):
            work()

    def _finished(self, number: int, job: Future[None]) -> None:
        with self._lock:
            if self._running.get(number) is job:  # else another was begun since
                del self._running[number]

    def close(self) -> None:
        """Wait for what is under way; take no more."""
        self._pool.shutdown()
