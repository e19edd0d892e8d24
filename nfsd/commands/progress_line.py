"""How far long work has got, on a terminal and after the first second only."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final

_PATIENCE: Final = 1.0
_PERIOD: Final = 0.1
_ERASE: Final = "\r\033[K"


class Progress:
    """A line on standard error that says how many items were looked at."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = False
        self._next = time.monotonic() + _PATIENCE

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.hide()

    def __call__(self, count: int) -> None:
        """`count` items are done."""
        if sys.stderr.isatty() and time.monotonic() >= self._next:
            self._next = time.monotonic() + _PERIOD
            self._shown = True
            print(f"{_ERASE}{self._what}: {count:,} names", end="", file=sys.stderr, flush=True)

    def hide(self) -> None:
        """Give the line back to what is printed next."""
        if self._shown:
            print(_ERASE, end="", file=sys.stderr, flush=True)
            self._shown = False
