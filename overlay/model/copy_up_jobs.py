"""Long work that goes on whether or not a thread still waits for it.

One job at a time for each object, in all processes that serve the overlay:
a thread that needs the same work joins the job that is under way, or has its own wait
for the one in another process.  After `PATIENCE` seconds a waiting thread gets EAGAIN (a client
hears NFS3ERR_JUKEBOX and asks again later) while the job goes on.

Work that is quick but for a wait for the disk is done by the thread that asks for it, one
at a time, and others have their turn while it waits: threads that make many system calls
each are ten times as slow when they take the interpreter's lock from each other.

Every job ends, whatever fails, and what failed holds nothing: an exception that is kept would
keep what its frames have open, an unfinished copy and its space among them.
"""

from __future__ import annotations

import errno
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Final

from index.linux.file_lock import ProcessLock
from index.lock_bytes import copy_up_byte
from index.workdir import Workdir
from overlay.base.errors import error

PATIENCE: Final = 3.0
_THREADS: Final = 4


def lock_copy_up(workdir: Workdir, byte: int, wait: bool) -> ProcessLock:
    """Return the lock of one object's copy-up among the processes that serve the overlay."""
    return workdir.lock_of_one_thread(byte, wait=wait)


class Job:
    """One piece of work, and how it ended."""

    def __init__(self, finished: Callable[[Job], None]) -> None:
        """`finished` is called just before waiting threads are told."""
        self._finished = finished
        self._over = threading.Event()
        self._failure: BaseException | None = None

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def run(self, work: Callable[[], None]) -> None:
        """Do the work, unless the job has failed before it was begun."""
        if self.is_over:
            return
        try:
            work()
        except BaseException as problem:
            self.fail(problem)
        else:
            self._end()

    def fail(self, problem: BaseException) -> None:
        """End it like this."""
        traceback.clear_frames(problem.__traceback__)
        self._failure = _anew(problem)
        self._end()

    def _end(self) -> None:
        self._finished(self)
        self._over.set()

    def wait(self) -> None:
        """Wait for its end; raises what the work raised, or EAGAIN after `PATIENCE`."""
        if not self._over.wait(PATIENCE):
            raise error(errno.EAGAIN)
        if self._failure is not None:
            raise _anew(self._failure)


def _anew(problem: BaseException) -> BaseException:
    """Return an error of a system call made anew, without the frames that it has gathered."""
    if isinstance(problem, OSError) and problem.errno is not None:
        return OSError(problem.errno, problem.strerror)
    return problem


class Jobs:
    """Jobs by the number of the object they work on.

    `alone` excludes other processes from it, by the byte of the lock file that stands for it;
    without `wait` it raises BlockingIOError where one of them has it.  It need not exclude
    threads of this process: objects with one byte have one job at a time.
    """

    def __init__(self, alone: Callable[[int, bool], AbstractContextManager[None]]) -> None:
        self._alone = alone
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="copy-up")
        self._running: dict[int, Job] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._has_turn: int | None = None  # the thread

    def do(self, number: int, work: Callable[[], None], *, is_quick: bool = False) -> None:
        """Have `work` done for object `number`, or join the job under way for it.

        That may have been other work: the caller looks whether what it needs is
        done now, and `work` whether another process has done it.  Raises what the work
        raised, or EAGAIN when it takes longer than `PATIENCE`.
        """
        number = copy_up_byte(number)
        with self._lock:
            job = self._running.get(number)
            is_new = job is None
            if job is None:
                job = self._running[number] = Job(partial(self._finished, number))
        if is_new and not (is_quick and self._is_done_here(number, work, job)):
            self._begin(number, work, job)
        job.wait()

    def _begin(self, number: int, work: Callable[[], None], job: Job) -> None:
        """Give the work to a thread."""
        try:
            self._pool.submit(job.run, partial(self._work, number, work))
        except RuntimeError as problem:  # no thread could be started; another may take it yet
            job.fail(error(errno.EAGAIN))
            if "thread" not in str(problem):
                raise

    def _work(self, number: int, work: Callable[[], None]) -> None:
        with self._alone(number, True):
            work()

    def _is_done_here(self, number: int, work: Callable[[], None], job: Job) -> bool:
        """Do the work, unless another process has the object, which may have it for long."""
        alone = ExitStack()
        try:
            alone.enter_context(self._alone(number, False))
        except BlockingIOError:
            return False
        except BaseException as problem:
            job.fail(problem)
        else:
            job.run(partial(self._work_in_turn, alone, work))
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

    def _finished(self, number: int, job: Job) -> None:
        """Forget a job, so that the next thread that asks gets one of its own."""
        with self._lock:
            if self._running.get(number) is job:
                del self._running[number]

    def close(self) -> None:
        """Wait for what is under way; take no more."""
        self._pool.shutdown()
