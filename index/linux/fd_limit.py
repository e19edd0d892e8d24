"""How many descriptors a process may have, and room for them.

Objects in use are kept open, so there are thousands.  The kernel's table of a process's descriptors
begins with 64 entries and doubles when it is full.  In a process with several threads it then waits
until no processor can be looking into the old one (synchronize_rcu), 5 to 20 ms in which a thread
that opens a file stands still, with all calls behind it.
"""

from __future__ import annotations

import fcntl
import os
import resource
from typing import Final

# Half a megabyte of kernel memory; beyond, doubling is rare.
_TABLE_ENTRIES: Final = 1 << 16


def raise_limit() -> None:
    """Let this process have as many descriptors as are allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def enlarge_table() -> None:
    """Have the table made large at once, in a process that has no threads yet."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    fd = os.open(b"/", os.O_PATH)
    try:
        os.close(fcntl.fcntl(fd, fcntl.F_DUPFD, min(limit, _TABLE_ENTRIES) - 1))
    finally:
        os.close(fd)
