"""What the parent holds for the process that owns the locks: its sockets, and its heritage.

Rule: both stay what they are from the start of the server to its end, so a client finds
locks where they were, whatever has died or was configured anew meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nfsd.exports import Exports
from nfsd.lock_handover import LockHandover
from nfsd.lock_options import LockConfig
from nfsd.lock_server import LockOffer
from nfsd.lock_sockets import LockSockets
from nfsd.options import Refusal
from nfsd.rpcbind import Registration
from nfsd.tally import Tally
from overlay.filesystem import Overlay


class Locking:
    """Of one server; it never has sockets if locks are not served."""

    def __init__(self, config: LockConfig) -> None:
        self._config = config
        self._handover = LockHandover()
        self._sockets: LockSockets | None = None

    def listen(self, hosts: Iterable[str]) -> None:
        """Listen at these addresses; raises Refusal."""
        if not self._config.served:
            return
        try:
            self._sockets = LockSockets(hosts, self._config.port)
        except OSError as error:
            raise Refusal(
                f"cannot listen for locks: {error.strerror}: choose another port with "
                "--lock-port, or do without with --locks off"
            ) from error

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
        if self._sockets is None:
            return None
        # The list of clients is kept where changes are, as the replies are.
        stores = sorted(overlays, key=lambda overlay: overlay.read_only)
        store = stores[0] if stores else None
        grace, local = self._config.grace, self._config.local
        return LockOffer(
            *(exports, overlays, self._sockets, self._handover, grace, store, local, tally)
        )

    def close(self) -> None:
        """Close the sockets in this process."""
        if self._sockets is not None:
            self._sockets.close()
