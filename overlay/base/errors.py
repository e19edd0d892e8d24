"""How a call fails: by a plain `OSError`, or as it must not wait.

Everything a client may be told is an `OSError` with the kernel's errno.  Where
the kernel has no number outside itself, these stand for it:

    EBADF      the handle is not one of ours (forged, damaged, another export)
    ESTALE     the object is gone for ever
    ECANCELED  a guard (SETATTR's ctime) did not hold, nothing was done
    EAGAIN     work goes on in the background; ask again later
"""

from __future__ import annotations

import os


class WouldBlock(Exception):  # noqa: N818 - a condition like BlockingIOError, not a failure
    """The call would wait for a disk or a lock on the thread that must not wait.

    Raised before anything was changed, so the same call can be made again on
    another thread.  It is never an answer for a client.
    """


def error(number: int) -> OSError:
    """Return an `OSError` carrying errno `number` and its text."""
    return OSError(number, os.strerror(number))
