"""What a directory shows, in the order of READDIR cookies.

A listing may have a million entries and be kept for long, so it is packed, in
the order in which the entries were found: some 30 bytes for each, and its name.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar, overload

T = TypeVar("T")


class _Names(Sequence[bytes]):
    """Names in a row, with no more between them than where each ends."""

    __slots__ = ("_bytes", "_ends")

    def __init__(self, names: Sequence[bytes]) -> None:
        self._bytes = b"".join(names)
        self._ends = array("L", [0, *accumulate(map(len, names))])

    @property
    def size(self) -> int:
        """Bytes of memory that they take, about."""
        return len(self._bytes) + len(self._ends) * self._ends.itemsize

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, at: int) -> bytes: ...

    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...

    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        return self._bytes[self._ends[at] : self._ends[at + 1]]


class _Ordered(Sequence[T]):
    """Values in an order that is not their own."""

    __slots__ = ("_order", "_values")

    def __init__(self, values: Sequence[T], order: Sequence[int]) -> None:
        self._values, self._order = values, order

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, at: int) -> T: ...

    @overload
    def __getitem__(self, at: slice) -> list[T]: ...

    def __getitem__(self, at: int | slice) -> T | list[T]:
        if isinstance(at, slice):
            return [self._values[each] for each in self._order[at]]
        return self._values[self._order[at]]


class Listing:
    """A directory's entries in the order of their cookies, as parallel sequences."""

    __slots__ = ("cookies", "fileids", "names", "size")

    def __init__(
        self,
        cookies: array[int],
        order: array[int],
        names: Sequence[bytes],
        fileids: array[int],
    ) -> None:
        """`cookies` are in order; `order` says at which place of the others theirs are."""
        self.cookies: Sequence[int] = cookies
        packed_names = _Names(names)
        self.names: Sequence[bytes] = _Ordered(packed_names, order)
        self.fileids: Sequence[int] = _Ordered(fileids, order)
        self.size = 4096 + 24 * len(order) + packed_names.size  # bytes of memory, about
