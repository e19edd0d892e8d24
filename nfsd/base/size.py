"""Sizes of memory and disk as people write them: 256M."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SMALLEST: Final = 64 << 20
_LARGEST: Final = 1 << 40
_LEAST_SPACE: Final = 1 << 20
_MOST_SPACE: Final = 1000 << 40


class SizeError(Exception):
    """It is no size, or none that will do; the text says which do."""


def size_of(text: str) -> int:
    """Return the bytes in a size, for a memory budget; raises SizeError."""
    size = _bytes(text)
    if not _SMALLEST <= size <= _LARGEST:
        raise SizeError("give a size from 64M to 1T, like 256M or 2G")
    return size


def space_of(text: str) -> int:
    """Return the bytes in a size, for space on disk; raises SizeError."""
    size = _bytes(text)
    if not _LEAST_SPACE <= size <= _MOST_SPACE:
        raise SizeError("give a size from 1M to 1000T, like 500M or 10G")
    return size


def _bytes(text: str) -> int:
    """None of them where it is no size."""
    found = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", text)
    return int(found[1]) * _UNITS[found[2]] if found else 0
