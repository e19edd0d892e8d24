"""What must hold before a configuration is served: at a start, at a reload, and for `check-config`.

Rule: a configuration is checked by this before it is served, and nothing that can be
known before is refused later.  So what `check-config` accepts is served.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nfsd.config.file import Config, ExportConfig
from nfsd.net.listen_address import Address, address_of
from nfsd.net.port_in_use import LISTEN
from nfsd.server import ports
from nfsd.server.ports import Port
from overlay import per_client
from overlay.filesystem import Overlay
from overlay.model import overlap
from overlay.model.config import ConfigError


@dataclass(frozen=True, slots=True)
class Held:
    """What the server that is to serve it has in use already."""

    ports: tuple[Port, ...] = ()
    directories: frozenset[tuple[int, int]] = frozenset()  # by device and inode

    def dump(self) -> bytes:
        """For another process."""
        found = [(each.kind, each.address.host, each.address.port) for each in self.ports]
        return json.dumps([found, sorted(self.directories)]).encode()

    @classmethod
    def parse(cls, dumped: bytes) -> Held:
        """Return what `dump` has made; raises ValueError."""
        found, directories = json.loads(dumped)
        return cls(
            tuple(
                Port(LISTEN, "", socket.SocketKind(kind), address_of(host, port))
                for kind, host, port in found
            ),
            frozenset((device, inode) for device, inode in directories),
        )


NOTHING: Final = Held()


def check(config: Config, passed: Sequence[Address] = (), held: Held = NOTHING) -> None:
    """Raise Refusal unless this could be served; nothing is made or changed.

    Addresses `passed` by systemd take the place of `listen`.
    """
    ports.check(config, passed, held.ports)
    overlap.check_exports([(export.path, export.layers) for export in config.exports])
    for export in config.exports:
        try:
            _check_layers(export, held)
        except (ConfigError, OSError) as problem:
            raise ConfigError(f"export {os.fsdecode(export.path)}: {problem}") from problem


def _check_layers(export: ExportConfig, held: Held) -> None:
    if per_client.is_per_client(export.layers):
        per_client.prepare(export.layers)
    else:
        Overlay.check(export.layers, held.directories)
