"""What may be logged how often.

Whatever a client can cause is logged once per cause and client, not once per
packet: a log that anybody on the network can fill is no log.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Final

LOGGER: Final = logging.getLogger("overlay-nfsd")

_CAUSES: Final = 1024


class Once:
    """Remembers what was said; after many different things it forgets them all."""

    def __init__(self) -> None:
        self._said: set[Hashable] = set()

    def first(self, *cause: Hashable) -> bool:
        """Whether this is the first time that `cause` comes up."""
        if cause in self._said:
            return False
        if len(self._said) >= _CAUSES:
            self._said.clear()
        self._said.add(cause)
        return True


ONCE: Final = Once()


def log_exception_once(what: str, error: BaseException) -> None:
    """Log an exception that nobody expected, with its traceback, once per place it comes from."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    place = traceback and (traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
    if ONCE.first(what, type(error).__name__, place):
        LOGGER.error("%s failed", what, exc_info=error)
