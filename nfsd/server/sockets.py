"""All sockets that a configuration asks for, had together or not at all."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from nfsd.config.file import Config
from nfsd.lock.supervised import Locking
from nfsd.net.listen_address import bound_address
from nfsd.net.listeners import Listeners, bound_to, close_others, listen
from nfsd.net.port_in_use import LISTEN, METRICS
from nfsd.portmap.endpoints import NO_ENDPOINTS, Endpoints, open_endpoints, rpcbind_mode
from nfsd.server.ports import Port


@dataclass(frozen=True, slots=True)
class Sockets:
    """What a server listens with."""

    listeners: Listeners  # of NFS and MOUNT
    endpoints: Endpoints  # beside these
    metrics: Listeners
    locking: Locking

    @property
    def bound(self) -> list[tuple[str, int]]:
        """Return where NFS and MOUNT are served: host and port of each."""
        return bound_to(self.listeners)

    def ports(self) -> Iterator[Port]:
        """Yield every port that is taken by this."""
        for sock in (
            *self.listeners.values(),
            *self.endpoints.streams.values(),
            *self.endpoints.datagrams.values(),
            *self.metrics.values(),
            *self.locking.sockets,
        ):
            yield Port(LISTEN, "", sock.type, bound_address(sock))

    def close_others(self, wanted: Sockets) -> None:
        """Close what is not among `wanted`."""
        close_others(self.listeners, wanted.listeners)
        self.endpoints.close_others(wanted.endpoints)
        close_others(self.metrics, wanted.metrics)
        self.locking.close_others(wanted.locking)


def open_sockets(config: Config, passed: Mapping[str, socket.socket], before: Sockets) -> Sockets:
    """Listen where the configuration says; what was open `before` stays what it is.

    Sockets `passed` by systemd take the place of `listen`.  Raises Refusal, and then none is new.
    """
    with ExitStack() as undo:
        listeners = passed or listen(config.listen, before.listeners)
        undo.callback(close_others, listeners, before.listeners)
        bound = bound_to(listeners)
        mode = rpcbind_mode(config, bound)
        udp = config.udp or mode != "off"
        endpoints = open_endpoints(bound, mode, udp=udp, before=before.endpoints)
        undo.callback(endpoints.close_others, before.endpoints)
        texts = () if config.metrics is None else (config.metrics,)
        metrics = listen(texts, before.metrics, METRICS)
        undo.callback(close_others, metrics, before.metrics)
        locking = before.locking.changed(config.locks, [host for host, _ in bound])
        undo.pop_all()
    return Sockets(listeners, endpoints, metrics, locking)


NOTHING: Final = Sockets({}, NO_ENDPOINTS, {}, Locking())
