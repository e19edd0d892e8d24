"""The umask, which is zero while overlays are open: clients have applied their own.

It is the whole process's, so it comes back with the last overlay that is closed.
"""

from __future__ import annotations

import os


class _Umask:
    """How many overlays need it to be zero, and what it was before."""

    def __init__(self) -> None:
        self.needed = 0
        self.before = 0o022


_UMASK = _Umask()


def clear() -> None:
    """Have it be zero until `restore` was called as often."""
    before = os.umask(0)
    if _UMASK.needed == 0:
        _UMASK.before = before
    _UMASK.needed += 1


def restore() -> None:
    """Record that one overlay that needed it to be zero is closed."""
    _UMASK.needed = max(_UMASK.needed - 1, 0)
    if _UMASK.needed == 0:
        os.umask(_UMASK.before)
