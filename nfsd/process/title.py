"""What a process of the server is called, where processes are listed.

`ps`, `top` and journald show the command line, `pidof` and `pgrep` also the short name of 15
bytes (PR_SET_NAME).  The command line is where the kernel put it, and is written over there: a
title that is longer is cut.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

from nfsd.base.about import PROGRAM

LOCKS: Final = "locks"  # whose short name is its own
_LOCKS_NAME: Final = "overlay-locks"
_PR_SET_NAME: Final = 15
# Of /proc/PID/stat, counted after the name in parentheses (proc(5): arg_start, arg_end).
_ARGUMENTS: Final = slice(45, 47)


def be_called(role: str) -> None:
    """Have this process shown as `overlay-nfsd: ROLE`; to be called by its first thread."""
    name = _LOCKS_NAME if role == LOCKS else PROGRAM
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
    start, end = _command_line()
    if start < end:  # else the kernel does not say
        title = f"{PROGRAM}: {role}".encode(errors="surrogateescape")[: end - start - 1]
        ctypes.memmove(start, title.ljust(end - start, b"\0"), end - start)


def _command_line() -> tuple[int, int]:
    """Return the addresses where the command line of this process begins and ends."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = map(int, fields[_ARGUMENTS])
    return start, end
