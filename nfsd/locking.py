"""What the parent holds for the process that owns the locks: its sockets, and its heritage.

Rule: both stay what they are for as long as the configuration has them so, and the heritage
as long as locks are served at all: a client finds locks where they were, whatever has
died or was configured anew meanwhile.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Final

from nfsd.exports import Exports
from nfsd.lock_handover import LockHandover
from nfsd.lock_options import LockConfig
from nfsd.lock_server import LockOffer
from nfsd.lock_sockets import LockSockets
from nfsd.options import Refusal
from nfsd.rpcbind import Registration
from nfsd.tally import Tally
from overlay.filesystem import Overlay

NOT_SERVED: Final = LockConfig(served=False)


class Locking:
    """Of one server; without sockets where locks are not served."""

    def __init__(
        self,
        config: LockConfig = NOT_SERVED,
        sockets: LockSockets | None = None,
        handover: LockHandover | None = None,
    ) -> None:
        self._config = config
        self._sockets = sockets
        self._handover = handover

    def changed(self, config: LockConfig, hosts: Iterable[str]) -> Locking:
        """What there is to be with these settings, at these addresses; raises Refusal.

        Locks go on through it, unless they are not served meanwhile.
        """
        if not config.served:
            return Locking(config)
        try:
            sockets = LockSockets(hosts, config.port, self._sockets)
        except OSError as error:
            raise Refusal(
                f"cannot listen for locks: {error.strerror}: choose another port with "
                "--lock-port, or do without with --locks off"
            ) from error
        return Locking(config, sockets, self._handover or LockHandover())

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """All that there are, of TCP and UDP."""
        return () if self._sockets is None else self._sockets.all

    @property
    def owners(self) -> int:
        """How many processes own locks: one or none."""
        return 0 if self._sockets is None else 1

    @property
    def port(self) -> int | None:
        """The port of NLM and NSM, if they are served."""
        return None if self._sockets is None else self._sockets.port

    def registrations(self) -> list[Registration]:
        """What rpcbind is to be told."""
        return [] if self._sockets is None else self._sockets.registrations()

    def offer(
        self, exports: Exports, overlays: Sequence[Overlay], tally: Tally
    ) -> LockOffer | None:
        """What such a process serves; all workers have these overlays open, as it has."""
        if self._sockets is None or self._handover is None:
            return None
        # The list of clients is kept where changes are, as the replies are.
        stores = sorted(overlays, key=lambda overlay: overlay.read_only)
        store = stores[0] if stores else None
        grace, local = self._config.grace, self._config.local
        return LockOffer(
            *(exports, overlays, self._sockets, self._handover, grace, store, local, tally)
        )

    def close_others(self, kept: Locking) -> None:
        """Close the sockets that are not among `kept`, in this process."""
        for sock in set(self.sockets).difference(kept.sockets):
            sock.close()
