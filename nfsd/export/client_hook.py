"""The program that puts into a client's new upper layer what it is to begin with (hook)."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Final

MADE: Final = "made"
RESET: Final = "reset"
_SECONDS: Final = 60.0  # for which it may run, while the client waits
_SHOWN: Final = 200  # characters of what it says


def prepare(hook: str | None, event: str, client: str) -> Callable[[bytes], None] | None:
    """Return what prepares a client's layer, given its directory; None without a hook.

    That raises OSError (EIO) unless the program ends with status 0 within a minute.
    """
    return None if hook is None else partial(_run, hook, event, client)


def _run(hook: str, event: str, client: str, directory: bytes) -> None:
    try:
        done = subprocess.run(
            [hook, event, client, os.fsdecode(directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise OSError(errno.EIO, f"hook {hook}: {problem}") from problem
    if done.returncode != 0:
        said = " ".join(done.stdout.decode(errors="replace").split())[:_SHOWN]
        raise OSError(errno.EIO, f"hook {hook} ended with status {done.returncode}: {said}")
