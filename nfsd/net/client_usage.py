"""What each client has of one process: connections, memory, and its turns at the event loop.

A client is an address, or a network of those that IPv6 gives to one machine (/64).
A client with more connections than others has no more turns: when a source has used up
its turn, its calls wait until all others have had theirs.  Each round of the event loop begins
another turn, shortened by what the last one overspent.  Where nobody else is connected a turn has
no end: to stop in the middle of what has come costs more system calls, and wakes the client twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from ipaddress import IPv6Address, ip_network
from typing import Final

from nfsd.net.address import address_of
from nfsd.net.event_loop import Loop

TURN_NANOSECONDS: Final = 2_000_000
# After a turn of clients of which nothing is known: they have a third of the time.
PAUSE_SECONDS: Final = 0.004
_PREFIX: Final = 64


def _with_others() -> bool:
    return False


class Source:
    """One client, or all strangers together; lives on the event loop's thread alone."""

    def __init__(
        self,
        name: str,
        loop: Loop,
        pause: float = 0.0,
        is_alone: Callable[[], bool] = _with_others,
    ) -> None:
        """`pause`: seconds between two turns, in which the processor is left to others.

        `is_alone`: whether there is nobody else to have a turn.
        """
        self.name = name
        self._pause = pause
        self._is_alone = is_alone
        self.connections = 0
        self.held = 0  # bytes of memory
        self.left = TURN_NANOSECONDS  # of its turn
        self._loop = loop
        self._round = 0
        self._queue: deque[Callable[[], None]] = deque()
        self._is_scheduled = False

    def renew(self) -> int:
        """Return how many nanoseconds are left of the turn.

        A round of the event loop begins another, unless the last one was used up: then
        it begins when others have had theirs.
        """
        rounds = self._loop.rounds
        if rounds != self._round and not self._is_scheduled and not self._pause:
            self._round = rounds
            self.left = TURN_NANOSECONDS
        return self.left

    def is_over(self, nanoseconds: int) -> bool:
        """Return whether the turn is at its end when so much more has been taken from it."""
        return nanoseconds >= self.left and not self._is_alone()

    def spend(self, nanoseconds: int) -> None:
        """Take from the turn; when none is left, the next comes after those of others."""
        if self.is_over(nanoseconds):
            self.left -= nanoseconds
            self._schedule()
        elif nanoseconds < self.left:
            self.left -= nanoseconds

    def wait(self, call: Callable[[], None]) -> None:
        """Have something done in the next turn, as the last one was used up."""
        self._queue.append(call)
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            if self._pause:
                self._loop.call_later(self._pause, self._begin_turn)
            else:
                self._loop.call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._is_scheduled = False
        self._round = self._loop.rounds
        self.left = min(self.left + TURN_NANOSECONDS, TURN_NANOSECONDS)
        queue = self._queue
        while queue and self.left > 0:
            queue.popleft()()
        if queue or self.left <= 0:
            self._schedule()


def source_name(address: str) -> str:
    """Return what stands for the client at an address."""
    found = address_of(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, _PREFIX), strict=False))
    return str(found)
