"""Whether the workers go on: each says so twice in a second, in memory that they share."""

from __future__ import annotations

import mmap
import time
from typing import Final

BEAT_SECONDS: Final = 0.5


class Heartbeat:
    """When each worker was last known to go on, by the monotonic clock, which all share."""

    def __init__(self, workers: int) -> None:
        self._beats = memoryview(mmap.mmap(-1, 8 * workers)).cast("d")

    def beat(self, worker: int) -> None:
        """Record that this worker goes on."""
        self._beats[worker] = time.monotonic()

    def silence(self, worker: int) -> float:
        """Return the seconds since it did."""
        return time.monotonic() - self._beats[worker]
