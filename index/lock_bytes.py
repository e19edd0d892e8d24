"""Which byte of the lock file stands for what (index.linux.file_lock)."""

from __future__ import annotations

from typing import Final

VERIFIER: Final = 1
_COPY_UPS: Final = 1 << 62  # and above: a byte for the number of each object


def copy_up_byte(fileid: int) -> int:
    """Return the byte that lets one process at a time copy this object's data."""
    return _COPY_UPS | fileid & (_COPY_UPS - 1)
