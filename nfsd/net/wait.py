"""Coroutines on an event loop: work of several steps, which waits in between.

Rule: they await nothing but `Wait`, and what they raise is logged by the loop.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextlib import suppress
from functools import partial
from typing import Any

from nfsd.net.event_loop import Call, Loop


class Wait:
    """Awaited once, it lasts so many seconds, or until it is ended before."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop: Loop
        self._go_on: Call | None = None
        self._result: bytes | None = None

    def __await__(self) -> Generator[Wait, None, bytes | None]:
        """Return what it was ended with, None if the time has passed."""
        yield self
        return self._result

    def begin(self, loop: Loop, go_on: Call) -> None:
        """Have `go_on` called at the end."""
        self._loop, self._go_on = loop, go_on
        loop.call_later(self._seconds, self.end)

    def end(self, result: bytes | None = None) -> None:
        """End it, unless it has ended or nobody waits; used on the loop's thread."""
        go_on, self._go_on = self._go_on, None
        if go_on is not None:
            self._result = result
            self._loop.call_soon(go_on)


def start(loop: Loop, work: Coroutine[Any, Any, None]) -> None:
    """Do the first step now, the others on the loop's thread."""
    with suppress(StopIteration):
        work.send(None).begin(loop, partial(start, loop, work))
