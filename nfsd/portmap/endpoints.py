"""How clients reach the programs: which by UDP, and who tells them the ports."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from nfsd.config.file import Config
from nfsd.net.datagrams import datagram_socket
from nfsd.net.listen_address import address_of, apart
from nfsd.net.listeners import close_others, stream_socket
from nfsd.net.port_in_use import LISTEN, RPCBIND, refusal
from nfsd.portmap.rpcbind import Registration, registration
from nfsd.rpc.program import Program
from nfsd.xdr.generated.mount import MOUNT_PROGRAM
from nfsd.xdr.generated.rpcbind import PMAP_PORT, RPCBPROG
from overlay.base.refusal import Refusal
from overlay.per_client import is_per_client

Sockets: TypeAlias = Mapping[tuple[str, int], socket.socket]  # by host and port


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What a server has open besides the ports that it was told to listen on."""

    streams: Sockets
    datagrams: Sockets

    def close_others(self, wanted: Endpoints) -> None:
        """Close what is not among `wanted`."""
        close_others(self.streams, wanted.streams)
        close_others(self.datagrams, wanted.datagrams)


NO_ENDPOINTS: Final = Endpoints({}, {})


def rpcbind_mode(config: Config, bound: Iterable[tuple[str, int]]) -> str:
    """Return what was chosen.

    If nothing was: the machine's rpcbind, if others than this machine are served.
    """
    if config.rpcbind is not None:
        return config.rpcbind
    return "off" if all(_is_loopback(host) for host, _ in bound) else "system"


def by_datagram(config: Config, mode: str, programs: Iterable[Program]) -> list[Program]:
    """Return the programs that are served by UDP: all of them, or what finds the others.

    Datagrams go to any worker.  Where clients have upper layers of their own, which one
    worker each has open, there is nothing to be had by them but ports.
    """
    by_client = any(is_per_client(export.layers) for export in config.exports)
    if config.udp:
        return list(programs)
    finders = () if mode == "off" else (RPCBPROG,) if by_client else (MOUNT_PROGRAM, RPCBPROG)
    return [program for program in programs if program.number in finders]


def open_endpoints(
    bound: Sequence[tuple[str, int]], mode: str, *, udp: bool, before: Endpoints
) -> Endpoints:
    """Open the UDP ports beside the TCP ones, and port 111 where we answer there.

    What was open `before` stays what it is.  Raises Refusal where a port is taken or is
    not for us, and then nothing is new.
    """
    hosts = apart(host for host, _ in bound)
    mapped = [(host, PMAP_PORT) for host in hosts] if mode == "embedded" else []
    streams: dict[tuple[str, int], socket.socket] = {}
    datagrams: dict[tuple[str, int], socket.socket] = {}
    try:
        for address in mapped:
            streams[address] = before.streams.get(address) or _open(
                socket.SOCK_STREAM, *address, before.streams
            )
        for address in (*(bound if udp else ()), *mapped):
            datagrams[address] = before.datagrams.get(address) or _open(
                socket.SOCK_DGRAM, *address, before.datagrams
            )
    except Refusal:
        Endpoints(streams, datagrams).close_others(before)
        raise
    return Endpoints(streams, datagrams)


def registrations(
    bound: Iterable[tuple[str, int]], streamed: Iterable[Program], datagrams: Iterable[Program]
) -> list[Registration]:
    """Return what there is to be told: of each transport one address, this machine's own last."""
    found: dict[tuple[int, int, str], Registration] = {}
    for host, port in sorted(bound, key=lambda address: _is_loopback(address[0])):
        for transport, programs in (("tcp", streamed), ("udp", datagrams)):
            for program in programs:
                each = registration(program.number, program.version, transport, host, port)
                if program.number != RPCBPROG:
                    found.setdefault(each.key, each)
    return list(found.values())


def _open(kind: socket.SocketKind, host: str, port: int, before: Sockets) -> socket.socket:
    address = address_of(host, port)
    make = stream_socket if kind is socket.SOCK_STREAM else datagram_socket
    try:
        return make(address, before.values())
    except OSError as error:
        option = RPCBIND if port == PMAP_PORT else LISTEN
        raise refusal(option, str(address), address, kind, error) from error


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback
