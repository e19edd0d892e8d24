"""What a change has begun in `staging/` and must not leave there, whatever fails.

A change of names or of the index is one system call.  What goes before it is taken
back when the change fails; what comes after it is finished, as the change was made and
its failure would be no true answer.  Both are done by the thread that made the change, and should
that fail, too, by the next holder of the namespace lock: `is_left` says so.
"""

from __future__ import annotations

from collections import deque
from typing import Final

# More than any one change has at a time; what is older has been finished.
_NAMES_MAX: Final = 64


class Unfinished:
    """What the holder of the namespace lock has begun."""

    def __init__(self) -> None:
        self.names: deque[bytes] = deque(maxlen=_NAMES_MAX)  # in `staging/`
        self.has_failed = False  # a step that was to finish something, at least once
        self.is_left = False  # something could not be finished or taken back
