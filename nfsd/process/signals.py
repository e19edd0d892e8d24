"""The signals that end and reload the server, and how its processes die with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from typing import Final

STOPS: Final = (signal.SIGTERM, signal.SIGINT)
RELOAD: Final = signal.SIGHUP
_PR_SET_PDEATHSIG: Final = 1


def ignore_stops() -> None:
    """Have a process that is at its end take no notice of STOPS.

    Python gives up its handlers some time before the process ends: the second of two signals would
    kill it, although it has ended well.
    """
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def die_with(parent: int) -> None:
    """Have this process killed when its parent dies (PR_SET_PDEATHSIG).

    The kernel keeps the wish for each thread, and drops it when the thread acts
    as another user, as those do that make files: so one thread does nothing else.
    """

    def wait() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Event().wait()

    threading.Thread(target=wait, name="dies with the parent", daemon=True).start()
