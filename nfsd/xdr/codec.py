"""What all generated XDR modules share: the error, the entry points, the tables' types.

Packing appends buffers to a list, so that large data is never copied into a
message; unpacking reads from a buffer at a position and returns the position
behind what it read.  A generated unpack function does not check each length
against the end of the buffer: a position beyond the end makes the next read
fail, and `decode` finds it after the last one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

Buffer: TypeAlias = bytes | bytearray | memoryview
Parts: TypeAlias = list[Buffer]

PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")  # by length modulo 4

T = TypeVar("T")
A = TypeVar("A")  # arguments of a procedure
R = TypeVar("R")  # results
_REMEMBERED_MAX: Final = 1024


class XdrError(ValueError):
    """The bytes are not the XDR of the type expected, or the value cannot be packed as one."""


def decode(unpack: Callable[[Buffer, int], tuple[T, int]], buffer: Buffer, at: int = 0) -> T:
    """Return the value that `buffer` holds from position `at` to its end; raises XdrError."""
    try:
        value, end = unpack(buffer, at)
    except struct.error as error:
        raise XdrError(f"truncated: {error}") from error
    if end != len(buffer):
        raise XdrError(f"{len(buffer)} bytes where the value has {end}")
    return value


def encode(pack: Callable[[T, Parts], None], value: T) -> bytes:
    """Return the XDR of `value` in one piece."""
    parts: Parts = []
    pack(value, parts)
    return b"".join(parts)


def taken(buffer: Buffer, at: int, size: int) -> bytes:
    """Return the `size` bytes at `at`, or as many of them as there are."""
    if isinstance(buffer, bytes):
        return buffer[at : at + size]
    return bytes(buffer[at : at + size])


class Remembered(Generic[T]):
    """Values of one type by the `size` bytes that they begin with, where they have no more."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: dict[bytes, tuple[T, int]] = {}  # with their own size

    def get(self, buffer: Buffer, at: int) -> tuple[T, int] | None:
        """Return the value at `at` and the position behind it, if it is remembered."""
        known = self._values.get(taken(buffer, at, self._size))
        return None if known is None else (known[0], at + known[1])

    def put(self, buffer: Buffer, begin: int, end: int, value: T) -> T:
        """Remember a value, unless it is too long; after many they are all forgotten."""
        if end - begin <= self._size and end <= len(buffer):
            if len(self._values) >= _REMEMBERED_MAX:
                self._values.clear()
            self._values[taken(buffer, begin, self._size)] = value, end - begin
        return value


def pack_void(value: None, parts: Parts) -> None:
    """Nothing, as RFC 4506 section 4.16 has it."""


def unpack_void(buffer: Buffer, at: int) -> tuple[None, int]:
    """Nothing, as RFC 4506 section 4.16 has it."""
    return None, at


class Signature(NamedTuple, Generic[A, R]):
    """One procedure as its program's declaration has it (RFC 5531 section 12)."""

    number: int
    name: str
    pack_arguments: Callable[[A, Parts], None]
    unpack_arguments: Callable[[Buffer, int], tuple[A, int]]
    pack_results: Callable[[R, Parts], None]
    unpack_results: Callable[[Buffer, int], tuple[R, int]]
