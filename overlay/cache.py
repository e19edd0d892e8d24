"""Bounded dictionaries of what was learnt about objects, by handle.

Second-chance replacement: a hit costs one dictionary lookup and one flag; room
is made by taking out what was not used since the last round.  A node taken out
while somebody works with it stays whole: its descriptors close with the last
reference (index.fd).
"""

from __future__ import annotations

import resource
import threading
from typing import Final, Generic, TypeVar

V = TypeVar("V")

# Of the process's descriptors, what is left to connections and to work in progress.
_RESERVED: Final = 2048
_DESCRIPTORS_PER_WEIGHT: Final = 3  # a file's own, its reader and its writer


def descriptor_budget(share: int = 1) -> int:
    """How much weight of nodes the process's descriptor limit allows each of `share` caches."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(256, (soft - _RESERVED) // _DESCRIPTORS_PER_WEIGHT // share)


class Cache(Generic[V]):
    """A dictionary whose values weigh no more than `budget` together, but for the newest."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._values: dict[bytes, V] = {}
        self._weights: dict[bytes, int] = {}  # of those that do not weigh 1
        self._used: set[bytes] = set()
        self._weight = 0
        self._lock = threading.Lock()

    def get(self, key: bytes) -> V | None:
        value = self._values.get(key)
        if value is not None:
            self._used.add(key)
        return value

    def put(self, key: bytes, value: V, weight: int) -> None:
        """Keep `value` in place of an older one."""
        with self._lock:
            if key in self._values:
                if weight == 1 and key not in self._weights:
                    self._values[key] = value
                    self._used.add(key)
                    return
                self._forget(key)
            self._weight += weight
            while self._weight > self._budget and self._values:
                self._evict()
            self._values[key] = value
            if weight != 1:
                self._weights[key] = weight

    def forget(self, key: bytes) -> None:
        """Keep nothing for `key`."""
        with self._lock:
            self._forget(key)

    def clear(self) -> None:
        """Forget everything; nothing but speed is lost."""
        with self._lock:
            self._values.clear()
            self._weights.clear()
            self._used.clear()
            self._weight = 0

    def __len__(self) -> int:
        return len(self._values)

    def _evict(self) -> None:
        oldest = next(iter(self._values))
        value = self._values.pop(oldest)
        if oldest in self._used:
            self._used.discard(oldest)
            self._values[oldest] = value
        else:
            self._weight -= self._weights.pop(oldest, 1)

    def _forget(self, key: bytes) -> None:
        if key in self._values:
            del self._values[key]
            self._weight -= self._weights.pop(key, 1)
            self._used.discard(key)
