"""How a worker's memory is had from the kernel, and given back: settings of glibc, mallopt(3).

Data of READ and WRITE passes through buffers of up to 1 MiB.  Given back to the kernel each time,
every page of them would be faulted in and zeroed anew, which costs more than all else that is done
for a WRITE.

What one thread lets go of another is to take: a thread with a heap of its own keeps it.  Hardly any
memory is asked for without the interpreter's lock, so nobody waits for the heap's.
"""

from __future__ import annotations

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
_RETAINED_BYTES: Final = 32 << 20


def tune() -> None:
    """Set up this process, before it has threads."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc's
        libc.mallopt(_MMAP_THRESHOLD, _RETAINED_BYTES)
        libc.mallopt(_TRIM_THRESHOLD, _RETAINED_BYTES)
        libc.mallopt(_ARENA_MAX, 1)


def trim() -> None:
    """Give back to the kernel what has been let go of, after there was much."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc's
        libc.malloc_trim(0)
