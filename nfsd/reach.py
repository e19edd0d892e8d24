"""How clients reach the programs: which by UDP, and who tells them the ports."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nfsd.config_file import Config
from nfsd.datagrams import datagram_socket
from nfsd.options import Refusal
from nfsd.program import Program
from nfsd.rpcbind import Registration
from nfsd.workers import Workers
from nfsd.xdr.mount import MOUNT_PROGRAM
from nfsd.xdr.rpcbind import PMAP_PORT, RPCBPROG


class Reach(NamedTuple):
    """What a server opens besides the ports that it was told to listen on."""

    datagrams: Sequence[socket.socket]
    registrations: Sequence[Registration]


def rpcbind_mode(config: Config, bound: Iterable[tuple[str, int]]) -> str:
    """What was chosen; else the machine's rpcbind, if others than this machine are served."""
    if config.rpcbind is not None:
        return config.rpcbind
    return "off" if all(_is_loopback(host) for host, _ in bound) else "system"


def by_datagram(config: Config, mode: str, programs: Iterable[Program]) -> list[Program]:
    """The programs that are served by UDP: all of them, or what finds the others."""
    if config.udp:
        return list(programs)
    finders = () if mode == "off" else (MOUNT_PROGRAM, RPCBPROG)
    return [program for program in programs if program.number in finders]


def reach(
    workers: Workers,
    bound: Sequence[tuple[str, int]],
    mode: str,
    streamed: Iterable[Program],
    datagrams: Sequence[Program],
) -> Reach:
    """Open the UDP ports beside the TCP ones, and port 111 where we answer there.

    Raises Refusal where a port is taken or is not for us.
    """
    found: list[socket.socket] = []
    if datagrams:
        found += [_open_udp(host, port) for host, port in bound]
    if mode == "embedded":
        for host in dict.fromkeys(host for host, _ in bound):
            _open_tcp(workers, host, PMAP_PORT)
            found.append(_open_udp(host, PMAP_PORT))
    return Reach(found, registrations(bound, streamed, datagrams))


def registrations(
    bound: Iterable[tuple[str, int]], streamed: Iterable[Program], datagrams: Iterable[Program]
) -> list[Registration]:
    """What there is to be told: of each transport one address, this machine's own last."""
    found: dict[tuple[int, int, str], Registration] = {}
    for host, port in sorted(bound, key=lambda address: _is_loopback(address[0])):
        for transport, programs in (("tcp", streamed), ("udp", datagrams)):
            netid = transport + ("6" if ":" in host else "")
            for program in programs:
                each = Registration(program.number, program.version, netid, host, port)
                if program.number != RPCBPROG:
                    found.setdefault(each.key, each)
    return list(found.values())


def _open_udp(host: str, port: int) -> socket.socket:
    try:
        return datagram_socket(_family(host), (host, port))
    except OSError as error:
        raise _refusal("UDP", host, port, error) from error


def _open_tcp(workers: Workers, host: str, port: int) -> None:
    try:
        workers.listen(_family(host), (host, port))
    except OSError as error:
        raise _refusal("TCP", host, port, error) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _refusal(transport: str, host: str, port: int, error: OSError) -> Refusal:
    cure = "stop what uses it"
    if port == PMAP_PORT:
        cure = "if rpcbind runs, choose --rpcbind system"
    return Refusal(f"cannot use {transport} port {port} of {host}: {error.strerror}: {cure}")


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback
