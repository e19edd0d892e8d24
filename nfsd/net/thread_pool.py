"""Threads for calls that may block, shared fairly by the callers.

Each caller's work is done in the order in which it came; callers take turns, one
piece of work each.  And no caller has all threads: it gets another one only
while it has less than four times as many as are free, so that the next caller finds
some, however long the work of the others takes.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, NamedTuple, TypeVar

from nfsd.base.log import LOGGER, ONCE

T = TypeVar("T")
_OF_THE_FREE: Final = 4  # times as many threads as are free, at most
_TRIES: Final = 3  # to start one


class _Task(NamedTuple):
    future: Future[Any]
    work: Callable[[], Any]


class FairPool:
    """Up to `threads` threads, each started when there is something to do for it."""

    def __init__(self, threads: int, name: str) -> None:
        self._most = threads
        self._name = name
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._tasks: dict[str, deque[_Task]] = {}  # by caller, whose turn is next first
        self._running: Counter[str] = Counter()
        self._busy = 0
        self._is_over = False

    def submit(self, caller: str, work: Callable[[], T]) -> Future[T]:
        """Have `work` done on a thread; raises RuntimeError after `shutdown`."""
        future: Future[T] = Future()
        with self._changed:
            if self._is_over:
                raise RuntimeError("the pool is shut down")
            self._tasks.setdefault(caller, deque()).append(_Task(future, work))
            if self._busy == len(self._threads) < self._most:
                self._start()
            self._changed.notify()
        return future

    def shutdown(self) -> None:
        """Cancel what has not begun, and wait until all else is done."""
        with self._changed:
            self._is_over = True
            tasks = [task for each in self._tasks.values() for task in each]
            self._tasks.clear()
            self._changed.notify_all()
        for task in tasks:
            task.future.cancel()
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        """Start one more thread; what no thread can be had for is done by those that there are.

        Should there be none, it waits for the next call, which tries again.
        """
        for _ in range(_TRIES):
            name = f"{self._name}-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError as problem:
                if ONCE.first("thread", self._name):
                    LOGGER.warning("calls that may block have fewer threads: %s", problem)
            else:
                self._threads.append(thread)
                return

    def _work(self) -> None:
        caller: str | None = None
        while True:
            with self._changed:
                if caller is not None:
                    self._has_done(caller)
                while (found := self._next()) is None:
                    if self._is_over:
                        return
                    self._changed.wait()
                if self._tasks:
                    self._changed.notify()  # there may be one for another thread, too
            caller, task = found
            if task.future.set_running_or_notify_cancel():
                try:
                    result = task.work()
                except BaseException as error:
                    task.future.set_exception(error)
                else:
                    task.future.set_result(result)
            del task, found

    def _has_done(self, caller: str) -> None:
        self._busy -= 1
        self._running[caller] -= 1
        if not self._running[caller]:
            del self._running[caller]

    def _next(self) -> tuple[str, _Task] | None:
        """Work for one more thread, of the first caller in turn that may have it."""
        free = self._most - self._busy
        may = (each for each in self._tasks if self._running[each] < _OF_THE_FREE * free)
        caller = next(may, None)
        if caller is None:
            return None
        tasks = self._tasks.pop(caller)
        task = tasks.popleft()
        if tasks:
            self._tasks[caller] = tasks  # behind the others
        self._busy += 1
        self._running[caller] += 1
        if self._tasks and len(self._threads) < self._most and self._busy == len(self._threads):
            self._start()
        return caller, task
