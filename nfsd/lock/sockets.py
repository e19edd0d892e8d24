"""The sockets at which clients call NLM and NSM: one port, of TCP and UDP, at each address."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Sequence
from typing import Final

from nfsd.lock.nlm_versions import VERSIONS
from nfsd.lock.nsm import NSM
from nfsd.net.datagrams import datagram_socket
from nfsd.net.listen_address import Address, address_of, apart, bound_address
from nfsd.net.listeners import stream_socket
from nfsd.portmap.rpcbind import Registration, registration

_TRIES: Final = 50  # to find a port that is free everywhere


class LockSockets:
    """The sockets, opened by the parent: their port outlives the process that serves them."""

    def __init__(self, hosts: Iterable[str], port: int, before: LockSockets | None = None) -> None:
        """Bind sockets at these addresses; port 0 is the port of `before` if it is free, or any.

        Sockets of `before` with the port and an address are used again.  Raises OSError if one
        cannot be bound, and then opens none.
        """
        self.all: Sequence[socket.socket] = _bound(apart(hosts), port, before)

    @property
    def listeners(self) -> list[socket.socket]:
        """Return the TCP sockets."""
        return [each for each in self.all if each.type == socket.SOCK_STREAM]

    @property
    def datagrams(self) -> list[socket.socket]:
        """Return the UDP sockets."""
        return [each for each in self.all if each.type == socket.SOCK_DGRAM]

    @property
    def port(self) -> int:
        """Return the port, which all sockets have."""
        number: int = self.all[0].getsockname()[1]
        return number

    def registrations(self) -> list[Registration]:
        """Return every program with every address, for rpcbind."""
        return [
            registration(*program, _transport(each), *each.getsockname()[:2])
            for program in (*(each.program for each in VERSIONS.values()), NSM)
            for each in self.all
        ]

    def close(self) -> None:
        """Close the sockets in this process."""
        for each in self.all:
            each.close()


def _transport(sock: socket.socket) -> str:
    return "tcp" if sock.type == socket.SOCK_STREAM else "udp"


def _bound(hosts: Sequence[str], port: int, before: LockSockets | None) -> list[socket.socket]:
    known = () if before is None else before.all
    first = port or (0 if before is None else before.port)
    for attempt in range(1, _TRIES + 1):
        found: list[socket.socket] = []
        try:
            for host in hosts:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    wanted = found[0].getsockname()[1] if found else first
                    found.append(_socket(kind, address_of(host, wanted), known))
        except OSError as error:
            for each in set(found).difference(known):
                each.close()
            if port or error.errno != errno.EADDRINUSE or attempt == _TRIES:
                raise
            first = 0  # somebody has the port of `before` at an address that is new
        else:
            return found
    raise AssertionError("the last try returns or raises")


def _socket(
    kind: socket.SocketKind, address: Address, before: Sequence[socket.socket]
) -> socket.socket:
    for sock in before:
        if sock.type == kind and bound_address(sock) == address:
            return sock
    make = stream_socket if kind == socket.SOCK_STREAM else datagram_socket
    return make(address, before)
