"""What became of a stale handle's object, and of a change that is to begin again."""

from __future__ import annotations

import errno
import os
from enum import Enum


class Cause(Enum):
    """What became of the object of a handle that is stale; the value is what people read."""

    REMOVED = "removed"  # its last name is gone
    LAYER = "layer"  # no layer that it could be in is in the stack, or there is no upper
    INODE = "inode"  # its layer is there, its inode is not: changed or copied behind our back
    PLACE = "place"  # a directory that is not where its names lead
    PASSED = "passed"  # nothing now: it was so while something else changed


class BeginAgain(OSError):  # noqa: N818 - as WouldBlock
    """The call is to begin again: another was faster, or it had to copy something up first."""

    def __init__(self) -> None:
        super().__init__(errno.EAGAIN, os.strerror(errno.EAGAIN))
