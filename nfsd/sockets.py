"""All sockets that a configuration asks for, had together or not at all."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from nfsd import reach
from nfsd.addresses import bound_address
from nfsd.config_file import Config
from nfsd.listeners import Listeners, bound_to, close_others, listen
from nfsd.locking import Locking
from nfsd.ports import Port
from nfsd.reach import Reach, rpcbind_mode
from nfsd.taken_ports import LISTEN, METRICS


@dataclass(frozen=True, slots=True)
class Sockets:
    """What a server listens with."""

    listeners: Listeners  # of NFS and MOUNT
    reached: Reach  # beside these
    metrics: Listeners
    locking: Locking

    @property
    def bound(self) -> list[tuple[str, int]]:
        """Where NFS and MOUNT are served: host and port of each."""
        return bound_to(self.listeners)

    def ports(self) -> Iterator[Port]:
        """Every port that is taken by this."""
        for sock in (
            *self.listeners.values(),
            *self.reached.streams.values(),
            *self.reached.datagrams.values(),
            *self.metrics.values(),
            *self.locking.sockets,
        ):
            yield Port(LISTEN, "", sock.type, bound_address(sock))

    def close_others(self, kept: Sockets) -> None:
        """Close what is not among `kept`."""
        close_others(self.listeners, kept.listeners)
        self.reached.close_others(kept.reached)
        close_others(self.metrics, kept.metrics)
        self.locking.close_others(kept.locking)


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
        reached = reach.reach(bound, mode, udp=udp, before=before.reached)
        undo.callback(reached.close_others, before.reached)
        texts = () if config.metrics is None else (config.metrics,)
        metrics = listen(texts, before.metrics, METRICS)
        undo.callback(close_others, metrics, before.metrics)
        locking = before.locking.changed(config.locks, [host for host, _ in bound])
        undo.pop_all()
    return Sockets(listeners, reached, metrics, locking)


NOTHING: Final = Sockets({}, reach.NOTHING, {}, Locking())
