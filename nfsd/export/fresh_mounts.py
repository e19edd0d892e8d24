"""Which clients of an export begin with an empty layer when they mount it (reset = "mount").

Nothing in a MOUNT says whether the machine has started anew or mounts once more while it
runs.  Its connections do: a machine that runs acknowledges what is sent on a connection
that it has used, one that has started anew resets it, one without power says nothing.
Rule: a layer stays as it is while a connection by which it was used is answered for; and
after a start of this process for as long as machines that run may not have called again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from overlay import per_client
from overlay.model.config import OverlayConfig

# How long machines that run may take to call again when the server has started, and how long
# before its start they may have called last; in seconds.
_RETURN_SECONDS: Final = 300
_SILENT_SECONDS: Final = 120
_CONNECTIONS_MAX: Final = 64  # of a client that are remembered, the last ones


class FreshMounts:
    """What one process knows of an export's clients."""

    def __init__(self, layers: OverlayConfig, answers: Callable[[str, int], bool]) -> None:
        """`answers` says whether a client is at the other end of a connection; it may wait."""
        self._layers = layers
        self._answers = answers
        self._begun = time.time()
        # The connections by which each has used its layer since it began, the newest last.
        self._used: dict[str, dict[tuple[str, int], None]] = {}
        self._unused: set[str] = set()  # whose layers are empty since they mounted

    def use(self, client: str, address: str, port: int) -> None:
        """Note that a client uses its layer by a connection."""
        known = self._used.setdefault(client, {})
        if (address, port) not in known:
            self._unused.discard(client)
            if len(known) >= _CONNECTIONS_MAX:
                del known[next(iter(known))]
            known[address, port] = None

    def begin(self, client: str) -> None:
        """Note that a client has an empty layer."""
        self._used.pop(client, None)
        self._unused.add(client)

    def is_empty(self, client: str) -> bool:
        """Return whether a client has done nothing with its layer since that is empty."""
        return client in self._unused

    def keeps(self, client: str) -> bool:
        """Return whether a client that mounts keeps what it has; waits for its connections."""
        if self.is_empty(client):
            return True  # a MOUNT that was sent twice
        used = self._used.get(client)
        if used is None:
            return self._may_return(client)
        return any(self._answers(*each) for each in list(used))

    def _may_return(self, client: str) -> bool:
        """Return whether a client may have been running when this process began."""
        last = per_client.last_use(self._layers, client)
        if last is None or time.time() > self._begun + _RETURN_SECONDS:
            return False
        return last > self._begun - _SILENT_SECONDS
