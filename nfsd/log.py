"""The log: one line for each event on standard error, and what may be logged how often.

Under systemd each line begins with its priority, as journald takes it from a
service's standard error (sd-daemon(3)); elsewhere with the time.

Whatever a client can cause is logged once in a while per cause and client, not
once per packet, and all lines together are limited too: a log that anybody on the
network can fill is no log.  What was left out is counted and said.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Hashable
from typing import Final, TextIO

from nfsd.options import PROGRAM

LOGGER: Final = logging.getLogger(PROGRAM)

_CAUSES: Final = 1024
_AGAIN_SECONDS: Final = 600.0
_BURST: Final = 200  # lines at once, of one process
_LINES_A_SECOND: Final = 2.0
# Of syslog(3), by the level from which it is given.
_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.NOTSET, 7),
)


class Once:
    """Remembers what was said lately; of many different things it forgets the oldest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[Hashable, float] = {}  # when, the oldest first

    def first(self, *cause: Hashable) -> bool:
        """Whether `cause` comes up for the first time in ten minutes."""
        now = self._clock()
        said = self._said.get(cause)
        if said is not None and now - said < _AGAIN_SECONDS:
            return False
        self._said.pop(cause, None)
        if len(self._said) >= _CAUSES:
            del self._said[next(iter(self._said))]
        self._said[cause] = now
        return True


ONCE: Final = Once()


class Limit(logging.Filter):
    """Lets so many lines through at once and so many a second; says how many were left out.

    The trace of calls, which somebody has asked for, is not limited.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._left = float(_BURST)
        self._when = clock()
        self._omitted = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.DEBUG:
            return True
        now = self._clock()
        self._left = min(_BURST, self._left + (now - self._when) * _LINES_A_SECOND)
        self._when = now
        if self._left < 1:
            self._omitted += 1
            return False
        self._left -= 1
        if self._omitted:
            record.msg = f"{record.getMessage()} ({self._omitted} lines before this were left out)"
            record.args = ()
            self._omitted = 0
        return True


class ForJournal(logging.Formatter):
    """A priority before each line of the message."""

    def format(self, record: logging.LogRecord) -> str:
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        lines = super().format(record).split("\n")
        return "\n".join(f"<{priority}>{line}" for line in lines)


def goes_to_journal(stream: TextIO) -> bool:
    """Whether what is written there goes to journald (JOURNAL_STREAM, systemd.exec(5))."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        st = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(st.st_dev), str(st.st_ino))


def start_logging(*, verbose: bool) -> None:
    """Log to standard error, with `verbose` also each call."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ForJournal("%(message)s")
        if goes_to_journal(sys.stderr)
        else logging.Formatter(f"%(asctime)s {PROGRAM}[%(process)d]: %(levelname)s: %(message)s")
    )
    handler.addFilter(Limit())
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG if verbose else logging.INFO)


def shown(name: bytes) -> str:
    """A name from a client or a directory, such that it cannot break a line or look like two."""
    text = name.decode(errors="backslashreplace")
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def log_exception_once(what: str, error: BaseException) -> None:
    """Log an exception that nobody expected, with its traceback, once per place it comes from."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    place = traceback and (traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
    if ONCE.first(what, type(error).__name__, place):
        LOGGER.error("%s failed", what, exc_info=error)
