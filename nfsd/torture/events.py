"""What happens to the server while the test goes on: at even intervals, or when a scenario asks.

One thing at a time.  A controller makes it happen; its work is done in steps,
so that the test goes on meanwhile, and must come to an end.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

TIMED: Final = ("restart", "kill", "drop")
_LIMIT: Final = 60.0


class EventError(Exception):
    """The server cannot be controlled; the text says what failed."""


class Controller(Protocol):
    """Who controls the server."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return what it can make happen."""

    def steps(self, kind: str) -> Iterator[None]:
        """Begin, and look at each step how far it is; raises EventError."""

    def break_off(self) -> None:
        """End what it is about, if that is not done."""


class Events:
    """`poll` begins what is due, goes on with it, and tells of what has ended."""

    def __init__(
        self,
        controller: Controller,
        kinds: Sequence[str],
        period: float,
        ended: Callable[[str], None],
    ) -> None:
        """Each of `kinds` happens once in `period` seconds."""
        self._controller = controller
        self._kinds = list(kinds)
        self._gap = period / len(self._kinds)
        self._ended = ended
        self._due = time.monotonic() + self._gap
        self._asked: deque[tuple[str, Callable[[], None]]] = deque()
        self._steps: Iterator[None] | None = None
        self._then: Callable[[], None] | None = None
        self._timed = 0
        self._begun = 0.0
        self.running = ""  # what is going on now
        self.counts: Counter[str] = Counter(dict.fromkeys(controller.kinds, 0))

    def ask(self, kind: str, then: Callable[[], None]) -> None:
        """Let it happen as soon as nothing else does, then call `then`."""
        self._asked.append((kind, then))

    def poll(self, *, start: bool) -> None:
        """Go on with what goes on; begin what was asked for or, with `start`, is due."""
        now = time.monotonic()
        if self._steps is not None:
            self._go_on(now)
        elif self._asked:
            self._begin(*self._asked.popleft())
        elif start and now >= self._due:
            self._due = now + self._gap
            self._begin(self._kinds[self._timed % len(self._kinds)], None)
            self._timed += 1

    def _begin(self, kind: str, then: Callable[[], None] | None) -> None:
        self.running, self._then, self._begun = kind, then, time.monotonic()
        self._steps = self._controller.steps(kind)

    def _go_on(self, now: float) -> None:
        assert self._steps is not None
        if now - self._begun > _LIMIT:
            kind = self.running
            self.stop()
            raise EventError(f"{kind}: not done in {_LIMIT:.0f} s")
        try:
            next(self._steps)
        except StopIteration:
            kind, then = self.running, self._then
            self.running, self._steps, self._then = "", None, None
            self.counts[kind] += 1
            self._ended(kind)
            if then is not None:
                then()

    def stop(self) -> None:
        """Break off what goes on."""
        self._controller.break_off()
        self.running, self._steps, self._then = "", None, None
