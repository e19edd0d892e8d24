"""Caches in memory: bounded dictionaries that share a budget.

What is new is young.  When memory is needed, old entries go, the oldest first.  When
none is left, those between become old and the young ones become those between.  So
that there are some, all become old the first time, and halfway the young ones become
those between.
Whatever is asked for is young again, so that what is asked for while it is between
never gets old.  Each step is short, however much is kept.

All caches of a process share one `CacheBudget`: each takes what the others leave, and
the cache that is most beyond its share gives way.  An entry is counted with all that it
takes: `size_of` says how much, from key and value, and must say the same whenever
it is asked.  A value taken out while it is in use stays whole: a node's
descriptors close with the last reference (index.linux.fd).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice
from typing import Any, Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

# Bytes that an entry's slot takes: in a dictionary that may just have been
# enlarged, in the row of those that are old.
SLOT_BYTES: Final = 128
# Entries put in a row at a time: some ms for all that there may be are too long.
_ROW: Final = 4096


def _weightless(_: object) -> int:
    return 0


class CacheBudget:
    """Memory for caches: `size` bytes together, but for the newest entry if that alone is more."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0
        self.lock = threading.Lock()
        self._caches: list[Cache[Any, Any]] = []

    def add(self, cache: Cache[Any, Any]) -> None:
        """Let a cache share the budget."""
        self._caches.append(cache)

    def evict_for(self, wanted: int, wanting: Cache[Any, Any]) -> None:
        """Evict entries until `wanted` bytes of a cache fit; the lock is held."""
        while self.taken + wanted > self.size:
            fullest, most = None, 0
            for cache in self._caches:
                beyond = cache.taken - cache.share + (wanted if cache is wanting else 0)
                if len(cache) and (fullest is None or beyond > most):
                    fullest, most = cache, beyond
            if fullest is None or most <= 0:
                return
            fullest.evict()


class Cache(Generic[K, V]):
    """A dictionary within a budget, of which `share` is its own.

    Besides, the values weigh no more than `limit` together, but for the newest.
    """

    def __init__(
        self,
        budget: CacheBudget,
        share: float,
        size_of: Callable[[K, V], int],
        *,
        limit: int | None = None,
        weight_of: Callable[[V], int] = _weightless,
    ) -> None:
        self.share = int(budget.size * share)
        self.taken = 0  # bytes
        self._budget = budget
        self._size_of = size_of
        self._limit = limit
        self._weight_of = weight_of
        self._weight = 0
        self._young: dict[K, V] = {}
        self._between: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._row: list[K] = []  # the oldest of the old, the very oldest last
        budget.add(self)

    def get(self, key: K) -> V | None:
        value = self._young.get(key)
        if value is not None:
            return value
        for older in (self._between, self._old):
            if key in older:
                with self._budget.lock:
                    value = older.pop(key, None)
                    if value is not None:
                        self._young[key] = value
                return value
        return None

    def put(self, key: K, value: V) -> None:
        """Store `value`, instead of an older one."""
        size = self._size_of(key, value)
        budget = self._budget
        with budget.lock:
            self._forget(key)
            if budget.taken + size > budget.size:
                budget.evict_for(size, self)
            if self._limit is not None:
                self._weight += self._weight_of(value)
                while self._weight > self._limit and len(self):
                    self.evict()
            self._young[key] = value
            self.taken += size
            budget.taken += size

    def forget(self, key: K) -> None:
        """Drop what is cached for `key`."""
        with self._budget.lock:
            self._forget(key)

    def forget_all(self, is_meant: Callable[[K], bool]) -> None:
        """Drop what is cached for such keys."""
        with self._budget.lock:
            for key in [*self._young, *self._between, *self._old]:
                if is_meant(key):
                    self._forget(key)

    def clear(self) -> None:
        """Forget everything; nothing but speed is lost."""
        with self._budget.lock:
            for entries in (self._young, self._between, self._old):
                entries.clear()
            self._row.clear()
            self._budget.taken -= self.taken
            self.taken = self._weight = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._between) + len(self._old)

    def evict(self) -> None:
        """Let go of the oldest; there is one, and the lock is held."""
        if not self._between and len(self._old) < len(self._young):  # the first time, mostly
            self._between, self._young = self._young, {}
        while True:
            if not self._row:
                self._line_up()
            key = self._row.pop()
            if key in self._old:
                self._left(key, self._old.pop(key))
                return

    def _line_up(self) -> None:
        """Put the oldest in a row; if none is old, each gets older."""
        if not self._old:
            self._old, self._between, self._young = self._between, self._young, {}
        self._row = list(islice(self._old, _ROW))
        self._row.reverse()

    def _forget(self, key: K) -> None:
        value = self._young.pop(key, None)
        if value is None and self._between:
            value = self._between.pop(key, None)
        if value is None and self._old:
            value = self._old.pop(key, None)
        if value is not None:
            self._left(key, value)

    def _left(self, key: K, value: V) -> None:
        size = self._size_of(key, value)
        self.taken -= size
        self._budget.taken -= size
        if self._limit is not None:
            self._weight -= self._weight_of(value)
