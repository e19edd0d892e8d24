"""Long work that goes on whether or not somebody still waits for it.

One job at a time for each object, in all processes that serve the overlay:
whoever needs the same work joins the job that is under way, or has his own wait
for the one in another process.  Who has waited `PATIENCE` seconds is told EAGAIN (a client
hears NFS3ERR_JUKEBOX and asks again later) while the job goes on.

Work that is quick but for a wait for the disk is done by the thread that asks for it, one
at a time, and others have their turn while it waits: threads that make many system calls
each are ten times as slow when they take the interpreter's lock from each other.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Final

from overlay.errors import error

PATIENCE: Final = 3.0
_THREADS: Final = 4


class Jobs:
    """Jobs by the number of the object they work on.

    `alone` excludes other processes from it; without `wait` it raises BlockingIOError where
    one of them has it.
    """

    def __init__(self, alone: Callable[[int, bool], AbstractContextManager[None]]) -> None:
        self._alone = alone
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="copy-up")
        self._running: dict[int, Future[None]] = {}
        self._lock = threading.RLock()  # a job may be done before its callback is set
        self._turn = threading.Lock()
        self._has_turn: int | None = None  # the thread

    def do(self, number: int, work: Callable[[], None], *, is_quick: bool = False) -> None:
        """Have `work` done for object `number`, or join the job under way for it.

        That may have been other work: the caller looks whether what it needs is
        done now, and `work` whether another process has done it.  Raises what the work
        raised, or EAGAIN when it takes longer than `PATIENCE`.
        """
        with self._lock:
            job = self._running.get(number)
            is_new = job is None or job.done()
            if job is None or job.done():
                job = self._running[number] = Future()
                job.add_done_callback(lambda done: self._finished(number, done))
        if is_new and not (is_quick and self._is_done_here(number, work, job)):
            self._pool.submit(_settle, job, partial(self._work, number, work))
        try:
            job.result(PATIENCE)
        except TimeoutError:
            raise error(errno.EAGAIN) from None

    def _work(self, number: int, work: Callable[[], None]) -> None:
        with self._alone(number, True):
            work()

    def _is_done_here(self, number: int, work: Callable[[], None], job: Future[None]) -> bool:
        """Do the work, unless another process has the object, which may have it for long."""
        alone = ExitStack()
        try:
            alone.enter_context(self._alone(number, False))
        except BlockingIOError:
            return False
        _settle(job, partial(self._work_in_turn, alone, work))
        return True

    def _work_in_turn(self, alone: ExitStack, work: Callable[[], None]) -> None:
        with alone, self._turn:
            self._has_turn = threading.get_ident()
            try:
                work()
            finally:
                self._has_turn = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """In work that waits for the disk: others have their turn meanwhile."""
        if self._has_turn != threading.get_ident():
            yield
            return
        self._has_turn = None
        self._turn.release()
        try:
            yield
        finally:
            self._turn.acquire()
            self._has_turn = threading.get_ident()

    def _finished(self, number: int, job: Future[None]) -> None:
        with self._lock:
            if self._running.get(number) is job:  # else another was begun since
                del self._running[number]

    def close(self) -> None:
        """Wait for what is under way; take no more."""
        self._pool.shutdown()


def _settle(job: Future[None], work: Callable[[], None]) -> None:
    """Do the work of a job."""
    try:
        work()
    except BaseException as problem:
        job.set_exception(problem)
    else:
        job.set_result(None)
