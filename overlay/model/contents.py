"""Contents of files as they go in and out, and how far they must have got when a write returns."""

from __future__ import annotations

from enum import Enum

Buffer = bytes | bytearray | memoryview


class Stable(Enum):
    """How far data must have got when a write returns (RFC 1813, stable_how)."""

    UNSTABLE = 0
    DATA_SYNC = 1
    FILE_SYNC = 2
