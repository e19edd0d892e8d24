"""How the service manager hears that all is well: a status for people, a sign of life for itself.

The sign is given by the parent, and only while all workers go on too.  A worker that
has not for half of the watchdog's time is killed, and another replaces it: most of
the clients notice nothing.  Where that does not help, or where it is the parent
that does not go on, the manager ends all and starts anew.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Final

from nfsd.base.log import LOGGER
from nfsd.process.heartbeat import BEAT_SECONDS
from nfsd.process.supervisor import Workers
from nfsd.process.systemd import Notifier

_LOOK_SECONDS: Final = 2.0
_LOOKS: Final = 5  # in the time that the watchdog has
_PATIENCE_SECONDS: Final = 4 * BEAT_SECONDS  # at least, with a worker


class Watch:
    """Looks again and again from when it is begun; `status` is the line for people."""

    def __init__(self, notifier: Notifier, workers: Workers, status: Callable[[], str]) -> None:
        self._notifier = notifier
        self._workers = workers
        self._status = status
        limit = notifier.watchdog
        self._period = _LOOK_SECONDS if limit is None else min(_LOOK_SECONDS, limit / _LOOKS)

    def begin(self) -> None:
        """Look now and from now on, if the service manager wants to know."""
        if self._notifier.is_heard:
            self.look()

    def look(self) -> None:
        """Tell how it is, and look again later."""
        self._notifier.status(self._status())
        limit = self._notifier.watchdog
        if limit is not None:
            patience = max(limit / 2, _PATIENCE_SECONDS)
            for worker in self._workers.silent(patience):
                LOGGER.error("worker %d has not answered for %g s", worker.pid, patience)
                worker.signal(signal.SIGKILL)
            if not self._workers.silent(limit):
                self._notifier.alive()
        self._workers.loop.call_later(self._period, self.look)
