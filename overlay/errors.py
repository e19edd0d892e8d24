"""The two things that can happen to a call besides success and a plain `OSError`.

Everything a client may be told is an `OSError` with the kernel's errno.  Where
the kernel has no number outside itself, these stand for it:

    EBADF      the handle is not one of ours (forged, damaged, another export)
    ESTALE     the object is gone for ever
    ECANCELED  a guard (SETATTR's ctime) did not hold, nothing was done
    EAGAIN     work goes on in the background; ask again later
"""

from __future__ import annotations

import errno
import os
from enum import Enum


class WouldBlock(Exception):  # noqa: N818 - a condition like BlockingIOError, not a failure
    """The call would wait for a disk or a lock on the thread that must not wait.

    Raised before anything was changed, so the same call can be made again on
    another thread.  It is never an answer for a client.
    """


class Overtaken(OSError):  # noqa: N818 - as WouldBlock
    """Another call has just changed what this one was about to change: it is to look again."""

    def __init__(self) -> None:
        super().__init__(errno.EAGAIN, os.strerror(errno.EAGAIN))


def error(number: int) -> OSError:
    """An `OSError` carrying errno `number` and its text."""
    return OSError(number, os.strerror(number))


class Cause(Enum):
    """What became of the object of a handle that is stale; the value is what people read."""

    REMOVED = "removed"  # its last name is gone
    LAYER = "layer"  # no layer that it could be in is in the stack, or there is no upper
    INODE = "inode"  # its layer is there, its inode is not: changed or copied behind our back
    PLACE = "place"  # a directory that is not where its names lead
    PASSED = "passed"  # nothing now: it was so while something else changed
