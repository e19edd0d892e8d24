"""How Python runs in a process that serves: how threads take turns, when garbage is collected."""

from __future__ import annotations

import gc
import sys
from typing import Final

# A thread that computes must soon let the event loop go on.
_SWITCH_SECONDS: Final = 0.0005
# The collector looks at some thousand new objects in a fraction of a millisecond, and all wait for
# it; again at 20,000 that have stayed once, in some 3 ms; and at those that have
# stayed twice, as there may be a million, hardly ever.
_GC_THRESHOLDS: Final = 2_000, 10, 250


def tune() -> None:
    """Set it up; what is there now will be there for long, and is never looked at."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
