"""Sizes of memory as people write them: 256M."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SMALLEST: Final = 64 << 20
_LARGEST: Final = 1 << 40


class SizeError(Exception):
    """It is no size, or none that will do; the text says which do."""


def size_of(text: str) -> int:
    """The bytes in a size, for a memory budget; raises SizeError."""
    found = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", text)
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    if not _SMALLEST <= size <= _LARGEST:
        raise SizeError("give a size from 64M to 1T, like 256M or 2G")
    return size
