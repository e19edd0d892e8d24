"""Namespaces for a run: its mounts, ports and processes are its own, and end with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from tests.conformance.machine import command, program

_INSIDE: Final = "OVERLAY_NFSD_BENCH_INSIDE"


def enter(module: str) -> None:
    """Go on in namespaces of our own: `python -m module` is run again in them, unless it was."""
    if os.environ.get(_INSIDE):
        command([program("ip", "iproute2"), "link", "set", "lo", "up"], timeout=10)
        # Sockets and pid files of the daemons go there.
        command(["mount", "-t", "tmpfs", "run", "/run"], timeout=10)
        for name in ("ganesha", "rpcbind"):
            Path("/run", name).mkdir()
        return
    unshare = program("unshare", "util-linux")
    words = [unshare, "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    again = [sys.executable, "-m", module, *sys.argv[1:]]
    os.execve(unshare, [*words, "--", *again], {**os.environ, _INSIDE: "1"})
