"""The sockets at which clients call NLM and NSM: one port, of TCP and UDP, at each address."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Sequence
from typing import Final

from nfsd.addresses import Address, address_of, apart, bound_address
from nfsd.datagrams import datagram_socket
from nfsd.listeners import stream_socket
from nfsd.nlm_versions import VERSIONS
from nfsd.nsm import NSM
from nfsd.rpcbind import Registration, registration

_TRIES: Final = 50  # to find a port that is free everywhere


class LockSockets:
    """The sockets, opened by the parent so that their port stays the same as long as it lives."""

    def __init__(self, hosts: Iterable[str], port: int, before: LockSockets | None = None) -> None:
        """At these addresses; port 0 is the one of before, or picks one.

        Sockets of before that have the port and an address stay what they are.  Raises OSError
        if one cannot be had, and then none is new.
        """
        known = () if before is None else before.all
        wanted = port or (0 if before is None else before.port)
        self.all: Sequence[socket.socket] = _bound(apart(hosts), wanted, known)

    @property
    def listeners(self) -> list[socket.socket]:
        """Those of TCP."""
        return [each for each in self.all if each.type == socket.SOCK_STREAM]

    @property
    def datagrams(self) -> list[socket.socket]:
        """Those of UDP."""
        return [each for each in self.all if each.type == socket.SOCK_DGRAM]

    @property
    def port(self) -> int:
        """The port of all of them."""
        number: int = self.all[0].getsockname()[1]
        return number

    def registrations(self) -> list[Registration]:
        """Every program that is served, with every place where it is."""
        return [
            registration(*program, _transport(each), *each.getsockname()[:2])
            for program in (*(each.program for each in VERSIONS.values()), NSM)
            for each in self.all
        ]

    def close(self) -> None:
        """Close them in this process."""
        for each in self.all:
            each.close()


def _transport(sock: socket.socket) -> str:
    return "tcp" if sock.type == socket.SOCK_STREAM else "udp"


def _bound(hosts: Sequence[str], port: int, before: Sequence[socket.socket]) -> list[socket.socket]:
    for attempt in range(1, _TRIES + 1):
        found: list[socket.socket] = []
        try:
            for host in hosts:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    wanted = found[0].getsockname()[1] if found else port
                    found.append(_socket(kind, address_of(host, wanted), before))
        except OSError as error:
            for each in set(found).difference(before):
                each.close()
            if port or error.errno != errno.EADDRINUSE or attempt == _TRIES:
                raise
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
