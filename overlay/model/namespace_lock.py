"""The lock that is held by whatever changes names in the upper layer or the index.

It excludes threads and other processes that serve the overlay (index.linux.robust_mutex).  A
word in shared memory holds the number of the process inside.  A process that enters and finds
another's number there comes after one that died in the middle: first it puts right what that
left.  A change that fails inside takes back what it began, and where it cannot, or cannot
finish what it did, it leaves a word there as if its process had died.
"""

from __future__ import annotations

import mmap
from typing import Final

from index.linux.robust_mutex import mutexes
from overlay.base.blocking import may_block

_NOBODY: Final = 0
_UNFINISHED: Final = (1 << 64) - 1  # one that lives, but could not put right what it did
# A change takes some 50 us, and more where its process has to wait for a processor: a few ms,
# the time slice of the holder.  To wait for it takes less time of all processors than to
# give to threads this call and all that come until then.
_SHORT_SECONDS: Final = 4e-3
# A sleeping thread has to be woken up, which takes the holder longer than the rest of its change;
# and until it is awake the holder has taken the lock again, with its next change.  So none sleeps
# while another process makes one change, or two.
AWAKE_SECONDS: Final = 60e-6


class Namespace:
    """A thread that holds it may take it again (Tree.changing).

    On an event loop's thread `WouldBlock` is raised rather than waited, but for the
    moment that most changes take; and that once, until a change that takes longer is done.
    """

    def __init__(self) -> None:
        (self._mutex,) = mutexes(1)
        self._depth = 0  # how often the thread that holds it has taken it
        self._is_held_long = False
        self._has_left_over = False
        self._inside = memoryview(mmap.mmap(-1, 8)).cast("Q")
        self._process = _NOBODY

    def join(self, process: int) -> None:
        """Be a process of several: `process` (from 1) is another for each ever forked."""
        self._process = process

    def enter(self) -> bool:
        """Take it; return whether the last holder has left something to be put right."""
        if not self._mutex.acquire_at_once():
            self._wait()
        self._depth += 1
        if self._depth > 1:
            return False
        if self._inside[0]:
            return True
        self._inside[0] = self._process
        return False

    @property
    def is_outermost(self) -> bool:
        """Return whether the holder gives it back when it leaves."""
        return self._depth == 1

    def leave(self, *, is_left: bool = False) -> None:
        """Give it back; `is_left`: the next holder has something to put right."""
        self._depth -= 1
        if self._depth == 0:
            self._inside[0] = _UNFINISHED if is_left else _NOBODY
        self._mutex.release()

    def __enter__(self) -> None:
        """For changes that leave nothing to put right, and do not put right what others left."""
        self._has_left_over = self.enter() or self._has_left_over

    def __exit__(self, *_: object) -> None:
        is_left = self._has_left_over and self.is_outermost
        self._has_left_over = self._has_left_over and not is_left
        self.leave(is_left=is_left)

    def _wait(self) -> None:
        # A thread of this process gives it back only when others let it go on.
        awake = 0 if self._depth else AWAKE_SECONDS
        if self._is_held_long or not self._mutex.acquire_within(_SHORT_SECONDS, awake):
            self._is_held_long = True
            may_block()
            self._mutex.acquire()
        self._is_held_long = False
