"""What the parent process waits for: descriptors that become readable, and times that come.

Rule: an action that fails is logged, and ends nothing.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from nfsd.log import log_exception_once


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


class Attended(Protocol):
    """Something else that the parent does: a `step` whenever its descriptor can be read."""

    def fileno(self) -> int: ...

    def step(self) -> None: ...

    def close(self) -> None:
        """Let go of it, in the parent or in a process forked from it."""


_BREATH_SECONDS: Final = 0.02

Action: TypeAlias = Callable[[], None]


class Agenda:
    """Actions by descriptor and by time; an action is due once, however often it is entered."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._due: dict[Action, float] = {}

    def on(self, file: int | _HasFileno, action: Action) -> None:
        """Have this done whenever the file can be read, unless something is already."""
        if file not in self._selector.get_map():
            self._selector.register(file, selectors.EVENT_READ, action)

    def off(self, file: int | _HasFileno) -> None:
        """Wait for the file no longer."""
        if file in self._selector.get_map():
            self._selector.unregister(file)

    def later(self, action: Action, seconds: float) -> None:
        """Have this done by `do_due`, once so much time has passed."""
        self._due[action] = time.monotonic() + seconds

    @property
    def next_due(self) -> float | None:
        """When there is something to be done, by the monotonic clock."""
        return min(self._due.values(), default=None)

    def wait(self, until: float | None) -> None:
        """Do what comes up on descriptors, at the latest until that time."""
        patience = None if until is None else max(0.0, until - time.monotonic())
        for key, _ in self._selector.select(patience):
            if self._selector.get_map().get(key.fd) == key:  # else what was done before ended it
                _do(key.data)

    def do_due(self) -> None:
        """Do what the time has come for."""
        now = time.monotonic()
        for action in [each for each, when in self._due.items() if when <= now]:
            del self._due[action]
            _do(action)

    def close(self) -> None:
        """In a process just forked: wait for nothing, and leave the parent's descriptors."""
        self._selector.close()


def _do(action: Action) -> None:
    try:
        action()
    except Exception as error:
        log_exception_once("the parent process", error)
        time.sleep(_BREATH_SECONDS)  # what failed may come up again at once
