"""Addresses to listen on, as they are written: ADDR:PORT, [ADDR]:PORT, NAME:PORT or *:PORT."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from overlay.base.refusal import Refusal

_FORM: Final = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})")
_PORT_MAX: Final = 65535
_ALL: Final = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


class Address(NamedTuple):
    """One address of one family; `sockaddr` is what bind(2) takes."""

    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]

    @property
    def host(self) -> str:
        """Return the address alone."""
        return str(self.sockaddr[0])

    @property
    def port(self) -> int:
        """Return the port; 0 is any."""
        return int(self.sockaddr[1])

    def overlaps(self, other: Address) -> bool:
        """Return whether no two sockets of one transport can have these, as bind(2) has it.

        A socket of IPv6 is for IPv6 alone here.
        """
        if self.family != other.family or self.port != other.port or not self.port:
            return False
        return self.host == other.host or _ALL[self.family] in (self.host, other.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(host: str, port: int) -> Address:
    """Return the address of a host that is written in numbers; raises OSError."""
    (family, _, _, _, sockaddr), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return Address(family, sockaddr)


def bound_address(sock: socket.socket) -> Address:
    """Return where a socket is bound."""
    return Address(socket.AddressFamily(sock.family), sock.getsockname())


def apart(hosts: Iterable[str]) -> list[str]:
    """Return the hosts, each once, without those that are among all addresses of their family."""
    known = dict.fromkeys(hosts)
    every = {family: host in known for family, host in _ALL.items()}
    return [host for host in known if host in _ALL.values() or not every[_family(host)]]


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def addresses(text: str, option: str = "listen") -> list[Address]:
    """Return all that is meant: of `*` each family's, of a name all that it has.

    Raises Refusal, which names the option to be changed.
    """
    match = _FORM.fullmatch(text)
    if match is None or int(match["port"]) > _PORT_MAX:
        raise Refusal(f"{option} {text}: give ADDR:PORT, like 127.0.0.1:2049 or [::1]:2049")
    host, port = match["v6"] or match["host"], int(match["port"])
    hosts = _ALL.values() if host == "*" else (host,)
    try:
        found = [
            Address(family, sockaddr)
            for each in hosts
            for family, _, _, _, sockaddr in socket.getaddrinfo(each, port, type=socket.SOCK_STREAM)
        ]
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no name of a host"
        raise Refusal(f"{option} {text}: {why}: give an address of this machine") from error
    known = [each for each in dict.fromkeys(found) if _has(each.family)]
    return known or found


def _has(family: socket.AddressFamily) -> bool:
    """Return whether this kernel knows an address family."""
    try:
        socket.socket(family, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True
