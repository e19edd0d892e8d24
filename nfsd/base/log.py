"""The log: one line for each event on standard error, and what may be logged how often.

Under systemd each line begins with its priority, as journald takes it from a
service's standard error (sd-daemon(3)); elsewhere with the time.

Whatever a client can cause is logged once in a while per cause and client, not
once per packet; causes are kinds of events, of which there are few, and not what a
client has sent.  All lines together are limited too: a log that anybody on the
network can fill is no log.  What was left out is counted and said.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Final, TextIO

from nfsd.base.about import PROGRAM

LOGGER: Final = logging.getLogger(PROGRAM)

_OF_A_KIND: Final = 256
_OF_A_CLIENT: Final = 8  # of a kind
_AGAIN_SECONDS: Final = 600.0
_BURST: Final = 200  # lines at once, of one process
_BRIEF_BYTES: Final = 128  # of a name that anybody may have sent
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
    """Remembers what was said lately, and how much of it of each kind and client.

    A client with ever new causes has no more of them logged than others.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # By kind: when what was said, the oldest first, and how often by client.
        self._said: dict[str, dict[tuple[str, Hashable], float]] = {}
        self._lines: dict[str, Counter[str]] = {}
        self._omitted = 0

    def first(self, kind: str, who: str = "", *what: Hashable) -> bool:
        """Return whether this comes up for the first time in ten minutes, and may be said.

        `kind` is a word of the program's own, never something that a client has sent.
        Of each kind there are so many in ten minutes, and so many for each `who`, a
        client's address: of more it is only counted that they were left out.
        """
        with self._lock:
            return self._is_first(kind, (who, what))

    def _is_first(self, kind: str, cause: tuple[str, Hashable]) -> bool:
        now, who = self._clock(), cause[0]
        said = self._said.setdefault(kind, {})
        lines = self._lines.setdefault(kind, Counter())
        while said and now - said[oldest := next(iter(said))] >= _AGAIN_SECONDS:
            del said[oldest]
            lines[oldest[0]] -= 1
            if not lines[oldest[0]]:
                del lines[oldest[0]]
        if cause in said:
            return False
        if len(said) >= _OF_A_KIND or lines[who] >= _OF_A_CLIENT:
            self._omitted += 1
            return False
        said[cause] = now
        lines[who] += 1
        return True

    def omitted(self) -> int:
        """Return how many were left out since this was asked."""
        count, self._omitted = self._omitted, 0
        return count


ONCE: Final = Once()


class Limit(logging.Filter):
    """Lets so many lines through at once and so many a second; says how many were left out.

    Errors, which clients hardly cause, have an allowance of their own.  What is critical
    is not limited, nor is the trace of calls, which somebody has asked for.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, once: Once = ONCE) -> None:
        super().__init__()
        self._clock = clock
        self._once = once
        self._left = {False: float(_BURST), True: float(_BURST)}  # for errors, for others
        self._when = clock()
        self._omitted = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.DEBUG:
            return True
        now = self._clock()
        for each, left in self._left.items():
            self._left[each] = min(_BURST, left + (now - self._when) * _LINES_A_SECOND)
        self._when = now
        is_error = record.levelno >= logging.ERROR
        if record.levelno < logging.CRITICAL:
            if self._left[is_error] < 1:
                self._omitted += 1
                return False
            self._left[is_error] -= 1
        omitted = self._omitted + self._once.omitted()
        if omitted:
            record.msg = f"{record.getMessage()} ({omitted} lines before this were left out)"
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
    """Return whether what is written there goes to journald (JOURNAL_STREAM, systemd.exec(5))."""
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
    """Return a name from a client or a directory, so that it cannot break a line."""
    text = name.decode(errors="backslashreplace")
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def brief(name: bytes) -> str:
    """Return a name as `shown` does, cut off if it is long."""
    return shown(name) if len(name) <= _BRIEF_BYTES else f"{shown(name[:_BRIEF_BYTES])}..."


def log_exception_once(what: str, error: BaseException) -> None:
    """Log an unexpected exception with its traceback, once for each line it is raised at."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    location = traceback and (traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
    if ONCE.first("exception", what, type(error).__name__, location):
        LOGGER.error("%s failed", what, exc_info=error)
