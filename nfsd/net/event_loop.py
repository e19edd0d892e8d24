"""The event loop: one thread calls back what waits for a descriptor, a time or a thread.

asyncio's would do the same, but a small call costs as much in it as in all the rest of
the server: this one is a system call and a look into a dictionary.

Rule: what is called back never waits, and what it raises is logged and ends nothing.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import signal
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep
from typing import Final, TypeAlias

from nfsd.base.log import log_exception_once

READABLE: Final = select.EPOLLIN
WRITABLE: Final = select.EPOLLOUT

Call: TypeAlias = Callable[[], object]
_WAKE_BYTES: Final = 4096  # read at once of what others have written to wake the loop


class Loop:
    """Made and run on the main thread; only `call_soon_threadsafe` is for others, too."""

    def __init__(self, breath: float = 0.0) -> None:
        """`breath`: seconds after a call that failed, where the same one may come up at once."""
        self._breath = breath
        self.rounds = 0  # in each of which everything that waits has its turn
        self._epoll = select.epoll()
        self._watchers: dict[int, Callable[[int], None]] = {}
        self._soon: deque[Call] = deque()
        self._due: list[tuple[float, int, Call]] = []  # a heap
        self._order = itertools.count()  # of calls that are due at the same time
        self._is_stopped = False
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._wake, READABLE, self._woken)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)

    def watch(self, fd: int, events: int, watcher: Callable[[int], None]) -> None:
        """Call `watcher` with the events of epoll(7) whenever one of `events` has come.

        An error or the other end's hanging up is always one.  It replaces what was
        said of the descriptor before.
        """
        if fd in self._watchers:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._watchers[fd] = watcher

    def forget(self, fd: int) -> None:
        """Watch a descriptor no more, before it is closed."""
        if self._watchers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_soon(self, call: Call) -> None:
        """Have `call` called when others had their turn."""
        self._soon.append(call)

    def call_soon_threadsafe(self, call: Call) -> None:
        """The same from any thread; raises RuntimeError if the loop has ended."""
        if self._is_stopped:
            raise RuntimeError
        self._soon.append(call)
        with suppress(OSError):  # a full pipe wakes it, too
            os.write(self._waker, b"\0")

    def call_later(self, seconds: float, call: Call) -> None:
        """Have `call` called when so much time has passed."""
        heapq.heappush(self._due, (monotonic() + seconds, next(self._order), call))

    def on_signal(self, number: int, call: Call) -> None:
        """Have `call` called when the signal comes."""
        signal.signal(number, lambda *_: self._soon.append(call))

    def stop(self) -> None:
        """Let `run` return, which may be called again."""
        self._is_stopped = True

    def run(self) -> None:
        """Call back until told to stop."""
        self._is_stopped = False
        poll, watchers, soon, due = self._epoll.poll, self._watchers, self._soon, self._due
        while not self._is_stopped:
            self.rounds += 1
            wait = None
            if due:
                wait = due[0][0] - monotonic()
                if wait <= 0:
                    soon.append(heapq.heappop(due)[2])
            for fd, events in poll(0 if soon else wait):
                # It may have been forgotten by one that was called before it.
                watcher = watchers.get(fd)
                if watcher is not None:
                    try:
                        watcher(events)
                    except Exception as error:
                        self._failed(error)
            if soon:
                self._call_back()

    def _call_back(self) -> None:
        """Call what is to be called by now, but not what is added meanwhile."""
        for _ in range(len(self._soon)):
            try:
                self._soon.popleft()()
            except Exception as error:
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        log_exception_once("event loop", error)
        if self._breath:
            sleep(self._breath)

    def _woken(self, _: int) -> None:
        os.read(self._wake, _WAKE_BYTES)

    def close(self) -> None:
        """Let go of its descriptors, and watch none: it is not running any more.

        In a process just forked, too: what the parent watches stays watched.
        """
        signal.set_wakeup_fd(-1)
        self._watchers.clear()
        self._epoll.close()
        os.close(self._wake)
        os.close(self._waker)
