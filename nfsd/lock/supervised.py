"""What the parent holds for the process that owns the locks: its sockets, and its handover.

Rule: the sockets stay open as long as the configuration has them, and the handover stays as long as
locks are served: a client keeps its locks across a reload.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Final

from nfsd.config.lock import LockConfig
from nfsd.export.exports import Exports
from nfsd.lock.handover import LockHandover
from nfsd.lock.server import LockSetup
from nfsd.lock.sockets import LockSockets
from nfsd.portmap.rpcbind import Registration
from nfsd.rpc.call_stats import CallStats
from overlay.base.refusal import Refusal
from overlay.filesystem import Overlay

NOT_SERVED: Final = LockConfig(served=False)


class Locking:
    """Sockets and handover of one server; without sockets it serves no locks."""

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
        """Return the same for other settings and addresses; raises Refusal.

        Clients keep their locks, unless the settings turn locks off.
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
        """Return all sockets, TCP and UDP."""
        return () if self._sockets is None else self._sockets.all

    @property
    def owners(self) -> int:
        """Return how many processes own locks: 1 or 0."""
        return 0 if self._sockets is None else 1

    @property
    def port(self) -> int | None:
        """Return the port of NLM and NSM, if they are served."""
        return None if self._sockets is None else self._sockets.port

    def registrations(self) -> list[Registration]:
        """Return what rpcbind is to be told."""
        return [] if self._sockets is None else self._sockets.registrations()

    def setup(
        self, exports: Exports, overlays: Sequence[Overlay], stats: CallStats
    ) -> LockSetup | None:
        """Return what the process serves; it has the same overlays open as the workers."""
        if self._sockets is None or self._handover is None:
            return None
        # The list of clients is in a workdir, as the duplicate request cache is.
        stores = sorted(overlays, key=lambda overlay: overlay.read_only)
        store = stores[0] if stores else None
        grace, local = self._config.grace, self._config.local
        return LockSetup(
            exports, overlays, self._sockets, self._handover, grace, store, local, stats
        )

    def close_others(self, wanted: Locking) -> None:
        """Close the sockets that are not among `wanted`, in this process."""
        for sock in set(self.sockets).difference(wanted.sockets):
            sock.close()
