"""Whether a server can have the ports that its configuration asks for, before it takes any."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from nfsd.config.file import Config
from nfsd.net.listen_address import Address, address_of, addresses, apart
from nfsd.net.port_in_use import LISTEN, LOCK_PORT, METRICS, RPCBIND, is_systemds, refusal
from nfsd.portmap.endpoints import rpcbind_mode
from nfsd.xdr.generated.rpcbind import PMAP_PORT
from overlay.base.refusal import Refusal

_TCP: Final = socket.SOCK_STREAM
_UDP: Final = socket.SOCK_DGRAM


@dataclass(frozen=True, slots=True)
class Port:
    """One port at one address that a setting asks for, of one transport."""

    option: str
    text: str  # as it is written
    kind: socket.SocketKind
    address: Address

    def meets(self, other: Port) -> bool:
        """Return whether both cannot be had at one time."""
        return self.kind is other.kind and self.address.overlaps(other.address)

    def check(self) -> None:
        """Raise OSError unless it can be had now; a process that listens there notices nothing."""
        with socket.socket(self.address.family, self.kind) as sock:
            if self.kind is _TCP:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.address.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(self.address.sockaddr)


def check(config: Config, passed: Sequence[Address], held: Iterable[Port]) -> None:
    """Raise Refusal unless all ports are apart, of this machine, and free.

    With addresses `passed` by systemd they take the place of those that are written; what is
    `held` counts as free, as the server has it that is to serve this.
    """
    wanted = list(_wanted(config, passed))
    mine = [*held, *(Port(LISTEN, "", _TCP, each) for each in passed)]
    for one, other in combinations(wanted, 2):
        if one.meets(other) and (one.option, one.address) != (other.option, other.address):
            raise Refusal(
                f"{one.option} {one.text} and {other.option} {other.text} are one port: give each "
                "its own"
            )
    for port in wanted:
        try:
            port.check()
        except OSError as error:
            is_ours = any(port.meets(other) for other in mine)
            if error.errno != errno.EADDRINUSE or not is_ours:
                raise refusal(port.option, port.text, port.address, port.kind, error) from error


def held_for(config: Config) -> Iterator[Port]:
    """Yield the ports of `listen` that systemd holds, for a service that it passes them to."""
    for text in config.listen:
        for address in addresses(text, LISTEN):
            if address.port and is_systemds(address):
                yield Port(LISTEN, text, _TCP, address)


def _wanted(config: Config, passed: Sequence[Address]) -> Iterator[Port]:
    listened = [(str(each), each) for each in passed] or [
        (text, each) for text in config.listen for each in addresses(text, LISTEN)
    ]
    mode = rpcbind_mode(config, [(address.host, address.port) for _, address in listened])
    for text, address in listened:
        for kind in (_TCP, _UDP) if config.udp or mode != "off" else (_TCP,):
            yield Port(LISTEN, text, kind, address)
    if config.metrics is not None:
        for address in addresses(config.metrics, METRICS):
            yield Port(METRICS, config.metrics, _TCP, address)
    hosts = apart(address.host for _, address in listened)
    for option, port, is_asked in (
        (LOCK_PORT, config.locks.port, config.locks.served),
        (RPCBIND, PMAP_PORT, mode == "embedded"),
    ):
        for host in hosts if is_asked else ():
            for kind in (_TCP, _UDP):
                yield Port(option, str(port), kind, address_of(host, port))
