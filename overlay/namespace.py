"""The lock that is held by whatever changes names in the upper layer or the index.

It excludes threads by an `RLock` and, where several processes serve the overlay,
other processes by a lock that goes with its holder (index.locks).  A word in
shared memory says who is inside.  Who enters and finds another's number there
comes after one that died in the middle: first he puts right what that left.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable
from typing import Final

from index.locks import ProcessLock
from overlay.blocking import may_block

_NOBODY: Final = 0
# A change takes some 50 us.  To try for it again until it is done takes less time
# of all processors than to sleep and be woken, or to give the call to a thread.
_SHORT_SECONDS: Final = 200e-6


class Namespace:
    """To be held by `with`; a thread that holds it may take it again.

    On an event loop's thread `WouldBlock` is raised rather than waited, but for the
    moment that most changes in other processes take.
    """

    def __init__(self) -> None:
        self._threads = threading.RLock()
        self._depth = 0  # how often the thread that holds it has taken it
        self._inside = memoryview(mmap.mmap(-1, 8)).cast("Q")
        self._process = _NOBODY
        self._others: ProcessLock | None = None

    def join(self, process: int, others: ProcessLock | None, take_over: Callable[[], None]) -> None:
        """Be a process of several: `process` (from 1) is another for each ever forked.

        `others` excludes those that live, if there are any; `take_over` puts right
        what one that died inside has left.
        """
        self._process, self._others, self._take_over = process, others, take_over

    def __enter__(self) -> None:
        if not self._threads.acquire(False):
            may_block()
            self._threads.acquire()
        self._depth += 1
        if self._depth == 1 and self._process:
            try:
                self._enter()
            except BaseException:
                self._depth = 0
                self._threads.release()
                raise

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0 and self._process:
            self._inside[0] = _NOBODY
            if self._others is not None:
                self._others.release()
        self._threads.release()

    def _enter(self) -> None:
        """Exclude the other processes, and mend what one of them may have left."""
        if self._others is not None and not self._others.acquire_within(_SHORT_SECONDS):
            may_block()
            self._others.acquire()
        if self._inside[0]:
            try:
                self._take_over()
            except BaseException:
                if self._others is not None:
                    self._others.release()
                raise
        self._inside[0] = self._process
